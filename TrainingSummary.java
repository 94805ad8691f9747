package org.npp4j.samples;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;

/** What a run is going to do, in words, before it does it. */
final class TrainingSummary {
    private static final double GIB = 1L << 30;
    /** Arrays of its input's size that a block keeps for its backward pass. */
    private static final int KEPT_BY_BLOCK = 11;

    private static final int KEPT_BY_RECOMPUTED_BLOCK = 2;

    private TrainingSummary() {}

    /**
     * The summary of a run.
     *
     * @param plan of the run
     * @param cost of the plan
     * @param data in words
     * @param batchesPerEpoch steps of an epoch
     * @param trainer before it trains
     * @param machine that it runs on
     * @return headings with texts
     */
    static List<Map.Entry<String, String>> of(
            TrainingPlan plan,
            TrainingCost cost,
            String data,
            int batchesPerEpoch,
            Trainer trainer,
            Backend machine) {
        GptSpec model = plan.model();
        List<Map.Entry<String, String>> lines = new ArrayList<>();
        add(
                lines,
                "Model",
                "%s%d layers, %d heads, width %d, %s, %d classes, %d codes: %,d parameters",
                size(model),
                model.layers(),
                model.heads(),
                model.width(),
                model.grid(),
                model.classes(),
                model.vocabulary(),
                model.parameters());
        add(lines, "Data", "%s", data);
        add(lines, "Stages", "%s", stages(plan, cost));
        add(
                lines,
                "Steps",
                "%,d of %d images%s, %,d an epoch%s",
                trainer.totalSteps(),
                plan.globalBatch(),
                plan.microBatch() < plan.globalBatch() ? " in parts of " + plan.microBatch() : "",
                batchesPerEpoch,
                trainer.step() > 0 ? String.format(Locale.ROOT, "; %,d are done", trainer.step()) : "");
        add(lines, "Learning rate", "%s", learningRate(plan));
        add(
                lines,
                "Operations",
                "%.3g PFLOP, %.3f of next-token prediction; positions %.3f of it",
                cost.gflop() / 1e6,
                cost.relativeOperations(),
                cost.relativeTokens());
        add(
                lines,
                "Memory",
                "about %.1f GiB: %.1f for weights, gradient, Adam%s, %.1f for the largest stage's activations",
                (fixedBytes(plan) + activationBytes(plan)) / GIB,
                fixedBytes(plan) / GIB,
                plan.averageDecay() > 0 ? " and average" : "",
                activationBytes(plan) / GIB);
        add(lines, "Time", "predicted after the first steps");
        add(lines, "Machine", "%s; products: %s", machine, Products.description());
        Versions.all().forEach((name, version) -> add(lines, name, "%s", version));
        return lines;
    }

    private static void add(List<Map.Entry<String, String>> lines, String name, String format, Object... values) {
        lines.add(Map.entry(name, String.format(Locale.ROOT, format, values)));
    }

    private static String size(GptSpec model) {
        for (GptSize size : GptSize.values()) {
            if (size.layers() == model.layers() && size.width() == model.width() && size.heads() == model.heads()) {
                return size.label() + ", ";
            }
        }
        return "";
    }

    private static String stages(TrainingPlan plan, TrainingCost cost) {
        List<String> texts = new ArrayList<>();
        for (int i = 0; i < cost.stages().size(); i++) {
            PatchStages.Stage stage = plan.stages().stages().get(i);
            texts.add(String.format(
                    Locale.ROOT,
                    "p = %d to %s %d (%.0f%% of the operations)",
                    stage.patchSide(),
                    plan.stages().unit() == PatchStages.Unit.EPOCHS ? "epoch" : "iteration",
                    stage.end(),
                    100 * cost.stages().get(i).operations() / cost.operations()));
        }
        return String.join(", ", texts);
    }

    private static String learningRate(TrainingPlan plan) {
        TrainingPlan.LearningRate rate = plan.learningRate();
        return rate.stages() == null
                ? "constant " + rate.base()
                : String.format(
                        Locale.ROOT,
                        "%s, in each stage of %s warm-up over %s, then decay to %s in the last %.0f%%",
                        rate.base(),
                        rate.stages(),
                        rate.warmup(),
                        rate.end(),
                        100 * rate.decayRatio());
    }

    /** Weights, gradient and two moments; the average; the sum of accumulated gradients. */
    static double fixedBytes(TrainingPlan plan) {
        int vectors = 4 + (plan.averageDecay() > 0 ? 1 : 0) + (plan.microBatch() < plan.globalBatch() ? 1 : 0);
        return (double) vectors * Float.BYTES * plan.model().parameters();
    }

    /** An estimate: what the blocks keep, and the logits. */
    static double activationBytes(TrainingPlan plan) {
        GptSpec model = plan.model();
        int smallest = plan.stages().stages().stream()
                .mapToInt(PatchStages.Stage::patchSide)
                .min()
                .orElse(1);
        double positions = (double) plan.microBatch() * model.grid().tokens() / (smallest * smallest);
        int kept = plan.recompute() ? KEPT_BY_RECOMPUTED_BLOCK : KEPT_BY_BLOCK;
        return positions * Float.BYTES * ((double) kept * model.layers() * model.width() + model.vocabulary());
    }
}
