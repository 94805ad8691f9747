package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.RmsNorm;

/** Run-time half of {@link RmsNorm}. */
public final class RmsNormImpl extends SequenceLayerImpl<RmsNorm> {
    private static final long serialVersionUID = 1L;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public RmsNormImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        INDArray x = inputRows(training, workspaceMgr);
        INDArray y = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, dataType, input.shape(), 'c');
        INDArray scale = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr).create(x.rows());
        kernel().rmsNorm(x, getParam(RmsNorm.GAIN), layerConf().getEpsilon(), scale, y.reshape(x.shape()));
        return y;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        INDArray x = rows(input, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray gain = getParam(RmsNorm.GAIN);
        INDArray scale = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr).create(x.rows());
        kernel().rmsScale(x, layerConf().getEpsilon(), scale);
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        INDArray dy = rows(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        kernel().rmsNormGradient(dy, x, gain, scale, null, gradientViews.get(RmsNorm.GAIN), dx.reshape(x.shape()));
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }
}
