package org.npp4j.llamagen.checkpoint;

import java.net.URISyntaxException;
import java.nio.file.Path;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

/** The checkpoints that PyTorch and the safetensors package wrote, and what they hold. */
final class GoldenCheckpoints {
    private GoldenCheckpoints() {}

    static Path path(String file) {
        try {
            return Path.of(GoldenCheckpoints.class
                    .getResource("/golden/checkpoints/" + file)
                    .toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    static JsonNode expected() throws Exception {
        return new ObjectMapper().readTree(path("expected.json").toFile());
    }
}
