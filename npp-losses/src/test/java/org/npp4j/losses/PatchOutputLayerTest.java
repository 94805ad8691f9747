package org.npp4j.losses;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.bytedeco.javacpp.Pointer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.dropout.IDropout;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.impl.LayerVertex;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.weights.WeightInit;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.lossfunctions.impl.LossMCXENT;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.impl.PatchOutputLayerImpl;
import org.npp4j.losses.impl.RowOrder;

class PatchOutputLayerTest {
    private static final TokenGrid GRID = TokenGrid.of(4, 6);

    @ParameterizedTest
    @CsvSource({"true, NWC", "true, NCW", "false, NWC", "false, NCW"})
    void scoresOutputAndExamplesEqualPlainLoops(boolean graph, RNNFormat format) {
        Networks networks = new Networks(GRID, 2).graph(graph).format(format);
        Model network = networks.build(
                networks.head().hasBias(true).weightDecay(0.1, true).build());
        DataSet data = networks.data(3, 1);
        INDArray output = Networks.output(network, data);
        assertArrayEquals(format == RNNFormat.NWC ? new long[] {3, 6, 5} : new long[] {3, 5, 6}, output.shape());
        INDArray rows = (format == RNNFormat.NWC ? output : output.permute(0, 2, 1)).reshape(18, 5);

        PlainLoop plain = new PlainLoop(3, 4, 6, 2, 5, new Random(1));
        INDArray mask = Networks.mask(3, 24, 3);
        for (int s = 0; s < 3; s++) {
            for (int n = 0; n < 24; n++) {
                plain.ids[s][n] = data.getLabels().getInt(s, n);
                plain.mask[s][n] = mask.getInt(s, n);
            }
        }
        data.setLabelsMaskArray(mask);
        double decay = graph
                ? ((ComputationGraph) network).calcRegularizationScore(true)
                : ((MultiLayerNetwork) network).calcRegularizationScore(true);
        assertTrue(decay > 1e-3);
        double expected = plain.loss(rows, RowOrder.BATCH_MAJOR);

        assertTrue(Double.isNaN(PatchOutputLayer.crossEntropy(network)), "nothing has been scored yet");
        assertEquals(expected + decay, Networks.score(network, data), 1e-10);
        assertEquals(expected, PatchOutputLayer.crossEntropy(network), 1e-10);
        double[] examples = plain.lossOfExamples(rows, RowOrder.BATCH_MAJOR);
        INDArray scores = Networks.scoreExamples(network, data, false);
        assertArrayEquals(new long[] {3, 1}, scores.shape());
        assertArrayEquals(examples, scores.reshape(3).toDoubleVector(), 1e-10);
        INDArray decayed = Networks.scoreExamples(network, data, true);
        assertArrayEquals(examples, decayed.sub(decay).reshape(3).toDoubleVector(), 1e-10);

        Networks.fit(network, data);
        assertEquals(expected + decay, network.score(), 1e-10);
        assertEquals(expected, PatchOutputLayer.crossEntropy(network), 1e-10);
    }

    @Test
    void softmaxGivesProbabilitiesAndTheSameScore() {
        Networks networks = new Networks(GRID, 2);
        DataSet data = networks.data(2, 1);
        Model logits = networks.build(networks.head().build());
        Model probabilities =
                networks.build(networks.head().activation(Activation.SOFTMAX).build());
        assertEquals(Networks.score(logits, data), Networks.score(probabilities, data), 1e-12);
        INDArray softmax = Nd4j.nn.softmax(Networks.output(logits, data), 2);
        assertTrue(softmax.equalsWithEps(Networks.output(probabilities, data), 1e-12));
    }

    @Test
    void trainsInEveryStage() {
        Networks networks = new Networks(GRID, 2).updater(new Adam(0.02)).graph(true);
        ComputationGraph network =
                (ComputationGraph) networks.build(networks.head().build());
        PatchAverage average = (PatchAverage) ((LayerVertex) network.getVertex("lstm")).getLayerPreProcessor();
        DataSet data = networks.data(4, 1);
        for (int p : new int[] {2, 1}) {
            average.setPatchSide(p);
            double before = network.score(data);
            for (int i = 0; i < 20; i++) {
                network.fit(data);
            }
            assertTrue(network.score(data) < before - 0.01, "patch side " + p);
        }
    }

    @Test
    void aHeadOfZerosStartsAtTheUniformDistribution() {
        Networks networks = new Networks(GRID, 2).type(DataType.FLOAT);
        Model network =
                networks.build(networks.head().weightInit(WeightInit.ZERO).build());
        assertEquals(Math.log(Networks.VOCABULARY), Networks.score(network, networks.data(2, 1)), 1e-6);
    }

    @Test
    void dropoutOfTheInputReachesTheGradient() {
        Networks networks = new Networks(GRID, 2);
        DataSet data = networks.data(2, 1);
        Model plain = networks.build(networks.head().build());
        Model dropped = networks.build(networks.head().dropOut(0.5).build());
        assertEquals(Networks.score(plain, data), Networks.score(dropped, data), 1e-12, "no dropout when scoring");
        Networks.fit(plain, data);
        Networks.fit(dropped, data);
        assertNotEquals(plain.score(), dropped.score(), 1e-6);

        assertEquals(networks.data(2, 1).getFeatures(), data.getFeatures(), "the features stay as they are");
    }

    /** A dropout that doubles its input is a head of doubled weights: same logits, same gradient below, twice the one of W. */
    @ParameterizedTest
    @CsvSource({"true, NWC", "true, NCW", "false, NWC", "false, NCW"})
    void dropoutIsPartOfTheBackwardPass(boolean graph, RNNFormat format) {
        Networks networks = new Networks(GRID, 2).graph(graph).format(format).updater(new NoOp());
        DataSet data = networks.data(2, 1);
        Model doubling = networks.build(networks.head().dropOut(new Doubling()).build());
        Model doubled = networks.build(networks.head().build());
        String head = graph ? "head_W" : "1_W";
        String lstm = graph ? "lstm_W" : "0_W";
        doubled.setParams(doubling.params().dup());
        doubled.getParam(head).muli(2);
        INDArray[] before = {
            doubling.getParam(head).dup(), doubled.getParam(head).dup()
        };
        INDArray lstmBefore = doubling.getParam(lstm).dup();
        Networks.fit(doubling, data);
        Networks.fit(doubled, data);
        assertEquals(doubled.score(), doubling.score(), 1e-12);
        INDArray below = doubling.getParam(lstm);
        assertNotEquals(0, below.sub(lstmBefore).amaxNumber().doubleValue(), 1e-6);
        assertTrue(below.equalsWithEps(doubled.getParam(lstm), 1e-12));
        INDArray change = doubling.getParam(head).sub(before[0]);
        assertTrue(change.equalsWithEps(doubled.getParam(head).sub(before[1]).mul(2), 1e-12));
    }

    /** Not random, so that its effect can be computed. */
    static final class Doubling implements IDropout {
        private static final long serialVersionUID = 1L;

        @Override
        public INDArray applyDropout(
                INDArray input, INDArray result, int iteration, int epoch, LayerWorkspaceMgr workspaceMgr) {
            return result.assign(input).muli(2);
        }

        @Override
        public INDArray backprop(INDArray gradAtOutput, INDArray gradAtInput, int iteration, int epoch) {
            return gradAtInput.assign(gradAtOutput).muli(2);
        }

        @Override
        public void clear() {}

        @Override
        public IDropout clone() {
            return new Doubling();
        }
    }

    @Test
    void nothingCountedLeavesTheParameters() {
        Networks networks = new Networks(GRID, 2).updater(new NoOp());
        Model network = networks.build(networks.head().hasBias(true).build());
        DataSet data = networks.data(2, 1);
        data.setLabelsMaskArray(Nd4j.zeros(DataType.FLOAT, 2, 24));
        INDArray before = network.params().dup();
        Networks.fit(network, data);
        assertEquals(0, network.score());
        assertEquals(before, network.params());
    }

    @Test
    void sumsOverTheMinibatchIfTheNetworkIsSetSo() {
        Networks networks = new Networks(GRID, 2);
        Model network = networks.build(networks.head().build());
        DataSet data = networks.data(3, 1);
        double mean = Networks.score(network, data);
        MultiLayerNetwork sums = new MultiLayerNetwork(MultiLayerConfiguration.fromJson(((MultiLayerNetwork) network)
                .getLayerWiseConfigurations()
                .toJson()
                .replace("\"miniBatch\" : true", "\"miniBatch\" : false")));
        sums.init();
        sums.setParams(network.params().dup());
        assertEquals(3 * mean, sums.score(data), 1e-10);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void survivesJsonAndCloneAndRestoresToTheBit(boolean graph) throws Exception {
        Networks networks =
                new Networks(GRID, 2).graph(graph).updater(new Adam(0.01)).type(DataType.FLOAT);
        PatchOutputLayer head =
                networks.head().hasBias(true).weightDecay(0.01, true).build();
        assertEquals(head, head.clone());
        assertEquals(head.hashCode(), head.clone().hashCode());
        assertNotEquals(head, networks.head().hasBias(true).build());
        assertNotEquals(
                networks.head().build(),
                networks.head().dataFormat(RNNFormat.NCW).build());
        assertNotEquals(
                networks.head().build(),
                new PatchOutputLayer.Builder(TokenGrid.of(6, 4))
                        .nIn(Networks.WIDTH)
                        .nOut(Networks.VOCABULARY)
                        .dataFormat(RNNFormat.NWC)
                        .build());

        Model network = networks.build(head);
        DataSet data = networks.data(2, 1);
        Networks.fit(network, data);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        ModelSerializer.writeModel(network, bytes, true);
        ByteArrayInputStream stored = new ByteArrayInputStream(bytes.toByteArray());
        Model restored = graph
                ? ModelSerializer.restoreComputationGraph(stored, true)
                : ModelSerializer.restoreMultiLayerNetwork(stored, true);
        if (graph) {
            ComputationGraphConfiguration conf = ((ComputationGraph) network).getConfiguration();
            assertEquals(conf, ComputationGraphConfiguration.fromJson(conf.toJson()));
            assertEquals(conf, ((ComputationGraph) restored).getConfiguration());
        } else {
            MultiLayerConfiguration conf = ((MultiLayerNetwork) network).getLayerWiseConfigurations();
            assertEquals(conf, MultiLayerConfiguration.fromJson(conf.toJson()));
        }
        List<Double> scores = new ArrayList<>();
        List<Double> restoredScores = new ArrayList<>();
        for (int i = 0; i < 5; i++) {
            Networks.fit(network, data);
            Networks.fit(restored, data);
            scores.add(network.score());
            restoredScores.add(restored.score());
        }
        assertEquals(scores, restoredScores);
        assertEquals(network.params(), restored.params());
    }

    @Test
    void takesSizeAndFormatFromTheInputType() {
        for (RNNFormat format : RNNFormat.values()) {
            PatchOutputLayer layer = new PatchOutputLayer.Builder(GRID).nOut(7).build();
            InputType.InputTypeRecurrent output =
                    (InputType.InputTypeRecurrent) layer.getOutputType(0, InputType.recurrent(3, -1, format));
            layer.setNIn(InputType.recurrent(3, -1, format), false);
            assertEquals(3, layer.getNIn());
            assertEquals(format, layer.getDataFormat());
            assertEquals(7, output.getSize());
            assertEquals(format, output.getFormat());
        }
        PatchOutputLayer layer = new PatchOutputLayer.Builder().nOut(7).build();
        assertThrows(IllegalArgumentException.class, () -> layer.setNIn(InputType.feedForward(3), false));
        assertEquals(null, layer.grid());
    }

    @Test
    void badSettingsAreRefused() {
        refused("IDENTITY", () -> new PatchOutputLayer.Builder(GRID)
                .nIn(3)
                .nOut(5)
                .activation(Activation.TANH)
                .build());
        refused("PatchCrossEntropy", () -> new PatchOutputLayer.Builder(GRID)
                .nIn(3)
                .nOut(5)
                .lossFunction(new LossMCXENT())
                .build());
        refused("nOut = 0", () -> new PatchOutputLayer.Builder(GRID).nIn(3).build());
        MultiLayerNetwork other = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .list()
                .layer(new Networks(GRID, 2).stockHead())
                .build());
        other.init();
        refused("no PatchOutputLayer", () -> PatchOutputLayer.crossEntropy(other));
        refused("got null", () -> PatchOutputLayer.crossEntropy(null));
    }

    private static void refused(String part, Runnable action) {
        IllegalArgumentException error = assertThrows(IllegalArgumentException.class, action::run);
        assertTrue(error.getMessage().contains(part), error.getMessage());
    }

    @Test
    void aWrongInputIsRefusedByName() {
        Networks networks = new Networks(GRID, 2);
        MultiLayerNetwork network = (MultiLayerNetwork) networks.buildWithoutLstm();
        PatchOutputLayerImpl layer = (PatchOutputLayerImpl) network.getLayer(0);
        INDArray wrong = Nd4j.zeros(DataType.DOUBLE, 2, 6, 9);
        Exception error = assertThrows(
                RuntimeException.class, () -> layer.activate(wrong, false, LayerWorkspaceMgr.noWorkspaces()));
        assertTrue(error.getMessage().contains("[batch, positions, 2] (NWC), got [2, 6, 9]"), error.getMessage());
    }

    /** 64 tokens a patch: an array of rows x vocabulary x 64 would be 64 times the logits. */
    @Test
    void memoryDoesNotGrowWithTheTokensOfAPatch() {
        PlainLoop one = new PlainLoop(8, 8, 8, 1, 16384, new Random(1));
        PlainLoop many = new PlainLoop(8, 64, 64, 8, 16384, new Random(1));
        INDArray z = Nd4j.rand(DataType.FLOAT, many.rows(), many.vocabulary);
        long logits = z.length() * 4;
        // the first time the heap takes its share, too
        new PatchCrossEntropy(TokenGrid.of(8, 8))
                .computeGradientAndScore(
                        one.labels(DataType.INT32), z, Activation.IDENTITY.getActivationFunction(), null, true);
        long before = Pointer.physicalBytes();
        new PatchCrossEntropy(TokenGrid.of(64, 64))
                .computeGradientAndScore(
                        many.labels(DataType.INT32), z, Activation.IDENTITY.getActivationFunction(), null, true);
        long grown = Pointer.physicalBytes() - before;
        assertTrue(grown < 4 * logits, grown + " bytes beside logits of " + logits);
    }
}
