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
 * Networks that learn a VQ tokenizer: encoder, {@link VectorQuantizer}, decoder, squared error of the image, in one
 * Deeplearning4j graph that its own {@code fit} trains. Features and labels are the same images, [B, H, W, 3] in [-1, 1].
 *
 * <pre>{@code
 * VqTraining training = new VqTraining.Builder(config, 32, 32).build();
 * ComputationGraph network = training.init();
 * network.setListeners(new CodebookRestart(0.7 * steps, seed));
 * network.fit(new VqDataSetIterator(images, 32, true, seed));
 * training.tokenizer(network).save(Path.of("vq.pt"));
 * }</pre>
 *
 * <p>Weights are drawn as PyTorch draws those of convolutions, codes with length near 1.
 *
 * <p>Source: van den Oord et al. (arXiv 1711.00937), with the published tokenizer's unit lengths; neither perceptual nor
 * adversarial parts.
 */
public final class VqTraining {
    /** The vertex of the quantizer. */
    public static final String QUANTIZER = "quantizer";

    private static final String IMAGES = "images";
    private static final String LOSS = "loss";
    private static final double DEFAULT_LEARNING_RATE = 1e-3;

    private final VqConfig config;
    private final int height;
    private final int width;
    private final IUpdater updater;
    private final double commitment;
    private final double quantizerWeight;
    private final DataType dataType;
    private final long seed;

    private VqTraining(Builder builder) {
        config = builder.config;
        height = builder.height;
        width = builder.width;
        updater = builder.updater;
        commitment = builder.commitment;
        quantizerWeight = builder.quantizerWeight;
        dataType = builder.dataType;
        seed = builder.seed;
    }

    /** {@return the sizes of the tokenizer} */
    public VqConfig config() {
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
        VectorQuantizer quantizer = new VectorQuantizer.Builder(config.codebookSize(), config.codebookDim())
                .commitment(commitment)
                .weight(quantizerWeight)
                .build();
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? 1 : seed) // 0 is taken from the clock
                .dataType(dataType)
                .updater(updater)
                .weightInit(WeightInit.UNIFORM)
                .graphBuilder()
                .addInputs(IMAGES);
        String latents = AutoencoderChain.add(graph, VqModules.encoder(config), VqConfig.GROUPS, IMAGES);
        graph.addLayer(QUANTIZER, quantizer, latents);
        String decoded = AutoencoderChain.add(graph, VqModules.decoder(config), VqConfig.GROUPS, QUANTIZER);
        CnnLossLayer loss = new CnnLossLayer.Builder(new ImageSquaredError(3L * height * width))
                .format(CNN2DFormat.NHWC)
                .activation(Activation.IDENTITY)
                .build();
        return graph.addLayer(LOSS, loss, decoded).setOutputs(LOSS).build();
    }

    /**
     * The tokenizer that a network has learnt.
     *
     * @param network made by {@link #init}, trained or not
     * @return a tokenizer with a copy of its weights, for the images it was trained on
     */
    public VqTokenizer tokenizer(ComputationGraph network) {
        VqTokenizer tokenizer = new VqTokenizer(VqNetworks.unset(config), height, width);
        copy(network, tokenizer);
        return tokenizer;
    }

    /**
     * Brings a tokenizer up to date: cheaper than a new one.
     *
     * @param network made by {@link #init}, trained or not
     * @param tokenizer made by {@link #tokenizer}; gets its weights
     */
    public void copy(ComputationGraph network, VqTokenizer tokenizer) {
        tokenizer.setWeights(weights(network));
    }

    /**
     * Starts from a tokenizer instead of random weights.
     *
     * @param tokenizer of the same sizes
     * @param network made by {@link #init}
     * @throws IllegalArgumentException if the tokenizer has other sizes
     */
    public void start(VqTokenizer tokenizer, ComputationGraph network) {
        if (!tokenizer.config().equals(config)) {
            throw new IllegalArgumentException("To train a " + config + " from a " + tokenizer.config()
                    + " is not possible; the sizes must be equal");
        }
        Map<String, INDArray> from = tokenizer.weights();
        weights(network).forEach((name, target) -> target.assign(from.get(name)));
    }

    private Map<String, INDArray> weights(ComputationGraph network) {
        Map<String, INDArray> weights = AutoencoderChain.weights(network, VqModules.encoder(config));
        weights.putAll(AutoencoderChain.weights(network, VqModules.decoder(config)));
        weights.put(VqModules.CODEBOOK, network.getLayer(QUANTIZER).getParam(VectorQuantizer.CODES));
        return weights;
    }

    /**
     * The mean squared difference of latents and chosen codes in the last forward pass.
     *
     * @param network made by {@link #init}
     * @return 0 (equal) to 4 / D (opposite)
     */
    public static double quantizationError(ComputationGraph network) {
        return quantizer(network).squaredError();
    }

    /**
     * The codes that the last forward pass chose.
     *
     * @param network made by {@link #init}
     * @return B x N ids, image by image
     */
    public static int[] chosenCodes(ComputationGraph network) {
        return quantizer(network).chosen().clone();
    }

    static VectorQuantizerImpl quantizer(ComputationGraph network) {
        if (!(network.getLayer(QUANTIZER) instanceof VectorQuantizerImpl quantizer)) {
            throw new IllegalArgumentException(
                    "This network has no layer \"" + QUANTIZER + "\"; build it with VqTraining");
        }
        return quantizer;
    }

    /** Settings of a training network. */
    public static final class Builder {
        private final VqConfig config;
        private final int height;
        private final int width;
        private IUpdater updater = new TorchAdam(DEFAULT_LEARNING_RATE);
        private double commitment = 0.25;
        private double quantizerWeight = 1;
        private DataType dataType = DataType.FLOAT;
        private long seed = 1;

        /**
         * A network with Adam at a learning rate of 1e-3, a commitment of 0.25 and a quantizer weight of 1.
         *
         * @param config sizes of the tokenizer
         * @param height of images in pixels
         * @param width of images in pixels
         * @throws IllegalArgumentException if the downsampling does not divide height and width
         */
        public Builder(VqConfig config, int height, int width) {
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
         * The factor of the term that moves latents.
         *
         * @param commitment 0 or above
         * @return this
         */
        public Builder commitment(double commitment) {
            this.commitment = commitment;
            return this;
        }

        /**
         * The factor of the quantizer's loss beside the squared error of the images.
         *
         * @param quantizerWeight 0 or above
         * @return this
         */
        public Builder quantizerWeight(double quantizerWeight) {
            this.quantizerWeight = quantizerWeight;
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
         * Seed of the weights.
         *
         * @param seed 1 by default
         * @return this
         */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /** {@return the training} */
        public VqTraining build() {
            return new VqTraining(this);
        }
    }
}
