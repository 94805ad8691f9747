package org.npp4j.arbiter;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ArrayNode;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingPlan;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The files of a sweep: {@value #SWEEP} sums it up, and every candidate has a folder with its checkpoints and, once it is
 * finished, {@value #RESULT}. Each file is written whole or not at all.
 */
final class SweepFolder {
    static final String SWEEP = "sweep.json";
    static final String CANDIDATES = "candidates";
    static final String RESULT = "result.json";

    private static final Logger log = LoggerFactory.getLogger(SweepFolder.class);
    private static final String CHECKPOINTS = "checkpoints";
    private static final String SETTINGS = "settings";
    private static final ObjectMapper JSON = new ObjectMapper();

    private final Path folder;

    SweepFolder(Path folder) throws IOException {
        this.folder = folder;
        Files.createDirectories(folder.resolve(CANDIDATES));
    }

    Path folder() {
        return folder;
    }

    Path folder(PatchPlan plan) {
        return folder.resolve(CANDIDATES).resolve(plan.name());
    }

    Path checkpoints(PatchPlan plan) {
        return folder(plan).resolve(CHECKPOINTS);
    }

    /** {@return the newest checkpoint of a candidate that is whole} */
    Optional<TrainingCheckpoint> checkpoint(PatchPlan plan) throws IOException {
        List<TrainingCheckpoint> all = TrainingCheckpoint.list(checkpoints(plan));
        for (int i = all.size() - 1; i >= 0; i--) {
            try {
                all.get(i).requireWhole();
                return Optional.of(all.get(i));
            } catch (CheckpointException e) {
                log.warn("{}", e.getMessage());
            }
        }
        return Optional.empty();
    }

    void write(CandidateResult result) throws IOException {
        Path target = folder(result.plan());
        Files.createDirectories(target);
        AtomicFile.writeText(target.resolve(RESULT), result.toJson(JSON).toPrettyString() + "\n");
    }

    /** {@return the results of all candidates that were ever finished here} */
    List<CandidateResult> results() throws IOException {
        List<CandidateResult> results = new ArrayList<>();
        try (Stream<Path> folders = Files.list(folder.resolve(CANDIDATES))) {
            for (Path each : folders.sorted().toList()) {
                Path file = each.resolve(RESULT);
                if (Files.isRegularFile(file)) {
                    results.add(read(file));
                }
            }
        }
        return results;
    }

    private static CandidateResult read(Path file) throws IOException {
        try {
            return CandidateResult.of(JSON.readTree(Files.readString(file)));
        } catch (JsonProcessingException | IllegalArgumentException e) {
            throw new IllegalStateException(
                    file + " is damaged: " + e.getMessage() + ". Remove it to train the candidate again", e);
        }
    }

    /**
     * Refuses a sweep that began otherwise: its results would not compare with these.
     *
     * @throws IllegalStateException if there is one, with what differs
     */
    void requireSame(TrainingPlan plan, Map<String, String> data, String score) throws IOException {
        Path file = folder.resolve(SWEEP);
        if (!Files.isRegularFile(file)) {
            return;
        }
        JsonNode settings;
        TrainingPlan before;
        try {
            settings = JSON.readTree(Files.readString(file)).path(SETTINGS);
            before = TrainingPlan.parse(settings.path("plan").toString());
        } catch (JsonProcessingException | IllegalArgumentException e) {
            throw new IllegalStateException(
                    file + " is damaged: " + e.getMessage() + ". Remove it; finished candidates stay", e);
        }
        List<String> differences = new ArrayList<>(before.differences(plan));
        ObjectNode described = described(data);
        if (!described.equals(settings.path("data"))) {
            differences.add("data: " + settings.path("data") + " -> " + described);
        }
        if (!score.equals(settings.path("score").asText())) {
            differences.add("score: " + settings.path("score").asText() + " -> " + score);
        }
        if (!differences.isEmpty()) {
            throw new IllegalStateException(folder + " holds a sweep with other settings: "
                    + String.join("; ", differences)
                    + ". Its candidates do not compare with new ones. Choose another folder, or the same settings");
        }
    }

    private static ObjectNode described(Map<String, String> data) {
        ObjectNode node = JSON.createObjectNode();
        data.forEach(node::put);
        return node;
    }

    /** Writes {@value #SWEEP}. */
    void summarize(Sweep sweep, List<CandidateResult> results) throws IOException {
        ObjectNode root = JSON.createObjectNode();
        ObjectNode settings = root.putObject(SETTINGS);
        settings.put("space", sweep.space().toString());
        settings.put("generator", sweep.generator().toString());
        settings.put("seed", sweep.seed());
        settings.put("score", sweep.score().name());
        settings.set("data", described(sweep.data()));
        settings.set("plan", JSON.readTree(sweep.plan().toJson()));
        ObjectNode versions = root.putObject("versions");
        sweep.versions().forEach(versions::put);
        ArrayNode candidates = root.putArray("candidates");
        results.forEach(result -> candidates.add(result.toJson(JSON)));
        ArrayNode front = root.putArray("pareto_front");
        ParetoFront.of(results).forEach(result -> front.add(result.folder()));
        Sweep.best(results).ifPresent(best -> root.put("best", best.folder()));
        AtomicFile.writeText(folder.resolve(SWEEP), root.toPrettyString() + "\n");
    }
}
