package org.npp4j.layers.impl;

import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.BaseGraphVertex;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.SequencePairVertex;

/** What the run-time halves of {@link SequencePairVertex}es share. */
public abstract class SequencePairVertexImpl extends BaseGraphVertex {
    private static final long serialVersionUID = 1L;

    /**
     * A vertex of a graph.
     *
     * @param graph the graph
     * @param name the vertex's name
     * @param index the vertex's index
     * @param dataType of activations
     */
    protected SequencePairVertexImpl(ComputationGraph graph, String name, int index, DataType dataType) {
        super(graph, name, index, null, null, dataType);
    }

    /** The name of the configuration half. */
    private String kind() {
        return getClass().getSimpleName().replace("Impl", "");
    }

    @Override
    public boolean hasLayer() {
        return false;
    }

    @Override
    public Layer getLayer() {
        return null;
    }

    /** {@return no mask: every position of the output counts} */
    @Override
    public Pair<INDArray, MaskState> feedForwardMaskArrays(
            INDArray[] maskArrays, MaskState currentMaskState, int minibatchSize) {
        return new Pair<>(null, currentMaskState);
    }

    @Override
    public void setBackpropGradientsViewArray(INDArray backpropGradientsViewArray) {
        if (backpropGradientsViewArray != null) {
            throw new IllegalArgumentException(kind() + " \"" + vertexName + "\" has no parameters");
        }
    }

    @Override
    public String toString() {
        return kind() + "(name=" + vertexName + ")";
    }
}
