package org.npp4j.samples;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.TrainingReport;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;

/**
 * What a run will be: said before its first step.
 *
 * @param label of the model
 * @param plan what is trained
 * @param data what it is trained on
 * @param batchesPerEpoch steps of an epoch
 * @param cost of the plan
 * @param workers who share a batch
 * @param recompute whether blocks are computed again
 */
record TrainSummary(
        String label,
        TrainingPlan plan,
        TrainingData data,
        int batchesPerEpoch,
        TrainingCost cost,
        int workers,
        boolean recompute)
        implements RunSummary {
    private static final double GIB = 1L << 30;
    private static final double GIGA = 1e9;
    /** The JVM, libraries, and the working memory of one layer. */
    private static final double BASE_GIB = 0.25;
    /** Arrays of its input's size that a block keeps for the backward pass. */
    private static final int KEPT = 11;

    private static final int KEPT_RECOMPUTED = 2;
    /** Arrays as large as the weights: themselves, gradient, two moments. */
    private static final int OPTIMIZED = 4;

    /** Nothing of the model's size is allocated. */
    static TrainSummary of(
            String label, TrainingPlan plan, TrainingData data, int batchesPerEpoch, int workers, boolean recompute) {
        long unit = plan.stages().unit() == PatchStages.Unit.EPOCHS
                ? (long) batchesPerEpoch * plan.batchSize()
                : plan.batchSize();
        return new TrainSummary(
                label,
                plan,
                data,
                batchesPerEpoch,
                TrainingCost.of(plan.network(batchesPerEpoch).build(), plan.stages(), unit),
                workers,
                recompute);
    }

    /** {@return steps of the whole plan} */
    int steps() {
        return plan.steps(batchesPerEpoch);
    }

    /** {@return the first step after a stage} */
    int end(int stage) {
        int end = plan.stages().stages().get(stage).end();
        return plan.stages().unit() == PatchStages.Unit.EPOCHS ? end * batchesPerEpoch : end;
    }

    private int start(int stage) {
        return stage == 0 ? 0 : end(stage - 1);
    }

    /** {@return images of a stage} */
    long images(int stage) {
        return (long) (end(stage) - start(stage)) * plan.batchSize();
    }

    /** {@return operations of a stage in GFLOP} */
    double gflop(int stage) {
        return cost.stages().get(stage).operations() / GIGA;
    }

    @Override
    public double gflopAt(int step) {
        double sum = 0;
        for (int i = 0; i < cost.stages().size(); i++) {
            double share = Math.max(0, Math.min(step, end(i)) - start(i)) / (double) (end(i) - start(i));
            sum += share * gflop(i);
        }
        return sum;
    }

    @Override
    public List<TrainingProgress.Stage> progress() {
        List<TrainingProgress.Stage> stages = new ArrayList<>();
        for (int i = 0; i < cost.stages().size(); i++) {
            stages.add(new TrainingProgress.Stage(cost.stages().get(i).patchSide(), images(i), gflop(i) / images(i)));
        }
        return stages;
    }

    @Override
    public TrainingReport.Table stages() {
        List<List<String>> rows = new ArrayList<>();
        for (int i = 0; i < cost.stages().size(); i++) {
            rows.add(List.of(
                    Integer.toString(i + 1),
                    Integer.toString(cost.stages().get(i).patchSide()),
                    String.format(Locale.ROOT, "%,d", start(i)),
                    String.format(Locale.ROOT, "%,d", end(i)),
                    String.format(Locale.ROOT, "%,d", positions(i)),
                    String.format(Locale.ROOT, "%.1f", gflop(i) / 1e3)));
        }
        return new TrainingReport.Table(
                List.of("Stage", "Patch side p", "From step", "To step", "Positions an image", "TFLOP"), rows);
    }

    private long positions(int stage) {
        TokenGrid grid = plan.model().grid();
        return grid.tokens() / grid.tokensPerPatch(cost.stages().get(stage).patchSide());
    }

    @Override
    public TrainingReport.Loss loss() {
        return new TrainingReport.Loss(
                "loss",
                "Cross-entropy in nats per scored token, without weight decay. A vertical line marks where a stage begins."
                        + " With patches, one prediction is scored against every token of a patch, so losses at different"
                        + " p do not compare. The test always predicts token by token (p = 1).",
                true,
                true);
    }

    @Override
    public String progressOf(TrainingStep step) {
        return String.format(Locale.ROOT, "with decay %.3f, perplexity %.1f", step.score(), step.perplexity());
    }

    @Override
    public String sentenceOf(TrainingStep step) {
        return String.format(
                Locale.ROOT,
                "Loss %.4f nats per token at p = %d, perplexity %.1f.",
                step.loss(),
                step.patchSide(),
                step.perplexity());
    }

    @Override
    public Map<String, Object> describedData() {
        Map<String, Object> described = new LinkedHashMap<>();
        described.put("Data", String.valueOf(data));
        described.putAll(data.description());
        return described;
    }

    /** {@return the peak of resident memory in GiB, roughly} */
    double memoryGib() {
        GptSpec model = plan.model();
        long width = plan.dataType().width();
        int share = plan.batchSize() / workers;
        int part = Math.min(plan.microBatch(), share);
        double perWeight = (double) workers * (OPTIMIZED + (part < share ? 1 : 0)) + (plan.averageDecay() > 0 ? 1 : 0);
        double weights = perWeight * model.parameters() * width;
        double most = 0;
        for (PatchStages.Stage stage : plan.stages().stages()) {
            double rows = (double) workers
                    * part
                    * (model.grid().tokens() / model.grid().tokensPerPatch(stage.patchSide()));
            double blocks = (double) model.layers() * (recompute ? KEPT_RECOMPUTED : KEPT) * model.width()
                    + (recompute ? KEPT * (double) model.width() : 0);
            double backward = 4.0 * model.feedForwardWidth() + 4.0 * model.width();
            most = Math.max(most, rows * (blocks + backward + model.vocabulary()) * width);
        }
        return (weights + most) / GIB + BASE_GIB;
    }

    @Override
    public String costNote() {
        return String.format(
                Locale.ROOT,
                "%.0f TFLOP, %.3f times those of next-token prediction over as many steps; positions %.3f times. The"
                        + " fair comparison gives next-token prediction the same learning rates: the same stages with"
                        + " patch side 1.",
                cost.gflop() / 1e3,
                cost.relativeOperations(),
                cost.relativeTokens());
    }

    @Override
    public Map<String, Object> settings() {
        Map<String, Object> settings = new LinkedHashMap<>();
        GptSpec model = plan.model();
        settings.put("Model", model());
        settings.put("Grid", model.grid() + ", vocabulary " + model.vocabulary() + ", " + model.classes() + " classes");
        settings.put("Patch stages", plan.stages());
        TrainingPlan.LearningRate rate = plan.learningRate();
        RunSummary.putOptimization(
                settings,
                plan,
                workers,
                "in each stage warm-up " + rate.warmup() + ", decay over the last " + rate.decayRatio() + " to "
                        + rate.end());
        TrainingPlan.Dropouts dropouts = plan.dropouts();
        settings.put(
                "Dropouts",
                "class " + dropouts.classes() + ", tokens " + dropouts.tokens() + ", attention " + dropouts.residual()
                        + ", feed-forward " + dropouts.feedForward() + ", path " + dropouts.path());
        settings.put("Moving average", RunSummary.average(plan));
        settings.put("Precision", Products.description());
        settings.put("Seed", plan.seed());
        return settings;
    }

    @Override
    public String model() {
        GptSpec model = plan.model();
        return String.format(
                Locale.ROOT,
                "%s: %d layers, %d heads, width %d, %,d parameters",
                label,
                model.layers(),
                model.heads(),
                model.width(),
                model.parameters());
    }

    /** {@return the lines to print before the first step} */
    List<String> lines(String backend) {
        List<String> lines = new ArrayList<>();
        lines.add(model());
        lines.add(String.valueOf(data));
        for (int i = 0; i < cost.stages().size(); i++) {
            lines.add(String.format(
                    Locale.ROOT,
                    "Stage %d of %d: p = %d, steps %,d to %,d, %d positions an image, %.1f TFLOP",
                    i + 1,
                    cost.stages().size(),
                    cost.stages().get(i).patchSide(),
                    start(i),
                    end(i),
                    positions(i),
                    gflop(i) / 1e3));
        }
        lines.add(costNote());
        settings().forEach((name, value) -> {
            if (!name.equals("Model") && !name.equals("Patch stages")) {
                lines.add(name + ": " + value);
            }
        });
        lines.add(String.format(Locale.ROOT, "Memory: about %.1f GiB", memoryGib()));
        lines.add(backend + "; " + String.join(", ", new Versions().getVersion()));
        return lines;
    }
}
