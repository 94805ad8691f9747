package org.npp4j.llamagen;

import java.util.Objects;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.weights.WeightInit;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.ClassPrefix;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.RmsNorm;
import org.npp4j.layers.SkipPositions;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TorchAdam;

/**
 * A LlamaGen GPT, ready for Next Patch Prediction, as a ComputationGraph: any published size, on classes or on captions.
 *
 * <pre>{@code
 * ComputationGraph network = LlamaGen.gptB()
 *         .numClasses(10)
 *         .imageSize(256, 16)
 *         .patchStages(PatchStages.ofEpochs(300, 0.5, 2))
 *         .publishedTraining()
 *         .init();
 * }</pre>
 *
 * <p>{@link #build} gives the configuration and allocates nothing of the model's size; {@link #init()} gives a network.
 * Of a network with 2^31 parameters or more (GPT-XXXL, GPT-3B, GPT-7B) use {@code params().length()} or {@link
 * GptSpec#parameters}: Deeplearning4j's {@code numParams()} counts in 32 bits.
 *
 * <pre>
 * {@value #TOKENS} [B, N]  - {@value #TOKEN_EMBEDDING} - {@value #PATCHES} (PatchAverage) -+
 * {@value #CLASSES} [B, 1] - {@value #CLASS_EMBEDDING} (class dropout) --------------------+- {@value #PREFIX} - block0 .. - {@value #NORM} - {@value #OUTPUT}
 * </pre>
 *
 * <p>Inputs are token ids [B, N] and class ids [B, 1], labels the token ids [B, N] again; the output is logits [B, K, V].
 *
 * <p>A text-conditional model ({@link #gpt1B}, {@link #gpt3B}, {@link #gpt7B}, or any size with {@link #captions}) has the
 * input {@value #CAPTIONS} [B, C, S], the vectors of a text encoder, and the layer {@value #CAPTION_EMBEDDING} instead. Its
 * sequence is [c1 .. cC, t1 .. t(K-1)]; the first C - 1 positions predict nothing and are dropped before the norm, so the
 * output is [B, K, V] again.
 *
 * Parameters are drawn from N(0, 0.02), gains are 1, the output head is 0, as published.
 *
 * <p>Source: Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525).
 */
public final class LlamaGen {
    /** Input of token ids. */
    public static final String TOKENS = "tokens";
    /** Input of class ids. */
    public static final String CLASSES = "classes";
    /** Input of captions. */
    public static final String CAPTIONS = "captions";
    /** Layer of token embeddings. */
    public static final String TOKEN_EMBEDDING = "tokenEmbedding";
    /** Layer of class embeddings. */
    public static final String CLASS_EMBEDDING = "classEmbedding";
    /** Layer of caption embeddings. */
    public static final String CAPTION_EMBEDDING = "captionEmbedding";
    /** Vertex that averages patches. */
    public static final String PATCHES = "patches";
    /** Vertex that puts the class or caption in front. */
    public static final String PREFIX = "prefix";
    /** Layer of the final norm. */
    public static final String NORM = "norm";
    /** Output layer. */
    public static final String OUTPUT = "output";

    private static final double INITIAL_DEVIATION = 0.02;

    /** Stands for seed 0, which ND4J takes to mean "from the clock". Any other number would do. */
    private static final long SEED_ZERO = 0x9E3779B9L;

    private GptSpec spec;
    private int patchSide = 1;
    private PatchStages patchStages;
    private double classDropout;
    private boolean learnUnconditional;
    private double tokenDropout;
    private double residualDropout;
    private double feedForwardDropout;
    private double pathDropout;
    private boolean recompute;
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
     * A GPT with the sizes and dropouts of a config.json, no weight decay, and the published Adam, at p = 1.
     *
     * @param config its settings
     * @return a builder to change the rest
     */
    public static LlamaGen of(GptConfig config) {
        Objects.requireNonNull(config, "LlamaGen needs settings: GptConfig.read(file)");
        return of(config.spec())
                .classDropout(config.classDropout())
                .tokenDropout(config.tokenDropout())
                .residualDropout(config.residualDropout())
                .feedForwardDropout(config.feedForwardDropout())
                .pathDropout(config.pathDropout());
    }

    /**
     * The published model of a size, as {@link #of(GptSpec)}.
     *
     * @param size such as GptSize.GPT_B
     * @return a builder to change the rest
     */
    public static LlamaGen of(GptSize size) {
        return of(size.spec().build());
    }

    /**
     * The published model of a name, as {@link #of(GptSpec)}.
     *
     * @param name such as {@code GPT-B}
     * @return a builder to change the rest
     * @throws IllegalArgumentException if there is no such size; the message lists all
     */
    public static LlamaGen of(String name) {
        return of(GptSize.named(name));
    }

    /** {@return GPT-B: classes, 111 million parameters} */
    public static LlamaGen gptB() {
        return of(GptSize.GPT_B);
    }

    /** {@return GPT-L: classes, 343 million parameters} */
    public static LlamaGen gptL() {
        return of(GptSize.GPT_L);
    }

    /** {@return GPT-XL: classes, 775 million parameters} */
    public static LlamaGen gptXL() {
        return of(GptSize.GPT_XL);
    }

    /** {@return GPT-XXL: classes, 1.4 billion parameters} */
    public static LlamaGen gptXXL() {
        return of(GptSize.GPT_XXL);
    }

    /** {@return GPT-XXXL: classes, 3.9 billion parameters} */
    public static LlamaGen gptXXXL() {
        return of(GptSize.GPT_XXXL);
    }

    /** {@return GPT-1B: captions, 1.2 billion parameters} */
    public static LlamaGen gpt1B() {
        return of(GptSize.GPT_1B);
    }

    /** {@return GPT-3B: captions, 3.1 billion parameters} */
    public static LlamaGen gpt3B() {
        return of(GptSize.GPT_3B);
    }

    /** {@return GPT-7B: captions, 6.6 billion parameters} */
    public static LlamaGen gpt7B() {
        return of(GptSize.GPT_7B);
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

    /** {@return the sizes as they are set now} */
    public GptSpec spec() {
        return spec;
    }

    /**
     * Conditions on class labels.
     *
     * @param classes without the one that stands for "no class"; 1000 as published
     * @return this
     */
    public LlamaGen numClasses(int classes) {
        spec = spec.toBuilder().classes(classes).build();
        return this;
    }

    /**
     * Conditions on captions, whatever the size was published for.
     *
     * @param tokens C, vectors of a caption; 120 as published
     * @param width of a vector; 2048 as published
     * @return this
     */
    public LlamaGen captions(int tokens, int width) {
        spec = spec.toBuilder().captions(tokens, width).build();
        return this;
    }

    /**
     * Codes of the tokenizer.
     *
     * @param vocabulary V; 16384 as published
     * @return this
     */
    public LlamaGen vocabulary(int vocabulary) {
        spec = spec.toBuilder().vocabulary(vocabulary).build();
        return this;
    }

    /**
     * Tokens of an image. The patch side or stages must still divide it when the model is built.
     *
     * @param grid rows and columns; 16 x 16 as published
     * @return this
     */
    public LlamaGen grid(TokenGrid grid) {
        spec = spec.toBuilder().grid(grid).build();
        return this;
    }

    /**
     * Tokens of a square image: {@code pixels / downsampling} in each direction.
     *
     * @param pixels side of the image; 256 as published
     * @param downsampling of the tokenizer, a divisor of it; 16 as published
     * @return this
     * @throws IllegalArgumentException if it is none
     */
    public LlamaGen imageSize(int pixels, int downsampling) {
        if (pixels < 1 || downsampling < 1 || pixels % downsampling != 0) {
            throw new IllegalArgumentException("The downsampling of the tokenizer must divide the image size, got "
                    + pixels + " pixels and downsampling " + downsampling);
        }
        return grid(TokenGrid.of(pixels / downsampling, pixels / downsampling));
    }

    /**
     * The patch side to start with; a StageScheduler sets it again. Replaces {@link #patchStages}.
     *
     * @param patchSide p, which must divide the grid
     * @return this
     */
    public LlamaGen patchSide(int patchSide) {
        this.patchSide = spec.grid().requireDividedBy(patchSide);
        patchStages = null;
        return this;
    }

    /**
     * The stages to train in. The configuration starts with the patch side of the first stage; {@link #init()} attaches a
     * {@link StageScheduler} that follows the rest. The stages are not part of the configuration: a network made from
     * {@link #build}'s result, or read from a file, needs {@code new StageScheduler(stages).attachTo(network)}.
     *
     * @param stages whose patch sides must divide the grid
     * @return this
     * @throws IllegalArgumentException if one does not; the message names the stage
     */
    public LlamaGen patchStages(PatchStages stages) {
        patchStages = stages.requireFits(spec.grid());
        patchSide = stages.patchSideAt(0);
        return this;
    }

    /**
     * The published training settings: every dropout (class, input sequence, attention output, feed-forward output) 0.1,
     * no stochastic depth, weight decay 0.05. The optimizer stays as it is; clipping (GlobalNormClipping with norm 1) is
     * a listener of its own.
     *
     * @return this
     * @throws IllegalArgumentException if the specification has no row for "no class"
     */
    public LlamaGen publishedTraining() {
        return classDropout(0.1)
                .tokenDropout(0.1)
                .residualDropout(0.1)
                .feedForwardDropout(0.1)
                .pathDropout(0)
                .weightDecay(0.05);
    }

    /**
     * Whether a text-conditional model trains its unconditional caption. The published code does not: it stays as drawn or
     * loaded. Without effect on a model of classes, whose row for "no class" is always trained.
     *
     * @param learn whether it is trained
     * @return this
     */
    public LlamaGen learnUnconditional(boolean learn) {
        learnUnconditional = learn;
        return this;
    }

    /**
     * How often the class is replaced by "no class", or the caption by the unconditional one, in training.
     *
     * @param probability in [0, 1); 0.1 as published
     * @return this
     * @throws IllegalArgumentException if the specification has no row for "no class"
     */
    public LlamaGen classDropout(double probability) {
        requireDroppable(requireProbability(probability, "classDropout"));
        classDropout = probability;
        return this;
    }

    private void requireDroppable(double probability) {
        if (probability > 0 && !spec.textConditional() && !spec.noClassRow()) {
            throw new IllegalArgumentException("Class dropout needs a row for \"no class\": set noClassRow(true)");
        }
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
     * Less memory for more operations (gradient checkpointing): each block keeps two arrays of its input's size for the
     * backward pass instead of about eleven, and computes two thirds of its forward pass again. For models and batches that
     * would not fit otherwise; results are the same.
     *
     * @param recompute whether to
     * @return this
     */
    public LlamaGen recomputeBlocks(boolean recompute) {
        this.recompute = recompute;
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
     * The configuration. Nothing of the model's size is allocated: the largest model can be configured and counted
     * anywhere.
     *
     * @return a new configuration
     * @throws IllegalArgumentException if the settings do not fit together
     */
    public ComputationGraphConfiguration build() {
        requireDroppable(classDropout);
        if (patchStages != null) {
            patchStages.requireFits(spec.grid());
        }
        int width = spec.width();
        boolean text = spec.textConditional();
        String condition = text ? CAPTION_EMBEDDING : CLASS_EMBEDDING;
        ComputationGraphConfiguration.GraphBuilder graph = new NeuralNetConfiguration.Builder()
                .seed(seed == 0 ? SEED_ZERO : seed)
                .dataType(dataType)
                .updater(updater)
                .weightInit(new NormalDistribution(0, INITIAL_DEVIATION))
                .graphBuilder()
                .addInputs(TOKENS, text ? CAPTIONS : CLASSES)
                .setInputTypes(InputType.feedForward(spec.grid().tokens()), conditionType())
                .addLayer(
                        TOKEN_EMBEDDING,
                        decayed(new TokenEmbedding.Builder(spec.vocabulary(), width))
                                .build(),
                        TOKENS)
                .addLayer(condition, text ? captionEmbedding() : classEmbedding(), text ? CAPTIONS : CLASSES)
                .addVertex(PATCHES, new PreprocessorVertex(new PatchAverage(spec.grid(), patchSide)), TOKEN_EMBEDDING)
                .addVertex(PREFIX, new ClassPrefix(), condition, PATCHES);
        String last = PREFIX;
        for (int i = 0; i < spec.layers(); i++) {
            graph.addLayer(block(i), decayed(blockLayer(i)).build(), last);
            last = block(i);
        }
        RmsNorm norm = new RmsNorm.Builder().nIn(width).epsilon(spec.epsilon()).build();
        if (spec.conditionTokens() == 1) {
            graph.addLayer(NORM, norm, last);
        } else {
            graph.addLayer(NORM, norm, new SkipPositions(spec.conditionTokens() - 1), last);
        }
        return graph.addLayer(
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
     * A network with new parameters; with {@link #patchStages} also with its {@link StageScheduler}. {@code
     * setListeners} removes that one again, {@code addListeners} keeps it.
     *
     * @return an initialised network
     * @throws IllegalArgumentException if the settings do not fit together
     */
    public ComputationGraph init() {
        return init(null);
    }

    /**
     * A network over given parameters, otherwise as {@link #init()}. For a checkpoint that is read into the network
     * afterwards: an array of zeros saves drawing random numbers, which takes most of the time a large model needs.
     *
     * @param parameters [1, spec().parameters()] of the data type; the network uses this very array. null draws new ones
     * @return an initialised network
     * @throws IllegalArgumentException if the settings do not fit together, or the array not to them
     */
    public ComputationGraph init(INDArray parameters) {
        if (parameters != null && (parameters.length() != spec.parameters() || parameters.dataType() != dataType)) {
            throw new IllegalArgumentException("This model has " + spec.parameters() + " parameters in " + dataType
                    + ", got an array of " + parameters.length() + " in " + parameters.dataType());
        }
        ComputationGraph network = new ComputationGraph(build());
        network.init(parameters, false);
        if (patchStages != null) {
            new StageScheduler(patchStages).attachTo(network);
        }
        return network;
    }

    /**
     * The sizes of a configuration that {@link #build} made, also when it was changed by training or read from a file.
     *
     * @param configuration the configuration
     * @return its sizes
     * @throws IllegalArgumentException if it is laid out otherwise
     */
    public static GptSpec specOf(ComputationGraphConfiguration configuration) {
        TokenEmbedding tokens = layer(configuration, TOKEN_EMBEDDING, TokenEmbedding.class);
        TransformerBlock block = layer(configuration, block(0), TransformerBlock.class);
        int layers = 1;
        while (configuration.getVertices().containsKey(block(layers))) {
            layers++;
        }
        GptSpec.Builder spec = GptSpec.of(layers, block.getHeads(), Math.toIntExact(tokens.getNOut()))
                .keyValueHeads(block.getKeyValueHeads())
                .feedForwardWidth(block.getFeedForwardWidth())
                .vocabulary(Math.toIntExact(tokens.getNIn()))
                .grid(block.getGrid())
                .rotaryBase(block.getRotaryBase())
                .epsilon(block.getEpsilon());
        if (configuration.getVertices().containsKey(CAPTION_EMBEDDING)) {
            CaptionEmbedding captions = layer(configuration, CAPTION_EMBEDDING, CaptionEmbedding.class);
            return spec.captions(captions.getTokens(), Math.toIntExact(captions.getNIn()))
                    .build();
        }
        TokenEmbedding classes = layer(configuration, CLASS_EMBEDDING, TokenEmbedding.class);
        int rows = Math.toIntExact(classes.getNIn());
        boolean noClassRow = classes.getReplacement() >= 0;
        return spec.classes(noClassRow ? rows - 1 : rows).noClassRow(noClassRow).build();
    }

    private static <T> T layer(ComputationGraphConfiguration configuration, String name, Class<T> type) {
        GraphVertex vertex = configuration.getVertices().get(name);
        Object layer =
                vertex instanceof LayerVertex holder ? holder.getLayerConf().getLayer() : null;
        if (!type.isInstance(layer)) {
            throw new IllegalArgumentException("The network has no layer \"" + name + "\" of the kind "
                    + type.getSimpleName() + ", so LlamaGen has not built it");
        }
        return type.cast(layer);
    }

    private InputType conditionType() {
        return spec.textConditional()
                ? InputType.recurrent(spec.captionWidth(), spec.conditionTokens(), RNNFormat.NWC)
                : InputType.feedForward(1);
    }

    private CaptionEmbedding captionEmbedding() {
        return decayed(new CaptionEmbedding.Builder(spec.conditionTokens(), spec.captionWidth(), spec.width()))
                .dropout(classDropout)
                .learnUnconditional(learnUnconditional)
                .build();
    }

    private TokenEmbedding classEmbedding() {
        return decayed(
                        spec.noClassRow()
                                ? TokenEmbedding.ofClasses(spec.classes(), spec.width(), classDropout)
                                : new TokenEmbedding.Builder(spec.classes(), spec.width()))
                .build();
    }

    private TransformerBlock.Builder blockLayer(int index) {
        double depth = spec.layers() == 1 ? 0 : (double) index / (spec.layers() - 1);
        TransformerBlock.Builder block = new TransformerBlock.Builder(
                        spec.grid(), spec.heads(), spec.feedForwardWidth())
                .nIn(spec.width())
                .keyValueHeads(spec.keyValueHeads())
                .conditionTokens(spec.conditionTokens())
                .rotaryBase(spec.rotaryBase())
                .epsilon(spec.epsilon())
                .residualDropout(residualDropout)
                .feedForwardDropout(feedForwardDropout)
                .pathDropout(pathDropout * depth)
                .recompute(recompute);
        if (index == 0 && tokenDropout > 0) {
            block.dropOut(1 - tokenDropout);
        }
        return block;
    }

    static double requireProbability(double probability, String name) {
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
