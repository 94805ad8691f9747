package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.FlowEmbedding;
import org.npp4j.layers.kernel.Allocator;

/** Run-time half of {@link FlowEmbedding}. */
public final class FlowEmbeddingImpl extends FlowLayerImpl<FlowEmbedding> {
    private static final long serialVersionUID = 1L;

    private transient Embedded forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public FlowEmbeddingImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        Embedded f = embed(
                training,
                kept(training, workspaceMgr),
                allocator(ArrayType.FF_WORKING_MEM, workspaceMgr),
                workspaceMgr);
        forward = training ? f : null;
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS,
                dataType,
                new long[] {input.size(0), input.size(1), layerConf().getWidth()},
                'c');
        f.h().addi(f.y(), out.reshape('c', f.h().shape()));
        return out;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        if (forward == null || forward.input() != input) {
            throw noForwardPass(layerId());
        }
        Embedded f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dx = embedGradient(f, dOut, dOut, scratch, workspaceMgr);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
