package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.vector.VectorKernel;

/** Decoding and its parts, in every kernel, against plain loops in double. */
class DecodeTest {
    private static final TokenGrid GRID = TokenGrid.of(5, 7);
    private static final double EPSILON = 1e-5;
    private static final double BASE = 10000;
    private static final VectorKernel VECTOR = new VectorKernel();

    /** A block of random parameters, as plain arrays [in][out] too. */
    private static final class Block {
        private final int width;
        private final AttentionShape sizes;
        private final double[][] gains = new double[2][];
        private final double[][][] weights = new double[5][][];
        private final BlockParameters parameters;

        Block(DataType type, AttentionShape sizes, int width, int feedForward, Random random) {
            this.width = width;
            this.sizes = sizes;
            int heads = sizes.heads() * sizes.headWidth();
            int qkv = heads + 2 * sizes.keyValueHeads() * sizes.headWidth();
            int[][] shapes = {
                {width, qkv}, {heads, width}, {width, feedForward}, {width, feedForward}, {feedForward, width}
            };
            for (int i = 0; i < shapes.length; i++) {
                weights[i] = random(shapes[i][0], shapes[i][1], random);
            }
            for (int i = 0; i < gains.length; i++) {
                gains[i] = random.doubles(width, 0.5, 1.5).map(x -> (float) x).toArray();
            }
            parameters = new BlockParameters(
                    EPSILON,
                    Nd4j.createFromArray(gains[0]).castTo(type),
                    weight(weights[0], type),
                    weight(weights[1], type),
                    Nd4j.createFromArray(gains[1]).castTo(type),
                    weight(weights[2], type),
                    weight(weights[3], type),
                    weight(weights[4], type));
        }

        /** Outputs [T][D] of one example, whose first condition tokens may be hidden. */
        double[][] decode(double[][] x, int conditionTokens, double[] seen) {
            int t = x.length;
            int e = sizes.headWidth();
            int h = sizes.heads();
            int g = sizes.keyValueHeads();
            double[][] qkv = product(norm(x, gains[0]), weights[0]);
            for (int p = 0; p < t; p++) {
                for (int head = 0; head < h + g; head++) {
                    turn(qkv[p], head * e, p - conditionTokens);
                }
            }
            double[][] mixed = new double[t][h * e];
            for (int p = 0; p < t; p++) {
                for (int head = 0; head < h; head++) {
                    attend(qkv, p, head, seen, mixed[p]);
                }
            }
            double[][] hidden = add(x, product(mixed, weights[1]));
            double[][] normed = norm(hidden, gains[1]);
            double[][] gate = product(normed, weights[2]);
            double[][] up = product(normed, weights[3]);
            for (int p = 0; p < t; p++) {
                for (int f = 0; f < gate[p].length; f++) {
                    gate[p][f] *= up[p][f] / (1 + Math.exp(-gate[p][f]));
                }
            }
            return add(hidden, product(gate, weights[4]));
        }

        private void turn(double[] row, int from, int token) {
            int e = sizes.headWidth();
            for (int pair = 0; pair < e / 2; pair++) {
                int along = pair < e / 4 ? token / GRID.getWidth() : token % GRID.getWidth();
                double angle = along * Math.pow(BASE, -2.0 * (pair % (e / 4)) / (e / 2.0));
                double a = row[from + 2 * pair];
                double b = row[from + 2 * pair + 1];
                row[from + 2 * pair] = token < 0 ? 0 : a * Math.cos(angle) - b * Math.sin(angle);
                row[from + 2 * pair + 1] = token < 0 ? 0 : b * Math.cos(angle) + a * Math.sin(angle);
            }
        }

        private void attend(double[][] qkv, int p, int head, double[] seen, double[] mixed) {
            int e = sizes.headWidth();
            int key = (sizes.heads() + head / sizes.headsPerGroup()) * e;
            int value = key + sizes.keyValueHeads() * e;
            double[] weights = new double[p + 1];
            double sum = 0;
            for (int i = 0; i <= p; i++) {
                double score = 0;
                for (int u = 0; u < e; u++) {
                    score += qkv[p][head * e + u] * qkv[i][key + u];
                }
                boolean unseen = seen != null && i < seen.length && i != p && seen[i] == 0;
                weights[i] = unseen ? 0 : Math.exp(score / Math.sqrt(e));
                sum += weights[i];
            }
            for (int i = 0; i <= p; i++) {
                for (int u = 0; u < e; u++) {
                    mixed[head * e + u] += weights[i] / sum * qkv[i][value + u];
                }
            }
        }

        private double[][] norm(double[][] x, double[] gain) {
            double[][] y = new double[x.length][width];
            for (int r = 0; r < x.length; r++) {
                double squares = 0;
                for (double value : x[r]) {
                    squares += value * value;
                }
                for (int d = 0; d < width; d++) {
                    y[r][d] = x[r][d] / Math.sqrt(squares / width + EPSILON) * gain[d];
                }
            }
            return y;
        }
    }

    private static double[][] add(double[][] a, double[][] b) {
        double[][] sum = new double[a.length][a[0].length];
        for (int r = 0; r < a.length; r++) {
            for (int d = 0; d < a[r].length; d++) {
                sum[r][d] = a[r][d] + b[r][d];
            }
        }
        return sum;
    }

    private static double[][] product(double[][] x, double[][] w) {
        double[][] y = new double[x.length][w[0].length];
        for (int r = 0; r < x.length; r++) {
            for (int o = 0; o < w[0].length; o++) {
                for (int i = 0; i < w.length; i++) {
                    y[r][o] += x[r][i] * w[i][o];
                }
            }
        }
        return y;
    }

    /** Numbers that are the same in single and double precision. */
    private static double[][] random(int rows, int columns, Random random) {
        double[][] values = new double[rows][columns];
        for (double[] row : values) {
            for (int i = 0; i < columns; i++) {
                row[i] = (float) (random.nextGaussian() / Math.sqrt(rows));
            }
        }
        return values;
    }

    /** [in, out] in 'f' order, in the middle of a longer vector as the parameters of a network are. */
    private static INDArray weight(double[][] w, DataType type) {
        long size = (long) w.length * w[0].length;
        INDArray all = Nd4j.valueArrayOf(new long[] {size + 4}, Double.NaN, type);
        INDArray weight = all.get(NDArrayIndex.interval(3, 3 + size)).reshape('f', w.length, w[0].length);
        return weight.assign(Nd4j.createFromArray(w));
    }

    static Stream<Arguments> kernels() {
        return Stream.of(
                Arguments.of(Nd4jKernel.INSTANCE, DataType.DOUBLE, 1e-12),
                Arguments.of(Nd4jKernel.INSTANCE, DataType.FLOAT, 1e-5),
                Arguments.of(VECTOR, DataType.FLOAT, 1e-5));
    }

    /** Batch sizes that fill vectors and that do not; odd widths; one head for all, and a head width beyond vectors. */
    @ParameterizedTest
    @MethodSource("kernels")
    void decodesAsPlainLoops(TransformerKernel kernel, DataType type, double tolerance) {
        decode(kernel, type, tolerance, new AttentionShape(1, 1, 1, 1, 4), 4, 2, 1, false);
        decode(kernel, type, tolerance, new AttentionShape(3, 1, 4, 2, 8), 32, 22, 1, false);
        decode(kernel, type, tolerance, new AttentionShape(8, 1, 2, 2, 16), 32, 40, 1, false);
        decode(kernel, type, tolerance, new AttentionShape(9, 1, 6, 1, 12), 10, 14, 3, true);
        decode(kernel, type, tolerance, new AttentionShape(21, 1, 2, 1, 36), 72, 48, 4, true);
        decode(kernel, type, tolerance, new AttentionShape(2, 1, 3, 3, 76), 30, 64, 5, true);
        decode(kernel, type, tolerance, new AttentionShape(2, 1, 3, 3, 4), 11, 9, 2, true); // odd: not in pairs
    }

    private static void decode(
            TransformerKernel kernel,
            DataType type,
            double tolerance,
            AttentionShape sizes,
            int width,
            int feedForward,
            int conditionTokens,
            boolean masked) {
        Random random = new Random(width);
        int batch = (int) sizes.batch();
        int t = conditionTokens + GRID.tokens() - 1;
        Block block = new Block(type, sizes, width, feedForward, random);
        double[][] mask = new double[batch][conditionTokens];
        double[][][] x = new double[batch][][];
        double[][][] expected = new double[batch][][];
        for (int b = 0; b < batch; b++) {
            mask[b] = random.doubles(conditionTokens).map(Math::round).toArray();
            x[b] = random(t, width, random);
            expected[b] = block.decode(x[b], conditionTokens, masked ? mask[b] : null);
        }
        try (KeyValueCache cache = new KeyValueCache(type, batch, sizes.keyValueHeads(), t, sizes.headWidth())) {
            cache.hideCondition(masked ? Nd4j.createFromArray(mask) : null);
            RotaryTable rotary = new RotaryTable(GRID, conditionTokens, sizes.headWidth(), BASE, type);
            INDArray all = Nd4j.createFromArray(x).castTo(type);
            for (int from = 0; from < t; ) {
                int to = Math.min(t, from + (from == 0 ? conditionTokens : 1 + random.nextInt(3) / 2));
                INDArray next = all.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all())
                        .dup('c')
                        .reshape('c', (long) batch * (to - from), width);
                INDArray out = nan(type, next.shape());
                kernel.decode(
                        block.parameters,
                        new AttentionShape(batch, to - from, sizes.heads(), sizes.keyValueHeads(), sizes.headWidth()),
                        next,
                        rotary,
                        cache,
                        shape -> nan(type, shape),
                        out);
                for (int row = 0; row < out.rows(); row++) {
                    int b = row / (to - from);
                    int p = from + row % (to - from);
                    assertArrayEquals(
                            expected[b][p],
                            out.getRow(row).castTo(DataType.DOUBLE).toDoubleVector(),
                            tolerance,
                            sizes + ", example " + b + ", position " + p);
                }
                from = to;
            }
            assertEquals(t, cache.length());
        }
    }

    private static INDArray nan(DataType type, long... shape) {
        return Nd4j.valueArrayOf(shape, Double.NaN, type);
    }

    @ParameterizedTest
    @MethodSource("kernels")
    void linearOfFewRowsAsPlainLoops(TransformerKernel kernel, DataType type, double tolerance) {
        int[][] sizes = {
            {1, 1, 1},
            {1, 2, 1},
            {1, 768, 9},
            {2, 6, 17},
            {7, 33, 5},
            {8, 64, 200},
            {9, 10, 8},
            {16, 4, 7},
            {33, 130, 70},
            {140, 6, 12}
        };
        for (int[] s : sizes) {
            Random random = new Random(s[0]);
            double[][] x = random(s[0], s[1], random);
            double[][] w = random(s[1], s[2], random);
            INDArray y = nan(type, s[0], s[2]);
            kernel.linearOfFewRows(Nd4j.createFromArray(x).castTo(type), weight(w, type), y);
            double[][] expected = product(x, w);
            for (int r = 0; r < s[0]; r++) {
                double[] row = y.getRow(r).castTo(DataType.DOUBLE).toDoubleVector();
                assertArrayEquals(expected[r], row, tolerance, r + " of " + s[0] + " x " + s[1] + " x " + s[2]);
            }
        }
    }

    /** To the last bit: a row's result is that of the row alone, and the same every time. */
    @ParameterizedTest
    @CsvSource({"1", "2", "5", "8", "9", "16", "31", "64"})
    void rowsDoNotDependOnEachOther(int rows) {
        Random random = new Random(rows);
        INDArray x = Nd4j.createFromArray(random(rows, 48, random)).castTo(DataType.FLOAT);
        INDArray w = weight(random(48, 37, random), DataType.FLOAT);
        INDArray together = nan(DataType.FLOAT, rows, 37);
        VECTOR.linearOfFewRows(x, w, together);
        INDArray again = nan(DataType.FLOAT, rows, 37);
        VECTOR.linearOfFewRows(x, w, again);
        assertEquals(together, again);
        for (int r = 0; r < rows; r++) {
            INDArray alone = nan(DataType.FLOAT, 1, 37);
            VECTOR.linearOfFewRows(x.getRow(r, true).dup('c'), w, alone);
            assertArrayEquals(together.getRow(r).toFloatVector(), alone.toFloatVector());
        }
    }

    /** One operation after the other gives what the fused block gives. */
    @Test
    void cachedAttentionAsNd4j() {
        AttentionShape shape = new AttentionShape(3, 2, 4, 2, 20);
        RotaryTable rotary = new RotaryTable(GRID, 2, 20, BASE, DataType.FLOAT);
        INDArray seen = Nd4j.createFromArray(new double[][] {{0, 1}, {1, 1}, {0, 0}});
        List<INDArray> results = new ArrayList<>();
        for (TransformerKernel kernel : List.of(Nd4jKernel.INSTANCE, VECTOR)) {
            Nd4j.getRandom().setSeed(3);
            try (KeyValueCache cache = new KeyValueCache(DataType.FLOAT, 3, 2, 36, 20)) {
                cache.hideCondition(seen);
                INDArray last = null;
                for (int i = 0; i < 18; i++) {
                    INDArray qkv = Nd4j.randn(DataType.FLOAT, 6, 160);
                    last = nan(DataType.FLOAT, 6, 80);
                    kernel.cachedAttention(shape, qkv, rotary, cache, s -> nan(DataType.FLOAT, s), last);
                }
                results.add(last);
            }
        }
        assertArrayEquals(
                results.get(0).reshape(480).toFloatVector(),
                results.get(1).reshape(480).toFloatVector(),
                1e-5f);
    }

    @Test
    void aCacheServesOneKernel() {
        AttentionShape shape = new AttentionShape(1, 1, 1, 1, 4);
        RotaryTable rotary = new RotaryTable(GRID, 1, 4, BASE, DataType.FLOAT);
        INDArray out = Nd4j.create(DataType.FLOAT, 1, 4);
        Allocator scratch = sizes -> Nd4j.create(DataType.FLOAT, sizes);
        try (KeyValueCache cache = new KeyValueCache(DataType.FLOAT, 1, 1, 35, 4)) {
            VECTOR.cachedAttention(shape, Nd4j.ones(DataType.FLOAT, 1, 12), rotary, cache, scratch, out);
            INDArray next = Nd4j.ones(DataType.FLOAT, 1, 12);
            Exception refused = assertThrows(
                    IllegalStateException.class,
                    () -> Nd4jKernel.INSTANCE.cachedAttention(shape, next, rotary, cache, scratch, out));
            assertEquals(
                    "The positions of a key/value cache must come from one kernel, but these come from two."
                            + " Call clear() first",
                    refused.getMessage());
            cache.clear();
            Nd4jKernel.INSTANCE.cachedAttention(shape, Nd4j.ones(DataType.FLOAT, 1, 12), rotary, cache, scratch, out);
            assertEquals(1, cache.length());
        }
    }
}
