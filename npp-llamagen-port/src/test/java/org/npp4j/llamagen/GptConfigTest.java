package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;

class GptConfigTest {
    private static final Map<Integer, TokenGrid> SIDES = Map.of(36, TokenGrid.of(6, 6), 64, TokenGrid.of(8, 8));
    private static final String SMALL = "\"dim\": 32, \"n_layer\": 2, \"n_head\": 4";

    @ParameterizedTest
    @ValueSource(strings = {"gpt-tiny", "gpt-gqa"})
    void readsTheFixtures(String name) throws IOException {
        GoldenGpt golden = new GoldenGpt(name);
        JsonNode c = golden.info().get("config");
        GptSpec spec = GptSpec.of(
                        c.get("n_layer").asInt(),
                        c.get("n_head").asInt(),
                        c.get("dim").asInt())
                .keyValueHeads(c.get("kv_heads").asInt())
                .feedForwardMultiple(c.get("multiple_of").asInt())
                .vocabulary(c.get("vocab_size").asInt())
                .classes(c.get("num_classes").asInt())
                .grid(SIDES.get(c.get("block_size").asInt()))
                .build();
        Path file = GoldenGpt.resource(name + ".json").toPath();
        assertEquals(spec, GptSpec.read(file));
        assertEquals(new GptConfig(spec, 0.1, 0, 0, 0, 0), GptConfig.read(file));
        String bare = golden.info().get("config").toString();
        assertEquals(GptConfig.read(file), GptConfig.parse(bare));
    }

    @Test
    void absentKeysHaveThePublishedValues() {
        GptConfig read = parse(SMALL);
        GptSpec published = GptSpec.of(2, 4, 32).build();
        assertEquals(GptConfig.of(published), read);
        assertEquals(new GptConfig(published, 0.1, 0.1, 0.1, 0.1, 0), read);
        assertEquals(read, parse(SMALL + ", \"n_kv_head\": null, \"ffn_dim_multiplier\": null, \"max_batch_size\": 8"));
    }

    @Test
    void everyKeyCounts() {
        GptConfig read = parse(SMALL
                + ", \"n_kv_head\": 2, \"kv_heads\": 2, \"multiple_of\": 16, \"ffn_dim_multiplier\": 1.5,"
                + " \"ffn_dim\": 128, \"vocab_size\": 11, \"block_size\": 24, \"grid\": [4, 6], \"model_type\": \"c2i\","
                + " \"num_classes\": 5, \"cls_token_num\": 1, \"rope_base\": 100, \"norm_eps\": 1e-6,"
                + " \"class_dropout_prob\": 0.2, \"token_dropout_p\": 0.3, \"resid_dropout_p\": 0.4,"
                + " \"ffn_dropout_p\": 0.5, \"drop_path_rate\": 0.6, \"attn_dropout_p\": 0.0,"
                + " \"initializer_range\": 0.02");
        GptSpec spec = GptSpec.of(2, 4, 32)
                .keyValueHeads(2)
                .feedForwardWidth(128)
                .vocabulary(11)
                .grid(TokenGrid.of(4, 6))
                .classes(5)
                .rotaryBase(100)
                .epsilon(1e-6)
                .build();
        assertEquals(new GptConfig(spec, 0.2, 0.3, 0.4, 0.5, 0.6), read);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'' | 256",
                "'\"multiple_of\": 16' | 96",
                "'\"multiple_of\": 1' | 85",
                "'\"multiple_of\": 1, \"ffn_dim_multiplier\": 1.3' | 110",
                "'\"ffn_dim_multiplier\": 4' | 512",
                "'\"ffn_dim\": 77' | 77",
                "'\"ffn_dim\": 96, \"multiple_of\": 32' | 96",
            })
    void feedForwardWidths(String keys, int expected) {
        assertEquals(
                expected,
                parse(SMALL + (keys.isEmpty() ? "" : ", " + keys)).spec().feedForwardWidth());
    }

    @Test
    void noClassDropoutMeansNoClassRow() {
        GptConfig read = parse(SMALL + ", \"num_classes\": 7, \"class_dropout\": 0");
        assertEquals(7, read.spec().classRows());
        assertEquals(0, read.classDropout());
        assertEquals(8, parse(SMALL + ", \"num_classes\": 7").spec().classRows());
    }

    @ParameterizedTest
    @CsvSource({
        "'\"gpt_model\": \"GPT-XL\"', false",
        "'\"model\": \"gpt-xl\", \"model_type\": \"t2i\"', true",
        "'\"gpt_model\": \"GPT-XL\", \"caption_dim\": 2048', true",
        "'\"gpt_model\": \"GPT-3B\"', true",
        "'\"gpt_model\": \"GPT-3B\", \"num_classes\": 1000', false",
        "'\"gpt_model\": \"GPT-3B\", \"gpt_type\": \"c2i\"', false",
    })
    void classesOrCaptions(String keys, boolean captions) {
        GptSpec spec = parse(keys).spec();
        assertEquals(captions, spec.textConditional());
        assertEquals(captions ? 120 : 1, spec.conditionTokens());
        assertEquals(captions ? 2048 : 0, spec.captionWidth());
        assertEquals(captions ? 0 : 1001, spec.classRows());
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6, 7, 8})
    void roundTrip(long seed, @TempDir Path folder) throws IOException {
        Random random = new Random(seed);
        int heads = 1 + random.nextInt(4);
        GptSpec.Builder spec = GptSpec.of(1 + random.nextInt(9), heads, heads * 4 * (1 + random.nextInt(9)))
                .feedForwardMultiple(1 + random.nextInt(99))
                .vocabulary(1 + random.nextInt(999))
                .grid(TokenGrid.of(1 + random.nextInt(5), 1 + random.nextInt(5)))
                .rotaryBase(100 * random.nextDouble())
                .epsilon(random.nextDouble());
        if (random.nextBoolean()) {
            spec.captions(1 + random.nextInt(9), 1 + random.nextInt(99));
        } else {
            spec.classes(1 + random.nextInt(9)).noClassRow(random.nextBoolean());
        }
        GptSpec built = spec.build();
        GptConfig config = GptConfig.of(built);
        assertEquals(config, GptConfig.parse(config.toJson()), config::toJson);
        Path file = Files.writeString(folder.resolve("config.json"), "{\"config\": " + config.toJson() + ", \"x\": 1}");
        assertEquals(built, GptSpec.read(file));
        assertEquals(built, built.toBuilder().build());
    }

    @Test
    void dropoutsReachTheNetwork() {
        GptConfig config = parse(SMALL + ", \"vocab_size\": 7, \"num_classes\": 3, \"block_size\": 4,"
                + " \"class_dropout\": 0.2, \"token_dropout\": 0.25, \"resid_dropout\": 0.4, \"ffn_dropout\": 0.5,"
                + " \"drop_path_rate\": 0.6");
        ComputationGraph network = LlamaGen.of(config).init();
        TransformerBlock last =
                (TransformerBlock) network.getLayer(LlamaGen.block(1)).conf().getLayer();
        assertEquals(0.4, last.getResidualDropout());
        assertEquals(0.5, last.getFeedForwardDropout());
        assertEquals(0.6, last.getPathDropout());
        TokenEmbedding classes = (TokenEmbedding)
                network.getLayer(LlamaGen.CLASS_EMBEDDING).conf().getLayer();
        assertEquals(0.2, classes.getDropout());
        assertTrue(network.getLayer(LlamaGen.block(0)).conf().getLayer().getIDropout() != null);
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "\"dim\": 32, \"n_layer\": 2 | \"n_head\" is missing. Give dim, n_layer and n_head, or \"gpt_model\" with a published name",
                "\"dim\": 32.5, \"n_layer\": 2, \"n_head\": 4 | \"dim\" must be a whole number, got 32.5",
                "SMALL, \"norm_eps\": \"x\" | \"norm_eps\" must be a number, got \"x\"",
                "SMALL, \"kv_heads\": 2 | \"kv_heads\" must be 4, got 2: n_kv_head, or n_head without it",
                "SMALL, \"ffn_dim\": 300, \"multiple_of\": 256 | \"ffn_dim\" 300 does not agree with 256, which follows from dim 32, multiple_of 256 and ffn_dim_multiplier 1.0. Leave ffn_dim or the other two out",
                "SMALL, \"multiple_of\": 0 | \"multiple_of\" must be at least 1 and \"ffn_dim_multiplier\" above 0, got 0 and 1.0",
                "SMALL, \"block_size\": 24 | \"block_size\" 24 is not the token count of a square grid. Add \"grid\": [rows, columns]",
                "SMALL, \"grid\": [4] | \"grid\" must be [rows, columns], two whole numbers, got [4]",
                "SMALL, \"grid\": [4, 6], \"block_size\": 25 | \"block_size\" must be 24, got 25: the tokens of the 4 x 6 token grid (height x width) that \"grid\" gives",
                "SMALL, \"model_type\": \"i2i\" | \"model_type\" must be c2i (classes) or t2i (captions), got \"i2i\"",
                "SMALL, \"cls_token_num\": 120 | \"cls_token_num\" must be 1, got 120: a class is one token; captions (several) need \"model_type\": \"t2i\"",
                "SMALL, \"attn_dropout_p\": 0.1 | \"attn_dropout\" must be 0, got 0.1: there is no dropout inside the attention",
                "SMALL, \"initializer_range\": 0.01 | \"initializer_range\" must be 0.02, got 0.01: parameters are drawn with the published deviation",
                "SMALL, \"token_dropout\": 0.1, \"token_dropout_p\": 0.2 | \"token_dropout\" and \"token_dropout_p\" mean the same, but are 0.1 and 0.2. Leave one of them out",
                "SMALL, \"ffn_dropout\": 1 | feedForwardDropout is the probability of dropping, at least 0 and below 1, got 1.0",
                "\"gpt_model\": \"GPT-B\", \"dim\": 32 | \"dim\" 32 does not agree with 768 of GPT-B. Leave one of them out",
            })
    void refuses(String keys, String message) {
        assertEquals(message, message(() -> parse(keys.replace("SMALL", SMALL))));
    }

    @Test
    void namesUnknownKeysAndThoseItKnows() {
        String message = message(() -> parse(SMALL + ", \"vocabsize\": 3, \"n_heads\": 4"));
        assertTrue(
                message.startsWith("Unknown keys n_heads, vocabsize. Known keys: gpt_model or model, dim, "), message);
        assertTrue(message.endsWith("initializer_range, max_batch_size or max_seq_len"), message);
        message = message(() -> parse("\"gpt_model\": \"GPT-M\""));
        assertEquals(
                "There is no published size \"GPT-M\". Choose one of GPT-B, GPT-L, GPT-XL, GPT-XXL, GPT-XXXL, GPT-1B,"
                        + " GPT-3B, GPT-7B",
                message);
    }

    @Test
    void refusesWhatIsNoObject(@TempDir Path folder) throws IOException {
        assertTrue(message(() -> GptConfig.parse("{\"dim\": ")).startsWith("This is not JSON: "));
        assertTrue(message(() -> GptConfig.parse("{\"dim\": 3, \"dim\": 4}")).contains("Duplicate field 'dim'"));
        assertEquals(
                "A model's configuration is a JSON object with keys such as dim, n_layer and n_head, got ARRAY",
                message(() -> GptConfig.parse("[1]")));
        assertEquals(
                "A model's configuration is a JSON object with keys such as dim, n_layer and n_head, got MISSING",
                message(() -> GptConfig.parse("")));
        Path file = Files.writeString(folder.resolve("config.json"), "[]");
        assertTrue(message(() -> GptSpec.read(file)).startsWith(file + ": A model's configuration"));
    }

    @Test
    void aClassDropoutNeedsItsRow() {
        GptSpec spec = GptSpec.of(1, 1, 4).noClassRow(false).build();
        assertEquals(
                "In a config.json a class dropout above 0 and a row for \"no class\" go together, got class dropout 0.1"
                        + " and noClassRow(false)",
                message(() -> new GptConfig(spec, 0.1, 0, 0, 0, 0)));
        assertEquals(0, GptConfig.of(spec).classDropout());
    }

    private static GptConfig parse(String keys) {
        return GptConfig.parse("{" + keys + "}");
    }

    private static String message(Call call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }

    /** Something that may fail. */
    private interface Call {
        void run() throws IOException;
    }
}
