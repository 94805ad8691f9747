package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.ClassPrefix;

/** Run-time half of {@link ClassPrefix}. */
public final class ClassPrefixImpl extends SequencePairVertexImpl {
    private static final long serialVersionUID = 1L;

    private final long expectedConditionTokens;

    /**
     * A vertex of a graph.
     *
     * @param graph the graph
     * @param name the vertex's name
     * @param index the vertex's index
     * @param dataType of activations
     * @param expectedConditionTokens C, for masks that come before the condition itself
     */
    public ClassPrefixImpl(
            ComputationGraph graph, String name, int index, DataType dataType, long expectedConditionTokens) {
        super(graph, name, index, dataType);
        this.expectedConditionTokens = expectedConditionTokens;
    }

    @Override
    public INDArray doForward(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray condition = inputs[0];
        INDArray sequence = inputs[1];
        long c = conditionTokens(condition);
        if (sequence.rank() != 3
                || condition.size(0) != sequence.size(0)
                || condition.size(condition.rank() - 1) != sequence.size(2)) {
            throw new IllegalArgumentException("ClassPrefix \"" + vertexName
                    + "\" takes a condition [batch, tokens, width]"
                    + " and a sequence [batch, positions, width], got " + Arrays.toString(condition.shape()) + " and "
                    + Arrays.toString(sequence.shape()));
        }
        long k = sequence.size(1);
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS,
                sequence.dataType(),
                new long[] {sequence.size(0), c + k - 1, sequence.size(2)},
                'c');
        positions(out, 0, c).assign(condition.reshape(sequence.size(0), c, sequence.size(2)));
        if (k > 1) {
            positions(out, c, c + k - 1).assign(positions(sequence, 0, k - 1));
        }
        return out;
    }

    @Override
    public Pair<Gradient, INDArray[]> doBackward(boolean tbptt, LayerWorkspaceMgr workspaceMgr) {
        long c = conditionTokens(inputs[0]);
        long k = inputs[1].size(1);
        INDArray dCondition =
                workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), inputs[0].shape(), 'c');
        dCondition.reshape(epsilon.size(0), c, epsilon.size(2)).assign(positions(epsilon, 0, c));
        INDArray dSequence = workspaceMgr.create(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), inputs[1].shape(), 'c');
        if (k > 1) {
            positions(dSequence, 0, k - 1).assign(positions(epsilon, c, c + k - 1));
        }
        return new Pair<>(null, new INDArray[] {dCondition, dSequence});
    }

    private static long conditionTokens(INDArray condition) {
        return condition.rank() == 2 ? 1 : condition.size(1);
    }

    private static INDArray positions(INDArray sequence, long from, long to) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all());
    }

    @Override
    public Pair<INDArray, MaskState> feedForwardMaskArrays(
            INDArray[] maskArrays, MaskState currentMaskState, int minibatchSize) {
        if (maskArrays == null || maskArrays.length < 2) {
            return new Pair<>(null, currentMaskState);
        }
        INDArray condition = maskArrays[0];
        INDArray sequence = maskArrays[1];
        long c = inputs[0] == null ? expectedConditionTokens : conditionTokens(inputs[0]);
        if (c == 1) {
            condition = null; // a single token always counts
        }
        if (sequence == null) {
            return new Pair<>(condition, currentMaskState);
        }
        if (condition == null) {
            condition = Nd4j.ones(sequence.dataType(), sequence.size(0), c);
        }
        if (sequence.size(1) == 1) {
            return new Pair<>(condition, currentMaskState);
        }
        INDArray kept = sequence.get(NDArrayIndex.all(), NDArrayIndex.interval(0, sequence.size(1) - 1));
        return new Pair<>(Nd4j.concat(1, condition.castTo(kept.dataType()), kept), currentMaskState);
    }
}
