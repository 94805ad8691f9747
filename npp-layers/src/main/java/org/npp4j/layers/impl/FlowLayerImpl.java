package org.npp4j.layers.impl;

import java.util.Arrays;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.FlowLayer;
import org.npp4j.layers.StageLengths;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.Products;

/** Run-time half of {@link FlowLayer}: from state, time and condition to h and y, and back. */
abstract class FlowLayerImpl<C extends FlowLayer> extends SequenceLayerImpl<C> {
    private static final long serialVersionUID = 1L;

    FlowLayerImpl(NeuralNetConfiguration conf, DataType dataType) {
        super(conf, dataType);
    }

    /**
     * What the backward pass reads. U = B x the stages of the sequence: one row for each time.
     *
     * @param input as the network gave it
     * @param state [R, C]
     * @param condition [R, D]
     * @param waves [U, 2 x frequencies], cosines and sines of the time
     * @param timeHidden [U, W]
     * @param h [R, W]
     * @param y [R, W]
     */
    record Embedded(
            INDArray input,
            INDArray state,
            INDArray condition,
            INDArray waves,
            INDArray timeHidden,
            INDArray h,
            INDArray y) {}

    /** The input [B, T, C + 1 + D] as h and y. */
    final Embedded embed(boolean training, Allocator kept, Allocator scratch, LayerWorkspaceMgr workspaceMgr) {
        C layer = layerConf();
        INDArray x = inputRows(training, workspaceMgr);
        StageLengths.Run run = layer.getStages().over(input.size(1));
        long c = layer.getChannels();
        int[] times = timeOfRow(run);
        INDArray state = kept.create(x.rows(), c).assign(columns(x, 0, c));
        INDArray condition = kept.create(x.rows(), layer.conditionWidth()).assign(columns(x, c + 1, x.columns()));
        INDArray h = kept.create(x.rows(), layer.getWidth());
        RowOperations.linear(state, getParam(FlowLayer.STATE_WEIGHT), getParam(FlowLayer.STATE_BIAS), h);

        INDArray waves = kept.create(input.size(0) * run.count(), 2L * FlowLayer.FREQUENCIES)
                .assign(waves(run));
        INDArray timeHidden = kept.create(waves.rows(), layer.getWidth());
        RowOperations.linear(waves, getParam(FlowLayer.TIME_IN_WEIGHT), getParam(FlowLayer.TIME_IN_BIAS), timeHidden);
        INDArray time = scratch.create(timeHidden.shape());
        RowOperations.linear(
                RowOperations.silu(timeHidden, scratch),
                getParam(FlowLayer.TIME_OUT_WEIGHT),
                getParam(FlowLayer.TIME_OUT_BIAS),
                time);
        INDArray stage = scratch.create(timeHidden.shape());
        Nd4j.pullRows(getParam(FlowLayer.STAGE), stage, 1, stageOfTime(run));
        time.addi(stage);

        INDArray y = kept.create(h.shape());
        RowOperations.linear(condition, getParam(FlowLayer.CONDITION_WEIGHT), getParam(FlowLayer.CONDITION_BIAS), y);
        INDArray timeOfRows = scratch.create(y.shape());
        Nd4j.pullRows(time, timeOfRows, 1, times);
        y.addi(timeOfRows);
        return new Embedded(input, state, condition, waves, timeHidden, h, y);
    }

    /** The gradient of the input from those of h and y; those of the parameters are written. */
    final INDArray embedGradient(
            Embedded f, INDArray dh, INDArray dy, Allocator scratch, LayerWorkspaceMgr workspaceMgr) {
        C layer = layerConf();
        StageLengths.Run run = layer.getStages().over(input.size(1));
        long c = layer.getChannels();
        INDArray dx = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, dataType, input.shape(), 'c');
        INDArray dRows = dx.reshape('c', dh.rows(), input.size(2));

        linearGradient(f.state(), dh, FlowLayer.STATE_WEIGHT, FlowLayer.STATE_BIAS);
        INDArray dState = scratch.create(f.state().shape());
        Products.linearInputGradient(dh, getParam(FlowLayer.STATE_WEIGHT), dState, 0);
        columns(dRows, 0, c).assign(dState);

        linearGradient(f.condition(), dy, FlowLayer.CONDITION_WEIGHT, FlowLayer.CONDITION_BIAS);
        INDArray dCondition = scratch.create(f.condition().shape());
        Products.linearInputGradient(dy, getParam(FlowLayer.CONDITION_WEIGHT), dCondition, 0);
        columns(dRows, c + 1, input.size(2)).assign(dCondition);

        INDArray dTime = sumsOfTimes(dy, run, scratch);
        INDArray dStage = gradientViews.get(FlowLayer.STAGE).assign(0);
        // [B x stages, W] -> [B, stages x W] -> [stages, W]
        RowOperations.rowsOf(dStage, run.first(), run.count())
                .assign(dTime.reshape('c', input.size(0), run.count() * dTime.size(1))
                        .sum(0)
                        .reshape('c', run.count(), dTime.size(1)));
        linearGradient(
                RowOperations.silu(f.timeHidden(), scratch), dTime, FlowLayer.TIME_OUT_WEIGHT, FlowLayer.TIME_OUT_BIAS);
        INDArray dHidden = scratch.create(f.timeHidden().shape());
        Products.linearInputGradient(dTime, getParam(FlowLayer.TIME_OUT_WEIGHT), dHidden, 0);
        RowOperations.siluGradient(dHidden, f.timeHidden(), scratch);
        linearGradient(f.waves(), dHidden, FlowLayer.TIME_IN_WEIGHT, FlowLayer.TIME_IN_BIAS);
        INDArray dWaves = scratch.create(f.waves().shape());
        Products.linearInputGradient(dHidden, getParam(FlowLayer.TIME_IN_WEIGHT), dWaves, 0);
        columns(dRows, c, c + 1).assign(0);
        timeGradient(
                f.waves(),
                dWaves,
                run,
                dx.get(NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.interval(c, c + 1)));
        return dx;
    }

    final void linearGradient(INDArray x, INDArray dy, String weight, String bias) {
        RowOperations.linearGradient(x, dy, gradientViews.get(weight), gradientViews.get(bias));
    }

    static INDArray columns(INDArray matrix, long from, long to) {
        return matrix.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to));
    }

    /** [B x stages, 2 x frequencies], of the time that the first position of each stage has. */
    private INDArray waves(StageLengths.Run run) {
        double[] times = new double[(int) input.size(0) * run.count()];
        for (int row = 0; row < times.length; row++) {
            times[row] = input.getDouble(
                    row / run.count(),
                    startOf(run, row % run.count()),
                    layerConf().getChannels());
        }
        return TimeWaves.of(times);
    }

    /** Into the first position of each stage, which alone gives the time; dTimes is [B, T, 1]. */
    private void timeGradient(INDArray waves, INDArray dWaves, StageLengths.Run run, INDArray dTimes) {
        double[] gradient = TimeWaves.gradient(waves, dWaves);
        for (int row = 0; row < gradient.length; row++) {
            dTimes.putScalar(row / run.count(), startOf(run, row % run.count()), 0, gradient[row]);
        }
    }

    /** Where the n-th stage of the sequence begins in it. */
    private int startOf(StageLengths.Run run, int n) {
        StageLengths stages = layerConf().getStages();
        return stages.start(run.first() + n) - stages.start(run.first());
    }

    /** For each row [B x T] that of its time [B x stages]. */
    private int[] timeOfRow(StageLengths.Run run) {
        int positions = (int) input.size(1);
        int[] times = new int[(int) input.size(0) * positions];
        for (int b = 0; b < input.size(0); b++) {
            for (int n = 0; n < run.count(); n++) {
                int start = b * positions + startOf(run, n);
                Arrays.fill(times, start, start + layerConf().getStages().length(run.first() + n), b * run.count() + n);
            }
        }
        return times;
    }

    private int[] stageOfTime(StageLengths.Run run) {
        int[] stages = new int[(int) input.size(0) * run.count()];
        Arrays.setAll(stages, row -> run.first() + row % run.count());
        return stages;
    }

    /** [R, W] summed over the positions of each stage, [B x stages, W]. */
    private INDArray sumsOfTimes(INDArray rows, StageLengths.Run run, Allocator scratch) {
        INDArray sums = scratch.create(input.size(0), run.count(), rows.size(1));
        INDArray sequence = rows.reshape('c', input.size(0), input.size(1), rows.size(1));
        for (int n = 0; n < run.count(); n++) {
            int start = startOf(run, n);
            sums.get(NDArrayIndex.all(), NDArrayIndex.point(n), NDArrayIndex.all())
                    .assign(sequence.get(
                                    NDArrayIndex.all(),
                                    NDArrayIndex.interval(
                                            start,
                                            start + layerConf().getStages().length(run.first() + n)),
                                    NDArrayIndex.all())
                            .sum(1));
        }
        return sums.reshape('c', input.size(0) * run.count(), rows.size(1));
    }

    static IllegalStateException noForwardPass(String layer) {
        return new IllegalStateException(
                "The backward pass needs the training forward pass of the same input before it " + layer);
    }
}
