package org.npp4j.layers.kernel.vector;

import java.nio.FloatBuffer;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.TransformerKernel;

/**
 * {@link TransformerKernel#crossEntropy}: a row is read from memory once, stays in the second-level cache for its maximum,
 * exponentials and sum, and is written once.
 */
final class VectorCrossEntropy {
    /** Columns that are copied and worked on at a time, within the first-level cache. */
    private static final int RUN = 2048;

    private static final int ELEMENTS = 1 << 15;

    private static final int LONGEST_ROW = 1 << 20;

    private VectorCrossEntropy() {}

    static boolean takes(INDArray z) {
        return Floats.rows(z) && z.size(1) <= LONGEST_ROW;
    }

    static void losses(
            INDArray z,
            int[] firstOfRow,
            int[] idOfTarget,
            double[] weightOfRow,
            double[] weightOfTarget,
            double[] nats) {
        int width = (int) z.size(1);
        int padded = Lanes.roundUp(width);
        Pass.Part part = (buffers, first, from, to) -> {
            Scratch scratch = Scratch.get();
            float[] lanes = scratch.array(0, Lanes.COUNT);
            float[] row = scratch.array(1, padded);
            for (int r = from; r < to; r++) {
                int number = (int) first + r;
                int firstTarget = firstOfRow[number];
                int end = firstOfRow[number + 1];
                if (weightOfRow == null && firstTarget == end) {
                    continue;
                }
                Arrays.fill(row, width, padded, Float.NEGATIVE_INFINITY);
                float largest = read(buffers[0], r * width, row, width, lanes);
                for (int i = firstTarget; i < end; i++) {
                    nats[i] = -(double) row[idOfTarget[i]];
                }
                double sum = exponentials(row, largest, padded, lanes);
                double logSumExp = largest + Math.log(sum);
                for (int i = firstTarget; i < end; i++) {
                    nats[i] += logSumExp;
                }
                if (weightOfRow != null) {
                    write(row, (float) (weightOfRow[number] / sum), buffers[0], r * width, width);
                    for (int i = firstTarget; i < end; i++) {
                        int id = idOfTarget[i];
                        buffers[0].put(r * width + id, row[id] - (float) weightOfTarget[i]);
                    }
                }
            }
        };
        Pass.overRows(Math.max(1, ELEMENTS / width), part, z);
    }

    /** Copies a row, and returns its maximum. */
    private static float read(FloatBuffer z, int at, float[] row, int width, float[] lanes) {
        Arrays.fill(lanes, 0, Lanes.COUNT, Float.NEGATIVE_INFINITY);
        for (int from = 0; from < width; from += RUN) {
            int to = Math.min(width, from + RUN);
            z.get(at + from, row, from, to - from);
            maximum(row, from, Lanes.roundUp(to), lanes);
        }
        float largest = lanes[0];
        for (int i = 1; i < Lanes.COUNT; i++) {
            largest = Math.max(largest, lanes[i]);
        }
        return largest;
    }

    /** Each lane becomes the maximum of itself and the lane's numbers in the row. */
    private static void maximum(float[] row, int from, int to, float[] lanes) {
        FloatVector m0 = FloatVector.fromArray(Lanes.FLOATS, lanes, 0);
        FloatVector m1 = m0;
        FloatVector m2 = m0;
        FloatVector m3 = m0;
        for (int i = from; i < to; i += Lanes.TURN) {
            m0 = m0.max(FloatVector.fromArray(Lanes.FLOATS, row, i));
            m1 = m1.max(FloatVector.fromArray(Lanes.FLOATS, row, i + Lanes.COUNT));
            m2 = m2.max(FloatVector.fromArray(Lanes.FLOATS, row, i + 2 * Lanes.COUNT));
            m3 = m3.max(FloatVector.fromArray(Lanes.FLOATS, row, i + 3 * Lanes.COUNT));
        }
        m0.max(m1).max(m2.max(m3)).intoArray(lanes, 0);
    }

    /** row = exp(row - largest). Returns the sum. */
    private static double exponentials(float[] row, float largest, int padded, float[] lanes) {
        double sum = 0;
        for (int from = 0; from < padded; from += RUN) {
            Lanes.exp(row, 1, -largest, row, from, Math.min(padded, from + RUN), lanes);
            sum += Lanes.sum(lanes);
        }
        return sum;
    }

    /** row = factor * row, also into memory. */
    private static void write(float[] row, float factor, FloatBuffer z, int at, int width) {
        for (int from = 0; from < width; from += RUN) {
            int to = Math.min(width, from + RUN);
            multiply(row, factor, from, to);
            z.put(at + from, row, from, to - from);
        }
    }

    private static void multiply(float[] row, float factor, int from, int to) {
        for (int i = from; i < to; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, row, i).mul(factor).intoArray(row, i);
        }
    }
}
