package org.npp4j.schedule;

import java.io.IOException;
import java.io.InputStream;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

/** The golden files of this module. */
final class Golden {
    private Golden() {}

    /** Five stage plans with the learning-rate factor at every step. */
    static JsonNode schedules() throws IOException {
        try (InputStream file = Golden.class.getResourceAsStream("/golden/schedule.json")) {
            return new ObjectMapper().readTree(file);
        }
    }

    static PatchStages stages(JsonNode plan) {
        return PatchStages.ofEpochs(
                plan.get("epochs").asInt(),
                plan.get("epoch_rate").asDouble(),
                plan.get("patch_level").asInt());
    }
}
