package org.npp4j.losses;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.Random;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.activations.IActivation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.lossfunctions.ILossFunction;
import org.nd4j.linalg.lossfunctions.impl.LossMCXENT;
import org.nd4j.linalg.lossfunctions.impl.LossSparseMCXENT;
import org.nd4j.serde.json.JsonMappers;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.impl.PatchLosses;
import org.npp4j.losses.impl.PatchTargets;
import org.npp4j.losses.impl.RowOrder;

class PatchCrossEntropyTest {
    private static final IActivation IDENTITY = Activation.IDENTITY.getActivationFunction();
    private static final IActivation SOFTMAX = Activation.SOFTMAX.getActivationFunction();

    /** Random shapes: 2-D grids that need not be square, and sequences; every patch side of each. */
    private static void forRandomShapes(long seed, Consumer<PlainLoop> check) {
        Random random = new Random(seed);
        for (int i = 0; i < 12; i++) {
            int height = i % 3 == 0 ? 1 : 1 + random.nextInt(6);
            int width = 1 + random.nextInt(12);
            for (int p : TokenGrid.of(height, width).patchSides()) {
                check.accept(new PlainLoop(1 + random.nextInt(4), height, width, p, 2 + random.nextInt(9), random));
            }
        }
    }

    private static PatchCrossEntropy lossOf(PlainLoop plain) {
        return plain.height == 1
                ? new PatchCrossEntropy()
                : new PatchCrossEntropy(TokenGrid.of(plain.height, plain.width));
    }

    private static INDArray logits(PlainLoop plain, DataType type, char order) {
        return Nd4j.randn(type, plain.rows(), plain.vocabulary).muli(3).dup(order);
    }

    private static void assertMatrix(double[][] expected, INDArray actual, double tolerance) {
        assertArrayEquals(new long[] {expected.length, expected[0].length}, actual.shape());
        double[][] values = actual.castTo(DataType.DOUBLE).toDoubleMatrix();
        for (int row = 0; row < expected.length; row++) {
            assertArrayEquals(expected[row], values[row], tolerance);
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"FLOAT", "DOUBLE"})
    void equalsPlainLoopsOnRandomShapes(DataType type) {
        double tolerance = type == DataType.DOUBLE ? 1e-10 : 2e-5;
        Random random = new Random(5);
        forRandomShapes(1, plain -> {
            if (random.nextBoolean()) {
                plain.mask(random);
            }
            INDArray mask = plain.counted() == plain.batch * plain.tokens() ? null : plain.mask();
            INDArray z = logits(plain, type, random.nextBoolean() ? 'c' : 'f');
            INDArray before = z.dup();
            INDArray labels = plain.labels(random.nextBoolean() ? DataType.INT32 : type);
            ILossFunction loss = lossOf(plain);
            double expected = plain.loss(z, RowOrder.TIME_MAJOR);

            assertEquals(expected, loss.computeScore(labels, z, IDENTITY, mask, true), tolerance);
            assertEquals(
                    plain.rows() * expected,
                    loss.computeScore(labels, z, SOFTMAX, mask, false),
                    plain.rows() * tolerance);
            INDArray rows = loss.computeScoreArray(labels, z, IDENTITY, mask);
            assertArrayEquals(new long[] {plain.rows(), 1}, rows.shape());
            assertArrayEquals(
                    plain.lossOfRows(z, RowOrder.TIME_MAJOR),
                    rows.reshape(rows.length()).toDoubleVector(),
                    tolerance);
            double[][] gradient = plain.gradient(z, RowOrder.TIME_MAJOR);
            assertMatrix(gradient, loss.computeGradient(labels, z, SOFTMAX, mask), tolerance);
            Pair<Double, INDArray> both = loss.computeGradientAndScore(labels, z, IDENTITY, mask, true);
            assertEquals(expected, both.getFirst(), tolerance);
            assertMatrix(gradient, both.getSecond(), tolerance);
            assertEquals(before, z, "the caller's logits stay as they are");
        });
    }

    @Test
    void targetsWorkInBothRowOrders() {
        Random random = new Random(7);
        forRandomShapes(2, plain -> {
            plain.mask(random);
            for (RowOrder order : RowOrder.values()) {
                INDArray z = logits(plain, DataType.DOUBLE, 'c');
                TokenGrid grid = plain.height == 1 ? null : TokenGrid.of(plain.height, plain.width);
                PatchTargets targets = new PatchTargets(
                        plain.labels(DataType.INT64), plain.mask(), grid, plain.rows(), plain.vocabulary, order);
                assertEquals(plain.counted(), targets.counted());
                assertArrayEquals(
                        plain.lossOfExamples(z, order), targets.losses(z).ofExamples(), 1e-10);
                double[][] gradient = plain.gradient(z, order);
                double loss = plain.loss(z, order);
                assertEquals(loss, targets.lossesInPlace(z.dup()).mean(), 1e-10);
                // The view that PatchOutputLayer works on: 'f' memory read as its transpose
                INDArray inPlace = z.transpose().dup('f').transpose();
                PatchLosses losses = targets.replaceByGradient(inPlace);
                assertEquals(loss, losses.mean(), 1e-10);
                assertMatrix(gradient, inPlace.mul(targets.gradientScale()), 1e-10);
            }
        });
    }

    @Test
    void manyRowsAreScoredInBlocks() {
        PlainLoop plain = new PlainLoop(3, 16, 16, 2, 16384, new Random(3));
        INDArray z = Nd4j.randn(DataType.FLOAT, plain.rows(), plain.vocabulary);
        ILossFunction loss = lossOf(plain);
        INDArray labels = plain.labels(DataType.INT32);
        double whole =
                loss.computeGradientAndScore(labels, z, IDENTITY, null, true).getFirst();
        assertEquals(whole, loss.computeScore(labels, z, IDENTITY, null, true), 1e-6);
        assertEquals(whole, loss.computeScore(labels, z.dup('f'), IDENTITY, null, true), 1e-6);
    }

    @Test
    void oneTokenAPatchIsOrdinaryCrossEntropy() {
        PlainLoop plain = new PlainLoop(3, 2, 4, 1, 7, new Random(11));
        INDArray z = logits(plain, DataType.DOUBLE, 'f');
        // Stock losses want one label a row, in the order of the rows.
        INDArray rowLabels = plain.labels(DataType.INT32).transpose().reshape('c', plain.rows(), 1);
        INDArray oneHot = Nd4j.zeros(DataType.DOUBLE, plain.rows(), plain.vocabulary);
        for (int row = 0; row < plain.rows(); row++) {
            oneHot.putScalar(row, rowLabels.getInt(row), 1);
        }
        ILossFunction loss = lossOf(plain);
        INDArray labels = plain.labels(DataType.INT32);
        double score = loss.computeScore(labels, z, SOFTMAX, null, false);

        assertEquals(new LossMCXENT().computeScore(oneHot, z, SOFTMAX, null, false), score, 1e-9);
        assertEquals(new LossSparseMCXENT().computeScore(rowLabels, z, SOFTMAX, null, false), score, 1e-9);
        INDArray stock =
                new LossMCXENT().computeGradient(oneHot, z, SOFTMAX, null).div(plain.positions());
        assertTrue(loss.computeGradient(labels, z, SOFTMAX, null).equalsWithEps(stock, 1e-9));
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"FLOAT", "DOUBLE"})
    void isStableForLogitsFarApart(DataType type) {
        PlainLoop plain = new PlainLoop(2, 4, 4, 2, 6, new Random(13));
        INDArray z = Nd4j.zeros(type, plain.rows(), plain.vocabulary);
        Random random = new Random(17);
        for (int row = 0; row < plain.rows(); row++) {
            for (int v = 0; v < plain.vocabulary; v++) {
                z.putScalar(row, v, (random.nextBoolean() ? 1e4 : -1e4) + random.nextInt(4));
            }
        }
        double expected = plain.loss(z, RowOrder.TIME_MAJOR);
        assertTrue(expected > 1e3);
        assertEquals(
                expected,
                lossOf(plain).computeScore(plain.labels(DataType.INT32), z, IDENTITY, null, true),
                expected * 1e-7);
        assertMatrix(
                plain.gradient(z, RowOrder.TIME_MAJOR),
                lossOf(plain).computeGradient(plain.labels(DataType.INT32), z, IDENTITY, null),
                1e-6);
    }

    @Test
    void notANumberStaysOne() {
        PlainLoop plain = new PlainLoop(1, 2, 2, 2, 3, new Random(1));
        INDArray z = Nd4j.createFromArray(new double[][] {{1, Double.NaN, 2}});
        assertTrue(Double.isNaN(lossOf(plain).computeScore(plain.labels(DataType.INT32), z, IDENTITY, null, true)));
    }

    @Test
    void maskedTokensAreAsGoodAsRemoved() {
        // 1-D, 4 tokens a patch; the second patch loses two tokens, which leaves what two patches of other lengths give
        INDArray labels = Nd4j.createFromArray(new int[][] {{0, 1, 1, 2, 3, 99, -5, 3}});
        INDArray mask = Nd4j.createFromArray(new int[][] {{1, 1, 1, 1, 1, 0, 0, 1}});
        INDArray z = Nd4j.createFromArray(new double[][] {{1, 2, 3, 4}, {.5, -1, 2, 0}});
        PatchCrossEntropy loss = new PatchCrossEntropy();
        double first =
                loss.computeScore(Nd4j.createFromArray(new int[][] {{0, 1, 1, 2}}), z.getRows(0), IDENTITY, null, true);
        double second =
                loss.computeScore(Nd4j.createFromArray(new int[][] {{3, 3}}), z.getRows(1), IDENTITY, null, true);
        assertEquals((4 * first + 2 * second) / 6, loss.computeScore(labels, z, IDENTITY, mask, true), 1e-12);
    }

    @Test
    void masksOfPositionsInEveryShape() {
        PlainLoop plain = new PlainLoop(2, 4, 4, 2, 5, new Random(23));
        int[][] positions = {{1, 0, 1, 1}, {0, 1, 1, 0}};
        int[] rows = new int[8];
        for (int s = 0; s < 2; s++) {
            for (int n = 0; n < 16; n++) {
                plain.mask[s][n] = positions[s][plain.position(n)];
                rows[plain.row(s, n, RowOrder.TIME_MAJOR)] = plain.mask[s][n];
            }
        }
        INDArray z = logits(plain, DataType.DOUBLE, 'c');
        INDArray labels = plain.labels(DataType.INT32);
        double expected = plain.loss(z, RowOrder.TIME_MAJOR);
        ILossFunction loss = lossOf(plain);
        assertEquals(expected, loss.computeScore(labels, z, IDENTITY, Nd4j.createFromArray(positions), true), 1e-12);
        INDArray column = Nd4j.createFromArray(rows).reshape(8, 1);
        assertEquals(expected, loss.computeScore(labels, z, IDENTITY, column, true), 1e-12);
        INDArray bool = column.castTo(DataType.BOOL);
        assertEquals(expected, loss.computeScore(labels, z, IDENTITY, bool, true), 1e-12);
    }

    @Test
    void nothingCountedGivesZero() {
        PlainLoop plain = new PlainLoop(2, 4, 4, 2, 5, new Random(29));
        INDArray z = logits(plain, DataType.FLOAT, 'c');
        INDArray none = Nd4j.zeros(DataType.FLOAT, 2, 16);
        INDArray labels = Nd4j.valueArrayOf(new long[] {2, 16}, -1, DataType.INT32);
        ILossFunction loss = lossOf(plain);
        assertEquals(0, loss.computeScore(labels, z, IDENTITY, none, false));
        assertEquals(
                0, loss.computeGradient(labels, z, IDENTITY, none).amaxNumber().doubleValue());
        assertEquals(
                0,
                loss.computeScoreArray(labels, z, IDENTITY, none).amaxNumber().doubleValue());
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"BYTE", "UBYTE", "SHORT", "INT", "LONG", "HALF", "FLOAT", "DOUBLE"})
    void takesIdsOfEveryNumericTypeAndLayout(DataType type) {
        PlainLoop plain = new PlainLoop(3, 4, 6, 2, 9, new Random(31));
        INDArray z = logits(plain, DataType.DOUBLE, 'c');
        double expected = plain.loss(z, RowOrder.TIME_MAJOR);
        ILossFunction loss = lossOf(plain);
        INDArray ids = plain.labels(type);
        assertEquals(expected, loss.computeScore(ids, z, IDENTITY, null, true), 1e-12);
        assertEquals(expected, loss.computeScore(ids.reshape(3, 1, 24), z, IDENTITY, null, true), 1e-12);
        assertEquals(expected, loss.computeScore(ids.dup('f'), z, IDENTITY, null, true), 1e-12);
        INDArray oneHot = plain.oneHot().castTo(type);
        assertEquals(expected, loss.computeScore(oneHot, z, IDENTITY, null, true), 1e-12);
        assertEquals(expected, loss.computeScore(oneHot.permute(0, 2, 1), z, IDENTITY, null, true), 1e-12);
    }

    @Test
    void gridsAndSequencesGroupOtherwise() {
        PlainLoop plain = new PlainLoop(2, 4, 4, 2, 5, new Random(37));
        INDArray z = logits(plain, DataType.DOUBLE, 'c');
        INDArray labels = plain.labels(DataType.INT32);
        assertNotEquals(
                new PatchCrossEntropy().computeScore(labels, z, IDENTITY, null, true),
                lossOf(plain).computeScore(labels, z, IDENTITY, null, true),
                1e-6);
    }

    @Test
    void badInputIsRefusedByName() {
        INDArray z = Nd4j.zeros(DataType.FLOAT, 8, 5); // 2 examples, 4 patches of a 4 x 4 grid
        int[][] ids = new int[2][16];
        ids[1][6] = 5;
        refused(
                Nd4j.createFromArray(ids),
                null,
                z,
                "The token id 5 of example 1 at token 6",
                "outside the vocabulary [0, 5)");
        ids[1][6] = -1;
        refused(
                Nd4j.createFromArray(ids),
                null,
                z,
                "The token id -1 of example 1 at token 6",
                "outside the vocabulary [0, 5)");

        INDArray real = Nd4j.zeros(DataType.FLOAT, 2, 16);
        real.putScalar(0, 3, 1.5);
        refused(real, null, z, "The token id 1.5 of example 0 at token 3", "not an integer");
        real.putScalar(0, 3, Double.NaN);
        refused(real, null, z, "of example 0 at token 3", "is NaN");
        real.putScalar(0, 3, Double.POSITIVE_INFINITY);
        refused(real, null, z, "The token id Infinity of example 0 at token 3", "outside the vocabulary");

        refused(Nd4j.zeros(2, 15), null, z, "hold 15 tokens an example", "has 16", "height x width");
        refused(Nd4j.zeros(16), null, z, "rank 1", "[batch, tokens]");
        refused(Nd4j.zeros(2, 1, 4, 4), null, z, "rank 4", "[batch, tokens]");
        refused(Nd4j.zeros(2, 3, 16), null, z, "neither token ids nor one-hot", "vocabulary of 5");
        refused(null, null, z, "Labels are missing");
        refused(Nd4j.create(DataType.FLOAT, 0, 16), null, z, "The batch is empty");
        refused(Nd4j.zeros(3, 16), null, z, "8 rows", "no multiple of the 3 examples");
        refused(Nd4j.zeros(1, 16), null, z, "No patch side makes 8 patches of the 4 x 4 token grid");

        INDArray oneHot = Nd4j.zeros(DataType.FLOAT, 2, 5, 16);
        oneHot.get(NDArrayIndex.all(), NDArrayIndex.point(1)).assign(1);
        oneHot.putScalar(1, 4, 7, 1);
        refused(oneHot, null, z, "of example 1 at token 7", "not one-hot");
        oneHot.putScalar(1, 1, 7, 0.5);
        oneHot.putScalar(1, 4, 7, 0.5);
        refused(oneHot, null, z, "of example 1 at token 7", "not one-hot");

        INDArray zeros = Nd4j.zeros(2, 16);
        refused(zeros, Nd4j.ones(2, 15), z, "A mask of shape [2, 15]", "[2, 16] (tokens)", "[8, 1] (positions)");
        refused(zeros, Nd4j.ones(2, 16).mul(0.5), z, "got 0.5");
        refused(zeros, null, Nd4j.zeros(2, 5, 4), "[2, 5, 4]", "PatchOutputLayer");

        IllegalArgumentException uneven = assertThrows(IllegalArgumentException.class, () -> new PatchCrossEntropy()
                .computeScore(Nd4j.zeros(2, 6), z, IDENTITY, null, true));
        assertTrue(uneven.getMessage().contains("4 positions an example, which do not divide the 6 tokens"));
        IllegalArgumentException activation = assertThrows(IllegalArgumentException.class, () -> new PatchCrossEntropy()
                .computeScore(zeros, z, Activation.TANH.getActivationFunction(), null, true));
        assertTrue(activation.getMessage().contains("IDENTITY"), activation.getMessage());
    }

    private static void refused(INDArray labels, INDArray mask, INDArray z, String... parts) {
        PatchCrossEntropy loss = new PatchCrossEntropy(TokenGrid.of(4, 4));
        IllegalArgumentException error = assertThrows(
                IllegalArgumentException.class, () -> loss.computeGradientAndScore(labels, z, IDENTITY, mask, true));
        for (String part : parts) {
            assertTrue(error.getMessage().contains(part), error.getMessage() + " lacks: " + part);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void survivesJsonAndSerialization(boolean withGrid) throws Exception {
        PatchCrossEntropy loss = withGrid ? new PatchCrossEntropy(TokenGrid.of(4, 8)) : new PatchCrossEntropy();
        String json = JsonMappers.getMapper().writeValueAsString(loss);
        assertTrue(json.contains(PatchCrossEntropy.class.getName()));
        assertEquals(loss, JsonMappers.getMapper().readValue(json, ILossFunction.class));

        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(loss);
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertEquals(loss, in.readObject());
        }
        assertEquals(
                loss.hashCode(),
                (withGrid ? new PatchCrossEntropy(TokenGrid.of(4, 8)) : new PatchCrossEntropy()).hashCode());
        assertFalse(loss.equals(new PatchCrossEntropy(TokenGrid.of(8, 4))));
    }
}
