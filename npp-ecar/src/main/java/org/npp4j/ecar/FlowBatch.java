package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

/**
 * What a network of {@link Ecar} trains on: for given noise and times, the states on their way and the velocities there.
 *
 * <p>Inputs: classes [B, 1]; the end states of all stages but the last, raised, [B, N - F, C]; states start + time (end -
 * start) [B, N, C]; times [B, N, 1]. Labels: velocities end - start [B, N x C].
 */
public final class FlowBatch {
    private FlowBatch() {}

    /**
     * A batch.
     *
     * @param config sizes of the model
     * @param latents [B, C, G, G]
     * @param classes [B], ids
     * @param noise unit normal maps [B, C, side, side], one for each stage, coarse to fine
     * @param times [B][S], in 0 .. 1
     * @return inputs and labels
     * @throws IllegalArgumentException if something has another shape
     */
    public static MultiDataSet of(
            EcarConfig config, INDArray latents, int[] classes, List<INDArray> noise, double[][] times) {
        long[] shape = {classes.length, config.channels(), config.grid(), config.grid()};
        if (!Arrays.equals(latents.shape(), shape)) {
            throw new IllegalArgumentException("Latents of " + classes.length + " classes and this model are "
                    + Arrays.toString(shape) + ", got " + Arrays.toString(latents.shape()));
        }
        if (times.length != classes.length
                || Arrays.stream(times).anyMatch(ofImage -> ofImage.length != config.stages())) {
            throw new IllegalArgumentException("There must be a time for each of " + classes.length + " images and "
                    + config.stages() + " stages");
        }
        List<StageFlow.Ends> chain = new StageFlow(config.stages()).chain(latents, noise);
        List<INDArray> raised = new ArrayList<>();
        List<INDArray> states = new ArrayList<>();
        List<INDArray> velocities = new ArrayList<>();
        List<INDArray> timesOfTokens = new ArrayList<>();
        for (int s = 0; s < config.stages(); s++) {
            if (s > 0) {
                raised.add(StageFlow.tokens(StageFlow.up(chain.get(s - 1).end())));
            }
            INDArray start = StageFlow.tokens(chain.get(s).start());
            INDArray velocity = StageFlow.tokens(chain.get(s).end()).subi(start);
            INDArray time = timesOfStage(
                    times, s, latents.dataType(), config.stageLengths().length(s));
            // the time of an image and stage is that of all its tokens and channels
            INDArray way = velocity.dup('c');
            for (int b = 0; b < classes.length; b++) {
                way.slice(b).muli(times[b][s]);
            }
            states.add(way.addi(start));
            velocities.add(velocity);
            timesOfTokens.add(time);
        }
        INDArray all = Nd4j.concat(1, velocities.toArray(INDArray[]::new));
        int[][] ids = Arrays.stream(classes).mapToObj(id -> new int[] {id}).toArray(int[][]::new);
        return new MultiDataSet(
                new INDArray[] {
                    Nd4j.createFromArray(ids),
                    Nd4j.concat(1, raised.toArray(INDArray[]::new)),
                    Nd4j.concat(1, states.toArray(INDArray[]::new)),
                    Nd4j.concat(1, timesOfTokens.toArray(INDArray[]::new))
                },
                // [B, N, C] -> [B, N x C]
                new INDArray[] {all.dup('c').reshape('c', all.size(0), all.size(1) * all.size(2))});
    }

    /** [B, T, 1] of one stage. */
    private static INDArray timesOfStage(double[][] times, int stage, DataType type, int length) {
        double[][] repeated = new double[times.length][length];
        for (int b = 0; b < times.length; b++) {
            Arrays.fill(repeated[b], times[b][stage]);
        }
        return Nd4j.createFromArray(repeated).castTo(type).reshape('c', times.length, length, 1);
    }
}
