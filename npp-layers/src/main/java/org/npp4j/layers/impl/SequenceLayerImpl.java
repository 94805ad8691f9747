package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.Kernels;
import org.npp4j.layers.kernel.TransformerKernel;

/** What the run-time halves on sequences share: their kernel, and sequences as rows. */
abstract class SequenceLayerImpl<C extends FeedForwardLayer> extends ParameterLayerImpl<C> {
    private static final long serialVersionUID = 1L;

    SequenceLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    final TransformerKernel kernel() {
        return Kernels.of(dataType);
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
        return contiguous(sequence, type, workspaceMgr)
                .reshape('c', sequence.size(0) * sequence.size(1), sequence.size(2));
    }

    @Override
    public Type type() {
        return Type.RECURRENT;
    }
}
