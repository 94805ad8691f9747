package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.gradient.DefaultGradient;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.shape.Shape;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Kernels;
import org.npp4j.layers.kernel.TransformerKernel;

/** What the run-time halves share: where their arrays live, and the gradient views as Deeplearning4j wants them. */
abstract class SequenceLayerImpl<C extends FeedForwardLayer> extends BaseLayer<C> {
    private static final long serialVersionUID = 1L;

    SequenceLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    final TransformerKernel kernel() {
        return Kernels.of(dataType);
    }

    /** Arrays that live until the end of the backward pass when training, else only while this layer runs. */
    final Allocator kept(boolean training, LayerWorkspaceMgr workspaceMgr) {
        return allocator(training ? ArrayType.ACTIVATIONS : ArrayType.FF_WORKING_MEM, workspaceMgr);
    }

    final Allocator allocator(ArrayType type, LayerWorkspaceMgr workspaceMgr) {
        return shape -> workspaceMgr.createUninitialized(type, dataType, shape, 'c');
    }

    /** The input as [R, D] rows in 'c' order, checked. */
    final INDArray inputRows(boolean training, LayerWorkspaceMgr workspaceMgr) {
        long width = layerConf().getNIn();
        if (input.rank() != 3 || input.size(2) != width) {
            throw new IllegalArgumentException("Expected a sequence [batch, positions, " + width + "], got "
                    + Arrays.toString(input.shape()) + " " + layerId());
        }
        return rows(input, training ? ArrayType.ACTIVATIONS : ArrayType.FF_WORKING_MEM, workspaceMgr);
    }

    /** [B, T, D] in any order as [R, D] in 'c' order; copied only if it has to be. */
    final INDArray rows(INDArray sequence, ArrayType type, LayerWorkspaceMgr workspaceMgr) {
        INDArray contiguous = sequence;
        if (sequence.dataType() != dataType) {
            contiguous = sequence.castTo(dataType);
        }
        if (contiguous.ordering() != 'c' || !Shape.hasDefaultStridesForShape(contiguous)) {
            contiguous = workspaceMgr.dup(type, contiguous, 'c');
        }
        return contiguous.reshape('c', sequence.size(0) * sequence.size(1), sequence.size(2));
    }

    /** All gradient views, in parameter order. */
    final Gradient gradients() {
        Gradient gradient = new DefaultGradient();
        for (String key : conf.variables()) {
            gradient.gradientForVariable().put(key, gradientViews.get(key));
        }
        return gradient;
    }

    /** The parameters lie in the flat vector each in its own order, so the vector is copied as it is. */
    @Override
    public void setParams(INDArray newParams) {
        if (newParams != paramsFlattened) {
            paramsFlattened.assign(newParams.reshape(paramsFlattened.shape()));
        }
    }

    @Override
    public double calcRegularizationScore(boolean backpropOnlyParams) {
        return RegularizationScore.of(this);
    }

    @Override
    public boolean isPretrainLayer() {
        return false;
    }

    @Override
    public Type type() {
        return Type.RECURRENT;
    }
}
