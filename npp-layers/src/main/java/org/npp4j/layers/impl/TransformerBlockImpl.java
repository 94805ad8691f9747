package org.npp4j.layers.impl;

import java.util.Arrays;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.BlockParameters;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.layers.kernel.Products;
import org.npp4j.layers.kernel.RotaryTable;
import org.npp4j.layers.kernel.TransformerKernel.BranchGradient;

/**
 * Run-time half of {@link TransformerBlock}.
 *
 * <p>The training forward pass keeps its intermediate arrays in the workspace that lives until the end of the backward
 * pass, but for what one pass over memory brings back: norms, the gated activation, and the weights of attention. With {@link
 * TransformerBlock#isRecompute()} it keeps the input and the sum behind the attention alone.
 */
public final class TransformerBlockImpl extends SequenceLayerImpl<TransformerBlock> {
    private static final long serialVersionUID = 1L;

    /** One table for each number of positions: a stage has one length. */
    private final transient Map<Integer, RotaryTable> rotaryTables = new ConcurrentHashMap<>();

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public TransformerBlockImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /** What the backward pass reads, in the order in which the forward pass makes it. */
    private static final class Forward {
        private INDArray input;
        private INDArray x;
        private INDArray attentionScale;
        private INDArray[] attention;
        private INDArray attentionOut;
        private BranchGradient attentionBranch;
        private INDArray h;
        private INDArray feedForwardScale;
        private INDArray gate;
        private INDArray up;
        private BranchGradient feedForwardBranch;
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        INDArray out = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, dataType, input.shape(), 'c');
        Forward pass = run(
                training,
                kept(training, workspaceMgr),
                allocator(ArrayType.FF_WORKING_MEM, workspaceMgr),
                inputRows(training, workspaceMgr),
                out.reshape(input.size(0) * input.size(1), input.size(2)));
        forward = training ? pass : null;
        return out;
    }

    private Forward run(boolean training, Allocator kept, Allocator scratch, INDArray x, INDArray out) {
        TransformerBlock block = layerConf();
        // for what the backward pass reads, or makes again
        Allocator read = block.isRecompute() ? scratch : kept;
        long rows = x.rows();
        long width = block.getNIn();
        Forward f = new Forward();
        f.input = input;
        f.x = x;

        f.attentionScale = kept.create(rows);
        attend(f, read, scratch);
        f.h = kept.create(rows, width);
        Products.linear(f.attentionOut, getParam(TransformerBlock.OUT_WEIGHT), f.h);
        f.attentionBranch = addBranch(training, f.h, x, block.getResidualDropout(), kept, f.h);

        f.feedForwardScale = kept.create(rows);
        gateAndUp(f, read, scratch);
        Products.linear(activated(f, scratch), getParam(TransformerBlock.DOWN_WEIGHT), out);
        f.feedForwardBranch = addBranch(training, out, f.h, block.getFeedForwardDropout(), kept, out);
        return f;
    }

    /** From x to the mixed values of all heads, [R, H x E]. */
    private void attend(Forward f, Allocator read, Allocator scratch) {
        INDArray normed = norm(f.x, TransformerBlock.ATTENTION_GAIN, f.attentionScale, scratch);
        INDArray[] qkv = queriesKeysValues(normed, scratch);
        f.attentionOut = read.create(f.x.shape());
        f.attention = kernel().attention(
                        attentionShape(layerConf().getMask().over(input.size(1))),
                        qkv[0],
                        qkv[1],
                        qkv[2],
                        seenCondition(),
                        rotaryTable(input.size(1)),
                        read,
                        scratch,
                        f.attentionOut);
    }

    /** From h to what the gated activation takes, [R, F] each. */
    private void gateAndUp(Forward f, Allocator read, Allocator scratch) {
        long hidden = layerConf().getFeedForwardWidth();
        INDArray normed = norm(f.h, TransformerBlock.FEED_FORWARD_GAIN, f.feedForwardScale, scratch);
        f.gate = read.create(f.h.rows(), hidden);
        f.up = read.create(f.h.rows(), hidden);
        Products.linear(normed, getParam(TransformerBlock.GATE_WEIGHT), f.gate);
        Products.linear(normed, getParam(TransformerBlock.UP_WEIGHT), f.up);
    }

    /** The mask of the condition tokens [B, C], or null. A single one, such as a class, cannot be hidden. */
    private INDArray seenCondition() {
        int c = layerConf().getConditionTokens();
        if (maskArray == null || c == 1) {
            return null;
        }
        if (maskArray.rank() != 2 || maskArray.size(0) != input.size(0) || maskArray.size(1) < c) {
            throw new IllegalArgumentException("A mask of " + c + " condition tokens and what follows is ["
                    + input.size(0) + ", at least " + c + "], got " + Arrays.toString(maskArray.shape()) + " "
                    + layerId());
        }
        return maskArray.get(NDArrayIndex.all(), NDArrayIndex.interval(0, c));
    }

    /** [R, D] -> query [R, H x E], key [R, G x E], value [R, G x E]. */
    private INDArray[] queriesKeysValues(INDArray normed, Allocator scratch) {
        INDArray[] weights = splitQkv(getParam(TransformerBlock.QKV_WEIGHT));
        INDArray[] results = new INDArray[weights.length];
        for (int i = 0; i < weights.length; i++) {
            results[i] = scratch.create(normed.rows(), weights[i].columns());
            Products.linear(normed, weights[i], results[i]);
        }
        return results;
    }

    /** [R, D] normed, in scratch memory: the backward pass computes it again, which is cheaper than to keep it. */
    private INDArray norm(INDArray x, String gain, INDArray scale, Allocator scratch) {
        INDArray normed = scratch.create(x.shape());
        kernel().rmsNorm(x, getParam(gain), layerConf().getEpsilon(), scale, normed);
        return normed;
    }

    /** [R, F], as {@link #norm}. */
    private INDArray activated(Forward f, Allocator scratch) {
        INDArray activated = scratch.create(f.gate.shape());
        kernel().swiGlu(f.gate, f.up, activated);
        return activated;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (forward == null || forward.input != input) {
            throw new IllegalStateException(
                    "The backward pass needs the training forward pass of the same input before it " + layerId());
        }
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        long rows = f.x.rows();
        long width = layerConf().getNIn();
        long hidden = layerConf().getFeedForwardWidth();
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);

        // feed-forward branch
        if (layerConf().isRecompute()) {
            gateAndUp(f, scratch, scratch);
        }
        INDArray dBranch = f.feedForwardBranch.of(dOut, scratch);
        INDArray dActivated = activated(f, scratch);
        weightGradient(dActivated, dBranch, TransformerBlock.DOWN_WEIGHT);
        Products.linearInputGradient(dBranch, getParam(TransformerBlock.DOWN_WEIGHT), dActivated, 0);
        INDArray dGate = scratch.create(rows, hidden);
        INDArray dUp = scratch.create(rows, hidden);
        kernel().swiGluGradient(dActivated, f.gate, f.up, dGate, dUp);
        INDArray normed = norm(f.h, TransformerBlock.FEED_FORWARD_GAIN, f.feedForwardScale, scratch);
        weightGradient(normed, dGate, TransformerBlock.GATE_WEIGHT);
        weightGradient(normed, dUp, TransformerBlock.UP_WEIGHT);
        INDArray dh = scratch.create(rows, width);
        Products.linearInputGradient(dGate, getParam(TransformerBlock.GATE_WEIGHT), dh, 0);
        Products.linearInputGradient(dUp, getParam(TransformerBlock.UP_WEIGHT), dh, 1);
        normGradient(dh, f.h, f.feedForwardScale, TransformerBlock.FEED_FORWARD_GAIN, dOut, dh);

        // attention branch
        if (layerConf().isRecompute()) {
            attend(f, scratch, scratch);
        }
        dBranch = f.attentionBranch.of(dh, scratch);
        weightGradient(f.attentionOut, dBranch, TransformerBlock.OUT_WEIGHT);
        INDArray dAttention = scratch.create(rows, width);
        Products.linearInputGradient(dBranch, getParam(TransformerBlock.OUT_WEIGHT), dAttention, 0);
        INDArray[] weights = splitQkv(getParam(TransformerBlock.QKV_WEIGHT));
        INDArray[] dQkv = new INDArray[weights.length];
        for (int i = 0; i < weights.length; i++) {
            dQkv[i] = scratch.create(rows, weights[i].columns());
        }
        kernel().attentionGradient(
                        attentionShape(layerConf().getMask().over(input.size(1))),
                        f.attention,
                        rotaryTable(input.size(1)),
                        dAttention,
                        scratch,
                        dQkv[0],
                        dQkv[1],
                        dQkv[2]);
        INDArray[] weightGradients = splitQkv(gradientViews.get(TransformerBlock.QKV_WEIGHT));
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        INDArray dxRows = dx.reshape(rows, width);
        kernel().rmsNorm(
                        f.x,
                        getParam(TransformerBlock.ATTENTION_GAIN),
                        layerConf().getEpsilon(),
                        f.attentionScale,
                        normed);
        for (int i = 0; i < weights.length; i++) {
            Products.linearWeightGradient(normed, dQkv[i], weightGradients[i]);
            Products.linearInputGradient(dQkv[i], weights[i], dxRows, i == 0 ? 0 : 1);
        }
        normGradient(dxRows, f.x, f.attentionScale, TransformerBlock.ATTENTION_GAIN, dh, dxRows);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    private void weightGradient(INDArray x, INDArray dy, String key) {
        Products.linearWeightGradient(x, dy, gradientViews.get(key));
    }

    private void normGradient(INDArray dy, INDArray x, INDArray scale, String key, INDArray residual, INDArray dx) {
        kernel().rmsNormGradient(dy, x, getParam(key), scale, residual, gradientViews.get(key), dx);
    }

    private BranchGradient addBranch(
            boolean training, INDArray branch, INDArray x, double unitDropout, Allocator kept, INDArray y) {
        double pathDropout = layerConf().getPathDropout();
        return kernel().addBranch(
                        branch, x, input.size(0), training ? unitDropout : 0, training ? pathDropout : 0, kept, y);
    }

    /**
     * An empty cache for {@link #decode}.
     *
     * @param batch B, the largest batch
     * @return a cache for the whole sequence at p = 1
     * @throws IllegalStateException if neither a grid nor the mask tells how long that is
     */
    public KeyValueCache newCache(long batch) {
        TransformerBlock block = layerConf();
        return new KeyValueCache(dataType, batch, block.getKeyValueHeads(), fullLength(), block.headWidth());
    }

    /**
     * The output at the next positions of a sequence of tokens (p = 1), given the cached positions before. Condition
     * tokens are hidden by {@link KeyValueCache#hideCondition}.
     *
     * @param next [B, S, D], the input at the next S positions
     * @param cache keys and values so far; grows by S positions
     * @param workspaceMgr where intermediate arrays live
     * @return [B, S, D], equal to what {@link #activate} gives at these positions
     * @throws IllegalArgumentException if the cache is for another batch size, or if positions see later ones of their
     *     block and the next ones are no whole blocks
     * @throws IllegalStateException if the sequence is complete
     */
    public INDArray decode(INDArray next, KeyValueCache cache, LayerWorkspaceMgr workspaceMgr) {
        setInput(next, workspaceMgr);
        INDArray x = inputRows(false, workspaceMgr);
        cache.requireRoom(next.size(0), next.size(1));
        layerConf().getMask().over(cache.length() + next.size(1));
        INDArray out = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, dataType, next.shape(), 'c');
        kernel().decode(
                        blockParameters(),
                        attentionShape(layerConf().getMask()),
                        x,
                        rotaryTable(fullLength()),
                        cache,
                        allocator(ArrayType.FF_WORKING_MEM, workspaceMgr),
                        out.reshape(x.shape()));
        return out;
    }

    private BlockParameters blockParameters() {
        return new BlockParameters(
                layerConf().getEpsilon(),
                getParam(TransformerBlock.ATTENTION_GAIN),
                getParam(TransformerBlock.QKV_WEIGHT),
                getParam(TransformerBlock.OUT_WEIGHT),
                getParam(TransformerBlock.FEED_FORWARD_GAIN),
                getParam(TransformerBlock.GATE_WEIGHT),
                getParam(TransformerBlock.UP_WEIGHT),
                getParam(TransformerBlock.DOWN_WEIGHT));
    }

    private int fullLength() {
        if (layerConf().getGrid() == null) {
            if (layerConf().getMask().getKind() != AttentionMask.Kind.BLOCK_CAUSAL) {
                throw new IllegalStateException("A block without a grid is decoded with a cache only if its mask is"
                        + " AttentionMask.blockCausal, got " + layerConf().getMask() + " " + layerId());
            }
            return layerConf().getMask().positions();
        }
        return layerConf().getConditionTokens() + layerConf().getGrid().tokens() - 1;
    }

    private AttentionShape attentionShape(AttentionMask mask) {
        TransformerBlock block = layerConf();
        return new AttentionShape(
                input.size(0), input.size(1), block.getHeads(), block.getKeyValueHeads(), block.headWidth(), mask);
    }

    private RotaryTable rotaryTable(long positions) {
        TransformerBlock block = layerConf();
        return rotaryTables.computeIfAbsent((int) positions, length -> {
            if (block.getGrid() == null) {
                return RotaryTable.none(length, block.headWidth(), dataType);
            }
            int patches = length - block.getConditionTokens() + 1;
            TokenGrid patchGrid = block.getGrid().ofPatches(block.getGrid().patchSideFor(patches));
            return new RotaryTable(
                    patchGrid, block.getConditionTokens(), block.headWidth(), block.getRotaryBase(), dataType);
        });
    }

    /** The query, key and value columns of [D, (H + 2 G) E]: contiguous views, since the array is in 'f' order. */
    private INDArray[] splitQkv(INDArray qkv) {
        long q = layerConf().getNIn();
        long kv = (long) layerConf().getKeyValueHeads() * layerConf().headWidth();
        return new INDArray[] {columns(qkv, 0, q), columns(qkv, q, q + kv), columns(qkv, q + kv, q + 2 * kv)};
    }

    private static INDArray columns(INDArray matrix, long from, long to) {
        return matrix.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to));
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
