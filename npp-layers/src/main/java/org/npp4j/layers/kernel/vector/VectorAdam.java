package org.npp4j.layers.kernel.vector;

import java.nio.FloatBuffer;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.AdamStep;
import org.npp4j.layers.kernel.TransformerKernel;

/**
 * {@link TransformerKernel#adam}, {@link TransformerKernel#adamW} and {@link TransformerKernel#sumOfSquares}: passes over
 * all parameters.
 */
final class VectorAdam {
    /** Elements of each of the four arrays of {@link #adamW} at a time; more take longer. */
    private static final int SHORT_TILE = 128;

    private VectorAdam() {}

    /** The numbers of a step as the lanes take them. */
    private record Numbers(
            float scale,
            float keep1,
            float add1,
            float keep2,
            float add2,
            float factor,
            float rootFactor,
            float epsilon,
            float decay) {
        static Numbers of(double scale, AdamStep step, double decay) {
            return new Numbers(
                    (float) scale,
                    (float) step.beta1(),
                    (float) (1 - step.beta1()),
                    (float) step.beta2(),
                    (float) (1 - step.beta2()),
                    (float) step.meanFactor(),
                    (float) step.rootFactor(),
                    (float) step.epsilon(),
                    (float) decay);
        }
    }

    static void adam(INDArray gradient, INDArray m, INDArray v, AdamStep step) {
        Numbers numbers = Numbers.of(1, step, 0);
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] gs = scratch.array(0, Pass.TILE);
                    float[] ms = scratch.array(1, Pass.TILE);
                    float[] vs = scratch.array(2, Pass.TILE);
                    buffers[0].get(at, gs, 0, length);
                    buffers[1].get(at, ms, 0, length);
                    buffers[2].get(at, vs, 0, length);
                    updates(gs, ms, vs, length, numbers);
                    buffers[0].put(at, gs, 0, length);
                    buffers[1].put(at, ms, 0, length);
                    buffers[2].put(at, vs, 0, length);
                },
                gradient,
                m,
                v);
    }

    static void adamW(
            INDArray parameters, INDArray gradient, INDArray m, INDArray v, double scale, AdamStep step, double decay) {
        Numbers numbers = Numbers.of(scale, step, decay);
        Pass.overElements(
                (buffers, from, length, place, scratch) -> {
                    for (int at = from; at < from + length; at += SHORT_TILE) {
                        adamW(buffers, at, Math.min(SHORT_TILE, from + length - at), numbers, scratch);
                    }
                },
                parameters,
                gradient,
                m,
                v);
    }

    private static void adamW(FloatBuffer[] buffers, int at, int length, Numbers numbers, Scratch scratch) {
        float[] ps = scratch.array(0, SHORT_TILE);
        float[] gs = scratch.array(1, SHORT_TILE);
        float[] ms = scratch.array(2, SHORT_TILE);
        float[] vs = scratch.array(3, SHORT_TILE);
        buffers[0].get(at, ps, 0, length);
        buffers[1].get(at, gs, 0, length);
        buffers[2].get(at, ms, 0, length);
        buffers[3].get(at, vs, 0, length);
        move(ps, gs, ms, vs, length, numbers);
        buffers[0].put(at, ps, 0, length);
        buffers[2].put(at, ms, 0, length);
        buffers[3].put(at, vs, 0, length);
    }

    /** Turns gradients into what is to be subtracted; scale and decay play no part. */
    private static void updates(float[] g, float[] m, float[] v, int length, Numbers numbers) {
        FloatVector factors = FloatVector.broadcast(Lanes.FLOATS, numbers.factor);
        FloatVector rootFactors = FloatVector.broadcast(Lanes.FLOATS, numbers.rootFactor);
        FloatVector epsilons = FloatVector.broadcast(Lanes.FLOATS, numbers.epsilon);
        // at a rate of 0 a product would be NaN for what is infinite
        VectorMask<Float> still = factors.compare(VectorOperators.EQ, 0);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector x = FloatVector.fromArray(Lanes.FLOATS, g, i);
            FloatVector mean =
                    FloatVector.fromArray(Lanes.FLOATS, m, i).mul(numbers.keep1).add(x.mul(numbers.add1));
            mean.intoArray(m, i);
            FloatVector square = FloatVector.fromArray(Lanes.FLOATS, v, i)
                    .mul(numbers.keep2)
                    .add(x.mul(x).mul(numbers.add2));
            square.intoArray(v, i);
            mean.mul(factors)
                    .div(square.sqrt().fma(rootFactors, epsilons))
                    .blend(0, still)
                    .intoArray(g, i);
        }
    }

    /** As {@link #updates} of scaled gradients, with their subtraction from parameters that decay. */
    private static void move(float[] p, float[] g, float[] m, float[] v, int length, Numbers numbers) {
        FloatVector factors = FloatVector.broadcast(Lanes.FLOATS, numbers.factor);
        FloatVector rootFactors = FloatVector.broadcast(Lanes.FLOATS, numbers.rootFactor);
        FloatVector epsilons = FloatVector.broadcast(Lanes.FLOATS, numbers.epsilon);
        FloatVector decays = FloatVector.broadcast(Lanes.FLOATS, numbers.decay);
        VectorMask<Float> still = factors.compare(VectorOperators.EQ, 0);
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector x = FloatVector.fromArray(Lanes.FLOATS, g, i).mul(numbers.scale);
            FloatVector mean =
                    FloatVector.fromArray(Lanes.FLOATS, m, i).mul(numbers.keep1).add(x.mul(numbers.add1));
            mean.intoArray(m, i);
            FloatVector square = FloatVector.fromArray(Lanes.FLOATS, v, i)
                    .mul(numbers.keep2)
                    .add(x.mul(x).mul(numbers.add2));
            square.intoArray(v, i);
            FloatVector update = mean.mul(factors)
                    .div(square.sqrt().fma(rootFactors, epsilons))
                    .blend(0, still);
            FloatVector old = FloatVector.fromArray(Lanes.FLOATS, p, i);
            old.sub(old.fma(decays, update)).intoArray(p, i);
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
