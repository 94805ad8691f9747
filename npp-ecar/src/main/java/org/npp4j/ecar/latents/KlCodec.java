package org.npp4j.ecar.latents;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.KlAutoencoder;
import org.npp4j.llamagen.tokenizer.KlConfig;
import org.npp4j.llamagen.tokenizer.KlDescription;

/**
 * A KL autoencoder as a latent codec: latents are the means of its distributions, times a factor that gives them about unit
 * variance.
 *
 * <p>Images that do not fill G x G latents are continued by their edge pixels on all sides, and cut again. Grey images go through
 * it as colour images with three equal channels.
 *
 * <p>A description ({@link #toJson}) holds the place and the SHA-256 of the checkpoint, not its weights.
 */
public final class KlCodec implements LatentCodec {
    static final String KIND = "kl-autoencoder";

    /** A factor is measured on so many images at most: their deviation is that of all to about a percent. */
    private static final int FIT_IMAGES = 2048;

    private static final int FIT_BATCH = 256;

    private static final ObjectMapper JSON = new ObjectMapper();

    private final KlAutoencoder autoencoder;
    private final Path checkpoint;
    private final String sha256;
    private final double scale;
    private final int grid;
    private final int imageChannels;
    private final int height;
    private final int width;

    private KlCodec(
            KlAutoencoder autoencoder,
            Path checkpoint,
            String sha256,
            double scale,
            int grid,
            int imageChannels,
            int height,
            int width) {
        if (!(scale > 0 && scale < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "Latents are multiplied with a finite number above 0, got " + scale + " as their scale");
        }
        if (imageChannels != 1 && imageChannels != 3 || height < 1 || width < 1 || grid < 1) {
            throw new IllegalArgumentException(
                    "A KL autoencoder takes grey images or such of 3 channels, at least 1 x 1"
                            + " pixels, on a grid of at least 1, got " + imageChannels + " x " + height + " x " + width
                            + " (channels, height, width) and " + grid);
        }
        if ((long) grid * autoencoder.config().downsampling() < Math.max(height, width)) {
            throw new IllegalArgumentException(grid + " x " + grid + " latents of "
                    + autoencoder.config().downsampling() + " x "
                    + autoencoder.config().downsampling()
                    + " pixels do not cover images of " + height + " x " + width
                    + " pixels. Take a larger grid or smaller images");
        }
        this.autoencoder = autoencoder;
        this.checkpoint = checkpoint;
        this.sha256 = sha256;
        this.scale = scale;
        this.grid = grid;
        this.imageChannels = imageChannels;
        this.height = height;
        this.width = width;
    }

    /**
     * A codec for images of one size on the smallest grid that covers them.
     *
     * @param checkpoint as {@link KlAutoencoder#load}
     * @param config sizes of the autoencoder; null to tell them from the tensors
     * @param images of the size and channels that the codec is for
     * @param scale what latents are multiplied with; null for 1 / deviation of the latents of these images (of 2048 of them
     *     that are evenly spread, if there are more)
     * @param multiple the grid is a multiple of it
     * @return the codec
     * @throws IOException if the checkpoint cannot be read, or is none of a KL autoencoder
     * @throws IllegalArgumentException if the scale is no finite number above 0, the images are neither grey nor in colour, or
     *     their latents have no deviation to measure
     */
    public static KlCodec load(Path checkpoint, KlConfig config, PixelImages images, Double scale, int multiple)
            throws IOException {
        return load(checkpoint, config, images, scale, multiple, null);
    }

    /**
     * A codec for images of one size on a given grid.
     *
     * @param checkpoint as {@link KlAutoencoder#load}
     * @param config sizes of the autoencoder; null to tell them from the tensors
     * @param images of the size and channels that the codec is for
     * @param scale what latents are multiplied with; null for 1 / deviation of the latents of these images (of 2048 of them
     *     that are evenly spread, if there are more)
     * @param multiple the grid is a multiple of it, if none is given
     * @param grid G; null for the smallest that covers the images
     * @return the codec
     * @throws IOException if the checkpoint cannot be read, or is none of a KL autoencoder
     * @throws IllegalArgumentException if the scale is no finite number above 0, the grid does not cover the images, these are
     *     neither grey nor in colour, or their latents have no deviation to measure
     */
    public static KlCodec load(
            Path checkpoint, KlConfig config, PixelImages images, Double scale, int multiple, Integer grid)
            throws IOException {
        KlAutoencoder autoencoder = KlAutoencoder.load(checkpoint, config);
        int f = autoencoder.config().downsampling();
        int smallest = (Math.max(images.height(), images.width()) + f - 1) / f;
        int side = grid == null ? (smallest + multiple - 1) / multiple * multiple : grid;
        KlCodec plain = new KlCodec(
                autoencoder,
                checkpoint.toAbsolutePath().normalize(),
                Sha256.of(checkpoint),
                scale == null ? 1 : scale,
                side,
                images.channels(),
                images.height(),
                images.width());
        return scale == null ? plain.withScale(1 / plain.deviation(images)) : plain;
    }

    private KlCodec withScale(double newScale) {
        return new KlCodec(autoencoder, checkpoint, sha256, newScale, grid, imageChannels, height, width);
    }

    /** The deviation of all numbers of the latents of images. */
    private double deviation(PixelImages images) {
        int count = Math.min(FIT_IMAGES, images.count());
        if (count == 0) {
            throw new IllegalArgumentException("The scale of latents is measured on at least one image, got none");
        }
        int[] chosen = IntStream.range(0, count)
                .map(i -> (int) ((long) i * images.count() / count))
                .toArray();
        double sum = 0;
        double squares = 0;
        long numbers = 0;
        for (int from = 0; from < count; from += FIT_BATCH) {
            INDArray latents = encode(
                            images.select(Arrays.copyOfRange(chosen, from, Math.min(count, from + FIT_BATCH))))
                    .castTo(DataType.DOUBLE);
            sum += latents.sumNumber().doubleValue();
            squares += latents.mul(latents).sumNumber().doubleValue();
            numbers += latents.length();
        }
        double mean = sum / numbers;
        double deviation = Math.sqrt(Math.max(0, squares / numbers - mean * mean));
        if (!(deviation > 0)) {
            throw new IllegalArgumentException("The latents of " + count + " images by " + checkpoint
                    + " are all alike, so that their scale cannot be measured. Give it, or another checkpoint");
        }
        return deviation;
    }

    static KlCodec of(JsonNode json, Path given) throws IOException {
        String stored = json.path("checkpoint").asText();
        String sha256 = json.path("sha256").asText();
        Path checkpoint = given == null ? Path.of(stored) : given;
        if (!Files.isRegularFile(checkpoint)) {
            throw new FileNotFoundException("The latents are those of the KL autoencoder " + stored + " (SHA-256 "
                    + sha256 + "), but there is no file " + checkpoint + ". Put it there, or say where it is now");
        }
        String found = Sha256.of(checkpoint);
        if (!found.equals(sha256)) {
            throw new CheckpointException(
                    checkpoint,
                    "is not the KL autoencoder whose latents these are: its SHA-256 is " + found + ", but must be "
                            + sha256 + ". Say where that one is now");
        }
        KlConfig config =
                KlDescription.parse(json.path("autoencoder").toString()).config();
        return new KlCodec(
                KlAutoencoder.load(checkpoint, config),
                checkpoint.toAbsolutePath().normalize(),
                sha256,
                json.path("scale").asDouble(),
                json.path("grid").asInt(),
                json.path("image_channels").asInt(),
                json.path("height").asInt(),
                json.path("width").asInt());
    }

    @Override
    public String toJson() {
        ObjectNode json = content();
        json.put("checkpoint", checkpoint.toString());
        return json.toString();
    }

    /** All but the checkpoint's place. */
    private ObjectNode content() {
        ObjectNode json = JSON.createObjectNode();
        json.put("kind", KIND);
        json.put("sha256", sha256);
        json.set("autoencoder", tree(new KlDescription(autoencoder.config(), null).toJson()));
        json.put("scale", scale);
        json.put("grid", grid);
        json.put("image_channels", imageChannels);
        json.put("height", height);
        json.put("width", width);
        return json;
    }

    private static JsonNode tree(String json) {
        try {
            return JSON.readTree(json);
        } catch (IOException e) {
            throw new IllegalStateException("This was written as JSON: " + json, e);
        }
    }

    /** The place of the checkpoint does not count, its content does. */
    @Override
    public String fingerprint() {
        return new Sha256()
                .add(content().toString().getBytes(StandardCharsets.UTF_8))
                .hex();
    }

    /** {@return the checkpoint of the autoencoder} */
    public Path checkpoint() {
        return checkpoint;
    }

    /** {@return the SHA-256 of the checkpoint, 64 hexadecimal digits} */
    public String sha256() {
        return sha256;
    }

    /** {@return what latents are multiplied with} */
    public double scale() {
        return scale;
    }

    @Override
    public int channels() {
        return autoencoder.config().latentChannels();
    }

    @Override
    public int grid() {
        return grid;
    }

    private EdgePadding padding() {
        return new EdgePadding(height, width, grid * autoencoder.config().downsampling());
    }

    @Override
    public INDArray encode(PixelImages images) {
        if (images.channels() != imageChannels || images.height() != height || images.width() != width) {
            throw new IllegalArgumentException("This codec takes images of " + imageChannels + " x " + height + " x "
                    + width + " (channels, height, width), got " + images.channels() + " x " + images.height() + " x "
                    + images.width());
        }
        PixelImages colour = imageChannels == 1 ? images.toColour() : images;
        return autoencoder.encode(padding().pad(colour.toSignedUnit())).mode().muli(scale);
    }

    @Override
    public PixelImages decode(INDArray latents) {
        long[] shape = latents.shape();
        if (latents.rank() != 4 || shape[1] != channels() || shape[2] != grid || shape[3] != grid) {
            throw new IllegalArgumentException("This codec's latents are [images, " + channels() + ", " + grid + ", "
                    + grid + "], got " + Arrays.toString(shape));
        }
        INDArray squares = autoencoder.decode(latents.castTo(DataType.FLOAT).div(scale));
        PixelImages colour = PixelImages.fromSignedUnit(padding().cut(squares));
        return imageChannels == 1 ? colour.toGrey() : colour;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof KlCodec && fingerprint().equals(((KlCodec) other).fingerprint());
    }

    @Override
    public int hashCode() {
        return fingerprint().hashCode();
    }
}
