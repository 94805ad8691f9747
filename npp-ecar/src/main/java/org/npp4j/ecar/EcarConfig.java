package org.npp4j.ecar;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.layers.StageLengths;
import org.npp4j.llamagen.training.TrainingSettings;

/**
 * The sizes of a model and the dropouts it is trained with.
 *
 * <p>In a file it is one JSON object with the keys below, or an object "config" with them beside anything else. An unknown
 * key is an error that lists the known ones.
 *
 * <table>
 * <caption>Keys</caption>
 * <tr><th>key</th><th>meaning</th><th>default</th></tr>
 * <tr><td>channels</td><td>C of a latent</td><td>16</td></tr>
 * <tr><td>grid</td><td>G, side of the finest grid</td><td>8</td></tr>
 * <tr><td>stages</td><td>S</td><td>3</td></tr>
 * <tr><td>dim</td><td>D of the transformer</td><td>128</td></tr>
 * <tr><td>n_layer</td><td>transformer blocks</td><td>4</td></tr>
 * <tr><td>n_head</td><td>heads of a block</td><td>4</td></tr>
 * <tr><td>head</td><td>flow head: mlp or transformer</td><td>transformer, but see below</td></tr>
 * <tr><td>head_width</td><td>its width</td><td>160, of an mlp 256</td></tr>
 * <tr><td>head_blocks</td><td>its blocks</td><td>3</td></tr>
 * <tr><td>head_heads</td><td>heads of a block of a transformer head</td><td>5</td></tr>
 * <tr><td>num_classes</td><td>classes, without "no class"</td><td>10</td></tr>
 * <tr><td>class_dropout</td><td>probability of "no class" in training</td><td>0.1</td></tr>
 * <tr><td>dropout</td><td>of the outputs of attention and feed-forward part</td><td>0</td></tr>
 * </table>
 *
 * <p>A description with head_width or head_blocks, but neither head nor head_heads, is that of a model with an mlp: those that
 * know no other head look so.
 *
 * <p>All of it is reconstruction: no sizes of ECAR are known.
 *
 * @param channels C
 * @param grid G, a multiple of 2^(S - 1)
 * @param stages S, at least 2
 * @param width D, a multiple of 4 x heads
 * @param layers transformer blocks, at least 1
 * @param heads H
 * @param classes at least 1
 * @param classDropout probability of "no class" in training
 * @param dropout of the outputs of attention and feed-forward part
 * @param head what computes velocities
 */
public record EcarConfig(
        int channels,
        int grid,
        int stages,
        int width,
        int layers,
        int heads,
        int classes,
        double classDropout,
        double dropout,
        FlowHead head) {
    private static final int FEED_FORWARD_MULTIPLE = 32;
    private static final String MLP = "mlp";
    private static final String TRANSFORMER = "transformer";
    private static final ObjectMapper JSON =
            new ObjectMapper().configure(JsonParser.Feature.STRICT_DUPLICATE_DETECTION, true);

    /**
     * Checks that the sizes fit together.
     *
     * @param channels at least 1
     * @param grid a multiple of 2^(stages - 1)
     * @param stages at least 2
     * @param width a multiple of 4 x heads
     * @param layers at least 1
     * @param heads at least 1
     * @param classes at least 1
     * @param classDropout in [0, 1)
     * @param dropout in [0, 1)
     * @param head what computes velocities
     * @throws IllegalArgumentException if they do not
     */
    public EcarConfig {
        Objects.requireNonNull(head, "An ECAR needs a flow head, such as new FlowHead.Mlp(256, 3)");
        requireAtLeast("channels", channels, 1);
        requireAtLeast("stages", stages, 2);
        requireAtLeast("n_layer", layers, 1);
        requireAtLeast("n_head", heads, 1);
        requireAtLeast("num_classes", classes, 1);
        if (stages > 30 || grid < 1 || grid % (1 << stages - 1) != 0) {
            throw new IllegalArgumentException("The grid must be a multiple of 2^(stages - 1), so that each stage has"
                    + " half the side of the next, got grid " + grid + " and " + stages + " stages");
        }
        if (width < 1 || width % (4 * heads) != 0) {
            throw new IllegalArgumentException("The width (dim) must be a multiple of 4 x heads (n_head), got width "
                    + width + " and " + heads + " heads");
        }
        requireProbability("class_dropout", classDropout);
        requireProbability("dropout", dropout);
    }

    private static void requireAtLeast(String key, int value, int least) {
        if (value < least) {
            throw new IllegalArgumentException("An ECAR needs " + key + " of at least " + least + ", got " + value);
        }
    }

    private static void requireProbability(String key, double value) {
        if (!(value >= 0 && value < 1)) {
            throw new IllegalArgumentException(
                    key + " is the probability of dropping, at least 0 and below 1, got " + value);
        }
    }

    /** {@return the defaults of all keys} */
    public static EcarConfig defaults() {
        return parse("{}");
    }

    /**
     * The same with another head.
     *
     * @param other the head
     * @return a copy
     */
    public EcarConfig withHead(FlowHead other) {
        return new EcarConfig(channels, grid, stages, width, layers, heads, classes, classDropout, dropout, other);
    }

    /**
     * The same with other dropouts.
     *
     * @param ofClasses probability of "no class" in training
     * @param ofBlocks of the outputs of attention and feed-forward part
     * @return a copy
     */
    public EcarConfig withDropouts(double ofClasses, double ofBlocks) {
        return new EcarConfig(channels, grid, stages, width, layers, heads, classes, ofClasses, ofBlocks, head);
    }

    /**
     * The side of a stage's grid.
     *
     * @param stage from 0, the coarsest
     * @return G / 2^(S - 1 - stage)
     */
    public int side(int stage) {
        return grid >> (stages - 1 - stage);
    }

    /** {@return the tokens of each stage} */
    public StageLengths stageLengths() {
        return StageLengths.of(
                IntStream.range(0, stages).map(s -> side(s) * side(s)).toArray());
    }

    /** {@return shares of noise} */
    public NoiseWindows windows() {
        return NoiseWindows.of(stages);
    }

    /**
     * The width of a block's feed-forward part: int(8/3 of the width), rounded up to a multiple of {@value
     * #FEED_FORWARD_MULTIPLE}.
     *
     * @param width of the block
     * @return F
     */
    public static int feedForwardWidth(int width) {
        int hidden = Math.toIntExact(2L * 4 * width / 3);
        return (hidden + FEED_FORWARD_MULTIPLE - 1) / FEED_FORWARD_MULTIPLE * FEED_FORWARD_MULTIPLE;
    }

    /** {@return how many parameters the model has} */
    public long parameters() {
        return EcarParameter.of(this).stream()
                .mapToLong(EcarParameter::elements)
                .sum();
    }

    /**
     * Whether a description is that of an ECAR.
     *
     * @param config a config.json
     * @return whether it says how many stages there are
     * @throws IOException if it cannot be read
     */
    public static boolean describes(Path config) throws IOException {
        try {
            return model(JSON.readTree(Files.readString(config))).has("stages");
        } catch (JsonProcessingException | CharacterCodingException e) {
            return false;
        }
    }

    private static JsonNode model(JsonNode json) {
        return json.has("config") ? json.get("config") : json;
    }

    /**
     * Reads a file.
     *
     * @param file a config.json
     * @return its settings
     * @throws IOException if the file cannot be read
     * @throws IllegalArgumentException if it does not describe an ECAR; the message names the file and the key
     */
    public static EcarConfig read(Path file) throws IOException {
        try {
            return parse(Files.readString(file));
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException(file + " is not JSON, nor any text in UTF-8", e);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
        }
    }

    /**
     * Reads a text.
     *
     * @param json an object, see above
     * @return its settings
     * @throws IllegalArgumentException if it does not describe an ECAR
     */
    public static EcarConfig parse(String json) {
        JsonNode root;
        try {
            root = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        if (root == null || !model(root).isObject()) {
            throw new IllegalArgumentException("A configuration is a JSON object, such as {\"channels\": 16}");
        }
        return parse(model(root));
    }

    /** The settings of an object. */
    static EcarConfig parse(JsonNode object) {
        Keys keys = new Keys(object);
        EcarConfig config = new EcarConfig(
                keys.whole("channels", 16),
                keys.whole("grid", 8),
                keys.whole("stages", 3),
                keys.whole("dim", 128),
                keys.whole("n_layer", 4),
                keys.whole("n_head", 4),
                keys.whole("num_classes", 10),
                keys.number("class_dropout", 0.1),
                keys.number("dropout", 0),
                head(keys));
        keys.requireNoOther("an ECAR");
        return config;
    }

    private static FlowHead head(Keys keys) {
        String kind = keys.text("head", keys.givesSizesOfAnMlp() ? MLP : TRANSFORMER);
        int width = keys.whole("head_width", kind.equals(MLP) ? 256 : 160);
        int blocks = keys.whole("head_blocks", 3);
        int heads = keys.whole("head_heads", 5);
        return switch (kind) {
            case MLP -> new FlowHead.Mlp(width, blocks);
            case TRANSFORMER -> new FlowHead.Grid(width, blocks, heads);
            default -> throw new IllegalArgumentException(
                    "\"head\" is " + MLP + " or " + TRANSFORMER + ", got " + kind);
        };
    }

    /** {@return the settings by their keys, as a file has them} */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("channels", channels);
        map.put("grid", grid);
        map.put("stages", stages);
        map.put("dim", width);
        map.put("n_layer", layers);
        map.put("n_head", heads);
        map.put("head", head instanceof FlowHead.Mlp ? MLP : TRANSFORMER);
        map.put("head_width", head.width());
        map.put("head_blocks", head.blocks());
        if (head instanceof FlowHead.Grid transformer) {
            map.put("head_heads", transformer.heads());
        }
        map.put("num_classes", classes);
        map.put("class_dropout", classDropout);
        map.put("dropout", dropout);
        return map;
    }

    /** {@return the settings as a JSON object, which {@link #parse} reads} */
    public String toJson() {
        try {
            return JSON.writerWithDefaultPrettyPrinter().writeValueAsString(toMap());
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Values of a JSON object, and which keys were asked for. */
    static final class Keys implements TrainingSettings.Keys {
        private final JsonNode object;
        private final List<String> known = new ArrayList<>();

        Keys(JsonNode object) {
            this.object = object;
        }

        /** The value of a key; null if there is none. */
        JsonNode value(String key) {
            known.add(key);
            JsonNode value = object.get(key);
            return value == null || value.isNull() ? null : value;
        }

        boolean givesSizesOfAnMlp() {
            return (object.has("head_width") || object.has("head_blocks")) && !object.has("head_heads");
        }

        @Override
        public int whole(String key, int otherwise) {
            JsonNode value = value(key);
            if (value != null && !value.isInt()) {
                throw new IllegalArgumentException("\"" + key + "\" must be a whole number, got " + value);
            }
            return value == null ? otherwise : value.intValue();
        }

        @Override
        public long wholeLong(String key, long otherwise) {
            JsonNode value = value(key);
            if (value != null && !value.isIntegralNumber()) {
                throw new IllegalArgumentException("\"" + key + "\" must be a whole number, got " + value);
            }
            return value == null ? otherwise : value.longValue();
        }

        @Override
        public boolean flag(String key, boolean otherwise) {
            JsonNode value = value(key);
            if (value != null && !value.isBoolean()) {
                throw new IllegalArgumentException("\"" + key + "\" must be true or false, got " + value);
            }
            return value == null ? otherwise : value.booleanValue();
        }

        @Override
        public double number(String key, double otherwise) {
            JsonNode value = value(key);
            if (value != null && !value.isNumber()) {
                throw new IllegalArgumentException("\"" + key + "\" must be a number, got " + value);
            }
            return value == null ? otherwise : value.doubleValue();
        }

        @Override
        public String text(String key, String otherwise) {
            JsonNode value = value(key);
            if (value != null && !value.isTextual()) {
                throw new IllegalArgumentException("\"" + key + "\" must be a text, got " + value);
            }
            return value == null ? otherwise : value.textValue();
        }

        void requireNoOther(String what) {
            object.fieldNames().forEachRemaining(key -> {
                if (!known.contains(key)) {
                    throw new IllegalArgumentException(
                            "\"" + key + "\" is no key of " + what + ". Known are: " + known);
                }
            });
        }
    }
}
