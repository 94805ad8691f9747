package org.npp4j.samples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.CheckpointPoint;
import org.npp4j.samples.report.RunEnvironment;
import org.npp4j.samples.report.TrainingPage;
import org.npp4j.samples.report.TrainingPoint;
import org.npp4j.samples.report.TrainingReport;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** What one sees of a run: the progress bar, metrics.jsonl, report.html, sample sheets, PyTorch files. */
final class TrainMonitor implements TrainingObserver, AutoCloseable {
    /** Each line a point of the curve, or a checkpoint. */
    static final String METRICS = "metrics.jsonl";

    static final String REPORT = "report.html";

    private static final Logger LOG = LoggerFactory.getLogger(TrainMonitor.class);
    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .build();
    private static final String EVENT = "event";
    private static final double NANOS = 1e9;
    private static final long NANOS_BETWEEN_REPORTS = 30_000_000_000L;
    /** The first steps are slower: memory is taken, code is compiled. */
    private static final int WARM_UP_STEPS = 3;

    private static final int ESTIMATE_STEPS = 3;
    private static final double ESTIMATE_SECONDS = 10;

    private final Path run;
    private final RunSummary summary;
    private final RunEnvironment environment;
    private final SampleSheets sheets;
    private final int sampleEvery;
    private final boolean savePublished;
    private final Export export;
    private final int logEvery;
    private final PeakMemory memory;
    private final Instant started = Instant.now();
    private final List<TrainingPoint> points = new ArrayList<>();
    private final List<CheckpointPoint> checkpoints = new ArrayList<>();

    private TrainingProgress progress;
    private BufferedWriter metrics;
    private int firstStep;
    private int warmStep;
    private double warmSeconds;
    private boolean estimated;
    private volatile double trainingSeconds;
    private int windowSteps;
    private int windowStage;
    private double lossSum;
    private double scoreSum;
    private double normSum;
    private long windowImages;
    private double windowSeconds;
    private TrainingStep last;
    private long reportedNanos;
    private double memoryGib;

    /** Writes a model for use elsewhere. */
    @FunctionalInterface
    interface Export {
        /**
         * Writes the model, and its average if there is one.
         *
         * @param run folder of the run
         * @param trainer between two steps
         * @return the file
         * @throws IOException if it cannot be written
         */
        Path save(Path run, Trainer trainer) throws IOException;
    }

    /**
     * A monitor.
     *
     * @param run folder of the run
     * @param summary of the plan
     * @param environment machine and versions
     * @param sheets draws; null without a tokenizer
     * @param export writes the model
     * @param options how often
     * @param memory of this process
     */
    TrainMonitor(
            Path run,
            RunSummary summary,
            RunEnvironment environment,
            SampleSheets sheets,
            Export export,
            TrainRunOptions options,
            PeakMemory memory) {
        this.run = run;
        this.summary = summary;
        this.environment = environment;
        this.sheets = sheets;
        this.memory = memory;
        this.export = export;
        // -1: at every checkpoint
        sampleEvery = sheets == null ? 0 : options.sampleEvery() == null ? -1 : options.sampleEvery();
        savePublished = options.savePublished();
        logEvery = options.logEvery();
    }

    @Override
    public void onStart(Trainer trainer) throws IOException {
        firstStep = trainer.step();
        Path file = run.resolve(METRICS);
        readBack(file, firstStep);
        metrics = Files.newBufferedWriter(file, StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        trainingSeconds = trainer.seconds();
        // its clock stands still during tests, sheets and checkpoints, so that images a second are those of training
        progress = new TrainingProgress(
                summary.label(),
                summary.loss().name(),
                summary.progress(),
                trainer.images(),
                System.err,
                Terminal.isInteractive(),
                () -> Math.round(trainingSeconds * NANOS));
        report(trainer);
    }

    /** Keeps what a run wrote until the step that it goes on from: the steps after it are made again. */
    private void readBack(Path file, int until) throws IOException {
        if (!Files.exists(file)) {
            return;
        }
        List<String> kept = new ArrayList<>();
        for (String line : Files.readAllLines(file)) {
            JsonNode node;
            try {
                node = JSON.readTree(line);
            } catch (JsonProcessingException e) {
                LOG.debug("{} ends within a line", file, e);
                continue;
            }
            if (node.path("step").asInt(Integer.MAX_VALUE) > until) {
                continue;
            }
            kept.add(line);
            ObjectNode point = (ObjectNode) node;
            String event = point.path(EVENT).asText();
            point.remove(List.of(EVENT, "perplexity", "time"));
            if (event.equals("steps")) {
                points.add(JSON.treeToValue(point, TrainingPoint.class));
            } else if (event.equals("checkpoint")) {
                checkpoints.add(JSON.treeToValue(point, CheckpointPoint.class));
            }
        }
        AtomicFile.writeText(file, kept.isEmpty() ? "" : String.join("\n", kept) + "\n");
    }

    @Override
    public void onStep(Trainer trainer, TrainingStep step) throws IOException {
        if (windowSteps > 0 && step.stage() != windowStage) {
            closeWindow(trainer);
        }
        last = step;
        windowStage = step.stage();
        windowSteps++;
        lossSum += step.loss();
        scoreSum += step.score();
        normSum += step.gradientNorm();
        windowImages += step.images();
        windowSeconds += step.seconds();
        if (windowSteps == 1) {
            memoryGib = MemoryGuard.residentBytes() / (double) (1L << 30);
        }
        trainingSeconds = trainer.seconds();
        progress.update(trainer.images(), step.loss(), details(step));
        estimate(trainer);
        if (step.step() % logEvery == 0) {
            closeWindow(trainer);
        }
        if (sampleEvery > 0 && step.step() % sampleEvery == 0) {
            sheets.draw(trainer);
        }
        if (System.nanoTime() - reportedNanos > NANOS_BETWEEN_REPORTS) {
            report(trainer);
        }
    }

    private String details(TrainingStep step) {
        return String.format(
                Locale.ROOT,
                "%s, lr %.1e, gradient %.2f, %.1f GiB",
                summary.progressOf(step),
                step.learningRate(),
                step.gradientNorm(),
                memoryGib);
    }

    /** Once, as soon as some steps at full speed have been made: how long the rest will take. */
    private void estimate(Trainer trainer) {
        if (trainer.step() - firstStep == WARM_UP_STEPS) {
            warmStep = trainer.step();
            warmSeconds = trainer.seconds();
        }
        int steps = trainer.step() - warmStep;
        double seconds = trainer.seconds() - warmSeconds;
        if (estimated || warmStep == 0 || steps < ESTIMATE_STEPS || seconds < ESTIMATE_SECONDS) {
            return;
        }
        estimated = true;
        double gflopPerSecond = (summary.gflopAt(trainer.step()) - summary.gflopAt(warmStep)) / seconds;
        double left = (summary.gflopAt(trainer.lastStep()) - summary.gflopAt(trainer.step())) / gflopPerSecond;
        LOG.info(
                "{} s a step, {} GFLOP a second: {} (h:mm:ss or m:ss) of training left to step {}",
                String.format(Locale.ROOT, "%.2f", seconds / steps),
                Math.round(gflopPerSecond),
                TrainingProgress.clock(Duration.ofMillis(Math.round(1e3 * left))),
                trainer.lastStep());
    }

    private void closeWindow(Trainer trainer) throws IOException {
        TrainingPoint point = new TrainingPoint(
                last.step(),
                last.epoch(),
                last.stage(),
                last.patchSide(),
                last.learningRate(),
                lossSum / windowSteps,
                scoreSum / windowSteps,
                normSum / windowSteps,
                trainer.images(),
                trainer.seconds(),
                summary.gflopAt(last.step()),
                windowImages / Math.max(1e-9, windowSeconds),
                memoryGib);
        points.add(point);
        ObjectNode line = JSON.createObjectNode();
        line.put(EVENT, "steps");
        line.setAll((ObjectNode) JSON.valueToTree(point));
        if (summary.loss().perplexity()) {
            line.put("perplexity", Math.exp(point.loss()));
        }
        write(line);
        windowSteps = 0;
        lossSum = 0;
        scoreSum = 0;
        normSum = 0;
        windowImages = 0;
        windowSeconds = 0;
    }

    private void write(ObjectNode line) throws IOException {
        line.put("time", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
        metrics.write(JSON.writeValueAsString(line));
        metrics.write('\n');
        metrics.flush();
    }

    @Override
    public void onCheckpoint(Trainer trainer, TrainingCheckpoint checkpoint) throws IOException {
        CheckpointPoint point = new CheckpointPoint(
                checkpoint.step(),
                checkpoint.seconds(),
                summary.gflopAt(checkpoint.step()),
                orNull(checkpoint.trainingLoss()),
                orNull(checkpoint.testLoss()),
                orNull(checkpoint.averageTestLoss()));
        checkpoints.add(point);
        ObjectNode line = JSON.createObjectNode();
        line.put(EVENT, "checkpoint");
        line.setAll((ObjectNode) JSON.valueToTree(point));
        write(line);
        LOG.info(
                "Checkpoint of step {}{}{}: {}",
                checkpoint.step(),
                point.testLoss() == null ? "" : String.format(Locale.ROOT, ", test loss %.4f", point.testLoss()),
                point.averageTestLoss() == null
                        ? ""
                        : String.format(Locale.ROOT, ", of the average %.4f", point.averageTestLoss()),
                checkpoint.folder());
        if (savePublished) {
            savePublished(trainer);
        }
        if (sampleEvery < 0) {
            sheets.draw(trainer);
        }
        report(trainer);
    }

    private static Double orNull(OptionalDouble value) {
        return value.isPresent() ? value.getAsDouble() : null;
    }

    /**
     * Writes the model for use elsewhere.
     *
     * @return the file
     */
    Path savePublished(Trainer trainer) throws IOException {
        return export.save(run, trainer);
    }

    @Override
    public void onEnd(Trainer trainer) throws IOException {
        if (windowSteps > 0) {
            closeWindow(trainer);
        }
        report(trainer);
    }

    private void report(Trainer trainer) throws IOException {
        reportedNanos = System.nanoTime();
        AtomicFile.writeText(
                run.resolve(REPORT),
                TrainingPage.render(new TrainingReport(
                        summary.label(),
                        trainer.step() >= trainer.totalSteps()
                                ? "done"
                                : String.format(Locale.ROOT, "step %,d of %,d", trainer.step(), trainer.totalSteps()),
                        lead(trainer),
                        Instant.now().truncatedTo(ChronoUnit.SECONDS).toString(),
                        summary.loss(),
                        points,
                        checkpoints,
                        sheets == null ? List.of() : sheets.latest(),
                        sheets == null ? "" : sheets.note(),
                        summary.stages(),
                        summary.costNote(),
                        summary.settings(),
                        summary.describedData(),
                        environment,
                        Duration.between(started, Instant.now()).toMillis() / 1e3,
                        memory.gib())));
    }

    private String lead(Trainer trainer) {
        String figures = String.format(
                Locale.ROOT,
                "%s. %,d images in %s of training, peak memory %.2f GiB.",
                summary.model(),
                trainer.images(),
                TrainingProgress.clock(Duration.ofMillis(Math.round(1e3 * trainer.seconds()))),
                memory.gib());
        return last == null ? figures : figures + " " + summary.sentenceOf(last);
    }

    @Override
    public void close() throws IOException {
        if (progress != null) {
            progress.close();
            progress = null;
        }
        if (metrics != null) {
            metrics.close();
            metrics = null;
        }
    }
}
