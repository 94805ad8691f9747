package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.npp4j.layers.TokenGrid;

class VqConfigTest {
    @TempDir
    private Path folder;

    @Test
    void publishedModels() {
        assertEquals(16, VqConfig.VQ_16.downsampling());
        assertEquals(8, VqConfig.VQ_8.downsampling());
        assertEquals(512, VqConfig.VQ_16.channels(4));
        assertEquals(TokenGrid.of(16, 16), VqConfig.VQ_16.grid(256, 256));
        assertEquals(TokenGrid.of(2, 4), VqConfig.VQ_8.grid(16, 32));
        assertEquals(VqConfig.VQ_16, VqConfig.named("vq-16"));
        assertEquals(VqConfig.VQ_8, VqConfig.parse("{\"vq_model\": \"VQ-8\"}"));
        assertEquals(VqConfig.VQ_16, VqConfig.parse("{}"));
        assertEquals(
                "There is no published tokenizer \"VQ-4\"; there are VQ-16 and VQ-8",
                refused(() -> VqConfig.named("VQ-4")));
        // as many as the published file has
        long parameters = VqModules.shapes(VqConfig.VQ_16).values().stream()
                .mapToLong(shape -> {
                    long product = 1;
                    for (long side : shape) {
                        product *= side;
                    }
                    return product;
                })
                .sum();
        assertEquals(71_883_403, parameters);
    }

    @Test
    void readsWhatItWrites() throws IOException {
        VqConfig odd = new VqConfig(List.of(2, 1, 3), 64, 5, 7, 3, 1);
        Path file = Files.writeString(folder.resolve("vq.json"), "{\"config\": " + odd.toJson() + ", \"more\": 1}");
        assertEquals(odd, VqConfig.read(file));
        assertEquals(
                VqConfig.VQ_8.withCodebook(99, 4),
                VqConfig.parse("{\"vq_model\": \"VQ-8\", \"codebook_size\": 99, \"codebook_embed_dim\": 4}"));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{\"z\": 1, \"width\": 3} | Unknown keys width, z. Known keys: vq_model, channel_mult, channels, z_channels",
                "{\"channels\": 1.5} | \"channels\" must be a whole number, got 1.5",
                "{\"channel_mult\": 2} | \"channel_mult\" must be a list of whole numbers above 0, got 2",
                "{\"channel_mult\": []} | \"channel_mult\" must be a list of whole numbers above 0, got []",
                "{\"channel_mult\": [1, 0]} | \"channel_mult\" must be a list of whole numbers above 0, got [1,0]",
                "{\"channels\": 48} | channels 48 x channel_mult 1 are 48 channels; the group norms need a multiple of 32",
                "{\"codebook_size\": 0} | codebook_size must be 1 to 16777216, got 0",
                "{\"num_res_blocks\": 0} | num_res_blocks must be 1 to 64, got 0",
                "{\"codebook_dim\": 8, \"codebook_embed_dim\": 4} | mean the same, but are 8 and 4",
                "{\"vq_model\": \"VQ-32\"} | There is no published tokenizer \"VQ-32\"",
                "[] | A tokenizer's configuration is a JSON object",
                "{ | This is not JSON"
            })
    void refusesWhatIsNoTokenizer(String json, String message) {
        String refusal = refused(() -> VqConfig.parse(json));
        assertTrue(refusal.contains(message), refusal);
    }

    @Test
    void namesTheFileAndTheSides() throws IOException {
        Path file = Files.writeString(folder.resolve("vq.json"), "{\"width\": 1}");
        String message = assertThrows(IllegalArgumentException.class, () -> VqConfig.read(file))
                .getMessage();
        assertTrue(message.startsWith(file + ": Unknown key width"), message);
        assertEquals(
                "A tokenizer with a downsampling of 16 needs images whose sides are multiples of it, got 256 x 250"
                        + " pixels. Crop or resize them",
                refused(() -> VqConfig.VQ_16.grid(256, 250)));
    }

    private static String refused(org.junit.jupiter.api.function.Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
