package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.gradient.Gradient;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.ops.transforms.Transforms;

class TokenEmbeddingTest {

    private static TokenEmbedding table(int vocabulary, int width) {
        return new TokenEmbedding.Builder(vocabulary, width).build();
    }

    private static double[][][] rowsOf(INDArray table, int[][] ids) {
        double[][] rows = table.toDoubleMatrix();
        double[][][] out = new double[ids.length][ids[0].length][];
        for (int b = 0; b < ids.length; b++) {
            for (int t = 0; t < ids[b].length; t++) {
                out[b][t] = rows[ids[b][t]].clone();
            }
        }
        return out;
    }

    @RepeatedTest(10)
    void looksRowsUp(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int vocabulary = 1 + random.nextInt(9);
        int batch = 1 + random.nextInt(3);
        int positions = 1 + random.nextInt(6);
        int[][] ids = TransformerGraphs.ids(batch, positions, vocabulary, repetition.getCurrentRepetition())
                .toIntMatrix();
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            Layer layer = SingleLayer.of(table(vocabulary, 1 + random.nextInt(5)), type, 3);
            double[][][] expected = rowsOf(layer.getParam(TokenEmbedding.TABLE), ids);
            for (DataType idType : new DataType[] {DataType.INT32, DataType.INT64, DataType.FLOAT, DataType.DOUBLE}) {
                INDArray input = Nd4j.createFromArray(ids).castTo(idType);
                assertEquals(0, SingleLayer.largestDifference(expected, SingleLayer.forward(layer, input, false)));
                assertEquals(
                        0, SingleLayer.largestDifference(expected, SingleLayer.forward(layer, input.dup('f'), true)));
                assertEquals(
                        0,
                        SingleLayer.largestDifference(
                                expected, SingleLayer.forward(layer, input.reshape('c', batch, 1, positions), true)));
            }
        }
    }

    /** Integers, so that float sums are exact in any order: one lost addition between threads would show. */
    @RepeatedTest(10)
    void gradientsOfRepeatedIdsAddUpExactly(RepetitionInfo repetition) {
        int vocabulary = 11;
        int width = 96;
        int[][] ids = TransformerGraphs.ids(16, 256, vocabulary, repetition.getCurrentRepetition())
                .toIntMatrix();
        for (int b = 0; b < 16; b++) {
            for (int t = 0; t < 256; t += 2) {
                ids[b][t] = 4;
            }
        }
        Layer layer = SingleLayer.of(table(vocabulary, width), DataType.FLOAT, 1);
        SingleLayer.forward(layer, Nd4j.createFromArray(ids), true);
        INDArray epsilon = Nd4j.rand(DataType.FLOAT, 16, 256, width).muli(9);
        epsilon = Transforms.floor(epsilon);
        float[] values = epsilon.data().asFloat();
        double[][] expected = new double[vocabulary][width];
        for (int b = 0; b < 16; b++) {
            for (int t = 0; t < 256; t++) {
                for (int d = 0; d < width; d++) {
                    expected[ids[b][t]][d] += values[(b * 256 + t) * width + d];
                }
            }
        }
        Pair<Gradient, INDArray> back = layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES);
        assertNull(back.getSecond());
        assertEquals(
                Nd4j.createFromArray(expected).castTo(DataType.FLOAT),
                back.getFirst().getGradientFor(TokenEmbedding.TABLE));
        // a second pass starts from zero
        back = layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES);
        assertEquals(
                Nd4j.createFromArray(expected).castTo(DataType.FLOAT),
                back.getFirst().getGradientFor(TokenEmbedding.TABLE));
    }

    @Test
    void gradientsInAnyOrderAndOfViews() {
        int[][] ids = {{0, 2, 2}, {1, 2, 0}};
        Layer layer = SingleLayer.of(table(4, 2), DataType.DOUBLE, 1);
        INDArray epsilon = Nd4j.randn(DataType.DOUBLE, 2, 3, 2);
        double[][] expected = new double[4][2];
        for (int b = 0; b < 2; b++) {
            for (int t = 0; t < 3; t++) {
                for (int d = 0; d < 2; d++) {
                    expected[ids[b][t]][d] += epsilon.getDouble(b, t, d);
                }
            }
        }
        for (INDArray e : List.of(
                epsilon, epsilon.dup('f'), epsilon.permute(0, 2, 1).dup().permute(0, 2, 1))) {
            SingleLayer.forward(layer, Nd4j.createFromArray(ids), true);
            INDArray gradient = layer.backpropGradient(e, SingleLayer.NO_WORKSPACES)
                    .getFirst()
                    .getGradientFor(TokenEmbedding.TABLE);
            assertTrue(Nd4j.createFromArray(expected).equalsWithEps(gradient, 1e-14));
        }
    }

    @Test
    void maskedTokensAreZeroAndTakeNoGradient() {
        int[][] ids = {{0, 1, 1}, {2, 1, 0}};
        double[][] mask = {{1, 0, 1}, {1, 1, 0}};
        Layer layer = SingleLayer.of(table(3, 2), DataType.DOUBLE, 1);
        INDArray maskArray = Nd4j.createFromArray(mask);
        Pair<INDArray, MaskState> passed = layer.feedForwardMaskArray(maskArray, MaskState.Active, 2);
        assertEquals(maskArray, passed.getFirst());
        double[][][] expected = rowsOf(layer.getParam(TokenEmbedding.TABLE), ids);
        expected[0][1] = new double[2];
        expected[1][2] = new double[2];
        INDArray out = SingleLayer.forward(layer, Nd4j.createFromArray(ids), true);
        assertEquals(0, SingleLayer.largestDifference(expected, out));
        INDArray epsilon = Nd4j.ones(DataType.DOUBLE, 2, 3, 2);
        INDArray gradient = layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES)
                .getFirst()
                .getGradientFor(TokenEmbedding.TABLE);
        assertEquals(Nd4j.createFromArray(new double[][] {{1, 1}, {2, 2}, {1, 1}}), gradient);
        assertEquals(Nd4j.ones(DataType.DOUBLE, 2, 3, 2), epsilon, "the gradient changed");
        layer.setMaskArray(null);
        assertEquals(
                0,
                SingleLayer.largestDifference(
                        rowsOf(layer.getParam(TokenEmbedding.TABLE), ids),
                        SingleLayer.forward(layer, Nd4j.createFromArray(ids), true)));
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"INT", "LONG", "FLOAT"})
    void idsOutsideTheVocabularyAreNamed(DataType type) {
        Layer layer = SingleLayer.of(table(5, 2), DataType.FLOAT, 1);
        int[][] ids = {{0, 1, 2}, {3, 4, 5}};
        String message = Refusal.ofArgument(
                () -> SingleLayer.forward(layer, Nd4j.createFromArray(ids).castTo(type), false));
        assertTrue(
                message.startsWith("Token id 5.0 at example 1, position 2 is not a whole number in the vocabulary,"
                        + " 0 .. 4. Check the codes, or the vocabulary size"),
                message);
        ids[1][2] = 0;
        ids[1][0] = -1;
        message = Refusal.ofArgument(
                () -> SingleLayer.forward(layer, Nd4j.createFromArray(ids).castTo(type), true));
        assertTrue(message.startsWith("Token id -1.0 at example 1, position 0 "), message);
    }

    @Test
    void idsThatAreNoWholeNumbersAreNamed() {
        Layer layer = SingleLayer.of(table(5, 2), DataType.FLOAT, 1);
        for (double id : new double[] {0.5, Double.NaN, Double.POSITIVE_INFINITY, 1e20}) {
            String message = Refusal.ofArgument(
                    () -> SingleLayer.forward(layer, Nd4j.createFromArray(new double[][] {{0, 1}, {id, 2}}), false));
            assertTrue(message.startsWith("Token id " + id + " at example 1, position 0 "), message);
        }
    }

    @Test
    void refusesOtherShapes() {
        Layer layer = SingleLayer.of(table(5, 2), DataType.FLOAT, 1);
        String message =
                Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.zeros(DataType.INT32, 2, 3, 4), false));
        assertTrue(
                message.startsWith("Token ids come as [batch, positions] or [batch, 1, positions], got [2, 3, 4]"),
                message);
    }

    @Test
    void backwardNeedsATrainingForwardPass() {
        Layer layer = SingleLayer.of(table(5, 2), DataType.FLOAT, 1);
        SingleLayer.forward(layer, Nd4j.zeros(DataType.INT32, 2, 3), false);
        String message = Refusal.ofState(
                () -> layer.backpropGradient(Nd4j.zeros(DataType.FLOAT, 2, 3, 2), SingleLayer.NO_WORKSPACES));
        assertTrue(message.startsWith("The backward pass needs the training forward pass before it"), message);
    }

    @Test
    void classDropoutReplacesTheRightShare() {
        int draws = 20000;
        double probability = 0.1;
        Layer layer =
                SingleLayer.of(TokenEmbedding.ofClasses(10, 1, probability).build(), DataType.FLOAT, 1);
        INDArray table = layer.getParam(TokenEmbedding.TABLE);
        for (int id = 0; id <= 10; id++) {
            table.putScalar(id, 0, id);
        }
        INDArray classes = TransformerGraphs.ids(draws, 1, 10, 7);
        INDArray out = SingleLayer.forward(layer, classes, true);
        int replaced = 0;
        for (int i = 0; i < draws; i++) {
            if (out.getInt(i, 0, 0) == 10) {
                replaced++;
            } else {
                assertEquals(classes.getInt(i, 0), out.getInt(i, 0, 0));
            }
        }
        // five standard deviations
        assertEquals(probability, (double) replaced / draws, 5 * Math.sqrt(probability * (1 - probability) / draws));
        assertEquals(classes.castTo(DataType.FLOAT).reshape(draws, 1, 1), SingleLayer.forward(layer, classes, false));
    }

    @Test
    void theSeedDecidesWhichIdsAreDropped() {
        Layer layer = SingleLayer.of(TokenEmbedding.ofClasses(10, 3, 0.5).build(), DataType.FLOAT, 1);
        INDArray classes = TransformerGraphs.ids(64, 1, 10, 7);
        Nd4j.getRandom().setSeed(5);
        INDArray first = SingleLayer.forward(layer, classes, true).dup();
        INDArray second = SingleLayer.forward(layer, classes, true).dup();
        Nd4j.getRandom().setSeed(5);
        assertEquals(first, SingleLayer.forward(layer, classes, true));
        assertNotEquals(first, second);
    }

    @Test
    void theGradientOfADroppedIdGoesToItsReplacement() {
        Layer layer = SingleLayer.of(TokenEmbedding.ofClasses(2, 1, 0.5).build(), DataType.DOUBLE, 1);
        INDArray table = layer.getParam(TokenEmbedding.TABLE);
        table.assign(Nd4j.createFromArray(new double[][] {{0}, {1}, {2}}));
        INDArray classes = TransformerGraphs.ids(100, 1, 2, 3);
        INDArray out = SingleLayer.forward(layer, classes, true);
        double[][] count = new double[3][1];
        for (int i = 0; i < 100; i++) {
            count[out.getInt(i, 0, 0)][0]++;
        }
        assertTrue(count[2][0] > 20 && count[0][0] > 10 && count[1][0] > 10);
        INDArray gradient = layer.backpropGradient(Nd4j.ones(DataType.DOUBLE, 100, 1, 1), SingleLayer.NO_WORKSPACES)
                .getFirst()
                .getGradientFor(TokenEmbedding.TABLE);
        assertEquals(Nd4j.createFromArray(count), gradient);
        assertEquals(TransformerGraphs.ids(100, 1, 2, 3), classes, "the input changed");
    }

    @Test
    void parametersAreATableInRowOrder() {
        TokenEmbedding embedding = table(5, 2);
        assertEquals(List.of("table"), embedding.initializer().weightKeys(embedding));
        assertEquals(10, embedding.initializer().numParams(embedding));
        Layer layer = SingleLayer.of(embedding, DataType.FLOAT, 1);
        INDArray table = layer.getParam(TokenEmbedding.TABLE);
        assertArrayEquals(new long[] {5, 2}, table.shape());
        assertArrayEquals(
                table.dup('c').data().asFloat(), layer.params().dup().data().asFloat());
        assertNotEquals(0, table.norm2Number().doubleValue());
    }

    @Test
    void outputTypes() {
        TokenEmbedding embedding = table(5, 2);
        assertEquals(InputType.recurrent(2, 7, RNNFormat.NWC), embedding.getOutputType(0, InputType.feedForward(7)));
        assertEquals(
                InputType.recurrent(2, 7, RNNFormat.NWC),
                embedding.getOutputType(0, InputType.recurrent(1, 7, RNNFormat.NCW)));
        embedding.setNIn(InputType.feedForward(7), true);
        assertEquals(5, embedding.getNIn());
        String message = Refusal.ofArgument(() -> embedding.getOutputType(0, InputType.convolutional(2, 2, 2)));
        assertTrue(
                message.startsWith("TokenEmbedding takes token ids [batch, positions],"
                        + " InputType.feedForward(positions), got"),
                message);
    }

    @Test
    void refusesWhatCannotWork() {
        assertEquals(
                "TokenEmbedding needs a vocabulary and a width of at least 1, got 0 and 2",
                Refusal.ofArgument(() -> table(0, 2)));
        assertEquals(
                "TokenEmbedding needs a vocabulary and a width of at least 1, got 2 and 0",
                Refusal.ofArgument(() -> table(2, 0)));
        assertEquals(
                "TokenEmbedding's dropout is the probability of dropping, at least 0 and below 1, got 1.0",
                Refusal.ofArgument(() -> new TokenEmbedding.Builder(2, 2).dropout(1)));
        assertEquals(
                "The replacement of dropped ids must be in the vocabulary, 0 .. 1, got -1",
                Refusal.ofArgument(
                        () -> new TokenEmbedding.Builder(2, 2).dropout(0.1).build()));
        assertEquals(
                "The replacement of dropped ids must be in the vocabulary, 0 .. 1, got 2",
                Refusal.ofArgument(() -> new TokenEmbedding.Builder(2, 2)
                        .dropout(0.1)
                        .replacement(2)
                        .build()));
        assertEquals(
                "There must be at least one class, got 0",
                Refusal.ofArgument(() -> TokenEmbedding.ofClasses(0, 2, 0.1)));
    }

    @Test
    void equalsAndJson() throws Exception {
        TokenEmbedding embedding = TokenEmbedding.ofClasses(4, 2, 0.25).build();
        assertEquals(5, embedding.getNIn());
        assertEquals(0.25, embedding.getDropout());
        assertEquals(4, embedding.getReplacement());
        assertEquals(embedding, embedding.clone());
        assertEquals(embedding.hashCode(), embedding.clone().hashCode());
        assertNotEquals(embedding, TokenEmbedding.ofClasses(4, 2, 0.5).build());
        assertNotEquals(embedding, TokenEmbedding.ofClasses(4, 3, 0.25).build());
        assertNotEquals(
                embedding,
                new TokenEmbedding.Builder(5, 2).dropout(0.25).replacement(3).build());
        String json = NeuralNetConfiguration.mapper().writeValueAsString(embedding);
        assertEquals(
                embedding,
                NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.layers.Layer.class));
    }
}
