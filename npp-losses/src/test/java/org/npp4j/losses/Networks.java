package org.npp4j.losses;

import java.util.Random;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.preprocessor.RnnToFeedForwardPreProcessor;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.NoOp;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;

/** Small networks for the tests: features, PatchAverage, LSTM, output layer. */
final class Networks {
    static final int FEATURES = 2;
    static final int WIDTH = 3;
    static final int VOCABULARY = 5;

    final TokenGrid grid;
    int patchSide;
    RNNFormat format = RNNFormat.NWC;
    IUpdater updater = new NoOp();
    DataType type = DataType.DOUBLE;
    private boolean graph;

    Networks(TokenGrid grid, int patchSide) {
        this.grid = grid;
        this.patchSide = patchSide;
    }

    Networks format(RNNFormat format) {
        this.format = format;
        return this;
    }

    Networks updater(IUpdater updater) {
        this.updater = updater;
        return this;
    }

    Networks type(DataType type) {
        this.type = type;
        return this;
    }

    Networks graph(boolean graph) {
        this.graph = graph;
        return this;
    }

    PatchOutputLayer.Builder head() {
        return new PatchOutputLayer.Builder(grid.oneDimensional() ? null : grid)
                .nIn(WIDTH)
                .nOut(VOCABULARY)
                .dataFormat(format);
    }

    OutputLayer stockHead() {
        return new OutputLayer.Builder(new PatchCrossEntropy(grid.oneDimensional() ? null : grid))
                .nIn(WIDTH)
                .nOut(VOCABULARY)
                .activation(Activation.IDENTITY)
                .build();
    }

    Model build(BaseOutputLayer head) {
        NeuralNetConfiguration.Builder settings =
                new NeuralNetConfiguration.Builder().seed(7).dataType(type).updater(updater);
        LSTM lstm =
                new LSTM.Builder().nIn(FEATURES).nOut(WIDTH).dataFormat(format).build();
        PatchAverage average = new PatchAverage(grid, patchSide, format);
        RnnToFeedForwardPreProcessor toRows =
                head instanceof OutputLayer ? new RnnToFeedForwardPreProcessor(format) : null;
        if (graph) {
            ComputationGraph network = new ComputationGraph(settings.graphBuilder()
                    .addInputs("in")
                    .addLayer("lstm", lstm, average, "in")
                    .addLayer("head", head, toRows, "lstm")
                    .setOutputs("head")
                    .build());
            network.init();
            return network;
        }
        NeuralNetConfiguration.ListBuilder list =
                settings.list().layer(lstm).layer(head).inputPreProcessor(0, average);
        if (toRows != null) {
            list.inputPreProcessor(1, toRows);
        }
        MultiLayerNetwork network = new MultiLayerNetwork(list.build());
        network.init();
        return network;
    }

    /** PatchAverage and the head alone: masks of the features reach it, which an LSTM would stop. */
    Model buildWithoutLstm() {
        NeuralNetConfiguration.Builder settings =
                new NeuralNetConfiguration.Builder().seed(7).dataType(type).updater(updater);
        PatchOutputLayer head = head().nIn(FEATURES).build();
        PatchAverage average = new PatchAverage(grid, patchSide, format);
        if (graph) {
            ComputationGraph network = new ComputationGraph(settings.graphBuilder()
                    .addInputs("in")
                    .addLayer("head", head, average, "in")
                    .setOutputs("head")
                    .build());
            network.init();
            return network;
        }
        MultiLayerNetwork network = new MultiLayerNetwork(
                settings.list().layer(head).inputPreProcessor(0, average).build());
        network.init();
        return network;
    }

    DataSet data(int batch, long seed) {
        Random random = new Random(seed);
        int n = grid.tokens();
        double[][][] features = new double[batch][n][FEATURES];
        int[][] ids = new int[batch][n];
        for (int s = 0; s < batch; s++) {
            for (int t = 0; t < n; t++) {
                ids[s][t] = random.nextInt(VOCABULARY);
                for (int f = 0; f < FEATURES; f++) {
                    features[s][t][f] = random.nextGaussian();
                }
            }
        }
        INDArray x = Nd4j.createFromArray(features).castTo(type);
        return new DataSet(format == RNNFormat.NWC ? x : x.permute(0, 2, 1).dup(), Nd4j.createFromArray(ids));
    }

    /** [batch, n] of 0 and 1. */
    static INDArray mask(int batch, int n, long seed) {
        Random random = new Random(seed);
        INDArray mask = Nd4j.create(DataType.FLOAT, batch, n);
        for (int s = 0; s < batch; s++) {
            for (int t = 0; t < n; t++) {
                mask.putScalar(s, t, random.nextInt(3) > 0 ? 1 : 0);
            }
        }
        return mask;
    }

    static void fit(Model network, DataSet data) {
        if (network instanceof ComputationGraph) {
            ((ComputationGraph) network).fit(data);
        } else {
            ((MultiLayerNetwork) network).fit(data);
        }
    }

    static double score(Model network, DataSet data) {
        return network instanceof ComputationGraph
                ? ((ComputationGraph) network).score(data)
                : ((MultiLayerNetwork) network).score(data);
    }

    static INDArray output(Model network, DataSet data) {
        return network instanceof ComputationGraph
                ? ((ComputationGraph) network).outputSingle(data.getFeatures())
                : ((MultiLayerNetwork) network).output(data.getFeatures());
    }

    static INDArray scoreExamples(Model network, DataSet data, boolean regularization) {
        return network instanceof ComputationGraph
                ? ((ComputationGraph) network).scoreExamples(data, regularization)
                : ((MultiLayerNetwork) network).scoreExamples(data, regularization);
    }
}
