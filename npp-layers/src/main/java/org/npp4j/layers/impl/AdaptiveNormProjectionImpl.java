package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.AdaptiveNormProjection;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/** Run-time half of {@link AdaptiveNormProjection}. */
public final class AdaptiveNormProjectionImpl extends ConditionedLayerImpl<AdaptiveNormProjection> {
    private static final long serialVersionUID = 1L;
    private static final int SHIFT = 0;
    private static final int SCALE = 1;

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public AdaptiveNormProjectionImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /**
     * What the backward pass reads.
     *
     * @param parts of the input
     * @param modulations shift and scale, [B, D]
     * @param normed tokens
     */
    private record Forward(Parts parts, INDArray[] modulations, Normed normed) {}

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        Allocator scratch = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr);
        Parts parts = parts(training, kept, workspaceMgr);
        INDArray[] modulations = modulations(
                parts, AdaptiveNormProjection.MODULATION_WEIGHT, AdaptiveNormProjection.MODULATION_BIAS, 2, kept);
        Normed normed = norm(parts.tokens(), kept);
        long width = layerConf().getNOut();
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, dataType, new long[] {input.size(0), parts.tokensOfSequence(), width}, 'c');
        RowOperations.linear(
                modulate(normed, modulations[SHIFT], modulations[SCALE], scratch),
                getParam(AdaptiveNormProjection.OUT_WEIGHT),
                getParam(AdaptiveNormProjection.OUT_BIAS),
                out.reshape('c', parts.tokens().rows(), width));
        forward = training ? new Forward(parts, modulations, normed) : null;
        return out;
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
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        RowOperations.linearGradient(
                modulate(f.normed, f.modulations[SHIFT], f.modulations[SCALE], scratch),
                dOut,
                gradientViews.get(AdaptiveNormProjection.OUT_WEIGHT),
                gradientViews.get(AdaptiveNormProjection.OUT_BIAS));
        INDArray d = scratch.create(f.parts.tokens().shape());
        Products.linearInputGradient(dOut, getParam(AdaptiveNormProjection.OUT_WEIGHT), d, 0);
        INDArray[] dModulations = new INDArray[2];
        INDArray dTokens = modulateGradient(f.normed, f.modulations[SCALE], d, dModulations, SHIFT, scratch);
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        conditionOf(dx)
                .assign(modulationGradient(
                        f.parts,
                        dModulations,
                        AdaptiveNormProjection.MODULATION_WEIGHT,
                        AdaptiveNormProjection.MODULATION_BIAS,
                        scratch));
        tokensOf(dx).assign(dTokens.reshape('c', input.size(0), input.size(1) - 1, input.size(2)));
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
