package org.npp4j.samples.bench;

import java.util.Locale;
import java.util.function.Supplier;

/** The jobs of {@code npp bench}. */
public enum Job {
    /** Training steps. */
    TRAIN(TrainBenchmark::new, 4),
    /** Sampling with a key/value cache, position by position. */
    SAMPLE(SampleBenchmark::new, 4),
    /** The loss and its gradient with respect to logits. */
    LOSS(LossBenchmark::new, 50);

    private final Supplier<Benchmark> benchmark;
    private final int steps;

    Job(Supplier<Benchmark> benchmark, int steps) {
        this.benchmark = benchmark;
        this.steps = steps;
    }

    /** {@return what does the job} */
    public Benchmark benchmark() {
        return benchmark.get();
    }

    /** {@return steps that count if the user does not say} */
    public int steps() {
        return steps;
    }

    /** The name on the command line. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
