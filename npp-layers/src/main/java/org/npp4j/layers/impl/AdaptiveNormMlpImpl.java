package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.AdaptiveNormMlp;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/** Run-time half of {@link AdaptiveNormMlp}. */
public final class AdaptiveNormMlpImpl extends FlowLayerImpl<AdaptiveNormMlp> {
    private static final long serialVersionUID = 1L;
    private static final double EPSILON = 1e-6;

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public AdaptiveNormMlpImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /** What the backward pass reads of all but the blocks. */
    private static final class Forward {
        private Embedded embedded;
        private INDArray activated;
        private Block[] blocks;
        private Modulated last;
    }

    /**
     * A modulated norm.
     *
     * @param normed [R, W]
     * @param scale of the norm, [R]
     * @param modulation [R, W] each: shift, scale, and of a block its gate
     */
    private record Modulated(INDArray normed, INDArray scale, INDArray[] modulation) {}

    /**
     * A block.
     *
     * @param in its modulated norm
     * @param hidden [R, W] before silu
     * @param out [R, W] before the gate
     */
    private record Block(Modulated in, INDArray hidden, INDArray out) {}

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        Allocator scratch = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr);
        Forward f = new Forward();
        f.embedded = embed(training, kept, scratch, workspaceMgr);
        f.activated = RowOperations.silu(f.embedded.y(), kept);
        f.blocks = new Block[layerConf().getBlocks()];
        INDArray h = scratch.create(f.embedded.h().shape()).assign(f.embedded.h());
        for (int i = 0; i < f.blocks.length; i++) {
            f.blocks[i] = block(i, h, f.activated, kept, scratch);
        }
        f.last = modulated(h, f.activated, AdaptiveNormMlp.MODULATION_WEIGHT, AdaptiveNormMlp.MODULATION_BIAS, 2, kept);
        long channels = layerConf().getChannels();
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, dataType, new long[] {input.size(0), input.size(1), channels}, 'c');
        RowOperations.linear(
                modulate(f.last, scratch),
                getParam(AdaptiveNormMlp.OUT_WEIGHT),
                getParam(AdaptiveNormMlp.OUT_BIAS),
                out.reshape('c', h.rows(), channels));
        forward = training ? f : null;
        return out;
    }

    /** One block; h grows by its output. */
    private Block block(int i, INDArray h, INDArray activated, Allocator kept, Allocator scratch) {
        Modulated in = modulated(
                h, activated, AdaptiveNormMlp.modulationWeight(i), AdaptiveNormMlp.modulationBias(i), 3, kept);
        INDArray hidden = kept.create(h.shape());
        RowOperations.linear(
                modulate(in, scratch),
                getParam(AdaptiveNormMlp.inWeight(i)),
                getParam(AdaptiveNormMlp.inBias(i)),
                hidden);
        INDArray out = kept.create(h.shape());
        RowOperations.linear(
                RowOperations.silu(hidden, scratch),
                getParam(AdaptiveNormMlp.outWeight(i)),
                getParam(AdaptiveNormMlp.outBias(i)),
                out);
        INDArray gated = scratch.create(h.shape());
        out.muli(in.modulation()[2], gated);
        h.addi(gated);
        return new Block(in, hidden, out);
    }

    private Modulated modulated(INDArray h, INDArray activated, String weight, String bias, int parts, Allocator kept) {
        INDArray scale = kept.create(h.rows());
        INDArray normed = kept.create(h.shape());
        RowOperations.layerNorm(h, EPSILON, scale, normed);
        INDArray[] modulation = new INDArray[parts];
        for (int part = 0; part < parts; part++) {
            modulation[part] = kept.create(h.shape());
            RowOperations.linear(
                    activated, part(getParam(weight), part), biasPart(getParam(bias), part), modulation[part]);
        }
        return new Modulated(normed, scale, modulation);
    }

    private static INDArray modulate(Modulated m, Allocator allocator) {
        return RowOperations.modulate(m.normed(), m.modulation()[1], m.modulation()[0], allocator);
    }

    /** Columns of [W, parts x W]: contiguous, since the array is in 'f' order. */
    private INDArray part(INDArray weight, int part) {
        long w = layerConf().getWidth();
        return columns(weight, part * w, (part + 1) * w);
    }

    private INDArray biasPart(INDArray bias, int part) {
        long w = layerConf().getWidth();
        return bias.get(NDArrayIndex.interval(part * w, (part + 1) * w));
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (forward == null || forward.embedded.input() != input) {
            throw noForwardPass(layerId());
        }
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dActivated = scratch.create(f.activated.shape()).assign(0);

        linearGradient(modulate(f.last, scratch), dOut, AdaptiveNormMlp.OUT_WEIGHT, AdaptiveNormMlp.OUT_BIAS);
        INDArray dLast = scratch.create(f.activated.shape());
        Products.linearInputGradient(dOut, getParam(AdaptiveNormMlp.OUT_WEIGHT), dLast, 0);
        INDArray dh = modulatedGradient(
                f.last,
                f.activated,
                dLast,
                new INDArray[2],
                AdaptiveNormMlp.MODULATION_WEIGHT,
                AdaptiveNormMlp.MODULATION_BIAS,
                dActivated,
                scratch);
        for (int i = f.blocks.length - 1; i >= 0; i--) {
            blockGradient(i, f.blocks[i], f.activated, dh, dActivated, scratch);
        }
        INDArray dy = RowOperations.siluGradient(dActivated, f.embedded.y(), scratch);
        INDArray dx = embedGradient(f.embedded, dh, dy, scratch, workspaceMgr);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    /** dh becomes the gradient of the block's input. */
    private void blockGradient(
            int i, Block block, INDArray activated, INDArray dh, INDArray dActivated, Allocator scratch) {
        INDArray[] dModulation = new INDArray[3];
        dModulation[2] = scratch.create(dh.shape());
        dh.muli(block.out(), dModulation[2]);
        INDArray dBranch = scratch.create(dh.shape());
        dh.muli(block.in().modulation()[2], dBranch);
        linearGradient(
                RowOperations.silu(block.hidden(), scratch),
                dBranch,
                AdaptiveNormMlp.outWeight(i),
                AdaptiveNormMlp.outBias(i));
        INDArray dHidden = scratch.create(dh.shape());
        Products.linearInputGradient(dBranch, getParam(AdaptiveNormMlp.outWeight(i)), dHidden, 0);
        RowOperations.siluGradient(dHidden, block.hidden(), scratch);
        linearGradient(modulate(block.in(), scratch), dHidden, AdaptiveNormMlp.inWeight(i), AdaptiveNormMlp.inBias(i));
        Products.linearInputGradient(dHidden, getParam(AdaptiveNormMlp.inWeight(i)), dBranch, 0);
        dh.addi(modulatedGradient(
                block.in(),
                activated,
                dBranch,
                dModulation,
                AdaptiveNormMlp.modulationWeight(i),
                AdaptiveNormMlp.modulationBias(i),
                dActivated,
                scratch));
    }

    /**
     * The gradient of what was normed; that of the activated condition is added to.
     *
     * @param d gradient of the modulated norm; its content is lost
     * @param dModulation gradients of the parts of the modulation; shift and scale are computed here
     */
    private INDArray modulatedGradient(
            Modulated m,
            INDArray activated,
            INDArray d,
            INDArray[] dModulation,
            String weight,
            String bias,
            INDArray dActivated,
            Allocator scratch) {
        dModulation[0] = d;
        dModulation[1] = scratch.create(d.shape());
        d.muli(m.normed(), dModulation[1]);
        for (int part = 0; part < dModulation.length; part++) {
            RowOperations.linearGradient(
                    activated,
                    dModulation[part],
                    part(gradientViews.get(weight), part),
                    biasPart(gradientViews.get(bias), part));
            Products.linearInputGradient(dModulation[part], part(getParam(weight), part), dActivated, 1);
        }
        INDArray dNormed = scratch.create(d.shape());
        d.muli(m.modulation()[1], dNormed);
        dNormed.addi(d);
        return RowOperations.layerNormGradient(dNormed, m.normed(), m.scale(), scratch);
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
