package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.FlowHead;
import org.npp4j.ecar.latents.LatentCodec;
import picocli.CommandLine.Option;

/** Options of {@code npp ecar-train} that decide the model. */
final class EcarModelOptions {
    private static final ObjectMapper JSON = new ObjectMapper();

    @Option(
            names = "--ecar-config",
            paramLabel = "FILE",
            description = "Sizes of the model: a JSON file, or JSON itself, with stages, dim, n_layer, n_head, head,"
                    + " head_width, head_blocks, head_heads. What the data say, channels, grid and num_classes, can be left"
                    + " out. Default: 3 stages, 4 layers of width 128.")
    private String config;

    @Option(
            names = "--head",
            paramLabel = "KIND",
            description = "Flow head without --ecar-config: mlp (each token for itself) or transformer (the tokens of a"
                    + " stage see each other). Default: that of EcarConfig.")
    private String head;

    @Option(
            names = "--class-dropout-p",
            paramLabel = "P",
            description = "How often the class is left out, for guidance. Default: 0.1.")
    private Double classDropout;

    @Option(
            names = "--dropout-p",
            paramLabel = "P",
            description = "Dropout of attention and feed-forward outputs. Default: 0.")
    private Double dropout;

    /** {@return the sizes that are given, as an object; empty for the defaults} */
    private ObjectNode given() throws IOException {
        if (config == null) {
            return JSON.createObjectNode();
        }
        String text = config.strip();
        if (!text.startsWith("{")) {
            Path file = Path.of(config);
            if (!Files.isRegularFile(file)) {
                throw new UsageException("--ecar-config: there is no file " + file);
            }
            text = Files.readString(file);
        }
        JsonNode root;
        try {
            root = JSON.readTree(text);
        } catch (JsonProcessingException e) {
            throw new UsageException("--ecar-config is not JSON: " + e.getOriginalMessage());
        }
        if (root == null || !root.isObject()) {
            throw new UsageException("--ecar-config must be a JSON object, such as {\"dim\": 128}");
        }
        return (ObjectNode) (root.path("config").isObject() ? root.get("config") : root);
    }

    /** {@return the side of the grid, if the model says it; else null} */
    Integer grid() throws IOException {
        JsonNode grid = given().path("grid");
        return grid.isInt() ? grid.intValue() : null;
    }

    /** {@return what the grid must be a multiple of, so that each stage has half the side of the next} */
    int gridMultiple() throws IOException {
        int stages = given().path("stages").asInt(EcarConfig.defaults().stages());
        // what is out of range is refused with the model
        return 1 << Math.max(0, Math.min(30, stages) - 1);
    }

    /**
     * The model.
     *
     * @param codec whose channels and grid it has
     * @param classes of the data
     * @throws UsageException if the options do not go together, or not with the data
     */
    EcarConfig model(LatentCodec codec, int classes) throws IOException {
        if (config != null && head != null) {
            throw new UsageException("--ecar-config and --head exclude each other: the file says which head");
        }
        ObjectNode sizes = given();
        putIfAbsent(sizes, "channels", codec.channels());
        putIfAbsent(sizes, "grid", codec.grid());
        putIfAbsent(sizes, "num_classes", classes);
        EcarConfig model;
        try {
            model = EcarConfig.parse(sizes.toString());
            model = model.withDropouts(
                    classDropout == null ? model.classDropout() : classDropout,
                    dropout == null ? model.dropout() : dropout);
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
        if (model.channels() != codec.channels() || model.grid() != codec.grid()) {
            throw new UsageException("The latents have " + codec.channels() + " channels on a grid of " + codec.grid()
                    + " x " + codec.grid() + ", but the model " + model.channels() + " on " + model.grid() + " x "
                    + model.grid() + ": change --block, or leave \"channels\" and \"grid\" out");
        }
        if (model.classes() < classes) {
            throw new UsageException("The images have " + classes + " classes, but the model " + model.classes());
        }
        return head == null ? model : model.withHead(namedHead());
    }

    private static void putIfAbsent(ObjectNode sizes, String key, int value) {
        if (!sizes.has(key)) {
            sizes.put(key, value);
        }
    }

    /** Heads of about the same number of operations. */
    private FlowHead namedHead() {
        return switch (head.toLowerCase(Locale.ROOT)) {
            case "mlp" -> new FlowHead.Mlp(256, 3);
            case "transformer" -> new FlowHead.Grid(160, 3, 5);
            default -> throw new UsageException("--head must be mlp or transformer, but is " + head);
        };
    }
}
