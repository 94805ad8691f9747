package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Layers that know the stages of a sequence: learned positions, projections and the parts of flow heads. */
class FlowLayersTest {
    private static final int CHANNELS = 2;
    private static final int CONDITION = 3;
    private static final int WIDTH = 4;
    private static final int IN = CHANNELS + 1 + CONDITION;
    private static final StageLengths STAGES = StageGraphs.STAGES;

    @BeforeAll
    static void computeInDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void computeInFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    private static AdaptiveNormMlp mlp(int blocks) {
        return new AdaptiveNormMlp.Builder(STAGES, CHANNELS, WIDTH, blocks).build();
    }

    private static FlowEmbedding embedding() {
        return new FlowEmbedding.Builder(STAGES, CHANNELS, WIDTH).build();
    }

    private static LearnedPositions positions() {
        return new LearnedPositions.Builder(STAGES).build();
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 2, 3, 5})
    void gradientsOfLearnedPositionsMatchNumericalOnes(int length) {
        NumericalGradients.check(
                StageGraphs.of(DataType.DOUBLE, length, 4, positions()),
                StageGraphs.data(DataType.DOUBLE, length, 4, 4),
                8,
                () -> {});
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 2, 3, 5})
    void gradientsOfTheMlpMatchNumericalOnes(int length) {
        for (int blocks : new int[] {0, 2}) {
            NumericalGradients.check(
                    StageGraphs.of(DataType.DOUBLE, length, IN, mlp(blocks)),
                    StageGraphs.data(DataType.DOUBLE, length, IN, CHANNELS),
                    8,
                    () -> {});
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 2, 3, 5})
    void gradientsOfAGridHeadMatchNumericalOnes(int length) {
        TransformerBlock block = new TransformerBlock.Builder(1, 6)
                .mask(AttentionMask.withinBlocks(STAGES.getLengths()))
                .build();
        NumericalGradients.check(
                StageGraphs.of(
                        DataType.DOUBLE,
                        length,
                        IN,
                        embedding(),
                        block,
                        new RmsNorm.Builder().build(),
                        new LinearProjection.Builder(CHANNELS).build()),
                StageGraphs.data(DataType.DOUBLE, length, IN, CHANNELS),
                8,
                () -> {});
    }

    /** The MLP in plain loops. */
    @Test
    void mlpMatchesPlainLoops() {
        ComputationGraph graph = StageGraphs.of(DataType.DOUBLE, 10, IN, mlp(2));
        double[][][] x = SingleLayer.values(new Random(4), 3, 10, IN);
        org.deeplearning4j.nn.api.Layer layer = graph.getLayer("layer0");
        INDArray out = SingleLayer.forward(layer, Nd4j.createFromArray(x), false);
        double[][][] expected = new double[3][10][];
        int[] starts = {0, 0, 2, 2, 2, 5, 5, 5, 5, 5};
        for (int b = 0; b < 3; b++) {
            for (int t = 0; t < 10; t++) {
                int stage = t < 2 ? 0 : t < 5 ? 1 : 2;
                expected[b][t] = naive(layer, x[b][t], x[b][starts[t]][CHANNELS], stage);
            }
        }
        assertTrue(SingleLayer.largestDifference(expected, out) < 1e-12);
    }

    private static double[] naive(org.deeplearning4j.nn.api.Layer layer, double[] x, double time, int stage) {
        double[] waves = new double[256];
        for (int i = 0; i < 128; i++) {
            double angle = 1000 * time * Math.pow(10000, -i / 128.0);
            waves[i] = Math.cos(angle);
            waves[128 + i] = Math.sin(angle);
        }
        double[] y = linear(layer, silu(linear(layer, waves, "Wtime0", "btime0")), "Wtime2", "btime2");
        double[] condition = linear(layer, Arrays.copyOfRange(x, CHANNELS + 1, x.length), "Wcond", "bcond");
        for (int i = 0; i < WIDTH; i++) {
            y[i] += condition[i] + layer.getParam("stage").getDouble(stage, i);
        }
        y = silu(y);
        double[] h = linear(layer, Arrays.copyOf(x, CHANNELS), "Win", "bin");
        for (int block = 0; block < 2; block++) {
            double[] m = linear(layer, y, "Wmod" + block, "bmod" + block);
            double[] branch = linear(
                    layer,
                    silu(linear(layer, modulated(h, m), "WblockIn" + block, "bblockIn" + block)),
                    "WblockOut" + block,
                    "bblockOut" + block);
            for (int i = 0; i < WIDTH; i++) {
                h[i] += m[2 * WIDTH + i] * branch[i];
            }
        }
        return linear(layer, modulated(h, linear(layer, y, "Wmod", "bmod")), "Wout", "bout");
    }

    private static double[] modulated(double[] h, double[] m) {
        double mean = Arrays.stream(h).average().orElseThrow();
        double variance =
                Arrays.stream(h).map(v -> (v - mean) * (v - mean)).average().orElseThrow();
        double[] out = new double[WIDTH];
        for (int i = 0; i < WIDTH; i++) {
            out[i] = (h[i] - mean) / Math.sqrt(variance + 1e-6) * (1 + m[WIDTH + i]) + m[i];
        }
        return out;
    }

    private static double[] silu(double[] x) {
        return Arrays.stream(x).map(v -> v / (1 + Math.exp(-v))).toArray();
    }

    private static double[] linear(org.deeplearning4j.nn.api.Layer layer, double[] x, String weight, String bias) {
        INDArray w = layer.getParam(weight);
        double[] y = layer.getParam(bias).toDoubleVector();
        for (int o = 0; o < y.length; o++) {
            for (int i = 0; i < x.length; i++) {
                y[o] += x[i] * w.getDouble(i, o);
            }
        }
        return y;
    }

    /** A new head gives no velocity at all, whatever it sees. */
    @Test
    void aNewMlpGivesZero() {
        AdaptiveNormMlp head =
                new AdaptiveNormMlp.Builder(STAGES, CHANNELS, WIDTH, 2).nIn(IN).build();
        org.deeplearning4j.nn.api.Layer layer = SingleLayer.of(head, DataType.DOUBLE, 7);
        layer.paramTable().forEach((key, array) -> {
            if (key.startsWith("b")) {
                array.assign(0); // the others here are drawn at random by the test's layer
            }
        });
        INDArray out = SingleLayer.forward(layer, Nd4j.randn(DataType.DOUBLE, 3, 10, IN), false);
        assertEquals(0, out.amaxNumber().doubleValue());
    }

    /** What a layer gives for one stage is what it gives for that stage within all of them. */
    @Test
    void stagesAloneAndTogetherAgree() {
        for (ComputationGraph graph : new ComputationGraph[] {
            StageGraphs.of(DataType.DOUBLE, 10, IN, mlp(1)),
            StageGraphs.of(DataType.DOUBLE, 10, IN, embedding()),
            StageGraphs.of(DataType.DOUBLE, 10, IN, positions())
        }) {
            INDArray x = Nd4j.randn(DataType.DOUBLE, 3, 10, IN);
            org.deeplearning4j.nn.api.Layer layer = graph.getLayer("layer0");
            INDArray all = SingleLayer.forward(layer, x, false).dup();
            for (int stage = 0; stage < 3; stage++) {
                INDArray part = SingleLayer.forward(layer, ofStage(x, stage), false);
                assertTrue(ofStage(all, stage).sub(part).amaxNumber().doubleValue() < 1e-12);
            }
        }
    }

    private static INDArray ofStage(INDArray sequence, int stage) {
        return sequence.get(
                NDArrayIndex.all(),
                NDArrayIndex.interval(STAGES.start(stage), STAGES.start(stage + 1)),
                NDArrayIndex.all());
    }

    @Test
    void areKeptInJson() {
        ComputationGraph graph = StageGraphs.of(DataType.DOUBLE, 10, IN, positions(), mlp(1));
        ComputationGraphConfiguration read =
                ComputationGraphConfiguration.fromJson(graph.getConfiguration().toJson());
        assertEquals(graph.getConfiguration(), read);
        assertNotEquals(mlp(1), mlp(2));
        assertNotEquals(positions(), new LearnedPositions.Builder(StageLengths.of(1, 2)).build());
        assertEquals(embedding(), embedding().clone());
        LinearProjection projection =
                new LinearProjection.Builder(WIDTH).nIn(WIDTH).build();
        assertEquals(projection, projection.clone());
        assertNotEquals(projection, new RmsNorm.Builder().nIn(WIDTH).build());
    }

    /** Weights decay, tables too, biases not. */
    @Test
    void saysWhatDecays() {
        AdaptiveNormMlp head =
                new AdaptiveNormMlp.Builder(STAGES, CHANNELS, WIDTH, 1).nIn(IN).build();
        assertTrue(head.initializer().isWeightParam(head, "Wout"));
        assertTrue(head.initializer().isWeightParam(head, "stage"));
        assertTrue(head.initializer().isBiasParam(head, "bout"));
        assertTrue(!head.initializer().isWeightParam(head, "bmod0"));
    }

    @Test
    void countsOperations() {
        FlowEmbedding layer =
                new FlowEmbedding.Builder(STAGES, CHANNELS, WIDTH).nIn(IN).build();
        int perPosition = CHANNELS * WIDTH + CONDITION * WIDTH;
        int perStage = 256 * WIDTH + WIDTH * WIDTH;
        assertEquals(2 * (10 * perPosition + 3 * perStage), layer.forwardOperations(10));
        assertEquals(2 * (5 * perPosition + perStage), layer.forwardOperations(5));
    }

    @Test
    void refusesWhatCannotBe() {
        assertEquals(
                "There must be at least one stage, each of at least one position and of a length of its own, got [4, 4]",
                Refusal.ofArgument(() -> StageLengths.of(4, 4)));
        assertEquals(
                "Stages of [2, 3, 5] positions make sequences of 10 positions, or of those of one stage, got 4",
                Refusal.ofArgument(() -> StageGraphs.of(DataType.DOUBLE, 4, 4, positions())));
        assertEquals(
                "AdaptiveNormMlp \"layer0\" takes 2 units of state, the time and at least one unit of condition side by"
                        + " side, got an input of width 3",
                Refusal.ofArgument(() -> StageGraphs.of(DataType.DOUBLE, 10, 3, mlp(1))));
        assertTrue(Refusal.ofArgument(() -> new AdaptiveNormMlp.Builder(STAGES, 0, 4, 1).build())
                .contains("at least one channel"));
        assertTrue(Refusal.ofArgument(() -> new AdaptiveNormMlp.Builder(STAGES, 1, 4, -1))
                .contains("at least 0 blocks"));
        assertTrue(Refusal.ofArgument(() -> new LinearProjection.Builder(0).build())
                .contains("output width"));
        org.deeplearning4j.nn.api.Layer layer =
                StageGraphs.of(DataType.DOUBLE, 10, IN, mlp(1)).getLayer("layer0");
        SingleLayer.forward(layer, Nd4j.randn(DataType.DOUBLE, 3, 10, IN), false);
        assertTrue(Refusal.ofState(() ->
                        layer.backpropGradient(Nd4j.randn(DataType.DOUBLE, 3, 10, CHANNELS), SingleLayer.NO_WORKSPACES))
                .startsWith("The backward pass needs the training forward pass"));
    }
}
