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
     * @param patchSide p; 0 where there are no patches, and so nothing to say of stages
     * @param images images to train on
     * @param costPerImage cost of an image in any unit, the same one for all stages: positions or GFLOP
     */
    record Stage(int patchSide, long images, double costPerImage) {}

    private final String task;
    private final String lossName;
    private final List<Stage> stages;
    private final PrintStream out;
    private final LongSupplier nanos;
    private final ProgressBar bar;
    private final long start;
    private final long totalImages;
    private final long firstImage;
    private volatile long images;
    private double loss = Double.NaN;
    private String details = "";
    private long lastLine;
    private long lastLineImages;

    /**
     * Progress on standard error, as a bar if that is a terminal.
     *
     * @param task name of what is trained
     * @param stages its stages in order
     */
    TrainingProgress(String task, List<Stage> stages) {
        this(task, stages, 0);
    }

    /**
     * Progress of a run that goes on.
     *
     * @param task name of what is trained
     * @param stages its stages in order
     * @param firstImage images that were trained on before
     */
    TrainingProgress(String task, List<Stage> stages, long firstImage) {
        this(task, "loss", stages, firstImage, System.err, Terminal.isInteractive(), System::nanoTime);
    }

    TrainingProgress(String task, List<Stage> stages, PrintStream out, boolean interactive, LongSupplier nanos) {
        this(task, "loss", stages, 0, out, interactive, nanos);
    }

    TrainingProgress(
            String task,
            String lossName,
            List<Stage> stages,
            long firstImage,
            PrintStream out,
            boolean interactive,
            LongSupplier nanos) {
        if (stages.isEmpty()) {
            throw new IllegalArgumentException("Progress needs at least one stage");
        }
        this.task = task;
        this.lossName = lossName;
        this.stages = List.copyOf(stages);
        this.out = out;
        this.nanos = nanos;
        this.firstImage = firstImage;
        images = firstImage;
        lastLineImages = firstImage;
        totalImages = stages.stream().mapToLong(Stage::images).sum();
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
                .build()
                .stepTo(firstImage);
    }

    /**
     * Reports an iteration.
     *
     * @param imagesSoFar images trained on since the start
     * @param currentLoss loss of the iteration, in nats per token
     */
    void update(long imagesSoFar, double currentLoss) {
        update(imagesSoFar, currentLoss, "");
    }

    /**
     * Reports an iteration.
     *
     * @param imagesSoFar images trained on since the start
     * @param currentLoss loss of the iteration, in nats per token
     * @param furtherDetails shown behind the loss
     */
    void update(long imagesSoFar, double currentLoss, String furtherDetails) {
        details = furtherDetails;
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
        } else if (images > lastLineImages || images == firstImage) {
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
        return String.format(
                Locale.ROOT,
                "%s %.3f%s, %s images/s%s",
                lossName,
                loss,
                details.isEmpty() ? "" : ", " + details,
                rate(seconds > 0 ? (done - firstImage) / seconds : 0),
                stage(stageOf(done)));
    }

    private String stage(int number) {
        if (stages.get(number).patchSide() == 0) {
            return "";
        }
        return String.format(
                Locale.ROOT,
                ", stage %d/%d p=%d%s",
                number + 1,
                stages.size(),
                stages.get(number).patchSide(),
                details.isEmpty() || number + 1 == stages.size()
                        ? ""
                        : timeUntil(endOf(number))
                                .map(left -> " (" + clock(left) + " left)")
                                .orElse(""));
    }

    private static String rate(double perSecond) {
        return String.format(Locale.ROOT, perSecond < 10 && perSecond > 0 ? "%.2f" : "%.0f", perSecond);
    }

    private long endOf(int stage) {
        return stages.subList(0, stage + 1).stream().mapToLong(Stage::images).sum();
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
        return timeUntil(totalImages);
    }

    /** {@return the time until so many images are done, at the speed of this process} */
    Optional<Duration> timeUntil(long imagesThen) {
        double done = costOf(images) - costOf(firstImage);
        if (done <= 0) {
            return Optional.empty();
        }
        double elapsed = (nanos.getAsLong() - start) / 1e9;
        double left = Math.max(0, costOf(imagesThen) - costOf(images));
        return Optional.of(Duration.ofMillis(Math.round(1e3 * elapsed * left / done)));
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

    /** {@return minutes and seconds, or hours too} */
    static String clock(Duration time) {
        if (time.toHours() >= 2) {
            return String.format(
                    Locale.ROOT, "%d:%02d:%02d", time.toHours(), time.toMinutesPart(), time.toSecondsPart());
        }
        return String.format(Locale.ROOT, "%d:%02d", time.toMinutes(), time.toSecondsPart());
    }
}
