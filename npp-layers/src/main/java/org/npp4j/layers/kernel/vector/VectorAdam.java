package org.npp4j.layers.kernel.vector;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.TransformerKernel;

/** {@link TransformerKernel#adam} and {@link TransformerKernel#sumOfSquares}: passes over all parameters. */
final class VectorAdam {
    private VectorAdam() {}

    static void adam(
            INDArray gradient,
            INDArray m,
            INDArray v,
            int step,
            double rate,
            double beta1,
            double beta2,
            double epsilon) {
        float factor = (float) (rate / (1 - Math.pow(beta1, step + 1.0)));
        float rootFactor = (float) (1 / Math.sqrt(1 - Math.pow(beta2, step + 1.0)));
        float keep1 = (float) beta1;
        float keep2 = (float) beta2;
        float add1 = (float) (1 - beta1);
        float add2 = (float) (1 - beta2);
        float added = (float) epsilon;
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] gs = scratch.array(0, Pass.TILE);
                    float[] ms = scratch.array(1, Pass.TILE);
                    float[] vs = scratch.array(2, Pass.TILE);
                    buffers[0].get(at, gs, 0, length);
                    buffers[1].get(at, ms, 0, length);
                    buffers[2].get(at, vs, 0, length);
                    means(gs, ms, keep1, add1, length);
                    squares(gs, vs, keep2, add2, length);
                    if (rate == 0) {
                        Arrays.fill(gs, 0, length, 0); // a product would give -0 too, and NaN of what is infinite
                    } else {
                        updates(gs, ms, vs, factor, rootFactor, added, length);
                    }
                    buffers[0].put(at, gs, 0, length);
                    buffers[1].put(at, ms, 0, length);
                    buffers[2].put(at, vs, 0, length);
                },
                gradient,
                m,
                v);
    }

    private static void means(float[] g, float[] m, float keep, float add, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, m, i)
                    .mul(keep)
                    .add(FloatVector.fromArray(Lanes.FLOATS, g, i).mul(add))
                    .intoArray(m, i);
        }
    }

    private static void squares(float[] g, float[] v, float keep, float add, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector x = FloatVector.fromArray(Lanes.FLOATS, g, i);
            FloatVector.fromArray(Lanes.FLOATS, v, i)
                    .mul(keep)
                    .add(x.mul(x).mul(add))
                    .intoArray(v, i);
        }
    }

    private static void updates(
            float[] g, float[] m, float[] v, float factor, float rootFactor, float epsilon, int length) {
        FloatVector rootFactors = FloatVector.broadcast(Lanes.FLOATS, rootFactor);
        FloatVector epsilons = FloatVector.broadcast(Lanes.FLOATS, epsilon);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector root = FloatVector.fromArray(Lanes.FLOATS, v, i).sqrt();
            FloatVector.fromArray(Lanes.FLOATS, m, i)
                    .mul(factor)
                    .div(root.fma(rootFactors, epsilons))
                    .intoArray(g, i);
        }
    }

    static double sumOfSquares(INDArray values) {
        double[] parts = new double[Pass.elementParts(values.length())];
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] lanes = scratch.array(0, Lanes.COUNT);
                    float[] x = scratch.array(1, Pass.TILE);
                    int padded = Lanes.roundUp(length);
                    buffers[0].get(at, x, 0, length);
                    Arrays.fill(x, length, padded, 0);
                    parts[Pass.elementPart(place)] += Lanes.sumOfSquares(x, 0, padded, lanes);
                },
                values);
        double sum = 0;
        for (double part : parts) {
            sum += part;
        }
        return sum;
    }
}
