package org.npp4j.samples;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.conf.layers.LSTM;
import org.deeplearning4j.nn.conf.layers.RnnOutputLayer;
import org.deeplearning4j.nn.conf.layers.ZeroPadding1DLayer;
import org.deeplearning4j.nn.conf.layers.convolutional.Cropping1D;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/**
 * How to add Next Patch Prediction to a model of your own: a stock Deeplearning4j LSTM over image tokens, before and
 * after. The lines that differ are marked {@code // NPP}.
 *
 * <p>Both take the same data: the token ids [B, N] as features, and as labels the same tokens one-hot, [B, V, N]. The
 * NPP model also takes the ids themselves as labels, which needs V times less memory.
 *
 * <p>Both have the same parameters. At p = 1 both compute the same function.
 *
 * <h2>The shift</h2>
 *
 * A next-token model must not see the token that it predicts, so its input is shifted by one position. Here the network
 * does that itself: {@code ZeroPadding1DLayer(1, 0)} puts zeros in front and {@code Cropping1D(0, 1)} drops the last
 * position, so position i sees the positions before i. PatchAverage comes before the shift. Then the same two layers shift
 * by one token at p = 1 and by one patch at p = 2.
 *
 * <p>If your data is shifted already (features START, t1 .. t(n-1), labels t1 .. tn), undo that first and shift in the
 * network. Averaging shifted tokens would show t1 to the position that predicts the patch of t1 and t2. For a model with
 * a class or another condition in front of the sequence, {@link org.npp4j.layers.ClassPrefix} does the same shift.
 */
public final class AddNppToYourModel {
    private static final int WIDTH = 32;
    private static final int HIDDEN = 64;
    private static final double LEARNING_RATE = 5e-3;

    private AddNppToYourModel() {}

    /**
     * Before: next-token prediction with stock layers.
     *
     * <p>Deeplearning4j logs a warning about a missing "RNN -> CNN preprocessor" for Cropping1D. None is needed.
     *
     * @param vocabulary V, number of codes
     * @param grid the token grid
     * @param seed of the weights
     * @return the network
     */
    public static MultiLayerNetwork stock(int vocabulary, TokenGrid grid, long seed) {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .seed(seed)
                .updater(new Adam(LEARNING_RATE))
                .list()
                .layer(new EmbeddingSequenceLayer.Builder()
                        .nOut(WIDTH)
                        .inputLength(grid.tokens())
                        .build())
                .layer(new ZeroPadding1DLayer(1, 0))
                .layer(new Cropping1D(0, 1))
                .layer(new LSTM.Builder().nOut(HIDDEN).build())
                .layer(new RnnOutputLayer.Builder(LossFunction.MCXENT)
                        .nOut(vocabulary)
                        .activation(Activation.SOFTMAX)
                        .build())
                .setInputType(InputType.recurrent(vocabulary, grid.tokens()))
                .build());
        network.init();
        return network;
    }

    /**
     * After: the same model with Next Patch Prediction.
     *
     * @param vocabulary V, number of codes
     * @param grid the token grid
     * @param seed of the weights
     * @param stages which patch side to train when, such as {@code PatchStages.ofEpochs(300, 0.5, 2)}
     * @return the network
     */
    public static MultiLayerNetwork withNpp(int vocabulary, TokenGrid grid, long seed, PatchStages stages) {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .seed(seed)
                .updater(new Adam(LEARNING_RATE))
                .list()
                .layer(new EmbeddingSequenceLayer.Builder()
                        .nOut(WIDTH)
                        .inputLength(grid.tokens())
                        .build())
                .layer(new ZeroPadding1DLayer(1, 0))
                .layer(new Cropping1D(0, 1))
                .layer(new LSTM.Builder().nOut(HIDDEN).build())
                .layer(new PatchOutputLayer.Builder(grid) // NPP
                        .hasBias(true) // NPP
                        .nOut(vocabulary)
                        .activation(Activation.SOFTMAX)
                        .build())
                .inputPreProcessor(1, new PatchAverage(grid, 1)) // NPP
                .setInputType(InputType.recurrent(vocabulary, grid.tokens()))
                .build());
        network.init();
        new StageScheduler(stages).attachTo(network); // NPP
        return network;
    }
}
