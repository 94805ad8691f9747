package org.npp4j.layers.impl;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.AdaptiveNormBlock;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.Products;
import org.npp4j.layers.kernel.RotaryTable;

/** Run-time half of {@link AdaptiveNormBlock}. */
public final class AdaptiveNormBlockImpl extends ConditionedLayerImpl<AdaptiveNormBlock> {
    private static final long serialVersionUID = 1L;

    /** Places among the six modulations: of each branch shift, scale, gate. */
    private static final int ATTENTION = 0;

    private static final int FEED_FORWARD = 3;
    private static final int SCALE = 1;
    private static final int GATE = 2;

    /** Of the numbers of tokens seen: no turning, as positions are in the tokens. */
    private final transient Map<Integer, RotaryTable> rotaryTables = new ConcurrentHashMap<>();

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public AdaptiveNormBlockImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /** What the backward pass reads, in the order in which the forward pass makes it. */
    private static final class Forward {
        private Parts parts;
        private INDArray[] modulations;
        private Normed attentionNorm;
        private INDArray[] attention;
        private INDArray attentionOut;
        private INDArray attentionBranch;
        private Normed feedForwardNorm;
        private INDArray hidden;
        private INDArray feedForwardBranch;
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        Allocator scratch = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr);
        Forward f = new Forward();
        f.parts = parts(training, kept, workspaceMgr);
        f.modulations =
                modulations(f.parts, AdaptiveNormBlock.MODULATION_WEIGHT, AdaptiveNormBlock.MODULATION_BIAS, 6, kept);
        INDArray x = f.parts.tokens();

        f.attentionNorm = norm(x, kept);
        INDArray modulated = modulated(f, f.attentionNorm, ATTENTION, scratch);
        INDArray[] qkv = new INDArray[3];
        for (int i = 0; i < qkv.length; i++) {
            qkv[i] = scratch.create(x.shape());
            RowOperations.linear(
                    modulated,
                    part(getParam(AdaptiveNormBlock.QKV_WEIGHT), i),
                    biasPart(getParam(AdaptiveNormBlock.QKV_BIAS), i),
                    qkv[i]);
        }
        f.attentionOut = kept.create(x.shape());
        f.attention = kernel().attention(
                        attentionShape(f.parts),
                        qkv[0],
                        qkv[1],
                        qkv[2],
                        null,
                        rotaryTable(f.parts),
                        kept,
                        scratch,
                        f.attentionOut);
        f.attentionBranch = kept.create(x.shape());
        RowOperations.linear(
                f.attentionOut,
                getParam(AdaptiveNormBlock.OUT_WEIGHT),
                getParam(AdaptiveNormBlock.OUT_BIAS),
                f.attentionBranch);
        INDArray h = gated(f, f.attentionBranch, ATTENTION, scratch).addi(x);

        f.feedForwardNorm = norm(h, kept);
        f.hidden = kept.create(x.rows(), layerConf().getFeedForwardWidth());
        RowOperations.linear(
                modulated(f, f.feedForwardNorm, FEED_FORWARD, scratch),
                getParam(AdaptiveNormBlock.UP_WEIGHT),
                getParam(AdaptiveNormBlock.UP_BIAS),
                f.hidden);
        f.feedForwardBranch = kept.create(x.shape());
        RowOperations.linear(
                activated(f, scratch),
                getParam(AdaptiveNormBlock.DOWN_WEIGHT),
                getParam(AdaptiveNormBlock.DOWN_BIAS),
                f.feedForwardBranch);
        INDArray outTokens =
                gated(f, f.feedForwardBranch, FEED_FORWARD, scratch).addi(h);

        INDArray out = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, dataType, input.shape(), 'c');
        conditionOf(out).assign(f.parts.condition());
        tokensOf(out).assign(outTokens.reshape('c', input.size(0), input.size(1) - 1, input.size(2)));
        forward = training ? f : null;
        return out;
    }

    private static INDArray modulated(Forward f, Normed normed, int branch, Allocator allocator) {
        return modulate(normed, f.modulations[branch], f.modulations[branch + SCALE], allocator);
    }

    private static INDArray gated(Forward f, INDArray branch, int at, Allocator allocator) {
        return repeated(f.modulations[at + GATE], branch.rows(), allocator).muli(branch);
    }

    /** [R, F], computed again in the backward pass: cheaper than to keep it. */
    private INDArray activated(Forward f, Allocator scratch) {
        INDArray activated = scratch.create(f.hidden.shape());
        kernel().gelu(f.hidden, activated);
        return activated;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (forward == null || forward.parts.input() != input) {
            throw FlowLayerImpl.noForwardPass(layerId());
        }
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        long width = layerConf().getNIn();
        INDArray[] dModulations = new INDArray[f.modulations.length];
        INDArray dOut = scratch.create(f.parts.tokens().shape());
        dOut.reshape('c', input.size(0), input.size(1) - 1, width).assign(tokensOf(epsilon));

        // feed-forward branch
        INDArray dBranch = gateGradient(f, f.feedForwardBranch, FEED_FORWARD, dOut, dModulations, scratch);
        linearGradient(activated(f, scratch), dBranch, AdaptiveNormBlock.DOWN_WEIGHT, AdaptiveNormBlock.DOWN_BIAS);
        INDArray dHidden = scratch.create(f.hidden.shape());
        Products.linearInputGradient(dBranch, getParam(AdaptiveNormBlock.DOWN_WEIGHT), dHidden, 0);
        kernel().geluGradient(dHidden, f.hidden, dHidden);
        linearGradient(
                modulated(f, f.feedForwardNorm, FEED_FORWARD, scratch),
                dHidden,
                AdaptiveNormBlock.UP_WEIGHT,
                AdaptiveNormBlock.UP_BIAS);
        INDArray dModulated = scratch.create(dOut.shape());
        Products.linearInputGradient(dHidden, getParam(AdaptiveNormBlock.UP_WEIGHT), dModulated, 0);
        INDArray dh = modulateGradient(
                        f.feedForwardNorm,
                        f.modulations[FEED_FORWARD + SCALE],
                        dModulated,
                        dModulations,
                        FEED_FORWARD,
                        scratch)
                .addi(dOut);

        // attention branch
        dBranch = gateGradient(f, f.attentionBranch, ATTENTION, dh, dModulations, scratch);
        linearGradient(f.attentionOut, dBranch, AdaptiveNormBlock.OUT_WEIGHT, AdaptiveNormBlock.OUT_BIAS);
        INDArray dAttention = scratch.create(dOut.shape());
        Products.linearInputGradient(dBranch, getParam(AdaptiveNormBlock.OUT_WEIGHT), dAttention, 0);
        INDArray[] dQkv = {scratch.create(dOut.shape()), scratch.create(dOut.shape()), scratch.create(dOut.shape())};
        kernel().attentionGradient(
                        attentionShape(f.parts),
                        f.attention,
                        rotaryTable(f.parts),
                        dAttention,
                        scratch,
                        dQkv[0],
                        dQkv[1],
                        dQkv[2]);
        INDArray modulated = modulated(f, f.attentionNorm, ATTENTION, scratch);
        for (int i = 0; i < dQkv.length; i++) {
            RowOperations.linearGradient(
                    modulated,
                    dQkv[i],
                    part(gradientViews.get(AdaptiveNormBlock.QKV_WEIGHT), i),
                    biasPart(gradientViews.get(AdaptiveNormBlock.QKV_BIAS), i));
            Products.linearInputGradient(
                    dQkv[i], part(getParam(AdaptiveNormBlock.QKV_WEIGHT), i), dModulated, i == 0 ? 0 : 1);
        }
        INDArray dTokens = modulateGradient(
                        f.attentionNorm, f.modulations[ATTENTION + SCALE], dModulated, dModulations, ATTENTION, scratch)
                .addi(dh);

        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        tokensOf(dx).assign(dTokens.reshape('c', input.size(0), input.size(1) - 1, width));
        conditionOf(dx)
                .assign(modulationGradient(
                        f.parts,
                        dModulations,
                        AdaptiveNormBlock.MODULATION_WEIGHT,
                        AdaptiveNormBlock.MODULATION_BIAS,
                        scratch))
                .addi(conditionOf(epsilon));
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    /** The gradient of a branch before its gate; that of the gate is put into its place. */
    private static INDArray gateGradient(
            Forward f, INDArray branch, int at, INDArray d, INDArray[] dModulations, Allocator scratch) {
        INDArray dGate = scratch.create(d.shape());
        d.muli(branch, dGate);
        dModulations[at + GATE] = sums(dGate, f.parts.condition().rows(), scratch);
        return repeated(f.modulations[at + GATE], d.rows(), scratch).muli(d);
    }

    private void linearGradient(INDArray x, INDArray dy, String weight, String bias) {
        RowOperations.linearGradient(x, dy, gradientViews.get(weight), gradientViews.get(bias));
    }

    private AttentionShape attentionShape(Parts parts) {
        int heads = layerConf().getHeads();
        int tokens = (int) parts.tokensOfSequence();
        return new AttentionShape(
                input.size(0),
                tokens,
                heads,
                heads,
                (int) layerConf().getNIn() / heads,
                AttentionMask.withinBlocks(tokens));
    }

    private RotaryTable rotaryTable(Parts parts) {
        int headWidth = (int) layerConf().getNIn() / layerConf().getHeads();
        return rotaryTables.computeIfAbsent(
                (int) parts.tokensOfSequence(), tokens -> RotaryTable.none(tokens, headWidth, dataType));
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
