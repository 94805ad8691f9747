package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.schedule.TokenNetworks.Kind;

class WeightAverageTest {
    private static final double DECAY = 0.7;

    private static double[] weights(Model network) {
        return network.params().dup().data().asDouble();
    }

    private static double[] average(WeightAverage average, Model network) {
        try (WeightAverage.Swap ignored = average.applyTo(network)) {
            return weights(network);
        }
    }

    private static void add(Model network, BaseTrainingListener listener) {
        network.setListeners(listener);
    }

    @ParameterizedTest
    @EnumSource
    void followsEveryStep(Kind kind) {
        Model network = TokenNetworks.network(kind);
        WeightAverage average = new WeightAverage(network, DECAY);
        add(network, average);
        double[] expected = weights(network);
        assertArrayEquals(expected, average(average, network), 0, "a copy at the start");
        for (int step = 1; step <= 8; step++) {
            TokenNetworks.fit(network, TokenNetworks.batch(step));
            double[] now = weights(network);
            for (int i = 0; i < now.length; i++) {
                expected[i] = DECAY * expected[i] + (1 - DECAY) * now[i];
            }
            assertArrayEquals(expected, average(average, network), 1e-15);
            assertArrayEquals(now, weights(network), 0);
            assertEquals(step, average.updates());
        }
    }

    /** With and without workspaces; with other listeners that look at the average in mid training. */
    @ParameterizedTest
    @EnumSource(names = {"NONE", "ENABLED"})
    void isTheSameInEveryWorkspaceMode(WorkspaceMode mode) {
        ComputationGraphConfiguration configuration = TokenNetworks.graphConfiguration(
                TokenNetworks.settings(new TorchAdam(0.01)).dataType(DataType.FLOAT), 2);
        configuration.setTrainingWorkspaceMode(mode);
        ComputationGraph network = new ComputationGraph(configuration);
        network.init();
        WeightAverage average = new WeightAverage(network, DECAY);
        network.setListeners(average, new BaseTrainingListener() {
            @Override
            public void iterationDone(Model model, int iteration, int epoch) {
                average(average, model);
            }
        });
        double[] expected = weights(network);
        for (int step = 1; step <= 5; step++) {
            network.fit(TokenNetworks.batch(step));
            double[] now = weights(network);
            for (int i = 0; i < now.length; i++) {
                expected[i] = DECAY * expected[i] + (1 - DECAY) * now[i];
            }
        }
        assertArrayEquals(expected, average(average, network), 1e-6);
    }

    @Test
    void hasThePublishedDecay() {
        assertEquals(0.9999, new WeightAverage(TokenNetworks.network(Kind.GRAPH)).decay());
    }

    @Test
    void swapsToTheBit() {
        ComputationGraph network = (ComputationGraph) TokenNetworks.network(Kind.GRAPH);
        WeightAverage average = new WeightAverage(network, DECAY);
        network.setListeners(average);
        network.fit(TokenNetworks.batch(1));
        double[] own = weights(network);
        double[] averaged = average(average, network);
        assertTrue(!Arrays.equals(own, averaged));
        for (int i = 0; i < 2; i++) {
            WeightAverage.Swap swap = average.applyTo(network);
            assertArrayEquals(averaged, weights(network), 0);
            String message = assertThrows(IllegalStateException.class, () -> average.applyTo(network))
                    .getMessage();
            assertTrue(message.contains("Close that Swap first"), message);
            assertThrows(IllegalStateException.class, () -> average.copyTo(network));
            assertThrows(IllegalStateException.class, () -> average.save(new ByteArrayOutputStream()));
            message = assertThrows(IllegalStateException.class, () -> average.update(network))
                    .getMessage();
            assertTrue(message.contains("Close the Swap before training"), message);
            swap.close();
            swap.close();
            assertArrayEquals(own, weights(network), 0);
        }
        // another network of the same parameters
        ComputationGraph other = new ComputationGraph(network.getConfiguration().clone());
        other.init();
        double[] others = weights(other);
        try (WeightAverage.Swap ignored = average.applyTo(other)) {
            assertArrayEquals(averaged, weights(other), 0);
            assertArrayEquals(own, weights(network), 0);
        }
        assertArrayEquals(others, weights(other), 0);
        average.copyTo(other);
        assertArrayEquals(averaged, weights(other), 0);
        assertArrayEquals(averaged, average(average, network), 0);
    }

    @Test
    void takesWhatIsWrittenWhileApplied() {
        Model network = TokenNetworks.network(Kind.GRAPH);
        double[] own = weights(network);
        WeightAverage average = new WeightAverage(network);
        try (WeightAverage.Swap ignored = average.applyTo(network)) {
            network.paramTable().get("output_b").assign(5);
        }
        assertArrayEquals(own, weights(network), 0);
        try (WeightAverage.Swap ignored = average.applyTo(network)) {
            assertEquals(5, network.paramTable().get("output_b").getDouble(0));
        }
    }

    @ParameterizedTest
    @EnumSource
    void continuesToTheBitAfterASave(Kind kind, @TempDir Path folder) throws Exception {
        Model through = TokenNetworks.network(kind, new TorchAdam(0.01), 1);
        Model saved = TokenNetworks.network(kind, new TorchAdam(0.01), 1);
        saved.setParams(through.params().dup());
        WeightAverage whole = new WeightAverage(through, DECAY);
        WeightAverage first = new WeightAverage(saved, DECAY);
        add(through, whole);
        add(saved, first);
        TokenNetworks.fit(through, TokenNetworks.batches(), 3);
        TokenNetworks.fit(saved, TokenNetworks.batches(), 2);

        File file = folder.resolve("network.zip").toFile();
        ModelSerializer.writeModel(saved, file, true);
        byte[] bytes = save(first);
        Model restored = kind == Kind.MULTI_LAYER
                ? ModelSerializer.restoreMultiLayerNetwork(file, true)
                : ModelSerializer.restoreComputationGraph(file, true);
        WeightAverage second = WeightAverage.load(new ByteArrayInputStream(bytes), restored);
        assertEquals(DECAY, second.decay());
        assertEquals(6, second.updates());
        add(restored, second);
        TokenNetworks.fit(restored, TokenNetworks.batches(), 1);
        assertEquals(9, second.updates());
        assertArrayEquals(average(whole, through), average(second, restored), 0);
        assertArrayEquals(save(whole), save(second));
    }

    /** More numbers than saving holds at a time, and a number of them that its pieces do not divide. */
    @ParameterizedTest
    @EnumSource(names = {"FLOAT", "DOUBLE"})
    void savesLargeNetworks(DataType type) throws IOException {
        MultiLayerNetwork network = linear(type, 700, 901);
        WeightAverage average = new WeightAverage(network);
        network.params().addi(1);
        average.update(network);
        double[] expected = average(average, network);
        WeightAverage read = WeightAverage.load(new ByteArrayInputStream(save(average)), network);
        assertArrayEquals(expected, average(read, network), 0);
    }

    private static MultiLayerNetwork linear(DataType type, int in, int out) {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .dataType(type)
                .list()
                .layer(new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                        .nIn(in)
                        .nOut(out)
                        .activation(Activation.IDENTITY)
                        .build())
                .build());
        network.init();
        return network;
    }

    private static byte[] save(WeightAverage average) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        average.save(out);
        return out.toByteArray();
    }

    @Test
    void refusesOtherNetworks() throws IOException {
        MultiLayerNetwork network = linear(DataType.FLOAT, 3, 4);
        WeightAverage average = new WeightAverage(network);
        // as many weights in another shape
        MultiLayerNetwork turned = linear(DataType.FLOAT, 7, 2);
        assertEquals(network.numParams(), turned.numParams());
        String message = assertThrows(IllegalArgumentException.class, () -> average.applyTo(turned))
                .getMessage();
        assertTrue(
                message.contains("Parameter 0_W is [3, 4] in the weight average but [7, 2] in the network"), message);
        assertThrows(IllegalArgumentException.class, () -> average.copyTo(turned));
        Model graph = TokenNetworks.network(Kind.GRAPH);
        message = assertThrows(IllegalArgumentException.class, () -> average.copyTo(graph))
                .getMessage();
        assertTrue(message.contains("but missing in the network"), message);
        message = assertThrows(IllegalStateException.class, () -> average.update(turned))
                .getMessage();
        assertTrue(message.contains("follows another network"), message);

        byte[] saved = save(average);
        message = assertThrows(
                        IllegalArgumentException.class,
                        () -> WeightAverage.load(new ByteArrayInputStream(saved), turned))
                .getMessage();
        assertTrue(message.contains("0_W is [3, 4] in the saved weight average"), message);
        message = assertThrows(
                        IllegalArgumentException.class,
                        () -> WeightAverage.load(new ByteArrayInputStream(saved), linear(DataType.DOUBLE, 3, 4)))
                .getMessage();
        assertTrue(message.contains("of type FLOAT but the network of type DOUBLE"), message);
    }

    @Test
    void refusesDamagedFiles() throws IOException {
        MultiLayerNetwork network = linear(DataType.FLOAT, 3, 4);
        byte[] saved = save(new WeightAverage(network));
        for (int length : new int[] {0, 3, 20, saved.length - 1}) {
            String message = assertThrows(
                            IOException.class,
                            () -> WeightAverage.load(new ByteArrayInputStream(saved, 0, length), network))
                    .getMessage();
            assertTrue(message.contains("cut off"), message);
        }
        byte[] other = saved.clone();
        other[0]++;
        assertTrue(assertThrows(IOException.class, () -> WeightAverage.load(new ByteArrayInputStream(other), network))
                .getMessage()
                .contains("no weight average"));
        byte[] newer = saved.clone();
        newer[7]++;
        assertTrue(assertThrows(IOException.class, () -> WeightAverage.load(new ByteArrayInputStream(newer), network))
                .getMessage()
                .contains("has version 2, but only 1 is known"));
    }

    @ParameterizedTest
    @ValueSource(doubles = {-0.1, 1, Double.NaN})
    void refusesBadDecays(double decay) {
        Model network = TokenNetworks.network(Kind.GRAPH);
        String message = assertThrows(IllegalArgumentException.class, () -> new WeightAverage(network, decay))
                .getMessage();
        assertTrue(message.contains("must be at least 0 and below 1, got " + decay), message);
    }

    @Test
    void needsAnInitialisedNetwork() {
        ComputationGraph network =
                new ComputationGraph(TokenNetworks.graphConfiguration(TokenNetworks.settings(new TorchAdam(1)), 1));
        String message = assertThrows(IllegalArgumentException.class, () -> new WeightAverage(network))
                .getMessage();
        assertTrue(message.contains("Call init()"), message);
        assertThrows(NullPointerException.class, () -> new WeightAverage(null));
    }
}
