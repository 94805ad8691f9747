package org.npp4j.samples.bench;

import java.util.function.Consumer;

/** A job whose repetitions are timed. */
@FunctionalInterface
public interface Benchmark {
    /**
     * Does the job.
     *
     * @param sizes of the model
     * @param settings how much to do
     * @param progress told in a line what has been done
     * @return the times of the repetitions that count
     * @throws IllegalArgumentException if a setting does not fit the model
     */
    Timings run(ModelSizes sizes, BenchSettings settings, Consumer<String> progress);
}
