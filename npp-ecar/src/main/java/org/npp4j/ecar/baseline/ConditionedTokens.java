package org.npp4j.ecar.baseline;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.inputs.InvalidInputTypeException;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.ecar.baseline.impl.ConditionedTokensImpl;
import org.npp4j.layers.SequencePairVertex;

/**
 * The input of blocks with adaptive norms: a condition, and behind it the tokens of a square grid with their positions: out[b,
 * 0, :] = condition[b, 0, :], out[b, 1 + t, :] = token[b, t, :] + position[t, :]. With w_i = 10000^(-i / (D / 4)), i = 0 .. D/4 -
 * 1, and a token in row y and column x,
 *
 * <p>position = [sin(x w) | cos(x w) | sin(y w) | cos(y w)].
 *
 * <ul>
 *   <li>first input: [B, 1, D], D a multiple of 4; second input: [B, T, D], T a square
 *   <li>output: [B, 1 + T, D], NWC
 * </ul>
 *
 * <p>Source: Peebles and Xie (arXiv 2212.09748).
 */
public class ConditionedTokens extends SequencePairVertex {
    private static final long serialVersionUID = 1L;
    private static final int WAVES = 4;

    /** A vertex. */
    public ConditionedTokens() {}

    @Override
    public GraphVertex clone() {
        return new ConditionedTokens();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ConditionedTokens;
    }

    @Override
    public int hashCode() {
        return ConditionedTokens.class.getName().hashCode();
    }

    @Override
    public org.deeplearning4j.nn.graph.vertex.GraphVertex instantiate(
            ComputationGraph graph,
            String name,
            int index,
            INDArray paramsView,
            boolean initializeParams,
            DataType networkDatatype) {
        return new ConditionedTokensImpl(graph, name, index, networkDatatype);
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType... vertexInputs) throws InvalidInputTypeException {
        if (vertexInputs.length != 2
                || !(vertexInputs[0] instanceof InputType.InputTypeRecurrent condition)
                || !(vertexInputs[1] instanceof InputType.InputTypeRecurrent tokens)
                || condition.getFormat() != RNNFormat.NWC
                || tokens.getFormat() != RNNFormat.NWC
                || condition.getSize() != tokens.getSize()
                || tokens.getSize() % WAVES != 0
                || !square(tokens.getTimeSeriesLength())) {
            throw new InvalidInputTypeException("ConditionedTokens takes a condition [batch, 1, width] and the tokens"
                    + " of a square grid [batch, tokens, width] (RNNFormat.NWC), the width a multiple of " + WAVES
                    + ", got " + Arrays.toString(vertexInputs));
        }
        return InputType.recurrent(tokens.getSize(), 1 + tokens.getTimeSeriesLength(), RNNFormat.NWC);
    }

    private static boolean square(long length) {
        long side = Math.round(Math.sqrt(Math.max(0, length)));
        return length > 0 && side * side == length;
    }

    @Override
    public String toString() {
        return "ConditionedTokens()";
    }
}
