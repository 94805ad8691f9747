package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Test;
import org.npp4j.llamagen.files.NpzFile;

class PillowResamplingTest {
    @Test
    void resizesAsPillowDoes() throws IOException {
        int cases = 0;
        try (NpzFile golden = NpzFile.open(GoldenImages.file("crops.npz"))) {
            for (String name : golden.names()) {
                String[] parts = name.split("\\.");
                if (parts[1].startsWith("B")) {
                    PixelImages picture = GoldenImages.planar(golden.array(parts[0] + ".picture"));
                    PixelImages resized = PillowResampling.valueOf(parts[1])
                            .resize(picture, Integer.parseInt(parts[2]), Integer.parseInt(parts[3]));
                    assertEquals(GoldenImages.planar(golden.array(name)), resized, name);
                    cases++;
                }
            }
        }
        assertEquals(60, cases);
    }

    /** Every pixel as a weighted mean along its row, then its column, with weights from the formula. */
    @Test
    void equalsTheFormula() {
        Random random = new Random(5);
        for (int trial = 0; trial < 150; trial++) {
            int count = 1 + random.nextInt(2);
            int channels = 1 + random.nextInt(3);
            PixelImages images = random(random, count, channels, 1 + random.nextInt(25), 1 + random.nextInt(25));
            int height = 1 + random.nextInt(30);
            int width = 1 + random.nextInt(30);
            for (PillowResampling filter : PillowResampling.values()) {
                PixelImages resized = filter.resize(images, height, width);
                boolean box = filter == PillowResampling.BOX;
                DoubleUnaryOperator f = box ? PillowResamplingTest::box : PillowResamplingTest::cubic;
                long[][] across = weights(images.width(), width, box ? 0.5 : 2, f);
                long[][] down = weights(images.height(), height, box ? 0.5 : 2, f);
                for (int i = 0; i < count; i++) {
                    for (int c = 0; c < channels; c++) {
                        assertPlane(images, resized, i, c, across, down);
                    }
                }
            }
        }
    }

    private static void assertPlane(PixelImages in, PixelImages out, int i, int c, long[][] across, long[][] down) {
        int[][] narrow = new int[in.height()][across.length];
        for (int y = 0; y < in.height(); y++) {
            for (int x = 0; x < across.length; x++) {
                long sum = 0;
                for (int k = 0; k < in.width(); k++) {
                    sum += across[x][k] * in.pixel(i, c, y, k);
                }
                narrow[y][x] = rounded(sum);
            }
        }
        for (int y = 0; y < down.length; y++) {
            for (int x = 0; x < across.length; x++) {
                long sum = 0;
                for (int k = 0; k < in.height(); k++) {
                    sum += down[y][k] * narrow[k][x];
                }
                assertEquals(rounded(sum), out.pixel(i, c, y, x), in + " -> " + out + " at " + y + ", " + x);
            }
        }
    }

    private static int rounded(long sum) {
        return (int) Math.max(0, Math.min(255, Math.floorDiv(sum + (1 << 21), 1 << 22)));
    }

    private static long[][] weights(int in, int out, double support, DoubleUnaryOperator f) {
        double s = (double) in / out;
        double t = Math.max(s, 1);
        long[][] weights = new long[out][in];
        for (int i = 0; i < out; i++) {
            double[] exact = new double[in];
            double sum = 0;
            // where rounding decides whether a pixel lies on the edge of a box
            double centre = (i + 0.5) * s;
            int first = (int) Math.max(0, Math.floor(centre - support * t + 0.5));
            int end = (int) Math.min(in, Math.floor(centre + support * t + 0.5));
            for (int j = first; j < end; j++) {
                exact[j] = f.applyAsDouble((j - (i + 0.5) * s + 0.5) * (1 / t));
                sum += exact[j];
            }
            for (int j = 0; j < in; j++) {
                double weight = exact[j] / sum * (1 << 22);
                weights[i][j] = (long) (weight + Math.copySign(0.5, weight));
            }
        }
        return weights;
    }

    private static double box(double x) {
        return -0.5 < x && x <= 0.5 ? 1 : 0;
    }

    private static double cubic(double x) {
        double d = Math.abs(x);
        if (d < 1) {
            return (1.5 * d - 2.5) * d * d + 1;
        }
        return d < 2 ? (((d - 5) * d + 8) * d - 4) * -0.5 : 0;
    }

    @Test
    void aWindowIsThatPartOfTheWhole() {
        Random random = new Random(6);
        for (int trial = 0; trial < 200; trial++) {
            PixelImages images = random(random, 1, 3, 1 + random.nextInt(40), 1 + random.nextInt(40));
            int height = 1 + random.nextInt(40);
            int width = 1 + random.nextInt(40);
            int top = random.nextInt(height);
            int left = random.nextInt(width);
            int rows = 1 + random.nextInt(height - top);
            int columns = 1 + random.nextInt(width - left);
            for (PillowResampling filter : PillowResampling.values()) {
                PixelImages whole = filter.resize(images, height, width);
                PixelImages window = filter.resize(images, height, width, top, left, rows, columns);
                for (int c = 0; c < 3; c++) {
                    for (int y = 0; y < rows; y++) {
                        for (int x = 0; x < columns; x++) {
                            assertEquals(whole.pixel(0, c, top + y, left + x), window.pixel(0, c, y, x));
                        }
                    }
                }
            }
        }
    }

    @Test
    void theSameSizeIsTheSameImage() {
        PixelImages images = random(new Random(7), 2, 3, 13, 17);
        for (PillowResampling filter : PillowResampling.values()) {
            assertEquals(images, filter.resize(images, 13, 17));
        }
    }

    /** A window of a picture that, whole, would take 12 GB. */
    @Test
    void whatLiesOutsideTheWindowTakesNoMemory() {
        PixelImages images = random(new Random(8), 1, 3, 2, 40);
        PixelImages window = PillowResampling.BICUBIC.resize(images, 8_000, 500_000, 4_000, 250_000, 1, 2);
        assertEquals(2, window.width());
    }

    @Test
    void namesWhatIsWrong() {
        PixelImages images = random(new Random(9), 1, 3, 2, 2);
        fails("Cannot resize to 0 x 3", () -> PillowResampling.BOX.resize(images, 0, 3));
        fails("must be at least 1", () -> PillowResampling.BOX.resize(images, 3, -1));
        fails("row -1", () -> PillowResampling.BOX.resize(images, 3, 3, -1, 0, 1, 1));
        fails(
                "A window of 1 x 3 pixels at row 0, column 1 is not within 3 x 3",
                () -> PillowResampling.BOX.resize(images, 3, 3, 0, 1, 1, 3));
        fails("more than 2^31 - 1 bytes", () -> PillowResampling.BOX.resize(images, 30_000, 30_000));
        fails("more than 2^31 - 1 bytes", () -> PillowResampling.BOX.resize(images, 1 << 30, 1 << 30));
    }

    private static void fails(String message, Runnable action) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, action::run);
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    static PixelImages random(Random random, int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        random.nextBytes(pixels);
        if (random.nextBoolean()) {
            for (int i = 0; i < pixels.length; i++) {
                pixels[i] = (byte) (pixels[i] >> 7);
            }
        }
        return new PixelImages(count, channels, height, width, pixels);
    }
}
