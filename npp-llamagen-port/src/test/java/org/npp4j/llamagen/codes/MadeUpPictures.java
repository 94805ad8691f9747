package org.npp4j.llamagen.codes;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Random;
import javax.imageio.ImageIO;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.tokenizer.BlockCodebook;

/** Class folders of small random pictures, and a tokenizer for crops of 8 x 8 pixels of them. */
final class MadeUpPictures {
    static final int SIZE = 8;
    static final int VOCABULARY = 300;

    private MadeUpPictures() {}

    /** Pictures of one or two dozen pixels a side, PNG and JPEG in turn. */
    static Path write(Path root, int... perClass) throws IOException {
        Random random = new Random(11);
        for (int c = 0; c < perClass.length; c++) {
            Path folder = Files.createDirectories(root.resolve("class " + c));
            for (int i = 0; i < perClass[c]; i++) {
                picture(
                        folder.resolve(String.format("%03d.%s", i, i % 2 == 0 ? "png" : "jpg")),
                        9 + random.nextInt(20),
                        9 + random.nextInt(20),
                        random);
            }
        }
        return root;
    }

    static void picture(Path file, int height, int width, Random random) throws IOException {
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_3BYTE_BGR);
        int colour = random.nextInt(1 << 24);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                image.setRGB(x, y, colour ^ random.nextInt(64) * 0x10101);
            }
        }
        String name = file.toString();
        ImageIO.write(image, name.substring(name.length() - 3), file.toFile());
    }

    /** Cuts a file off in its middle. */
    static void truncate(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        Files.write(file, Arrays.copyOf(bytes, bytes.length / 2));
    }

    /** Codes of 2 x 2 pixels on a 4 x 4 grid, as file. */
    static Path tokenizer(Path file, long seed) throws IOException {
        byte[] codes = new byte[VOCABULARY * 3 * 4];
        Random random = new Random(seed);
        for (int v = 0; v < VOCABULARY; v++) {
            int colour = random.nextInt(1 << 24);
            for (int i = 0; i < 12; i++) {
                codes[12 * v + i] = (byte) (colour >> 8 * (i / 4));
            }
        }
        new BlockCodebook(TokenGrid.of(4, 4), 2, 3, SIZE, SIZE, 0, codes).save(file);
        return file;
    }
}
