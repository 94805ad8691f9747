package org.npp4j.llamagen.training;

import java.util.Iterator;
import java.util.Set;
import java.util.TreeSet;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.schedule.PatchStages;

/** The keys of a plan's JSON or YAML. */
final class PlanKeys implements TrainingSettings.Keys {
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
        TrainingPlan.Dropouts dropouts = published.dropouts();
        TrainingPlan.Builder plan = TrainingPlan.of(model)
                .stages(PatchStages.parse(
                        text("patch_stages", published.stages().toString())))
                .dropouts(new TrainingPlan.Dropouts(
                        number("class_dropout", dropouts.classes()),
                        number("token_dropout", dropouts.tokens()),
                        number("resid_dropout", dropouts.residual()),
                        number("ffn_dropout", dropouts.feedForward()),
                        number("drop_path_rate", dropouts.path())))
                .learnUnconditional(flag("learn_unconditional", published.learnUnconditional()))
                .read(this);
        refuseUnknown();
        return plan.build();
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

    @Override
    public double number(String name, double absent) {
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

    @Override
    public int whole(String name, int absent) {
        long value = wholeLong(name, absent);
        if (value != (int) value) {
            throw wrong(name, "a whole number of at most 2147483647", tree.path(name), null);
        }
        return (int) value;
    }

    @Override
    public long wholeLong(String name, long absent) {
        JsonNode value = value(name);
        if (!value.isMissingNode() && !value.isIntegralNumber()) {
            throw wrong(name, "a whole number", value, null);
        }
        return value.asLong(absent);
    }

    @Override
    public boolean flag(String name, boolean absent) {
        JsonNode value = value(name);
        if (!value.isMissingNode() && !value.isBoolean()) {
            throw wrong(name, "true or false", value, null);
        }
        return value.asBoolean(absent);
    }

    @Override
    public String text(String name, String absent) {
        JsonNode value = value(name);
        return value.isMissingNode() ? absent : value.asText();
    }

    private static IllegalArgumentException wrong(String name, String what, JsonNode value, Exception cause) {
        return new IllegalArgumentException("\"" + name + "\" must be " + what + ", got " + value, cause);
    }
}
