package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.images.IdxFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;

/** A training and a test set of random images of three classes, as files, and a codebook that makes 16 tokens of each. */
record RandomImageFiles(Path folder, Path codebook) {
    static final int SIDE = 8;
    static final int CLASSES = 3;

    /** Writes both sets into {@code data} and the codebook beside it. */
    static RandomImageFiles write(Path parent, int trainImages, int testImages) throws IOException {
        Path data = Files.createDirectories(parent.resolve("data"));
        write(data, "train", trainImages, 1);
        write(data, "t10k", testImages, 2);
        Path codebook = parent.resolve("codebook.json");
        byte[] codes = new byte[9 * 4];
        new Random(1).nextBytes(codes);
        new BlockCodebook(TokenGrid.of(4, 4), 2, 1, SIDE, SIDE, 0, codes).save(codebook);
        return new RandomImageFiles(data, codebook);
    }

    private static void write(Path data, String prefix, int count, long seed) throws IOException {
        byte[] pixels = new byte[count * SIDE * SIDE];
        new Random(seed).nextBytes(pixels);
        int[] labels = new int[count];
        Arrays.setAll(labels, i -> i % CLASSES);
        IdxFile.writeImages(
                data.resolve(prefix + "-images-idx3-ubyte.gz"), new PixelImages(count, 1, SIDE, SIDE, pixels));
        IdxFile.writeLabels(data.resolve(prefix + "-labels-idx1-ubyte.gz"), labels);
    }
}
