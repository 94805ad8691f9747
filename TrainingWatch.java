package org.npp4j.samples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingEvaluation;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.RunEnvironment;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.samples.report.TrainingReport;
import org.npp4j.samples.report.TrainingReportPage;
import org.npp4j.schedule.TrainingCost;
import org.npp4j.schedule.WeightAverage;

/** Shows and writes down how a run goes: progress, metrics.jsonl, report.html, sheets of samples, exports. */
final class TrainingWatch implements TrainingObserver, AutoCloseable {
    private static final String LOSS = "cross_entropy";
    private static final String TEST = "test_cross_entropy";
    private static final long NANOS_BETWEEN_REPORTS = 60_000_000_000L;
    /** Steps after which the time is predicted. */
    private static final int TIMED_STEPS = 5;

    private static final int SHEET_CLASSES = 10;
    private static final int SHEET_COLUMNS = 4;
    private static final int SHEET_GAP = 2;
    /** Pictures with fewer pixels are shown larger. */
    private static final int SMALL_SIDE = 64;
    /** Sheets in the report; all are files. */
    private static final int SHOWN_SHEETS = 6;

    /**
     * What to watch for.
     *
     * @param logEvery steps in a line of metrics
     * @param sampleEvery steps between sheets, 0 for the end alone
     * @param sampleScale guidance of these
     * @param exportEvery steps between exports, 0 for none
     */
    record Intervals(int logEvery, int sampleEvery, double sampleScale, int exportEvery) {}

    private final Path folder;
    private final Intervals intervals;
    private final TrainingCost cost;
    private final ImageTokenizer tokenizer;
    private final TrainingJournal journal;
    private final RunEnvironment environment;
    private final Map<String, Object> settings;
    private final List<Map.Entry<String, String>> summary;
    private final PeakMemory memory;
    private final Consumer<String> say;
    private final TrainingProgress progress;
    private final List<SampleSheet> sheets = new ArrayList<>();
    private final double[] operationsPerImage;
    private double operations;
    private double sum;
    private int count;
    private int here;
    private double firstSeconds;
    private double firstOperations;
    private double lastSeconds;
    private long lastImages;
    private long lastReport = System.nanoTime();

    /**
     * Watches a run.
     *
     * @param folder of the run
     * @param trainer before it trains
     * @param imagesPerUnit images in an epoch, or in a batch if the stages are in iterations
     * @param cost of the plan
     * @param intervals how often to do what
     * @param tokenizer makes the pictures; null for none
     * @param environment of this process
     * @param settings of the run
     * @param summary what was printed before the first step
     * @param memory of this process
     * @param say prints a line
     * @throws IOException if the journal cannot be read or written
     */
    TrainingWatch(
            Path folder,
            Trainer trainer,
            long imagesPerUnit,
            TrainingCost cost,
            Intervals intervals,
            ImageTokenizer tokenizer,
            RunEnvironment environment,
            Map<String, Object> settings,
            List<Map.Entry<String, String>> summary,
            PeakMemory memory,
            Consumer<String> say)
            throws IOException {
        this.folder = folder;
        this.intervals = intervals;
        this.cost = cost;
        this.tokenizer = tokenizer;
        this.environment = environment;
        this.settings = settings;
        this.summary = summary;
        this.memory = memory;
        this.say = say;
        journal = TrainingJournal.open(folder.resolve("metrics.jsonl"), trainer.step());
        List<JsonNode> before = journal.lines(LOSS);
        operations = before.isEmpty() ? 0 : 1e9 * before.get(before.size() - 1).path("gflop").asDouble();
        lastSeconds = trainer.position().seconds();
        lastImages = trainer.position().images();
        List<TrainingProgress.Stage> stages = new ArrayList<>();
        operationsPerImage = new double[cost.stages().size()];
        for (int i = 0; i < operationsPerImage.length; i++) {
            TrainingCost.StageCost stage = cost.stages().get(i);
            long images = stage.length() * imagesPerUnit;
            operationsPerImage[i] = stage.operations() / images;
            stages.add(new TrainingProgress.Stage(stage.patchSide(), images, operationsPerImage[i]));
        }
        progress = new TrainingProgress("train", stages, trainer.position().images());
    }

    @Override
    public void onStep(Trainer trainer, TrainingStep step) throws IOException {
        double perStep = operationsPerImage[step.stage()] * trainer.plan().globalBatch();
        operations += perStep;
        sum += step.crossEntropy();
        count++;
        predict(step, perStep);
        progress.update(
                step.images(),
                step.crossEntropy(),
                String.format(
                        Locale.ROOT,
                        "perplexity %.2f, with decay %.3f, lr %.2e, |g| %.2f, %.1f GiB",
                        step.perplexity(),
                        step.score(),
                        step.learningRate(),
                        step.gradientNorm(),
                        memory.gib()));
        if (step.step() % intervals.logEvery() == 0 || step.step() == trainer.totalSteps()) {
            log(step);
        }
        if (isDue(intervals.sampleEvery(), step) && step.step() < trainer.totalSteps()) {
            sample(trainer);
        }
        if (isDue(intervals.exportEvery(), step)) {
            trainer.export(folder.resolve(String.format(Locale.ROOT, "model-%08d.pt", step.step())));
        }
        if (System.nanoTime() - lastReport > NANOS_BETWEEN_REPORTS) {
            report(trainer, true);
        }
    }

    private static boolean isDue(int every, TrainingStep step) {
        return every > 0 && step.step() % every == 0;
    }

    /** From the first steps: the very first is slow, because memory is fresh. */
    private void predict(TrainingStep step, double perStep) {
        here++;
        if (here == 1) {
            firstSeconds = step.seconds();
            firstOperations = operations;
        } else if (here == TIMED_STEPS) {
            double perSecond = (operations - firstOperations) / (step.seconds() - firstSeconds);
            say.accept(String.format(
                    Locale.ROOT,
                    "At %.1f GFLOP/s (%.3f s a step) what is left takes about %s",
                    perSecond / 1e9,
                    perStep / perSecond,
                    clock(Math.max(0, cost.operations() - operations) / perSecond)));
        }
    }

    static String clock(double seconds) {
        long minutes = Math.round(seconds / 60);
        return seconds < 60
                ? String.format(Locale.ROOT, "%.0f s", seconds)
                : minutes < 60
                        ? minutes + " min"
                        : minutes < 48 * 60
                                ? String.format(Locale.ROOT, "%d h %d min", minutes / 60, minutes % 60)
                                : String.format(Locale.ROOT, "%.1f days", minutes / 1440.0);
    }

    private void log(TrainingStep step) throws IOException {
        double loss = sum / count;
        ObjectNode line = TrainingJournal.line(step.step())
                .put("epoch", step.epoch())
                .put("stage", step.stage())
                .put("patch_side", step.patchSide())
                .put(LOSS, loss)
                .put("perplexity", Math.exp(loss))
                .put("score", step.score())
                .put("learning_rate", step.learningRate())
                .put("gradient_norm", step.gradientNorm())
                .put("images", step.images())
                .put("seconds", step.seconds())
                .put("images_per_second", (step.images() - lastImages) / (step.seconds() - lastSeconds))
                .put("gflop", operations / 1e9)
                .put("peak_memory_gib", memory.gib());
        sum = 0;
        count = 0;
        lastSeconds = step.seconds();
        lastImages = step.images();
        journal.add(line);
    }

    @Override
    public void onEvaluation(Trainer trainer, TrainingEvaluation evaluation) throws IOException {
        ObjectNode line = TrainingJournal.line(evaluation.step())
                .put(TEST, evaluation.crossEntropy())
                .put("best", evaluation.best());
        if (!Double.isNaN(evaluation.averageCrossEntropy())) {
            line.put("test_cross_entropy_ema", evaluation.averageCrossEntropy());
        }
        journal.add(line);
        say.accept(String.format(
                Locale.ROOT,
                "Step %d: %.4f nats per token on the test images at p = 1%s%s",
                evaluation.step(),
                evaluation.crossEntropy(),
                Double.isNaN(evaluation.averageCrossEntropy())
                        ? ""
                        : String.format(Locale.ROOT, ", %.4f with the average", evaluation.averageCrossEntropy()),
                evaluation.best() ? ", the best so far" : ""));
    }

    @Override
    public void onCheckpoint(Trainer trainer, Path file) throws IOException {
        report(trainer, true);
    }

    /**
     * Draws, exports and reports the end of the run.
     *
     * @param trainer that has trained
     * @throws IOException if a file cannot be written
     */
    void end(Trainer trainer) throws IOException {
        progress.close();
        sample(trainer);
        trainer.export(folder.resolve("model.pt"));
        report(trainer, false);
    }

    /** From the weights, and from their average if there is one. */
    private void sample(Trainer trainer) throws IOException {
        if (tokenizer == null) {
            return;
        }
        draw(trainer, "weights");
        if (trainer.average().isPresent()) {
            try (WeightAverage.Swap ignored = trainer.average().get().applyTo(trainer.network())) {
                draw(trainer, "ema");
            }
        }
        while (sheets.size() > SHOWN_SHEETS) {
            sheets.remove(0);
        }
    }

    private void draw(Trainer trainer, String what) throws IOException {
        int rows = Math.min(trainer.plan().model().classes(), SHEET_CLASSES);
        int[] classes = IntStream.range(0, rows * SHEET_COLUMNS)
                .map(i -> i / SHEET_COLUMNS)
                .toArray();
        byte[] png;
        try (GptDecoder decoder = new GptDecoder(trainer.network())) {
            var images = tokenizer.decode(decoder.generate(
                    classes,
                    Guidance.of(decoder.guidable() ? intervals.sampleScale() : 1),
                    TokenSamplers.random(1, 0, 1, trainer.plan().seed())));
            png = new PngSheet.Builder()
                    .columns(SHEET_COLUMNS)
                    .gap(SHEET_GAP)
                    .scale(images.height() <= SMALL_SIDE ? 2 : 1)
                    .build()
                    .toPng(images);
        }
        String file = String.format(Locale.ROOT, "step-%08d-%s.png", trainer.step(), what);
        AtomicFile.write(folder.resolve("sheets").resolve(file), png);
        sheets.add(new SampleSheet(
                "Step " + trainer.step() + ", " + (what.equals("ema") ? "averaged weights" : what),
                "sheets/" + file,
                "Images that the model drew at step " + trainer.step() + ", one row for each of the first " + rows
                        + " classes",
                png));
    }

    private void report(Trainer trainer, boolean running) throws IOException {
        lastReport = System.nanoTime();
        TrainingReport report = new TrainingReport(
                running,
                trainer.step(),
                trainer.totalSteps(),
                journal.lines(LOSS).stream().map(TrainingWatch::point).toList(),
                journal.lines(TEST).stream()
                        .map(line -> new TrainingReport.Test(
                                line.path("step").asInt(),
                                line.path(TEST).asDouble(),
                                line.path("test_cross_entropy_ema").asDouble(Double.NaN)))
                        .toList(),
                trainer.plan().stages(),
                cost,
                memory.gib(),
                new LinkedHashMap<>(settings),
                summary,
                environment);
        AtomicFile.writeText(folder.resolve("report.html"), TrainingReportPage.render(report, sheets));
    }

    private static TrainingReport.Point point(JsonNode line) {
        return new TrainingReport.Point(
                line.path("step").asInt(),
                line.path("seconds").asDouble(),
                line.path("gflop").asDouble(),
                line.path("patch_side").asInt(),
                line.path(LOSS).asDouble(),
                line.path("learning_rate").asDouble());
    }

    @Override
    public void close() {
        progress.close();
    }
}
