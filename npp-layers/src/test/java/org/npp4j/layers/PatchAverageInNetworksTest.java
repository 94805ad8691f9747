package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Path;
import java.util.Map;
import org.deeplearning4j.gradientcheck.GradientCheckUtil;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.conf.layers.RnnOutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.BooleanIndexing;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.indexing.conditions.Conditions;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** {@link PatchAverage} in networks of stock layers: embedding, LSTM, pooling, output. */
class PatchAverageInNetworksTest {
    private static final int VOCABULARY = 5;
    private static final int WIDTH = 3;
    private static final int CLASSES = 2;

    /** Where the average sits. */
    enum Place {
        LAYER_PREPROCESSOR,
        VERTEX
    }

    @BeforeAll
    static void computeInDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void computeInFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    private static NeuralNetConfiguration.Builder settings(IUpdater updater, WorkspaceMode workspaces) {
        return new NeuralNetConfiguration.Builder()
                .seed(1)
                .dataType(DataType.DOUBLE)
                .updater(updater)
                .trainingWorkspaceMode(workspaces)
                .inferenceWorkspaceMode(workspaces);
    }

    private static EmbeddingSequenceLayer embedding(TokenGrid grid, RNNFormat format) {
        return new EmbeddingSequenceLayer.Builder()
                .nIn(VOCABULARY)
                .nOut(WIDTH)
                .inputLength(grid.tokens())
                .inferInputLength(false)
                .outputDataFormat(format)
                .build();
    }

    /** tokens -> embedding -> PatchAverage -> LSTM -> mean over positions -> class. */
    private static ComputationGraph graph(
            PatchAverage average, Place place, RNNFormat format, IUpdater updater, WorkspaceMode workspaces) {
        TokenGrid grid = average.getGrid();
        LSTM lstm = new LSTM.Builder().nOut(WIDTH).dataFormat(format).build();
        ComputationGraphConfiguration.GraphBuilder builder = settings(updater, workspaces)
                .graphBuilder()
                .addInputs("tokens")
                .setInputTypes(InputType.recurrent(VOCABULARY, grid.tokens(), format))
                .addLayer("embedding", embedding(grid, format), "tokens");
        if (place == Place.VERTEX) {
            builder.addVertex("patches", new PreprocessorVertex(average), "embedding")
                    .addLayer("lstm", lstm, "patches");
        } else {
            builder.addLayer("lstm", lstm, average, "embedding");
        }
        builder.addLayer(
                        "pool",
                        new GlobalPoolingLayer.Builder(PoolingType.AVG)
                                .poolingDimensions(format == RNNFormat.NWC ? 1 : 2)
                                .build(),
                        "lstm")
                .addLayer("out", new OutputLayer.Builder().nOut(CLASSES).build(), "pool")
                .setOutputs("out");
        ComputationGraph graph = new ComputationGraph(builder.build());
        graph.init();
        return graph;
    }

    private static INDArray tokens(int batch, TokenGrid grid, long seed) {
        return TransformerGraphs.ids(batch, grid.tokens(), VOCABULARY, seed).castTo(DataType.DOUBLE);
    }

    private static INDArray classes(int batch) {
        INDArray labels = Nd4j.zeros(DataType.DOUBLE, batch, CLASSES);
        for (int b = 0; b < batch; b++) {
            labels.putScalar(b, b % CLASSES, 1);
        }
        return labels;
    }

    /** Class 0 has ids 0 and 1, class 1 ids 2 to 4: easy to learn at every p. */
    private static MultiDataSet learnable(int batch, TokenGrid grid) {
        int[][] ids = TransformerGraphs.ids(batch, grid.tokens(), 100, 3).toIntMatrix();
        for (int b = 0; b < batch; b++) {
            for (int n = 0; n < ids[b].length; n++) {
                ids[b][n] = b % CLASSES == 0 ? ids[b][n] % 2 : 2 + ids[b][n] % 3;
            }
        }
        return new MultiDataSet(Nd4j.createFromArray(ids).castTo(DataType.DOUBLE), classes(batch));
    }

    private static PatchAverage liveAverage(ComputationGraph graph) {
        return (PatchAverage)
                ((PreprocessorVertex) graph.getConfiguration().getVertices().get("patches")).getPreProcessor();
    }

    @ParameterizedTest
    @CsvSource({
        "LAYER_PREPROCESSOR, NWC, 4, 4, 2",
        "LAYER_PREPROCESSOR, NCW, 2, 6, 2",
        "VERTEX, NWC, 1, 6, 3",
        "VERTEX, NCW, 4, 4, 4",
        "VERTEX, NWC, 2, 2, 1"
    })
    void gradientsMatchNumericalOnesInAGraph(Place place, RNNFormat format, int height, int width, int p) {
        TokenGrid grid = TokenGrid.of(height, width);
        ComputationGraph graph = graph(new PatchAverage(grid, p), place, format, new NoOp(), WorkspaceMode.ENABLED);
        assertTrue(GradientCheckUtil.checkGradients(new GradientCheckUtil.GraphConfig()
                .net(graph)
                .maxRelError(1e-5)
                .minAbsoluteError(1e-9)
                .inputs(new INDArray[] {tokens(2, grid, 5)})
                .labels(new INDArray[] {classes(2)})
                .print(GradientCheckUtil.PrintMode.FAILURES_ONLY)));
    }

    /** Behind patches every position has a label: [B, V, K] for the stock RnnOutputLayer. */
    private static MultiLayerNetwork stack(PatchAverage average, RNNFormat format, IUpdater updater) {
        TokenGrid grid = average.getGrid();
        MultiLayerConfiguration configuration = settings(updater, WorkspaceMode.ENABLED)
                .list()
                .layer(embedding(grid, format))
                .layer(new LSTM.Builder().nOut(WIDTH).dataFormat(format).build())
                .layer(new RnnOutputLayer.Builder()
                        .nOut(CLASSES)
                        .dataFormat(format)
                        .activation(Activation.SOFTMAX)
                        .lossFunction(LossFunctions.LossFunction.MCXENT)
                        .build())
                .inputPreProcessor(1, average)
                .setInputType(InputType.recurrent(VOCABULARY, grid.tokens(), format))
                .build();
        MultiLayerNetwork network = new MultiLayerNetwork(configuration);
        network.init();
        return network;
    }

    private static INDArray labelsOfPositions(int batch, int positions, RNNFormat format) {
        INDArray labels = Nd4j.zeros(DataType.DOUBLE, batch, positions, CLASSES);
        for (int b = 0; b < batch; b++) {
            for (int t = 0; t < positions; t++) {
                labels.putScalar(b, t, (b + t) % CLASSES, 1);
            }
        }
        return format == RNNFormat.NWC ? labels : labels.permute(0, 2, 1).dup('c');
    }

    @ParameterizedTest
    @CsvSource({"NWC, 4, 2, 2", "NCW, 4, 2, 2", "NCW, 1, 6, 3"})
    void gradientsMatchNumericalOnesInAStackOfLayers(RNNFormat format, int height, int width, int p) {
        TokenGrid grid = TokenGrid.of(height, width);
        MultiLayerNetwork network = stack(new PatchAverage(grid, p), format, new NoOp());
        int positions = grid.ofPatches(p).tokens();
        assertTrue(GradientCheckUtil.checkGradients(new GradientCheckUtil.MLNConfig()
                .net(network)
                .maxRelError(1e-5)
                .minAbsoluteError(1e-9)
                .input(tokens(2, grid, 5))
                .labels(labelsOfPositions(2, positions, format))
                .print(GradientCheckUtil.PrintMode.FAILURES_ONLY)));
        INDArray out = network.output(tokens(2, grid, 5));
        assertArrayEquals(
                format == RNNFormat.NWC ? new long[] {2, positions, CLASSES} : new long[] {2, CLASSES, positions},
                out.shape());
    }

    @ParameterizedTest
    @EnumSource(RNNFormat.class)
    void theVertexGivesTheMeansOfTheEmbeddings(RNNFormat format) {
        TokenGrid grid = TokenGrid.of(4, 6);
        PatchAverage average = new PatchAverage(grid, 2);
        ComputationGraph graph = graph(average, Place.VERTEX, format, new NoOp(), WorkspaceMode.ENABLED);
        assertEquals(format, average.getFormat());
        INDArray ids = tokens(3, grid, 8);
        Map<String, INDArray> activations = graph.feedForward(new INDArray[] {ids}, false);
        INDArray table = graph.getParam("embedding_W");
        INDArray expected = Nd4j.zeros(DataType.DOUBLE, 3, 6, WIDTH);
        int[] patchOfToken = grid.patchOfToken(2);
        for (int b = 0; b < 3; b++) {
            for (int n = 0; n < 24; n++) {
                for (int d = 0; d < WIDTH; d++) {
                    double mean = expected.getDouble(b, patchOfToken[n], d) + table.getDouble(ids.getInt(b, n), d) / 4;
                    expected.putScalar(b, patchOfToken[n], d, mean);
                }
            }
        }
        INDArray patches = activations.get("patches");
        INDArray nwc = format == RNNFormat.NWC ? patches : patches.permute(0, 2, 1);
        assertTrue(expected.equalsWithEps(nwc.dup('c'), 1e-12));
    }

    @Test
    void theNetworkUsesTheConfigurationsOwnObject() {
        TokenGrid grid = TokenGrid.of(4, 4);
        PatchAverage inVertex = new PatchAverage(grid, 4);
        ComputationGraph graph = graph(inVertex, Place.VERTEX, RNNFormat.NWC, new NoOp(), WorkspaceMode.ENABLED);
        PatchAverage inLayer = new PatchAverage(grid, 4);
        ComputationGraph graph2 =
                graph(inLayer, Place.LAYER_PREPROCESSOR, RNNFormat.NWC, new NoOp(), WorkspaceMode.ENABLED);
        PatchAverage inStack = new PatchAverage(grid, 4);
        MultiLayerNetwork stack = stack(inStack, RNNFormat.NWC, new NoOp());
        assertSame(inVertex, liveAverage(graph));
        INDArray ids = tokens(2, grid, 5);
        for (int p : new int[] {4, 2, 1, 2, 4}) {
            inVertex.setPatchSide(p);
            inLayer.setPatchSide(p);
            inStack.setPatchSide(p);
            long positions = 16 / p / p;
            assertEquals(
                    positions,
                    graph.feedForward(new INDArray[] {ids}, false).get("lstm").size(1));
            assertEquals(
                    positions,
                    graph2.feedForward(new INDArray[] {ids}, false).get("lstm").size(1));
            assertEquals(positions, stack.output(ids).size(1));
        }
    }

    @ParameterizedTest
    @EnumSource(Place.class)
    void workspacesChangeNothingWhenPatchSidesDo(Place place) {
        TokenGrid grid = TokenGrid.of(4, 4);
        INDArray[] parameters = new INDArray[2];
        for (WorkspaceMode mode : new WorkspaceMode[] {WorkspaceMode.ENABLED, WorkspaceMode.NONE}) {
            PatchAverage average = new PatchAverage(grid, 4);
            ComputationGraph graph = graph(average, place, RNNFormat.NWC, new Adam(1e-2), mode);
            for (int p : new int[] {4, 4, 2, 2, 1, 1, 4, 1, 2}) {
                average.setPatchSide(p);
                graph.fit(learnable(4, grid));
            }
            parameters[mode == WorkspaceMode.NONE ? 0 : 1] = graph.params().dup();
        }
        assertEquals(parameters[0], parameters[1]);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void aSavedNetworkKeepsThePatchSideOfItsStage(int p, @TempDir Path folder) throws Exception {
        TokenGrid grid = TokenGrid.of(4, 4);
        PatchAverage average = new PatchAverage(grid, 4);
        ComputationGraph graph = graph(average, Place.VERTEX, RNNFormat.NWC, new Adam(1e-2), WorkspaceMode.ENABLED);
        graph.fit(learnable(4, grid));
        average.setPatchSide(p);
        graph.fit(learnable(4, grid));
        File file = folder.resolve("graph.zip").toFile();
        ModelSerializer.writeModel(graph, file, true);
        ComputationGraph restored = ModelSerializer.restoreComputationGraph(file, true);
        assertEquals(p, liveAverage(restored).getPatchSide());
        assertEquals(graph.getConfiguration(), restored.getConfiguration());
        graph.fit(learnable(4, grid));
        restored.fit(learnable(4, grid));
        assertEquals(graph.params(), restored.params());

        PatchAverage inStack = new PatchAverage(grid, 4);
        MultiLayerNetwork stack = stack(inStack, RNNFormat.NCW, new Adam(1e-2));
        inStack.setPatchSide(p);
        ModelSerializer.writeModel(stack, file, true);
        MultiLayerNetwork restoredStack = ModelSerializer.restoreMultiLayerNetwork(file, true);
        assertEquals(
                p, ((PatchAverage) restoredStack.getLayerWiseConfigurations().getInputPreProcess(1)).getPatchSide());
        assertEquals(stack.output(tokens(2, grid, 5)), restoredStack.output(tokens(2, grid, 5)));
    }

    @Test
    void aClonedNetworkHasItsOwnPatchSide() {
        TokenGrid grid = TokenGrid.of(4, 4);
        PatchAverage average = new PatchAverage(grid, 4);
        ComputationGraph graph = graph(average, Place.VERTEX, RNNFormat.NWC, new NoOp(), WorkspaceMode.ENABLED);
        ComputationGraph clone = graph.clone();
        assertNotSame(average, liveAverage(clone));
        average.setPatchSide(1);
        assertEquals(4, liveAverage(clone).getPatchSide());
        assertNotEquals(graph.getConfiguration(), clone.getConfiguration());
    }

    @ParameterizedTest
    @EnumSource(Place.class)
    void patchesOfMaskedTokensDoNotCount(Place place) {
        TokenGrid grid = TokenGrid.of(2, 8);
        ComputationGraph graph =
                graph(new PatchAverage(grid, 2), place, RNNFormat.NCW, new NoOp(), WorkspaceMode.ENABLED);
        INDArray mask = Nd4j.ones(DataType.DOUBLE, 2, 16);
        // the last patch of the second example has no token, its first patch only one
        for (int n : new int[] {6, 7, 14, 15, 0, 1, 8}) {
            mask.putScalar(1, n, 0);
        }
        INDArray ids = tokens(2, grid, 5);
        INDArray before = outputWithMask(graph, ids, mask);
        INDArray changed = ids.dup();
        for (int n : new int[] {6, 7, 14, 15}) {
            changed.putScalar(1, n, (ids.getInt(1, n) + 1) % VOCABULARY);
        }
        assertEquals(before, outputWithMask(graph, changed, mask));
        assertNotEquals(before, outputWithMask(graph, changed, Nd4j.ones(DataType.DOUBLE, 2, 16)));
        changed.putScalar(1, 9, (ids.getInt(1, 9) + 1) % VOCABULARY);
        assertNotEquals(before, outputWithMask(graph, changed, mask));

        assertTrue(GradientCheckUtil.checkGradients(new GradientCheckUtil.GraphConfig()
                .net(graph)
                .maxRelError(1e-5)
                .minAbsoluteError(1e-9)
                .inputs(new INDArray[] {ids})
                .inputMask(new INDArray[] {mask})
                .labels(new INDArray[] {classes(2)})
                .print(GradientCheckUtil.PrintMode.FAILURES_ONLY)));
    }

    private static INDArray outputWithMask(ComputationGraph graph, INDArray ids, INDArray mask) {
        return graph.output(false, new INDArray[] {ids}, new INDArray[] {mask})[0];
    }

    @ParameterizedTest
    @EnumSource(Place.class)
    void stagesFromCoarseToFineLearn(Place place) {
        TokenGrid grid = TokenGrid.of(4, 4);
        PatchAverage average = new PatchAverage(grid, 4);
        ComputationGraph graph = graph(average, place, RNNFormat.NWC, new Adam(3e-2), WorkspaceMode.ENABLED);
        MultiDataSet data = learnable(8, grid);
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
    void aStackOfLayersLearnsThroughTheStages() {
        TokenGrid grid = TokenGrid.of(4, 4);
        PatchAverage average = new PatchAverage(grid, 4);
        MultiLayerNetwork network = stack(average, RNNFormat.NWC, new Adam(3e-2));
        INDArray ids = learnable(8, grid).getFeatures(0);
        INDArray ofExample = Nd4j.zeros(DataType.DOUBLE, 8, 16, CLASSES);
        for (int b = 0; b < 8; b++) {
            ofExample
                    .get(NDArrayIndex.point(b), NDArrayIndex.all(), NDArrayIndex.point(b % CLASSES))
                    .assign(1);
        }
        for (int p : new int[] {4, 2, 1}) {
            average.setPatchSide(p);
            INDArray labels = ofExample
                    .get(NDArrayIndex.all(), NDArrayIndex.interval(0, 16 / p / p), NDArrayIndex.all())
                    .dup('c');
            for (int i = 0; i < 15; i++) {
                network.fit(new DataSet(ids, labels));
            }
        }
        assertFalse(BooleanIndexing.or(network.params(), Conditions.notFinite()));
        // [B, T, classes]: the right class is the likelier one at every position
        INDArray likelier = network.output(ids).argMax(2);
        assertEquals(ofExample.argMax(2), likelier);
    }
}
