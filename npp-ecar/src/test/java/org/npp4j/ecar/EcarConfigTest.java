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
        assertEquals(
                grid,
                EcarConfig.parse(
                        "{\"head\": \"transformer\", \"head_width\": 128, \"head_blocks\": 2, \"head_heads\": 4}"));
        EcarConfig mlp = config.withHead(new FlowHead.Mlp(256, 3));
        assertEquals(mlp, EcarConfig.parse(mlp.toJson()));
    }

    /** Descriptions of models that know no other head than an MLP name none. */
    @Test
    void theDefaultHeadIsATransformer() {
        assertEquals(new FlowHead.Grid(160, 3, 5), EcarConfig.defaults().head());
        assertEquals(
                new FlowHead.Mlp(256, 3),
                EcarConfig.parse("{\"head\": \"mlp\"}").head());
        assertEquals(
                new FlowHead.Mlp(32, 3),
                EcarConfig.parse("{\"head_width\": 32}").head());
        assertEquals(
                new FlowHead.Mlp(256, 1),
                EcarConfig.parse("{\"head_blocks\": 1}").head());
        assertEquals(
                new FlowHead.Grid(160, 3, 4),
                EcarConfig.parse("{\"head_heads\": 4}").head());
    }

    @Test
    void tellsItselfFromOthers() throws IOException {
        assertTrue(EcarConfig.describes(Golden.file("ecar-s2.json")));
        assertFalse(EcarConfig.describes(Files.writeString(folder.resolve("a"), "{\"config\": {\"dim\": 8}}")));
        assertFalse(EcarConfig.describes(Files.writeString(folder.resolve("b"), "no JSON")));
    }

    @Test
    void countsOperations() {
        EcarConfig config = new EcarConfig(2, 4, 2, 8, 3, 2, 3, 0, 0, new FlowHead.Mlp(4, 1));
        int feedForward = 32;
        double block = 2.0 * 20 * (4 * 8 * 8 + 3 * 8 * feedForward) + 4.0 * (4 * 4 + 16 * 20) * 8;
        double head = 2.0 * 20 * (2 * 4 + 8 * 4 + 12 * 4 + 2 * 4 * 4 + 8 * 4 + 4 * 2) + 2.0 * 2 * (256 * 4 + 4 * 4);
        EcarCost cost = EcarCost.of(config);
        assertEquals(3 * block + 2.0 * 16 * 2 * 8, cost.transformer());
        assertEquals(head, cost.head());
        assertEquals(cost.transformer() + 5 * head, cost.ofImage(FlowSampling.of(5, 1)));
        assertEquals(2 * cost.transformer() + 10 * head, cost.ofImage(FlowSampling.of(5, 2)));
        EcarCost grid = EcarCost.of(config.withHead(new FlowHead.Grid(4, 1, 1)));
        double embedding = 2.0 * 20 * (2 * 4 + 8 * 4) + 2.0 * 2 * (256 * 4 + 4 * 4);
        double gridBlock = 2.0 * 20 * (4 * 4 * 4 + 3 * 4 * 32) + 4.0 * (4 * 4 + 16 * 16) * 4;
        assertEquals(embedding + gridBlock + 2.0 * 20 * 4 * 2, grid.head());
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
