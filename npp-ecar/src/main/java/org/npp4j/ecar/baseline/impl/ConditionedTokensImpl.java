package org.npp4j.ecar.baseline.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.ecar.baseline.ConditionedTokens;
import org.npp4j.layers.impl.SequencePairVertexImpl;

/** Run-time half of {@link ConditionedTokens}. */
public final class ConditionedTokensImpl extends SequencePairVertexImpl {
    private static final long serialVersionUID = 1L;
    private static final double LONGEST_PERIOD = 10000;

    /** [(1 + T) D], of the last number of tokens, 0 for the condition. */
    private transient INDArray positions;

    /**
     * A vertex of a graph.
     *
     * @param graph the graph
     * @param name the vertex's name
     * @param index the vertex's index
     * @param dataType of activations
     */
    public ConditionedTokensImpl(ComputationGraph graph, String name, int index, DataType dataType) {
        super(graph, name, index, dataType);
    }

    @Override
    public INDArray doForward(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray condition = inputs[0];
        INDArray tokens = inputs[1];
        int side = (int) Math.round(Math.sqrt(tokens.size(1)));
        if (tokens.rank() != 3
                || condition.length() != tokens.size(0) * tokens.size(2)
                || (long) side * side != tokens.size(1)) {
            throw new IllegalArgumentException("ConditionedTokens \"" + vertexName
                    + "\" takes a condition [batch, 1, width] and the tokens of a square grid [batch, tokens, width],"
                    + " got " + Arrays.toString(condition.shape()) + " and " + Arrays.toString(tokens.shape()));
        }
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS,
                tokens.dataType(),
                new long[] {tokens.size(0), 1 + tokens.size(1), tokens.size(2)},
                'c');
        conditionOf(out).assign(condition);
        tokensOf(out).assign(tokens);
        INDArray sequences = out.reshape('c', out.size(0), out.size(1) * out.size(2));
        Nd4j.exec(new BroadcastAddOp(sequences, positions(side, (int) tokens.size(2)), sequences, 1));
        return out;
    }

    /** [B, 1, D], a view. */
    private static INDArray conditionOf(INDArray sequence) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.interval(0, 1), NDArrayIndex.all());
    }

    /** [B, T, D], a view. */
    private static INDArray tokensOf(INDArray sequence) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.interval(1, sequence.size(1)), NDArrayIndex.all());
    }

    private INDArray positions(int side, int width) {
        if (positions == null || positions.length() != (1L + side * side) * width) {
            double[] table = new double[(1 + side * side) * width];
            int waves = width / 4;
            for (int t = 0; t < side * side; t++) {
                int at = (1 + t) * width;
                for (int i = 0; i < waves; i++) {
                    double w = Math.pow(LONGEST_PERIOD, -(double) i / waves);
                    table[at + i] = Math.sin(t % side * w);
                    table[at + waves + i] = Math.cos(t % side * w);
                    table[at + 2 * waves + i] = Math.sin(t / side * w);
                    table[at + 3 * waves + i] = Math.cos(t / side * w);
                }
            }
            try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
                positions = Nd4j.createFromArray(table).castTo(inputs[1].dataType());
            }
        }
        return positions;
    }

    @Override
    public Pair<Gradient, INDArray[]> doBackward(boolean tbptt, LayerWorkspaceMgr workspaceMgr) {
        INDArray dCondition =
                workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), inputs[0].shape(), 'c');
        dCondition.assign(conditionOf(epsilon).reshape(inputs[0].shape()));
        INDArray dTokens =
                workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), inputs[1].shape(), 'c');
        dTokens.assign(tokensOf(epsilon));
        return new Pair<>(null, new INDArray[] {dCondition, dTokens});
    }
}
