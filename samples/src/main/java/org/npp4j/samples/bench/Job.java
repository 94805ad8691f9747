package org.npp4j.samples.bench;

import java.util.Locale;

/** The jobs of {@code npp bench}. */
public enum Job {
    /** Training steps. */
    TRAIN(new TrainBenchmark()),
    /** Sampling with a key/value cache, position by position. */
    SAMPLE(new SampleBenchmark());

    private final Benchmark benchmark;

    Job(Benchmark benchmark) {
        this.benchmark = benchmark;
    }

    /** {@return what does the job} */
    public Benchmark benchmark() {
        return benchmark;
    }

    /** The name on the command line. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
