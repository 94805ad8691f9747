package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.GroupNorm;
import org.npp4j.layers.kernel.ImageKernel;

/** Run-time half of {@link GroupNorm}. */
public final class GroupNormImpl extends ImageLayerImpl<GroupNorm> {
    private static final long serialVersionUID = 1L;

    private transient INDArray forwardInput;
    private transient INDArray statistics;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public GroupNormImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray x = images(training, workspaceMgr);
        INDArray y = result(ArrayType.ACTIVATIONS, workspaceMgr, x.shape());
        INDArray ofGroups =
                kept(training, workspaceMgr).create(x.size(0), 2, layerConf().getGroups());
        kernel().groupNorm(x, norm(), getParam(GroupNorm.GAIN), getParam(GroupNorm.BIAS), ofGroups, y);
        forwardInput = training ? input : null;
        statistics = training ? ofGroups : null;
        return y;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        requireForward(forwardInput);
        INDArray x = contiguous(input, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dx = result(ArrayType.ACTIVATION_GRAD, workspaceMgr, input.shape());
        kernel().groupNormGradient(
                        contiguous(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr),
                        x,
                        norm(),
                        getParam(GroupNorm.GAIN),
                        getParam(GroupNorm.BIAS),
                        statistics,
                        null,
                        allocator(ArrayType.BP_WORKING_MEM, workspaceMgr),
                        gradientView(GroupNorm.GAIN),
                        gradientView(GroupNorm.BIAS),
                        dx);
        clearForward();
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    private ImageKernel.Norm norm() {
        return new ImageKernel.Norm(
                layerConf().getGroups(), layerConf().getEpsilon(), layerConf().isSwish());
    }

    private void clearForward() {
        forwardInput = null;
        statistics = null;
    }

    @Override
    public void clear() {
        super.clear();
        clearForward();
    }
}
