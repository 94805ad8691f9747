package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.LinearProjection;
import org.npp4j.layers.kernel.Products;

/** Run-time half of {@link LinearProjection}. */
public final class LinearProjectionImpl extends SequenceLayerImpl<LinearProjection> {
    private static final long serialVersionUID = 1L;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public LinearProjectionImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        INDArray x = inputRows(training, workspaceMgr);
        long width = layerConf().getNOut();
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, dataType, new long[] {input.size(0), input.size(1), width}, 'c');
        RowOperations.linear(
                x,
                getParam(LinearProjection.WEIGHT),
                getParam(LinearProjection.BIAS),
                out.reshape('c', x.rows(), width));
        return out;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        INDArray x = rows(input, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dOut = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        RowOperations.linearGradient(
                x, dOut, gradientViews.get(LinearProjection.WEIGHT), gradientViews.get(LinearProjection.BIAS));
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        Products.linearInputGradient(dOut, getParam(LinearProjection.WEIGHT), dx.reshape('c', x.shape()), 0);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }
}
