package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.layers.TokenGrid;

class PatchStagesTest {
    private static final TokenGrid GRID = TokenGrid.of(16, 16);

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "300 | 0.5 | 1 | 1:300",
                "300 | 0.5 | 2 | 2:150,1:300",
                "300 | 0.5 | 3 | 4:75,2:150,1:300",
                "300 | 0.5 | 4 | 8:37,4:75,2:150,1:300",
                "2 | 0.5 | 3 | 2:1,1:2",
                "1 | 0.5 | 4 | 1:1",
                "3 | 0.9 | 3 | 4:2,1:3",
            })
    void followsThePublishedRule(int epochs, double rate, int level, String expected) {
        assertEquals(expected, PatchStages.ofEpochs(epochs, rate, level).toString());
    }

    @Test
    void followsTheGoldenStageEnds() throws Exception {
        for (JsonNode plan : Golden.schedules()) {
            PatchStages stages = Golden.stages(plan);
            JsonNode golden = plan.get("stages");
            assertEquals(golden.size(), stages.stages().size());
            for (int i = 0; i < golden.size(); i++) {
                assertEquals(
                        golden.get(i).get("patch_side").asInt(),
                        stages.stages().get(i).patchSide());
                assertEquals(
                        golden.get(i).get("until_epoch").asInt(),
                        stages.stages().get(i).end());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "2, 0.625", "3, 0.578125", "4, 0.572343"})
    void costsThePublishedShareOfTokens(int level, double share) {
        assertEquals(share, PatchStages.ofEpochs(300, 0.5, level).relativeTokens(GRID), 1e-6);
    }

    @Test
    void countsPatchesOfSequences() {
        // 1 x p patches: half the positions for half of the run
        assertEquals(0.75, PatchStages.parse("2:5it,1:10it").relativeTokens(TokenGrid.sequence(8)), 1e-12);
    }

    @Test
    void answersForEveryPosition() {
        PatchStages stages =
                PatchStages.epochs().stage(4, 75).stage(2, 150).stage(1, 300).build();
        assertEquals(
                List.of(
                        new PatchStages.Stage(4, 0, 75),
                        new PatchStages.Stage(2, 75, 150),
                        new PatchStages.Stage(1, 150, 300)),
                stages.stages());
        assertEquals(75, stages.stages().get(1).length());
        assertEquals(PatchStages.Unit.EPOCHS, stages.unit());
        assertEquals(300, stages.end());
        assertEquals(4, stages.patchSideAt(0));
        assertEquals(4, stages.patchSideAt(74));
        assertEquals(2, stages.patchSideAt(75));
        assertEquals(1, stages.patchSideAt(299));
        assertEquals(1, stages.patchSideAt(300));
        assertEquals(1, stages.patchSideAt(Integer.MAX_VALUE));
        assertEquals(2, stages.stageAt(Integer.MAX_VALUE));
        assertThrows(IllegalArgumentException.class, () -> stages.stageAt(-1));
    }

    @Test
    void allowsAnyOrderOfSides() {
        PatchStages stages =
                PatchStages.iterations().stage(3, 10).stage(5, 20).stage(3, 21).build();
        assertEquals(5, stages.patchSideAt(10));
        assertEquals(3, stages.patchSideAt(99));
        assertSame(stages, stages.requireFits(TokenGrid.of(15, 30)));
    }

    @Test
    void readsWhatItWrites() throws Exception {
        Random random = new Random(1);
        ObjectMapper json = new ObjectMapper();
        for (int i = 0; i < 200; i++) {
            PatchStages.Builder builder = random.nextBoolean() ? PatchStages.epochs() : PatchStages.iterations();
            int end = 0;
            for (int s = random.nextInt(4); s >= 0; s--) {
                end += 1 + random.nextInt(100);
                builder.stage(1 + random.nextInt(8), end);
            }
            PatchStages stages = builder.build();
            assertEquals(stages, PatchStages.parse(stages.toString()));
            assertEquals(stages.hashCode(), PatchStages.parse(stages.toString()).hashCode());
            assertEquals(stages, json.readValue(json.writeValueAsString(stages), PatchStages.class));
        }
        assertEquals(PatchStages.parse("2:1,1:2"), PatchStages.parse(" 2:1 , 1:2 "));
        assertEquals("2:1it,1:2it", PatchStages.parse("2:1it,1:2it").toString());
        assertNotEquals(PatchStages.parse("2:1it,1:2it"), PatchStages.parse("2:1,1:2"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "2", "2:", ":3", "2:3,", "a:3", "2:3;1:4", "-2:3", "2:99999999999"})
    void refusesTextItCannotRead(String text) {
        String message = assertThrows(IllegalArgumentException.class, () -> PatchStages.parse(text))
                .getMessage();
        assertTrue(message.contains("Cannot read the patch stages \"" + text + "\""), message);
        assertTrue(message.contains("4:75,2:150,1:300"), message);
    }

    @Test
    void refusesBadStages() {
        refused("patch side must be at least 1, got 0", () -> PatchStages.parse("0:3"));
        refused("Stage 1 (patch side 2) ends at 0, but must end after 0", () -> PatchStages.parse("2:0"));
        refused("Stage 2 (patch side 1) ends at 3, but must end after 3", () -> PatchStages.parse("2:3,1:3"));
        refused("mix epochs and iterations", () -> PatchStages.parse("2:3,1:4it"));
        refused("at least one stage", () -> PatchStages.epochs().build());
        refused("at least 1 epoch, got 0", () -> PatchStages.ofEpochs(0, 0.5, 2));
        refused("above 0 and below 1, got 1.0", () -> PatchStages.ofEpochs(10, 1, 2));
        refused("above 0 and below 1, got NaN", () -> PatchStages.ofEpochs(10, Double.NaN, 2));
        refused("patch level must be 1 to 16, got 0", () -> PatchStages.ofEpochs(10, 0.5, 0));
        refused(
                "Stage 1 of 2 (5:1,1:2) does not fit: patch side 5 does not divide the 16 x 16 token grid"
                        + " (height x width); sides that do: [1, 2, 4, 8, 16]",
                () -> PatchStages.parse("5:1,1:2").requireFits(GRID));
    }

    private static void refused(String message, Executable call) {
        String actual = assertThrows(IllegalArgumentException.class, call).getMessage();
        assertTrue(actual.contains(message), actual);
    }
}
