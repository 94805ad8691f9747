package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.ResidualBlock;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.ConvolutionWindow;
import org.npp4j.layers.kernel.ImageKernel;

/**
 * Run-time half of {@link ResidualBlock}. Training keeps the first convolution's output and the norms' statistics; the norms
 * themselves are computed again in the backward pass. Inference uses one array of the output's size besides the output.
 */
public final class ResidualBlockImpl extends ImageLayerImpl<ResidualBlock> {
    private static final long serialVersionUID = 1L;

    private transient Forward forward;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public ResidualBlockImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /** What the backward pass reads. */
    private record Forward(INDArray input, INDArray x, INDArray statistics1, INDArray h, INDArray statistics2) {}

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray x = images(training, workspaceMgr);
        Allocator scratch = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr);
        Allocator kept = kept(training, workspaceMgr);
        INDArray y = result(ArrayType.ACTIVATIONS, workspaceMgr, outputShape(x));
        INDArray statistics1 = kept.create(x.size(0), 2, layerConf().getGroups());
        INDArray statistics2 = kept.create(x.size(0), 2, layerConf().getGroups());

        // The memory of y serves for what is needed before y is written.
        INDArray normed = layerConf().convolvesShortcut() ? scratch.create(x.shape()) : y;
        kernel().groupNorm(
                        x,
                        norm(),
                        getParam(ResidualBlock.NORM_GAIN_1),
                        getParam(ResidualBlock.NORM_BIAS_1),
                        statistics1,
                        normed);
        INDArray h = kept.create(outputShape(x));
        convolution(normed, ResidualBlock.WEIGHT_1, ResidualBlock.BIAS_1, null, scratch, h);
        INDArray normedH = training ? scratch.create(h.shape()) : h;
        kernel().groupNorm(
                        h,
                        norm(),
                        getParam(ResidualBlock.NORM_GAIN_2),
                        getParam(ResidualBlock.NORM_BIAS_2),
                        statistics2,
                        normedH);
        INDArray shortcut = x;
        if (layerConf().convolvesShortcut()) {
            shortcut = scratch.create(y.shape());
            convolutions()
                    .convolution(
                            ConvolutionWindow.PIXEL,
                            x,
                            getParam(ResidualBlock.SHORTCUT_WEIGHT),
                            getParam(ResidualBlock.SHORTCUT_BIAS),
                            null,
                            scratch,
                            shortcut);
        }
        convolution(normedH, ResidualBlock.WEIGHT_2, ResidualBlock.BIAS_2, shortcut, scratch, y);
        forward = training ? new Forward(input, x, statistics1, h, statistics2) : null;
        return y;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        requireForward(forward == null ? null : forward.input);
        Forward f = forward;
        forward = null;
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dy = contiguous(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);

        INDArray normed = scratch.create(f.h.shape());
        INDArray gain = getParam(ResidualBlock.NORM_GAIN_2);
        INDArray bias = getParam(ResidualBlock.NORM_BIAS_2);
        kernel().normalize(f.h, norm(), gain, bias, f.statistics2, normed);
        weightGradient(normed, dy, ResidualBlock.WEIGHT_2, ResidualBlock.BIAS_2, scratch);
        INDArray dh = normed;
        convolutions().inputGradient(ConvolutionWindow.NEIGHBOURS, dy, getParam(ResidualBlock.WEIGHT_2), scratch, dh);
        kernel().groupNormGradient(
                        dh,
                        f.h,
                        norm(),
                        gain,
                        bias,
                        f.statistics2,
                        null,
                        scratch,
                        gradientView(ResidualBlock.NORM_GAIN_2),
                        gradientView(ResidualBlock.NORM_BIAS_2),
                        dh);

        INDArray dx = result(ArrayType.ACTIVATION_GRAD, workspaceMgr, input.shape());
        gain = getParam(ResidualBlock.NORM_GAIN_1);
        bias = getParam(ResidualBlock.NORM_BIAS_1);
        INDArray normedX = scratch.create(f.x.shape());
        kernel().normalize(f.x, norm(), gain, bias, f.statistics1, normedX);
        weightGradient(normedX, dh, ResidualBlock.WEIGHT_1, ResidualBlock.BIAS_1, scratch);
        INDArray dNormed = normedX;
        convolutions()
                .inputGradient(ConvolutionWindow.NEIGHBOURS, dh, getParam(ResidualBlock.WEIGHT_1), scratch, dNormed);
        INDArray past = dy;
        if (layerConf().convolvesShortcut()) {
            convolutions()
                    .weightGradient(
                            ConvolutionWindow.PIXEL,
                            f.x,
                            dy,
                            scratch,
                            gradientView(ResidualBlock.SHORTCUT_WEIGHT),
                            gradientView(ResidualBlock.SHORTCUT_BIAS));
            past = dx;
            convolutions()
                    .inputGradient(ConvolutionWindow.PIXEL, dy, getParam(ResidualBlock.SHORTCUT_WEIGHT), scratch, past);
        }
        kernel().groupNormGradient(
                        dNormed,
                        f.x,
                        norm(),
                        gain,
                        bias,
                        f.statistics1,
                        past,
                        scratch,
                        gradientView(ResidualBlock.NORM_GAIN_1),
                        gradientView(ResidualBlock.NORM_BIAS_1),
                        dx);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }

    private void convolution(INDArray x, String weight, String bias, INDArray residual, Allocator scratch, INDArray y) {
        convolutions()
                .convolution(ConvolutionWindow.NEIGHBOURS, x, getParam(weight), getParam(bias), residual, scratch, y);
    }

    private void weightGradient(INDArray x, INDArray dy, String weight, String bias, Allocator scratch) {
        convolutions()
                .weightGradient(ConvolutionWindow.NEIGHBOURS, x, dy, scratch, gradientView(weight), gradientView(bias));
    }

    private long[] outputShape(INDArray x) {
        return new long[] {x.size(0), x.size(1), x.size(2), layerConf().getNOut()};
    }

    private ImageKernel.Norm norm() {
        return new ImageKernel.Norm(layerConf().getGroups(), layerConf().getEpsilon(), true);
    }

    @Override
    public void clear() {
        super.clear();
        forward = null;
    }
}
