package org.npp4j.samples.bench;

import java.util.function.Consumer;
import org.npp4j.llamagen.GptSpec;

/** A job whose repetitions are timed. */
@FunctionalInterface
public interface Benchmark {
    /**
     * Does the job.
     *
     * @param spec the sizes of the model
     * @param settings how much to do
     * @param progress told in a line what has been done
     * @return the times of the repetitions that count
     * @throws IllegalArgumentException if a setting does not fit the model
     */
    Timings run(GptSpec spec, BenchSettings settings, Consumer<String> progress);
}
