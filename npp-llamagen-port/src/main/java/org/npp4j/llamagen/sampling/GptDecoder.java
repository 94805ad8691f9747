package org.npp4j.llamagen.sampling;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.params.DefaultParamInitializer;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.memory.enums.AllocationPolicy;
import org.nd4j.linalg.api.memory.enums.LearningPolicy;
import org.nd4j.linalg.api.memory.enums.ResetPolicy;
import org.nd4j.linalg.api.memory.enums.SpillPolicy;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.impl.CaptionEmbeddingImpl;
import org.npp4j.layers.impl.TransformerBlockImpl;
import org.npp4j.layers.kernel.Kernels;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.llamagen.LlamaGen;

/**
 * Generates the tokens of images with a GPT of {@link LlamaGen}: a first pass over the condition (a class, or the C vectors
 * of a caption), then one pass for each token, with key/value caches.
 *
 * <p>Always at p = 1, whatever stage the network's training is in: its PatchAverage takes no part. The network's parameters
 * are used as they are at each call. Not safe for use by several threads, nor while the network trains.
 *
 * <p>Guidance runs each image twice in one batch, with its condition and without; the second half is dropped once guidance
 * is over.
 *
 * <p><b>Memory.</b> The caches hold 2 x layers x rows x (C + N - 1) x key/value heads x head width numbers (rows: B, with
 * guidance 2 B). They are made by the first batch, serve all later ones up to its size, and go with {@link #close}.
 *
 * <p><b>Repeatability.</b> An image depends on its condition, the settings and its sampler alone, not on the images beside
 * it. What may differ with the number of rows is the rounding of the matrix products, which BLAS chooses by size: logits
 * agree to about 1e-6 of the largest. A token then differs only where a random number, or a tie, falls within that distance.
 */
public final class GptDecoder implements AutoCloseable {
    private static final String WORKSPACE = "NPP_DECODER";
    /** The room that attention to ever more positions needs; without it the workspace would be made anew at each step. */
    private static final double GROWTH = 0.5;

    private static final WorkspaceConfiguration WORKSPACE_CONFIGURATION = WorkspaceConfiguration.builder()
            .policyAllocation(AllocationPolicy.OVERALLOCATE)
            .overallocationLimit(GROWTH)
            .policyLearning(LearningPolicy.FIRST_LOOP)
            .policyReset(ResetPolicy.BLOCK_LEFT)
            .policySpill(SpillPolicy.REALLOCATE)
            .build();

    private final Layer tokenEmbedding;
    private final Layer condition;
    private final List<TransformerBlockImpl> blocks = new ArrayList<>();
    private final Layer norm;
    private final Layer output;
    private final TokenGrid grid;
    private final boolean textConditional;
    private final int vocabulary;
    private final int classRows;
    private final int noClass;
    private final List<KeyValueCache> caches = new ArrayList<>();
    private final LayerWorkspaceMgr workspaces = LayerWorkspaceMgr.builder()
            .defaultWorkspace(WORKSPACE, WORKSPACE_CONFIGURATION)
            .build();

    /**
     * A decoder of a network.
     *
     * @param network built by {@link LlamaGen}, initialised
     * @throws IllegalArgumentException if the network is not laid out as LlamaGen's, or not initialised
     */
    public GptDecoder(ComputationGraph network) {
        if (network.getVertices() == null) {
            throw new IllegalArgumentException("The network is not initialised. Call init() before it generates");
        }
        tokenEmbedding = layer(network, LlamaGen.TOKEN_EMBEDDING);
        textConditional = network.getVertex(LlamaGen.CAPTION_EMBEDDING) != null;
        condition = layer(network, textConditional ? LlamaGen.CAPTION_EMBEDDING : LlamaGen.CLASS_EMBEDDING);
        norm = layer(network, LlamaGen.NORM);
        output = layer(network, LlamaGen.OUTPUT);
        for (int i = 0; network.getVertex(LlamaGen.block(i)) != null; i++) {
            blocks.add((TransformerBlockImpl) layer(network, LlamaGen.block(i)));
        }
        if (blocks.isEmpty()) {
            throw new IllegalArgumentException("The network has no layer \"" + LlamaGen.block(0)
                    + "\". GptDecoder takes networks built by LlamaGen");
        }
        grid = blocks.get(0).layerConf().getGrid();
        vocabulary = (int) ((TokenEmbedding) tokenEmbedding.conf().getLayer()).getNIn();
        if (textConditional) {
            classRows = 0;
            noClass = -1;
        } else {
            TokenEmbedding classes = (TokenEmbedding) condition.conf().getLayer();
            classRows = (int) classes.getNIn();
            noClass = (int) classes.getReplacement();
        }
    }

    /** {@return the grid of an image's tokens} */
    public TokenGrid grid() {
        return grid;
    }

    /** {@return V, how many different tokens there are} */
    public int vocabulary() {
        return vocabulary;
    }

    /** {@return whether images have captions as their condition; otherwise they have classes} */
    public boolean textConditional() {
        return textConditional;
    }

    /** {@return whether the network has what guidance needs: a row for "no class", or an unconditional caption} */
    public boolean guidable() {
        return textConditional || noClass >= 0;
    }

    /** {@return how many classes the network knows, without the one that stands for "no class"; 0 with captions} */
    public int classes() {
        return noClass < 0 ? classRows : classRows - 1;
    }

    private static Layer layer(ComputationGraph network, String name) {
        Layer layer = network.getVertex(name) == null ? null : network.getLayer(name);
        if (layer == null) {
            throw new IllegalArgumentException(
                    "The network has no layer \"" + name + "\". GptDecoder takes networks built by LlamaGen");
        }
        return layer;
    }

    /**
     * One image for each class.
     *
     * @param classes [B], class ids
     * @param guidance how much the class counts
     * @param samplers choose the tokens of each image; that of classes[b] is image b
     * @return [B][N] token ids in raster order
     * @throws IllegalArgumentException if there are no classes or one is unknown, if guidance needs a "no class" row, or if
     *     the network takes captions
     */
    public int[][] generate(int[] classes, Guidance guidance, TokenSamplers samplers) {
        return generate(classes, guidance, samplers, position -> {});
    }

    /**
     * One image for each class, with a report after each position.
     *
     * @param classes [B], class ids
     * @param guidance how much the class counts
     * @param samplers choose the tokens of each image; that of classes[b] is image b
     * @param afterPosition told how many positions are done
     * @return [B][N] token ids in raster order
     * @throws IllegalArgumentException as {@link #generate(int[], Guidance, TokenSamplers)}
     */
    public int[][] generate(int[] classes, Guidance guidance, TokenSamplers samplers, IntConsumer afterPosition) {
        requireKnown(classes);
        if (guidance.active() && noClass < 0) {
            throw new IllegalArgumentException(
                    "Guidance needs a network trained with a row for \"no class\", this one has"
                            + " none. Use Guidance.NONE, or train with noClassRow and class dropout");
        }
        int batch = classes.length;
        int rows = guidance.active() ? 2 * batch : batch;
        int[] ids = Arrays.copyOf(classes, rows);
        Arrays.fill(ids, batch, rows, noClass);
        prepareCaches(rows);
        return generate(batch, () -> column(ids), guidance, samplers, afterPosition);
    }

    /**
     * One image for each caption.
     *
     * <p>Vectors that the mask leaves out count as zero and are not attended to by any other position. The twin for
     * guidance has the network's unconditional caption under the same mask.
     *
     * @param captions [B, C, S], the vectors of a text encoder
     * @param mask [B, C], 1 for vectors that count and 0 for padding; null if all count
     * @param guidance how much the caption counts
     * @param samplers choose the tokens of each image; that of captions[b] is image b
     * @param afterPosition told how many positions are done
     * @return [B][N] token ids in raster order
     * @throws IllegalArgumentException if captions or mask have another shape, or if the network takes classes
     */
    public int[][] generate(
            INDArray captions, INDArray mask, Guidance guidance, TokenSamplers samplers, IntConsumer afterPosition) {
        requireCaptions(captions, mask);
        int batch = (int) captions.size(0);
        boolean twins = guidance.active();
        prepareCaches(twins ? 2 * batch : batch);
        if (mask != null) {
            INDArray all = twins ? Nd4j.concat(0, mask, mask) : mask;
            caches.forEach(cache -> cache.hideCondition(all));
        }
        return generate(batch, () -> captionRows(captions, mask, twins), guidance, samplers, afterPosition);
    }

    /** [B, C, S], with guidance [2 B, C, S]; masked vectors are 0. */
    private INDArray captionRows(INDArray captions, INDArray mask, boolean twins) {
        CaptionEmbeddingImpl embedding = (CaptionEmbeddingImpl) condition;
        INDArray given = captions.castTo(embedding.getDataType()).dup('c');
        if (mask != null) {
            Nd4j.exec(new BroadcastMulOp(given, mask.castTo(given.dataType()), given, 0, 1));
        }
        return twins ? Nd4j.concat(0, given, embedding.unconditionalCaptions(given.size(0))) : given;
    }

    /**
     * Refuses classes that the network does not know.
     *
     * @param classes class ids, at least one
     * @throws IllegalArgumentException if there are none or one is unknown, or if the network takes captions
     */
    public void requireKnown(int... classes) {
        if (textConditional) {
            throw new IllegalArgumentException(
                    "The network draws images of captions, not of classes. Give captions " + captionShape());
        }
        if (classes.length == 0) {
            throw new IllegalArgumentException("There must be at least one class to generate an image for");
        }
        for (int i = 0; i < classes.length; i++) {
            if (classes[i] < 0 || classes[i] >= classRows) {
                throw new IllegalArgumentException("Class " + classes[i] + " of image " + i
                        + " is unknown to the network. It knows 0 .. " + (classRows - 1)
                        + (noClass < 0 ? "" : ", where " + noClass + " is \"no class\""));
            }
        }
    }

    /**
     * Refuses captions that do not fit the network.
     *
     * @param captions [B, C, S]
     * @param mask [B, C], or null
     * @throws IllegalArgumentException if they do not fit, or if the network takes classes
     */
    public void requireCaptions(INDArray captions, INDArray mask) {
        if (!textConditional) {
            throw new IllegalArgumentException("The network draws images of classes, not of captions. Give class ids");
        }
        CaptionEmbedding layer = (CaptionEmbedding) condition.conf().getLayer();
        if (captions.rank() != 3 || captions.size(1) != layer.getTokens() || captions.size(2) != layer.getNIn()) {
            throw new IllegalArgumentException("The network takes captions " + captionShape() + ", got "
                    + Arrays.toString(captions.shape()) + ". Pad or cut each caption to this size");
        }
        if (mask != null
                && (mask.rank() != 2 || mask.size(0) != captions.size(0) || mask.size(1) != captions.size(1))) {
            throw new IllegalArgumentException("The mask of captions " + Arrays.toString(captions.shape()) + " is ["
                    + captions.size(0) + ", " + captions.size(1) + "], got " + Arrays.toString(mask.shape()));
        }
    }

    private String captionShape() {
        CaptionEmbedding layer = (CaptionEmbedding) condition.conf().getLayer();
        return "[images, " + layer.getTokens() + ", " + layer.getNIn() + "]";
    }

    private int[][] generate(
            int batch,
            Supplier<INDArray> conditionInput,
            Guidance guidance,
            TokenSamplers samplers,
            IntConsumer afterPosition) {
        TokenSampler[] ofImage = new TokenSampler[batch];
        Arrays.setAll(ofImage, samplers::ofImage);
        boolean twins = guidance.active();
        int rows = twins ? 2 * batch : batch;
        float[][] logits = new float[rows][vocabulary];
        int[][] images = new int[batch][grid.tokens()];
        int[] ids = new int[rows];
        for (int position = 0; position < grid.tokens(); position++) {
            boolean guided = twins && guidance.guides(position);
            if (twins && !guided) { // and never again: the rest is drawn with the condition alone
                twins = false;
                ids = Arrays.copyOf(ids, batch);
                caches.forEach(cache -> cache.keepFirst(batch));
            }
            int[] last = ids;
            step(
                    position == 0 ? condition : tokenEmbedding,
                    position == 0 ? conditionInput : () -> column(last),
                    logits);
            int[] chosen = choose(ofImage, logits, guided ? guidance.scale() : 1);
            for (int i = 0; i < batch; i++) {
                images[i][position] = chosen[i];
                ids[i] = chosen[i];
                if (twins) {
                    ids[batch + i] = chosen[i];
                }
            }
            afterPosition.accept(position + 1);
        }
        return images;
    }

    /** [rows] as [rows, 1]. */
    private static INDArray column(int[] ids) {
        return Nd4j.createFromArray(ids).reshape(ids.length, 1);
    }

    /** The next token of each image. Several threads: over a large vocabulary a draw takes as long as a small layer. */
    private static int[] choose(TokenSampler[] samplers, float[][] logits, double scale) {
        int batch = samplers.length;
        int[] chosen = new int[batch];
        RuntimeException[] failures = new RuntimeException[batch];
        IntStream images = IntStream.range(0, batch);
        (batch == 1 ? images : images.parallel()).forEach(i -> {
            try {
                if (scale != 1) {
                    guide(logits[i], logits[batch + i], scale);
                }
                chosen[i] = samplers[i].sample(logits[i]);
            } catch (RuntimeException e) {
                failures[i] = e; // thrown below: a parallel stream would wrap it
            }
        });
        for (RuntimeException failure : failures) {
            if (failure != null) {
                throw failure;
            }
        }
        return chosen;
    }

    private static void guide(float[] conditional, float[] free, double scale) {
        for (int v = 0; v < conditional.length; v++) {
            conditional[v] = (float) (free[v] + (conditional[v] - free[v]) * scale);
        }
    }

    /** Caches with room for so many rows, empty. */
    private void prepareCaches(int rows) {
        if (caches.isEmpty() || caches.get(0).largestBatch() < rows) {
            closeCaches();
            for (TransformerBlockImpl block : blocks) {
                caches.add(block.newCache(rows));
            }
        }
        caches.forEach(cache -> cache.clear(rows));
    }

    /** Logits at the next position, given the input of the positions up to it, into [rows][V]. */
    private void step(Layer embedding, Supplier<INDArray> input, float[][] logits) {
        try (MemoryWorkspace step =
                Nd4j.getWorkspaceManager().getAndActivateWorkspace(WORKSPACE_CONFIGURATION, WORKSPACE)) {
            INDArray x = embedding.activate(input.get(), false, workspaces); // [rows, C or 1, D]
            for (int i = 0; i < blocks.size(); i++) {
                x = blocks.get(i).decode(x, caches.get(i), workspaces);
            }
            x = norm.activate(lastPosition(x), false, workspaces);
            read(logits(x), logits);
        } finally {
            // the layers must not hold on to arrays of a closed workspace
            embedding.clear();
            blocks.forEach(Layer::clear);
            norm.clear();
            output.clear();
        }
    }

    /** [rows, T, D] -> [rows, 1, D]: only the last position predicts a token that is not known yet. */
    private static INDArray lastPosition(INDArray x) {
        long t = x.size(1);
        return t == 1
                ? x
                : x.get(NDArrayIndex.all(), NDArrayIndex.interval(t - 1, t), NDArrayIndex.all())
                        .dup('c');
    }

    /** [rows, 1, D] -> [rows, V] in 'c' order. */
    private INDArray logits(INDArray x) {
        INDArray weight = output.getParam(DefaultParamInitializer.WEIGHT_KEY); // [D, V]
        INDArray logits = workspaces.createUninitialized(
                ArrayType.ACTIVATIONS, weight.dataType(), new long[] {x.size(0), weight.columns()}, 'c');
        Kernels.of(weight.dataType()).linearOfFewRows(x.reshape('c', x.size(0), x.size(2)), weight, logits);
        return logits;
    }

    /** toFloatMatrix would copy each row through a native array of its own, and number by number. */
    private static void read(INDArray values, float[][] logits) {
        FloatBuffer buffer = values.castTo(DataType.FLOAT).data().asNioFloat();
        for (int row = 0; row < values.rows(); row++) {
            buffer.get(logits[row]);
        }
    }

    private void closeCaches() {
        caches.forEach(KeyValueCache::close);
        caches.clear();
    }

    /**
     * Gives the caches back, and the working memory of the calling thread. The decoder may be used again afterwards: it then
     * makes new ones.
     */
    @Override
    public void close() {
        closeCaches();
        if (Nd4j.getWorkspaceManager().checkIfWorkspaceExists(WORKSPACE)) {
            Nd4j.getWorkspaceManager()
                    .destroyWorkspace(Nd4j.getWorkspaceManager().getWorkspaceForCurrentThread(WORKSPACE));
        }
    }
}
