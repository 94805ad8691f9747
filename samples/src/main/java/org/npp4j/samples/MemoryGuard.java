package org.npp4j.samples;

import com.sun.management.OperatingSystemMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.bytedeco.javacpp.Pointer;

/**
 * Ends the program with an explanation before the system runs out of memory and kills it without one.
 *
 * <p>ND4J's arrays live outside the Java heap, and JavaCPP's limit ({@code maxbytes}) does not count them; its limit on
 * resident memory is looked up at every allocation, which costs 5 % of a small model's training. So a thread looks twice a
 * second. Above the limit it has garbage collected; if that does not help, the program ends.
 *
 * <p>The limit is {@value #PERCENT} % of the machine's memory, or of the container's if that is less; the system property
 * {@value #LIMIT} sets another, such as 12g, and 0 none. It is no reservation.
 */
final class MemoryGuard {
    /** System property of the limit. */
    static final String LIMIT = "npp.memory";

    static final int PERCENT = 90;
    private static final Path STATUS = Path.of("/proc/self/status");
    private static final long INTERVAL_MILLIS = 500;
    /** Collections that may each free a part: memory goes back some time after the collector has found it. */
    private static final int TRIES = 4;

    private final long limitBytes;
    private final LongSupplier residentBytes;
    private final Runnable collect;
    private final Consumer<String> stop;
    private int triesLeft = TRIES;

    /**
     * A guard, which does nothing by itself.
     *
     * @param limitBytes the limit
     * @param residentBytes what the process takes
     * @param collect frees garbage
     * @param stop told why the program must end
     */
    MemoryGuard(long limitBytes, LongSupplier residentBytes, Runnable collect, Consumer<String> stop) {
        this.limitBytes = limitBytes;
        this.residentBytes = residentBytes;
        this.collect = collect;
        this.stop = stop;
    }

    /**
     * Watches this process from now on.
     *
     * @param stop told why the program must end; runs in a thread of its own and must end it
     * @throws IllegalArgumentException if the limit that the user set cannot be read
     */
    static void start(Consumer<String> stop) {
        long limit = limitBytes(System.getProperty(LIMIT), machineBytes());
        if (limit <= 0) {
            return;
        }
        MemoryGuard guard = new MemoryGuard(limit, () -> residentBytes(STATUS), System::gc, stop);
        Thread thread = new Thread(guard::watch, "memory-guard");
        thread.setDaemon(true);
        thread.start();
    }

    private void watch() {
        try {
            do {
                Thread.sleep(INTERVAL_MILLIS);
            } while (check());
        } catch (InterruptedException e) {
            // nobody needs the guard any more
        }
    }

    /** {@return whether the program may go on} */
    boolean check() {
        long resident = residentBytes.getAsLong();
        if (resident <= limitBytes) {
            triesLeft = TRIES;
            return true;
        }
        if (triesLeft-- > 0) {
            collect.run();
            return true;
        }
        stop.accept("Out of memory: the program takes " + gib(resident) + ", and its limit is " + gib(limitBytes)
                + ", by default " + PERCENT + " % of what the machine or container has. " + ADVICE);
        return false;
    }

    /** What to do, in a message about too little memory. */
    static final String ADVICE = "Use a smaller batch or model, or a machine with more memory. Another limit:"
            + " NPP_JAVA_OPTS=-D" + LIMIT + "=12g ./npp ..";

    /**
     * The limit in bytes.
     *
     * @param property what the user set, or null
     * @param machineBytes memory of the machine or container, 0 if unknown
     * @return the limit, 0 for none
     */
    static long limitBytes(String property, long machineBytes) {
        if (property == null) {
            return machineBytes / 100 * PERCENT;
        }
        try {
            return Pointer.parseBytes(property, 1);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                    "-D" + LIMIT + " is an amount of memory such as 900m or 12g, or 0 for no limit, but is " + property,
                    e);
        }
    }

    /** {@return the memory of the machine or container, 0 if unknown} */
    static long machineBytes() {
        return ManagementFactory.getOperatingSystemMXBean() instanceof OperatingSystemMXBean system
                ? system.getTotalMemorySize()
                : 0;
    }

    /** {@return what this process takes} */
    static long residentBytes() {
        return residentBytes(STATUS);
    }

    /** Without the pages of mapped files where the system tells, because it can drop those. */
    static long residentBytes(Path status) {
        try {
            for (String line : Files.readAllLines(status)) {
                if (line.startsWith("RssAnon:")) {
                    // "RssAnon:	  123456 kB"
                    return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
                }
            }
        } catch (IOException | NumberFormatException e) {
            // not Linux
        }
        return Pointer.physicalBytes();
    }

    private static String gib(long bytes) {
        return String.format(Locale.ROOT, "%.1f GiB", bytes / (double) (1L << 30));
    }
}
