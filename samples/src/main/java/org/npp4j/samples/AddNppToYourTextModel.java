package org.npp4j.samples;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.RnnOutputLayer;
import org.deeplearning4j.nn.conf.layers.ZeroPadding1DLayer;
import org.deeplearning4j.nn.conf.layers.convolutional.Cropping1D;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.PatchCrossEntropy;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/**
 * The same as {@link AddNppToYourModel} for text: a stock character LSTM, before and after. A patch is p consecutive
 * characters, and the lines that differ are marked {@code // NPP}.
 *
 * <p>Here the loss goes into a stock {@code OutputLayer}. Its output has one row for each position, [N x B, V], where
 * that of {@code RnnOutputLayer} and {@code PatchOutputLayer} is [B, V, N].
 *
 * <p>Features are ids [B, N], labels one-hot [B, V, N] or, for the NPP model, ids. The network shifts them itself, for
 * the reason given at {@link AddNppToYourModel}.
 */
public final class AddNppToYourTextModel {
    private static final int WIDTH = 32;
    private static final int HIDDEN = 64;
    private static final double LEARNING_RATE = 5e-3;

    private AddNppToYourTextModel() {}

    /**
     * Before: next-character prediction with stock layers.
     *
     * @param vocabulary V, number of characters
     * @param length N, characters in an example
     * @param seed of the weights
     * @return the network
     */
    public static MultiLayerNetwork stock(int vocabulary, int length, long seed) {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .seed(seed)
                .updater(new Adam(LEARNING_RATE))
                .list()
                .layer(new EmbeddingSequenceLayer.Builder()
                        .nOut(WIDTH)
                        .inputLength(length)
                        .build())
                .layer(new ZeroPadding1DLayer(1, 0))
                .layer(new Cropping1D(0, 1))
                .layer(new LSTM.Builder().nOut(HIDDEN).build())
                .layer(new RnnOutputLayer.Builder(LossFunction.MCXENT)
                        .nOut(vocabulary)
                        .activation(Activation.SOFTMAX)
                        .build())
                .setInputType(InputType.recurrent(vocabulary, length))
                .build());
        network.init();
        return network;
    }

    /**
     * After: the same model with Next Patch Prediction.
     *
     * @param vocabulary V, number of characters
     * @param length N, characters in an example
     * @param seed of the weights
     * @param stages which patch side to train when
     * @return the network
     */
    public static MultiLayerNetwork withNpp(int vocabulary, int length, long seed, PatchStages stages) {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .seed(seed)
                .updater(new Adam(LEARNING_RATE))
                .list()
                .layer(new EmbeddingSequenceLayer.Builder()
                        .nOut(WIDTH)
                        .inputLength(length)
                        .build())
                .layer(new ZeroPadding1DLayer(1, 0))
                .layer(new Cropping1D(0, 1))
                .layer(new LSTM.Builder().nOut(HIDDEN).build())
                .layer(new OutputLayer.Builder(new PatchCrossEntropy()) // NPP
                        .nOut(vocabulary)
                        .activation(Activation.SOFTMAX)
                        .build())
                .inputPreProcessor(1, new PatchAverage(TokenGrid.sequence(length), 1)) // NPP
                .setInputType(InputType.recurrent(vocabulary, length))
                .build());
        network.init();
        new StageScheduler(stages).attachTo(network); // NPP
        return network;
    }
}
