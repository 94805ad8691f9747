package org.npp4j.samples;

import java.io.PrintStream;
import java.time.Duration;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongSupplier;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/**
 * Shows how training goes: loss, images per second, stage, patch side, time left. A bar on a terminal, otherwise a plain
 * line every ten seconds and at the end.
 *
 * <p>Stages differ in speed, so the time left counts what each stage costs an image: left = elapsed x (cost to come /
 * cost done).
 */
final class TrainingProgress implements AutoCloseable {
    private static final long NANOS_BETWEEN_LINES = 10_000_000_000L;
    private static final int BAR_MILLIS = 250;

    /**
     * What is planned for a stage.
     *
     * @param patchSide p
     * @param images images to train on
     * @param costPerImage cost of an image in any unit, the same one for all stages: positions or GFLOP
     */
    record Stage(int patchSide, long images, double costPerImage) {}

    private final String task;
    private final List<Stage> stages;
    private final PrintStream out;
    private final LongSupplier nanos;
    private final ProgressBar bar;
    private final long start;
    private final long totalImages;
    private final double totalCost;
    private volatile long images;
    private double loss = Double.NaN;
    private long lastLine;
    private long lastLineImages;

    /**
     * Progress on standard error, as a bar if that is a terminal.
     *
     * @param task name of what is trained
     * @param stages its stages in order
     */
    TrainingProgress(String task, List<Stage> stages) {
        this(task, stages, System.err, Terminal.isInteractive(), System::nanoTime);
    }

    TrainingProgress(String task, List<Stage> stages, PrintStream out, boolean interactive, LongSupplier nanos) {
        if (stages.isEmpty()) {
            throw new IllegalArgumentException("Progress needs at least one stage");
        }
        this.task = task;
        this.stages = List.copyOf(stages);
        this.out = out;
        this.nanos = nanos;
        totalImages = stages.stream().mapToLong(Stage::images).sum();
        totalCost = costOf(totalImages);
        start = nanos.getAsLong();
        lastLine = start;
        bar = interactive ? bar() : null;
    }

    private ProgressBar bar() {
        return new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(totalImages)
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(BAR_MILLIS)
                .setConsumer(new ConsoleProgressBarConsumer(out))
                .setEtaFunction(state -> timeLeft())
                .build();
    }

    /**
     * Reports an iteration.
     *
     * @param imagesSoFar images trained on since the start
     * @param currentLoss loss of the iteration, in nats per token
     */
    void update(long imagesSoFar, double currentLoss) {
        images = imagesSoFar;
        loss = currentLoss;
        long now = nanos.getAsLong();
        if (bar != null) {
            bar.setExtraMessage(" " + state((now - start) / 1e9, imagesSoFar));
            bar.stepTo(imagesSoFar);
        } else if (now - lastLine >= NANOS_BETWEEN_LINES) {
            line(now);
        }
    }

    /** Ends with the last state on a line of its own. */
    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        } else if (images > lastLineImages || images == 0) {
            line(nanos.getAsLong());
        }
    }

    private void line(long now) {
        lastLine = now;
        lastLineImages = images;
        out.println(String.format(
                Locale.ROOT,
                "%s %3d%% %d/%d images, %s, %s left",
                task,
                totalImages == 0 ? 100 : 100 * images / totalImages,
                images,
                totalImages,
                state((now - start) / 1e9, images),
                timeLeft().map(TrainingProgress::clock).orElse("?")));
        out.flush();
    }

    private String state(double seconds, long done) {
        int number = stageOf(done);
        return String.format(
                Locale.ROOT,
                "loss %.3f, %.0f images/s, stage %d/%d p=%d",
                loss,
                seconds > 0 ? done / seconds : 0,
                number + 1,
                stages.size(),
                stages.get(number).patchSide());
    }

    private int stageOf(long done) {
        long end = 0;
        for (int i = 0; i < stages.size(); i++) {
            end += stages.get(i).images();
            if (done <= end) {
                return i;
            }
        }
        return stages.size() - 1;
    }

    private Optional<Duration> timeLeft() {
        double done = costOf(images);
        if (done <= 0) {
            return Optional.empty();
        }
        double elapsed = (nanos.getAsLong() - start) / 1e9;
        return Optional.of(Duration.ofMillis(Math.round(1e3 * elapsed * Math.max(0, totalCost - done) / done)));
    }

    /** Cost of the first so many images. */
    private double costOf(long count) {
        double cost = 0;
        long left = count;
        for (Stage stage : stages) {
            long here = Math.min(left, stage.images());
            cost += here * stage.costPerImage();
            left -= here;
        }
        return cost;
    }

    private static String clock(Duration time) {
        return String.format(Locale.ROOT, "%d:%02d", time.toMinutes(), time.toSecondsPart());
    }
}
