package org.npp4j.llamagen.tokenizer;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.DeserializationFeature;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ArrayNode;
import org.nd4j.shade.jackson.databind.node.ObjectNode;

/**
 * A KL autoencoder as a JSON file describes it: in the words of latent-diffusion's configurations, at the top or in an object
 * "config", or a {@code config.json} of diffusers.
 *
 * <table>
 * <caption>Keys; absent ones have Stable Diffusion's values</caption>
 * <tr><th>latent-diffusion</th><th>diffusers</th><th>meaning</th><th>default</th></tr>
 * <tr><td>ch, ch_mult</td><td>block_out_channels</td><td>channels of the levels</td><td>128, [1, 2, 4, 4]</td></tr>
 * <tr><td>num_res_blocks</td><td>layers_per_block</td><td>residual blocks of a level</td><td>2</td></tr>
 * <tr><td>z_channels, embed_dim</td><td>latent_channels</td><td>channels of latents</td><td>4</td></tr>
 * <tr><td>attn_resolutions with resolution</td><td>down_block_types, up_block_types</td><td>levels with
 *     attention</td><td>none</td></tr>
 * <tr><td>encoder_attention, decoder_attention</td><td></td><td>the same as lists of levels, 0 the finest</td><td>none</td></tr>
 * <tr><td>norm_num_groups</td><td>norm_num_groups</td><td>groups of the norms</td><td>32</td></tr>
 * <tr><td>scaling_factor</td><td>scaling_factor</td><td>what latents are multiplied with</td><td></td></tr>
 * </table>
 *
 * @param config the sizes
 * @param scalingFactor what latents are multiplied with to have unit variance, above 0; null if the file does not say it
 */
public record KlDescription(KlConfig config, Double scalingFactor) {
    private static final String SCALE = "scaling_factor";
    private static final String GROUPS = "norm_num_groups";
    private static final String WIDTHS = "block_out_channels";
    private static final List<String> KEYS = List.of(
            "ch",
            "ch_mult",
            "num_res_blocks",
            "z_channels",
            "embed_dim",
            "attn_resolutions",
            "resolution",
            "encoder_attention",
            "decoder_attention",
            GROUPS,
            SCALE);
    /** What latent-diffusion's files have beside; each is possible with one value alone. */
    private static final List<String> FIXED = List.of("double_z", "in_channels", "out_ch", "dropout");

    private static final ObjectMapper JSON = new ObjectMapper()
            .configure(JsonParser.Feature.STRICT_DUPLICATE_DETECTION, true)
            .configure(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, true);

    /**
     * Checks the factor.
     *
     * @param config the sizes
     * @param scalingFactor a finite number above 0, or null
     * @throws IllegalArgumentException if it is another number
     */
    public KlDescription {
        if (scalingFactor != null && !(scalingFactor > 0 && scalingFactor < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(SCALE + " must be a finite number above 0, got " + scalingFactor);
        }
    }

    /**
     * Reads a file.
     *
     * @param file JSON
     * @return what it describes
     * @throws IOException if the file cannot be read
     * @throws IllegalArgumentException if it does not describe a KL autoencoder; the message names the file and the key
     */
    public static KlDescription read(Path file) throws IOException {
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
     * @return what it describes
     * @throws IllegalArgumentException if it does not describe a KL autoencoder; the message names the key
     */
    public static KlDescription parse(String json) {
        JsonNode root;
        try {
            root = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        JsonNode keys = root.path("config").isObject() ? root.get("config") : root;
        if (!keys.isObject()) {
            throw new IllegalArgumentException(
                    "An autoencoder's configuration is a JSON object with keys such as ch_mult"
                            + " (latent-diffusion) or " + WIDTHS + " (diffusers), got " + keys.getNodeType());
        }
        Double scale = keys.hasNonNull(SCALE) ? number(keys, SCALE) : null;
        return new KlDescription(keys.has(WIDTHS) ? ofDiffusers(keys) : ofLatentDiffusion(keys), scale);
    }

    private static KlConfig ofLatentDiffusion(JsonNode keys) {
        Set<String> unknown = new TreeSet<>();
        for (Iterator<String> names = keys.fieldNames(); names.hasNext(); ) {
            String name = names.next();
            if (!KEYS.contains(name) && !FIXED.contains(name)) {
                unknown.add(name);
            }
        }
        if (!unknown.isEmpty()) {
            throw new IllegalArgumentException("Unknown key" + (unknown.size() == 1 ? " " : "s ")
                    + String.join(", ", unknown) + ". Known keys: " + String.join(", ", KEYS) + "; or those of a"
                    + " config.json of diffusers, with " + WIDTHS);
        }
        requireColour(keys, "in_channels");
        requireColour(keys, "out_ch");
        if (!keys.path("double_z").asBoolean(true)) {
            throw new IllegalArgumentException(
                    "\"double_z\" must be true: an autoencoder without variances is none here");
        }
        KlConfig.Builder builder = new KlConfig.Builder();
        KlConfig defaults = KlConfig.SD_F8;
        int z = integer(keys, "z_channels", integer(keys, "embed_dim", defaults.zChannels()));
        builder.channels(integer(keys, "ch", defaults.channels()))
                .channelMultipliers(integers(keys, "ch_mult", defaults.channelMultipliers()))
                .residualBlocks(integer(keys, "num_res_blocks", defaults.residualBlocks()))
                .zChannels(z)
                .latentChannels(integer(keys, "embed_dim", z))
                .groups(integer(keys, GROUPS, defaults.groups()));
        boolean byLevel = keys.has("encoder_attention") || keys.has("decoder_attention");
        int[] resolutions = array(integers(keys, "attn_resolutions", List.of()));
        if (byLevel && resolutions.length > 0) {
            throw new IllegalArgumentException("\"attn_resolutions\" and lists of levels (\"encoder_attention\","
                    + " \"decoder_attention\") exclude each other");
        }
        if (resolutions.length > 0) {
            builder.attentionResolutions(integer(keys, "resolution", 256), resolutions);
        } else {
            builder.encoderAttention(array(integers(keys, "encoder_attention", List.of())))
                    .decoderAttention(array(integers(keys, "decoder_attention", List.of())));
        }
        return builder.build();
    }

    private static KlConfig ofDiffusers(JsonNode keys) {
        requireColour(keys, "in_channels");
        requireColour(keys, "out_channels");
        for (String needed : List.of("use_quant_conv", "use_post_quant_conv", "mid_block_add_attention")) {
            if (!keys.path(needed).asBoolean(true)) {
                throw new IllegalArgumentException(
                        "\"" + needed + "\" must be true; autoencoders without it are not" + " known here");
            }
        }
        for (String shift : List.of("shift_factor", "latents_mean", "latents_std")) {
            if (keys.hasNonNull(shift)
                    && !(keys.get(shift).isNumber() && keys.get(shift).asDouble() == 0)) {
                throw new IllegalArgumentException(
                        "\"" + shift + "\" must be absent; latents are only multiplied here");
            }
        }
        if (!keys.path("act_fn").asText("silu").equals("silu")) {
            throw new IllegalArgumentException("\"act_fn\" must be \"silu\", got " + keys.get("act_fn"));
        }
        List<Integer> widths = integers(keys, WIDTHS, List.of());
        int channels = widths.isEmpty() ? 0 : widths.get(0);
        List<Integer> multipliers = new ArrayList<>();
        for (int width : widths) {
            if (width < 1 || width % channels != 0) {
                throw new IllegalArgumentException("\"" + WIDTHS + "\" must be multiples of the first, got " + widths);
            }
            multipliers.add(width / channels);
        }
        int last = widths.size() - 1;
        return new KlConfig.Builder()
                .channels(channels)
                .channelMultipliers(multipliers)
                .residualBlocks(integer(keys, "layers_per_block", 1))
                .latentChannels(integer(keys, "latent_channels", KlConfig.SD_F8.latentChannels()))
                .encoderAttention(
                        blocks(keys, "down_block_types", last + 1, "DownEncoderBlock2D", "AttnDownEncoderBlock2D")
                                .toArray())
                .decoderAttention(blocks(keys, "up_block_types", last + 1, "UpDecoderBlock2D", "AttnUpDecoderBlock2D")
                        .map(block -> last - block)
                        .toArray())
                .groups(integer(keys, GROUPS, KlConfig.PUBLISHED_GROUPS))
                .build();
    }

    /** The places of blocks with attention. */
    private static IntStream blocks(JsonNode keys, String key, int count, String plain, String attention) {
        JsonNode types = keys.path(key);
        if (types.isMissingNode()) {
            return IntStream.empty();
        }
        List<String> names = new ArrayList<>();
        types.forEach(type -> names.add(type.asText()));
        if (names.size() != count || !Stream.of(plain, attention).toList().containsAll(names)) {
            throw new IllegalArgumentException(
                    "\"" + key + "\" must be " + count + " times " + plain + " or " + attention + ", got " + types);
        }
        return IntStream.range(0, count).filter(i -> names.get(i).equals(attention));
    }

    private static void requireColour(JsonNode keys, String key) {
        if (integer(keys, key, 3) != 3) {
            throw new IllegalArgumentException(
                    "\"" + key + "\" must be 3, the channels of colour images, got " + keys.get(key));
        }
    }

    private static double number(JsonNode keys, String key) {
        if (!keys.get(key).isNumber()) {
            throw new IllegalArgumentException("\"" + key + "\" must be a number, got " + keys.get(key));
        }
        return keys.get(key).asDouble();
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

    private static List<Integer> integers(JsonNode keys, String key, List<Integer> absent) {
        if (!keys.hasNonNull(key)) {
            return absent;
        }
        JsonNode given = keys.get(key);
        List<Integer> numbers = new ArrayList<>();
        for (JsonNode number : given) {
            if (!number.isInt()) {
                numbers = null;
                break;
            }
            numbers.add(number.asInt());
        }
        if (!given.isArray() || numbers == null) {
            throw new IllegalArgumentException("\"" + key + "\" must be a list of whole numbers, got " + given);
        }
        return numbers;
    }

    private static int[] array(List<Integer> numbers) {
        return numbers.stream().mapToInt(Integer::intValue).toArray();
    }

    /**
     * The content of a JSON file, which {@link #parse} reads back to an equal object.
     *
     * @return a JSON object
     */
    public String toJson() {
        ObjectNode json = JSON.createObjectNode();
        json.put("ch", config.channels());
        put(json, "ch_mult", config.channelMultipliers());
        json.put("num_res_blocks", config.residualBlocks());
        json.put("z_channels", config.zChannels());
        json.put("embed_dim", config.latentChannels());
        put(json, "encoder_attention", config.encoderAttention());
        put(json, "decoder_attention", config.decoderAttention());
        json.put(GROUPS, config.groups());
        if (scalingFactor != null) {
            json.put(SCALE, scalingFactor);
        }
        return json.toPrettyString();
    }

    private static void put(ObjectNode json, String key, List<Integer> numbers) {
        ArrayNode array = json.putArray(key);
        numbers.forEach(array::add);
    }
}
