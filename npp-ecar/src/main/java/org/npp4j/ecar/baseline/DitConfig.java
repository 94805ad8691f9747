package org.npp4j.ecar.baseline;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.TreeSet;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

/**
 * The sizes of a diffusion transformer. As JSON it is an object with the keys channels, grid, patch, dim, n_layer, n_head,
 * num_classes and class_dropout.
 *
 * @param channels C of a latent
 * @param grid G, a multiple of the patch side
 * @param patch P
 * @param width D, a multiple of 4 x heads
 * @param layers blocks, at least 1
 * @param heads H
 * @param classes at least 1, without "no class"
 * @param classDropout probability of "no class" in training
 */
public record DitConfig(
        int channels, int grid, int patch, int width, int layers, int heads, int classes, double classDropout) {
    /** Width of a block's feed-forward part, in widths of the block. */
    static final int FEED_FORWARD_RATIO = 4;

    private static final ObjectMapper JSON = new ObjectMapper();

    /**
     * Checks that the sizes fit together.
     *
     * @param channels at least 1
     * @param grid a multiple of the patch side
     * @param patch at least 1
     * @param width a multiple of 4 x heads
     * @param layers at least 1
     * @param heads at least 1
     * @param classes at least 1
     * @param classDropout in [0, 1)
     * @throws IllegalArgumentException if they do not
     */
    public DitConfig {
        if (channels < 1 || layers < 1 || heads < 1 || classes < 1) {
            throw new IllegalArgumentException("A DiT needs channels, n_layer, n_head and num_classes of at least 1,"
                    + " got " + channels + ", " + layers + ", " + heads + " and " + classes);
        }
        if (patch < 1 || grid < 1 || grid % patch != 0) {
            throw new IllegalArgumentException(
                    "The grid must be a multiple of the patch side, got grid " + grid + " and patch " + patch);
        }
        if (width < 1 || width % (4 * heads) != 0) {
            throw new IllegalArgumentException("The width (dim) must be a multiple of 4 x heads (n_head), got width "
                    + width + " and " + heads + " heads");
        }
        if (!(classDropout >= 0 && classDropout < 1)) {
            throw new IllegalArgumentException(
                    "class_dropout is the probability of dropping, at least 0 and below 1, got " + classDropout);
        }
    }

    /**
     * DiT-XL/2 on the latents of 256 x 256 images: 675 million parameters in the paper, which also learns variances (twice
     * the output channels).
     *
     * @return the configuration
     */
    public static DitConfig xl2() {
        return new DitConfig(4, 32, 2, 1152, 28, 16, 1000, 0.1);
    }

    /** {@return T} */
    public int tokens() {
        return grid / patch * (grid / patch);
    }

    /** {@return numbers in a token, P x P x C} */
    public int tokenWidth() {
        return patch * patch * channels;
    }

    /** {@return F, the width of a block's feed-forward part} */
    public int feedForwardWidth() {
        return FEED_FORWARD_RATIO * width;
    }

    /** {@return how many parameters the model has} */
    public long parameters() {
        return DitParameters.of(this).stream()
                .mapToLong(parameter -> parameter.elements())
                .sum();
    }

    /** {@return the settings by their keys} */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("channels", channels);
        map.put("grid", grid);
        map.put("patch", patch);
        map.put("dim", width);
        map.put("n_layer", layers);
        map.put("n_head", heads);
        map.put("num_classes", classes);
        map.put("class_dropout", classDropout);
        return map;
    }

    /** {@return the settings as a JSON object, which {@link #parse} reads} */
    public String toJson() {
        try {
            return JSON.writeValueAsString(toMap());
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    /**
     * Reads a text.
     *
     * @param json an object with all keys
     * @return its settings
     * @throws IllegalArgumentException if it does not describe a DiT
     */
    public static DitConfig parse(String json) {
        JsonNode node;
        try {
            node = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        TreeSet<String> given = new TreeSet<>();
        if (node != null) {
            node.fieldNames().forEachRemaining(given::add);
        }
        TreeSet<String> known = new TreeSet<>(xl2().toMap().keySet());
        if (!given.equals(known)) {
            throw new IllegalArgumentException("A DiT is described by the keys " + known + ", got " + given);
        }
        return new DitConfig(
                whole(node, "channels"),
                whole(node, "grid"),
                whole(node, "patch"),
                whole(node, "dim"),
                whole(node, "n_layer"),
                whole(node, "n_head"),
                whole(node, "num_classes"),
                node.get("class_dropout").asDouble(-1));
    }

    private static int whole(JsonNode node, String key) {
        if (!node.get(key).isInt()) {
            throw new IllegalArgumentException("\"" + key + "\" must be a whole number, got " + node.get(key));
        }
        return node.get(key).intValue();
    }
}
