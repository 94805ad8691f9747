package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.FrozenVertex;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.misc.FrozenLayer;
import org.deeplearning4j.nn.conf.layers.recurrent.Bidirectional;
import org.deeplearning4j.nn.conf.layers.recurrent.LastTimeStep;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.ClassPrefix;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.SkipPositions;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.schedule.TokenNetworks.Kind;

class TrainingCostTest {
    private static final PatchStages STAGES = PatchStages.parse("4:1,2:3,1:5");
    private static final int LSTM_WEIGHTS = 4 * TokenNetworks.HIDDEN * (TokenNetworks.WIDTH + TokenNetworks.HIDDEN);
    private static final int OUTPUT_WEIGHTS = TokenNetworks.HIDDEN * TokenNetworks.CLASSES;

    @ParameterizedTest
    @EnumSource
    void countsLstmsByHand(Kind kind) {
        Model model = TokenNetworks.network(kind);
        TrainingCost cost = TrainingCost.of(model, STAGES, 12);
        // the head behind the pooling has one position whatever p is
        double p4 = 12 * 6.0 * (LSTM_WEIGHTS + OUTPUT_WEIGHTS);
        double p2 = 12 * 6.0 * (4 * LSTM_WEIGHTS + OUTPUT_WEIGHTS);
        double p1 = 12 * 6.0 * (16 * LSTM_WEIGHTS + OUTPUT_WEIGHTS);
        assertEquals(
                List.of(
                        new TrainingCost.StageCost(4, 1, 12, p4),
                        new TrainingCost.StageCost(2, 2, 2 * 12 * 4, 2 * p2),
                        new TrainingCost.StageCost(1, 2, 2 * 12 * 16, 2 * p1)),
                cost.stages());
        assertEquals(12 + 96 + 384, cost.positions());
        assertEquals(5 * 12 * 16, cost.nextTokenPositions());
        assertEquals(p4 + 2 * p2 + 2 * p1, cost.operations());
        assertEquals((p4 + 2 * p2 + 2 * p1) / 1e9, cost.gflop());
        assertEquals(5 * p1, cost.nextTokenOperations());
        assertEquals(5 * p1 / 1e9, cost.nextTokenGflop());
        assertEquals(STAGES.relativeTokens(TokenNetworks.GRID), cost.relativeTokens(), 1e-15);
        assertEquals((p4 + 2 * p2 + 2 * p1) / (5 * p1), cost.relativeOperations(), 1e-15);
        // what was counted has not changed the network
        assertEquals(TokenNetworks.network(kind).params(), model.params());
        TokenNetworks.fit(model, TokenNetworks.batch(1));
    }

    @Test
    void countsBatchesOfStagesInIterations() {
        Model model = TokenNetworks.network(Kind.GRAPH);
        TrainingCost epochs = TrainingCost.of(model, STAGES, 12);
        TrainingCost iterations = TrainingCost.of(model, PatchStages.parse("4:3it,2:9it,1:15it"), 4);
        assertEquals(epochs.operations(), iterations.operations());
        assertEquals(epochs.positions(), iterations.positions());
    }

    @Test
    void countsDenseLayersOnBothSidesOfThePatches() {
        // [B, 16, 5] -> 6 -> patches -> 7 -> 3, each weight once a position
        MultiLayerConfiguration network = TokenNetworks.settings(new Adam(0.01))
                .list()
                .layer(TokenNetworks.embedding())
                .layer(new DenseLayer.Builder().nIn(5).nOut(6).build())
                .layer(new DenseLayer.Builder().nIn(6).nOut(7).build())
                .layer(new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                        .nIn(7)
                        .nOut(3)
                        .build())
                .inputPreProcessor(2, new PatchAverage(TokenNetworks.GRID, 1, RNNFormat.NWC))
                .build();
        TrainingCost cost = TrainingCost.of(network, STAGES, 1);
        double before = 16 * 30;
        double behind = 42 + 21;
        assertEquals(6 * (before + behind), cost.stages().get(0).operations());
        assertEquals(6 * 2 * (before + 4 * behind), cost.stages().get(1).operations());
        assertEquals(6 * 5 * (before + 16 * behind), cost.nextTokenOperations());
    }

    @Test
    void looksInsideWrappers() {
        NeuralNetConfiguration.Builder settings = TokenNetworks.settings(new Adam(0.01));
        ComputationGraphConfiguration graph = settings.graphBuilder()
                .addInputs("tokens")
                .addLayer("embedding", new FrozenLayer(TokenNetworks.embedding()), "tokens")
                .addVertex(
                        "patches",
                        new FrozenVertex(
                                new PreprocessorVertex(new PatchAverage(TokenNetworks.GRID, 1, RNNFormat.NWC))),
                        "embedding")
                .addLayer("both", new Bidirectional(Bidirectional.Mode.ADD, TokenNetworks.lstm()), "patches")
                .addLayer(
                        "last",
                        new LastTimeStep(new LSTM.Builder().nIn(7).nOut(7).build()),
                        "both")
                .addLayer("output", TokenNetworks.output(), "last")
                .setOutputs("output")
                .build();
        TrainingCost cost = TrainingCost.of(graph, PatchStages.parse("1:1"), 1);
        assertEquals(6 * (16 * (2 * LSTM_WEIGHTS + 4 * 7 * 14) + OUTPUT_WEIGHTS), cost.operations());
    }

    @Test
    void countsAttention() {
        TrainingCost cost = TrainingCost.of(transformer(2), PatchStages.parse("2:1,1:2"), 1);
        // two blocks: qkv and output 4 D D, feed-forward 3 D F for each position; 4 T T D for the attention
        double matrices = 2.0 * (4 * 8 * 8 + 3 * 8 * 16);
        double head = 2.0 * 8 * 7;
        double p2 = 2 * (4 * matrices + 4 * 4 * 4 * 8) + 4 * head;
        double p1 = 2 * (16 * matrices + 4 * 16 * 16 * 8) + 16 * head;
        assertEquals(3 * p2, cost.stages().get(0).operations());
        assertEquals(3 * p1, cost.stages().get(1).operations());
        assertEquals((p2 + p1) / (2 * p1), cost.relativeOperations(), 1e-15);
        // attention grows with the square of the length, so coarse stages save more than their tokens
        assertTrue(cost.relativeOperations() < cost.relativeTokens());
    }

    /** C condition positions make sequences of C + k - 1; the head has k again. */
    @Test
    void countsConditionsOfSeveralPositions() {
        TokenGrid grid = TokenNetworks.GRID;
        int c = 3;
        ComputationGraphConfiguration graph = TokenNetworks.settings(new Adam(0.01))
                .graphBuilder()
                .addInputs("tokens", "captions")
                .setInputTypes(InputType.feedForward(grid.tokens()), InputType.recurrent(5, c, RNNFormat.NWC))
                .addLayer("tokenEmbedding", new TokenEmbedding.Builder(7, 8).build(), "tokens")
                .addLayer("captionEmbedding", new CaptionEmbedding.Builder(c, 5, 8).build(), "captions")
                .addVertex("patches", new PreprocessorVertex(new PatchAverage(grid, 1)), "tokenEmbedding")
                .addVertex("sequence", new ClassPrefix(), "captionEmbedding", "patches")
                .addLayer(
                        "block",
                        new TransformerBlock.Builder(grid, 2, 16)
                                .conditionTokens(c)
                                .build(),
                        "sequence")
                .addLayer("norm", new RmsNorm.Builder().build(), new SkipPositions(c - 1), "block")
                .addLayer(
                        "head",
                        new DenseLayer.Builder().nIn(8).nOut(7).hasBias(false).build(),
                        "norm")
                .setOutputs("head")
                .validateOutputLayerConfig(false)
                .build();
        TrainingCost cost = TrainingCost.of(graph, PatchStages.parse("2:1,1:2"), 10);
        double captions = 2.0 * c * (5 * 8 + 8 * 8);
        double matrices = 2.0 * (4 * 8 * 8 + 3 * 8 * 16);
        double head = 2.0 * 8 * 7;
        double p2 = captions + 6 * matrices + 4 * 6 * 6 * 8 + 4 * head;
        double p1 = captions + 18 * matrices + 4 * 18 * 18 * 8 + 16 * head;
        assertEquals(10 * 3 * p2, cost.stages().get(0).operations());
        assertEquals(10 * 3 * p1, cost.stages().get(1).operations());
        assertEquals(10 * 6, cost.stages().get(0).positions());
        assertEquals(10 * 18, cost.stages().get(1).positions());
    }

    private static ComputationGraphConfiguration transformer(int blocks) {
        TokenGrid grid = TokenNetworks.GRID;
        ComputationGraphConfiguration.GraphBuilder builder = TokenNetworks.settings(new Adam(0.01))
                .graphBuilder()
                .addInputs("tokens", "classes")
                .setInputTypes(InputType.feedForward(grid.tokens()), InputType.feedForward(1))
                .addLayer("tokenEmbedding", new TokenEmbedding.Builder(7, 8).build(), "tokens")
                .addLayer("classEmbedding", TokenEmbedding.ofClasses(3, 8, 0).build(), "classes")
                .addVertex("patches", new PreprocessorVertex(new PatchAverage(grid, 1)), "tokenEmbedding")
                .addVertex("sequence", new ClassPrefix(), "classEmbedding", "patches");
        String last = "sequence";
        for (int i = 0; i < blocks; i++) {
            builder.addLayer("block" + i, new TransformerBlock.Builder(grid, 2, 16).build(), last);
            last = "block" + i;
        }
        return builder.addLayer("norm", new RmsNorm.Builder().build(), last)
                .addLayer(
                        "head",
                        new DenseLayer.Builder().nIn(8).nOut(7).hasBias(false).build(),
                        "norm")
                .setOutputs("head")
                .validateOutputLayerConfig(false)
                .build();
    }

    @ParameterizedTest
    @CsvSource({"2, 0.625", "3, 0.578125", "4, 0.572343"})
    void givesThePublishedTokenCosts(int level, double share) {
        TokenGrid grid = TokenGrid.of(16, 16);
        MultiLayerConfiguration network = TokenNetworks.settings(new Adam(0.01))
                .list()
                .layer(TokenNetworks.lstm())
                .layer(TokenNetworks.output())
                .inputPreProcessor(0, new PatchAverage(grid, 1, RNNFormat.NWC))
                .build();
        TrainingCost cost = TrainingCost.of(network, PatchStages.ofEpochs(300, 0.5, level), 1_281_167);
        assertEquals(share, cost.relativeTokens(), 1e-6);
        assertEquals(cost.relativeTokens(), cost.relativeOperations(), 1e-12);
        assertEquals(300L * 1_281_167 * 256, cost.nextTokenPositions());
    }

    @Test
    void refusesBadInput() {
        Model model = TokenNetworks.network(Kind.GRAPH);
        refused("at least 1 example in an epoch or batch, got 0", () -> TrainingCost.of(model, STAGES, 0));
        refused(
                "Stage 1 of 1 (3:2) does not fit: patch side 3",
                () -> TrainingCost.of(model, PatchStages.parse("3:2"), 1));
        MultiLayerConfiguration plain = TokenNetworks.settings(new Adam(0.01))
                .list()
                .layer(TokenNetworks.output())
                .build();
        refused("has no PatchAverage", () -> TrainingCost.of(plain, STAGES, 1));
        refused(
                "Only ComputationGraph and MultiLayerNetwork are supported, got null",
                () -> TrainingCost.of((Model) null, STAGES, 1));
    }

    private static void refused(String message, Executable call) {
        String actual = assertThrows(IllegalArgumentException.class, call).getMessage();
        assertTrue(actual.contains(message), actual);
    }
}
