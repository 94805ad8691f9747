package org.npp4j.ecar;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.inputs.InvalidInputTypeException;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.ecar.impl.StageSequenceImpl;
import org.npp4j.layers.SequencePairVertex;

/**
 * The input of the autoregressive transformer: the class at every position, and behind the first stage what is known of the
 * stage before. out[b, t, :] = class[b, :] for t below the first stage's length F, and class[b, :] + known[b, t - F, :] behind.
 *
 * <ul>
 *   <li>first input: embeddings of classes [B, 1, D]
 *   <li>second input: embeddings of the raised end states [B, N - F, D], NWC
 *   <li>output: [B, N, D]
 * </ul>
 *
 * <p>Reconstruction, after next-scale models (arXiv 2404.02905).
 */
public class StageSequence extends SequencePairVertex {
    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int firstLength;

    /** For JSON. */
    protected StageSequence() {}

    /**
     * A vertex.
     *
     * @param firstLength F, positions of the first stage, at least 1
     */
    public StageSequence(int firstLength) {
        if (firstLength < 1) {
            throw new IllegalArgumentException("The first stage has at least one position, got " + firstLength);
        }
        this.firstLength = firstLength;
    }

    /** {@return F, positions of the first stage} */
    public int getFirstLength() {
        return firstLength;
    }

    @Override
    public GraphVertex clone() {
        return new StageSequence(firstLength);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StageSequence && ((StageSequence) other).firstLength == firstLength;
    }

    @Override
    public int hashCode() {
        return firstLength;
    }

    @Override
    public org.deeplearning4j.nn.graph.vertex.GraphVertex instantiate(
            ComputationGraph graph,
            String name,
            int index,
            INDArray paramsView,
            boolean initializeParams,
            DataType networkDatatype) {
        return new StageSequenceImpl(graph, name, index, networkDatatype, firstLength);
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType... vertexInputs) throws InvalidInputTypeException {
        if (vertexInputs.length != 2
                || !(vertexInputs[0] instanceof InputType.InputTypeRecurrent classes)
                || !(vertexInputs[1] instanceof InputType.InputTypeRecurrent known)
                || classes.getFormat() != RNNFormat.NWC
                || known.getFormat() != RNNFormat.NWC
                || classes.getSize() != known.getSize()) {
            throw new InvalidInputTypeException(
                    "StageSequence takes embeddings of classes [batch, 1, width] and of what is"
                            + " known [batch, positions, width] (RNNFormat.NWC), got " + Arrays.toString(vertexInputs));
        }
        long length = known.getTimeSeriesLength();
        return InputType.recurrent(known.getSize(), length < 0 ? -1 : firstLength + length, RNNFormat.NWC);
    }

    @Override
    public String toString() {
        return "StageSequence(firstLength=" + firstLength + ")";
    }
}
