package org.npp4j.ecar.baseline;

import java.util.Arrays;
import java.util.Objects;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.ElementWiseVertex;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.LossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.layers.AdaptiveNormBlock;
import org.npp4j.layers.AdaptiveNormProjection;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.TimeEmbedding;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.schedule.TorchAdam;

/**
 * A diffusion transformer as a ComputationGraph that trains on the batches of {@link DitDataSetIterator}.
 *
 * <pre>
 * {@value #CLASSES} [B, 1] -- {@value #CLASS_EMBEDDING} (class dropout) -+
 *                                                    +- {@value #CONDITION} [B, 1, D] -+
 * {@value #TIMES} [B, 1, 1] -- {@value #TIME_EMBEDDING} -----------------+                      |
 * {@value #STATES} [B, T, P P C] -- {@value #TOKEN_EMBEDDING} --------------------------+- {@value #SEQUENCE} - block0 .. - {@value #PROJECTION} - {@value #VELOCITIES} - {@value #OUTPUT}
 * </pre>
 *
 * <p>The state at time t is (1 - t) noise + t latent, the velocity latent - noise; the loss is the mean of the squared errors.
 * A new model's velocities are 0. Initial parameters are those of the paper's code: uniform by Xavier's rule, embeddings of
 * times and classes N(0, 0.02), modulations and output 0.
 */
public final class Dit {
    /** Input of class ids. */
    public static final String CLASSES = "classes";
    /** Input of times. */
    public static final String TIMES = "times";
    /** Input of the states on their way, as tokens. */
    public static final String STATES = "states";
    /** Layer of class embeddings. */
    public static final String CLASS_EMBEDDING = "classEmbedding";
    /** Layer of time embeddings. */
    public static final String TIME_EMBEDDING = "timeEmbedding";
    /** Layer that embeds tokens. */
    public static final String TOKEN_EMBEDDING = "tokenEmbedding";
    /** Vertex that adds time and class. */
    public static final String CONDITION = "condition";
    /** Vertex of the condition and the tokens behind it. */
    public static final String SEQUENCE = "sequence";
    /** Layer behind the blocks. */
    public static final String PROJECTION = "projection";
    /** Vertex of the velocities as rows. */
    public static final String VELOCITIES = "velocities";
    /** Output layer. */
    public static final String OUTPUT = "output";

    private static final double INITIAL_DEVIATION = 0.02;

    /** Stands for seed 0, which ND4J takes to mean "from the clock". Any other number would do. */
    private static final long SEED_ZERO = 0x9E3779B9L;

    private final DitConfig config;
    private IUpdater updater =
            new TorchAdam.Builder().learningRate(1e-3).beta2(0.95).build();
    private long seed;
    private DataType dataType = DataType.FLOAT;

    private Dit(DitConfig config) {
        this.config = Objects.requireNonNull(config, "A DiT needs its sizes, such as DitConfig.xl2()");
    }

    /**
     * A model with Adam (learning rate 1e-3, beta2 0.95).
     *
     * @param config its sizes
     * @return a builder to change the rest
     */
    public static Dit of(DitConfig config) {
        return new Dit(config);
    }

    /**
     * The name of a block.
     *
     * @param index from 0
     * @return the layer's name
     */
    public static String block(int index) {
        return "block" + index;
    }

    /**
     * The optimizer.
     *
     * @param updater such as TorchAdam
     * @return this
     */
    public Dit updater(IUpdater updater) {
        this.updater = Objects.requireNonNull(updater, "A DiT needs an updater, such as new TorchAdam(1e-3)");
        return this;
    }

    /**
     * Seed of initial parameters and class dropout.
     *
     * @param seed any number
     * @return this
     */
    public Dit seed(long seed) {
        this.seed = seed;
        return this;
    }

    /**
     * Type of parameters and activations.
     *
     * @param dataType FLOAT or DOUBLE
     * @return this
     */
    public Dit dataType(DataType dataType) {
        if (dataType != DataType.FLOAT && dataType != DataType.DOUBLE) {
            throw new IllegalArgumentException("A DiT trains in FLOAT or DOUBLE, got " + dataType);
        }
        this.dataType = dataType;
        return this;
    }

    /** {@return a new configuration} */
    public ComputationGraphConfiguration build() {
        int tokens = config.tokens();
        NormalDistribution embeddings = new NormalDistribution(0, INITIAL_DEVIATION);
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? SEED_ZERO : seed)
                .dataType(dataType)
                .updater(updater)
                .weightInit(WeightInit.XAVIER_UNIFORM)
                .graphBuilder()
                .addInputs(CLASSES, TIMES, STATES)
                .setInputTypes(InputType.feedForward(1), sequence(1, 1), sequence(config.tokenWidth(), tokens))
                .addLayer(
                        CLASS_EMBEDDING,
                        TokenEmbedding.ofClasses(config.classes(), config.width(), config.classDropout())
                                .weightInit(embeddings)
                                .build(),
                        CLASSES)
                .addLayer(
                        TIME_EMBEDDING,
                        new TimeEmbedding.Builder(config.width())
                                .weightInit(embeddings)
                                .build(),
                        TIMES)
                .addLayer(TOKEN_EMBEDDING, new LinearProjection.Builder(config.width()).build(), STATES)
                .addVertex(CONDITION, new ElementWiseVertex(ElementWiseVertex.Op.Add), TIME_EMBEDDING, CLASS_EMBEDDING)
                .addVertex(SEQUENCE, new ConditionedTokens(), CONDITION, TOKEN_EMBEDDING);
        String last = SEQUENCE;
        for (int i = 0; i < config.layers(); i++) {
            graph.addLayer(
                    block(i),
                    new AdaptiveNormBlock.Builder(config.heads(), config.feedForwardWidth())
                            .nIn(config.width())
                            .build(),
                    last);
            last = block(i);
        }
        int width = tokens * config.tokenWidth();
        return graph.addLayer(PROJECTION, new AdaptiveNormProjection.Builder(config.tokenWidth()).build(), last)
                .addVertex(VELOCITIES, new ReshapeVertex('c', new int[] {-1, width}, null), PROJECTION)
                .addLayer(
                        OUTPUT,
                        new LossLayer.Builder(LossFunctions.LossFunction.MSE)
                                .activation(Activation.IDENTITY)
                                // as a long: LossLayer refuses an int here, and warns of a size of 0 without it
                                .nOut((long) width)
                                .build(),
                        VELOCITIES)
                .setOutputs(OUTPUT)
                .build();
    }

    /** {@return a network with new parameters} */
    public ComputationGraph init() {
        ComputationGraph network = new ComputationGraph(build());
        network.init();
        return network;
    }

    private static InputType sequence(int width, int positions) {
        return InputType.recurrent(width, positions, RNNFormat.NWC);
    }

    /**
     * Latents as tokens: patches in raster order, each as P, P, C.
     *
     * @param config sizes
     * @param latents [B, C, G, G]
     * @return [B, T, P P C] in 'c' order
     * @throws IllegalArgumentException if the latents have another shape
     */
    public static INDArray tokens(DitConfig config, INDArray latents) {
        long[] shape = latents.shape();
        if (shape.length != 4
                || shape[1] != config.channels()
                || shape[2] != config.grid()
                || shape[3] != config.grid()) {
            throw new IllegalArgumentException("Latents of this model are [images, " + config.channels() + ", "
                    + config.grid() + ", " + config.grid() + "], got " + Arrays.toString(shape));
        }
        int p = config.patch();
        int side = config.grid() / p;
        // [B, C, g, P, g, P] -> [B, g, g, P, P, C]
        return latents.dup('c')
                .reshape('c', shape[0], shape[1], side, p, side, p)
                .permute(0, 2, 4, 3, 5, 1)
                .dup('c')
                .reshape('c', shape[0], config.tokens(), config.tokenWidth());
    }

    /**
     * The way back from {@link #tokens}.
     *
     * @param config sizes
     * @param tokens [B, T, P P C]
     * @return [B, C, G, G] in 'c' order
     */
    public static INDArray latents(DitConfig config, INDArray tokens) {
        int p = config.patch();
        int side = config.grid() / p;
        return tokens.dup('c')
                .reshape('c', tokens.size(0), side, side, p, p, config.channels())
                .permute(0, 5, 1, 3, 2, 4)
                .dup('c')
                .reshape('c', tokens.size(0), config.channels(), config.grid(), config.grid());
    }
}
