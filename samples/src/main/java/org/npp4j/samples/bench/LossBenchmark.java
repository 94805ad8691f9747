package org.npp4j.samples.bench;

import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.losses.impl.PatchTargets;
import org.npp4j.losses.impl.RowOrder;

/**
 * The patch cross-entropy of random logits [B x K, V] against random tokens [B, N], and its gradient in place of the
 * logits, as in a training step. In turn with it a pass that only reads and writes the logits once, by which the memory's
 * speed can be told from the loss's. The first repetitions, which the compiler needs, do not count.
 */
final class LossBenchmark implements Benchmark {
    /** The name of the median time of reading and writing the logits once, in seconds. */
    static final String READ_WRITE = "read_write_s";

    /** The name of how many times as long as that the loss takes. */
    static final String RATIO = "times_read_write";

    private static final int UNCOUNTED = 150;
    private static final long SEED = 1;

    @Override
    public Timings run(ModelSizes sizes, BenchSettings settings, Consumer<String> progress) {
        GptSpec spec = sizes.gpt();
        int patch = spec.grid().requireDividedBy(settings.patch());
        long rows = (long) settings.batch() * spec.grid().tokens() / (patch * patch);
        int vocabulary = spec.vocabulary();
        progress.accept(
                String.format(Locale.ROOT, "Making logits [%d, %d], %d tokens a row", rows, vocabulary, patch * patch));
        INDArray tokens = RandomTokens.of(spec, settings.batch(), SEED);
        INDArray logits = Nd4j.randn(DataType.FLOAT, rows, vocabulary);
        INDArray z = Nd4j.createUninitialized(DataType.FLOAT, rows, vocabulary);
        double[] losses = new double[settings.steps()];
        double[] passes = new double[settings.steps()];
        for (int step = -UNCOUNTED; step < settings.steps(); step++) {
            // Both find the same content, and as much of it in the caches.
            z.assign(logits);
            long start = System.nanoTime();
            new PatchTargets(tokens, null, spec.grid(), rows, vocabulary, RowOrder.BATCH_MAJOR).replaceByGradient(z);
            double loss = (System.nanoTime() - start) / 1e9;
            z.assign(logits);
            start = System.nanoTime();
            z.muli(-1);
            double pass = (System.nanoTime() - start) / 1e9;
            if (step >= 0) {
                losses[step] = loss;
                passes[step] = pass;
            }
        }
        Map<String, Double> more = new LinkedHashMap<>();
        more.put(READ_WRITE, Timings.median(passes));
        more.put(RATIO, Timings.median(losses) / Timings.median(passes));
        return new Timings(losses, "rows", rows, more);
    }
}
