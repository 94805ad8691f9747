package org.npp4j.layers.kernel.vector;

import java.lang.ref.Reference;
import java.nio.FloatBuffer;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.TransformerKernel;

/** {@link TransformerKernel#rmsNorm} and its gradient; each row is read once. */
final class VectorNorms {
    /** Rows of a part, while they are short. Single precision adds so many gradients of a gain without loss. */
    private static final int ROWS = 64;

    /** Longer rows are taken in smaller parts, but not fewer than this: each part has sums of its own for the gain. */
    private static final int FEWEST_ROWS = 8;

    private static final int ELEMENTS = 1 << 15;

    /** A row and what belongs to it stay in the second-level cache. */
    private static final int LONGEST_ROW = 1 << 16;

    /** Squares that are added in single precision. */
    private static final int RUN = 4096;

    private VectorNorms() {}

    /** Whether it takes rows, a number for each row, and numbers for each column. */
    static boolean takes(INDArray x, INDArray ofRows, INDArray... ofColumns) {
        if (!Floats.rows(x) || x.size(1) > LONGEST_ROW || !Floats.vector(ofRows, x.size(0))) {
            return false;
        }
        for (INDArray columns : ofColumns) {
            if (!Floats.vector(columns, x.size(1))) {
                return false;
            }
        }
        return true;
    }

    private static int rowsPerPart(int width) {
        return Math.max(FEWEST_ROWS, Math.min(ROWS, ELEMENTS / width));
    }

    private static double meanSquare(float[] row, int width, float[] lanes) {
        int padded = Lanes.roundUp(width);
        double sum = 0;
        for (int from = 0; from < padded; from += RUN) {
            sum += Lanes.sumOfSquares(row, from, Math.min(padded, from + RUN), lanes);
        }
        return sum / width;
    }

    static void scale(INDArray x, double epsilon, INDArray scale) {
        int width = (int) x.size(1);
        int padded = Lanes.roundUp(width);
        FloatBuffer scales = Floats.of(scale);
        Pass.overRows(
                rowsPerPart(width),
                (buffers, first, from, to) -> {
                    Scratch scratch = Scratch.get();
                    float[] row = scratch.array(0, padded);
                    float[] lanes = scratch.array(1, Lanes.COUNT);
                    Arrays.fill(row, width, padded, 0);
                    for (int r = from; r < to; r++) {
                        buffers[0].get(r * width, row, 0, width);
                        scales.put((int) first + r, (float) (1 / Math.sqrt(meanSquare(row, width, lanes) + epsilon)));
                    }
                },
                x);
        Reference.reachabilityFence(scale);
    }

    static void norm(INDArray x, INDArray gain, double epsilon, INDArray scale, INDArray y) {
        int width = (int) x.size(1);
        int padded = Lanes.roundUp(width);
        FloatBuffer scales = Floats.of(scale);
        FloatBuffer gains = Floats.of(gain);
        Pass.overRows(
                rowsPerPart(width),
                (buffers, first, from, to) -> {
                    Scratch scratch = Scratch.get();
                    float[] row = scratch.array(0, padded);
                    float[] lanes = scratch.array(1, Lanes.COUNT);
                    float[] ofColumns = scratch.array(2, padded);
                    gains.get(0, ofColumns, 0, width);
                    for (int r = from; r < to; r++) {
                        buffers[0].get(r * width, row, 0, width);
                        Arrays.fill(row, width, padded, 0);
                        float s = (float) (1 / Math.sqrt(meanSquare(row, width, lanes) + epsilon));
                        scales.put((int) first + r, s);
                        multiply(row, s, ofColumns, width);
                        buffers[1].put(r * width, row, 0, width);
                    }
                },
                x,
                y);
        Reference.reachabilityFence(scale);
        Reference.reachabilityFence(gain);
    }

    /** row = row * scale * gain. */
    private static void multiply(float[] row, float scale, float[] gain, int width) {
        for (int i = 0; i < width; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, row, i)
                    .mul(scale)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, gain, i))
                    .intoArray(row, i);
        }
    }

    static void gradient(
            INDArray dy, INDArray x, INDArray gain, INDArray scale, INDArray residual, INDArray dGain, INDArray dx) {
        int width = (int) x.size(1);
        int padded = Lanes.roundUp(width);
        int rowsPerPart = rowsPerPart(width);
        FloatBuffer scales = Floats.of(scale);
        FloatBuffer gains = Floats.of(gain);
        float[][] partsOfGain = new float[Pass.parts(x.size(0), rowsPerPart)][];
        Pass.Part part = (buffers, first, from, to) -> {
            Scratch scratch = Scratch.get();
            float[] lanes = scratch.array(0, Lanes.COUNT);
            float[] g = scratch.array(1, padded);
            float[] row = scratch.array(2, padded);
            float[] ofColumns = scratch.array(3, padded);
            float[] passed = scratch.array(4, padded);
            gains.get(0, ofColumns, 0, width);
            float[] sums = new float[padded];
            Arrays.fill(row, width, padded, 0);
            Arrays.fill(ofColumns, width, padded, 0);
            for (int r = from; r < to; r++) {
                buffers[0].get(r * width, g, 0, width);
                Arrays.fill(g, width, padded, 0);
                buffers[1].get(r * width, row, 0, width);
                float s = scales.get((int) first + r);
                double mean = productWithNormed(g, row, s, ofColumns, sums, padded, lanes) / width;
                if (residual == null) {
                    difference(g, row, s, (float) (s * s * mean), ofColumns, width);
                } else {
                    buffers[3].get(r * width, passed, 0, width);
                    difference(g, row, s, (float) (s * s * mean), ofColumns, passed, width);
                }
                buffers[2].put(r * width, g, 0, width);
            }
            partsOfGain[(int) (first + from) / rowsPerPart] = sums;
        };
        if (residual == null) {
            Pass.overRows(rowsPerPart, part, dy, x, dx);
        } else {
            Pass.overRows(rowsPerPart, part, dy, x, dx, residual);
        }
        Floats.of(dGain).put(0, sum(partsOfGain, width), 0, width);
        Reference.reachabilityFence(scale);
        Reference.reachabilityFence(gain);
        Reference.reachabilityFence(dGain);
    }

    /** Adds dy * normed to the sums of the columns, normed = x * scale. Returns the sum over the row of dy * gain * normed. */
    private static double productWithNormed(
            float[] dy, float[] x, float scale, float[] gain, float[] sums, int padded, float[] lanes) {
        FloatVector even = FloatVector.zero(Lanes.FLOATS);
        FloatVector odd = FloatVector.zero(Lanes.FLOATS);
        for (int i = 0; i < padded; i += 2 * Lanes.COUNT) {
            int j = i + Lanes.COUNT;
            FloatVector p = FloatVector.fromArray(Lanes.FLOATS, x, i)
                    .mul(scale)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, dy, i));
            FloatVector q = FloatVector.fromArray(Lanes.FLOATS, x, j)
                    .mul(scale)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, dy, j));
            FloatVector.fromArray(Lanes.FLOATS, sums, i).add(p).intoArray(sums, i);
            FloatVector.fromArray(Lanes.FLOATS, sums, j).add(q).intoArray(sums, j);
            even = p.fma(FloatVector.fromArray(Lanes.FLOATS, gain, i), even);
            odd = q.fma(FloatVector.fromArray(Lanes.FLOATS, gain, j), odd);
        }
        even.add(odd).intoArray(lanes, 0);
        return Lanes.sum(lanes);
    }

    /** dy = dy * gain * scale - x * factor. */
    private static void difference(float[] dy, float[] x, float scale, float factor, float[] gain, int width) {
        FloatVector minus = FloatVector.broadcast(Lanes.FLOATS, -factor);
        for (int i = 0; i < width; i += Lanes.COUNT) {
            FloatVector g = FloatVector.fromArray(Lanes.FLOATS, dy, i)
                    .mul(scale)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, gain, i));
            FloatVector.fromArray(Lanes.FLOATS, x, i).fma(minus, g).intoArray(dy, i);
        }
    }

    /** dy = dy * gain * scale - x * factor + passed. */
    private static void difference(
            float[] dy, float[] x, float scale, float factor, float[] gain, float[] passed, int width) {
        FloatVector minus = FloatVector.broadcast(Lanes.FLOATS, -factor);
        for (int i = 0; i < width; i += Lanes.COUNT) {
            FloatVector g = FloatVector.fromArray(Lanes.FLOATS, dy, i)
                    .mul(scale)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, gain, i));
            FloatVector.fromArray(Lanes.FLOATS, x, i)
                    .fma(minus, g)
                    .add(FloatVector.fromArray(Lanes.FLOATS, passed, i))
                    .intoArray(dy, i);
        }
    }

    /** The sums of the parts, added in the order of their rows. */
    private static float[] sum(float[][] parts, int width) {
        double[] sums = new double[width];
        for (float[] part : parts) {
            for (int i = 0; i < width; i++) {
                sums[i] += part[i];
            }
        }
        float[] result = new float[width];
        for (int i = 0; i < width; i++) {
            result[i] = (float) sums[i];
        }
        return result;
    }
}
