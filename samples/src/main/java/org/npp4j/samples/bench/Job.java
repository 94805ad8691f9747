package org.npp4j.samples.bench;

import java.util.Locale;
import java.util.function.Supplier;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.tokenizer.VqConfig;

/** The jobs of {@code npp bench}. */
public enum Job {
    /** Training steps. */
    TRAIN(TrainBenchmark::new, Model.GPT, 4),
    /** Sampling with a key/value cache, position by position. */
    SAMPLE(SampleBenchmark::new, Model.GPT, 4),
    /** The loss and its gradient with respect to logits. */
    LOSS(LossBenchmark::new, Model.GPT, 50),
    /** Images to codes. */
    ENCODE(() -> new TokenizerBenchmark(true), Model.TOKENIZER, 4),
    /** Codes to images. */
    DECODE(() -> new TokenizerBenchmark(false), Model.TOKENIZER, 4);

    private enum Model {
        GPT,
        TOKENIZER
    }

    private final Supplier<Benchmark> benchmark;
    private final Model model;
    private final int steps;

    Job(Supplier<Benchmark> benchmark, Model model, int steps) {
        this.benchmark = benchmark;
        this.model = model;
        this.steps = steps;
    }

    /** {@return what does the job} */
    public Benchmark benchmark() {
        return benchmark.get();
    }

    /** {@return the published model if the user does not say} */
    public String model() {
        return model == Model.GPT ? "GPT-B" : "VQ-16";
    }

    /** {@return images at a time if the user does not say} */
    public int batch() {
        return model == Model.GPT ? 4 : 2;
    }

    /** {@return steps that count if the user does not say} */
    public int steps() {
        return steps;
    }

    boolean isOfTokenizer() {
        return model == Model.TOKENIZER;
    }

    /**
     * Refuses a model that it cannot run.
     *
     * @param name of a published model
     * @throws IllegalArgumentException if there is no such model for this job
     */
    void requireModel(String name) {
        if (model == Model.GPT) {
            GptSize.named(name);
        } else {
            VqConfig.named(name);
        }
    }

    /**
     * The sizes of what it runs.
     *
     * @param settings how much to do
     * @return the sizes
     */
    ModelSizes sizes(BenchSettings settings) {
        return model == Model.GPT ? ModelSizes.of(settings.spec()) : ModelSizes.of(VqConfig.named(settings.model()));
    }

    /** The name on the command line. */
    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
