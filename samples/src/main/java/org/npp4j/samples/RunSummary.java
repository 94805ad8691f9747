package org.npp4j.samples;

import java.util.List;
import java.util.Map;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.TrainingReport;

/** What a run will be, for the lines before its first step, its progress and its report. */
interface RunSummary {
    /** {@return the name of the model, in a word} */
    String label();

    /** {@return the model in a few words} */
    String model();

    /** {@return the plan for the progress bar} */
    List<TrainingProgress.Stage> progress();

    /** {@return operations of the first so many steps in GFLOP} */
    double gflopAt(int step);

    /** {@return what the loss is, and which figures go with it} */
    TrainingReport.Loss loss();

    /** {@return a few words on a step, for the progress bar} */
    String progressOf(TrainingStep step);

    /** {@return a sentence on a step, for the head of the report} */
    String sentenceOf(TrainingStep step);

    /** {@return the stages as a table} */
    TrainingReport.Table stages();

    /** {@return relative cost in words} */
    String costNote();

    /** {@return the settings, name to value} */
    Map<String, Object> settings();

    /** {@return what describes the data, name to value} */
    Map<String, Object> describedData();

    /**
     * Adds batch, learning rate, AdamW and clipping to settings.
     *
     * @param schedule what a scheduled learning rate does after its base, in words
     */
    static void putOptimization(Map<String, Object> settings, RunPlan plan, int workers, String schedule) {
        settings.put(
                "Batch",
                plan.batchSize()
                        + (workers > 1 ? " shared by " + workers + " workers" : "")
                        + (plan.microBatch() < plan.batchSize() / workers ? " in parts of " + plan.microBatch() : ""));
        TrainingPlan.LearningRate rate = plan.learningRate();
        settings.put("Learning rate", rate.base() + ", " + (rate.scheduled() ? schedule : "constant"));
        TrainingPlan.AdamW adam = plan.optimizer();
        settings.put("AdamW", "betas " + adam.beta1() + ", " + adam.beta2() + ", weight decay " + adam.weightDecay());
        settings.put("Gradient clipping", plan.clipNorm() == 0 ? "none" : "global norm " + plan.clipNorm());
    }

    /** {@return the moving average of the weights, in words} */
    static String average(RunPlan plan) {
        return plan.averageDecay() == 0 ? "none" : "decay " + plan.averageDecay();
    }
}
