package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.deeplearning4j.nn.api.Layer;
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

/** Layers whose norms the first position of a sequence modulates, and the embedding of times. */
class ConditionedLayersTest {
    private static final int WIDTH = 8;
    private static final int HEADS = 2;
    private static final int HIDDEN = 12;
    private static final int OUT = 3;

    @BeforeAll
    static void computeInDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void computeInFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    private static AdaptiveNormBlock block() {
        return new AdaptiveNormBlock.Builder(HEADS, HIDDEN).build();
    }

    private static AdaptiveNormProjection projection() {
        return new AdaptiveNormProjection.Builder(OUT).build();
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 5, 10})
    void gradientsMatchNumericalOnes(int length) {
        NumericalGradients.check(
                StageGraphs.of(DataType.DOUBLE, length, WIDTH, block()),
                StageGraphs.data(DataType.DOUBLE, length, WIDTH, WIDTH),
                8,
                () -> {});
        NumericalGradients.check(
                StageGraphs.of(DataType.DOUBLE, length, WIDTH, block(), block(), projection()),
                outputs(length, WIDTH, length - 1),
                8,
                () -> {});
    }

    @Test
    void gradientsOfTimesMatchNumericalOnes() {
        NumericalGradients.check(
                StageGraphs.of(DataType.DOUBLE, 4, 1, new TimeEmbedding.Builder(WIDTH).build()),
                // small times: the fastest wave turns once in 0.006
                outputs(4, 1, 4, WIDTH, 1e-3),
                8,
                () -> {});
    }

    private static org.nd4j.linalg.dataset.MultiDataSet outputs(int length, int in, int outLength) {
        return outputs(length, in, outLength, OUT, 1);
    }

    private static org.nd4j.linalg.dataset.MultiDataSet outputs(
            int length, int in, int outLength, int out, double scale) {
        Nd4j.getRandom().setSeed(5);
        return new org.nd4j.linalg.dataset.MultiDataSet(
                new INDArray[] {Nd4j.randn(DataType.DOUBLE, 3, length, in).muli(scale)},
                new INDArray[] {Nd4j.randn(DataType.DOUBLE, 3, (long) outLength * out)});
    }

    /** Both in plain loops. */
    @Test
    void matchPlainLoops() {
        ComputationGraph graph = StageGraphs.of(DataType.DOUBLE, 6, WIDTH, block(), projection());
        double[][][] x = SingleLayer.values(new Random(4), 3, 6, WIDTH);
        Layer block = graph.getLayer("layer0");
        Layer projection = graph.getLayer("layer1");
        double[][][] expected = new double[3][][];
        double[][][] expectedOut = new double[3][5][];
        for (int b = 0; b < 3; b++) {
            expected[b] = naiveBlock(block, x[b]);
            for (int t = 0; t < 5; t++) {
                double[] m = linear(projection, silu(expected[b][0]), "Wmod", "bmod");
                expectedOut[b][t] = linear(projection, modulated(expected[b][t + 1], m, 0), "Wout", "bout");
            }
        }
        INDArray out = SingleLayer.forward(block, Nd4j.createFromArray(x), false);
        assertTrue(SingleLayer.largestDifference(expected, out) < 1e-12);
        INDArray projected = SingleLayer.forward(projection, Nd4j.createFromArray(expected), false);
        assertTrue(SingleLayer.largestDifference(expectedOut, projected) < 1e-12);
    }

    private static double[][] naiveBlock(Layer layer, double[][] x) {
        double[] m = linear(layer, silu(x[0]), "Wmod", "bmod");
        int tokens = x.length - 1;
        double[][] qkv = new double[tokens][];
        for (int t = 0; t < tokens; t++) {
            qkv[t] = linear(layer, modulated(x[t + 1], m, 0), "Wqkv", "bqkv");
        }
        double[][] out = new double[x.length][];
        out[0] = x[0];
        int e = WIDTH / HEADS;
        for (int t = 0; t < tokens; t++) {
            double[] mixed = new double[WIDTH];
            for (int head = 0; head < HEADS; head++) {
                double[] weights = new double[tokens];
                for (int s = 0; s < tokens; s++) {
                    double score = 0;
                    for (int i = 0; i < e; i++) {
                        score += qkv[t][head * e + i] * qkv[s][WIDTH + head * e + i];
                    }
                    weights[s] = Math.exp(score / Math.sqrt(e));
                }
                double sum = Arrays.stream(weights).sum();
                for (int s = 0; s < tokens; s++) {
                    for (int i = 0; i < e; i++) {
                        mixed[head * e + i] += weights[s] / sum * qkv[s][2 * WIDTH + head * e + i];
                    }
                }
            }
            double[] h = gated(x[t + 1], linear(layer, mixed, "Wo", "bo"), m, 2);
            double[] hidden = linear(layer, modulated(h, m, 3), "W1", "b1");
            for (int i = 0; i < hidden.length; i++) {
                double v = hidden[i];
                hidden[i] = v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v))) / 2;
            }
            out[t + 1] = gated(h, linear(layer, hidden, "W2", "b2"), m, 5);
        }
        return out;
    }

    private static double[] gated(double[] x, double[] branch, double[] m, int at) {
        double[] out = x.clone();
        for (int i = 0; i < WIDTH; i++) {
            out[i] += m[at * WIDTH + i] * branch[i];
        }
        return out;
    }

    private static double[] modulated(double[] h, double[] m, int at) {
        double mean = Arrays.stream(h).average().orElseThrow();
        double variance =
                Arrays.stream(h).map(v -> (v - mean) * (v - mean)).average().orElseThrow();
        double[] out = new double[WIDTH];
        for (int i = 0; i < WIDTH; i++) {
            out[i] = (h[i] - mean) / Math.sqrt(variance + 1e-6) * (1 + m[(at + 1) * WIDTH + i]) + m[at * WIDTH + i];
        }
        return out;
    }

    private static double[] silu(double[] x) {
        return Arrays.stream(x).map(v -> v / (1 + Math.exp(-v))).toArray();
    }

    private static double[] linear(Layer layer, double[] x, String weight, String bias) {
        INDArray w = layer.getParam(weight);
        double[] y = layer.getParam(bias).toDoubleVector();
        for (int o = 0; o < y.length; o++) {
            for (int i = 0; i < x.length; i++) {
                y[o] += x[i] * w.getDouble(i, o);
            }
        }
        return y;
    }

    @Test
    void timesMatchPlainLoops() {
        Layer layer = SingleLayer.of(new TimeEmbedding.Builder(WIDTH).build(), DataType.DOUBLE, 3);
        double[][][] times = {{{0.25}, {1}}, {{0}, {0.6}}};
        double[][][] expected = new double[2][2][];
        for (int b = 0; b < 2; b++) {
            for (int t = 0; t < 2; t++) {
                double[] waves = new double[256];
                for (int i = 0; i < 128; i++) {
                    double angle = 1000 * times[b][t][0] * Math.pow(10000, -i / 128.0);
                    waves[i] = Math.cos(angle);
                    waves[128 + i] = Math.sin(angle);
                }
                expected[b][t] = linear(layer, silu(linear(layer, waves, "W0", "b0")), "W2", "b2");
            }
        }
        INDArray out = SingleLayer.forward(layer, Nd4j.createFromArray(times), false);
        assertTrue(SingleLayer.largestDifference(expected, out) < 1e-11);
    }

    /** adaLN-Zero: a new block passes its input through, a new projection gives 0. */
    @Test
    void newOnesDoNothing() {
        INDArray x = Nd4j.randn(DataType.DOUBLE, 3, 6, WIDTH);
        Layer block =
                fresh(new AdaptiveNormBlock.Builder(HEADS, HIDDEN).nIn(WIDTH).build());
        assertTrue(SingleLayer.forward(block, x, false).sub(x).amaxNumber().doubleValue() < 1e-15);
        Layer projection =
                fresh(new AdaptiveNormProjection.Builder(OUT).nIn(WIDTH).build());
        INDArray out = SingleLayer.forward(projection, x, false);
        assertEquals(0, out.amaxNumber().doubleValue());
        assertEquals(5, out.size(1));
    }

    private static Layer fresh(org.deeplearning4j.nn.conf.layers.Layer conf) {
        Layer layer = SingleLayer.of(conf, DataType.DOUBLE, 7);
        layer.paramTable().forEach((key, array) -> {
            if (key.startsWith("b")) {
                array.assign(0); // the others here are drawn at random by the test's layer
            }
        });
        return layer;
    }

    /** In the middle of the network's columns, and in float as in double. */
    @Test
    void stridedInputsAndFloats() {
        Layer layer = SingleLayer.of(
                new AdaptiveNormBlock.Builder(HEADS, HIDDEN).nIn(WIDTH).build(), DataType.DOUBLE, 7);
        INDArray wide = Nd4j.randn(DataType.DOUBLE, 3, 6, WIDTH + 5);
        INDArray view = wide.get(NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.interval(2, 2 + WIDTH));
        INDArray expected = SingleLayer.forward(layer, view.dup('c'), false).dup();
        assertEquals(expected, SingleLayer.forward(layer, view, false));
        Layer floats = SingleLayer.of(
                new AdaptiveNormBlock.Builder(HEADS, HIDDEN).nIn(WIDTH).build(), DataType.FLOAT, 7);
        layer.paramTable().forEach((key, array) -> floats.getParam(key).assign(array));
        INDArray single = SingleLayer.forward(floats, view.castTo(DataType.FLOAT), false);
        assertTrue(expected.sub(single.castTo(DataType.DOUBLE)).amaxNumber().doubleValue() < 1e-4);
    }

    @Test
    void areKeptInJson() {
        ComputationGraph graph = StageGraphs.of(DataType.DOUBLE, 6, WIDTH, block(), projection());
        assertEquals(
                graph.getConfiguration(),
                ComputationGraphConfiguration.fromJson(graph.getConfiguration().toJson()));
        assertEquals(block(), block().clone());
        assertNotEquals(block(), new AdaptiveNormBlock.Builder(HEADS, HIDDEN + 1).build());
        assertNotEquals(projection(), new AdaptiveNormProjection.Builder(OUT + 1).build());
        TimeEmbedding times = new TimeEmbedding.Builder(WIDTH).build();
        assertEquals(times, times.clone());
        assertEquals(times.hashCode(), times.clone().hashCode());
        assertTrue(block().initializer().isBiasParam(block(), "bmod"));
    }

    @Test
    void countOperations() {
        AdaptiveNormBlock block =
                new AdaptiveNormBlock.Builder(HEADS, HIDDEN).nIn(WIDTH).build();
        double expected = 0;
        for (int t = 0; t < 5; t++) {
            // weights: qkv and output, feed-forward; attention: scores and mixing with each of 5 tokens
            expected += 2 * WIDTH * (4 * WIDTH + 2 * HIDDEN) + 5 * 2 * 2 * WIDTH;
        }
        expected += 2 * WIDTH * 6 * WIDTH;
        assertEquals(expected, block.forwardOperations(6));
        assertEquals(
                5 * 2 * WIDTH * OUT + 2 * WIDTH * 2 * WIDTH,
                new AdaptiveNormProjection.Builder(OUT)
                        .nIn(WIDTH)
                        .<AdaptiveNormProjection>build()
                        .forwardOperations(6));
        assertEquals(
                2 * (256 * WIDTH + WIDTH * WIDTH),
                new TimeEmbedding.Builder(WIDTH).<TimeEmbedding>build().forwardOperations(1));
    }

    @Test
    void refuseWhatCannotBe() {
        assertEquals(
                "AdaptiveNormBlock: the width must be a multiple of 4 x heads, got width 10 and 2 heads",
                Refusal.ofArgument(
                        () -> new AdaptiveNormBlock.Builder(2, 4).nIn(10).build()));
        assertTrue(Refusal.ofArgument(() -> new AdaptiveNormBlock.Builder(0, 4).build())
                .contains("at least one head"));
        assertTrue(Refusal.ofArgument(() -> new AdaptiveNormProjection.Builder(0).build())
                .contains("output width"));
        assertTrue(
                Refusal.ofArgument(() -> new TimeEmbedding.Builder(0).build()).contains("at least 1, got 0"));
        assertTrue(Refusal.ofArgument(
                        () -> StageGraphs.of(DataType.DOUBLE, 4, 2, new TimeEmbedding.Builder(WIDTH).build()))
                .contains("takes one time at each position, got 2"));
        Layer layer = SingleLayer.of(
                new AdaptiveNormBlock.Builder(HEADS, HIDDEN).nIn(WIDTH).build(), DataType.DOUBLE, 7);
        assertTrue(Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.zeros(DataType.DOUBLE, 3, 1, WIDTH), false))
                .contains("a condition and at least one token"));
        INDArray x = Nd4j.randn(DataType.DOUBLE, 3, 4, WIDTH);
        SingleLayer.forward(layer, x, false);
        assertTrue(Refusal.ofState(() -> layer.backpropGradient(x, SingleLayer.NO_WORKSPACES))
                .startsWith("The backward pass needs the training forward pass"));
    }
}
