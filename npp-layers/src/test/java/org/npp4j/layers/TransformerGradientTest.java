package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.deeplearning4j.gradientcheck.GradientCheckUtil;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.conf.layers.RnnOutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Backward passes of transformer graphs against central differences. */
class TransformerGradientTest {

    @BeforeAll
    static void computeInDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void computeInFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    private static void seed() {
        Nd4j.getRandom().setSeed(77);
    }

    private static MultiDataSet data(TokenGrid grid, int conditionTokens) {
        return new MultiDataSet(
                TransformerGraphs.inputs(3, grid, conditionTokens, DataType.DOUBLE, 5),
                new INDArray[] {Nd4j.randn(DataType.DOUBLE, 3, TransformerGraphs.OUTPUTS)});
    }

    @ParameterizedTest(name = "{0} x {1}, p = {2}, {3} heads, {4} key/value heads, C = {5}")
    @CsvSource({"4, 4, 1, 2, 2, 1", "4, 4, 2, 2, 2, 1", "2, 6, 2, 4, 2, 3", "3, 3, 1, 2, 1, 2", "1, 6, 3, 2, 1, 1"})
    void gradientsMatchNumericalOnes(int height, int width, int patchSide, int heads, int groups, int conditionTokens) {
        TokenGrid grid = TokenGrid.of(height, width);
        int d = 4 * heads;
        ComputationGraph graph = TransformerGraphs.of(
                        new PatchAverage(grid, patchSide),
                        new TransformerBlock.Builder(grid, heads, 6).nIn(d).keyValueHeads(groups),
                        new TransformerBlock.Builder(grid, heads, 10).nIn(d).keyValueHeads(groups))
                .conditionTokens(conditionTokens)
                .flat();
        NumericalGradients.check(graph, data(grid, conditionTokens), 6, () -> {});
    }

    /** Every single parameter of a very small graph, with Deeplearning4j's own check. */
    @Test
    void allGradientsOfASmallGraph() {
        TokenGrid grid = TokenGrid.of(2, 2);
        ComputationGraph graph = TransformerGraphs.of(
                        new PatchAverage(grid, 1), new TransformerBlock.Builder(grid, 1, 3).nIn(4))
                .pooled();
        MultiDataSet data = data(grid, 1);
        assertTrue(GradientCheckUtil.checkGradients(new GradientCheckUtil.GraphConfig()
                .net(graph)
                .epsilon(1e-6)
                .maxRelError(1e-5)
                .minAbsoluteError(1e-9)
                .inputs(data.getFeatures())
                .labels(data.getLabels())
                .print(GradientCheckUtil.PrintMode.FAILURES_ONLY)));
    }

    private static TransformerBlock.Builder block(TokenGrid grid) {
        return new TransformerBlock.Builder(grid, 2, 6).nIn(8);
    }

    /** The same seed before every pass makes the same units drop in each of them. */
    @ParameterizedTest
    @CsvSource({
        "0.3, 0, 0, 1, 0",
        "0, 0.3, 0, 1, 0",
        "0, 0, 0.5, 1, 0",
        "0, 0, 0, 0.6, 0",
        "0, 0, 0, 1, 0.5",
        "0.2, 0.2, 0.3, 0.8, 0.3"
    })
    void gradientsThroughDropouts(double residual, double feedForward, double path, double keepInput, double classes) {
        TokenGrid grid = TokenGrid.of(2, 4);
        TransformerBlock.Builder[] blocks = new TransformerBlock.Builder[2];
        for (int i = 0; i < blocks.length; i++) {
            blocks[i] = block(grid)
                    .residualDropout(residual)
                    .feedForwardDropout(feedForward)
                    .pathDropout(path);
            if (keepInput < 1) {
                blocks[i].dropOut(keepInput);
            }
        }
        ComputationGraph graph = TransformerGraphs.of(new PatchAverage(grid, 1), blocks)
                .classDropout(classes)
                .flat();
        NumericalGradients.check(graph, data(grid, 1), 5, TransformerGradientTest::seed);
    }

    @Test
    void gradientsWithMaskedTokens() {
        TokenGrid grid = TokenGrid.of(2, 6);
        ComputationGraph graph =
                TransformerGraphs.initialised(TransformerGraphs.of(new PatchAverage(grid, 2), block(grid))
                        .trunk()
                        .addLayer(
                                "out",
                                new RnnOutputLayer.Builder(LossFunctions.LossFunction.MSE)
                                        .nOut(TransformerGraphs.OUTPUTS)
                                        .dataFormat(RNNFormat.NWC)
                                        .activation(Activation.IDENTITY)
                                        .build(),
                                "norm")
                        .setOutputs("out")
                        .build());
        INDArray mask = Nd4j.ones(DataType.DOUBLE, 3, 12);
        // the second patch of the second example is masked as a whole, others in part
        for (int n : new int[] {2, 3, 8, 9}) {
            mask.putScalar(1, n, 0);
        }
        mask.putScalar(0, 4, 0);
        INDArray positions = Nd4j.createFromArray(new double[][] {{1, 1, 1}, {1, 1, 0}, {1, 1, 1}});
        MultiDataSet data = new MultiDataSet(
                TransformerGraphs.inputs(3, grid, 1, DataType.DOUBLE, 5),
                new INDArray[] {Nd4j.randn(DataType.DOUBLE, 3, 3, TransformerGraphs.OUTPUTS)},
                new INDArray[] {mask, null},
                new INDArray[] {positions});
        NumericalGradients.check(graph, data, 5, () -> {});
        graph.setLayerMaskArrays(data.getFeaturesMaskArrays(), null);
        assertEquals(positions, graph.getLayer("norm").getMaskArray());
    }

    @Test
    void gradientsOfADenseLayerBehindABlock() {
        TokenGrid grid = TokenGrid.of(2, 2);
        // a dense layer turns [B, T, D] into rows and its output is turned back
        ComputationGraph graph =
                TransformerGraphs.initialised(TransformerGraphs.of(new PatchAverage(grid, 1), block(grid))
                        .trunk()
                        .addLayer(
                                "dense",
                                new DenseLayer.Builder()
                                        .nOut(6)
                                        .activation(Activation.TANH)
                                        .build(),
                                "norm")
                        .addVertex("flat", new ReshapeVertex('c', new int[] {-1, 24}, null), "dense")
                        .addLayer("out", TransformerGraphs.output().nIn(24).build(), "flat")
                        .setOutputs("out")
                        .build());
        NumericalGradients.check(graph, data(grid, 1), 5, () -> {});
    }

    @Test
    void gradientsOfAnLstmBehindABlockAndABlockBehindAnLstm() {
        TokenGrid grid = TokenGrid.of(2, 2);
        ComputationGraph graph = TransformerGraphs.initialised(TransformerGraphs.of(
                        new PatchAverage(grid, 1), block(grid))
                .trunk()
                .addLayer(
                        "lstm",
                        new LSTM.Builder().nOut(8).dataFormat(RNNFormat.NWC).build(),
                        "norm")
                .addLayer("after", new TransformerBlock.Builder(grid, 2, 5).build(), "lstm")
                .addLayer(
                        "pool",
                        new GlobalPoolingLayer.Builder(PoolingType.AVG)
                                .poolingDimensions(1)
                                .build(),
                        "after")
                .addLayer("out", TransformerGraphs.output().nIn(8).build(), "pool")
                .setOutputs("out")
                .build());
        NumericalGradients.check(graph, data(grid, 1), 5, () -> {});
    }
}
