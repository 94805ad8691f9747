package org.npp4j.arbiter;

import java.util.Locale;
import java.util.OptionalDouble;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.schedule.PatchStages;

/**
 * What became of a candidate.
 *
 * @param index in the order of proposal, from 0; -1 if this run of the sweep has not proposed it
 * @param plan what it changed
 * @param status how it ended
 * @param score lower is better; empty unless it is done
 * @param testLoss at p = 1, nats per token; empty without test images
 * @param seconds of training, on the machine of the sweep
 * @param gflop operations of training in units of 1e9
 * @param relativeCost these operations relative to next-token prediction over as many epochs
 * @param reason why it failed; empty otherwise
 * @param finished when, ISO 8601
 */
public record CandidateResult(
        int index,
        PatchPlan plan,
        Status status,
        OptionalDouble score,
        OptionalDouble testLoss,
        double seconds,
        double gflop,
        double relativeCost,
        String reason,
        String finished) {

    /** How a candidate ended. */
    public enum Status {
        /** Trained and scored. */
        DONE,
        /** Trained in part: it goes on when the sweep does. */
        STOPPED,
        /** Diverged, or could not be trained. */
        FAILED
    }

    /** {@return the folder of this candidate, relative to that of the sweep} */
    public String folder() {
        return SweepFolder.CANDIDATES + "/" + plan.name();
    }

    CandidateResult withIndex(int proposed) {
        return new CandidateResult(
                proposed, plan, status, score, testLoss, seconds, gflop, relativeCost, reason, finished);
    }

    ObjectNode toJson(ObjectMapper json) {
        ObjectNode node = json.createObjectNode();
        node.put("index", index);
        node.put("status", status.name().toLowerCase(Locale.ROOT));
        node.put("patch_stages", plan.stages().toString());
        if (plan.learningRate() != null) {
            node.put("lr", plan.learningRate());
        }
        if (plan.decayRatio() != null) {
            node.put("decay_ratio", plan.decayRatio());
        }
        score.ifPresent(value -> node.put("score", value));
        testLoss.ifPresent(value -> node.put("test_loss", value));
        node.put("seconds", seconds);
        node.put("gflop", gflop);
        node.put("relative_cost", relativeCost);
        node.put("folder", folder());
        if (!reason.isEmpty()) {
            node.put("reason", reason);
        }
        return node.put("finished", finished);
    }

    static CandidateResult of(JsonNode node) {
        return new CandidateResult(
                node.path("index").asInt(-1),
                new PatchPlan(
                        PatchStages.parse(node.path("patch_stages").asText()),
                        node.has("lr") ? node.get("lr").asDouble() : null,
                        node.has("decay_ratio") ? node.get("decay_ratio").asDouble() : null),
                Status.valueOf(node.path("status").asText().toUpperCase(Locale.ROOT)),
                number(node, "score"),
                number(node, "test_loss"),
                node.path("seconds").asDouble(),
                node.path("gflop").asDouble(),
                node.path("relative_cost").asDouble(),
                node.path("reason").asText(),
                node.path("finished").asText());
    }

    private static OptionalDouble number(JsonNode node, String name) {
        return node.path(name).isNumber() ? OptionalDouble.of(node.get(name).asDouble()) : OptionalDouble.empty();
    }
}
