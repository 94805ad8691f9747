package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.layers.StageLengths;

class EcarConfigTest {
    @TempDir
    private Path folder;

    @Test
    void readsGoldenConfigurations() throws IOException {
        EcarConfig config = Golden.config("ecar-s3");
        assertEquals(new EcarConfig(6, 8, 3, 48, 2, 3, 10, 0.1, 0, new FlowHead.Mlp(32, 1)), config);
        assertEquals(StageLengths.of(4, 16, 64), config.stageLengths());
        assertEquals(2, config.side(0));
        assertEquals(96, EcarConfig.feedForwardWidth(32));
        assertEquals(128, EcarConfig.feedForwardWidth(48));
    }

    @Test
    void isKeptInJson() {
        EcarConfig config = EcarConfig.defaults();
        assertEquals(config, EcarConfig.parse(config.toJson()));
        EcarConfig grid = config.withHead(new FlowHead.Grid(128, 2, 4));
        assertEquals(grid, EcarConfig.parse(grid.toJson()));
        assertEquals(grid, EcarConfig.parse("{\"head\": \"transformer\", \"head_width\": 128, \"head_blocks\": 2}"));
    }

    @Test
    void tellsItselfFromOthers() throws IOException {
        assertTrue(EcarConfig.describes(Golden.file("ecar-s2.json")));
        assertFalse(EcarConfig.describes(Files.writeString(folder.resolve("a"), "{\"config\": {\"dim\": 8}}")));
        assertFalse(EcarConfig.describes(Files.writeString(folder.resolve("b"), "no JSON")));
    }

    @Test
    void refusesWhatCannotBe() {
        assertEquals(
                "This is not JSON: Unexpected end-of-input within/between Object entries",
                refused("{\"dim\"").split("\n")[0]);
        assertTrue(refused("[1]").contains("is a JSON object"));
        assertTrue(refused("").contains("is a JSON object"));
        assertTrue(refused("{\"dim\": 1.5}").contains("\"dim\" must be a whole number, got 1.5"));
        assertTrue(refused("{\"head\": 1}").contains("\"head\" must be a text"));
        assertTrue(refused("{\"head\": \"cnn\"}").contains("\"head\" is mlp or transformer, got cnn"));
        assertTrue(refused("{\"dropout\": \"a\"}").contains("\"dropout\" must be a number"));
        assertTrue(refused("{\"grid\": 6}").contains("got grid 6 and 3 stages"));
        assertTrue(refused("{\"stages\": 1}").contains("stages of at least 2, got 1"));
        assertTrue(refused("{\"dim\": 36}").contains("got width 36 and 4 heads"));
        assertTrue(refused("{\"class_dropout\": 1}").contains("below 1, got 1.0"));
    }

    private static String refused(String json) {
        return assertThrows(IllegalArgumentException.class, () -> EcarConfig.parse(json))
                .getMessage();
    }
}
