package org.npp4j.llamagen.images;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Reads the binary files of CIFAR-10: for each image a label byte, then 3072 bytes, a plane of 32 x 32 pixels each of red,
 * green and blue.
 *
 * <p>Source: Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009).
 */
public final class CifarFile {
    private static final int SIDE = 32;
    private static final int CLASSES = 10;
    private static final int PIXELS = 3 * SIDE * SIDE;
    private static final int RECORD = 1 + PIXELS;

    private CifarFile() {}

    /**
     * Reads a file.
     *
     * @param file such as data_batch_1.bin
     * @return its images [B, 3, 32, 32] and classes in file order
     * @throws IOException if it cannot be read, or is no such file
     */
    public static LabelledImages read(Path file) throws IOException {
        long size = Files.size(file);
        if (size == 0 || size % RECORD != 0 || size > Integer.MAX_VALUE - 8) {
            throw new IOException(file + " is no binary file of CIFAR-10: it has " + size
                    + " bytes, which is no multiple of " + RECORD + ", the bytes of a label and an image");
        }
        byte[] records = Files.readAllBytes(file);
        int count = records.length / RECORD;
        int[] labels = new int[count];
        byte[] pixels = new byte[count * PIXELS];
        for (int i = 0; i < count; i++) {
            labels[i] = records[i * RECORD] & 0xff;
            if (labels[i] >= CLASSES) {
                throw new IOException(file + " is no binary file of CIFAR-10: image " + i + " has the label "
                        + labels[i] + ", labels are 0 to " + (CLASSES - 1));
            }
            System.arraycopy(records, i * RECORD + 1, pixels, i * PIXELS, PIXELS);
        }
        return new LabelledImages(new PixelImages(count, 3, SIDE, SIDE, pixels), labels);
    }
}
