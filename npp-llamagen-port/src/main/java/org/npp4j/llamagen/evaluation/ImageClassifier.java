package org.npp4j.llamagen.evaluation;

import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.function.DoubleConsumer;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.conf.ConvolutionMode;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.SubsamplingLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.nd4j.linalg.schedule.MapSchedule;
import org.nd4j.linalg.schedule.ScheduleType;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A small convolutional classifier, trained on a data set's own labels: the feature network for small pictures, in which the
 * Inception network sees little.
 *
 * <p>Three times convolution 3 x 3 (16, 32, 64 channels), ReLU and maximum of 2 x 2; 64 features with ReLU; softmax. Pixels
 * go in as v / 255. Trained with Adam, cross-entropy and mirrored copies; the learning rate falls to a fifth after 60 % of
 * the epochs and again after 85 %.
 */
public final class ImageClassifier {
    private static final int[] CHANNELS = {16, 32, 64};
    private static final int FEATURES = 64;
    private static final double LEARNING_RATE = 1e-3;
    private static final int BATCH = 64;
    private static final int TEST_BATCH = 250;

    private ImageClassifier() {}

    /**
     * An untrained classifier.
     *
     * @param images whose size and number of channels it takes
     * @param classes to tell apart
     * @param epochs that it will be trained for; they decide when the learning rate falls
     * @param seed of its weights
     * @return the network, initialized
     */
    static MultiLayerNetwork network(PixelImages images, int classes, int epochs, long seed) {
        Map<Integer, Double> rates = new TreeMap<>();
        rates.put((int) (0.85 * epochs), LEARNING_RATE / 25);
        rates.put((int) (0.6 * epochs), LEARNING_RATE / 5);
        rates.put(0, LEARNING_RATE);
        NeuralNetConfiguration.ListBuilder layers = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? 1 : seed) // 0 would be taken from the clock
                .weightInit(WeightInit.RELU)
                .updater(new Adam(new MapSchedule(ScheduleType.EPOCH, rates)))
                .list();
        for (int channels : CHANNELS) {
            layers.layer(new ConvolutionLayer.Builder(3, 3)
                            .nOut(channels)
                            .convolutionMode(ConvolutionMode.Same)
                            .activation(Activation.RELU)
                            .build())
                    .layer(new SubsamplingLayer.Builder(SubsamplingLayer.PoolingType.MAX)
                            .kernelSize(2, 2)
                            .stride(2, 2)
                            .build());
        }
        MultiLayerConfiguration configuration = layers.layer(new DenseLayer.Builder()
                        .nOut(FEATURES)
                        .activation(Activation.RELU)
                        .build())
                .layer(new OutputLayer.Builder(LossFunction.MCXENT)
                        .nOut(classes)
                        .activation(Activation.SOFTMAX)
                        .weightInit(WeightInit.XAVIER)
                        .build())
                .setInputType(InputType.convolutional(images.height(), images.width(), images.channels()))
                .build();
        MultiLayerNetwork network = new MultiLayerNetwork(configuration);
        network.init();
        return network;
    }

    /**
     * Trains a classifier.
     *
     * @param data images of at least 8 x 8 pixels with their classes
     * @param epochs how often each image is seen, at least 1
     * @param seed of weights, order and mirroring
     * @param progress told the share of the training that is done, 0 to 1
     * @return the network
     * @throws IllegalArgumentException if there is one class only, the images are too small, or epochs is below 1
     */
    public static MultiLayerNetwork train(LabelledImages data, int epochs, long seed, DoubleConsumer progress) {
        PixelImages images = data.images();
        int least = 1 << CHANNELS.length;
        if (data.classes() < 2 || epochs < 1 || images.height() < least || images.width() < least) {
            throw new IllegalArgumentException("A classifier needs at least 2 classes, 1 epoch and images of " + least
                    + " x " + least + ", got " + data.classes() + " classes, " + epochs + " epochs and " + images);
        }
        MultiLayerNetwork network = network(images, data.classes(), epochs, seed);
        int[] labels = data.labels();
        int batches = (data.count() + BATCH - 1) / BATCH;
        for (int epoch = 0; epoch < epochs; epoch++) {
            Random random = new Random(seed * 31 + epoch);
            int[] order = IntStream.range(0, data.count()).toArray();
            for (int i = order.length - 1; i > 0; i--) {
                int other = random.nextInt(i + 1);
                int index = order[i];
                order[i] = order[other];
                order[other] = index;
            }
            for (int batch = 0; batch < batches; batch++) {
                int[] chosen = Arrays.copyOfRange(order, batch * BATCH, Math.min(order.length, (batch + 1) * BATCH));
                int[] classes = Arrays.stream(chosen).map(i -> labels[i]).toArray();
                network.fit(new DataSet(input(images.select(chosen), random), oneHot(classes, data.classes())));
                progress.accept((epoch * (double) batches + batch + 1) / (epochs * (double) batches));
            }
            network.incrementEpochCount();
        }
        return network;
    }

    /**
     * The share of images that a network assigns to their class.
     *
     * @param network gives class probabilities
     * @param images the images
     * @param classes the class of each
     * @return the share, 0 to 1
     * @throws IllegalArgumentException if the network gives no probabilities, there are no images, or the counts differ
     */
    public static double accuracy(FeatureNetwork network, PixelImages images, int[] classes) {
        if (images.count() == 0 || images.count() != classes.length) {
            throw new IllegalArgumentException("Every image needs a class and there must be at least one, got "
                    + images.count() + " images and " + classes.length + " classes");
        }
        int right = 0;
        for (int from = 0; from < classes.length; from += TEST_BATCH) {
            int to = Math.min(classes.length, from + TEST_BATCH);
            INDArray probabilities = network.look(images.range(from, to))
                    .probabilities()
                    .orElseThrow(() -> new IllegalArgumentException(
                            "The network " + network.name() + " gives no class probabilities"));
            int[] likeliest = probabilities.argMax(1).toIntVector();
            for (int i = from; i < to; i++) {
                right += likeliest[i - from] == classes[i] ? 1 : 0;
            }
        }
        return right / (double) classes.length;
    }

    /** [n, C, H, W], v / 255; every second one mirrored on average. */
    private static INDArray input(PixelImages images, Random random) {
        byte[] pixels = images.toBytes();
        float[] values = new float[pixels.length];
        int width = images.width();
        int rows = images.channels() * images.height();
        for (int i = 0; i < images.count(); i++) {
            boolean mirrored = random.nextBoolean();
            for (int row = i * rows; row < (i + 1) * rows; row++) {
                for (int x = 0; x < width; x++) {
                    int from = row * width + (mirrored ? width - 1 - x : x);
                    values[row * width + x] = (pixels[from] & 0xff) / 255f;
                }
            }
        }
        return Nd4j.createFromArray(values)
                .reshape('c', images.count(), images.channels(), images.height(), images.width());
    }

    private static INDArray oneHot(int[] classes, int count) {
        float[] values = new float[classes.length * count];
        for (int i = 0; i < classes.length; i++) {
            values[i * count + classes[i]] = 1;
        }
        return Nd4j.createFromArray(values).reshape('c', classes.length, count);
    }
}
