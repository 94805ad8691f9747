package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.ImageConvolution;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.ConvolutionWindow;

/** Run-time half of {@link ImageConvolution}. */
public final class ImageConvolutionImpl extends ImageLayerImpl<ImageConvolution> {
    private static final long serialVersionUID = 1L;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public ImageConvolutionImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray x = images(training, workspaceMgr);
        ConvolutionWindow window = layerConf().getWindow();
        INDArray y = result(
                ArrayType.ACTIVATIONS,
                workspaceMgr,
                x.size(0),
                window.outputHeight(x.size(1)),
                window.outputWidth(x.size(2)),
                layerConf().getNOut());
        convolutions()
                .convolution(
                        window,
                        x,
                        getParam(ImageConvolution.WEIGHT),
                        getParam(ImageConvolution.BIAS),
                        null,
                        allocator(ArrayType.FF_WORKING_MEM, workspaceMgr),
                        y);
        return y;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        ConvolutionWindow window = layerConf().getWindow();
        Allocator scratch = allocator(ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray x = contiguous(input, ArrayType.BP_WORKING_MEM, workspaceMgr);
        INDArray dy = contiguous(epsilon, ArrayType.BP_WORKING_MEM, workspaceMgr);
        convolutions()
                .weightGradient(
                        window,
                        x,
                        dy,
                        scratch,
                        gradientView(ImageConvolution.WEIGHT),
                        gradientView(ImageConvolution.BIAS));
        INDArray dx = result(ArrayType.ACTIVATION_GRAD, workspaceMgr, input.shape());
        convolutions().inputGradient(window, dy, getParam(ImageConvolution.WEIGHT), scratch, dx);
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }
}
