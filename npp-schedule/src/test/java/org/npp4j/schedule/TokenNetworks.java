package org.npp4j.schedule;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.datasets.iterator.utilty.ListDataSetIterator;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;

/** Small token classifiers with a PatchAverage behind the embedding, and data for them. */
final class TokenNetworks {
    static final TokenGrid GRID = TokenGrid.of(4, 4);
    static final int VOCABULARY = 6;
    static final int WIDTH = 5;
    static final int HIDDEN = 7;
    static final int CLASSES = 3;
    static final int BATCH = 4;
    static final int BATCHES_PER_EPOCH = 3;

    /** The two network classes, which the tests run side by side. */
    enum Kind {
        MULTI_LAYER,
        GRAPH
    }

    private TokenNetworks() {}

    static Model network(Kind kind) {
        return network(kind, new Adam(0.01), 1);
    }

    static Model network(Kind kind, IUpdater updater, int patchSide) {
        return kind == Kind.MULTI_LAYER
                ? multiLayer(settings(updater), patchSide)
                : graph(settings(updater), patchSide);
    }

    static NeuralNetConfiguration.Builder settings(IUpdater updater) {
        return new NeuralNetConfiguration.Builder()
                .seed(7)
                .dataType(DataType.DOUBLE)
                .updater(updater)
                .weightInit(WeightInit.XAVIER);
    }

    static MultiLayerNetwork multiLayer(NeuralNetConfiguration.Builder settings, int patchSide) {
        MultiLayerNetwork network = new MultiLayerNetwork(settings.list()
                .layer(embedding())
                .layer(lstm())
                .layer(pooling())
                .layer(output())
                .inputPreProcessor(1, new PatchAverage(GRID, patchSide, RNNFormat.NWC))
                .build());
        network.init();
        return network;
    }

    static ComputationGraph graph(NeuralNetConfiguration.Builder settings, int patchSide) {
        ComputationGraph graph = new ComputationGraph(graphConfiguration(settings, patchSide));
        graph.init();
        return graph;
    }

    static ComputationGraphConfiguration graphConfiguration(NeuralNetConfiguration.Builder settings, int patchSide) {
        return settings.graphBuilder()
                .addInputs("tokens")
                .addLayer("embedding", embedding(), "tokens")
                .addVertex(
                        "patches",
                        new PreprocessorVertex(new PatchAverage(GRID, patchSide, RNNFormat.NWC)),
                        "embedding")
                .addLayer("lstm", lstm(), "patches")
                .addLayer("pooling", pooling(), "lstm")
                .addLayer("output", output(), "pooling")
                .setOutputs("output")
                .build();
    }

    static EmbeddingSequenceLayer embedding() {
        return new EmbeddingSequenceLayer.Builder()
                .nIn(VOCABULARY)
                .nOut(WIDTH)
                .inputLength(GRID.tokens())
                .inferInputLength(false)
                .outputDataFormat(RNNFormat.NWC)
                .build();
    }

    static LSTM lstm() {
        return new LSTM.Builder()
                .nIn(WIDTH)
                .nOut(HIDDEN)
                .dataFormat(RNNFormat.NWC)
                .activation(Activation.TANH)
                .build();
    }

    static GlobalPoolingLayer pooling() {
        // axis 1 holds the positions of [B, T, D]
        return new GlobalPoolingLayer.Builder(PoolingType.AVG)
                .poolingDimensions(1)
                .build();
    }

    static OutputLayer output() {
        return new OutputLayer.Builder(LossFunctions.LossFunction.MCXENT)
                .nIn(HIDDEN)
                .nOut(CLASSES)
                .activation(Activation.SOFTMAX)
                .build();
    }

    /** A batch of random tokens [B, N] and one-hot classes [B, classes]. */
    static DataSet batch(long seed) {
        Random random = new Random(seed);
        INDArray tokens = Nd4j.create(DataType.DOUBLE, BATCH, GRID.tokens());
        INDArray labels = Nd4j.create(DataType.DOUBLE, BATCH, CLASSES);
        for (int b = 0; b < BATCH; b++) {
            for (int n = 0; n < GRID.tokens(); n++) {
                tokens.putScalar(b, n, random.nextInt(VOCABULARY));
            }
            labels.putScalar(b, random.nextInt(CLASSES), 1);
        }
        return new DataSet(tokens, labels);
    }

    /** Epochs of three batches, in this thread. */
    static DataSetIterator batches() {
        List<DataSet> batches = new ArrayList<>();
        for (int i = 0; i < BATCHES_PER_EPOCH; i++) {
            batches.add(batch(i));
        }
        return new ListDataSetIterator<>(batches, 1);
    }

    static void fit(Model model, DataSet batch) {
        if (model instanceof MultiLayerNetwork network) {
            network.fit(batch);
        } else {
            ((ComputationGraph) model).fit(batch);
        }
    }

    static void fit(Model model, DataSetIterator batches, int epochs) {
        if (model instanceof MultiLayerNetwork network) {
            network.fit(batches, epochs);
        } else {
            ((ComputationGraph) model).fit(batches, epochs);
        }
    }
}
