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

/** Shows how a long piece of work goes: share, time left. A bar on a terminal, otherwise a plain line every ten seconds. */
final class WorkProgress implements AutoCloseable {
    private static final long NANOS_BETWEEN_LINES = 10_000_000_000L;
    private static final int BAR_MILLIS = 250;
    private static final int STEPS = 1000;

    private final String task;
    private final PrintStream out;
    private final LongSupplier nanos;
    private final ProgressBar bar;
    private final long start;
    private long lastLine;
    private volatile double done;

    /**
     * Progress on standard error, as a bar if that is a terminal.
     *
     * @param task what is done, in a word or two
     */
    WorkProgress(String task) {
        this(task, System.err, Terminal.isInteractive(), System::nanoTime);
    }

    WorkProgress(String task, PrintStream out, boolean interactive, LongSupplier nanos) {
        this.task = task;
        this.out = out;
        this.nanos = nanos;
        start = nanos.getAsLong();
        lastLine = start;
        bar = interactive ? bar() : null;
    }

    private ProgressBar bar() {
        return new ProgressBarBuilder()
                .setTaskName(task)
                .setInitialMax(STEPS)
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(BAR_MILLIS)
                .setConsumer(new ConsoleProgressBarConsumer(out))
                .setEtaFunction(state -> timeLeft())
                .build();
    }

    /**
     * Reports work.
     *
     * @param share of all of it that is done, 0 to 1
     */
    void update(double share) {
        done = share;
        long now = nanos.getAsLong();
        if (bar != null) {
            bar.stepTo(Math.round(STEPS * share));
        } else if (now - lastLine >= NANOS_BETWEEN_LINES) {
            lastLine = now;
            out.println(String.format(Locale.ROOT, "%s %.0f %%", task, 100 * share)
                    + timeLeft().map(left -> ", " + clock(left) + " left").orElse(""));
            out.flush();
        }
    }

    private Optional<Duration> timeLeft() {
        double seconds = (nanos.getAsLong() - start) / 1e9;
        return done == 0
                ? Optional.empty()
                : Optional.of(Duration.ofMillis(Math.round(1e3 * seconds * (1 - done) / done)));
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
