package org.npp4j.llamagen;

import java.util.Objects;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.layers.ClassPrefix;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.TorchAdam;

/**
 * A class-conditional LlamaGen GPT, ready for Next Patch Prediction, as a ComputationGraph.
 *
 * <pre>
 * {@value #TOKENS} [B, N]  - {@value #TOKEN_EMBEDDING} - {@value #PATCHES} (PatchAverage) -+
 * {@value #CLASSES} [B, 1] - {@value #CLASS_EMBEDDING} (class dropout) --------------------+- {@value #PREFIX} - block0 .. - {@value #NORM} - {@value #OUTPUT}
 * </pre>
 *
 * <p>Inputs are token ids [B, N] and class ids [B, 1], labels the token ids [B, N] again; the output is logits [B, K, V].
 * Parameters are drawn from N(0, 0.02), the output head is 0, as published.
 *
 * <p>Source: Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525).
 */
public final class LlamaGen {
    /** Input of token ids. */
    public static final String TOKENS = "tokens";
    /** Input of class ids. */
    public static final String CLASSES = "classes";
    /** Layer of token embeddings. */
    public static final String TOKEN_EMBEDDING = "tokenEmbedding";
    /** Layer of class embeddings. */
    public static final String CLASS_EMBEDDING = "classEmbedding";
    /** Vertex that averages patches. */
    public static final String PATCHES = "patches";
    /** Vertex that puts the class in front. */
    public static final String PREFIX = "prefix";
    /** Layer of the final norm. */
    public static final String NORM = "norm";
    /** Output layer. */
    public static final String OUTPUT = "output";

    private static final double INITIAL_DEVIATION = 0.02;

    /** Stands for seed 0, which ND4J takes to mean "from the clock". Any other number would do. */
    private static final long SEED_ZERO = 0x9E3779B9L;

    private final GptSpec spec;
    private int patchSide = 1;
    private double classDropout;
    private double tokenDropout;
    private double residualDropout;
    private double feedForwardDropout;
    private double pathDropout;
    private double weightDecay;
    private IUpdater updater =
            new TorchAdam.Builder().learningRate(1e-4).beta2(0.95).build();
    private long seed;
    private DataType dataType = DataType.FLOAT;

    private LlamaGen(GptSpec spec) {
        this.spec = Objects.requireNonNull(spec, "LlamaGen needs sizes: GptSpec.of(layers, heads, width).build()");
    }

    /**
     * A GPT without any dropout or weight decay and with the published settings of Adam (learning rate 1e-4, beta1 0.9, beta2
     * 0.95, epsilon 1e-8), at p = 1.
     *
     * @param spec its sizes
     * @return a builder to change the rest
     */
    public static LlamaGen of(GptSpec spec) {
        return new LlamaGen(spec);
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
     * The patch side to start with; a StageScheduler sets it again.
     *
     * @param patchSide p, which must divide the grid
     * @return this
     */
    public LlamaGen patchSide(int patchSide) {
        this.patchSide = spec.grid().requireDividedBy(patchSide);
        return this;
    }

    /**
     * How often the class is replaced by "no class" in training.
     *
     * @param probability in [0, 1); 0.1 as published
     * @return this
     * @throws IllegalArgumentException if the specification has no row for "no class"
     */
    public LlamaGen classDropout(double probability) {
        requireProbability(probability, "classDropout");
        if (probability > 0 && !spec.noClassRow()) {
            throw new IllegalArgumentException("Class dropout needs a row for \"no class\": set noClassRow(true)");
        }
        classDropout = probability;
        return this;
    }

    /**
     * Dropout on the input sequence, class included.
     *
     * @param probability of dropping, in [0, 1); 0.1 as published
     * @return this
     */
    public LlamaGen tokenDropout(double probability) {
        tokenDropout = requireProbability(probability, "tokenDropout");
        return this;
    }

    /**
     * Dropout on the attention's output.
     *
     * @param probability of dropping, in [0, 1); 0.1 as published
     * @return this
     */
    public LlamaGen residualDropout(double probability) {
        residualDropout = requireProbability(probability, "residualDropout");
        return this;
    }

    /**
     * Dropout on the feed-forward output.
     *
     * @param probability of dropping, in [0, 1); 0.1 as published
     * @return this
     */
    public LlamaGen feedForwardDropout(double probability) {
        feedForwardDropout = requireProbability(probability, "feedForwardDropout");
        return this;
    }

    /**
     * Stochastic depth, growing linearly from 0 in the first block to this in the last.
     *
     * @param probability of dropping a branch of the last block, in [0, 1)
     * @return this
     */
    public LlamaGen pathDropout(double probability) {
        pathDropout = requireProbability(probability, "pathDropout");
        return this;
    }

    /**
     * Decoupled weight decay (AdamW) of matrices and tables; norms take none.
     *
     * @param coefficient multiplied by the learning rate; 0.05 as published
     * @return this
     */
    public LlamaGen weightDecay(double coefficient) {
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
     * @param updater such as TorchAdam with a StageLearningRate
     * @return this
     */
    public LlamaGen updater(IUpdater updater) {
        this.updater = Objects.requireNonNull(updater, "LlamaGen needs an updater, such as new TorchAdam(1e-4)");
        return this;
    }

    /**
     * Seed of initial parameters and dropouts. 0, the default, is a seed like any other, although ND4J itself takes it to
     * mean "from the clock".
     *
     * @param seed any number
     * @return this
     */
    public LlamaGen seed(long seed) {
        this.seed = seed;
        return this;
    }

    /**
     * Type of parameters and activations.
     *
     * @param dataType FLOAT or DOUBLE
     * @return this
     */
    public LlamaGen dataType(DataType dataType) {
        if (dataType != DataType.FLOAT && dataType != DataType.DOUBLE) {
            throw new IllegalArgumentException("LlamaGen trains in FLOAT or DOUBLE, got " + dataType);
        }
        this.dataType = dataType;
        return this;
    }

    /**
     * The configuration.
     *
     * @return a new configuration
     */
    public ComputationGraphConfiguration build() {
        int width = spec.width();
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? SEED_ZERO : seed)
                .dataType(dataType)
                .updater(updater)
                .weightInit(new NormalDistribution(0, INITIAL_DEVIATION))
                .graphBuilder()
                .addInputs(TOKENS, CLASSES)
                .setInputTypes(InputType.feedForward(spec.grid().tokens()), InputType.feedForward(1))
                .addLayer(
                        TOKEN_EMBEDDING,
                        decayed(new TokenEmbedding.Builder(spec.vocabulary(), width))
                                .build(),
                        TOKENS)
                .addLayer(CLASS_EMBEDDING, decayed(classEmbedding()).build(), CLASSES)
                .addVertex(PATCHES, new PreprocessorVertex(new PatchAverage(spec.grid(), patchSide)), TOKEN_EMBEDDING)
                .addVertex(PREFIX, new ClassPrefix(), CLASS_EMBEDDING, PATCHES);
        String last = PREFIX;
        for (int i = 0; i < spec.layers(); i++) {
            graph.addLayer(block(i), decayed(blockLayer(i)).build(), last);
            last = block(i);
        }
        return graph.addLayer(
                        NORM,
                        new RmsNorm.Builder().nIn(width).epsilon(spec.epsilon()).build(),
                        last)
                .addLayer(
                        OUTPUT,
                        decayed(new PatchOutputLayer.Builder(spec.grid())
                                        .nIn(width)
                                        .nOut(spec.vocabulary())
                                        .weightInit(WeightInit.ZERO))
                                .build(),
                        NORM)
                .setOutputs(OUTPUT)
                .build();
    }

    /**
     * A network with new parameters.
     *
     * @return an initialised network
     */
    public ComputationGraph init() {
        ComputationGraph network = new ComputationGraph(build());
        network.init();
        return network;
    }

    private TokenEmbedding.Builder classEmbedding() {
        return spec.noClassRow()
                ? TokenEmbedding.ofClasses(spec.classes(), spec.width(), classDropout)
                : new TokenEmbedding.Builder(spec.classes(), spec.width());
    }

    private TransformerBlock.Builder blockLayer(int index) {
        double depth = spec.layers() == 1 ? 0 : (double) index / (spec.layers() - 1);
        TransformerBlock.Builder block = new TransformerBlock.Builder(
                        spec.grid(), spec.heads(), spec.feedForwardWidth())
                .nIn(spec.width())
                .keyValueHeads(spec.keyValueHeads())
                .rotaryBase(spec.rotaryBase())
                .epsilon(spec.epsilon())
                .residualDropout(residualDropout)
                .feedForwardDropout(feedForwardDropout)
                .pathDropout(pathDropout * depth);
        if (index == 0 && tokenDropout > 0) {
            block.dropOut(1 - tokenDropout);
        }
        return block;
    }

    private static double requireProbability(double probability, String name) {
        if (!(probability >= 0 && probability < 1)) {
            throw new IllegalArgumentException(
                    name + " is the probability of dropping, at least 0 and below 1, got " + probability);
        }
        return probability;
    }

    /** Set on each layer: a decay set for the whole network would be applied twice. */
    private <T extends FeedForwardLayer.Builder<T>> T decayed(T layer) {
        if (weightDecay > 0) {
            layer.weightDecay(weightDecay, true);
        }
        return layer;
    }
}
