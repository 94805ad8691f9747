package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

class TokenGridTest {

    /** The patch of each token by counting through the patches, not by dividing. */
    private static int[] naivePatchOfToken(int height, int width, int rows, int columns) {
        int[] patch = new int[height * width];
        int k = 0;
        for (int top = 0; top < height; top += rows) {
            for (int left = 0; left < width; left += columns) {
                for (int y = top; y < top + rows; y++) {
                    for (int x = left; x < left + columns; x++) {
                        patch[y * width + x] = k;
                    }
                }
                k++;
            }
        }
        return patch;
    }

    @RepeatedTest(50)
    void patchOfTokenMatchesLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int p = 1 + random.nextInt(5);
        int rows = p * (1 + random.nextInt(5));
        int columns = p * (1 + random.nextInt(5));
        TokenGrid grid = TokenGrid.of(rows, columns);
        int patchRows = rows == 1 ? 1 : p;
        assertArrayEquals(naivePatchOfToken(rows, columns, patchRows, p), grid.patchOfToken(p));
        assertEquals(p, grid.patchSideFor((long) rows * columns / patchRows / p));
        assertEquals(TokenGrid.of(rows / patchRows, columns / p), grid.ofPatches(p));
        assertEquals(patchRows * p, grid.tokensPerPatch(p));
        assertEquals(rows * columns, grid.tokens());
    }

    @RepeatedTest(20)
    void patchesOfASequenceAreRuns(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int p = 1 + random.nextInt(6);
        int length = p * (1 + random.nextInt(9));
        TokenGrid grid = TokenGrid.sequence(length);
        int[] patch = grid.patchOfToken(p);
        for (int token = 0; token < length; token++) {
            assertEquals(token / p, patch[token]);
        }
        assertTrue(grid.oneDimensional());
        assertEquals(1, grid.patchRows(p));
        assertEquals(p, grid.tokensPerPatch(p));
        assertEquals(TokenGrid.sequence(length / p), grid.ofPatches(p));
        assertEquals(p, grid.patchSideFor(length / p));
    }

    @RepeatedTest(30)
    void patchSidesAreTheCommonDivisors(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int height = 2 + random.nextInt(30);
        int width = 1 + random.nextInt(30);
        TokenGrid grid = TokenGrid.of(height, width);
        List<Integer> expected = new ArrayList<>();
        for (int p = 1; p <= Math.max(height, width); p++) {
            boolean divides = height % p == 0 && width % p == 0;
            assertEquals(divides, grid.isDividedBy(p));
            if (divides) {
                expected.add(p);
                assertEquals(p, grid.requireDividedBy(p));
            }
        }
        assertEquals(expected, grid.patchSides());
        assertFalse(grid.isDividedBy(0));
        assertFalse(grid.isDividedBy(-1));
    }

    @Test
    void publishedGrid() {
        TokenGrid grid = TokenGrid.of(16, 16);
        assertEquals(List.of(1, 2, 4, 8, 16), grid.patchSides());
        assertEquals(256, grid.tokens());
        assertEquals(2, grid.patchSideFor(64));
        assertEquals(List.of(1, 2, 3, 4, 6, 12), TokenGrid.sequence(12).patchSides());
    }

    @Test
    void aSingleToken() {
        TokenGrid grid = TokenGrid.of(1, 1);
        assertEquals(List.of(1), grid.patchSides());
        assertArrayEquals(new int[] {0}, grid.patchOfToken(1));
    }

    @Test
    void refusesEmptyAndHugeGrids() {
        assertEquals(
                "A token grid needs at least one row and one column, got 0 x 4 (height x width)",
                Refusal.ofArgument(() -> TokenGrid.of(0, 4)));
        assertEquals(
                "A token grid needs at least one row and one column, got 4 x -1 (height x width)",
                Refusal.ofArgument(() -> TokenGrid.of(4, -1)));
        assertEquals(
                "A token grid needs at least one row and one column, got 1 x 0 (height x width)",
                Refusal.ofArgument(() -> TokenGrid.sequence(0)));
        assertEquals(
                "A token grid holds at most 2147483647 tokens, got 65536 x 65536 (height x width)",
                Refusal.ofArgument(() -> TokenGrid.of(65536, 65536)));
    }

    @Test
    void refusesPatchSidesThatLeaveARest() {
        TokenGrid grid = TokenGrid.of(4, 6);
        String message = "Patch side 4 does not divide the 4 x 6 token grid (height x width); sides that do: [1, 2]."
                + " Choose one of them or another grid";
        assertEquals(message, Refusal.ofArgument(() -> grid.requireDividedBy(4)));
        assertEquals(message, Refusal.ofArgument(() -> grid.ofPatches(4)));
        assertEquals(message, Refusal.ofArgument(() -> grid.patchOfToken(4)));
        assertEquals(
                "Patch side 0 does not divide the sequence of 6 tokens; sides that do: [1, 2, 3, 6]. Choose one of them"
                        + " or another grid",
                Refusal.ofArgument(() -> TokenGrid.sequence(6).requireDividedBy(0)));
    }

    @Test
    void refusesImpossibleNumbersOfPatches() {
        assertEquals(
                "No patch side makes 5 patches of the 4 x 4 token grid (height x width); possible numbers of patches:"
                        + " [16, 4, 1]",
                Refusal.ofArgument(() -> TokenGrid.of(4, 4).patchSideFor(5)));
    }

    @Test
    void gridsOfEqualSidesAreEqual() {
        assertEquals(TokenGrid.of(3, 5), TokenGrid.of(3, 5));
        assertEquals(TokenGrid.of(3, 5).hashCode(), TokenGrid.of(3, 5).hashCode());
        assertNotEquals(TokenGrid.of(3, 5), TokenGrid.of(5, 3));
        assertNotEquals(TokenGrid.of(3, 5), TokenGrid.of(3, 6));
        assertNotEquals(null, TokenGrid.of(3, 5));
        assertEquals(TokenGrid.of(1, 7), TokenGrid.sequence(7));
    }

    @Test
    void wordsNameTheSides() {
        assertEquals("3 x 5 token grid (height x width)", TokenGrid.of(3, 5).toString());
        assertEquals("sequence of 7 tokens", TokenGrid.sequence(7).toString());
    }

    @Test
    void jsonHoldsTheSidesAlone() throws Exception {
        ObjectMapper mapper = NeuralNetConfiguration.mapper();
        String json = mapper.writeValueAsString(TokenGrid.of(3, 5));
        JsonNode tree = mapper.readTree(json);
        List<String> fields = new ArrayList<>();
        tree.fieldNames().forEachRemaining(fields::add);
        fields.sort(null);
        assertEquals(List.of("height", "width"), fields, json);
        assertEquals(3, tree.get("height").asInt());
        assertEquals(5, tree.get("width").asInt());
        assertEquals(TokenGrid.of(3, 5), mapper.readValue(json, TokenGrid.class));
    }

    @Test
    void jsonIsValidated() {
        ObjectMapper mapper = NeuralNetConfiguration.mapper();
        Exception error =
                assertThrows(Exception.class, () -> mapper.readValue("{\"height\": 0, \"width\": 5}", TokenGrid.class));
        assertTrue(error.getMessage().contains("at least one row and one column, got 0 x 5"), error.getMessage());
    }

    @Test
    void survivesJavaSerialisation() throws Exception {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
            out.writeObject(TokenGrid.of(3, 5));
        }
        try (ObjectInputStream in = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
            assertEquals(TokenGrid.of(3, 5), in.readObject());
        }
    }
}
