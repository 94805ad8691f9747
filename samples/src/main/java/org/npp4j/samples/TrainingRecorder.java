package org.npp4j.samples;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.samples.report.DrawnScores;
import org.npp4j.samples.report.LossCurve;
import org.npp4j.samples.report.TrainedModel;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;

/** Times the iterations of one training, stage by stage, records its loss and shows its progress. */
final class TrainingRecorder extends BaseTrainingListener implements AutoCloseable {
    private static final int ITERATIONS_PER_POINT = 10;

    private final PatchStages stages;
    private final TrainingCost cost;
    private final TrainingProgress progress;
    private final LossCurve.Recorder curve = new LossCurve.Recorder(ITERATIONS_PER_POINT);
    private final double[] stageSeconds;
    private double seconds;
    private long images;
    private long resumedAt;

    /**
     * A recorder.
     *
     * @param name name of the model
     * @param stages its stages, in epochs
     * @param cost what they cost
     * @param imagesPerEpoch images trained on in an epoch
     */
    TrainingRecorder(String name, PatchStages stages, TrainingCost cost, long imagesPerEpoch) {
        this.stages = stages;
        this.cost = cost;
        stageSeconds = new double[stages.stages().size()];
        List<TrainingProgress.Stage> plan = new ArrayList<>();
        for (TrainingCost.StageCost stage : cost.stages()) {
            long stageImages = stage.length() * imagesPerEpoch;
            plan.add(new TrainingProgress.Stage(stage.patchSide(), stageImages, stage.operations() / stageImages));
        }
        progress = new TrainingProgress(name, plan);
    }

    /** Stops the clock. */
    void pause() {
        seconds += (System.nanoTime() - resumedAt) / 1e9;
    }

    /** Starts the clock, or lets it go on. */
    void resume() {
        resumedAt = System.nanoTime();
    }

    @Override
    public void iterationDone(Model model, int iteration, int epoch) {
        pause();
        resume();
        images += model.batchSize();
        int stage = stages.stageAt(epoch);
        double loss = PatchOutputLayer.crossEntropy(model);
        stageSeconds[stage] = seconds - sumBefore(stage);
        curve.add(seconds, images, loss, stages.patchSideAt(epoch));
        progress.update(images, loss);
    }

    private double sumBefore(int stage) {
        double sum = 0;
        for (int i = 0; i < stage; i++) {
            sum += stageSeconds[i];
        }
        return sum;
    }

    /**
     * What was recorded.
     *
     * @param parameters trainable numbers of the model
     * @param testNll test result in nats per token
     * @param tokensPerImage tokens of an image
     * @param file where the model is
     * @param drawn scores of what it drew; null without
     * @return the model's part of the report
     */
    TrainedModel result(long parameters, double testNll, int tokensPerImage, Path file, DrawnScores drawn) {
        LossCurve recorded = curve.curve();
        List<TrainedModel.Stage> stageResults = new ArrayList<>();
        for (int i = 0; i < stageSeconds.length; i++) {
            PatchStages.Stage stage = stages.stages().get(i);
            TrainingCost.StageCost stageCost = cost.stages().get(i);
            stageResults.add(new TrainedModel.Stage(
                    stage.patchSide(),
                    stage.start(),
                    stage.end(),
                    stageSeconds[i],
                    stageCost.positions(),
                    stageCost.operations() / 1e9,
                    lastLoss(recorded, stage.patchSide())));
        }
        return new TrainedModel(
                seconds,
                cost.gflop(),
                images,
                cost.positions(),
                images * tokensPerImage,
                testNll,
                Math.exp(testNll),
                parameters,
                stageResults,
                recorded,
                file.getFileName().toString(),
                drawn);
    }

    /** The last point of a stage's curve; the stages of a plan have different patch sides. */
    private static double lastLoss(LossCurve curve, int patchSide) {
        int last = curve.patchSide().lastIndexOf(patchSide);
        return last < 0 ? Double.NaN : curve.loss().get(last);
    }

    @Override
    public void close() {
        progress.close();
    }
}
