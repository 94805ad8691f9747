package org.npp4j.llamagen.tokenizer;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Objects;
import java.util.Random;
import org.nd4j.shade.jackson.annotation.JsonAutoDetect;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.SerializationFeature;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A tokenizer for small images: every S x S block of pixels becomes the id of the nearest of V codes, which k-means found.
 *
 * <p>An image lies in the middle of a canvas of (grid height x S) x (grid width x S) pixels, with background around it:
 * 28 x 28 pixels on an 8 x 8 grid of 4 x 4 blocks have 2 pixels of background on each side. Codes are 8-bit blocks.
 * Encoding is exact integer arithmetic, and training is too: the same images, settings and seed give the same codebook and
 * the same ids everywhere. Immutable.
 *
 * <p>Source: Lloyd, "Least squares quantization in PCM" (1982); Arthur and Vassilvitskii, "k-means++" (2007).
 */
@JsonAutoDetect(
        fieldVisibility = JsonAutoDetect.Visibility.NONE,
        getterVisibility = JsonAutoDetect.Visibility.NONE,
        isGetterVisibility = JsonAutoDetect.Visibility.NONE)
public final class BlockCodebook implements ImageTokenizer {
    private static final ObjectMapper JSON = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);

    /** Bounds the memory of one step of encoding. */
    private static final int IMAGES_PER_STEP = 256;

    private final PixelBlocks blocks;
    private final byte[] codes;

    /**
     * How a codebook is trained.
     *
     * @param grid the token grid; with the block side it gives the canvas, which must cover the images
     * @param blockSide S, the side of a block in pixels; C x S x S is at most 256
     * @param codes V, at least 1
     * @param background grey level around the image, 0 to 255
     * @param iterations at most so many rounds of k-means after seeding; it stops earlier when nothing changes
     * @param sampleBlocks train on at most so many blocks, drawn evenly from all images: bounds time and memory
     * @param seed of the draw and the seeding
     */
    public record Settings(
            TokenGrid grid, int blockSide, int codes, int background, int iterations, int sampleBlocks, long seed) {
        /**
         * Checks the settings.
         *
         * @param grid the token grid
         * @param blockSide S
         * @param codes V
         * @param background grey level
         * @param iterations rounds at most
         * @param sampleBlocks blocks at most
         * @param seed the seed
         * @throws IllegalArgumentException if one is out of range
         */
        public Settings {
            Objects.requireNonNull(grid, "A codebook needs a token grid: TokenGrid.of(height, width)");
            if (blockSide < 1 || codes < 1 || iterations < 0 || background < 0 || background > 255) {
                throw new IllegalArgumentException("A codebook needs blockSide >= 1, codes >= 1, iterations >= 0 and a"
                        + " background of 0 to 255, got blockSide " + blockSide + ", codes " + codes + ", iterations "
                        + iterations + ", background " + background);
            }
            if (sampleBlocks < codes) {
                throw new IllegalArgumentException("A codebook of " + codes + " codes cannot be trained on "
                        + sampleBlocks + " sampled blocks; sample at least " + codes + ", better 100 for each code");
            }
        }

        /** {@return 256 codes of 4 x 4 pixels on an 8 x 8 grid, black background, 20 rounds, 100,000 blocks, seed 0} */
        public static Settings defaults() {
            return new Settings(TokenGrid.of(8, 8), 4, 256, 0, 20, 100_000, 0);
        }

        /**
         * Other blocks.
         *
         * @param newGrid the token grid
         * @param newBlockSide S
         * @return a copy with them
         */
        public Settings withBlocks(TokenGrid newGrid, int newBlockSide) {
            return new Settings(newGrid, newBlockSide, codes, background, iterations, sampleBlocks, seed);
        }

        /**
         * Another number of codes.
         *
         * @param newCodes V
         * @return a copy with it
         */
        public Settings withCodes(int newCodes) {
            return new Settings(grid, blockSide, newCodes, background, iterations, sampleBlocks, seed);
        }

        /**
         * Another background.
         *
         * @param newBackground grey level, 0 to 255
         * @return a copy with it
         */
        public Settings withBackground(int newBackground) {
            return new Settings(grid, blockSide, codes, newBackground, iterations, sampleBlocks, seed);
        }

        /**
         * Another effort.
         *
         * @param newIterations rounds at most
         * @param newSampleBlocks blocks at most
         * @return a copy with it
         */
        public Settings withEffort(int newIterations, int newSampleBlocks) {
            return new Settings(grid, blockSide, codes, background, newIterations, newSampleBlocks, seed);
        }

        /**
         * Another seed.
         *
         * @param newSeed the seed
         * @return a copy with it
         */
        public Settings withSeed(long newSeed) {
            return new Settings(grid, blockSide, codes, background, iterations, sampleBlocks, newSeed);
        }
    }

    /** Is told how training goes. */
    @FunctionalInterface
    public interface Progress {
        /**
         * Called once after seeding (iteration 0) and once after every round.
         *
         * @param iteration rounds done
         * @param iterations rounds at most
         * @param error mean squared error of the sampled blocks now, in units of the squared pixel range
         */
        void iteration(int iteration, int iterations, double error);
    }

    /**
     * Trains a codebook.
     *
     * @param images training images
     * @param settings how
     * @return the codebook for images of this size
     * @throws IllegalArgumentException if the canvas does not cover the images, a block has more than 256 values, or there
     *     are fewer different blocks than codes
     */
    public static BlockCodebook train(PixelImages images, Settings settings) {
        return train(images, settings, (iteration, iterations, error) -> {});
    }

    /**
     * Trains a codebook and tells how it goes.
     *
     * @param images training images
     * @param settings how
     * @param progress is told after every round, in the calling thread
     * @return the codebook for images of this size
     * @throws IllegalArgumentException as {@link #train(PixelImages, Settings)}
     */
    public static BlockCodebook train(PixelImages images, Settings settings, Progress progress) {
        PixelBlocks blocks = checked(new PixelBlocks(
                settings.grid(),
                settings.blockSide(),
                images.channels(),
                images.height(),
                images.width(),
                settings.background()));
        Random random = new Random(settings.seed());
        byte[] sample = sample(images, blocks, settings.sampleBlocks(), random);
        BlockKMeans kMeans = new BlockKMeans(sample, blocks.values());
        if (kMeans.distinctBlocks() < settings.codes()) {
            throw new IllegalArgumentException("The " + sample.length / blocks.values() + " sampled blocks hold only "
                    + kMeans.distinctBlocks() + " different ones, too few for " + settings.codes()
                    + " codes; give more images, sample more blocks or ask for at most " + kMeans.distinctBlocks()
                    + " codes");
        }
        byte[] codes = kMeans.train(settings.codes(), settings.iterations(), random, progress);
        return new BlockCodebook(blocks, codes);
    }

    /** At most so many blocks, each set of them equally likely: [blocks x D]. */
    private static byte[] sample(PixelImages images, PixelBlocks blocks, int sampleBlocks, Random random) {
        int perImage = blocks.grid().tokens();
        long all = (long) images.count() * perImage;
        int wanted = (int) Math.min(all, sampleBlocks);
        byte[] sample = new byte[Math.multiplyExact(wanted, blocks.values())];
        int taken = 0;
        for (long block = 0; taken < wanted; block++) {
            if (random.nextDouble() * (all - block) < wanted - taken) {
                blocks.cut(images, (int) (block / perImage), (int) (block % perImage), sample, taken * blocks.values());
                taken++;
            }
        }
        return sample;
    }

    /**
     * A codebook with given codes.
     *
     * @param grid the token grid
     * @param blockSide S
     * @param channels C
     * @param imageHeight H
     * @param imageWidth W
     * @param background grey level around the image
     * @param codes [V x D] unsigned bytes, D = C x S x S; within a code channel by channel, row by row
     * @throws IllegalArgumentException if the sizes do not fit each other
     */
    @JsonCreator
    public BlockCodebook(
            @JsonProperty(value = "grid", required = true) TokenGrid grid,
            @JsonProperty(value = "blockSide", required = true) int blockSide,
            @JsonProperty(value = "channels", required = true) int channels,
            @JsonProperty(value = "imageHeight", required = true) int imageHeight,
            @JsonProperty(value = "imageWidth", required = true) int imageWidth,
            @JsonProperty(value = "background", required = true) int background,
            @JsonProperty(value = "codes", required = true) byte[] codes) {
        this(checked(new PixelBlocks(grid, blockSide, channels, imageHeight, imageWidth, background)), codes.clone());
    }

    private BlockCodebook(PixelBlocks blocks, byte[] codes) {
        if (codes.length == 0 || codes.length % blocks.values() != 0) {
            throw new IllegalArgumentException("Codes of " + blocks.values() + " values each cannot fill an array of "
                    + codes.length + "; its length must be a multiple, at least one code");
        }
        this.blocks = blocks;
        this.codes = codes;
    }

    private static PixelBlocks checked(PixelBlocks b) {
        if (b.side() < 1 || b.channels() < 1 || b.background() < 0 || b.background() > 255) {
            throw new IllegalArgumentException("Blocks need a side and channels of at least 1 and a background of 0 to"
                    + " 255, got side " + b.side() + ", channels " + b.channels() + ", background "
                    + b.background());
        }
        long values = (long) b.side() * b.side() * b.channels();
        if (b.side() > NearestCode.MAX_VALUES || values > NearestCode.MAX_VALUES) {
            throw new IllegalArgumentException("A block of " + b.channels() + " x " + b.side() + " x " + b.side()
                    + " (channels x height x width) has more than " + NearestCode.MAX_VALUES
                    + " values; use smaller blocks");
        }
        int side = b.side();
        long canvasHeight = (long) b.grid().getHeight() * side;
        long canvasWidth = (long) b.grid().getWidth() * side;
        if (b.height() < 1 || b.width() < 1 || canvasHeight < b.height() || canvasWidth < b.width()) {
            throw new IllegalArgumentException("A " + b.grid() + " of " + side + " x " + side + " pixel blocks covers "
                    + canvasHeight + " x " + canvasWidth + " pixels, images are " + b.height() + " x " + b.width()
                    + "; use a grid of at least " + (b.height() + side - 1) / side + " x "
                    + (b.width() + side - 1) / side + " or larger blocks");
        }
        return b;
    }

    @Override
    @JsonProperty("grid")
    public TokenGrid grid() {
        return blocks.grid();
    }

    @Override
    public int vocabulary() {
        return codes.length / blocks.values();
    }

    /** {@return S, the side of a block in pixels} */
    @JsonProperty("blockSide")
    public int blockSide() {
        return blocks.side();
    }

    /** {@return C, the channels of an image} */
    @JsonProperty("channels")
    public int channels() {
        return blocks.channels();
    }

    /** {@return H, the rows of an image} */
    @JsonProperty("imageHeight")
    public int imageHeight() {
        return blocks.height();
    }

    /** {@return W, the columns of an image} */
    @JsonProperty("imageWidth")
    public int imageWidth() {
        return blocks.width();
    }

    /** {@return the grey level around the image} */
    @JsonProperty("background")
    public int background() {
        return blocks.background();
    }

    /** {@return a copy of the codes, [V x D] unsigned bytes} */
    @JsonProperty("codes")
    public byte[] codes() {
        return codes.clone();
    }

    @Override
    public int[][] encode(PixelImages images) {
        blocks.requireShape(images);
        int tokens = blocks.grid().tokens();
        NearestCode nearestCode = new NearestCode(codes, blocks.values());
        int[][] ids = new int[images.count()][];
        for (int from = 0; from < ids.length; from += IMAGES_PER_STEP) {
            int to = Math.min(from + IMAGES_PER_STEP, ids.length);
            int[] nearest = new int[(to - from) * tokens];
            nearestCode.find(blocks.cutAll(images, from, to), nearest, new int[nearest.length]);
            for (int i = from; i < to; i++) {
                ids[i] = Arrays.copyOfRange(nearest, (i - from) * tokens, (i - from + 1) * tokens);
            }
        }
        return ids;
    }

    @Override
    public PixelImages decode(int[][] ids) {
        TokenIds.require(ids, grid(), vocabulary());
        return blocks.paste(codes, ids);
    }

    /**
     * What is lost by encoding and decoding: the mean squared difference per value of the images, in units of the squared
     * pixel range (pixels from 0 to 1). The background around the images does not count.
     *
     * @param images images of the codebook's size, at least one
     * @return the error, 0 to 1
     * @throws IllegalArgumentException if the images have another size, or there are none
     */
    public double reconstructionError(PixelImages images) {
        blocks.requireShape(images);
        return ReconstructionError.of(this, images);
    }

    /** {@return the codebook as JSON text; the codes are in Base64} */
    public String toJson() {
        try {
            return JSON.writeValueAsString(this);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("A block codebook must always be writable as JSON", e);
        }
    }

    /**
     * Reads what {@link #toJson()} wrote.
     *
     * @param json the text
     * @return the codebook
     * @throws IllegalArgumentException if the text is not a codebook
     */
    public static BlockCodebook fromJson(String json) {
        try {
            return JSON.readValue(json, BlockCodebook.class);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("The text is not a block codebook: " + e.getOriginalMessage(), e);
        }
    }

    /**
     * Writes the codebook as a JSON file.
     *
     * @param file the file; one that exists is replaced
     * @throws IOException if the file cannot be written; no part of it is left behind
     */
    public void save(Path file) throws IOException {
        AtomicFile.write(file, out -> out.write(toJson().getBytes(StandardCharsets.UTF_8)));
    }

    /**
     * Reads a file of {@link #save(Path)}.
     *
     * @param file the file
     * @return the codebook
     * @throws IOException if the file is missing or does not hold a codebook
     */
    public static BlockCodebook load(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException(
                    "There is no codebook file " + file + ". Check the path, or train a codebook and save it there");
        }
        try {
            return fromJson(Files.readString(file));
        } catch (IllegalArgumentException | CharacterCodingException e) {
            throw new IOException(
                    file + " does not hold a whole block codebook (" + e.getMessage() + "). Save the codebook again",
                    e);
        }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof BlockCodebook
                && ((BlockCodebook) other).blocks.equals(blocks)
                && Arrays.equals(((BlockCodebook) other).codes, codes);
    }

    @Override
    public int hashCode() {
        return 31 * blocks.hashCode() + Arrays.hashCode(codes);
    }

    /** The sizes in words, for messages. */
    @Override
    public String toString() {
        return "BlockCodebook(" + vocabulary() + " codes of " + channels() + " x " + blockSide() + " x " + blockSide()
                + ", " + grid() + ")";
    }
}
