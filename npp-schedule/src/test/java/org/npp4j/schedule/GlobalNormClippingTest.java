package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.BatchNormalization;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Sgd;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.schedule.TokenNetworks.Kind;

class GlobalNormClippingTest {
    /** Copies of the gradients by variable, as they are when this listener's turn comes. */
    private static final class Gradients extends BaseTrainingListener {
        final Map<String, double[]> byVariable = new LinkedHashMap<>();

        @Override
        public void onGradientCalculation(Model model) {
            byVariable.clear();
            model.gradient()
                    .gradientForVariable()
                    .forEach((variable, values) ->
                            byVariable.put(variable, values.dup('c').data().asDouble()));
        }

        double norm() {
            double squares = 0;
            for (double[] values : byVariable.values()) {
                for (double value : values) {
                    squares += value * value;
                }
            }
            return Math.sqrt(squares);
        }
    }

    private static Model network(Kind kind, boolean miniBatch) {
        NeuralNetConfiguration.Builder settings =
                TokenNetworks.settings(new Sgd(1)).miniBatch(miniBatch);
        return kind == Kind.MULTI_LAYER ? TokenNetworks.multiLayer(settings, 2) : TokenNetworks.graph(settings, 2);
    }

    @ParameterizedTest
    @EnumSource
    void clipsByTheNormOfAllGradients(Kind kind) {
        for (boolean miniBatch : new boolean[] {true, false}) {
            Gradients before = new Gradients();
            Gradients after = new Gradients();
            GlobalNormClipping clipping = new GlobalNormClipping(0.05);
            Model model = network(kind, miniBatch);
            model.setListeners(before, clipping, after);
            assertTrue(Double.isNaN(clipping.lastNorm()));
            INDArray start = model.params().dup();
            TokenNetworks.fit(model, TokenNetworks.batch(1));

            double norm = before.norm() / (miniBatch ? TokenNetworks.BATCH : 1);
            assertTrue(norm > 0.05, "norm " + norm);
            assertEquals(norm, clipping.lastNorm(), 1e-12 * norm);
            double factor = 0.05 / (norm + 1e-6);
            before.byVariable.forEach((variable, values) -> {
                double[] expected = new double[values.length];
                for (int i = 0; i < values.length; i++) {
                    expected[i] = values[i] * factor;
                }
                assertArrayEquals(expected, after.byVariable.get(variable), 1e-12, variable);
            });
            // Sgd with rate 1 steps by the gradient itself
            double step = start.sub(model.params()).norm2Number().doubleValue();
            assertEquals(0.05 * norm / (norm + 1e-6), step, 1e-9);
        }
    }

    @ParameterizedTest
    @EnumSource
    void leavesSmallGradientsAlone(Kind kind) {
        Gradients before = new Gradients();
        Gradients after = new Gradients();
        Model model = network(kind, true);
        model.setListeners(before, new GlobalNormClipping(100), after);
        TokenNetworks.fit(model, TokenNetworks.batch(1));
        before.byVariable.forEach(
                (variable, values) -> assertArrayEquals(values, after.byVariable.get(variable), 0, variable));
    }

    @ParameterizedTest
    @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY})
    void leavesGradientsThatAreNotFiniteAlone(double bad) {
        Gradients before = new Gradients();
        Gradients after = new Gradients();
        GlobalNormClipping clipping = new GlobalNormClipping(0.05);
        Model model = network(Kind.GRAPH, true);
        model.setListeners(
                new BaseTrainingListener() {
                    @Override
                    public void onGradientCalculation(Model of) {
                        of.gradient().gradient().putScalar(3, bad);
                    }
                },
                before,
                clipping,
                after);
        TokenNetworks.fit(model, TokenNetworks.batch(1));
        assertEquals(bad, clipping.lastNorm());
        before.byVariable.forEach(
                (variable, values) -> assertArrayEquals(values, after.byVariable.get(variable), 0, variable));
    }

    @ParameterizedTest
    @EnumSource
    void leavesRunningMeansAlone(Kind kind) {
        Gradients before = new Gradients();
        Gradients after = new Gradients();
        GlobalNormClipping clipping = new GlobalNormClipping(0.01);
        Model model = normalised(kind);
        model.setListeners(before, clipping, after);
        DataSet batch = new DataSet(
                Nd4j.rand(DataType.DOUBLE, 4, 3).muli(50), Nd4j.eye(4).castTo(DataType.DOUBLE));
        TokenNetworks.fit(model, batch);
        String layer = kind == Kind.MULTI_LAYER ? "1_" : "norm_";
        double squares = 0;
        for (String variable : before.byVariable.keySet()) {
            boolean running = variable.equals(layer + "mean") || variable.equals(layer + "log10stdev");
            if (running) {
                assertArrayEquals(before.byVariable.get(variable), after.byVariable.get(variable), 0, variable);
            } else {
                for (double value : before.byVariable.get(variable)) {
                    squares += value * value;
                }
            }
        }
        assertTrue(before.byVariable.containsKey(layer + "mean"), before.byVariable.keySet()::toString);
        double norm = Math.sqrt(squares) / 4;
        assertEquals(norm, clipping.lastNorm(), 1e-12);
        assertEquals(
                before.byVariable.get(layer + "gamma")[0] * 0.01 / (norm + 1e-6),
                after.byVariable.get(layer + "gamma")[0],
                1e-12);
    }

    private static Model normalised(Kind kind) {
        NeuralNetConfiguration.Builder settings = TokenNetworks.settings(new Sgd(1));
        DenseLayer dense = new DenseLayer.Builder().nIn(3).nOut(5).build();
        BatchNormalization norm =
                new BatchNormalization.Builder().nIn(5).nOut(5).build();
        OutputLayer output = new OutputLayer.Builder(LossFunctions.LossFunction.MCXENT)
                .nIn(5)
                .nOut(4)
                .activation(Activation.SOFTMAX)
                .build();
        if (kind == Kind.MULTI_LAYER) {
            MultiLayerNetwork network = new MultiLayerNetwork(
                    settings.list().layer(dense).layer(norm).layer(output).build());
            network.init();
            return network;
        }
        ComputationGraph graph = new ComputationGraph(settings.graphBuilder()
                .addInputs("in")
                .addLayer("dense", dense, "in")
                .addLayer("norm", norm, "dense")
                .addLayer("out", output, "norm")
                .setOutputs("out")
                .build());
        graph.init();
        return graph;
    }

    /** Single precision must not lose the small gradients of a large network. */
    @Test
    void sumsMillionsOfSingles() {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .updater(new Sgd(1))
                .list()
                .layer(new DenseLayer.Builder().nIn(1000).nOut(3000).build())
                .layer(new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                        .nIn(3000)
                        .nOut(2)
                        .activation(Activation.IDENTITY)
                        .build())
                .build());
        network.init();
        double[] naive = new double[1];
        GlobalNormClipping clipping = new GlobalNormClipping(1);
        network.setListeners(
                new BaseTrainingListener() {
                    @Override
                    public void onGradientCalculation(Model model) {
                        Random random = new Random(1);
                        float[] values =
                                new float[(int) model.gradient().gradient().length()];
                        for (int i = 0; i < values.length; i++) {
                            values[i] = (float) random.nextGaussian();
                            naive[0] += (double) values[i] * values[i];
                        }
                        model.gradient().gradient().assign(Nd4j.createFromArray(values));
                    }
                },
                clipping);
        network.fit(Nd4j.rand(2, 1000), Nd4j.rand(2, 2));
        assertEquals(1, clipping.lastNorm() / (Math.sqrt(naive[0]) / 2), 1e-6);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
    void refusesBadNorms(double maxNorm) {
        String message = assertThrows(IllegalArgumentException.class, () -> new GlobalNormClipping(maxNorm))
                .getMessage();
        assertTrue(message.contains("must be a finite number above 0, got " + maxNorm), message);
    }
}
