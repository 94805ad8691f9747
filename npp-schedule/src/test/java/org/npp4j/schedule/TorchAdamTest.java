package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.lossfunctions.LossFunctions;

class TorchAdamTest {
    private static final double RATE = 1e-2;
    private static final StageLearningRate SCHEDULE = new StageLearningRate.Builder(PatchStages.parse("2:4it,1:10it"))
            .learningRate(RATE)
            .endLearningRate(RATE / 10)
            .warmup(2)
            .decayRatio(0.5)
            .build();

    /** AdamW as PyTorch's documentation states it, for one tensor. */
    private static final class PlainAdamW {
        final double[] weights;
        final double[] m;
        final double[] v;

        PlainAdamW(double[] weights) {
            this.weights = weights.clone();
            m = new double[weights.length];
            v = new double[weights.length];
        }

        void step(double[] gradient, int t, double rate, double beta1, double beta2, double epsilon, double decay) {
            for (int i = 0; i < weights.length; i++) {
                weights[i] -= rate * decay * weights[i];
                m[i] = beta1 * m[i] + (1 - beta1) * gradient[i];
                v[i] = beta2 * v[i] + (1 - beta2) * gradient[i] * gradient[i];
                double mean = m[i] / (1 - Math.pow(beta1, t));
                double square = v[i] / (1 - Math.pow(beta2, t));
                weights[i] -= rate * mean / (Math.sqrt(square) + epsilon);
            }
        }
    }

    /** Gradients from 1 down to 1e-9, where epsilon counts. */
    @ParameterizedTest
    @CsvSource({
        "DOUBLE, 0.95, 1e-8, 1e-14",
        "DOUBLE, 0.999, 1e-4, 1e-14",
        "FLOAT, 0.95, 1e-8, 1e-6",
        "FLOAT, 0.999, 1e-8, 1e-5"
    })
    void updatesLikePyTorch(DataType type, double beta2, double epsilon, double tolerance) {
        int length = 900;
        INDArray state = Nd4j.create(type, 1, 2 * length);
        TorchAdamUpdater updater = new TorchAdam.Builder()
                .learningRate(RATE)
                .beta2(beta2)
                .epsilon(epsilon)
                .build()
                .instantiate(state, true);
        PlainAdamW plain = new PlainAdamW(new double[length]);
        Random random = new Random(1);
        for (int step = 0; step < 200; step++) {
            double[] values = new double[length];
            for (int i = 0; i < length; i++) {
                values[i] = (float) (random.nextGaussian() * Math.pow(10, -(i % 10)));
            }
            double[] before = plain.weights.clone();
            plain.step(values, step + 1, RATE, 0.9, beta2, epsilon, 0);
            INDArray gradient = Nd4j.createFromArray(values).castTo(type);
            updater.applyUpdater(gradient, step, 0);
            for (int i = 0; i < length; i++) {
                assertEquals(
                        (before[i] - plain.weights[i]) / RATE,
                        gradient.getDouble(i) / RATE,
                        tolerance,
                        "step " + step + ", element " + i);
            }
        }
        // m, then v, as Adam has them
        for (int i = 0; i < length; i++) {
            assertEquals(1, state.getDouble(i) / plain.m[i], 1e3 * tolerance);
            assertEquals(1, state.getDouble(length + i) / plain.v[i], 1e3 * tolerance);
        }
    }

    @Test
    void differsFromAdamInEpsilonAlone() {
        INDArray gradient = Nd4j.createFromArray(1.0, 1e-8, -1e-9);
        INDArray torch = gradient.dup();
        INDArray adam = gradient.dup();
        INDArray torchState = Nd4j.create(DataType.DOUBLE, 1, 6);
        INDArray adamState = Nd4j.create(DataType.DOUBLE, 1, 6);
        new TorchAdam(1).instantiate(torchState, true).applyUpdater(torch, 0, 0);
        new Adam(1).instantiate(adamState, true).applyUpdater(adam, 0, 0);
        assertArrayEquals(new double[] {1, 0.5, -1 / 11.0}, torch.toDoubleVector(), 1e-7);
        assertEquals(0.03, adam.getDouble(1), 2e-3);
        assertArrayEquals(adamState.data().asDouble(), torchState.data().asDouble(), 0);
    }

    /** A whole network with decay on the matrices, against the plain loop. */
    @Test
    void isAdamWInANetwork() {
        double decay = 0.05;
        ComputationGraph network = new ComputationGraph(new NeuralNetConfiguration.Builder()
                .seed(3)
                .dataType(DataType.DOUBLE)
                .updater(new TorchAdam.Builder()
                        .learningRate(SCHEDULE)
                        .beta2(0.95)
                        .build())
                .graphBuilder()
                .addInputs("in")
                .addLayer(
                        "dense",
                        new DenseLayer.Builder()
                                .nIn(3)
                                .nOut(4)
                                .activation(Activation.TANH)
                                .weightDecay(decay, true)
                                .build(),
                        "in")
                .addLayer(
                        "out",
                        new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                                .nIn(4)
                                .nOut(2)
                                .activation(Activation.IDENTITY)
                                .build(),
                        "dense")
                .setOutputs("out")
                .build());
        network.init();
        Map<String, PlainAdamW> plain = new LinkedHashMap<>();
        network.paramTable()
                .forEach((name, values) ->
                        plain.put(name, new PlainAdamW(values.dup('f').data().asDouble())));
        DataSet batch = new DataSet(Nd4j.rand(DataType.DOUBLE, 5, 3), Nd4j.rand(DataType.DOUBLE, 5, 2));
        network.setListeners(new BaseTrainingListener() {
            @Override
            public void onGradientCalculation(Model model) {
                int step = network.getIterationCount();
                model.gradient().gradientForVariable().forEach((name, sums) -> {
                    double[] means = sums.div(5).dup('f').data().asDouble();
                    double layerDecay = name.equals("dense_W") ? decay : 0;
                    plain.get(name).step(means, step + 1, SCHEDULE.valueAt(step, 0), 0.9, 0.95, 1e-8, layerDecay);
                });
            }
        });
        for (int step = 0; step < 12; step++) {
            network.fit(batch);
            network.paramTable()
                    .forEach((name, values) -> assertArrayEquals(
                            plain.get(name).weights, values.dup('f').data().asDouble(), 1e-13, name));
        }
    }

    /** ND4J's operation would take epsilon for the rate. */
    @Test
    void doesNotMoveAtRateZero() {
        INDArray state = Nd4j.create(DataType.FLOAT, 1, 4);
        INDArray gradient = Nd4j.createFromArray(1f, -2f);
        new TorchAdam(0).instantiate(state, true).applyUpdater(gradient, 0, 0);
        assertArrayEquals(new float[2], gradient.toFloatVector());
        assertEquals(0.1f, state.getFloat(0), 1e-7f);
        assertEquals(-0.2f, state.getFloat(1), 1e-7f);
    }

    @Test
    void survivesJsonAndClone() {
        for (TorchAdam adam : new TorchAdam[] {
            new TorchAdam(2e-3),
            new TorchAdam.Builder()
                    .learningRate(SCHEDULE)
                    .beta1(0.8)
                    .beta2(0.95)
                    .epsilon(1e-6)
                    .build()
        }) {
            ComputationGraphConfiguration configuration =
                    TokenNetworks.graphConfiguration(TokenNetworks.settings(adam), 2);
            ComputationGraphConfiguration read = ComputationGraphConfiguration.fromJson(configuration.toJson());
            assertEquals(configuration, read);
            ComputationGraph network = new ComputationGraph(read);
            network.init();
            TorchAdam found = (TorchAdam) network.getUpdater(true)
                    .getUpdaterBlocks()
                    .get(0)
                    .getGradientUpdater()
                    .getConfig();
            assertEquals(adam, found);
            assertEquals(adam.hashCode(), found.hashCode());
            assertEquals(adam.toString(), found.toString());
            assertEquals(adam, adam.clone());
            assertNotSame(adam, adam.clone());
        }
        TorchAdam changed = new TorchAdam(2e-3);
        assertNotEquals(new TorchAdam(1e-3), changed);
        changed.setLrAndSchedule(1e-3, null);
        assertEquals(new TorchAdam(1e-3), changed);
        assertNotEquals(changed, new TorchAdam.Builder().beta2(0.95).build());
        assertNotEquals(changed, new TorchAdam.Builder().beta1(0.95).build());
        assertNotEquals(changed, new TorchAdam.Builder().epsilon(1e-7).build());
        assertEquals(changed, new TorchAdam.Builder().build());
    }

    @ParameterizedTest
    @EnumSource
    void continuesToTheBitAfterASave(TokenNetworks.Kind kind, @TempDir Path folder) throws Exception {
        IUpdater adam = new TorchAdam.Builder().learningRate(SCHEDULE).build();
        Model through = TokenNetworks.network(kind, adam, 1);
        Model saved = TokenNetworks.network(kind, adam, 1);
        saved.setParams(through.params().dup());
        TokenNetworks.fit(through, TokenNetworks.batches(), 3);
        TokenNetworks.fit(saved, TokenNetworks.batches(), 2);
        File file = folder.resolve("network.zip").toFile();
        ModelSerializer.writeModel(saved, file, true);
        Model restored = kind == TokenNetworks.Kind.MULTI_LAYER
                ? ModelSerializer.restoreMultiLayerNetwork(file, true)
                : ModelSerializer.restoreComputationGraph(file, true);
        TokenNetworks.fit(restored, TokenNetworks.batches(), 1);
        assertArrayEquals(
                through.params().data().asDouble(), restored.params().data().asDouble(), 0);
    }

    @Test
    void refusesBadSettings() {
        refused("beta1 must be at least 0 and below 1, got 1.0", new TorchAdam.Builder().beta1(1));
        refused("beta2 must be at least 0 and below 1, got -0.1", new TorchAdam.Builder().beta2(-0.1));
        refused("epsilon must be a finite number, 0 or above, got NaN", new TorchAdam.Builder().epsilon(Double.NaN));
        refused(
                "learning rate must be a finite number, 0 or above, got -1.0. Or give it a schedule",
                new TorchAdam.Builder().learningRate(-1));
        assertThrows(NullPointerException.class, () -> new TorchAdam.Builder().learningRate(null));
        String message = assertThrows(IllegalStateException.class, () -> new TorchAdam(1)
                        .instantiate(Map.of("M", Nd4j.create(1)), true))
                .getMessage();
        assertEquals("The state of TorchAdam is M and V, got [M]", message);
    }

    private static void refused(String message, TorchAdam.Builder builder) {
        String actual =
                assertThrows(IllegalArgumentException.class, builder::build).getMessage();
        assertTrue(actual.contains(message), actual);
    }
}
