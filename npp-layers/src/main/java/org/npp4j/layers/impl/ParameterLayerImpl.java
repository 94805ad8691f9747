package org.npp4j.layers.impl;

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

/** What the run-time halves share: where their arrays live, and the gradient views as Deeplearning4j wants them. */
abstract class ParameterLayerImpl<C extends FeedForwardLayer> extends BaseLayer<C> {
    private static final long serialVersionUID = 1L;

    ParameterLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /** Arrays that live until the end of the backward pass when training, else only while this layer runs. */
    final Allocator kept(boolean training, LayerWorkspaceMgr workspaceMgr) {
        return allocator(training ? ArrayType.ACTIVATIONS : ArrayType.FF_WORKING_MEM, workspaceMgr);
    }

    final Allocator allocator(ArrayType type, LayerWorkspaceMgr workspaceMgr) {
        return shape -> workspaceMgr.createUninitialized(type, dataType, shape, 'c');
    }

    /** An array in any order and type as one in 'c' order without gaps; copied only if it has to be. */
    final INDArray contiguous(INDArray array, ArrayType type, LayerWorkspaceMgr workspaceMgr) {
        INDArray contiguous = array;
        if (array.dataType() != dataType) {
            contiguous = array.castTo(dataType);
        }
        if (contiguous.ordering() != 'c' || !Shape.hasDefaultStridesForShape(contiguous)) {
            contiguous = workspaceMgr.dup(type, contiguous, 'c');
        }
        return contiguous;
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
}
