package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.images.FashionMnistSmall;
import org.npp4j.llamagen.images.LabelledImages.Split;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook.Settings;

class BlockCodebookTest {
    private static PixelImages train;
    private static PixelImages test;
    private static BlockCodebook codebook;

    @TempDir
    Path folder;

    @BeforeAll
    static void trainOnRealImages() throws IOException {
        train = FashionMnistSmall.load(Split.TRAIN).images();
        test = FashionMnistSmall.load(Split.TEST).images();
        codebook = BlockCodebook.train(train, Settings.defaults());
    }

    private static PixelImages random(long seed, int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        new Random(seed).nextBytes(pixels);
        return new PixelImages(count, channels, height, width, pixels);
    }

    /** Pads, cuts, and compares every block with every code, one pixel at a time. */
    private static int[][] naiveEncode(BlockCodebook book, PixelImages images) {
        int s = book.blockSide();
        int rows = book.grid().getHeight();
        int columns = book.grid().getWidth();
        int top = (rows * s - images.height()) / 2;
        int left = (columns * s - images.width()) / 2;
        byte[] codes = book.codes();
        int values = images.channels() * s * s;
        int[][] ids = new int[images.count()][rows * columns];
        for (int i = 0; i < images.count(); i++) {
            int[][][] canvas = new int[images.channels()][rows * s][columns * s];
            for (int c = 0; c < images.channels(); c++) {
                for (int[] row : canvas[c]) {
                    Arrays.fill(row, book.background());
                }
                for (int y = 0; y < images.height(); y++) {
                    for (int x = 0; x < images.width(); x++) {
                        canvas[c][top + y][left + x] = images.pixel(i, c, y, x);
                    }
                }
            }
            for (int n = 0; n < ids[i].length; n++) {
                long least = Long.MAX_VALUE;
                for (int v = 0; v < book.vocabulary(); v++) {
                    long distance = 0;
                    for (int d = 0; d < values; d++) {
                        int value = canvas[d / (s * s)][n / columns * s + d / s % s][n % columns * s + d % s];
                        int difference = value - (codes[v * values + d] & 0xff);
                        distance += difference * difference;
                    }
                    if (distance < least) {
                        least = distance;
                        ids[i][n] = v;
                    }
                }
            }
        }
        return ids;
    }

    @Test
    void encodingEqualsThePlainLoops() {
        assertEquals(64, codebook.grid().tokens());
        assertEquals(256, codebook.vocabulary());
        assertArrayEquals(naiveEncode(codebook, test), codebook.encode(test));
    }

    @Test
    void encodingEqualsThePlainLoopsOnOtherShapes() {
        Random random = new Random(2);
        for (int trial = 0; trial < 25; trial++) {
            int side = 1 + random.nextInt(4);
            int channels = random.nextBoolean() ? 1 : 3;
            TokenGrid grid = TokenGrid.of(1 + random.nextInt(4), 1 + random.nextInt(4));
            int height = 1 + random.nextInt(grid.getHeight() * side);
            int width = 1 + random.nextInt(grid.getWidth() * side);
            byte[] codes = new byte[(1 + random.nextInt(20)) * channels * side * side];
            random.nextBytes(codes);
            BlockCodebook book = new BlockCodebook(grid, side, channels, height, width, random.nextInt(256), codes);
            PixelImages images = random(trial, 1 + random.nextInt(4), channels, height, width);
            assertArrayEquals(naiveEncode(book, images), book.encode(images), book.toString());
        }
    }

    /** Extreme values in the largest block: sums reach 256 x 255^2 and must still be exact in float. */
    @Test
    void theLargestBlocksAreExact() {
        byte[] codes = new byte[3 * 256];
        Arrays.fill(codes, (byte) 255);
        codes[256] = (byte) 254;
        codes[2 * 256 + 5] = (byte) 253;
        BlockCodebook book = new BlockCodebook(TokenGrid.of(1, 1), 16, 1, 16, 16, 0, codes);
        byte[] pixels = codes.clone();
        assertArrayEquals(new int[][] {{0}, {1}, {2}}, book.encode(new PixelImages(3, 1, 16, 16, pixels)));
    }

    @Test
    void decodingPutsTheCodesInPlace() {
        PixelImages decoded = codebook.decode(codebook.encode(test));
        int[][] ids = codebook.encode(test);
        byte[] codes = codebook.codes();
        assertEquals(test.count(), decoded.count());
        for (int i = 0; i < test.count(); i++) {
            for (int y = 0; y < 28; y++) {
                for (int x = 0; x < 28; x++) {
                    int id = ids[i][(y + 2) / 4 * 8 + (x + 2) / 4];
                    assertEquals(codes[id * 16 + (y + 2) % 4 * 4 + (x + 2) % 4] & 0xff, decoded.pixel(i, 0, y, x));
                }
            }
        }
    }

    @Test
    void imagesMadeOfCodesSurvive() {
        int[][] ids = {codebook.encode(test)[3], codebook.encode(test)[4]};
        BlockCodebook unpadded = new BlockCodebook(codebook.grid(), 4, 1, 32, 32, 0, codebook.codes());
        assertArrayEquals(ids, unpadded.encode(unpadded.decode(ids)));
        assertEquals(0, unpadded.reconstructionError(unpadded.decode(ids)));
    }

    @Test
    void realImagesAreKeptWell() {
        // 200 images are few for 256 codes; on 10,000 the error of unseen images is 0.0068.
        assertTrue(codebook.reconstructionError(train) < 0.006, "train " + codebook.reconstructionError(train));
        assertTrue(codebook.reconstructionError(test) < 0.012, "test " + codebook.reconstructionError(test));
        double sum = 0;
        PixelImages decoded = codebook.decode(codebook.encode(test));
        for (int i = 0; i < test.count(); i++) {
            for (int y = 0; y < 28; y++) {
                for (int x = 0; x < 28; x++) {
                    sum += Math.pow((test.pixel(i, 0, y, x) - decoded.pixel(i, 0, y, x)) / 255.0, 2);
                }
            }
        }
        assertEquals(sum / (test.count() * 784), codebook.reconstructionError(test), 1e-12);
    }

    @Test
    void trainingFallsInEveryRoundAndRepeats() {
        List<Double> errors = new ArrayList<>();
        BlockCodebook again = BlockCodebook.train(train, Settings.defaults(), (iteration, iterations, error) -> {
            assertEquals(errors.size(), iteration);
            assertEquals(20, iterations);
            errors.add(error);
        });
        assertEquals(codebook, again);
        assertEquals(codebook.hashCode(), again.hashCode());
        for (int i = 1; i < errors.size(); i++) {
            assertTrue(errors.get(i) < errors.get(i - 1), errors.toString());
        }
        assertNotEquals(codebook, BlockCodebook.train(train, Settings.defaults().withSeed(1)));
        // All 12,800 blocks were in the sample, so the last error is that of the padded images: 32 x 32 pixels.
        double padded =
                new BlockCodebook(codebook.grid(), 4, 1, 32, 32, 0, codebook.codes()).reconstructionError(pad(train));
        assertEquals(padded, errors.get(errors.size() - 1), 1e-12);
    }

    private static PixelImages pad(PixelImages images) {
        byte[] padded = new byte[images.count() * 32 * 32];
        for (int i = 0; i < images.count(); i++) {
            for (int y = 0; y < 28; y++) {
                for (int x = 0; x < 28; x++) {
                    padded[(i * 32 + y + 2) * 32 + x + 2] = (byte) images.pixel(i, 0, y, x);
                }
            }
        }
        return new PixelImages(images.count(), 1, 32, 32, padded);
    }

    /** The result must not depend on how many threads the parallel loops and the product use. */
    @Test
    void oneThreadGivesTheSame() throws Exception {
        var pool = new java.util.concurrent.ForkJoinPool(1);
        try {
            assertEquals(
                    codebook,
                    pool.submit(() -> BlockCodebook.train(train, Settings.defaults()))
                            .get());
        } finally {
            pool.shutdown();
        }
    }

    @Test
    void doubleAsTheDefaultTypeGivesTheSame() {
        DataType before = Nd4j.defaultFloatingPointType();
        try {
            Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
            assertArrayEquals(naiveEncode(codebook, test.range(0, 5)), codebook.encode(test.range(0, 5)));
        } finally {
            Nd4j.setDefaultDataTypes(before, before);
        }
    }

    @Test
    void asManyCodesAsDifferentBlocksAreLossless() {
        Set<List<Integer>> distinct = new HashSet<>();
        PixelImages few = train.range(0, 3);
        PixelImages canvas = pad(few);
        for (int i = 0; i < 3; i++) {
            for (int n = 0; n < 64; n++) {
                List<Integer> block = new ArrayList<>();
                for (int d = 0; d < 16; d++) {
                    block.add(canvas.pixel(i, 0, n / 8 * 4 + d / 4, n % 8 * 4 + d % 4));
                }
                distinct.add(block);
            }
        }
        BlockCodebook exact = BlockCodebook.train(few, Settings.defaults().withCodes(distinct.size()));
        assertEquals(0, exact.reconstructionError(few));
        assertEquals(few, exact.decode(exact.encode(few)));
        assertMessage(
                "The 192 sampled blocks hold only " + distinct.size() + " different ones, too few for "
                        + (distinct.size() + 1),
                () -> BlockCodebook.train(few, Settings.defaults().withCodes(distinct.size() + 1)));
        assertMessage(
                "only 1 different ones",
                () -> BlockCodebook.train(new PixelImages(9, 1, 28, 28, new byte[9 * 784]), Settings.defaults()));
    }

    @Test
    void asManyCodesAsPointsFindThePoints() {
        byte[] blocks = {0, 0, 0, 10, 20, (byte) 200, (byte) 201};
        for (int seed = 0; seed < 50; seed++) {
            BlockKMeans kMeans = new BlockKMeans(blocks, 1);
            assertEquals(5, kMeans.distinctBlocks());
            byte[] codes = kMeans.train(5, 10, new Random(seed), (i, n, e) -> {});
            Arrays.sort(codes);
            assertArrayEquals(new byte[] {(byte) 200, (byte) 201, 0, 10, 20}, codes);
        }
    }

    /** Codes 1 and 2 have no points: they move to the two points that are coded worst. */
    @Test
    void codesWithoutPointsMove() {
        BlockKMeans kMeans = new BlockKMeans(new byte[] {0, 0, 0, 10, 20, (byte) 200, (byte) 201}, 1);
        int[] squaredDistance = {5 * 5, 5 * 5, 15 * 15, 195 * 195, 196 * 196};
        byte[] means = kMeans.means(new byte[] {5, 100, 101}, new int[5], squaredDistance);
        // (3 x 0 + 10 + 20 + 200 + 201) / 7 = 61.57
        assertArrayEquals(new byte[] {62, (byte) 201, (byte) 200}, means);
    }

    @Test
    void colourAndSampledBlocks() {
        PixelImages images = random(5, 6, 3, 10, 7);
        Settings settings = Settings.defaults()
                .withBlocks(TokenGrid.of(6, 4), 2)
                .withCodes(8)
                .withEffort(5, 40);
        BlockCodebook book = BlockCodebook.train(images, settings.withBackground(255));
        assertEquals(8 * 12, book.codes().length);
        assertEquals(book, BlockCodebook.train(images, settings.withBackground(255)));
        PixelImages decoded = book.decode(book.encode(images));
        assertEquals(3, decoded.channels());
        assertEquals(10, decoded.height());
        assertEquals(7, decoded.width());
    }

    @Test
    void savedAndLoaded() throws IOException {
        Path file = folder.resolve("codebook.json");
        codebook.save(file);
        assertEquals(codebook, BlockCodebook.load(file));
        assertTrue(Files.size(file) < 10_000, "size " + Files.size(file));
        assertEquals(codebook, BlockCodebook.fromJson(codebook.toJson()));
    }

    @Test
    void damagedFiles() throws IOException {
        Path file = folder.resolve("codebook.json");
        assertLoadFails(file, "There is no codebook file");
        String json = codebook.toJson();
        Files.writeString(file, json.substring(0, json.length() / 2));
        assertLoadFails(file, "does not hold a whole block codebook");
        Files.writeString(file, "{}");
        assertLoadFails(file, "grid");
        Files.writeString(file, json.replace("\"blockSide\" : 4", "\"blockSide\" : 3"));
        assertLoadFails(file, "covers 24 x 24 pixels");
        Files.write(file, new byte[] {(byte) 0xff, (byte) 0xfe, 0});
        assertLoadFails(file, "does not hold a whole block codebook");
    }

    private static void assertLoadFails(Path file, String part) {
        String message =
                assertThrows(IOException.class, () -> BlockCodebook.load(file)).getMessage();
        assertTrue(message.contains(file.toString()) && message.contains(part), message);
    }

    @Test
    void wrongImagesAndIds() {
        assertMessage(
                "for images of 1 x 28 x 28 (channels x height x width), got 2 x 1 x 32 x 32",
                () -> codebook.encode(random(1, 2, 1, 32, 32)));
        assertMessage("got 1 x 3 x 28 x 28", () -> codebook.reconstructionError(random(1, 1, 3, 28, 28)));
        assertMessage("error of no images", () -> codebook.reconstructionError(test.range(0, 0)));
        assertEquals(0, codebook.encode(test.range(0, 0)).length);
        assertMessage("Row 1 has 3 token ids", () -> codebook.decode(new int[][] {new int[64], new int[3]}));
        int[][] ids = {new int[64]};
        ids[0][9] = 256;
        assertMessage("Token id 256 at row 0, position 9 is outside the vocabulary", () -> codebook.decode(ids));
        ids[0][9] = -1;
        assertMessage("Token id -1", () -> codebook.decode(ids));
    }

    @Test
    void wrongSettings() {
        Settings settings = Settings.defaults();
        assertMessage(
                "covers 28 x 28 pixels, images are 28 x 32; use a grid of at least 7 x 8",
                () -> BlockCodebook.train(random(1, 9, 1, 28, 32), settings.withBlocks(TokenGrid.of(7, 7), 4)));
        assertMessage("blockSide 0", () -> settings.withBlocks(TokenGrid.of(7, 7), 0));
        assertMessage("codes 0", () -> settings.withCodes(0));
        assertMessage("background 256", () -> settings.withBackground(256));
        assertMessage("cannot be trained on 255 sampled blocks", () -> settings.withEffort(1, 255));
        assertMessage(
                "more than 256 values",
                () -> BlockCodebook.train(random(1, 9, 1, 28, 28), settings.withBlocks(TokenGrid.of(2, 2), 17)));
        assertMessage("must be a multiple", () -> new BlockCodebook(TokenGrid.of(8, 8), 4, 1, 28, 28, 0, new byte[17]));
    }

    private static void assertMessage(String part, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }
}
