package org.npp4j.ecar.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.ecar.StageSequence;
import org.npp4j.layers.impl.SequencePairVertexImpl;

/** Run-time half of {@link StageSequence}. */
public final class StageSequenceImpl extends SequencePairVertexImpl {
    private static final long serialVersionUID = 1L;

    private final int firstLength;

    /**
     * A vertex of a graph.
     *
     * @param graph the graph
     * @param name the vertex's name
     * @param index the vertex's index
     * @param dataType of activations
     * @param firstLength F, positions of the first stage
     */
    public StageSequenceImpl(ComputationGraph graph, String name, int index, DataType dataType, int firstLength) {
        super(graph, name, index, dataType);
        this.firstLength = firstLength;
    }

    @Override
    public INDArray doForward(boolean training, LayerWorkspaceMgr workspaceMgr) {
        INDArray classes = inputs[0];
        INDArray known = inputs[1];
        if (known.rank() != 3
                || classes.length() != known.size(0) * known.size(2)
                || classes.size(0) != known.size(0)) {
            throw new IllegalArgumentException("StageSequence \"" + vertexName
                    + "\" takes classes [batch, 1, width] and what is known [batch, positions, width], got "
                    + Arrays.toString(classes.shape()) + " and " + Arrays.toString(known.shape()));
        }
        long length = firstLength + known.size(1);
        INDArray out = workspaceMgr.createUninitialized(
                ArrayType.ACTIVATIONS, known.dataType(), new long[] {known.size(0), length, known.size(2)}, 'c');
        repeat(classes, out);
        behindFirst(out).addi(known);
        return out;
    }

    /**
     * Writes the class to every position.
     *
     * @param classes [B, 1, D]
     * @param out [B, T, D] in 'c' order, written
     */
    public static void repeat(INDArray classes, INDArray out) {
        int positions = (int) out.size(1);
        int[] exampleOfRow = new int[(int) out.size(0) * positions];
        Arrays.setAll(exampleOfRow, row -> row / positions);
        // [B, 1, D] -> [B, D] -> [B x T, D]
        Nd4j.pullRows(
                classes.dup('c').reshape('c', out.size(0), out.size(2)),
                out.reshape('c', exampleOfRow.length, out.size(2)),
                1,
                exampleOfRow);
    }

    private INDArray behindFirst(INDArray sequence) {
        return sequence.get(
                NDArrayIndex.all(), NDArrayIndex.interval(firstLength, sequence.size(1)), NDArrayIndex.all());
    }

    @Override
    public Pair<Gradient, INDArray[]> doBackward(boolean tbptt, LayerWorkspaceMgr workspaceMgr) {
        INDArray dClasses =
                workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), inputs[0].shape(), 'c');
        // [B, T, D] -> [B, D] -> [B, 1, D]
        dClasses.assign(epsilon.sum(1).reshape(inputs[0].shape()));
        INDArray dKnown =
                workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), inputs[1].shape(), 'c');
        dKnown.assign(behindFirst(epsilon));
        return new Pair<>(null, new INDArray[] {dClasses, dKnown});
    }
}
