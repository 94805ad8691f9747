package org.npp4j.layers;

import java.util.Arrays;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Drops the first positions of a sequence: those of a condition that predict nothing, out[b, t, :] = in[b, s + t, :].
 *
 * <ul>
 *   <li>input: [B, T, D], NWC, T &gt; s; output: [B, T - s, D]
 *   <li>mask: [B, T] to [B, T - s]. One of [B, s + 1] is that of the condition alone (see {@link ClassPrefix}) and ends
 *       here: what follows counts
 * </ul>
 *
 * <p>Behind C condition tokens, position C - 1 is the first that predicts a token, so a model of captions skips C - 1
 * positions. Doing it before the output layer saves the products of these positions with the vocabulary.
 */
public class SkipPositions implements InputPreProcessor {
    private static final long serialVersionUID = 1L;

    private final int count;

    /**
     * Drops positions.
     *
     * @param count s, how many, at least 1
     * @throws IllegalArgumentException if it is below 1
     */
    @JsonCreator
    public SkipPositions(@JsonProperty("count") int count) {
        if (count < 1) {
            throw new IllegalArgumentException("SkipPositions drops at least 1 position, got " + count);
        }
        this.count = count;
    }

    /** {@return s, how many positions are dropped} */
    public int getCount() {
        return count;
    }

    @Override
    public INDArray preProcess(INDArray input, int miniBatchSize, LayerWorkspaceMgr workspaceMgr) {
        if (input.rank() != 3 || input.size(1) <= count) {
            throw new IllegalArgumentException("SkipPositions drops the first " + count
                    + " positions of a longer sequence [batch, positions, width], got "
                    + Arrays.toString(input.shape()));
        }
        INDArray kept = input.get(NDArrayIndex.all(), NDArrayIndex.interval(count, input.size(1)), NDArrayIndex.all());
        return workspaceMgr.dup(ArrayType.ACTIVATIONS, kept, 'c');
    }

    @Override
    public INDArray backprop(INDArray epsilon, int miniBatchSize, LayerWorkspaceMgr workspaceMgr) {
        if (epsilon == null) {
            return null;
        }
        long length = count + epsilon.size(1);
        INDArray all = workspaceMgr.create(
                ArrayType.ACTIVATION_GRAD,
                epsilon.dataType(),
                new long[] {epsilon.size(0), length, epsilon.size(2)},
                'c');
        all.get(NDArrayIndex.all(), NDArrayIndex.interval(count, length), NDArrayIndex.all())
                .assign(epsilon);
        return all;
    }

    @Override
    public InputType getOutputType(InputType inputType) {
        if (!(inputType instanceof InputType.InputTypeRecurrent)
                || ((InputType.InputTypeRecurrent) inputType).getFormat() != RNNFormat.NWC) {
            throw new IllegalArgumentException("SkipPositions works on sequences [batch, positions, width]"
                    + " (InputType.recurrent(width, length, RNNFormat.NWC)), got " + inputType);
        }
        InputType.InputTypeRecurrent sequence = (InputType.InputTypeRecurrent) inputType;
        long length = sequence.getTimeSeriesLength();
        if (length > 0 && length <= count) {
            throw new IllegalArgumentException("SkipPositions drops " + count
                    + " positions, but the layer before it gives only " + length + ". Drop fewer");
        }
        return InputType.recurrent(sequence.getSize(), length < 0 ? -1 : length - count, RNNFormat.NWC);
    }

    @Override
    public Pair<INDArray, MaskState> feedForwardMaskArray(
            INDArray maskArray, MaskState currentMaskState, int minibatchSize) {
        if (maskArray == null || maskArray.size(1) == count + 1) {
            return new Pair<>(null, currentMaskState);
        }
        INDArray kept = maskArray.get(NDArrayIndex.all(), NDArrayIndex.interval(count, maskArray.size(1)));
        return new Pair<>(kept.dup('c'), currentMaskState);
    }

    @Override
    public SkipPositions clone() {
        return new SkipPositions(count);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof SkipPositions && ((SkipPositions) other).count == count;
    }

    @Override
    public int hashCode() {
        return Integer.hashCode(count);
    }

    @Override
    public String toString() {
        return "SkipPositions(" + count + ")";
    }
}
