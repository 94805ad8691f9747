package org.npp4j.layers.kernel.vector;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.TransformerKernel;
import org.npp4j.layers.kernel.TransformerKernel.BranchGradient;

/**
 * {@link TransformerKernel#addBranch} in one pass. Nothing but a key is kept for the gradient: the factors of the branch are
 * a function of the key and an element's place.
 */
final class VectorBranch {
    private VectorBranch() {}

    static BranchGradient add(
            INDArray branch, INDArray x, long batch, double unitDropout, double pathDropout, INDArray y) {
        if (unitDropout == 0 && pathDropout == 0) {
            Pass.overElements(
                    (buffers, at, length, place, scratch) -> {
                        float[] b = scratch.array(0, Pass.TILE);
                        float[] xs = scratch.array(1, Pass.TILE);
                        buffers[0].get(at, b, 0, length);
                        buffers[1].get(at, xs, 0, length);
                        add(b, xs, length);
                        buffers[2].put(at, b, 0, length);
                    },
                    branch,
                    x,
                    y);
            return BranchGradient.SAME;
        }
        Factors factors = new Factors(Nd4j.getRandom().nextLong(), unitDropout, pathDropout, branch.length() / batch);
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] b = scratch.array(0, Pass.TILE);
                    float[] xs = scratch.array(1, Pass.TILE);
                    float[] f = scratch.array(2, Pass.TILE);
                    buffers[0].get(at, b, 0, length);
                    buffers[1].get(at, xs, 0, length);
                    factors.of(place, length, f, scratch);
                    multiplyAdd(b, f, xs, length);
                    buffers[2].put(at, b, 0, length);
                },
                branch,
                x,
                y);
        return (dy, scratch) -> gradient(dy, factors, scratch);
    }

    private static INDArray gradient(INDArray dy, Factors factors, Allocator allocator) {
        INDArray result = allocator.create(dy.shape());
        INDArray given = Floats.alike(dy, result) ? dy : result.assign(dy);
        Pass.overElements(
                (buffers, at, length, place, scratch) -> {
                    float[] g = scratch.array(0, Pass.TILE);
                    float[] f = scratch.array(1, Pass.TILE);
                    buffers[0].get(at, g, 0, length);
                    factors.of(place, length, f, scratch);
                    multiply(g, f, length);
                    buffers[1].put(at, g, 0, length);
                },
                given,
                result);
        return result;
    }

    private static void add(float[] b, float[] x, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, b, i)
                    .add(FloatVector.fromArray(Lanes.FLOATS, x, i))
                    .intoArray(b, i);
        }
    }

    private static void multiplyAdd(float[] b, float[] factor, float[] x, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, b, i)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, factor, i))
                    .add(FloatVector.fromArray(Lanes.FLOATS, x, i))
                    .intoArray(b, i);
        }
    }

    private static void multiply(float[] g, float[] factor, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            FloatVector.fromArray(Lanes.FLOATS, g, i)
                    .mul(FloatVector.fromArray(Lanes.FLOATS, factor, i))
                    .intoArray(g, i);
        }
    }

    /**
     * What each element of the branch is multiplied with: the factor of its unit times that of its example's path, each 0 or
     * 1 / (probability of staying).
     */
    private static final class Factors {
        /** The second word of counters: of units up to 2^33 elements 0, behind them more; of paths the last one. */
        private static final int PATHS = -1;

        private static final int HALF = Pass.TILE / 2;

        private final CounterRandom random;
        private final double unitDropout;
        private final double pathDropout;
        private final long perExample;

        Factors(long key, double unitDropout, double pathDropout, long perExample) {
            this.random = new CounterRandom(key);
            this.unitDropout = unitDropout;
            this.pathDropout = pathDropout;
            this.perExample = perExample;
        }

        /** Those of the elements from a place on, a multiple of {@link Pass#TILE}. */
        void of(long place, int length, float[] result, Scratch scratch) {
            if (unitDropout == 0) {
                Arrays.fill(result, 0, length, 1);
            } else {
                // the first words of a counter belong to the first half of the tile, the second ones to the other
                long counter = place / Pass.TILE * HALF;
                int[] x = scratch.ints(0, HALF);
                int[] y = scratch.ints(1, HALF);
                random.words((int) counter, (int) (counter >>> Integer.SIZE), x, y, HALF);
                int last = lastDropped(unitDropout);
                zeroOr(x, last, kept(unitDropout), result, 0);
                zeroOr(y, last, kept(unitDropout), result, HALF);
            }
            if (pathDropout > 0) {
                multiplyPaths(place, length, result, scratch);
            }
        }

        /** 0 where the upper 31 bits of a word are at most the last that are dropped, else what is kept. */
        private static void zeroOr(int[] words, int last, float kept, float[] result, int at) {
            int bits = Float.floatToRawIntBits(kept);
            IntVector lasts = IntVector.broadcast(Lanes.INTS, last);
            for (int i = 0; i < HALF; i += Lanes.COUNT) {
                IntVector word = IntVector.fromArray(Lanes.INTS, words, i).lanewise(VectorOperators.LSHR, 1);
                // all bits of a lane are set if last - word is negative
                lasts.sub(word)
                        .lanewise(VectorOperators.ASHR, Integer.SIZE - 1)
                        .lanewise(VectorOperators.AND, bits)
                        .reinterpretAsFloats()
                        .intoArray(result, at + i);
            }
        }

        private void multiplyPaths(long place, int length, float[] result, Scratch scratch) {
            int[] x = scratch.ints(0, HALF);
            int[] y = scratch.ints(1, HALF);
            int at = 0;
            while (at < length) {
                long example = (place + at) / perExample;
                int end = (int) Math.min(length, (example + 1) * perExample - place);
                random.words((int) example, PATHS, x, y, Lanes.COUNT);
                float factor = x[0] >>> 1 > lastDropped(pathDropout) ? kept(pathDropout) : 0;
                for (int i = at; i < end; i++) {
                    result[i] *= factor;
                }
                at = end;
            }
        }

        /** The upper 31 bits of a word are at most this with the probability. */
        private static int lastDropped(double probability) {
            return (int) (Math.round(probability * 0x1p31) - 1);
        }

        private static float kept(double dropout) {
            return (float) (1 / (1 - dropout));
        }
    }
}
