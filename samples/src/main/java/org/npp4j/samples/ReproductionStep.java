package org.npp4j.samples;

import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * A step of a reproduction: one command.
 *
 * @param name what it does
 * @param arguments the command and its options
 * @param state whether it can run
 * @param why of the state: what is missing, what is there already; empty if there is nothing to say
 * @param prediction what it costs
 */
record ReproductionStep(String name, List<String> arguments, State state, String why, Prediction prediction) {
    /** Whether a step can run. */
    enum State {
        /** All it needs is there. */
        READY,
        /** Something is missing. */
        WAITS,
        /** Its result is there, or nothing needs it. */
        DONE
    }

    /**
     * What a step costs.
     *
     * @param operations of floating-point numbers
     * @param seconds on this device; NaN if that was not measured
     * @param memoryGib largest resident memory
     * @param diskGib what it writes
     */
    record Prediction(double operations, double seconds, double memoryGib, double diskGib) {
        private static final double TERA = 1e12;

        @Override
        public String toString() {
            return String.format(
                    Locale.ROOT,
                    "%s TFLOP, %s, %.1f GiB of memory, %.1f GiB of disk",
                    operations < 100 * TERA
                            ? String.format(Locale.ROOT, "%.3g", operations / TERA)
                            : String.format(Locale.ROOT, "%,.0f", operations / TERA),
                    Double.isNaN(seconds) ? "time not measured" : words(seconds),
                    memoryGib,
                    diskGib);
        }

        /** A time to two digits or so. */
        static String words(double seconds) {
            Duration time = Duration.ofMillis(Math.round(1e3 * seconds));
            if (time.toHours() >= 48) {
                return String.format(Locale.ROOT, "about %,.0f days", seconds / 86_400);
            }
            if (time.toMinutes() >= 100) {
                return String.format(Locale.ROOT, "about %.0f hours", seconds / 3600);
            }
            return time.toSeconds() >= 100
                    ? String.format(Locale.ROOT, "about %.0f minutes", seconds / 60)
                    : String.format(Locale.ROOT, "about %.0f s", seconds);
        }

        Map<String, Object> toMap() {
            Map<String, Object> map = new LinkedHashMap<>();
            map.put("operations", operations);
            map.put("seconds", Double.isNaN(seconds) ? null : seconds);
            map.put("memory_gib", memoryGib);
            map.put("disk_gib", diskGib);
            return map;
        }
    }

    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("step", name);
        map.put("command", NppRunner.shown(arguments));
        map.put("state", state.name().toLowerCase(Locale.ROOT));
        map.put("why", why);
        map.put("prediction", prediction.toMap());
        return map;
    }
}
