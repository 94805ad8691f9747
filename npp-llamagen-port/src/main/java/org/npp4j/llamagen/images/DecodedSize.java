package org.npp4j.llamagen.images;

import java.io.IOException;

/** Whether a picture may be decoded, before memory is taken for it. */
final class DecodedSize {
    private DecodedSize() {}

    /**
     * Refuses pictures without pixels, decompression bombs, and what cannot fit into the heap.
     *
     * @param bytesPerPixel what decoding takes at its peak
     */
    static void require(int width, int height, int bytesPerPixel) throws IOException {
        if (width < 1 || height < 1) {
            throw new IOException(
                    "it announces " + width + " x " + height + " pixels; both sides must be at least 1. Get it again");
        }
        long pixels = (long) width * height;
        if (pixels > ImageFile.MAX_PIXELS) {
            throw new IOException("it has " + width + " x " + height + " pixels (width x height), at most "
                    + ImageFile.MAX_PIXELS + " in all are read. Make it smaller");
        }
        long needed = pixels * bytesPerPixel;
        // what else is in the heap must fit too
        long heap = Runtime.getRuntime().maxMemory() / 4 * 3;
        if (needed > heap) {
            throw new IOException("decoding its " + width + " x " + height + " pixels (width x height) takes "
                    + needed / (1 << 20) + " MiB, more than three quarters of the Java heap, " + heap / (1 << 20)
                    + " MiB. Allow more with -Xmx, or make the picture smaller");
        }
    }
}
