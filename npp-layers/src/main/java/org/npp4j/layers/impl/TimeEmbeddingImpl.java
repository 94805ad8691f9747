package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.FlowLayer;
import org.npp4j.layers.TimeEmbedding;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/** Run-time half of {@link TimeEmbedding}. */
public final class TimeEmbeddingImpl extends SequenceLayerImpl<TimeEmbedding> {
    private static final long serialVersionUID = 1L;

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public TimeEmbeddingImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /**
     * What the backward pass reads.
     *
     * @param input as the network gave it
     * @param waves [R, 2 x frequencies]
     * @param hidden [R, D] before silu
     */
    private record Forward(INDArray input, INDArray waves, INDArray hidden) {}

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        Allocator scratch = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr);
        INDArray x = inputRows(training, workspaceMgr);
        long width = layerConf().getNOut();
        INDArray waves = kept.create(x.rows(), 2L * FlowLayer.FREQUENCIES)
                .assign(TimeWaves.of(x.dup().reshape(x.rows()).toDoubleVector()));
        INDArray hidden = kept.create(x.rows(), width);
        RowOperations.linear(waves, getParam(TimeEmbedding.IN_WEIGHT), getParam(TimeEmbedding.IN_BIAS), hidden);
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, dataType, new long[] {input.size(0), input.size(1), width}, 'c');
        RowOperations.linear(
                RowOperations.silu(hidden, scratch),
                getParam(TimeEmbedding.OUT_WEIGHT),
                getParam(TimeEmbedding.OUT_BIAS),
                out.reshape('c', x.rows(), width));
        forward = training ? new Forward(input, waves, hidden) : null;
        return out;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (forward == null || forward.input != input) {
            throw FlowLayerImpl.noForwardPass(layerId());
        }
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        RowOperations.linearGradient(
                RowOperations.silu(f.hidden, scratch),
                dOut,
                gradientViews.get(TimeEmbedding.OUT_WEIGHT),
                gradientViews.get(TimeEmbedding.OUT_BIAS));
        INDArray dHidden = scratch.create(f.hidden.shape());
        Products.linearInputGradient(dOut, getParam(TimeEmbedding.OUT_WEIGHT), dHidden, 0);
        RowOperations.siluGradient(dHidden, f.hidden, scratch);
        RowOperations.linearGradient(
                f.waves, dHidden, gradientViews.get(TimeEmbedding.IN_WEIGHT), gradientViews.get(TimeEmbedding.IN_BIAS));
        INDArray dWaves = scratch.create(f.waves.shape());
        Products.linearInputGradient(dHidden, getParam(TimeEmbedding.IN_WEIGHT), dWaves, 0);
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        dx.assign(Nd4j.createFromArray(TimeWaves.gradient(f.waves, dWaves)).reshape('c', input.shape()));
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
