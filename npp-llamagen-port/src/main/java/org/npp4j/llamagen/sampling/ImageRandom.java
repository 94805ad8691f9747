package org.npp4j.llamagen.sampling;

import java.util.SplittableRandom;

/** Random numbers of one image of a run: they depend on the seed and on the image's index alone. */
public final class ImageRandom {
    private ImageRandom() {}

    /**
     * The generator of an image. Those of other images, other seeds and other purposes are unrelated to it.
     *
     * @param seed of the run
     * @param image index of the image in the run
     * @param purpose what the numbers are for: two uses for one image must not draw the same ones
     * @return a generator at its beginning
     */
    public static SplittableRandom of(long seed, long image, String purpose) {
        // each part is spread over all bits before the next comes in: neighbours must not overlap
        return new SplittableRandom(spread(spread(seed + purpose.hashCode()) + image));
    }

    /** The finalizer of SplitMix64: a bijection. */
    private static long spread(long bits) {
        long z = bits + 0x9E3779B97F4A7C15L;
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }
}
