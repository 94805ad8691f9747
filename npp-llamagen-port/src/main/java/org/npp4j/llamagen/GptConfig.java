package org.npp4j.llamagen;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.DeserializationFeature;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.layers.TokenGrid;

/**
 * What a config.json says of a LlamaGen GPT: its sizes and the dropouts it is trained with.
 *
 * <p>The file holds one object with the keys below, or an object "config" with them beside anything else. {@code dim},
 * {@code n_layer} and {@code n_head} are required unless {@code gpt_model} names a published size; every other key has the
 * published default. Both spellings of a key mean the same. An unknown key is an error that lists the known ones.
 *
 * <table>
 * <caption>Keys</caption>
 * <tr><th>key</th><th>meaning</th><th>default</th></tr>
 * <tr><td>gpt_model, model</td><td>a {@link GptSize}: dim, n_layer and n_head, which need not be given and must agree if
 *     they are</td><td></td></tr>
 * <tr><td>dim</td><td>D</td><td></td></tr>
 * <tr><td>n_layer</td><td>transformer blocks</td><td></td></tr>
 * <tr><td>n_head</td><td>H</td><td></td></tr>
 * <tr><td>n_kv_head</td><td>G</td><td>n_head</td></tr>
 * <tr><td>kv_heads</td><td>G again; must agree</td><td></td></tr>
 * <tr><td>multiple_of</td><td>the feed-forward width is rounded up to a multiple of it</td><td>256</td></tr>
 * <tr><td>ffn_dim_multiplier</td><td>F = int(this x int(8/3 D)) before rounding</td><td>1</td></tr>
 * <tr><td>ffn_dim</td><td>F itself; must agree with multiple_of and ffn_dim_multiplier where they are given</td><td></td></tr>
 * <tr><td>vocab_size</td><td>V</td><td>16384</td></tr>
 * <tr><td>block_size</td><td>tokens of an image; a square grid unless "grid" says otherwise</td><td>256</td></tr>
 * <tr><td>grid</td><td>[rows, columns] of tokens</td><td>square</td></tr>
 * <tr><td>model_type, gpt_type</td><td>c2i (classes) or t2i (captions)</td><td>t2i if caption_dim is given, or if gpt_model
 *     is text-conditional and num_classes is not given; else c2i</td></tr>
 * <tr><td>num_classes</td><td>class labels, ignored with t2i</td><td>1000</td></tr>
 * <tr><td>cls_token_num</td><td>C</td><td>1 with c2i, 120 with t2i</td></tr>
 * <tr><td>caption_dim</td><td>width of caption vectors, ignored with c2i</td><td>2048</td></tr>
 * <tr><td>rope_base</td><td>base of the rotary frequencies</td><td>10000</td></tr>
 * <tr><td>norm_eps</td><td>added to mean squares</td><td>1e-5</td></tr>
 * <tr><td>class_dropout, class_dropout_prob</td><td>probability of "no class" or of the unconditional caption. With c2i, 0
 *     also means that the class table has no row for "no class"</td><td>0.1</td></tr>
 * <tr><td>token_dropout, token_dropout_p</td><td>dropout of the input sequence</td><td>0.1</td></tr>
 * <tr><td>resid_dropout, resid_dropout_p</td><td>dropout of the attention's output</td><td>0.1</td></tr>
 * <tr><td>ffn_dropout, ffn_dropout_p</td><td>dropout of the feed-forward output</td><td>0.1</td></tr>
 * <tr><td>drop_path_rate</td><td>stochastic depth of the last block</td><td>0</td></tr>
 * <tr><td>attn_dropout, attn_dropout_p</td><td>must be 0</td><td>0</td></tr>
 * <tr><td>initializer_range</td><td>must be 0.02</td><td>0.02</td></tr>
 * <tr><td>max_batch_size, max_seq_len</td><td>without effect</td><td></td></tr>
 * </table>
 *
 * @param spec the sizes
 * @param classDropout probability of "no class" or of the unconditional caption in training
 * @param tokenDropout dropout of the input sequence
 * @param residualDropout dropout of the attention's output
 * @param feedForwardDropout dropout of the feed-forward output
 * @param pathDropout stochastic depth of the last block
 */
public record GptConfig(
        GptSpec spec,
        double classDropout,
        double tokenDropout,
        double residualDropout,
        double feedForwardDropout,
        double pathDropout) {

    private static final double PUBLISHED_DROPOUT = 0.1;
    private static final double PUBLISHED_DEVIATION = 0.02;
    private static final int PUBLISHED_MULTIPLE = 256;

    /** Numbers are read as they are written; a key that occurs twice is a mistake. */
    private static final ObjectMapper JSON = new ObjectMapper()
            .configure(JsonParser.Feature.STRICT_DUPLICATE_DETECTION, true)
            .configure(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, true);

    /**
     * Checks the dropouts.
     *
     * @param spec the sizes
     * @param classDropout in [0, 1); above 0 exactly if the class table has a row for "no class"
     * @param tokenDropout in [0, 1)
     * @param residualDropout in [0, 1)
     * @param feedForwardDropout in [0, 1)
     * @param pathDropout in [0, 1)
     * @throws IllegalArgumentException if a dropout is out of its range
     */
    public GptConfig {
        Objects.requireNonNull(spec, "A GptConfig needs sizes: GptSpec.of(layers, heads, width).build()");
        LlamaGen.requireProbability(classDropout, "classDropout");
        LlamaGen.requireProbability(tokenDropout, "tokenDropout");
        LlamaGen.requireProbability(residualDropout, "residualDropout");
        LlamaGen.requireProbability(feedForwardDropout, "feedForwardDropout");
        LlamaGen.requireProbability(pathDropout, "pathDropout");
        if (!spec.textConditional() && spec.noClassRow() != classDropout > 0) {
            throw new IllegalArgumentException("In a config.json a class dropout above 0 and a row for \"no class\" go"
                    + " together, got class dropout " + classDropout + " and noClassRow(" + spec.noClassRow() + ")");
        }
    }

    /**
     * Sizes with the published dropouts: 0.1, but no class dropout without a row for "no class", and no stochastic depth.
     *
     * @param spec the sizes
     * @return the configuration
     */
    public static GptConfig of(GptSpec spec) {
        boolean droppable = spec.textConditional() || spec.noClassRow();
        return new GptConfig(
                spec, droppable ? PUBLISHED_DROPOUT : 0, PUBLISHED_DROPOUT, PUBLISHED_DROPOUT, PUBLISHED_DROPOUT, 0);
    }

    /**
     * Reads a file.
     *
     * @param file a config.json
     * @return its settings
     * @throws IOException if the file cannot be read
     * @throws IllegalArgumentException if it does not describe a GPT; the message names the file and the key
     */
    public static GptConfig read(Path file) throws IOException {
        try {
            return parse(Files.readString(file));
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException(file + ": This is not JSON, nor any text in UTF-8", e);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(file + ": " + e.getMessage(), e);
        }
    }

    /**
     * Reads the content of a config.json.
     *
     * @param json the text
     * @return its settings
     * @throws IllegalArgumentException if it does not describe a GPT; the message names the key
     */
    public static GptConfig parse(String json) {
        JsonNode root;
        try {
            root = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        JsonNode config = root.has("config") ? root.get("config") : root;
        if (!config.isObject()) {
            throw new IllegalArgumentException("A model's configuration is a JSON object with keys such as dim, n_layer"
                    + " and n_head, got " + config.getNodeType());
        }
        return of(new Keys(config));
    }

    private static GptConfig of(Keys keys) {
        keys.refuseUnknown();
        JsonNode name = keys.find(Key.MODEL);
        GptSize size = name == null ? null : GptSize.named(name.asText());
        int width = keys.sized(Key.WIDTH, size == null ? 0 : size.width(), size);
        int layers = keys.sized(Key.LAYERS, size == null ? 0 : size.layers(), size);
        int heads = keys.sized(Key.HEADS, size == null ? 0 : size.heads(), size);
        int keyValueHeads = keys.integer(Key.KEY_VALUE_HEADS, heads);
        keys.require(Key.DERIVED_KEY_VALUE_HEADS, keyValueHeads, "n_kv_head, or n_head without it");
        GptSpec.Builder spec = GptSpec.of(layers, heads, width)
                .keyValueHeads(keyValueHeads)
                .feedForwardWidth(feedForwardWidth(keys, width))
                .vocabulary(keys.integer(Key.VOCABULARY, 16384))
                .grid(grid(keys))
                .rotaryBase(keys.number(Key.ROTARY_BASE, 10000))
                .epsilon(keys.number(Key.EPSILON, 1e-5));
        double classDropout = keys.number(Key.CLASS_DROPOUT, PUBLISHED_DROPOUT);
        if (textConditional(keys, size)) {
            spec.captions(keys.integer(Key.CONDITION_TOKENS, 120), keys.integer(Key.CAPTION_WIDTH, 2048));
        } else {
            spec.classes(keys.integer(Key.CLASSES, 1000)).noClassRow(classDropout > 0);
            keys.require(
                    Key.CONDITION_TOKENS, 1, "a class is one token; captions (several) need \"model_type\": \"t2i\"");
        }
        keys.require(Key.ATTENTION_DROPOUT, 0, "there is no dropout inside the attention");
        keys.require(Key.DEVIATION, PUBLISHED_DEVIATION, "parameters are drawn with the published deviation");
        return new GptConfig(
                spec.build(),
                classDropout,
                keys.number(Key.TOKEN_DROPOUT, PUBLISHED_DROPOUT),
                keys.number(Key.RESIDUAL_DROPOUT, PUBLISHED_DROPOUT),
                keys.number(Key.FEED_FORWARD_DROPOUT, PUBLISHED_DROPOUT),
                keys.number(Key.PATH_DROPOUT, 0));
    }

    private static int feedForwardWidth(Keys keys, int width) {
        boolean rule = keys.find(Key.MULTIPLE) != null || keys.find(Key.MULTIPLIER) != null;
        int given = keys.integer(Key.FEED_FORWARD_WIDTH, 0);
        if (given != 0 && !rule) {
            return given;
        }
        long multiple = keys.integer(Key.MULTIPLE, PUBLISHED_MULTIPLE);
        double multiplier = keys.number(Key.MULTIPLIER, 1);
        if (multiple < 1 || !(multiplier > 0)) {
            throw new IllegalArgumentException("\"multiple_of\" must be at least 1 and \"ffn_dim_multiplier\" above 0,"
                    + " got " + multiple + " and " + multiplier);
        }
        double exact = Math.floor(multiplier * (8L * width / 3));
        double rounded = Math.ceil(exact / multiple) * multiple;
        if (!(rounded <= Integer.MAX_VALUE)) {
            throw new IllegalArgumentException("A feed-forward width of " + rounded + ", which follows from dim "
                    + width + ", multiple_of " + multiple + " and ffn_dim_multiplier " + multiplier + ", is too large");
        }
        int derived = (int) rounded;
        if (given != 0 && given != derived) {
            throw new IllegalArgumentException("\"ffn_dim\" " + given + " does not agree with " + derived
                    + ", which follows from dim " + width + ", multiple_of " + multiple + " and ffn_dim_multiplier "
                    + multiplier + ". Leave ffn_dim or the other two out");
        }
        return derived;
    }

    private static TokenGrid grid(Keys keys) {
        JsonNode sides = keys.find(Key.GRID);
        if (sides == null) {
            int tokens = keys.integer(Key.TOKENS, 256);
            int side = (int) Math.round(Math.sqrt(tokens));
            if (side < 1 || side * side != tokens) {
                throw new IllegalArgumentException("\"block_size\" " + tokens + " is not the token count of a square"
                        + " grid. Add \"grid\": [rows, columns]");
            }
            return TokenGrid.of(side, side);
        }
        if (!sides.isArray()
                || sides.size() != 2
                || !sides.get(0).isInt()
                || !sides.get(1).isInt()) {
            throw new IllegalArgumentException("\"grid\" must be [rows, columns], two whole numbers, got " + sides);
        }
        TokenGrid grid = TokenGrid.of(sides.get(0).asInt(), sides.get(1).asInt());
        keys.require(Key.TOKENS, grid.tokens(), "the tokens of the " + grid + " that \"grid\" gives");
        return grid;
    }

    private static boolean textConditional(Keys keys, GptSize size) {
        JsonNode type = keys.find(Key.TYPE);
        if (type == null) {
            boolean namedText = size != null && size.textConditional() && keys.find(Key.CLASSES) == null;
            return namedText || keys.find(Key.CAPTION_WIDTH) != null;
        }
        return switch (type.asText()) {
            case "c2i" -> false;
            case "t2i" -> true;
            default -> throw new IllegalArgumentException(
                    "\"model_type\" must be c2i (classes) or t2i (captions), got " + type);
        };
    }

    /**
     * The content of a config.json, which {@link #parse} reads back to an equal object.
     *
     * @return a JSON object
     */
    public String toJson() {
        ObjectNode json = JSON.createObjectNode();
        json.put("model_type", spec.textConditional() ? "t2i" : "c2i");
        json.put("dim", spec.width());
        json.put("n_layer", spec.layers());
        json.put("n_head", spec.heads());
        json.put("n_kv_head", spec.keyValueHeads());
        json.put("ffn_dim", spec.feedForwardWidth());
        json.put("vocab_size", spec.vocabulary());
        json.put("block_size", spec.grid().tokens());
        if (spec.grid().getHeight() != spec.grid().getWidth()) {
            json.putArray("grid").add(spec.grid().getHeight()).add(spec.grid().getWidth());
        }
        json.put("cls_token_num", spec.conditionTokens());
        if (spec.textConditional()) {
            json.put("caption_dim", spec.captionWidth());
        } else {
            json.put("num_classes", spec.classes());
        }
        json.put("rope_base", spec.rotaryBase());
        json.put("norm_eps", spec.epsilon());
        json.put("class_dropout", classDropout);
        json.put("token_dropout", tokenDropout);
        json.put("resid_dropout", residualDropout);
        json.put("ffn_dropout", feedForwardDropout);
        json.put("drop_path_rate", pathDropout);
        return json.toPrettyString();
    }

    /** The keys in the order of the documentation, each with its spellings. */
    private enum Key {
        MODEL("gpt_model", "model"),
        WIDTH("dim"),
        LAYERS("n_layer"),
        HEADS("n_head"),
        KEY_VALUE_HEADS("n_kv_head"),
        DERIVED_KEY_VALUE_HEADS("kv_heads"),
        MULTIPLE("multiple_of"),
        MULTIPLIER("ffn_dim_multiplier"),
        FEED_FORWARD_WIDTH("ffn_dim"),
        VOCABULARY("vocab_size"),
        TOKENS("block_size"),
        GRID("grid"),
        TYPE("model_type", "gpt_type"),
        CLASSES("num_classes"),
        CONDITION_TOKENS("cls_token_num"),
        CAPTION_WIDTH("caption_dim"),
        ROTARY_BASE("rope_base"),
        EPSILON("norm_eps"),
        CLASS_DROPOUT("class_dropout", "class_dropout_prob"),
        TOKEN_DROPOUT("token_dropout", "token_dropout_p"),
        RESIDUAL_DROPOUT("resid_dropout", "resid_dropout_p"),
        FEED_FORWARD_DROPOUT("ffn_dropout", "ffn_dropout_p"),
        PATH_DROPOUT("drop_path_rate"),
        ATTENTION_DROPOUT("attn_dropout", "attn_dropout_p"),
        DEVIATION("initializer_range"),
        WITHOUT_EFFECT("max_batch_size", "max_seq_len");

        private final String[] spellings;

        Key(String... spellings) {
            this.spellings = spellings;
        }

        @Override
        public String toString() {
            return "\"" + spellings[0] + "\"";
        }
    }

    /** The values of a JSON object under the known keys. null counts as absent, as in Python's optional settings. */
    private record Keys(JsonNode object) {

        void refuseUnknown() {
            Set<String> unknown = new TreeSet<>();
            for (Iterator<String> names = object.fieldNames(); names.hasNext(); ) {
                String name = names.next();
                if (Arrays.stream(Key.values())
                        .noneMatch(key -> Arrays.asList(key.spellings).contains(name))) {
                    unknown.add(name);
                }
            }
            if (!unknown.isEmpty()) {
                StringBuilder known = new StringBuilder();
                for (Key key : Key.values()) {
                    known.append(known.isEmpty() ? "" : ", ").append(String.join(" or ", key.spellings));
                }
                throw new IllegalArgumentException("Unknown key" + (unknown.size() == 1 ? " " : "s ")
                        + String.join(", ", unknown) + ". Known keys: " + known);
            }
        }

        /** The value, or null. Two spellings must not contradict each other. */
        JsonNode find(Key key) {
            JsonNode found = null;
            for (String spelling : key.spellings) {
                JsonNode value = object.get(spelling);
                if (value == null || value.isNull()) {
                    continue;
                }
                if (found != null && !found.equals(value)) {
                    throw new IllegalArgumentException("\"" + String.join("\" and \"", key.spellings)
                            + "\" mean the same, but are " + found + " and " + value + ". Leave one of them out");
                }
                found = value;
            }
            return found;
        }

        int integer(Key key, int absent) {
            JsonNode value = find(key);
            if (value != null && !value.isInt()) {
                throw new IllegalArgumentException(key + " must be a whole number, got " + value);
            }
            return value == null ? absent : value.asInt();
        }

        double number(Key key, double absent) {
            JsonNode value = find(key);
            if (value != null && !value.isNumber()) {
                throw new IllegalArgumentException(key + " must be a number, got " + value);
            }
            return value == null ? absent : value.asDouble();
        }

        /** A key that a named size decides; without one it is required. */
        int sized(Key key, int ofSize, GptSize size) {
            int value = integer(key, ofSize);
            if (value == 0) {
                throw new IllegalArgumentException(
                        key + " is missing. Give dim, n_layer and n_head, or \"gpt_model\" with a published name");
            }
            if (size != null && value != ofSize) {
                throw new IllegalArgumentException(key + " " + value + " does not agree with " + ofSize + " of " + size
                        + ". Leave one of them out");
            }
            return value;
        }

        void require(Key key, double only, String reason) {
            double value = number(key, only);
            if (value != only) {
                String wanted = only == Math.rint(only) ? Long.toString((long) only) : Double.toString(only);
                throw new IllegalArgumentException(key + " must be " + wanted + ", got " + find(key) + ": " + reason);
            }
        }
    }
}
