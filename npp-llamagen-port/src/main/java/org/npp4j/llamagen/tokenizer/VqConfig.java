package org.npp4j.llamagen.tokenizer;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.DeserializationFeature;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ArrayNode;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.layers.TokenGrid;

/**
 * The sizes of a VQ tokenizer: what decides the shapes of its tensors.
 *
 * <p>Level i of the encoder has {@code channels x channelMultipliers[i]} channels; from level to level the image is halved,
 * so L levels give a downsampling of 2^(L-1).
 *
 * <p>In a JSON file these are the keys below, at the top or in an object "config" beside anything else. Absent keys have
 * the values of VQ-16, or of the published model that {@code vq_model} names. An unknown key is an error that lists the
 * known ones.
 *
 * <table>
 * <caption>Keys</caption>
 * <tr><th>key</th><th>meaning</th><th>VQ-16</th></tr>
 * <tr><td>vq_model</td><td>VQ-16 or VQ-8: where absent keys are taken from</td><td></td></tr>
 * <tr><td>channel_mult</td><td>one number for each level, finest first</td><td>[1, 1, 2, 2, 4]</td></tr>
 * <tr><td>channels</td><td>channels at a multiplier of 1</td><td>128</td></tr>
 * <tr><td>z_channels</td><td>channels between encoder and codes, codes and decoder</td><td>256</td></tr>
 * <tr><td>codebook_size</td><td>V</td><td>16384</td></tr>
 * <tr><td>codebook_dim, codebook_embed_dim</td><td>D, the values of a code</td><td>8</td></tr>
 * <tr><td>num_res_blocks</td><td>residual blocks of a level of the encoder; the decoder has one more</td><td>2</td></tr>
 * </table>
 *
 * @param channelMultipliers one number for each level, finest first
 * @param channels channels at a multiplier of 1; those of every level are a multiple of {@value #GROUPS}
 * @param zChannels channels between encoder and codes, codes and decoder
 * @param codebookSize V
 * @param codebookDim D, the values of a code
 * @param residualBlocks residual blocks of a level of the encoder; the decoder has one more
 */
public record VqConfig(
        List<Integer> channelMultipliers,
        int channels,
        int zChannels,
        int codebookSize,
        int codebookDim,
        int residualBlocks) {
    /** Groups of every group norm, as published. */
    public static final int GROUPS = 32;

    /** Added to the variances of every group norm, as published. */
    public static final double EPSILON = 1e-6;

    /** The published tokenizer with a downsampling of 16. */
    public static final VqConfig VQ_16 = new VqConfig(List.of(1, 1, 2, 2, 4), 128, 256, 16384, 8, 2);

    /** The published tokenizer with a downsampling of 8. */
    public static final VqConfig VQ_8 = new VqConfig(List.of(1, 2, 2, 4), 128, 256, 16384, 8, 2);

    /** More levels than any image can be halved. */
    private static final int MAX_LEVELS = 16;

    private static final int MAX_CHANNELS = 1 << 16;
    private static final int MAX_RESIDUAL_BLOCKS = 64;

    private static final String MODEL = "vq_model";
    private static final String MULTIPLIERS = "channel_mult";
    private static final String CHANNELS = "channels";
    private static final String Z_CHANNELS = "z_channels";
    private static final String CODEBOOK_SIZE = "codebook_size";
    private static final String CODEBOOK_DIM = "codebook_dim";
    private static final String CODEBOOK_EMBED_DIM = "codebook_embed_dim";
    private static final String RESIDUAL_BLOCKS = "num_res_blocks";
    private static final List<String> KEYS = List.of(
            MODEL, MULTIPLIERS, CHANNELS, Z_CHANNELS, CODEBOOK_SIZE, CODEBOOK_DIM, CODEBOOK_EMBED_DIM, RESIDUAL_BLOCKS);

    private static final ObjectMapper JSON = new ObjectMapper()
            .configure(JsonParser.Feature.STRICT_DUPLICATE_DETECTION, true)
            .configure(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, true);

    /**
     * Checks the sizes.
     *
     * @param channelMultipliers one number for each level, at least 1 each
     * @param channels at least 1; channels x multiplier is a multiple of {@value #GROUPS} on every level
     * @param zChannels at least 1
     * @param codebookSize at least 1
     * @param codebookDim at least 1
     * @param residualBlocks at least 1
     * @throws IllegalArgumentException if one is out of its range
     */
    public VqConfig {
        channelMultipliers = List.copyOf(channelMultipliers);
        requireRange(RESIDUAL_BLOCKS, residualBlocks, MAX_RESIDUAL_BLOCKS);
        requireRange(CHANNELS, channels, MAX_CHANNELS);
        requireRange(Z_CHANNELS, zChannels, MAX_CHANNELS);
        requireRange(CODEBOOK_SIZE, codebookSize, 1 << 24);
        requireRange(CODEBOOK_DIM, codebookDim, MAX_CHANNELS);
        requireRange("the number of levels in " + MULTIPLIERS, channelMultipliers.size(), MAX_LEVELS);
        for (int multiplier : channelMultipliers) {
            requireRange(MULTIPLIERS, multiplier, MAX_CHANNELS);
            if ((long) channels * multiplier > MAX_CHANNELS || channels * multiplier % GROUPS != 0) {
                throw new IllegalArgumentException("channels " + channels + " x channel_mult " + multiplier + " are "
                        + (long) channels * multiplier + " channels; the group norms need a multiple of " + GROUPS
                        + ", at most " + MAX_CHANNELS + ". With channels a multiple of " + GROUPS
                        + " every multiplier fits");
            }
        }
    }

    private static void requireRange(String name, int value, int most) {
        if (value < 1 || value > most) {
            throw new IllegalArgumentException(name + " must be 1 to " + most + ", got " + value);
        }
    }

    /**
     * A published model.
     *
     * @param name VQ-16 or VQ-8, in any case
     * @return its sizes
     * @throws IllegalArgumentException if there is no such model
     */
    public static VqConfig named(String name) {
        return switch (name.toUpperCase(Locale.ROOT)) {
            case "VQ-16" -> VQ_16;
            case "VQ-8" -> VQ_8;
            default -> throw new IllegalArgumentException(
                    "There is no published tokenizer \"" + name + "\"; there are VQ-16 and VQ-8");
        };
    }

    /**
     * Another codebook.
     *
     * @param size V
     * @param dim D
     * @return a copy with it
     */
    public VqConfig withCodebook(int size, int dim) {
        return new VqConfig(channelMultipliers, channels, zChannels, size, dim, residualBlocks);
    }

    /** {@return the number of levels, L} */
    public int levels() {
        return channelMultipliers.size();
    }

    /** {@return pixels of the image for each token, in each direction: 2^(L-1)} */
    public int downsampling() {
        return 1 << levels() - 1;
    }

    /**
     * The channels of a level.
     *
     * @param level from 0, the finest
     * @return channels x multiplier
     */
    public int channels(int level) {
        return channels * channelMultipliers.get(level);
    }

    /**
     * The token grid of an image.
     *
     * @param height of the image in pixels
     * @param width of the image in pixels
     * @return height / downsampling x width / downsampling
     * @throws IllegalArgumentException if the downsampling does not divide the sides
     */
    public TokenGrid grid(int height, int width) {
        int f = downsampling();
        if (height < 1 || width < 1 || height % f != 0 || width % f != 0) {
            throw new IllegalArgumentException("A tokenizer with a downsampling of " + f
                    + " needs images whose sides are multiples of it, got " + height + " x " + width
                    + " pixels. Crop or resize them");
        }
        return TokenGrid.of(height / f, width / f);
    }

    /**
     * Floating-point operations of one image into codes: two for each multiplication with its addition, in convolutions,
     * attention and the search for the nearest code.
     *
     * @param height of the image in pixels
     * @param width of the image in pixels
     * @return operations
     * @throws IllegalArgumentException if the downsampling does not divide them
     */
    public double encodeOperations(int height, int width) {
        double search = 2.0 * grid(height, width).tokens() * codebookSize * codebookDim;
        return AutoencoderModule.operations(VqModules.encoder(this), (double) height * width) + search;
    }

    /**
     * Floating-point operations of the codes of one image into pixels.
     *
     * @param height of the image in pixels
     * @param width of the image in pixels
     * @return operations
     * @throws IllegalArgumentException if the downsampling does not divide them
     */
    public double decodeOperations(int height, int width) {
        return AutoencoderModule.operations(
                VqModules.decoder(this), grid(height, width).tokens());
    }

    /**
     * Reads a file.
     *
     * @param file JSON
     * @return its sizes
     * @throws IOException if the file cannot be read
     * @throws IllegalArgumentException if it does not describe a VQ tokenizer; the message names the file and the key
     */
    public static VqConfig read(Path file) throws IOException {
        try {
            return parse(Files.readString(file));
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException(file + ": This is not JSON, nor any text in UTF-8", e);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
        }
    }

    /**
     * Reads the content of a JSON file.
     *
     * @param json the text
     * @return its sizes
     * @throws IllegalArgumentException if it does not describe a VQ tokenizer; the message names the key
     */
    public static VqConfig parse(String json) {
        JsonNode root;
        try {
            root = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        JsonNode keys = root.has("config") ? root.get("config") : root;
        if (!keys.isObject()) {
            throw new IllegalArgumentException("A tokenizer's configuration is a JSON object with keys such as "
                    + MULTIPLIERS + " and " + CODEBOOK_SIZE + ", got " + keys.getNodeType());
        }
        refuseUnknown(keys);
        VqConfig model = keys.hasNonNull(MODEL) ? named(keys.get(MODEL).asText()) : VQ_16;
        int dim = integer(keys, CODEBOOK_DIM, model.codebookDim);
        int embedDim = integer(keys, CODEBOOK_EMBED_DIM, model.codebookDim);
        if (keys.hasNonNull(CODEBOOK_DIM) && keys.hasNonNull(CODEBOOK_EMBED_DIM) && dim != embedDim) {
            throw new IllegalArgumentException("\"" + CODEBOOK_DIM + "\" and \"" + CODEBOOK_EMBED_DIM
                    + "\" mean the same, but are " + dim + " and " + embedDim + ". Leave one of them out");
        }
        return new VqConfig(
                multipliers(keys, model),
                integer(keys, CHANNELS, model.channels),
                integer(keys, Z_CHANNELS, model.zChannels),
                integer(keys, CODEBOOK_SIZE, model.codebookSize),
                keys.hasNonNull(CODEBOOK_DIM) ? dim : embedDim,
                integer(keys, RESIDUAL_BLOCKS, model.residualBlocks));
    }

    private static void refuseUnknown(JsonNode keys) {
        Set<String> unknown = new TreeSet<>();
        for (Iterator<String> names = keys.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            if (!KEYS.contains(name)) {
                unknown.add(name);
            }
        }
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("Unknown key" + (unknown.size() == 1 ? " " : "s ")
                    + String.join(", ", unknown) + ". Known keys: " + String.join(", ", KEYS));
        }
    }

    private static int integer(JsonNode keys, String key, int absent) {
        if (!keys.hasNonNull(key)) {
            return absent;
        }
        if (!keys.get(key).isInt()) {
            throw new IllegalArgumentException("\"" + key + "\" must be a whole number, got " + keys.get(key));
        }
        return keys.get(key).asInt();
    }

    private static List<Integer> multipliers(JsonNode keys, VqConfig model) {
        if (!keys.hasNonNull(MULTIPLIERS)) {
            return model.channelMultipliers;
        }
        JsonNode given = keys.get(MULTIPLIERS);
        List<Integer> multipliers = new ArrayList<>();
        given.forEach(value -> multipliers.add(value.isInt() ? value.asInt() : 0));
        if (!given.isArray() || multipliers.isEmpty() || multipliers.contains(0)) {
            throw new IllegalArgumentException(
                    "\"" + MULTIPLIERS + "\" must be a list of whole numbers above 0, got " + given);
        }
        return multipliers;
    }

    /**
     * The content of a JSON file, which {@link #parse} reads back to an equal object.
     *
     * @return a JSON object
     */
    public String toJson() {
        ObjectNode json = JSON.createObjectNode();
        ArrayNode multipliers = json.putArray(MULTIPLIERS);
        channelMultipliers.forEach(multipliers::add);
        json.put(CHANNELS, channels);
        json.put(Z_CHANNELS, zChannels);
        json.put(CODEBOOK_SIZE, codebookSize);
        json.put(CODEBOOK_DIM, codebookDim);
        json.put(RESIDUAL_BLOCKS, residualBlocks);
        return json.toPrettyString();
    }

    /** {@return the sizes in words, for messages} */
    @Override
    public String toString() {
        return "VQ tokenizer of " + channels + " channels x " + Arrays.toString(channelMultipliers.toArray()) + ", z "
                + zChannels + ", codebook " + codebookSize + " x " + codebookDim
                + (residualBlocks == VQ_16.residualBlocks ? "" : ", " + residualBlocks + " residual blocks");
    }
}
