package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLFactory;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLGenerator;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.Sweep;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.samples.report.RunEnvironment;
import org.npp4j.samples.report.SweepPage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What a sweep writes beside the summary: its page, and the best plan as a preset. */
final class SweepFiles {
    /** The page. */
    static final String REPORT = "sweep.html";

    private static final Logger LOG = LoggerFactory.getLogger(SweepFiles.class);
    private static final ObjectMapper YAML =
            new ObjectMapper(new YAMLFactory().disable(YAMLGenerator.Feature.WRITE_DOC_START_MARKER));

    private final Path folder;
    private final Sweep sweep;
    private final RunEnvironment environment;
    private final PeakMemory memory;
    private final Instant started;

    SweepFiles(Path folder, Sweep sweep, RunEnvironment environment, PeakMemory memory, Instant started) {
        this.folder = folder;
        this.sweep = sweep;
        this.environment = environment;
        this.memory = memory;
        this.started = started;
    }

    /** Writes the page anew. */
    void write(List<CandidateResult> results) throws IOException {
        AtomicFile.writeText(
                folder.resolve(REPORT),
                SweepPage.render(
                        sweep,
                        results,
                        environment,
                        Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
                        Duration.between(started, Instant.now()).toMillis() / 1e3,
                        memory.gib()));
    }

    /** Writes the page with what is known now; a sweep does not end because that fails. */
    void refresh() {
        try {
            write(sweep.results());
        } catch (IOException e) {
            LOG.error("{} was not written: {}", REPORT, e.getMessage(), e);
        }
    }

    /**
     * Writes a candidate as settings of {@code npp train}.
     *
     * @param file to write
     * @param settings YAML of the options that all candidates share
     * @param sweep of the candidate
     * @param candidate whose plan it is
     */
    static void writePreset(Path file, String settings, Sweep sweep, CandidateResult candidate) throws IOException {
        ObjectNode options = (ObjectNode) YAML.readTree(settings);
        options.remove(List.of("epochs", "epoch-rate", "patch-level"));
        options.put("patch-stages", candidate.plan().stages().toString());
        if (candidate.plan().learningRate() != null) {
            options.put("lr", candidate.plan().learningRate());
        }
        if (candidate.plan().decayRatio() != null) {
            options.put("decay-ratio", candidate.plan().decayRatio());
            options.put("scheduler", true);
        }
        AtomicFile.writeText(
                file,
                "# The best of " + sweep.results().size() + " candidates: "
                        + sweep.score().name() + " " + candidate.score().getAsDouble() + "\n"
                        + YAML.writeValueAsString(options));
    }
}
