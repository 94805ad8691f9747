package org.npp4j.samples.report;

import java.util.List;
import java.util.Map;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;

/**
 * What a training run has done so far.
 *
 * @param running whether it still does
 * @param step optimizer steps made
 * @param totalSteps of the plan
 * @param curve the training loss
 * @param tests results on test images
 * @param stages of the plan
 * @param cost of the plan
 * @param peakRssGib largest memory of the process in GiB
 * @param settings of the run
 * @param summary what the run set out to do, by heading
 * @param environment what it runs on
 */
public record TrainingReport(
        boolean running,
        int step,
        int totalSteps,
        List<Point> curve,
        List<Test> tests,
        PatchStages stages,
        TrainingCost cost,
        double peakRssGib,
        Map<String, Object> settings,
        List<Map.Entry<String, String>> summary,
        RunEnvironment environment) {

    /**
     * A point of the loss curve.
     *
     * @param step optimizer steps made
     * @param seconds of training
     * @param gflop operations
     * @param patchSide p
     * @param loss mean cross-entropy since the point before, in nats per token
     * @param learningRate of the last step
     */
    public record Point(int step, double seconds, double gflop, int patchSide, double loss, double learningRate) {}

    /**
     * A test at p = 1.
     *
     * @param step optimizer steps made
     * @param loss of the weights, in nats per token
     * @param averageLoss of their moving average; NaN if there is none
     */
    public record Test(int step, double loss, double averageLoss) {}
}
