package org.npp4j.layers.impl;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.LearnedPositions;
import org.npp4j.layers.StageLengths;

/** Run-time half of {@link LearnedPositions}. */
public final class LearnedPositionsImpl extends SequenceLayerImpl<LearnedPositions> {
    private static final long serialVersionUID = 1L;

    /**
     * A layer without parameters yet.
     *
     * @param conf the layer's configuration
     * @param dataType of parameters and activations
     */
    public LearnedPositionsImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    @Override
    public INDArray activate(boolean training, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(false);
        applyDropOutIfNecessary(training, workspaceMgr);
        INDArray x = inputRows(training, workspaceMgr);
        StageLengths stages = layerConf().getStages();
        StageLengths.Run run = stages.over(input.size(1));
        long positions = input.size(1);
        long width = input.size(2);
        // [T, D]: what is added to every example
        INDArray added = allocator(ArrayType.FF_WORKING_MEM, workspaceMgr).create(positions, width);
        added.assign(RowOperations.rowsOf(getParam(LearnedPositions.POSITION), stages.start(run.first()), positions));
        for (int i = 0; i < run.count(); i++) {
            int stage = run.first() + i;
            INDArray rows = RowOperations.rowsOf(
                    added, (long) stages.start(stage) - stages.start(run.first()), stages.length(stage));
            Nd4j.exec(new BroadcastAddOp(
                    rows,
                    RowOperations.rowsOf(getParam(LearnedPositions.STAGE), stage, 1)
                            .reshape(width),
                    rows,
                    1));
        }
        INDArray out = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, dataType, input.shape(), 'c');
        // [R, D] as [B, T x D]: the same for every example
        long[] perExample = {input.size(0), positions * width};
        Nd4j.exec(new BroadcastAddOp(
                x.reshape('c', perExample), added.reshape(positions * width), out.reshape('c', perExample), 1));
        return out;
    }

    @Override
    public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaceMgr) {
        assertInputSet(true);
        StageLengths stages = layerConf().getStages();
        StageLengths.Run run = stages.over(input.size(1));
        long positions = input.size(1);
        long width = input.size(2);
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        dx.assign(epsilon);
        INDArray dPosition = gradientViews.get(LearnedPositions.POSITION).assign(0);
        INDArray dStage = gradientViews.get(LearnedPositions.STAGE).assign(0);
        // [B, T x D] -> [T, D]
        INDArray sums = dx.reshape('c', input.size(0), positions * width).sum(0).reshape('c', positions, width);
        RowOperations.rowsOf(dPosition, stages.start(run.first()), positions).assign(sums);
        for (int i = 0; i < run.count(); i++) {
            int stage = run.first() + i;
            INDArray rows = RowOperations.rowsOf(
                    sums, (long) stages.start(stage) - stages.start(run.first()), stages.length(stage));
            RowOperations.rowsOf(dStage, stage, 1).assign(rows.sum(true, 0));
        }
        return new Pair<>(gradients(), backpropDropOutIfPresent(dx));
    }
}
