package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Random;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.npp4j.layers.TokenGrid;

class GptSpecTest {

    /** Counted by hand for B: 84,953,088 in the blocks, 768 x (2 x 16384 codes, 1001 classes and 1 norm) = 25,935,360. */
    @ParameterizedTest
    @CsvSource({
        "12, 12, 768, 2048, 110888448, 111",
        "24, 16, 1024, 2816, 342910976, 343",
        "36, 20, 1280, 3584, 774699520, 775",
        "48, 24, 1536, 4096, 1410972672, 1400",
        "48, 40, 2560, 6912, 3893027840, 3900"
    })
    void hasThePublishedSizes(
            int layers, int heads, int width, int feedForwardWidth, long exact, int publishedMillions) {
        GptSpec spec = GptSpec.of(layers, heads, width).build();
        assertEquals(feedForwardWidth, spec.feedForwardWidth());
        assertEquals(1001, spec.classRows());
        assertEquals(256, spec.grid().tokens());
        assertEquals(exact, spec.parameters());
        double digits = publishedMillions >= 1000 ? 50e6 : 0.5e6;
        assertEquals(publishedMillions * 1e6, spec.parameters(), digits);
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void countsTheParametersOfTheNetwork(long seed) {
        Random random = new Random(seed);
        int keyValueHeads = 1 + random.nextInt(3);
        int heads = keyValueHeads * (1 + random.nextInt(3));
        GptSpec spec = GptSpec.of(1 + random.nextInt(3), heads, heads * 4 * (1 + random.nextInt(3)))
                .keyValueHeads(keyValueHeads)
                .feedForwardMultiple(1 + random.nextInt(40))
                .vocabulary(1 + random.nextInt(60))
                .classes(1 + random.nextInt(9))
                .noClassRow(random.nextBoolean())
                .grid(TokenGrid.of(1 + random.nextInt(5), 1 + random.nextInt(5)))
                .build();
        assertEquals(LlamaGen.of(spec).init().numParams(), spec.parameters(), spec::toString);
    }

    @ParameterizedTest
    @CsvSource({
        "64, 256, 256",
        "96, 256, 256",
        "100, 256, 512",
        "100, 1, 266",
        "100, 7, 266",
        "100, 10, 270",
        "4, 8, 16"
    })
    void roundsTheFeedForwardWidthUp(int width, int multiple, int expected) {
        GptSpec spec = GptSpec.of(1, 1, width).feedForwardMultiple(multiple).build();
        assertEquals(expected, spec.feedForwardWidth());
    }

    @Test
    void refusesSizesBelowOne() {
        assertEquals("A GPT's layers must be at least 1, got 0", message(() -> GptSpec.of(0, 1, 4)
                .build()));
        assertEquals(
                "A GPT's heads must be at least 1, got 0",
                message(() -> GptSpec.of(1, 0, 4).keyValueHeads(1).build()));
        assertEquals("A GPT's width must be at least 1, got -4", message(() -> GptSpec.of(1, 1, -4)
                .build()));
        assertEquals("A GPT's keyValueHeads must be at least 1, got 0", with(spec -> spec.keyValueHeads(0)));
        assertEquals(
                "A GPT's feedForwardMultiple must be at least 1, got 0", with(spec -> spec.feedForwardMultiple(0)));
        assertEquals("A GPT's vocabulary must be at least 1, got 0", with(spec -> spec.vocabulary(0)));
        assertEquals("A GPT's classes must be at least 1, got -1", with(spec -> spec.classes(-1)));
    }

    @Test
    void refusesSizesThatDoNotFitTogether() {
        assertEquals(
                "The width must be a multiple of 4 x heads, got width 20 and 3 heads",
                message(() -> GptSpec.of(1, 3, 20).build()));
        assertEquals(
                "The key/value heads must divide the heads, got 2 heads and 3 key/value heads",
                with(spec -> spec.keyValueHeads(3)));
        assertEquals(
                "A GPT needs a token grid: TokenGrid.of(height, width)",
                assertThrows(
                                NullPointerException.class,
                                () -> GptSpec.of(1, 1, 4).grid(null).build())
                        .getMessage());
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
    void refusesNumbersThatAreNotAboveZero(double value) {
        assertEquals(
                "A GPT's rotaryBase must be a finite number above 0, got " + value,
                with(spec -> spec.rotaryBase(value)));
        assertEquals(
                "A GPT's epsilon must be a finite number above 0, got " + value, with(spec -> spec.epsilon(value)));
    }

    @Test
    void theConstructorChecksToo() {
        TokenGrid grid = TokenGrid.of(2, 2);
        assertEquals(
                "A GPT's feedForwardWidth must be at least 1, got 0",
                message(() -> new GptSpec(1, 1, 1, 4, 0, 5, 2, true, grid, 10000, 1e-5)));
        assertEquals(
                GptSpec.of(1, 1, 4).grid(grid).build(),
                new GptSpec(1, 1, 1, 4, 256, 16384, 1000, true, grid, 10000, 1e-5));
    }

    private static String with(UnaryOperator<GptSpec.Builder> change) {
        return message(() -> change.apply(GptSpec.of(2, 2, 16)).build());
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
