package org.npp4j.llamagen.sampling;

import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.memory.enums.AllocationPolicy;
import org.nd4j.linalg.api.memory.enums.LearningPolicy;
import org.nd4j.linalg.api.memory.enums.ResetPolicy;
import org.nd4j.linalg.api.memory.enums.SpillPolicy;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.layers.impl.TransformerBlockImpl;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.llamagen.LlamaGen;

/**
 * Generates the tokens of images with a GPT of {@link LlamaGen}, one position at a time with key/value caches.
 *
 * <p>Always at p = 1, whatever stage the network's training is in: its PatchAverage takes no part. The network's parameters
 * are used as they are at each call. Not safe for use by several threads, nor while the network trains.
 * It keeps the caches of the last batch, 2 x layers x rows x N x key/value heads x head width numbers (rows: B, with
 * guidance 2 B), until it is collected or generates a batch of another size.
 */
public final class GptDecoder {
    private static final String WORKSPACE = "NPP_DECODER";
    private static final WorkspaceConfiguration WORKSPACE_CONFIGURATION = WorkspaceConfiguration.builder()
            .policyAllocation(AllocationPolicy.STRICT)
            .policyLearning(LearningPolicy.FIRST_LOOP)
            .policyReset(ResetPolicy.BLOCK_LEFT)
            .policySpill(SpillPolicy.REALLOCATE)
            .build();

    private final Layer tokenEmbedding;
    private final Layer classEmbedding;
    private final List<TransformerBlockImpl> blocks = new ArrayList<>();
    private final Layer norm;
    private final Layer output;
    private final int tokens;
    private final long classRows;
    private final long noClass;
    private final List<KeyValueCache> caches = new ArrayList<>();
    private int cachedRows;
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
        classEmbedding = layer(network, LlamaGen.CLASS_EMBEDDING);
        norm = layer(network, LlamaGen.NORM);
        output = layer(network, LlamaGen.OUTPUT);
        for (int i = 0; network.getVertex(LlamaGen.block(i)) != null; i++) {
            blocks.add((TransformerBlockImpl) layer(network, LlamaGen.block(i)));
        }
        if (blocks.isEmpty()) {
            throw new IllegalArgumentException("The network has no layer \"" + LlamaGen.block(0)
                    + "\". GptDecoder takes networks built by LlamaGen");
        }
        TransformerBlock block = blocks.get(0).layerConf();
        tokens = block.getGrid().tokens();
        TokenEmbedding classes = (TokenEmbedding) classEmbedding.conf().getLayer();
        classRows = classes.getNIn();
        noClass = classes.getReplacement();
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
     * @param sampler chooses each token; called for every image in turn, position by position
     * @return [B][N] token ids in raster order
     * @throws IllegalArgumentException if there are no classes or one is unknown, or if guidance needs a "no class" row
     */
    public int[][] generate(int[] classes, Guidance guidance, TokenSampler sampler) {
        return generate(classes, guidance, sampler, position -> {});
    }

    /**
     * One image for each class, with a report after each position.
     *
     * @param classes [B], class ids
     * @param guidance how much the class counts
     * @param sampler chooses each token
     * @param afterPosition told how many positions are done
     * @return [B][N] token ids in raster order
     * @throws IllegalArgumentException if there are no classes or one is unknown, or if guidance needs a "no class" row
     */
    public int[][] generate(int[] classes, Guidance guidance, TokenSampler sampler, IntConsumer afterPosition) {
        if (classes.length == 0) {
            throw new IllegalArgumentException("There must be at least one class to generate an image for");
        }
        requireKnown(classes);
        if (guidance.active() && noClass < 0) {
            throw new IllegalArgumentException(
                    "Guidance needs a network trained with a row for \"no class\", this one has"
                            + " none. Use Guidance.NONE, or train with noClassRow and class dropout");
        }
        int batch = classes.length;
        int rows = guidance.active() ? 2 * batch : batch;
        int[] ids = Arrays.copyOf(classes, rows);
        Arrays.fill(ids, batch, rows, (int) noClass);
        prepareCaches(rows);
        int[][] images = new int[batch][tokens];
        for (int position = 0; position < tokens; position++) {
            float[][] logits = step(position == 0 ? classEmbedding : tokenEmbedding, ids);
            for (int i = 0; i < batch; i++) {
                float[] chosen = logits[i];
                if (guidance.active() && guidance.guides(position)) {
                    guide(chosen, logits[batch + i], guidance.scale());
                }
                images[i][position] = sampler.sample(chosen);
                ids[i] = images[i][position];
                if (guidance.active()) {
                    ids[batch + i] = ids[i];
                }
            }
            afterPosition.accept(position + 1);
        }
        return images;
    }

    private void requireKnown(int[] classes) {
        for (int i = 0; i < classes.length; i++) {
            if (classes[i] < 0 || classes[i] >= classRows) {
                throw new IllegalArgumentException("Class " + classes[i] + " of image " + i
                        + " is unknown to the network. It knows 0 .. " + (classRows - 1)
                        + (noClass < 0 ? "" : ", where " + noClass + " is \"no class\""));
            }
        }
    }

    /** The caches of the last batch serve the next of the same size: new ones would have to wait for the collector. */
    private void prepareCaches(int rows) {
        if (rows != cachedRows) {
            cachedRows = 0;
            caches.clear();
            for (TransformerBlockImpl block : blocks) {
                caches.add(block.newCache(rows));
            }
            cachedRows = rows;
        }
        caches.forEach(KeyValueCache::clear);
    }

    private static void guide(float[] conditional, float[] free, double scale) {
        for (int v = 0; v < conditional.length; v++) {
            conditional[v] = (float) (free[v] + (conditional[v] - free[v]) * scale);
        }
    }

    /** Logits [rows][V] at the next position, given the ids at it. */
    private float[][] step(Layer embedding, int[] ids) {
        try (MemoryWorkspace step =
                Nd4j.getWorkspaceManager().getAndActivateWorkspace(WORKSPACE_CONFIGURATION, WORKSPACE)) {
            INDArray x = embedding.activate(
                    Nd4j.createFromArray(ids).reshape(ids.length, 1), false, workspaces); // [rows, 1, D]
            for (int i = 0; i < blocks.size(); i++) {
                x = blocks.get(i).decode(x, caches.get(i), workspaces);
            }
            x = norm.activate(x, false, workspaces);
            INDArray logits = output.activate(x, false, workspaces); // [rows, 1, V]
            return rows(logits.reshape('c', ids.length, logits.size(2)));
        } finally {
            // the layers must not hold on to arrays of a closed workspace
            embedding.clear();
            blocks.forEach(Layer::clear);
            norm.clear();
            output.clear();
        }
    }

    /** toFloatMatrix would copy each row through a native array of its own, and number by number. */
    private static float[][] rows(INDArray matrix) {
        FloatBuffer values = matrix.castTo(DataType.FLOAT).data().asNioFloat();
        float[][] rows = new float[matrix.rows()][matrix.columns()];
        for (float[] row : rows) {
            values.get(row);
        }
        return rows;
    }
}
