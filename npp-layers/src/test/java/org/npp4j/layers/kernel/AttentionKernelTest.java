package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.vector.VectorKernel;

/** Attention of every kernel and type against plain loops in double precision. */
class AttentionKernelTest {
    private static final double BASE = 100;
    private static final VectorKernel VECTOR = new VectorKernel();

    private record Form(TransformerKernel kernel, DataType type, double tolerance) {}

    private static final List<Form> FORMS = List.of(
            new Form(Nd4jKernel.INSTANCE, DataType.DOUBLE, 1e-12),
            new Form(Nd4jKernel.INSTANCE, DataType.FLOAT, 1e-5),
            new Form(VECTOR, DataType.FLOAT, 1e-5),
            new Form(VECTOR, DataType.DOUBLE, 1e-12));

    /** One attention with random inputs. */
    private static final class Sample {
        private final AttentionShape shape;
        private final int conditionTokens;
        private final TokenGrid grid;
        private final double[][] q;
        private final double[][] k;
        private final double[][] v;
        private final double[][] dOut;
        private final double[][] seen;

        Sample(AttentionShape shape, int conditionTokens, boolean masked, double scale, long seed) {
            this.shape = shape;
            this.conditionTokens = conditionTokens;
            Random random = new Random(seed);
            // a few columns, and rows enough for all positions
            grid = shape.mask().causal() ? TokenGrid.of((int) shape.positions() / 3 + 1, 3) : null;
            int rows = (int) (shape.batch() * shape.positions());
            q = normal(random, rows, shape.heads() * shape.headWidth(), scale);
            k = normal(random, rows, shape.keyValueHeads() * shape.headWidth(), scale);
            v = normal(random, rows, shape.keyValueHeads() * shape.headWidth(), 1);
            dOut = normal(random, rows, shape.heads() * shape.headWidth(), 1);
            seen = masked ? new double[(int) shape.batch()][conditionTokens] : null;
            for (int b = 0; masked && b < seen.length; b++) {
                for (int c = 0; c < conditionTokens; c++) {
                    seen[b][c] = random.nextInt(2);
                }
            }
        }

        /** Rounded to single precision, so that every kernel starts from the same numbers. */
        private static double[][] normal(Random random, int rows, int columns, double scale) {
            double[][] x = new double[rows][columns];
            for (double[] row : x) {
                for (int i = 0; i < columns; i++) {
                    row[i] = (float) (scale * random.nextGaussian());
                }
            }
            return x;
        }

        /** out, dq, dk, dv. */
        List<double[][]> naive() {
            NaiveAttention naive = new NaiveAttention(shape, grid, conditionTokens, BASE, seen);
            double[][][] gradient = naive.gradient(q, k, v, dOut);
            return List.of(naive.forward(q, k, v), gradient[0], gradient[1], gradient[2]);
        }

        /** out, dq, dk, dv; whatever is to be written holds NaN before. */
        List<INDArray> run(TransformerKernel kernel, DataType type, Allocator kept, Allocator scratch) {
            RotaryTable rotary = grid == null
                    ? RotaryTable.none((int) shape.positions(), shape.headWidth(), type)
                    : new RotaryTable(grid, conditionTokens, shape.headWidth(), BASE, type);
            INDArray out = nan(type, dOut.length, dOut[0].length);
            INDArray[] forward = kernel.attention(
                    shape,
                    array(q, type),
                    array(k, type),
                    array(v, type),
                    seen == null ? null : array(seen, type),
                    rotary,
                    kept,
                    scratch,
                    out);
            INDArray dq = nan(type, q.length, q[0].length);
            INDArray dk = nan(type, k.length, k[0].length);
            INDArray dv = nan(type, v.length, v[0].length);
            INDArray result = out.dup();
            kernel.attentionGradient(shape, forward, rotary, array(dOut, type), scratch, dq, dk, dv);
            return List.of(result, dq, dk, dv);
        }

        List<INDArray> run(TransformerKernel kernel, DataType type) {
            Allocator allocator = sizes -> nan(type, sizes);
            return run(kernel, type, allocator, allocator);
        }
    }

    private static INDArray nan(DataType type, long... sizes) {
        return Nd4j.valueArrayOf(sizes, Double.NaN, type);
    }

    private static INDArray array(double[][] x, DataType type) {
        return Nd4j.createFromArray(x).castTo(type);
    }

    private static void assertMatches(Sample sample) {
        List<double[][]> expected = sample.naive();
        for (Form form : FORMS) {
            List<INDArray> actual = sample.run(form.kernel, form.type);
            for (int i = 0; i < actual.size(); i++) {
                INDArray want = Nd4j.createFromArray(expected.get(i));
                double scale = Math.max(1e-3, want.amaxNumber().doubleValue());
                double[] wanted = want.ravel().toDoubleVector();
                double[] got = actual.get(i).castTo(DataType.DOUBLE).ravel().toDoubleVector();
                for (int j = 0; j < wanted.length; j++) {
                    assertTrue(
                            Math.abs(wanted[j] - got[j]) <= form.tolerance * scale,
                            form + ", array " + i + " at " + j + ": " + wanted[j] + " but " + got[j]);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        // B, T, H, G, E
        "1, 1, 1, 1, 4",
        "2, 1, 2, 1, 64",
        "1, 2, 3, 3, 12",
        "3, 5, 4, 2, 20",
        "2, 6, 2, 2, 48",
        "2, 7, 2, 2, 16",
        "2, 31, 2, 1, 100",
        "1, 33, 6, 2, 64",
        "2, 64, 2, 2, 128",
        "1, 95, 2, 1, 36",
        "2, 97, 2, 2, 8",
        "1, 130, 4, 1, 64",
        "1, 241, 1, 1, 48",
        "12, 3, 12, 12, 4",
    })
    void matchesPlainLoops(int batch, int positions, int heads, int keyValueHeads, int headWidth) {
        assertMatches(new Sample(
                new AttentionShape(batch, positions, heads, keyValueHeads, headWidth), 1, false, 1.5, positions));
    }

    @ParameterizedTest
    @CsvSource({"4, 5, 2, 1, 12", "5, 5, 2, 2, 4", "7, 40, 4, 2, 20", "120, 150, 2, 1, 16"})
    void hidesConditionTokens(int condition, int positions, int heads, int keyValueHeads, int headWidth) {
        assertMatches(new Sample(
                new AttentionShape(3, positions, heads, keyValueHeads, headWidth), condition, true, 1.5, positions));
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void randomShapes(long seed) {
        Random random = new Random(seed);
        int keyValueHeads = 1 + random.nextInt(3);
        AttentionShape shape = new AttentionShape(
                1 + random.nextInt(3),
                1 + random.nextInt(120),
                keyValueHeads * (1 + random.nextInt(3)),
                keyValueHeads,
                4 * (1 + random.nextInt(20)));
        int condition = 1 + random.nextInt((int) Math.min(9, shape.positions()));
        assertMatches(new Sample(shape, condition, random.nextBoolean(), 1, seed));
    }

    private static void assertMatches(AttentionMask mask, int length, int heads, int groups, int width, int hidden) {
        AttentionShape shape = new AttentionShape(2, length, heads, groups, width, mask);
        assertMatches(new Sample(shape, hidden, hidden > 1, 1.5, length));
    }

    /** Without rotary positions: the blocks end at, before and behind the ends of tiles. */
    @ParameterizedTest
    @CsvSource({
        "1, 2, 1, 4",
        "4, 16, 64, 16",
        "4, 16, 44, 20",
        "24, 24, 24, 8",
        "96, 96, 48, 12",
        "64, 33, 2, 36",
        "5, 7, 130, 64",
        "130, 1, 1, 4",
        "1, 2, 300, 16",
        "95, 2, 1, 8",
        "64, 64, 64, 16",
        "48, 16, 50, 24",
    })
    void seesBlocks(int first, int second, int third, int width) {
        for (int hidden : new int[] {1, Math.min(4, first)}) {
            for (AttentionMask mask : List.of(
                    AttentionMask.blockCausal(first, second, third),
                    AttentionMask.withinBlocks(first, second, third))) {
                assertMatches(mask, first + second + third, 2, 1, width, hidden);
            }
            assertMatches(AttentionMask.blockCausal(first, second, third), first + second, 3, 3, width, hidden);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14, 15, 16})
    void randomBlocks(long seed) {
        Random random = new Random(seed);
        int[] lengths = random.ints(1 + random.nextInt(6), 1, 70).toArray();
        AttentionMask mask =
                random.nextBoolean() ? AttentionMask.blockCausal(lengths) : AttentionMask.withinBlocks(lengths);
        assertMatches(mask, Arrays.stream(lengths).sum(), 4, 2, 4 * (1 + random.nextInt(20)), 1);
    }

    /** Scores of thousands: one key takes all the weight, and nothing overflows. */
    @Test
    void largeScores() {
        Sample sample = new Sample(new AttentionShape(1, 40, 2, 2, 16), 1, false, 40, 1);
        double[][] expected = sample.naive().get(0);
        List<INDArray> actual = sample.run(VECTOR, DataType.FLOAT);
        assertEquals(
                0,
                actual.get(0).sub(array(expected, DataType.FLOAT)).amaxNumber().doubleValue(),
                2e-3);
        for (INDArray array : actual) {
            assertTrue(Double.isFinite(array.sumNumber().doubleValue()));
        }
    }

    /** Often enough that the JVM has compiled it in between, which must not show. */
    @Test
    void repeatsToTheBit() {
        Sample sample = new Sample(new AttentionShape(2, 100, 2, 1, 20), 3, true, 1, 1);
        List<INDArray> first = sample.run(VECTOR, DataType.FLOAT);
        for (int run = 0; run < 100; run++) {
            List<INDArray> again = sample.run(VECTOR, DataType.FLOAT);
            for (int i = 0; i < first.size(); i++) {
                assertArrayEquals(
                        first.get(i).ravel().toFloatVector(),
                        again.get(i).ravel().toFloatVector(),
                        0f);
            }
        }
    }

    /** However the work is divided among threads: a small batch has its queries divided, a large one has not. */
    @Test
    void anExampleDoesNotDependOnItsBatch() {
        int positions = 230;
        int batch = 64;
        Sample many = new Sample(new AttentionShape(batch, positions, 1, 1, 12), 1, false, 1, 1);
        Sample one = new Sample(new AttentionShape(1, positions, 1, 1, 12), 1, false, 1, 1);
        for (double[][][] pair :
                new double[][][][] {{many.q, one.q}, {many.k, one.k}, {many.v, one.v}, {many.dOut, one.dOut}}) {
            System.arraycopy(pair[0], 0, pair[1], 0, positions);
        }
        List<INDArray> ofMany = many.run(VECTOR, DataType.FLOAT);
        List<INDArray> ofOne = one.run(VECTOR, DataType.FLOAT);
        for (int i = 0; i < ofOne.size(); i++) {
            float[] together = ofMany.get(i).ravel().toFloatVector();
            float[] alone = ofOne.get(i).ravel().toFloatVector();
            assertArrayEquals(alone, Arrays.copyOf(together, alone.length));
        }
    }

    /** The tiles are used again: what a diverged network left in them must not reach the next one. */
    @Test
    void forgetsWhatCameBefore() {
        Sample diverged = new Sample(new AttentionShape(4, 200, 2, 2, 128), 1, false, Double.NaN, 1);
        diverged.run(VECTOR, DataType.FLOAT);
        assertMatches(new Sample(new AttentionShape(4, 35, 2, 2, 20), 1, false, 1, 2));
    }

    /** What is kept comes from the allocator for it, and grows with the positions, not with their square. */
    @Test
    void keepsWhatTheGradientNeeds() {
        AttentionShape shape = new AttentionShape(2, 40, 4, 2, 64);
        List<INDArray> kept = new ArrayList<>();
        Sample sample = new Sample(shape, 1, false, 1, 1);
        INDArray[] forward = VECTOR.attention(
                shape,
                array(sample.q, DataType.FLOAT),
                array(sample.k, DataType.FLOAT),
                array(sample.v, DataType.FLOAT),
                null,
                new RotaryTable(sample.grid, 1, 64, BASE, DataType.FLOAT),
                sizes -> {
                    kept.add(nan(DataType.FLOAT, sizes));
                    return kept.get(kept.size() - 1);
                },
                sizes -> {
                    throw new AssertionError("needs no scratch");
                },
                nan(DataType.FLOAT, 80, 256));
        assertEquals(
                List.of(80L * 256, 80L * 128, 80L * 128, 80L * 4),
                kept.stream().map(INDArray::length).toList());
        assertSame(kept.get(0), forward[0]);
        assertSame(kept.get(3), forward[5]);
    }
}
