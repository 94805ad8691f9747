package org.npp4j.samples.bench;

import java.util.Arrays;
import java.util.Map;

/**
 * The times of a job's repetitions.
 *
 * @param seconds of each repetition
 * @param unit what is counted: images, tokens, rows
 * @param perRepetition how many of them one repetition makes
 * @param more further figures of this job, by the names that they have in the line of JSON
 */
public record Timings(double[] seconds, String unit, long perRepetition, Map<String, Double> more) {
    /**
     * Without further figures.
     *
     * @param seconds of each repetition
     * @param unit what is counted
     * @param perRepetition how many of them one repetition makes
     */
    public Timings(double[] seconds, String unit, long perRepetition) {
        this(seconds, unit, perRepetition, Map.of());
    }

    /** {@return the median in seconds} */
    public double median() {
        return median(seconds);
    }

    /** {@return the least in seconds} */
    public double least() {
        return Arrays.stream(seconds).min().orElseThrow();
    }

    /** {@return units a second at the median} */
    public double perSecond() {
        return perRepetition / median();
    }

    static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }
}
