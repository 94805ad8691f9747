package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.Raster;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class PngSheetTest {
    @TempDir
    Path folder;

    /** Draws image by image onto the background and compares with what is read back from the file. */
    @Test
    void picturesEqualAPlainDrawing() throws IOException {
        Random random = new Random(1);
        for (int trial = 0; trial < 40; trial++) {
            int channels = random.nextBoolean() ? 1 : 3;
            int count = 1 + random.nextInt(7);
            int height = 1 + random.nextInt(4);
            int width = 1 + random.nextInt(4);
            int columns = 1 + random.nextInt(5);
            int gap = random.nextInt(3);
            int scale = 1 + random.nextInt(3);
            byte[] pixels = new byte[count * channels * height * width];
            random.nextBytes(pixels);
            PixelImages images = new PixelImages(count, channels, height, width, pixels);
            PngSheet sheet = new PngSheet.Builder()
                    .columns(columns)
                    .gap(gap)
                    .scale(scale)
                    .background(77)
                    .build();

            int across = Math.min(columns, count);
            int down = (int) Math.ceil(count / (double) across);
            int[][][] expected =
                    new int[channels][down * (height * scale + gap) - gap][across * (width * scale + gap) - gap];
            for (int[][] plane : expected) {
                for (int[] row : plane) {
                    java.util.Arrays.fill(row, 77);
                }
            }
            for (int i = 0; i < count; i++) {
                int top = i / across * (height * scale + gap);
                int left = i % across * (width * scale + gap);
                for (int c = 0; c < channels; c++) {
                    for (int y = 0; y < height * scale; y++) {
                        for (int x = 0; x < width * scale; x++) {
                            expected[c][top + y][left + x] = images.pixel(i, c, y / scale, x / scale);
                        }
                    }
                }
            }

            Path file = folder.resolve("sheet.png");
            sheet.write(file, images);
            assertArrayEquals(sheet.toPng(images), Files.readAllBytes(file));
            Raster read =
                    ImageIO.read(new ByteArrayInputStream(sheet.toPng(images))).getRaster();
            assertEquals(channels, read.getNumBands());
            for (int c = 0; c < channels; c++) {
                int[][] found = new int[read.getHeight()][];
                for (int y = 0; y < found.length; y++) {
                    found[y] = read.getSamples(0, y, read.getWidth(), 1, c, (int[]) null);
                }
                assertArrayEquals(expected[c], found);
            }
        }
    }

    @Test
    void wrongArgumentsAndFailingFiles() throws IOException {
        PngSheet sheet = new PngSheet.Builder().build();
        PixelImages grey = new PixelImages(1, 1, 2, 2, new byte[4]);
        assertMessage("got columns 0", () -> new PngSheet.Builder().columns(0).build());
        assertMessage(
                "background 256", () -> new PngSheet.Builder().background(256).build());
        assertMessage("at least one image", () -> sheet.toPng(grey.range(0, 0)));
        assertMessage("(1 channel) or RGB", () -> sheet.toPng(new PixelImages(1, 2, 1, 2, new byte[4])));
        assertMessage(
                "too large", () -> new PngSheet.Builder().scale(1 << 30).build().toPng(grey));
        assertMessage(
                "too large", () -> new PngSheet.Builder().scale(40_000).build().toPng(grey));
        Files.write(folder.resolve("file"), new byte[1]);
        assertThrows(IOException.class, () -> sheet.write(folder.resolve("file").resolve("sheet.png"), grey));
    }

    private static void assertMessage(String part, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }
}
