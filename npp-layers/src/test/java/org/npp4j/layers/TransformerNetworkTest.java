package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.BooleanIndexing;
import org.nd4j.linalg.indexing.conditions.Conditions;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.Sgd;

/** Whole networks of transformer layers: training through the stages, saving, cloning, decay. */
class TransformerNetworkTest {
    private static final TokenGrid GRID = TokenGrid.of(4, 4);

    private static TransformerBlock.Builder block(boolean dropouts) {
        TransformerBlock.Builder builder = new TransformerBlock.Builder(GRID, 2, 12).nIn(16);
        if (dropouts) {
            builder.residualDropout(0.1).feedForwardDropout(0.1).pathDropout(0.1);
            builder.dropOut(0.9);
        }
        return builder;
    }

    private static TransformerGraphs graphs(PatchAverage average, DataType type, boolean dropouts) {
        return TransformerGraphs.of(average, block(dropouts), block(dropouts))
                .type(type)
                .classDropout(dropouts ? 0.2 : 0)
                .updater(new Adam(1e-2));
    }

    private static PatchAverage liveAverage(ComputationGraph graph) {
        return (PatchAverage)
                ((PreprocessorVertex) graph.getConfiguration().getVertices().get("patches")).getPreProcessor();
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"FLOAT", "DOUBLE"})
    void computingAgainInsteadOfKeepingChangesNothing(DataType type) {
        Map<Boolean, INDArray> parameters = new HashMap<>();
        for (boolean recompute : new boolean[] {false, true}) {
            ComputationGraph graph = TransformerGraphs.of(
                            new PatchAverage(GRID, 1),
                            block(true).recompute(recompute),
                            block(true).keyValueHeads(1).recompute(recompute))
                    .type(type)
                    .updater(new Adam(1e-2))
                    .pooled();
            Nd4j.getRandom().setSeed(4);
            for (int step = 0; step < 4; step++) {
                graph.fit(TransformerGraphs.data(3, GRID, type, 1));
            }
            parameters.put(recompute, graph.params().dup());
        }
        assertEquals(parameters.get(false), parameters.get(true));
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"FLOAT", "DOUBLE"})
    void workspacesChangeNothingThroughTheStages(DataType type) {
        Map<WorkspaceMode, INDArray> parameters = new HashMap<>();
        for (WorkspaceMode mode : new WorkspaceMode[] {WorkspaceMode.ENABLED, WorkspaceMode.NONE}) {
            PatchAverage average = new PatchAverage(GRID, 4);
            ComputationGraph graph =
                    graphs(average, type, true).workspaces(mode).pooled();
            Nd4j.getRandom().setSeed(4);
            for (int p : new int[] {4, 4, 2, 2, 1, 1, 4, 1}) {
                average.setPatchSide(p);
                graph.fit(TransformerGraphs.data(3, GRID, type, p));
            }
            parameters.put(mode, graph.params().dup());
        }
        assertEquals(parameters.get(WorkspaceMode.ENABLED), parameters.get(WorkspaceMode.NONE));
    }

    @Test
    void stagesLearn() {
        PatchAverage average = new PatchAverage(GRID, 4);
        ComputationGraph graph = graphs(average, DataType.FLOAT, false).pooled();
        MultiDataSet data = TransformerGraphs.data(4, GRID, DataType.FLOAT, 3);
        average.setPatchSide(1);
        double untrained = graph.score(data);
        for (int p : new int[] {4, 2, 1}) {
            average.setPatchSide(p);
            for (int i = 0; i < 15; i++) {
                graph.fit(data);
                assertTrue(Double.isFinite(graph.score()));
            }
        }
        assertFalse(BooleanIndexing.or(graph.params(), Conditions.notFinite()));
        double trained = graph.score(data);
        assertTrue(trained < untrained / 2, "loss " + untrained + " before, " + trained + " after");
    }

    @Test
    void waysToInferAgree() {
        for (int p : GRID.patchSides()) {
            ComputationGraph graph =
                    graphs(new PatchAverage(GRID, p), DataType.FLOAT, false).pooled();
            INDArray[] inputs = TransformerGraphs.inputs(3, GRID, 1, DataType.FLOAT, 2);
            INDArray output = graph.outputSingle(inputs).dup();
            assertEquals(output, graph.output(false, inputs)[0]);
            assertEquals(output, graph.feedForward(inputs, false).get("out"));
            // without dropout training computes the same
            assertEquals(output, graph.feedForward(inputs, true).get("out"));
            assertEquals(output, graph.output(true, inputs)[0]);
        }
        ComputationGraph graph =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, true).pooled();
        INDArray[] inputs = TransformerGraphs.inputs(3, GRID, 1, DataType.FLOAT, 2);
        INDArray output = graph.outputSingle(inputs).dup();
        assertEquals(output, graph.feedForward(inputs, false).get("out"));
        assertNotEquals(output, graph.feedForward(inputs, true).get("out"));
        assertEquals(output, graph.outputSingle(inputs));
    }

    @Test
    void idsMayComeAsIntegers() {
        ComputationGraph graph =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, false).pooled();
        INDArray output = graph.outputSingle(TransformerGraphs.inputs(3, GRID, 1, DataType.FLOAT, 2))
                .dup();
        assertEquals(output, graph.outputSingle(TransformerGraphs.inputs(3, GRID, 1, DataType.INT32, 2)));
        assertEquals(output, graph.outputSingle(TransformerGraphs.inputs(3, GRID, 1, DataType.INT64, 2)));
    }

    @Test
    void twoNetworksOfOneConfigurationAreEqual() {
        ComputationGraphConfiguration configuration =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, true).pooledConfiguration();
        ComputationGraph first = TransformerGraphs.initialised(configuration.clone());
        ComputationGraph second = TransformerGraphs.initialised(configuration.clone());
        assertEquals(first.params(), second.params());
        for (ComputationGraph graph : List.of(first, second)) {
            Nd4j.getRandom().setSeed(8);
            graph.fit(TransformerGraphs.data(3, GRID, DataType.FLOAT, 1));
            graph.fit(TransformerGraphs.data(3, GRID, DataType.FLOAT, 2));
        }
        assertEquals(first.params(), second.params());
    }

    @Test
    void aConfigurationSurvivesJson() {
        ComputationGraphConfiguration configuration = graphs(new PatchAverage(GRID, 2), DataType.FLOAT, true)
                .weightDecay(0.1)
                .pooledConfiguration();
        ComputationGraphConfiguration read = ComputationGraphConfiguration.fromJson(configuration.toJson());
        assertEquals(configuration, read);
        assertEquals(configuration.toJson(), read.toJson());
        assertEquals(configuration, configuration.clone());
        // and after a network was made of it
        ComputationGraph graph = TransformerGraphs.initialised(configuration);
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
        assertEquals(graph.params(), TransformerGraphs.initialised(read).params());
    }

    @Test
    void aSavedNetworkContinuesToTheBit(@TempDir Path folder) throws Exception {
        PatchAverage average = new PatchAverage(GRID, 4);
        ComputationGraph graph =
                graphs(average, DataType.FLOAT, true).weightDecay(0.05).pooled();
        MultiDataSet data = TransformerGraphs.data(3, GRID, DataType.FLOAT, 1);
        graph.fit(data);
        average.setPatchSide(2);
        graph.fit(data);
        File file = folder.resolve("graph.zip").toFile();
        ModelSerializer.writeModel(graph, file, true);
        ComputationGraph restored = ModelSerializer.restoreComputationGraph(file, true);
        assertEquals(graph.params(), restored.params());
        assertEquals(graph.getConfiguration(), restored.getConfiguration());
        assertEquals(2, liveAverage(restored).getPatchSide());
        assertEquals(graph.outputSingle(data.getFeatures()), restored.outputSingle(data.getFeatures()));
        for (ComputationGraph each : List.of(graph, restored)) {
            Nd4j.getRandom().setSeed(8);
            for (int p : new int[] {2, 1, 1}) {
                liveAverage(each).setPatchSide(p);
                each.fit(data);
            }
        }
        assertEquals(graph.params(), restored.params());
        assertEquals(
                graph.getUpdater().getStateViewArray(), restored.getUpdater().getStateViewArray());
    }

    @Test
    void aCloneIsEqualAndIndependent() {
        ComputationGraph graph =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, false).pooled();
        MultiDataSet data = TransformerGraphs.data(3, GRID, DataType.FLOAT, 1);
        graph.fit(data);
        ComputationGraph clone = graph.clone();
        INDArray before = clone.params().dup();
        assertEquals(graph.params(), before);
        assertEquals(graph.outputSingle(data.getFeatures()), clone.outputSingle(data.getFeatures()));
        // Deeplearning4j's clone() starts counting iterations again, which Adam's bias correction reads
        clone.getConfiguration().setIterationCount(graph.getConfiguration().getIterationCount());
        graph.fit(data);
        assertEquals(before, clone.params());
        clone.fit(data);
        assertEquals(graph.params(), clone.params());
    }

    @Test
    void parametersCanBeSet() {
        ComputationGraph graph =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, false).pooled();
        INDArray[] inputs = TransformerGraphs.inputs(3, GRID, 1, DataType.FLOAT, 2);
        ComputationGraph other =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, false).pooled();
        other.params().addi(0.01);
        assertNotEquals(graph.outputSingle(inputs), other.outputSingle(inputs));
        other.setParams(graph.params().dup());
        assertEquals(graph.outputSingle(inputs), other.outputSingle(inputs));
        for (String name : List.of("tokenEmbedding", "block0", "norm")) {
            INDArray parameters = graph.getLayer(name).params().dup().muli(2);
            graph.getLayer(name).setParams(parameters);
            assertEquals(parameters, graph.getLayer(name).params());
        }
        // a weight keeps its place in the flat vector: [in, out] in 'f' order
        graph.setParam("block1_Wo", Nd4j.zeros(DataType.FLOAT, 16, 16));
        assertEquals(0, graph.getLayer("block1").getParam("Wo").norm2Number().doubleValue());
        INDArray w = Nd4j.rand(DataType.FLOAT, 16, 16);
        graph.setParam("block1_Wo", w);
        assertEquals(w, graph.getLayer("block1").getParam(TransformerBlock.OUT_WEIGHT));
        assertEquals(w, graph.paramTable().get("block1_Wo"));
    }

    @Test
    void weightDecayActsOnWeightsAndTablesNotOnGains() {
        double rate = 0.1;
        double decay = 0.05;
        ComputationGraph with = graphs(new PatchAverage(GRID, 2), DataType.DOUBLE, false)
                .updater(new Sgd(rate))
                .weightDecay(decay)
                .pooled();
        ComputationGraph without = graphs(new PatchAverage(GRID, 2), DataType.DOUBLE, false)
                .updater(new Sgd(rate))
                .pooled();
        assertEquals(with.params(), without.params());
        Map<String, INDArray> before = new HashMap<>();
        with.paramTable().forEach((key, value) -> before.put(key, value.dup()));
        MultiDataSet data = TransformerGraphs.data(3, GRID, DataType.DOUBLE, 1);
        with.fit(data);
        without.fit(data);
        int gains = 0;
        int weights = 0;
        for (Map.Entry<String, INDArray> parameter : with.paramTable().entrySet()) {
            String key = parameter.getKey();
            if (key.startsWith("out_")) {
                continue;
            }
            INDArray change = parameter.getValue().sub(without.paramTable().get(key));
            if (key.toLowerCase(Locale.ROOT).endsWith("gain")) {
                assertEquals(0, change.amaxNumber().doubleValue(), key);
                gains++;
            } else {
                INDArray expected = before.get(key).mul(-rate * decay);
                assertEquals(0, expected.sub(change).amaxNumber().doubleValue(), 1e-14, key);
                weights++;
            }
        }
        assertEquals(2 * 2 + 1, gains);
        assertEquals(2 * 5 + 2, weights);
    }

    @Test
    void reports() {
        ComputationGraph graph =
                graphs(new PatchAverage(GRID, 2), DataType.FLOAT, false).pooled();
        String summary = graph.summary();
        for (String name : List.of("tokenEmbedding", "patches", "sequence", "block0", "block1", "norm")) {
            assertTrue(summary.contains(name), summary);
        }
        assertTrue(graph.summary(InputType.feedForward(16), InputType.feedForward(1))
                .contains("TransformerBlock"));
        assertEquals(graph.numParams(), graph.params().length());
    }

    /** Deeplearning4j needs a fixed length to count activations, so a report has one where no PatchAverage is. */
    @Test
    void memoryReportOfAFixedLength() {
        InputType type = InputType.recurrent(16, 4, RNNFormat.NWC);
        ComputationGraphConfiguration configuration = new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("sequence")
                .setInputTypes(type)
                .addLayer("block", block(false).build(), "sequence")
                .addLayer("norm", new RmsNorm.Builder().build(), "block")
                .setOutputs("norm")
                .build();
        String report = configuration.getMemoryReport(type).toString();
        assertTrue(report.contains("TransformerBlock"), report);
        graphs(new PatchAverage(GRID, 2), DataType.FLOAT, false)
                .pooledConfiguration()
                .getMemoryReport(InputType.feedForward(16), InputType.feedForward(1));
    }

    @Test
    void aSequenceInTheOtherFormatIsRefused() {
        String message = Refusal.ofArgument(() -> new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("tokens")
                .setInputTypes(InputType.recurrent(7, 16, RNNFormat.NCW))
                .addLayer(
                        "embedding",
                        new EmbeddingSequenceLayer.Builder()
                                .nIn(7)
                                .nOut(16)
                                .inputLength(16)
                                .inferInputLength(false)
                                .outputDataFormat(RNNFormat.NCW)
                                .build(),
                        "tokens")
                .addLayer("block", block(false).build(), "embedding")
                .setOutputs("block")
                .build());
        assertTrue(
                message.startsWith("TransformerBlock \"block\" works on sequences [batch, positions, width]"), message);
    }

    /** Without input types nothing is inferred, so the sizes are given. */
    @Test
    void aGraphWithoutInputTypes() {
        ComputationGraph graph = TransformerGraphs.initialised(new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("sequence")
                .addLayer("block", block(false).build(), "sequence")
                .addLayer("norm", new RmsNorm.Builder().nIn(16).build(), "block")
                .setOutputs("norm")
                .build());
        assertArrayEquals(
                new long[] {2, 4, 16},
                graph.outputSingle(Nd4j.rand(DataType.FLOAT, 2, 4, 16)).shape());
    }
}
