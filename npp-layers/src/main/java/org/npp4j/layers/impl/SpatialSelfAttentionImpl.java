package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.SpatialSelfAttention;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.ConvolutionWindow;
import org.npp4j.layers.kernel.ImageKernel;

/**
 * Run-time half of {@link SpatialSelfAttention}. Training keeps queries, keys, values and what is mixed of them; the norm and
 * the weights of attention are computed again in the backward pass.
 */
public final class SpatialSelfAttentionImpl extends ImageLayerImpl<SpatialSelfAttention> {
    private static final long serialVersionUID = 1L;

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public SpatialSelfAttentionImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /** What the backward pass reads; all but the statistics are [B, Y, X, C]. */
    private record Forward(
            INDArray input, INDArray x, INDArray statistics, INDArray q, INDArray k, INDArray v, INDArray mixed) {}

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray x = images(training, workspaceMgr);
        Allocator scratch = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        INDArray y = result(ArrayType.ACTIVATIONS, workspaceMgr, x.shape());
        INDArray statistics = kept.create(x.size(0), 2, layerConf().getGroups());
        // The memory of y serves for what is needed before y is written.
        INDArray normed = y;
        kernel().groupNorm(
                        x,
                        norm(),
                        getParam(SpatialSelfAttention.NORM_GAIN),
                        getParam(SpatialSelfAttention.NORM_BIAS),
                        statistics,
                        normed);
        INDArray q = kept.create(x.shape());
        INDArray k = kept.create(x.shape());
        INDArray v = kept.create(x.shape());
        project(normed, SpatialSelfAttention.QUERY_WEIGHT, SpatialSelfAttention.QUERY_BIAS, null, scratch, q);
        project(normed, SpatialSelfAttention.KEY_WEIGHT, SpatialSelfAttention.KEY_BIAS, null, scratch, k);
        project(normed, SpatialSelfAttention.VALUE_WEIGHT, SpatialSelfAttention.VALUE_BIAS, null, scratch, v);
        INDArray mixed = kept.create(x.shape());
        kernel().attention(sequence(q), sequence(k), sequence(v), scratch, sequence(mixed));
        project(mixed, SpatialSelfAttention.OUT_WEIGHT, SpatialSelfAttention.OUT_BIAS, x, scratch, y);
        forward = training ? new Forward(input, x, statistics, q, k, v, mixed) : null;
        return y;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        requireForward(forward == null ? null : forward.input);
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        long[] shape = f.x.shape();
        INDArray dy = contiguous(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dMixed = scratch.create(shape);
        projectGradient(f.mixed, dy, SpatialSelfAttention.OUT_WEIGHT, SpatialSelfAttention.OUT_BIAS, scratch, dMixed);
        INDArray dq = scratch.create(shape);
        INDArray dk = scratch.create(shape);
        INDArray dv = scratch.create(shape);
        kernel().attentionGradient(
                        sequence(dMixed),
                        sequence(f.q),
                        sequence(f.k),
                        sequence(f.v),
                        scratch,
                        sequence(dq),
                        sequence(dk),
                        sequence(dv));
        INDArray gain = getParam(SpatialSelfAttention.NORM_GAIN);
        INDArray bias = getParam(SpatialSelfAttention.NORM_BIAS);
        INDArray normed = scratch.create(shape);
        kernel().normalize(f.x, norm(), gain, bias, f.statistics, normed);
        INDArray dNormed = dMixed;
        projectGradient(
                normed, dq, SpatialSelfAttention.QUERY_WEIGHT, SpatialSelfAttention.QUERY_BIAS, scratch, dNormed);
        INDArray part = dq;
        projectGradient(normed, dk, SpatialSelfAttention.KEY_WEIGHT, SpatialSelfAttention.KEY_BIAS, scratch, part);
        dNormed.addi(part);
        projectGradient(normed, dv, SpatialSelfAttention.VALUE_WEIGHT, SpatialSelfAttention.VALUE_BIAS, scratch, part);
        dNormed.addi(part);
        INDArray dx = result(ArrayType.ACTIVATION_GRAD, workspaceMgr, shape);
        kernel().groupNormGradient(
                        dNormed,
                        f.x,
                        norm(),
                        gain,
                        bias,
                        f.statistics,
                        dy,
                        scratch,
                        gradientView(SpatialSelfAttention.NORM_GAIN),
                        gradientView(SpatialSelfAttention.NORM_BIAS),
                        dx);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    private void project(INDArray x, String weight, String bias, INDArray residual, Allocator scratch, INDArray y) {
        convolutions().convolution(ConvolutionWindow.PIXEL, x, getParam(weight), getParam(bias), residual, scratch, y);
    }

    private void projectGradient(INDArray x, INDArray dy, String weight, String bias, Allocator scratch, INDArray dx) {
        convolutions()
                .weightGradient(ConvolutionWindow.PIXEL, x, dy, scratch, gradientView(weight), gradientView(bias));
        convolutions().inputGradient(ConvolutionWindow.PIXEL, dy, getParam(weight), scratch, dx);
    }

    /** [B, Y, X, C] -> [B, Y X, C]. */
    private static INDArray sequence(INDArray images) {
        return images.reshape('c', images.size(0), images.size(1) * images.size(2), images.size(3));
    }

    private ImageKernel.Norm norm() {
        return new ImageKernel.Norm(layerConf().getGroups(), layerConf().getEpsilon(), false);
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
