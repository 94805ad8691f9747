package org.npp4j.samples;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarCost;
import org.npp4j.ecar.EcarPlan;
import org.npp4j.ecar.FlowHead;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.TrainingReport;

/**
 * What a run of an ECAR will be: said before its first step.
 *
 * @param plan what is trained
 * @param data what it is trained on
 * @param batchesPerEpoch steps of an epoch
 * @param sampling of the sheets
 * @param workers who share a batch
 * @param recompute whether blocks are computed again
 */
record EcarSummary(
        EcarPlan plan, LatentImages data, int batchesPerEpoch, FlowSampling sampling, int workers, boolean recompute)
        implements RunSummary {
    /** What is known of ECAR is its abstract. */
    static final String RECONSTRUCTION =
            "A reconstruction: the paper's abstract gives the idea, and no sizes, settings or"
                    + " figures. All of those here are this project's own.";

    private static final double GIB = 1L << 30;
    private static final double GIGA = 1e9;
    /** The JVM, libraries, images and the working memory of one layer. */
    private static final double BASE_GIB = 0.5;
    /** Arrays of its input's size that a block keeps for the backward pass. */
    private static final int KEPT = 11;

    private static final int KEPT_RECOMPUTED = 2;
    /** Arrays of the head's width that a block of it keeps. */
    private static final int KEPT_OF_HEAD = 12;
    /** Arrays as large as the weights: themselves, gradient, two moments. */
    private static final int OPTIMIZED = 4;

    @Override
    public String label() {
        return "ECAR";
    }

    @Override
    public String model() {
        EcarConfig model = plan.model();
        return String.format(
                Locale.ROOT,
                "ECAR: %d stages, %d layers, %d heads, width %d, %s of %d blocks of width %d, %,d parameters",
                model.stages(),
                model.layers(),
                model.heads(),
                model.width(),
                model.head() instanceof FlowHead.Mlp ? "MLP flow head" : "transformer flow head",
                model.head().blocks(),
                model.head().width(),
                model.parameters());
    }

    private int steps() {
        return plan.steps(batchesPerEpoch);
    }

    private EcarCost cost() {
        return EcarCost.of(plan.model());
    }

    @Override
    public List<TrainingProgress.Stage> progress() {
        return List.of(
                new TrainingProgress.Stage(0, (long) steps() * plan.batchSize(), cost().ofTrainingStep() / GIGA));
    }

    @Override
    public double gflopAt(int step) {
        return cost().ofTrainingStep() / GIGA * step * plan.batchSize();
    }

    @Override
    public TrainingReport.Loss loss() {
        return new TrainingReport.Loss(
                "velocity loss",
                "Mean squared error of the velocities over all tokens of all stages, without weight decay. It does not fall"
                        + " to 0: where a state can come from several images, the best velocity is their mean. The test has"
                        + " the same noise and times every time.",
                false,
                false);
    }

    @Override
    public String progressOf(TrainingStep step) {
        return String.format(Locale.ROOT, "epoch %d/%d", step.epoch() + 1, plan.epochs());
    }

    @Override
    public String sentenceOf(TrainingStep step) {
        return String.format(Locale.ROOT, "Velocity loss %.4f. %s", step.loss(), RECONSTRUCTION);
    }

    /** Those of generation: training computes all of them at once. */
    @Override
    public TrainingReport.Table stages() {
        EcarConfig model = plan.model();
        List<List<String>> rows = new ArrayList<>();
        for (int s = 0; s < model.stages(); s++) {
            rows.add(List.of(
                    Integer.toString(s + 1),
                    model.side(s) + " x " + model.side(s),
                    Integer.toString(model.stageLengths().length(s)),
                    share(model.windows().start(s)),
                    share(model.windows().end(s))));
        }
        return new TrainingReport.Table(
                List.of("Stage", "Grid", "Tokens", "Noise at its start", "Noise at its end"), rows);
    }

    private static String share(double noise) {
        return String.format(Locale.ROOT, "%.3f", noise);
    }

    @Override
    public String costNote() {
        return String.format(
                Locale.ROOT,
                "Training computes all stages of an image in one pass: %.3f GFLOP an image, %.1f TFLOP in all. Drawing an"
                        + " image with %d steps a stage%s takes %.3f GFLOP.",
                cost().ofTrainingStep() / GIGA,
                gflopAt(steps()) / 1e3,
                sampling.steps(),
                sampling.firstScale() == 1 && sampling.lastScale() == 1 ? "" : " and guidance",
                cost().ofImage(sampling) / GIGA);
    }

    /** {@return the peak of resident memory in GiB, roughly} */
    double memoryGib() {
        EcarConfig model = plan.model();
        long width = plan.dataType().width();
        int share = plan.batchSize() / workers;
        int part = Math.min(plan.microBatch(), share);
        double weights = ((double) workers * (OPTIMIZED + (part < share ? 1 : 0)) + (plan.averageDecay() > 0 ? 1 : 0))
                * model.parameters()
                * width;
        double rows = (double) workers * part * model.stageLengths().positions();
        double perPosition = (double) model.layers() * (recompute ? KEPT_RECOMPUTED : KEPT) * model.width()
                + (double) KEPT_OF_HEAD * model.head().blocks() * model.head().width()
                + 4.0 * EcarConfig.feedForwardWidth(model.width());
        return (weights + rows * perPosition * width + data.bytes()) / GIB + BASE_GIB;
    }

    @Override
    public Map<String, Object> settings() {
        Map<String, Object> settings = new LinkedHashMap<>();
        EcarConfig model = plan.model();
        settings.put("Model", model());
        settings.put("Nature", RECONSTRUCTION);
        settings.put(
                "Latents",
                model.channels() + " channels, grid " + model.grid() + " x " + model.grid() + ", " + model.classes()
                        + " classes");
        settings.put("Epochs", plan.epochs());
        TrainingPlan.LearningRate rate = plan.learningRate();
        RunSummary.putOptimization(
                settings,
                plan,
                workers,
                "warm-up over " + rate.warmup() + " epochs, decay over the last " + rate.decayRatio()
                        + " of the run to " + rate.end());
        settings.put("Dropouts", "class " + model.classDropout() + ", attention and feed-forward " + model.dropout());
        settings.put("Moving average", RunSummary.average(plan));
        settings.put(
                "Sampling of sheets",
                sampling.steps() + " Euler steps a stage, guidance " + sampling.firstScale()
                        + (sampling.firstScale() == sampling.lastScale() ? "" : " to " + sampling.lastScale()));
        settings.put("Precision", Products.description());
        settings.put("Seed", plan.seed());
        return settings;
    }

    @Override
    public Map<String, Object> describedData() {
        Map<String, Object> described = new LinkedHashMap<>();
        described.put("Data", data.toString());
        described.putAll(data.description());
        return described;
    }

    /** {@return the lines to print before the first step} */
    List<String> lines(String backend) {
        List<String> lines = new ArrayList<>();
        lines.add(model());
        lines.add(RECONSTRUCTION);
        lines.add(data.toString());
        for (List<String> stage : stages().rows()) {
            lines.add("Stage " + stage.get(0) + ": " + stage.get(2) + " tokens (" + stage.get(1) + "), noise "
                    + stage.get(3) + " to " + stage.get(4));
        }
        lines.add(String.format(Locale.ROOT, "%,d epochs of %,d steps", plan.epochs(), batchesPerEpoch));
        lines.add(costNote());
        settings().forEach((name, value) -> {
            if (!name.equals("Model") && !name.equals("Nature") && !name.equals("Epochs")) {
                lines.add(name + ": " + value);
            }
        });
        lines.add(String.format(Locale.ROOT, "Memory: about %.1f GiB", memoryGib()));
        lines.add(backend + "; " + String.join(", ", new Versions().getVersion()));
        return lines;
    }
}
