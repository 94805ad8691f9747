package org.npp4j.samples.bench;

import java.util.Locale;
import java.util.Random;
import java.util.function.Consumer;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;

/**
 * Greedy sampling of a batch with guidance and key/value cache. A repetition is the time from one position's tokens to the
 * next's; the first two, the prefill and the first decoded token, do not count. Stops when enough are timed.
 */
final class SampleBenchmark implements Benchmark {
    private static final int UNCOUNTED = 2;
    private static final long SEED = 1;

    /** Ends a generation early. */
    private static final class Enough extends RuntimeException {
        private static final long serialVersionUID = 1L;

        Enough() {
            super(null, null, false, false);
        }
    }

    @Override
    public Timings run(ModelSizes sizes, BenchSettings settings, Consumer<String> progress) {
        GptSpec spec = sizes.gpt();
        int positions = settings.tokens() + 1;
        if (positions > spec.grid().tokens()) {
            throw new IllegalArgumentException("--tokens must be at most "
                    + (spec.grid().tokens() - 1) + ", one less than an image has, but is " + settings.tokens());
        }
        progress.accept(
                String.format(Locale.ROOT, "Making a model of %.0f million parameters", spec.parameters() / 1e6));
        Guidance guidance = settings.cfg() > 1 ? Guidance.of(settings.cfg()) : Guidance.NONE;
        int[] classes =
                new Random(SEED).ints(settings.batch(), 0, spec.classes()).toArray();
        double[] seconds = new double[positions - UNCOUNTED];
        try (GptDecoder decoder = new GptDecoder(LlamaGen.of(spec).seed(SEED).init())) {
            long[] last = {System.nanoTime()};
            decoder.generate(classes, guidance, TokenSamplers.greedy(), done -> {
                long now = System.nanoTime();
                if (done > UNCOUNTED) {
                    seconds[done - UNCOUNTED - 1] = (now - last[0]) / 1e9;
                }
                if (done % 16 == 0) {
                    progress.accept(String.format(
                            Locale.ROOT, "Position %d of %d: %.4f s", done, positions, (now - last[0]) / 1e9));
                }
                if (done == positions) {
                    throw new Enough();
                }
                last[0] = System.nanoTime();
            });
        } catch (Enough e) {
            // as planned
        }
        return new Timings(seconds, "tokens", settings.batch());
    }
}
