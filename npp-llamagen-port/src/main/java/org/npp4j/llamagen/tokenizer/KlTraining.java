package org.npp4j.llamagen.tokenizer;

import java.util.Map;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.CnnLossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.schedule.TorchAdam;

/**
 * Networks that learn a KL autoencoder: encoder, {@link GaussianLatents}, decoder, squared error of the image, in one
 * Deeplearning4j graph that its own {@code fit} trains. Features and labels are the same images, [B, H, W, 3] in [-1, 1].
 *
 * <pre>{@code
 * KlTraining training = new KlTraining.Builder(config, 32, 32).build();
 * ComputationGraph network = training.init();
 * network.fit(new ImageDataSetIterator(images, 32, true, seed));
 * training.autoencoder(network).save(Path.of("kl.pt"));
 * }</pre>
 *
 * <p>The loss of an image is (squared error + weight x divergence) / n, both summed, n = 3 H W: the divergence weighs beside the
 * reconstruction as in latent-diffusion, whose losses are sums. Weights are drawn as PyTorch draws those of convolutions.
 *
 * <p>Source: Rombach et al. (arXiv 2112.10752), with the squared in place of the absolute error; neither perceptual nor
 * adversarial parts.
 */
public final class KlTraining {
    /** The vertex that draws latents. */
    public static final String LATENTS = "latents";

    /** The published weight of the divergence. */
    public static final double DEFAULT_WEIGHT = 1e-6;

    private static final String IMAGES = "images";
    private static final String LOSS = "loss";
    private static final double DEFAULT_LEARNING_RATE = 1e-3;

    private final KlConfig config;
    private final int height;
    private final int width;
    private final IUpdater updater;
    private final double weight;
    private final DataType dataType;
    private final long seed;

    private KlTraining(Builder builder) {
        config = builder.config;
        height = builder.height;
        width = builder.width;
        updater = builder.updater;
        weight = builder.weight;
        dataType = builder.dataType;
        seed = builder.seed;
    }

    /** {@return the sizes of the autoencoder} */
    public KlConfig config() {
        return config;
    }

    /** {@return a network with random weights, to be trained} */
    public ComputationGraph init() {
        ComputationGraph network = new ComputationGraph(configuration());
        network.init();
        return network;
    }

    /** {@return the configuration of the network} */
    public ComputationGraphConfiguration configuration() {
        long values = 3L * height * width;
        GaussianLatents latents = new GaussianLatents.Builder(config.latentChannels())
                .weight(weight / values)
                .seed(seed)
                .build();
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? 1 : seed) // 0 is taken from the clock
                .dataType(dataType)
                .updater(updater)
                .weightInit(WeightInit.UNIFORM)
                .graphBuilder()
                .addInputs(IMAGES);
        String moments = AutoencoderChain.add(graph, KlModules.encoder(config), config.groups(), IMAGES);
        graph.addLayer(LATENTS, latents, moments);
        String decoded = AutoencoderChain.add(graph, KlModules.decoder(config), config.groups(), LATENTS);
        CnnLossLayer loss = new CnnLossLayer.Builder(new ImageSquaredError(values))
                .format(CNN2DFormat.NHWC)
                .activation(Activation.IDENTITY)
                .build();
        return graph.addLayer(LOSS, loss, decoded).setOutputs(LOSS).build();
    }

    /**
     * The autoencoder that a network has learnt.
     *
     * @param network made by {@link #init}, trained or not
     * @return an autoencoder with a copy of its weights
     */
    public KlAutoencoder autoencoder(ComputationGraph network) {
        KlAutoencoder autoencoder = KlAutoencoder.unset(config);
        copy(network, autoencoder);
        return autoencoder;
    }

    /**
     * Brings an autoencoder up to date: cheaper than a new one.
     *
     * @param network made by {@link #init}, trained or not
     * @param autoencoder made by {@link #autoencoder}; gets its weights
     */
    public void copy(ComputationGraph network, KlAutoencoder autoencoder) {
        autoencoder.setWeights(weights(network));
    }

    /**
     * Starts from an autoencoder instead of random weights.
     *
     * @param autoencoder of the same sizes
     * @param network made by {@link #init}
     * @throws IllegalArgumentException if the autoencoder has other sizes
     */
    public void start(KlAutoencoder autoencoder, ComputationGraph network) {
        if (!autoencoder.config().equals(config)) {
            throw new IllegalArgumentException("To train a " + config + " from a " + autoencoder.config()
                    + " is not possible; the sizes must be equal");
        }
        Map<String, INDArray> from = autoencoder.weights();
        weights(network).forEach((name, target) -> target.assign(from.get(name)));
    }

    private Map<String, INDArray> weights(ComputationGraph network) {
        Map<String, INDArray> weights = AutoencoderChain.weights(network, KlModules.encoder(config));
        weights.putAll(AutoencoderChain.weights(network, KlModules.decoder(config)));
        return weights;
    }

    /**
     * The divergence in the last forward pass.
     *
     * @param network made by {@link #init}
     * @return of an image in nats, mean over the batch
     * @throws IllegalArgumentException if the network was not built here
     */
    public static double divergence(ComputationGraph network) {
        if (!(network.getLayer(LATENTS) instanceof GaussianLatentsImpl latents)) {
            throw new IllegalArgumentException(
                    "This network has no layer \"" + LATENTS + "\"; build it with KlTraining");
        }
        return latents.divergence();
    }

    /** Settings of a training network. */
    public static final class Builder {
        private final KlConfig config;
        private final int height;
        private final int width;
        private IUpdater updater = new TorchAdam(DEFAULT_LEARNING_RATE);
        private double weight = DEFAULT_WEIGHT;
        private DataType dataType = DataType.FLOAT;
        private long seed = 1;

        /**
         * A network with Adam at a learning rate of 1e-3 and a weight of 1e-6.
         *
         * @param config sizes of the autoencoder
         * @param height of images in pixels
         * @param width of images in pixels
         * @throws IllegalArgumentException if the downsampling does not divide height and width
         */
        public Builder(KlConfig config, int height, int width) {
            config.grid(height, width);
            this.config = config;
            this.height = height;
            this.width = width;
        }

        /**
         * What moves the weights.
         *
         * @param updater with its learning rate
         * @return this
         */
        public Builder updater(IUpdater updater) {
            this.updater = updater;
            return this;
        }

        /**
         * The factor of the divergence, summed over a latent, beside the squared error, summed over an image.
         *
         * @param weight 0 or above; 1e-6 by default
         * @return this
         * @throws IllegalArgumentException if it is out of its range
         */
        public Builder weight(double weight) {
            if (!(weight >= 0 && weight < Double.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException(
                        "The weight of the divergence must be a finite number, 0 or above, got " + weight);
            }
            this.weight = weight;
            return this;
        }

        /**
         * The type of weights and activations.
         *
         * @param dataType FLOAT by default
         * @return this
         */
        public Builder dataType(DataType dataType) {
            this.dataType = dataType;
            return this;
        }

        /**
         * Seed of the weights and of the noise.
         *
         * @param seed 1 by default
         * @return this
         */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /** {@return the training} */
        public KlTraining build() {
            return new KlTraining(this);
        }
    }
}
