package org.npp4j.samples;

import java.io.PrintStream;
import java.time.Duration;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongSupplier;
import me.tongfei.progressbar.ConsoleProgressBarConsumer;
import me.tongfei.progressbar.ProgressBar;
import me.tongfei.progressbar.ProgressBarBuilder;
import me.tongfei.progressbar.ProgressBarStyle;

/** Shows how equal steps go: a bar with the time left on a terminal, otherwise a plain line every ten seconds. */
final class StepProgress implements AutoCloseable {
    private static final long NANOS_BETWEEN_LINES = 10_000_000_000L;
    private static final int BAR_MILLIS = 250;

    private final String task;
    private final long first;
    private final long steps;
    private final PrintStream out;
    private final LongSupplier nanos;
    private final ProgressBar bar;
    private final long start;
    private long lastLine;
    private volatile long done;

    /**
     * Progress on standard error, as a bar if that is a terminal.
     *
     * @param task what is done
     * @param first steps that an earlier run has done
     * @param steps all steps
     */
    StepProgress(String task, long first, long steps) {
        this(task, first, steps, System.err, Terminal.isInteractive(), System::nanoTime);
    }

    StepProgress(String task, long first, long steps, PrintStream out, boolean interactive, LongSupplier nanos) {
        this.task = task;
        this.first = first;
        this.steps = steps;
        this.out = out;
        this.nanos = nanos;
        start = nanos.getAsLong();
        lastLine = start;
        done = first;
        bar = interactive ? bar() : null;
    }

    private ProgressBar bar() {
        ProgressBar made = new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(steps)
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(BAR_MILLIS)
                .setConsumer(new ConsoleProgressBarConsumer(out))
                .setEtaFunction(state -> timeLeft())
                .build();
        made.stepTo(first);
        return made;
    }

    /**
     * Reports steps.
     *
     * @param soFar all that are done, those of an earlier run too
     * @param state what else there is to say
     */
    void update(long soFar, String state) {
        done = soFar;
        long now = nanos.getAsLong();
        if (bar != null) {
            bar.setExtraMessage(" " + state);
            bar.stepTo(soFar);
        } else if (now - lastLine >= NANOS_BETWEEN_LINES || soFar == steps) {
            lastLine = now;
            out.println(String.format(
                    Locale.ROOT,
                    "%s %3d%% %d/%d steps, %s%s",
                    task,
                    100 * soFar / steps,
                    soFar,
                    steps,
                    state,
                    timeLeft().map(left -> ", " + clock(left) + " left").orElse("")));
            out.flush();
        }
    }

    private Optional<Duration> timeLeft() {
        double seconds = (nanos.getAsLong() - start) / 1e9;
        return done == first
                ? Optional.empty()
                : Optional.of(Duration.ofMillis(Math.round(1e3 * seconds * (steps - done) / (done - first))));
    }

    private static String clock(Duration time) {
        return String.format(Locale.ROOT, "%d:%02d", time.toMinutes(), time.toSecondsPart());
    }

    @Override
    public void close() {
        if (bar != null) {
            bar.close();
        }
    }
}
