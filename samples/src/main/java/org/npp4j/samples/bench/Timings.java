package org.npp4j.samples.bench;

import java.util.Arrays;

/**
 * The times of a job's repetitions.
 *
 * @param seconds of each repetition
 * @param unit what is counted: images, tokens
 * @param perRepetition how many of them one repetition makes
 */
public record Timings(double[] seconds, String unit, int perRepetition) {
    /** {@return the median in seconds} */
    public double median() {
        double[] sorted = seconds.clone();
        Arrays.sort(sorted);
        int half = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[half] : (sorted[half - 1] + sorted[half]) / 2;
    }

    /** {@return the least in seconds} */
    public double least() {
        return Arrays.stream(seconds).min().orElseThrow();
    }

    /** {@return units a second at the median} */
    public double perSecond() {
        return perRepetition / median();
    }
}
