package org.npp4j.ecar;

import java.util.Objects;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.MergeVertex;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.LossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.lossfunctions.LossFunctions;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.LearnedPositions;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.schedule.TorchAdam;

/**
 * An ECAR model as a ComputationGraph that trains on {@link FlowBatch}es.
 *
 * <pre>
 * {@value #CLASSES} [B, 1] ------ {@value #CLASS_EMBEDDING} (class dropout) -+
 * {@value #RAISED} [B, N-F, C] - {@value #RAISED_EMBEDDING} -----------------+- {@value #SEQUENCE} - {@value #POSITIONS} - block0 .. - {@value #NORM} [B, N, D] -+
 * {@value #STATES} [B, N, C] -----------------------------------------------------------------------------------+- {@value #HEAD_INPUT} - head - {@value #VELOCITIES} - {@value #OUTPUT}
 * {@value #TIMES} [B, N, 1] ------------------------------------------------------------------------------------+
 * </pre>
 *
 * <p>F is the length of the first stage. The transformer's input of a stage is the class, the position and the stage, and
 * from stage 1 on the end state of the stage before, raised to twice its side; a stage sees itself and the stages before
 * ({@link AttentionMask#blockCausal}). The output is [B, N x C], the velocities; the loss is the mean of their squared errors
 * over all tokens of all stages.
 *
 * <p>Parameters of the transformer are drawn from N(0, 0.02), those of the head as {@link FlowHead} says; a new model's
 * velocities are 0.
 *
 * <p>Reconstruction, see the package.
 */
public final class Ecar {
    /** Input of class ids. */
    public static final String CLASSES = "classes";
    /** Input of the raised end states of all stages but the last. */
    public static final String RAISED = "raised";
    /** Input of the states on their way. */
    public static final String STATES = "states";
    /** Input of the time in the stage, at each position. */
    public static final String TIMES = "times";
    /** Layer of class embeddings. */
    public static final String CLASS_EMBEDDING = "classEmbedding";
    /** Layer that embeds raised end states. */
    public static final String RAISED_EMBEDDING = "raisedEmbedding";
    /** Vertex that makes the transformer's sequence. */
    public static final String SEQUENCE = "sequence";
    /** Layer of positions and stages. */
    public static final String POSITIONS = "positions";
    /** Layer of the final norm, whose output are the conditions of the head. */
    public static final String NORM = "norm";
    /** Vertex with state, time and condition side by side. */
    public static final String HEAD_INPUT = "headInput";
    /** Vertex of the velocities as rows. */
    public static final String VELOCITIES = "velocities";
    /** Output layer. */
    public static final String OUTPUT = "output";

    private static final double INITIAL_DEVIATION = 0.02;

    /** Stands for seed 0, which ND4J takes to mean "from the clock". Any other number would do. */
    private static final long SEED_ZERO = 0x9E3779B9L;

    private final EcarConfig config;
    private double weightDecay;
    private IUpdater updater =
            new TorchAdam.Builder().learningRate(1e-3).beta2(0.95).build();
    private long seed;
    private DataType dataType = DataType.FLOAT;
    private boolean recompute;

    private Ecar(EcarConfig config) {
        this.config = Objects.requireNonNull(config, "An ECAR needs its sizes: EcarConfig.defaults()");
    }

    /**
     * A model with Adam (learning rate 1e-3, beta2 0.95) and without weight decay.
     *
     * @param config its sizes and dropouts
     * @return a builder to change the rest
     */
    public static Ecar of(EcarConfig config) {
        return new Ecar(config);
    }

    /**
     * The name of a transformer block.
     *
     * @param index from 0
     * @return the layer's name
     */
    public static String block(int index) {
        return "block" + index;
    }

    /**
     * Decoupled weight decay (AdamW) of matrices and tables; norms and biases take none.
     *
     * @param coefficient multiplied by the learning rate, at least 0
     * @return this
     */
    public Ecar weightDecay(double coefficient) {
        if (!(coefficient >= 0 && coefficient < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "The weight decay must be a finite number, at least 0 (none), got " + coefficient);
        }
        weightDecay = coefficient;
        return this;
    }

    /**
     * The optimizer.
     *
     * @param updater such as TorchAdam
     * @return this
     */
    public Ecar updater(IUpdater updater) {
        this.updater = Objects.requireNonNull(updater, "An ECAR needs an updater, such as new TorchAdam(1e-3)");
        return this;
    }

    /**
     * Seed of initial parameters and dropouts.
     *
     * @param seed any number
     * @return this
     */
    public Ecar seed(long seed) {
        this.seed = seed;
        return this;
    }

    /**
     * Type of parameters and activations.
     *
     * @param dataType FLOAT or DOUBLE
     * @return this
     */
    public Ecar dataType(DataType dataType) {
        if (dataType != DataType.FLOAT && dataType != DataType.DOUBLE) {
            throw new IllegalArgumentException("An ECAR trains in FLOAT or DOUBLE, got " + dataType);
        }
        this.dataType = dataType;
        return this;
    }

    /**
     * Whether blocks compute their forward pass again in the backward pass instead of keeping it: less memory, the same
     * result.
     *
     * @param recompute whether to
     * @return this
     */
    public Ecar recomputeBlocks(boolean recompute) {
        this.recompute = recompute;
        return this;
    }

    /** {@return a new configuration} */
    public ComputationGraphConfiguration build() {
        int first = config.stageLengths().length(0);
        int positions = config.stageLengths().positions();
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? SEED_ZERO : seed)
                .dataType(dataType)
                .updater(updater)
                .weightInit(new NormalDistribution(0, INITIAL_DEVIATION))
                .graphBuilder()
                .addInputs(CLASSES, RAISED, STATES, TIMES)
                .setInputTypes(
                        InputType.feedForward(1),
                        sequence(config.channels(), positions - first),
                        sequence(config.channels(), positions),
                        sequence(1, positions))
                .addLayer(
                        CLASS_EMBEDDING,
                        decayed(TokenEmbedding.ofClasses(config.classes(), config.width(), config.classDropout()))
                                .build(),
                        CLASSES)
                .addLayer(
                        RAISED_EMBEDDING,
                        decayed(new LinearProjection.Builder(config.width())).build(),
                        RAISED)
                .addVertex(SEQUENCE, new StageSequence(first), CLASS_EMBEDDING, RAISED_EMBEDDING)
                .addLayer(
                        POSITIONS,
                        decayed(new LearnedPositions.Builder(config.stageLengths()))
                                .build(),
                        SEQUENCE);
        String last = POSITIONS;
        for (int i = 0; i < config.layers(); i++) {
            graph.addLayer(block(i), decayed(blockLayer()).build(), last);
            last = block(i);
        }
        graph.addLayer(NORM, new RmsNorm.Builder().nIn(config.width()).build(), last)
                .addVertex(HEAD_INPUT, new MergeVertex(), STATES, TIMES, NORM);
        last = HEAD_INPUT;
        for (FlowHead.Part part : config.head().layers(config)) {
            if (weightDecay > 0) {
                part.builder().weightDecay(weightDecay, true);
            }
            graph.addLayer(part.name(), part.builder().build(), last);
            last = part.name();
        }
        int width = positions * config.channels();
        return graph.addVertex(VELOCITIES, new ReshapeVertex('c', new int[] {-1, width}, null), last)
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
        return init(null);
    }

    /**
     * A network over given parameters.
     *
     * @param parameters [1, config.parameters()] of the data type; the network uses this very array. null draws new ones
     * @return an initialised network
     */
    public ComputationGraph init(INDArray parameters) {
        ComputationGraph network = new ComputationGraph(build());
        network.init(parameters, false);
        return network;
    }

    private TransformerBlock.Builder blockLayer() {
        return new TransformerBlock.Builder(config.heads(), EcarConfig.feedForwardWidth(config.width()))
                .nIn(config.width())
                .mask(AttentionMask.blockCausal(config.stageLengths().getLengths()))
                .residualDropout(config.dropout())
                .feedForwardDropout(config.dropout())
                .recompute(recompute);
    }

    private static InputType sequence(int width, int positions) {
        return InputType.recurrent(width, positions, RNNFormat.NWC);
    }

    /** Set on each layer: a decay set for the whole network would be applied twice. */
    private <T extends FeedForwardLayer.Builder<T>> T decayed(T layer) {
        if (weightDecay > 0) {
            layer.weightDecay(weightDecay, true);
        }
        return layer;
    }
}
