package org.npp4j.llamagen.training;

import java.util.Iterator;
import java.util.Set;
import java.util.TreeSet;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.schedule.PatchStages;

/** The keys of a plan's JSON or YAML. */
final class PlanKeys {
    private final JsonNode tree;
    private final Set<String> known = new TreeSet<>();

    PlanKeys(JsonNode tree) {
        this.tree = tree;
        known.add("model");
    }

    TrainingPlan plan() {
        GptSpec model;
        try {
            model = GptConfig.parse(tree.get("model").toString()).spec();
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("\"model\": " + e.getMessage(), e);
        }
        TrainingPlan published = TrainingPlan.of(model).build();
        int batchSize = (int) integer("global_batch_size", published.batchSize());
        TrainingPlan.LearningRate rate = published.learningRate();
        TrainingPlan.AdamW adam = published.optimizer();
        TrainingPlan.Dropouts dropouts = published.dropouts();
        TrainingPlan.Builder plan = TrainingPlan.of(model)
                .stages(PatchStages.parse(
                        text("patch_stages", published.stages().toString())))
                .batchSize(batchSize)
                .microBatch((int) integer("micro_batch", batchSize))
                .learningRate(new TrainingPlan.LearningRate(
                        number("lr", rate.base()),
                        flag("scheduler", rate.scheduled()),
                        number("warmup", rate.warmup()),
                        number("decay_ratio", rate.decayRatio()),
                        number("end_lr", rate.end())))
                .optimizer(new TrainingPlan.AdamW(
                        number("beta1", adam.beta1()),
                        number("beta2", adam.beta2()),
                        number("eps", adam.epsilon()),
                        number("weight_decay", adam.weightDecay())))
                .clipNorm(number("max_grad_norm", published.clipNorm()))
                .averageDecay(number("ema_decay", published.averageDecay()))
                .dropouts(new TrainingPlan.Dropouts(
                        number("class_dropout", dropouts.classes()),
                        number("token_dropout", dropouts.tokens()),
                        number("resid_dropout", dropouts.residual()),
                        number("ffn_dropout", dropouts.feedForward()),
                        number("drop_path_rate", dropouts.path())))
                .learnUnconditional(flag("learn_unconditional", published.learnUnconditional()))
                .precision(
                        Precision.named(text("precision", published.precision().toString())))
                .dataType(type(text("data_type", published.dataType().name())))
                .seed(integer("seed", published.seed()));
        refuseUnknown();
        return plan.build();
    }

    private static DataType type(String name) {
        return switch (name) {
            case "FLOAT" -> DataType.FLOAT;
            case "DOUBLE" -> DataType.DOUBLE;
            default -> throw new IllegalArgumentException(
                    "\"data_type\" must be FLOAT or DOUBLE, got \"" + name + "\"");
        };
    }

    private void refuseUnknown() {
        Set<String> unknown = new TreeSet<>();
        for (Iterator<String> names = tree.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            if (!known.contains(name)) {
                unknown.add(name);
            }
        }
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("Unknown key" + (unknown.size() == 1 ? " " : "s ")
                    + String.join(", ", unknown) + ". Known keys: " + String.join(", ", known));
        }
    }

    private JsonNode value(String name) {
        known.add(name);
        return tree.path(name);
    }

    private double number(String name, double absent) {
        JsonNode value = value(name);
        if (value.isMissingNode()) {
            return absent;
        }
        try {
            // YAML takes 1e-4 for a text: its numbers have a point
            return value.isTextual()
                    ? Double.parseDouble(value.asText())
                    : requireNumber(name, value).asDouble();
        } catch (NumberFormatException e) {
            throw wrong(name, "a number", value, e);
        }
    }

    private static JsonNode requireNumber(String name, JsonNode value) {
        if (!value.isNumber()) {
            throw wrong(name, "a number", value, null);
        }
        return value;
    }

    private long integer(String name, long absent) {
        JsonNode value = value(name);
        if (!value.isMissingNode() && !value.isIntegralNumber()) {
            throw wrong(name, "a whole number", value, null);
        }
        return value.asLong(absent);
    }

    private boolean flag(String name, boolean absent) {
        JsonNode value = value(name);
        if (!value.isMissingNode() && !value.isBoolean()) {
            throw wrong(name, "true or false", value, null);
        }
        return value.asBoolean(absent);
    }

    private String text(String name, String absent) {
        JsonNode value = value(name);
        return value.isMissingNode() ? absent : value.asText();
    }

    private static IllegalArgumentException wrong(String name, String what, JsonNode value, Exception cause) {
        return new IllegalArgumentException("\"" + name + "\" must be " + what + ", got " + value, cause);
    }
}
