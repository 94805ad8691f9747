package org.npp4j.samples.bench;

import java.util.Locale;
import java.util.Random;
import java.util.function.Consumer;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;

/**
 * Images to codes, or codes to images, with a VQ tokenizer of random weights. A repetition is one batch; the first, which
 * learns the sizes of workspaces, does not count.
 */
final class TokenizerBenchmark implements Benchmark {
    private static final long SEED = 1;

    private final boolean encode;

    /**
     * A job.
     *
     * @param encode images to codes; else codes to images
     */
    TokenizerBenchmark(boolean encode) {
        this.encode = encode;
    }

    @Override
    public Timings run(ModelSizes sizes, BenchSettings settings, Consumer<String> progress) {
        VqConfig config = sizes.tokenizer();
        int side = Math.multiplyExact(settings.grid(), config.downsampling());
        progress.accept(String.format(Locale.ROOT, "Making a %s for images of %d x %d", config, side, side));
        VqTokenizer tokenizer = VqTokenizer.random(config, side, side, SEED);
        Random random = new Random(SEED);
        byte[] pixels = new byte[Math.multiplyExact(settings.batch(), 3 * side * side)];
        random.nextBytes(pixels);
        PixelImages images = new PixelImages(settings.batch(), 3, side, side, pixels);
        TokenGrid grid = tokenizer.grid();
        int[][] codes = new int[settings.batch()][];
        for (int image = 0; image < codes.length; image++) {
            codes[image] = random.ints(grid.tokens(), 0, tokenizer.vocabulary()).toArray();
        }
        double[] seconds = new double[settings.steps()];
        for (int step = 0; step <= settings.steps(); step++) {
            long start = System.nanoTime();
            if (encode) {
                tokenizer.encode(images);
            } else {
                tokenizer.decode(codes);
            }
            double time = (System.nanoTime() - start) / 1e9;
            progress.accept(String.format(
                    Locale.ROOT,
                    "Batch %d of %d: %.3f s%s",
                    step,
                    settings.steps(),
                    time,
                    step == 0 ? ", which does not count" : ""));
            if (step > 0) {
                seconds[step - 1] = time;
            }
        }
        return new Timings(seconds, "images", settings.batch());
    }
}
