package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalLong;
import java.util.function.LongSupplier;
import org.bytedeco.javacpp.Pointer;

/**
 * The largest resident memory of this process. Linux keeps it (VmHWM in /proc/self/status); elsewhere a thread samples
 * it twice a second, from construction to close.
 */
final class PeakMemory implements AutoCloseable {
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final long SAMPLING_MILLIS = 500;

    private final Path status;
    private final LongSupplier residentBytes;
    private final Thread sampler;
    private volatile long sampledPeak;

    PeakMemory() {
        this(STATUS, Pointer::physicalBytes);
    }

    PeakMemory(Path status, LongSupplier residentBytes) {
        this.status = status;
        this.residentBytes = residentBytes;
        if (highWaterMark(status).isPresent()) {
            sampler = null;
        } else {
            sample();
            sampler = new Thread(this::sampleUntilInterrupted, "peak-memory");
            sampler.setDaemon(true);
            sampler.start();
        }
    }

    /** {@return the peak so far in GiB} */
    double gib() {
        if (sampler != null) {
            sample();
        }
        return highWaterMark(status).orElse(sampledPeak) / (double) (1L << 30);
    }

    @Override
    public void close() {
        if (sampler != null) {
            sampler.interrupt();
        }
    }

    private void sampleUntilInterrupted() {
        try {
            while (true) {
                Thread.sleep(SAMPLING_MILLIS);
                sample();
            }
        } catch (InterruptedException e) {
            // Closed.
        }
    }

    private synchronized void sample() {
        sampledPeak = Math.max(sampledPeak, residentBytes.getAsLong());
    }

    private static OptionalLong highWaterMark(Path status) {
        try {
            for (String line : Files.readAllLines(status)) {
                if (line.startsWith("VmHWM:")) {
                    // "VmHWM:	  123456 kB"
                    return OptionalLong.of(Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024);
                }
            }
        } catch (IOException | NumberFormatException e) {
            // Not Linux.
        }
        return OptionalLong.empty();
    }
}
