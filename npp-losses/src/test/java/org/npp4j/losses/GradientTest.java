package org.npp4j.losses;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.gradientcheck.GradientCheckUtil;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

class GradientTest {
    @BeforeAll
    static void gradientChecksWantDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void backToFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    private static boolean check(Model network, DataSet data) {
        INDArray mask = data.getLabelsMaskArray();
        if (network instanceof ComputationGraph) {
            return GradientCheckUtil.checkGradients(new GradientCheckUtil.GraphConfig()
                    .net((ComputationGraph) network)
                    .maxRelError(1e-5)
                    .inputs(new INDArray[] {data.getFeatures()})
                    .labels(new INDArray[] {data.getLabels()})
                    .labelMask(mask == null ? null : new INDArray[] {mask}));
        }
        return GradientCheckUtil.checkGradients(new GradientCheckUtil.MLNConfig()
                .net((MultiLayerNetwork) network)
                .maxRelError(1e-5)
                .input(data.getFeatures())
                .labels(data.getLabels())
                .labelMask(mask));
    }

    static List<Object[]> networks() {
        List<Object[]> cases = new ArrayList<>();
        for (boolean graph : new boolean[] {true, false}) {
            for (RNNFormat format : RNNFormat.values()) {
                cases.add(new Object[] {graph, format, TokenGrid.of(4, 4), 2});
                cases.add(new Object[] {graph, format, graph ? TokenGrid.of(2, 3) : TokenGrid.of(4, 6), graph ? 1 : 2});
                cases.add(new Object[] {graph, format, TokenGrid.sequence(6), 3});
            }
        }
        return cases;
    }

    @ParameterizedTest
    @MethodSource("networks")
    void stockOutputLayer(boolean graph, RNNFormat format, TokenGrid grid, int patchSide) {
        Networks networks = new Networks(grid, patchSide).format(format).graph(graph);
        assertTrue(check(networks.build(networks.stockHead()), networks.data(2, 1)));
    }

    @ParameterizedTest
    @MethodSource("networks")
    void patchOutputLayer(boolean graph, RNNFormat format, TokenGrid grid, int patchSide) {
        Networks networks = new Networks(grid, patchSide).format(format).graph(graph);
        DataSet data = networks.data(2, 1);
        assertTrue(check(networks.build(networks.head().hasBias(true).build()), data));
        data.setLabelsMaskArray(Networks.mask(2, grid.tokens(), 2));
        assertTrue(check(
                networks.build(networks.head().activation(Activation.SOFTMAX).build()), data));
    }

    @ParameterizedTest
    @MethodSource("networks")
    void bothLayersHaveTheSameScoreAndGradient(boolean graph, RNNFormat format, TokenGrid grid, int patchSide) {
        Networks networks = new Networks(grid, patchSide).format(format).graph(graph);
        DataSet data = networks.data(3, 5);
        Model stock = networks.build(networks.stockHead());
        Model patch = networks.build(networks.head().hasBias(true).build());
        patch.setParams(stock.params().dup());
        double score = Networks.score(stock, data);
        assertEquals(score, Networks.score(patch, data), 1e-12);
        Networks.fit(stock, data);
        Networks.fit(patch, data);
        assertEquals(score, stock.score(), 1e-12);
        assertEquals(score, patch.score(), 1e-12);
        assertTrue(
                gradient(stock).equalsWithEps(gradient(patch), 1e-12),
                () -> gradient(stock) + " but " + gradient(patch));
    }

    private static INDArray gradient(Model network) {
        return network instanceof ComputationGraph
                ? ((ComputationGraph) network).getFlattenedGradients()
                : ((MultiLayerNetwork) network).getFlattenedGradients();
    }

    /** A mask that reaches the layer from the features says which positions count. */
    @ParameterizedTest
    @CsvSource({"true, NWC", "true, NCW", "false, NWC", "false, NCW"})
    void masksOfTheFeatures(boolean graph, RNNFormat format) {
        TokenGrid grid = TokenGrid.of(4, 4);
        Networks networks = new Networks(grid, 2).format(format).graph(graph);
        DataSet data = networks.data(2, 1);
        INDArray mask = Networks.mask(2, 16, 4);
        // The second example ends after its third patch: no token of the fourth is there.
        for (int token : new int[] {10, 11, 14, 15}) {
            mask.putScalar(1, token, 0);
        }
        data.setFeaturesMaskArray(mask);
        Model patch = networks.buildWithoutLstm();
        INDArray[] features = {data.getFeatures()};
        boolean right = patch instanceof ComputationGraph
                ? GradientCheckUtil.checkGradients(new GradientCheckUtil.GraphConfig()
                        .net((ComputationGraph) patch)
                        .inputs(features)
                        .labels(new INDArray[] {data.getLabels()})
                        .inputMask(new INDArray[] {mask}))
                : GradientCheckUtil.checkGradients(new GradientCheckUtil.MLNConfig()
                        .net((MultiLayerNetwork) patch)
                        .input(features[0])
                        .labels(data.getLabels())
                        .inputMask(mask));
        assertTrue(right);
        double masked = Networks.score(patch, data);

        // The same positions as a label mask
        int[][] counted = new int[2][16];
        PlainLoop plain = new PlainLoop(2, 4, 4, 2, 5, new Random(1));
        for (int s = 0; s < 2; s++) {
            int[] any = new int[4];
            for (int n = 0; n < 16; n++) {
                any[plain.position(n)] |= mask.getInt(s, n);
            }
            for (int n = 0; n < 16; n++) {
                counted[s][n] = any[plain.position(n)];
            }
        }
        data.setLabelsMaskArray(Nd4j.createFromArray(counted));
        assertEquals(masked, Networks.score(patch, data), 1e-12);
        data.setLabelsMaskArray(null);
        Networks.fit(patch, data);
        assertEquals(masked, patch.score(), 1e-12);

        // Nothing is left over from the last minibatch
        DataSet unmasked = new DataSet(data.getFeatures(), data.getLabels());
        double all = new PatchCrossEntropy(grid)
                .computeScore(
                        data.getLabels(),
                        timeMajor(Networks.output(patch, unmasked), format),
                        Activation.IDENTITY.getActivationFunction(),
                        null,
                        true);
        Networks.fit(patch, unmasked);
        assertEquals(all, patch.score(), 1e-9);
    }

    private static INDArray timeMajor(INDArray sequence, RNNFormat format) {
        INDArray timeFirst = format == RNNFormat.NWC ? sequence.permute(1, 0, 2) : sequence.permute(2, 0, 1);
        return timeFirst.reshape(timeFirst.size(0) * timeFirst.size(1), timeFirst.size(2));
    }
}
