package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertTrue;

import org.deeplearning4j.gradientcheck.GradientCheckUtil;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.NoOp;

class TransformerGradientTest {

    @BeforeAll
    static void computeInDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void computeInFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    @ParameterizedTest(name = "{0} x {1}, p = {2}, {3} heads, {4} key/value heads")
    @CsvSource({"4, 4, 1, 2, 2", "4, 4, 2, 2, 2", "2, 6, 2, 4, 2", "3, 3, 1, 2, 1"})
    void gradientsMatchNumericalOnes(int height, int width, int patchSide, int heads, int keyValueHeads) {
        TokenGrid grid = TokenGrid.of(height, width);
        int d = 4 * heads;
        ComputationGraph graph = TransformerGraphs.graph(
                grid,
                patchSide,
                DataType.DOUBLE,
                new NoOp(),
                new TransformerBlock.Builder(grid, heads, 6).nIn(d).keyValueHeads(keyValueHeads),
                new TransformerBlock.Builder(grid, heads, 10).nIn(d).keyValueHeads(keyValueHeads));
        INDArray tokens = TransformerGraphs.ids(2, grid.tokens(), TransformerGraphs.VOCABULARY, 5)
                .castTo(DataType.DOUBLE);
        INDArray classes =
                TransformerGraphs.ids(2, 1, TransformerGraphs.CLASSES, 6).castTo(DataType.DOUBLE);
        INDArray labels = Nd4j.randn(DataType.DOUBLE, 2, TransformerGraphs.OUTPUTS);
        assertTrue(GradientCheckUtil.checkGradients(new GradientCheckUtil.GraphConfig()
                .net(graph)
                .epsilon(1e-6)
                .maxRelError(1e-5)
                .minAbsoluteError(1e-9)
                .inputs(new INDArray[] {tokens, classes})
                .labels(new INDArray[] {labels})
                .print(GradientCheckUtil.PrintMode.FAILURES_ONLY)));
    }
}
