package org.npp4j.llamagen.parity;

import java.util.ArrayList;
import java.util.List;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;

/**
 * The training steps behind the {@code trained.} arrays of a golden file: AdamW on the same batch at every step.
 *
 * @param patchSides p of each step
 * @param learningRate constant
 * @param beta1 decay of the gradients' running mean
 * @param beta2 decay of the squares' running mean
 * @param epsilon added to the root of the squares
 * @param weightDecay of matrices and tables
 * @param clipNorm largest global norm of the gradients, 0 for no clipping
 * @param losses before each step; may be empty
 * @param gradientNorms before clipping, of each step; may be empty
 */
record TrainingSteps(
        List<Integer> patchSides,
        double learningRate,
        double beta1,
        double beta2,
        double epsilon,
        double weightDecay,
        double clipNorm,
        List<Double> losses,
        List<Double> gradientNorms) {

    /**
     * Reads {@code "training"} of a config.json.
     *
     * @param training the node
     * @return the steps
     * @throws IllegalArgumentException if patch sides, learning rate or betas are missing or of another kind
     */
    static TrainingSteps of(JsonNode training) {
        List<Integer> patchSides = new ArrayList<>();
        for (JsonNode side : array(training, "patch_sides", true)) {
            patchSides.add(side.asInt());
        }
        List<Double> betas = numbers(training, "betas", true);
        if (patchSides.isEmpty() || betas.size() != 2 || !training.path("lr").isNumber()) {
            throw new IllegalArgumentException(
                    "The training in config.json must have \"patch_sides\": [p of each step],"
                            + " \"lr\": a number and \"betas\": two numbers, but is " + training);
        }
        List<Double> losses = numbers(training, "losses", false);
        List<Double> norms = numbers(training, "gradient_norms_before_clipping", false);
        requireLength(losses, "losses", patchSides.size());
        requireLength(norms, "gradient_norms_before_clipping", patchSides.size());
        return new TrainingSteps(
                patchSides,
                training.get("lr").asDouble(),
                betas.get(0),
                betas.get(1),
                training.path("eps").asDouble(1e-8),
                training.path("weight_decay").asDouble(0),
                training.path("clip_global_norm").asDouble(0),
                losses,
                norms);
    }

    private static void requireLength(List<Double> values, String name, int steps) {
        if (!values.isEmpty() && values.size() != steps) {
            throw new IllegalArgumentException("\"training\" in config.json has " + values.size() + " numbers in \""
                    + name + "\", but " + steps + " patch_sides, one for each step");
        }
    }

    private static List<Double> numbers(JsonNode parent, String name, boolean required) {
        List<Double> numbers = new ArrayList<>();
        for (JsonNode number : array(parent, name, required)) {
            numbers.add(number.asDouble());
        }
        return numbers;
    }

    private static JsonNode array(JsonNode parent, String name, boolean required) {
        JsonNode node = parent.path(name);
        if (!node.isArray() && (required || !(node.isMissingNode() || node.isNull()))) {
            throw new IllegalArgumentException(
                    "\"training\" in config.json must have a list \"" + name + "\", but is " + parent);
        }
        return node;
    }

    /**
     * The steps as a plan without anything random.
     *
     * @param model sizes of the GPT
     * @param batchSize images of the batch
     * @return the plan
     */
    TrainingPlan plan(GptSpec model, long batchSize) {
        return TrainingPlan.of(model)
                .stages(stages())
                .dropouts(TrainingPlan.Dropouts.NONE)
                .batchSize(Math.toIntExact(batchSize))
                .learningRate(learningRate)
                .optimizer(new TrainingPlan.AdamW(beta1, beta2, epsilon, weightDecay))
                .clipNorm(clipNorm)
                .build();
    }

    /** {@return the steps as stages in iterations} */
    PatchStages stages() {
        PatchStages.Builder stages = PatchStages.iterations();
        for (int step = 0; step < patchSides.size(); step++) {
            boolean last = step + 1 == patchSides.size();
            if (last || !patchSides.get(step + 1).equals(patchSides.get(step))) {
                stages.stage(patchSides.get(step), step + 1);
            }
        }
        return stages.build();
    }
}
