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

/**
 * Shows how drawing goes: images, tokens per second, time left. A bar on a terminal, otherwise a plain line every ten
 * seconds.
 */
final class SamplingProgress implements AutoCloseable {
    private static final long NANOS_BETWEEN_LINES = 10_000_000_000L;
    private static final int BAR_MILLIS = 250;

    private final long tokensPerImage;
    private final long firstImage;
    private final long images;
    private final PrintStream out;
    private final LongSupplier nanos;
    private final ProgressBar bar;
    private final long start;
    private long lastLine;
    private volatile long tokens;

    /**
     * Progress on standard error, as a bar if that is a terminal.
     *
     * @param firstImage images that an earlier run has drawn
     * @param images all images
     * @param tokensPerImage N
     */
    SamplingProgress(long firstImage, long images, long tokensPerImage) {
        this(firstImage, images, tokensPerImage, System.err, Terminal.isInteractive(), System::nanoTime);
    }

    SamplingProgress(
            long firstImage,
            long images,
            long tokensPerImage,
            PrintStream out,
            boolean interactive,
            LongSupplier nanos) {
        this.firstImage = firstImage;
        this.images = images;
        this.tokensPerImage = tokensPerImage;
        this.out = out;
        this.nanos = nanos;
        start = nanos.getAsLong();
        lastLine = start;
        bar = interactive ? bar() : null;
    }

    private ProgressBar bar() {
        return new ProgressBarBuilder()
                .setTaskName("sample")
                .setInitialMax((images - firstImage) * tokensPerImage)
                .setStyle(ProgressBarStyle.ASCII)
                .setUpdateIntervalMillis(BAR_MILLIS)
                .setConsumer(new ConsoleProgressBarConsumer(out))
                .setEtaFunction(state -> timeLeft())
                .build();
    }

    /**
     * Reports tokens.
     *
     * @param tokensSoFar of this run
     */
    void update(long tokensSoFar) {
        tokens = tokensSoFar;
        long now = nanos.getAsLong();
        if (bar != null) {
            bar.setExtraMessage(" " + state());
            bar.stepTo(tokensSoFar);
        } else if (now - lastLine >= NANOS_BETWEEN_LINES) {
            lastLine = now;
            out.println("sample " + state()
                    + timeLeft().map(left -> ", " + clock(left) + " left").orElse(""));
            out.flush();
        }
    }

    /** {@return tokens a second since the start} */
    double tokensPerSecond() {
        return tokens / Math.max(1e-9, seconds());
    }

    /** {@return seconds since the start} */
    double seconds() {
        return (nanos.getAsLong() - start) / 1e9;
    }

    private String state() {
        return String.format(
                Locale.ROOT,
                "%d/%d images, %.1f tokens/s",
                firstImage + tokens / tokensPerImage,
                images,
                tokensPerSecond());
    }

    private Optional<Duration> timeLeft() {
        long left = (images - firstImage) * tokensPerImage - tokens;
        return tokens == 0
                ? Optional.empty()
                : Optional.of(Duration.ofMillis(Math.round(1e3 * seconds() * left / tokens)));
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
