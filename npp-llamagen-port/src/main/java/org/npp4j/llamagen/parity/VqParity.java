package org.npp4j.llamagen.parity;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.function.Supplier;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;

/**
 * Compares a VQ tokenizer with what PyTorch computed from the same weights: every array of a golden file.
 *
 * <ul>
 *   <li>{@code images} [B, 3, H, W] in [-1, 1]: the input
 *   <li>{@code latents} [B, N, D] of length 1, relative to the largest value
 *   <li>{@code codes} [B, N]: equal in every code
 *   <li>{@code decoded} [B, 3, H, W]: the image of these codes, relative to the largest value
 *   <li>{@code pixels} [B, 3, H, W]: the same as 8-bit pixels, equal to within {@value #LEVELS} level
 * </ul>
 *
 * <p>An array of an unknown name fails, as one that silently stays unchecked would be worth nothing.
 */
public final class VqParity {
    /** How many of the 256 levels a pixel may differ by. */
    public static final int LEVELS = 1;

    private static final String IMAGES = "images";
    private static final String LATENTS = "latents";
    private static final String CODES = "codes";
    private static final String DECODED = "decoded";
    private static final String PIXELS = "pixels";
    private static final Set<String> KNOWN = Set.of(IMAGES, LATENTS, CODES, DECODED, PIXELS);

    private final VqTokenizer tokenizer;
    private final NpzFile golden;
    private final double tolerance;
    private final List<Comparison> comparisons = new ArrayList<>();

    private VqParity(VqTokenizer tokenizer, NpzFile golden, double tolerance) {
        this.tokenizer = tokenizer;
        this.golden = golden;
        this.tolerance = tolerance;
    }

    /**
     * Whether a description is that of a VQ tokenizer.
     *
     * @param config a config.json
     * @return whether it has the size of a codebook, or names a published tokenizer
     * @throws IOException if it cannot be read
     */
    public static boolean describes(Path config) throws IOException {
        try {
            JsonNode json = new ObjectMapper().readTree(Files.readString(config));
            JsonNode model = json.has("config") ? json.get("config") : json;
            return model.has("codebook_size") || model.has("vq_model");
        } catch (JsonProcessingException | CharacterCodingException e) {
            return false;
        }
    }

    /**
     * Compares everything in a golden file.
     *
     * @param checkpoint the weights: a PyTorch or safetensors file
     * @param config JSON: the tokenizer, at the top or under {@code "config"}
     * @param golden the arrays
     * @param tolerance largest relative difference, above 0; 1e-4 suits float32
     * @return what was found
     * @throws IllegalArgumentException if the tolerance is not a number above 0, or the images are missing or of a shape
     *     that the tokenizer does not take
     * @throws IOException if a file cannot be read, or the weights are not those of the tokenizer
     */
    public static ParityReport compare(Path checkpoint, Path config, NpzFile golden, double tolerance)
            throws IOException {
        if (!(tolerance > 0 && tolerance < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The tolerance must be a finite number above 0, got " + tolerance);
        }
        VqConfig sizes = VqConfig.read(config);
        if (!golden.contains(IMAGES)) {
            throw new IllegalArgumentException(
                    "The golden file has no array \"" + IMAGES + "\" [count, 3, height, width]");
        }
        INDArray images = golden.array(IMAGES);
        if (images.rank() != 4) {
            throw new IllegalArgumentException(
                    "\"" + IMAGES + "\" of the golden file must be [count, 3, height, width]," + " but is "
                            + Arrays.toString(images.shape()));
        }
        VqTokenizer tokenizer = VqTokenizer.load(checkpoint, sizes, (int) images.size(2), (int) images.size(3));
        return new VqParity(tokenizer, golden, tolerance).compare(images);
    }

    private ParityReport compare(INDArray images) throws IOException {
        if (golden.contains(LATENTS)) {
            compare(LATENTS, () -> tokenizer.latents(images));
        }
        if (golden.contains(CODES)) {
            compareCodes(images);
        }
        if (golden.contains(DECODED) || golden.contains(PIXELS)) {
            compareImages();
        }
        for (String name : golden.names()) {
            if (!KNOWN.contains(name)) {
                failed(name, "not checked: the name says nothing that is known here");
            }
        }
        return new ParityReport(comparisons);
    }

    private void compareCodes(INDArray images) throws IOException {
        INDArray expected = golden.array(CODES).castTo(DataType.INT32);
        int[][] codes = tokenizer.encode(images);
        if (!sameShape(CODES, expected, codes.length, codes[0].length)) {
            return;
        }
        int different = 0;
        for (int image = 0; image < codes.length; image++) {
            for (int n = 0; n < codes[image].length; n++) {
                different += codes[image][n] == expected.getInt(image, n) ? 0 : 1;
            }
        }
        int all = codes.length * codes[0].length;
        comparisons.add(
                new Comparison(CODES, CODES, (double) different / all, 0, different + " of " + all + " codes differ"));
    }

    /** Decodes the golden codes, so that one that differs is counted once. */
    private void compareImages() throws IOException {
        if (!golden.contains(CODES)) {
            List.of(DECODED, PIXELS).stream()
                    .filter(golden::contains)
                    .forEach(name -> failed(name, "not checked: there are no \"" + CODES + "\" to decode"));
            return;
        }
        INDArray decoded = tokenizer.decodeToSignedUnit(
                golden.array(CODES).castTo(DataType.INT32).toIntMatrix());
        if (golden.contains(DECODED)) {
            compare(DECODED, () -> decoded);
        }
        if (golden.contains(PIXELS)) {
            comparePixels(PixelImages.fromSignedUnit(decoded));
        }
    }

    private void comparePixels(PixelImages given) throws IOException {
        INDArray expected = golden.array(PIXELS).castTo(DataType.FLOAT);
        if (!sameShape(PIXELS, expected, given.count(), given.channels(), given.height(), given.width())) {
            return;
        }
        float[] wanted = expected.dup('c').reshape(expected.length()).toFloatVector();
        byte[] pixels = given.toBytes();
        int largest = 0;
        int different = 0;
        for (int i = 0; i < pixels.length; i++) {
            int levels = Math.abs((pixels[i] & 0xff) - (int) wanted[i]);
            largest = Math.max(largest, levels);
            different += levels == 0 ? 0 : 1;
        }
        comparisons.add(new Comparison(
                PIXELS,
                PIXELS,
                largest,
                LEVELS,
                different + " of " + pixels.length + " values differ, by at most " + largest + " of 255"));
    }

    private void compare(String name, Supplier<INDArray> actual) throws IOException {
        INDArray expected = golden.array(name);
        INDArray given = actual.get();
        if (sameShape(name, expected, given.shape())) {
            double difference = Difference.relative(expected, given);
            String note = Double.isNaN(difference) ? "some values are not finite" : "";
            comparisons.add(new Comparison(name, name, difference, tolerance, note));
        }
    }

    private boolean sameShape(String name, INDArray expected, long... shape) {
        if (Arrays.equals(expected.shape(), shape)) {
            return true;
        }
        failed(name, "shape " + Arrays.toString(expected.shape()) + ", but ours is " + Arrays.toString(shape));
        return false;
    }

    private void failed(String name, String note) {
        comparisons.add(new Comparison(name, name, Double.NaN, 0, note));
    }
}
