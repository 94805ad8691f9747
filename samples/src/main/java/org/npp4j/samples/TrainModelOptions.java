package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import picocli.CommandLine.Option;

/** Options of {@code npp train} that decide the model. */
final class TrainModelOptions {
    private static final int IMAGE_SIZE = 256;
    private static final int DOWNSAMPLING = 16;
    private static final int VOCABULARY = 16384;
    private static final int CLASSES = 1000;

    @Option(
            names = "--gpt-model",
            paramLabel = "NAME",
            description = "Published size: GPT-B, GPT-L, GPT-XL, GPT-XXL, GPT-XXXL. Default: GPT-B.")
    private String name;

    @Option(
            names = "--gpt-config",
            paramLabel = "FILE",
            description = "An own size instead: a JSON file, or JSON itself, with dim, n_layer, n_head.")
    private String config;

    @Option(
            names = "--gpt-type",
            paramLabel = "TYPE",
            defaultValue = "c2i",
            description = "c2i: classes. (t2i, captions, cannot be trained yet.)")
    private String type;

    @Option(
            names = "--image-size",
            paramLabel = "N",
            description = "Side of the images in pixels. Default: 256; or what the codes or the tokenizer say.")
    private Integer imageSize;

    @Option(
            names = "--downsample-size",
            paramLabel = "F",
            description = "Pixels of a token in each direction. Default: 16; or what the codes or the tokenizer say.")
    private Integer downsampling;

    @Option(names = "--num-classes", paramLabel = "K", description = "Classes. Default: 1000; or what the data say.")
    private Integer classes;

    @Option(
            names = "--vocab-size",
            paramLabel = "V",
            description = "Codes of the tokenizer. Default: 16384; or what the codes or the tokenizer say.")
    private Integer vocabulary;

    @Option(
            names = "--cls-token-num",
            paramLabel = "C",
            defaultValue = "1",
            description = "Tokens of the condition: 1 for a class.")
    private int conditionTokens;

    /** The published name, or words for an own size. */
    String label() {
        return config != null
                ? "GPT"
                : name == null ? "GPT-B" : GptSize.named(name).label();
    }

    /**
     * The sizes.
     *
     * @param data what the data say of vocabulary, grid and classes, or null for each
     * @throws IllegalArgumentException if the options do not go together, or not with the data
     */
    GptSpec spec(TrainingData data) throws IOException {
        if (!type.equals("c2i")) {
            throw new IllegalArgumentException(
                    "--gpt-type must be c2i (classes): captions cannot be trained yet, got " + type);
        }
        if (conditionTokens != 1) {
            throw new IllegalArgumentException(
                    "--cls-token-num must be 1, as a class is one token, got " + conditionTokens);
        }
        GptSpec.Builder spec;
        boolean own = config != null;
        if (own) {
            String json = config.strip();
            spec = (json.startsWith("{") ? GptConfig.parse(json) : GptConfig.read(Path.of(config))).spec().toBuilder();
        } else {
            spec = GptSize.named(name == null ? "GPT-B" : name).spec();
        }
        GptSpec sizes = spec.build();
        if (sizes.textConditional()) {
            throw new IllegalArgumentException(
                    "--gpt-model " + name + " is conditioned on captions, which cannot be trained yet."
                            + " Choose GPT-B, GPT-L, GPT-XL, GPT-XXL or GPT-XXXL");
        }
        spec.vocabulary(agreed("--vocab-size", vocabulary, data.vocabulary(), own ? sizes.vocabulary() : VOCABULARY));
        spec.classes(agreed("--num-classes", classes, data.classes(), own ? sizes.classes() : CLASSES));
        spec.grid(grid(data.grid(), own ? sizes.grid() : null));
        GptSpec built = spec.build();
        data.requireFits(built);
        return built;
    }

    private TokenGrid grid(TokenGrid ofData, TokenGrid ofConfig) {
        if (imageSize == null && downsampling == null && (ofData != null || ofConfig != null)) {
            return ofData != null ? ofData : ofConfig;
        }
        int pixels = imageSize == null ? IMAGE_SIZE : imageSize;
        int factor = downsampling == null ? DOWNSAMPLING : downsampling;
        if (pixels < 1 || factor < 1 || pixels % factor != 0) {
            throw new IllegalArgumentException(
                    "--downsample-size must divide --image-size, got " + factor + " and " + pixels);
        }
        TokenGrid grid = TokenGrid.of(pixels / factor, pixels / factor);
        if (ofData != null && !ofData.equals(grid)) {
            throw new IllegalArgumentException("--image-size and --downsample-size give a " + grid
                    + ", the codes are of a " + ofData + ". Leave them out");
        }
        return grid;
    }

    private static int agreed(String option, Integer given, Integer ofData, int otherwise) {
        if (given != null && ofData != null && !given.equals(ofData)) {
            throw new IllegalArgumentException(
                    option + " is " + given + ", but the data have " + ofData + ". Leave it out");
        }
        return given != null ? given : ofData != null ? ofData : otherwise;
    }
}
