package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.Convolutions;
import org.npp4j.layers.kernel.ImageKernel;
import org.npp4j.layers.kernel.Kernels;

/** What the run-time halves on images share: their kernels and their input. */
abstract class ImageLayerImpl<C extends FeedForwardLayer> extends ParameterLayerImpl<C> {
    private static final long serialVersionUID = 1L;

    ImageLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    final ImageKernel kernel() {
        return Kernels.images(dataType);
    }

    final Convolutions convolutions() {
        return Kernels.convolutions(dataType);
    }

    /** The input [B, Y, X, C], contiguous and in 'c' order, checked, behind the layer's dropout. */
    final INDArray images(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        long channels = layerConf().getNIn();
        if (input.rank() != 4 || input.size(3) != channels || input.isEmpty()) {
            throw new IllegalArgumentException("Expected images [batch, height, width, " + channels + "], got "
                    + Arrays.toString(input.shape()) + " " + layerId());
        }
        return contiguous(input, training ? ArrayType.ACTIVATIONS : ArrayType.FF_WORKING_MEM, workspaceMgr);
    }

    /** An array of a layer's result, [B, Y, X, C]. */
    final INDArray result(ArrayType type, LayerWorkspaceMgr workspaceMgr, long... shape) {
        return workspaceMgr.createUninitialized(type, dataType, shape, 'c');
    }

    /** Refuses a backward pass without the training forward pass of the same input before it. */
    final void requireForward(INDArray forwardInput) {
        if (forwardInput == null || forwardInput != input) {
            throw new IllegalStateException(
                    "The backward pass needs the training forward pass of the same input before it " + layerId());
        }
    }

    final INDArray gradientView(String key) {
        return gradientViews.get(key);
    }

    @Override
    public Type type() {
        return Type.CONVOLUTIONAL;
    }
}
