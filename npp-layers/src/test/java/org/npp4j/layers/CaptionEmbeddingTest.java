package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.learning.config.Sgd;
import org.npp4j.layers.impl.CaptionEmbeddingImpl;

class CaptionEmbeddingTest {
    private static final int TOKENS = 3;
    private static final int CAPTION_WIDTH = 5;
    private static final int WIDTH = 8;

    private static CaptionEmbedding.Builder builder() {
        return new CaptionEmbedding.Builder(TOKENS, CAPTION_WIDTH, WIDTH);
    }

    /** gelu(x W1) W2 in plain loops. */
    private static double[][][] naive(double[][][] x, Layer layer) {
        double[][] in = layer.getParam(CaptionEmbedding.IN_WEIGHT)
                .castTo(DataType.DOUBLE)
                .toDoubleMatrix();
        double[][] out = layer.getParam(CaptionEmbedding.OUT_WEIGHT)
                .castTo(DataType.DOUBLE)
                .toDoubleMatrix();
        double[][][] y = new double[x.length][x[0].length][out[0].length];
        for (int b = 0; b < x.length; b++) {
            for (int t = 0; t < x[b].length; t++) {
                for (int h = 0; h < out.length; h++) {
                    double a = 0;
                    for (int i = 0; i < in.length; i++) {
                        a += x[b][t][i] * in[i][h];
                    }
                    double gelu = 0.5 * a * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (a + 0.044715 * a * a * a)));
                    for (int d = 0; d < out[h].length; d++) {
                        y[b][t][d] += gelu * out[h][d];
                    }
                }
            }
        }
        return y;
    }

    @RepeatedTest(10)
    void matchesLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int tokens = 1 + random.nextInt(4);
        int captionWidth = 1 + random.nextInt(6);
        int width = 1 + random.nextInt(6);
        int batch = 1 + random.nextInt(3);
        CaptionEmbedding embedding = new CaptionEmbedding.Builder(tokens, captionWidth, width).build();
        double[][][] x = SingleLayer.values(random, batch, tokens, captionWidth);
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            Layer layer = SingleLayer.of(embedding, type, 3);
            double tolerance = type == DataType.DOUBLE ? 1e-13 : 1e-5;
            for (char order : new char[] {'c', 'f'}) {
                for (boolean training : new boolean[] {true, false}) {
                    INDArray out = SingleLayer.forward(
                            layer, Nd4j.createFromArray(x).castTo(type).dup(order), training);
                    assertEquals(type, out.dataType());
                    assertEquals(0, SingleLayer.largestDifference(naive(x, layer), out), tolerance);
                }
            }
        }
    }

    /** The same draws as the layer's say which examples it replaces. */
    @Test
    void replacesWholeCaptionsInTraining() {
        Layer layer = SingleLayer.of(builder().dropout(0.4).build(), DataType.DOUBLE, 1);
        double[][] unconditional =
                layer.getParam(CaptionEmbedding.UNCONDITIONAL).toDoubleMatrix();
        double[][][] x = SingleLayer.values(new Random(2), 50, TOKENS, CAPTION_WIDTH);
        INDArray input = Nd4j.createFromArray(x);
        Nd4j.getRandom().setSeed(9);
        double[] chance = Nd4j.rand(DataType.DOUBLE, 50).data().asDouble();
        int replaced = 0;
        double[][][] changed = x.clone();
        for (int b = 0; b < 50; b++) {
            if (chance[b] < 0.4) {
                changed[b] = unconditional;
                replaced++;
            }
        }
        assertTrue(replaced > 8 && replaced < 32, replaced + " of 50");
        Nd4j.getRandom().setSeed(9);
        assertEquals(
                0,
                SingleLayer.largestDifference(naive(changed, layer), SingleLayer.forward(layer, input, true)),
                1e-13);
        assertEquals(Nd4j.createFromArray(x), input, "the caller's captions changed");
        assertEquals(
                0, SingleLayer.largestDifference(naive(x, layer), SingleLayer.forward(layer, input, false)), 1e-13);
    }

    @Test
    void maskedVectorsCountAsZeroButNotInTheUnconditionalCaption() {
        Layer layer = SingleLayer.of(builder().dropout(0.5).build(), DataType.DOUBLE, 1);
        double[][][] x = SingleLayer.values(new Random(2), 2, TOKENS, CAPTION_WIDTH);
        INDArray input = Nd4j.createFromArray(x);
        INDArray mask = Nd4j.createFromArray(new float[][] {{0, 1, 1}, {0, 0, 1}});
        layer.setMaskArray(mask);
        x[0][0] = new double[CAPTION_WIDTH];
        x[1][0] = new double[CAPTION_WIDTH];
        x[1][1] = new double[CAPTION_WIDTH];
        assertEquals(
                0, SingleLayer.largestDifference(naive(x, layer), SingleLayer.forward(layer, input, false)), 1e-13);
        long seed = 1;
        double[] chance;
        do {
            Nd4j.getRandom().setSeed(++seed);
            chance = Nd4j.rand(DataType.DOUBLE, 2).data().asDouble();
        } while (!(chance[0] >= 0.5 && chance[1] < 0.5));
        Nd4j.getRandom().setSeed(seed);
        x[1] = layer.getParam(CaptionEmbedding.UNCONDITIONAL).toDoubleMatrix();
        assertEquals(0, SingleLayer.largestDifference(naive(x, layer), SingleLayer.forward(layer, input, true)), 1e-13);
    }

    @Test
    void theUnconditionalCaptionCanBeTheInput() {
        CaptionEmbeddingImpl layer =
                (CaptionEmbeddingImpl) SingleLayer.of(builder().build(), DataType.FLOAT, 1);
        INDArray caption = layer.getParam(CaptionEmbedding.UNCONDITIONAL);
        INDArray captions = layer.unconditionalCaptions(2);
        assertEquals(
                caption.reshape(1, TOKENS, CAPTION_WIDTH), captions.slice(1).reshape(1, TOKENS, CAPTION_WIDTH));
        captions.assign(0);
        assertNotEquals(0, caption.amaxNumber().doubleValue());
    }

    /** A norm before the captions sees the gradient of the input. */
    private static ComputationGraph graph(CaptionEmbedding.Builder captions, IUpdater updater, TokenGrid grid, int p) {
        int positions = grid.ofPatches(p).tokens();
        return TransformerGraphs.initialised(new NeuralNetConfiguration.Builder()
                .seed(1)
                .dataType(DataType.DOUBLE)
                .updater(updater)
                .weightInit(new NormalDistribution(0, 0.3))
                .graphBuilder()
                .addInputs("tokens", "captions")
                .setInputTypes(
                        InputType.feedForward(grid.tokens()), InputType.recurrent(CAPTION_WIDTH, TOKENS, RNNFormat.NWC))
                .addLayer("tokenEmbedding", new TokenEmbedding.Builder(7, WIDTH).build(), "tokens")
                .addLayer("captionNorm", new RmsNorm.Builder().build(), "captions")
                .addLayer("captionEmbedding", captions.build(), "captionNorm")
                .addVertex(
                        "patches",
                        new org.deeplearning4j.nn.conf.graph.PreprocessorVertex(new PatchAverage(grid, p)),
                        "tokenEmbedding")
                .addVertex("sequence", new ClassPrefix(), "captionEmbedding", "patches")
                .addLayer(
                        "block",
                        new TransformerBlock.Builder(grid, 2, 6)
                                .conditionTokens(TOKENS)
                                .build(),
                        "sequence")
                .addLayer("norm", new RmsNorm.Builder().build(), new SkipPositions(TOKENS - 1), "block")
                .addVertex("flat", new ReshapeVertex('c', new int[] {-1, positions * WIDTH}, null), "norm")
                .addLayer(
                        "out", TransformerGraphs.output().nIn(positions * WIDTH).build(), "flat")
                .setOutputs("out")
                .build());
    }

    private static MultiDataSet data(TokenGrid grid, INDArray captionMask) {
        Nd4j.getRandom().setSeed(3);
        return new MultiDataSet(
                new INDArray[] {
                    TransformerGraphs.ids(4, grid.tokens(), 7, 5).castTo(DataType.DOUBLE),
                    Nd4j.randn(DataType.DOUBLE, 4, TOKENS, CAPTION_WIDTH)
                },
                new INDArray[] {Nd4j.randn(DataType.DOUBLE, 4, TransformerGraphs.OUTPUTS)},
                captionMask == null ? null : new INDArray[] {null, captionMask},
                null);
    }

    @ParameterizedTest
    @CsvSource({"0, 1, false, false", "0.5, 1, true, false", "0.5, 2, true, true", "0.5, 1, false, true"})
    void gradientsMatchNumericalOnes(double dropout, int p, boolean learn, boolean padded) {
        TokenGrid grid = TokenGrid.of(2, 4);
        INDArray mask = Nd4j.createFromArray(new double[][] {{1, 1, 1}, {0, 0, 1}, {0, 1, 1}, {0, 1, 1}});
        ComputationGraph graph = graph(builder().dropout(dropout).learnUnconditional(learn), new NoOp(), grid, p);
        MultiDataSet data = data(grid, padded ? mask : null);
        if (learn || dropout == 0) {
            NumericalGradients.check(graph, data, 6, () -> Nd4j.getRandom().setSeed(78));
        }
        graph.setInputs(data.getFeatures());
        graph.setLabels(data.getLabels());
        graph.setLayerMaskArrays(data.getFeaturesMaskArrays(), null);
        Nd4j.getRandom().setSeed(78);
        graph.computeGradientAndScore();
        double largest = graph.gradient()
                .getGradientFor("captionEmbedding_" + CaptionEmbedding.UNCONDITIONAL)
                .amaxNumber()
                .doubleValue();
        assertEquals(learn && dropout > 0, largest > 0);
    }

    @ParameterizedTest
    @CsvSource({"false", "true"})
    void onlyALearntUnconditionalCaptionMovesAndDecays(boolean learn) {
        TokenGrid grid = TokenGrid.of(2, 2);
        double rate = 0.1;
        CaptionEmbedding.Builder captions = builder().learnUnconditional(learn);
        captions.weightDecay(0.5, true);
        ComputationGraph graph = graph(captions, new Sgd(rate), grid, 1);
        String key = "captionEmbedding_" + CaptionEmbedding.UNCONDITIONAL;
        INDArray before = graph.getParam(key).dup();
        INDArray weight =
                graph.getParam("captionEmbedding_" + CaptionEmbedding.IN_WEIGHT).dup();
        graph.fit(data(grid, null));
        // no caption is replaced here, so a learnt one has no gradient and only decays
        INDArray expected = learn ? before.mul(1 - rate * 0.5) : before;
        assertTrue(expected.equalsWithEps(graph.getParam(key), 1e-14));
        assertNotEquals(weight, graph.getParam("captionEmbedding_" + CaptionEmbedding.IN_WEIGHT));
    }

    @Test
    void parameters() {
        CaptionEmbedding embedding = new CaptionEmbedding.Builder(120, 256, 64).build();
        Layer layer = SingleLayer.of(embedding, DataType.FLOAT, 1);
        INDArray in = layer.getParam(CaptionEmbedding.IN_WEIGHT);
        assertEquals('f', in.ordering());
        assertEquals(0.4, in.stdNumber().doubleValue(), 0.02);
        INDArray unconditional = layer.getParam(CaptionEmbedding.UNCONDITIONAL);
        assertEquals('c', unconditional.ordering());
        assertEquals(1 / 16.0, unconditional.stdNumber().doubleValue(), 0.002);
        assertEquals(0, unconditional.meanNumber().doubleValue(), 0.002);
        assertEquals(256 * 64 + 64 * 64 + 120 * 256, embedding.initializer().numParams(embedding));
        assertFalse(embedding.initializer().isWeightParam(embedding, CaptionEmbedding.UNCONDITIONAL));
        CaptionEmbedding learning = builder().learnUnconditional(true).build();
        assertTrue(learning.initializer().isWeightParam(learning, CaptionEmbedding.UNCONDITIONAL));
        assertEquals(2.0 * 3 * (5 * 8 + 8 * 8), learning.forwardOperations(99));
    }

    @Test
    void refusesWhatCannotWork() {
        assertEquals(
                "CaptionEmbedding needs captions of at least 1 vector, and widths of at least 1, got 0 vectors, caption"
                        + " width 5 and width 8",
                Refusal.ofArgument(() -> new CaptionEmbedding.Builder(0, 5, 8).build()));
        assertEquals(
                "CaptionEmbedding's dropout is the probability of dropping, at least 0 and below 1, got 1.0",
                Refusal.ofArgument(() -> builder().dropout(1)));
        CaptionEmbedding embedding = builder().build();
        String message = Refusal.ofArgument(() -> embedding.getOutputType(0, InputType.recurrent(5, 4, RNNFormat.NWC)));
        assertTrue(message.startsWith("CaptionEmbedding takes captions [batch, 3, 5],"), message);
        message = Refusal.ofArgument(() -> embedding.setNIn(InputType.recurrent(6, 3, RNNFormat.NWC), true));
        assertTrue(message.startsWith("CaptionEmbedding takes captions [batch, 3, 5],"), message);
        assertTrue(Refusal.ofArgument(() -> embedding.getOutputType(0, InputType.feedForward(5)))
                .startsWith("CaptionEmbedding works on sequences"));
        Layer layer = SingleLayer.of(embedding, DataType.FLOAT, 1);
        message = Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.zeros(DataType.FLOAT, 2, 4, 5), false));
        assertTrue(
                message.startsWith("Expected captions [batch, 3, 5], got [2, 4, 5]. Pad or cut each caption"), message);
        SingleLayer.forward(layer, Nd4j.zeros(DataType.FLOAT, 2, 3, 5), false);
        message = Refusal.ofState(
                () -> layer.backpropGradient(Nd4j.zeros(DataType.FLOAT, 2, 3, 8), SingleLayer.NO_WORKSPACES));
        assertTrue(message.startsWith("The backward pass needs the training forward pass"), message);
    }

    @Test
    void equalsAndJson() throws Exception {
        CaptionEmbedding embedding =
                builder().dropout(0.1).learnUnconditional(true).build();
        assertEquals(3, embedding.getTokens());
        assertEquals(0.1, embedding.getDropout());
        assertTrue(embedding.isLearnUnconditional());
        assertEquals(embedding, embedding.clone());
        assertEquals(embedding.hashCode(), embedding.clone().hashCode());
        assertNotEquals(embedding, builder().dropout(0.1).build());
        assertNotEquals(embedding, builder().learnUnconditional(true).build());
        assertNotEquals(
                embedding,
                new CaptionEmbedding.Builder(4, 5, 8)
                        .dropout(0.1)
                        .learnUnconditional(true)
                        .build());
        String json = NeuralNetConfiguration.mapper().writeValueAsString(embedding);
        assertEquals(
                embedding,
                NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.layers.Layer.class));
    }
}
