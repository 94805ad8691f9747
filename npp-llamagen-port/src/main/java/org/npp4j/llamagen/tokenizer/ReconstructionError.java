package org.npp4j.llamagen.tokenizer;

import java.util.function.UnaryOperator;
import org.npp4j.llamagen.images.PixelImages;

/** How much images change when they are encoded and decoded. */
public final class ReconstructionError {
    /** Bounds the memory of one step. */
    private static final int IMAGES_PER_STEP = 256;

    private ReconstructionError() {}

    /**
     * The mean squared error of all pixels, pixels in [0, 1].
     *
     * @param tokenizer for images of this size
     * @param images at least one; a grey image that comes back in colour is compared with each of its channels
     * @return the error
     * @throws IllegalArgumentException if there are no images, or they have another size than the tokenizer's
     */
    public static double of(ImageTokenizer tokenizer, PixelImages images) {
        return of(tokenizer, images, new CodebookUsage(tokenizer.vocabulary()));
    }

    /**
     * The same, and which codes were chosen.
     *
     * @param tokenizer for images of this size
     * @param images at least one
     * @param usage counts the codes
     * @return the error
     * @throws IllegalArgumentException as {@link #of(ImageTokenizer, PixelImages)}
     */
    public static double of(ImageTokenizer tokenizer, PixelImages images, CodebookUsage usage) {
        return of(
                some -> {
                    int[][] ids = tokenizer.encode(some);
                    usage.add(ids);
                    return tokenizer.decode(ids);
                },
                images);
    }

    /**
     * The mean squared error of all pixels, pixels in [0, 1].
     *
     * @param autoencoder encodes and decodes some images
     * @param images at least one; a grey image that comes back in colour is compared with each of its channels
     * @return the error
     * @throws IllegalArgumentException if there are no images
     */
    public static double of(UnaryOperator<PixelImages> autoencoder, PixelImages images) {
        if (images.count() == 0) {
            throw new IllegalArgumentException("The error of no images is not defined; give at least one");
        }
        long sum = 0;
        long values = 0;
        int plane = images.height() * images.width();
        for (int from = 0; from < images.count(); from += IMAGES_PER_STEP) {
            PixelImages some = images.range(from, Math.min(from + IMAGES_PER_STEP, images.count()));
            PixelImages decoded = autoencoder.apply(some);
            byte[] was = some.toBytes();
            byte[] is = decoded.toBytes();
            int repeats = decoded.channels() / some.channels();
            for (int i = 0; i < is.length; i++) {
                // channel c of a decoded image against channel c / repeats of the original
                int original = i / plane / repeats * plane + i % plane;
                int difference = (was[original] & 0xff) - (is[i] & 0xff);
                sum += difference * difference;
            }
            values += is.length;
        }
        return sum / (double) values / (255.0 * 255.0);
    }
}
