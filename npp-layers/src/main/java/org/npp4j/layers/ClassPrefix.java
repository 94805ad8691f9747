package org.npp4j.layers;

import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.inputs.InvalidInputTypeException;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.ClassPrefixImpl;

/**
 * Puts the condition in front of a sequence and drops the sequence's last position, so that position i predicts element i:
 * [class, x1 .. x(K-1)].
 *
 * <ul>
 *   <li>first input: the condition's embeddings [B, C, D] (C = 1 for a class), or [B, D]
 *   <li>second input: tokens or patches [B, K, D], NWC
 *   <li>output: [B, C + K - 1, D]
 *   <li>masks: of the condition [B, C] (a single token always counts) and of the sequence [B, K] give [B, C + K - 1]. Without
 *       the latter the mask of the condition goes on as it is, [B, C]: {@link TransformerBlock} and {@link SkipPositions}
 *       know that what follows the condition counts
 * </ul>
 *
 * <p>With classifier-free guidance the class is dropped at random in its embedding: {@link TokenEmbedding#ofClasses}.
 */
public class ClassPrefix extends SequencePairVertex {
    private static final long serialVersionUID = 1L;

    /** C of the input types: masks are passed on before the condition itself is seen. */
    @JsonProperty
    private long conditionTokens = 1;

    /** The vertex has no settings of its own; C comes from the condition. */
    public ClassPrefix() {}

    /** {@return C, the condition's positions, as far as input types have told; else 1} */
    public long getConditionTokens() {
        return conditionTokens;
    }

    @Override
    public GraphVertex clone() {
        ClassPrefix clone = new ClassPrefix();
        clone.conditionTokens = conditionTokens;
        return clone;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ClassPrefix && ((ClassPrefix) other).conditionTokens == conditionTokens;
    }

    @Override
    public int hashCode() {
        return ClassPrefix.class.hashCode();
    }

    @Override
    public org.deeplearning4j.nn.graph.vertex.GraphVertex instantiate(
            ComputationGraph graph,
            String name,
            int index,
            INDArray paramsView,
            boolean initializeParams,
            DataType networkDatatype) {
        return new ClassPrefixImpl(graph, name, index, networkDatatype, conditionTokens);
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType... vertexInputs) throws InvalidInputTypeException {
        if (vertexInputs.length != 2
                || !(vertexInputs[1] instanceof InputType.InputTypeRecurrent)
                || hasOtherFormat(vertexInputs[0])
                || hasOtherFormat(vertexInputs[1])) {
            throw new InvalidInputTypeException(
                    "ClassPrefix takes two inputs, the condition's embeddings and a sequence"
                            + " [batch, positions, width] (RNNFormat.NWC), got "
                            + java.util.Arrays.toString(vertexInputs));
        }
        InputType.InputTypeRecurrent sequence = (InputType.InputTypeRecurrent) vertexInputs[1];
        InputType condition = vertexInputs[0];
        long width;
        long c = 1;
        if (condition instanceof InputType.InputTypeRecurrent) {
            width = ((InputType.InputTypeRecurrent) condition).getSize();
            c = ((InputType.InputTypeRecurrent) condition).getTimeSeriesLength();
        } else {
            width = condition.arrayElementsPerExample();
        }
        if (width != sequence.getSize()) {
            throw new InvalidInputTypeException("ClassPrefix needs inputs of equal width, got a condition of width "
                    + width + " and a sequence of width " + sequence.getSize());
        }
        if (c > 0) {
            conditionTokens = c;
        }
        long length = sequence.getTimeSeriesLength();
        return InputType.recurrent(width, length < 0 || c < 0 ? -1 : c + length - 1, RNNFormat.NWC);
    }

    private static boolean hasOtherFormat(InputType type) {
        return type instanceof InputType.InputTypeRecurrent
                && ((InputType.InputTypeRecurrent) type).getFormat() != RNNFormat.NWC;
    }

    @Override
    public String toString() {
        return "ClassPrefix()";
    }
}
