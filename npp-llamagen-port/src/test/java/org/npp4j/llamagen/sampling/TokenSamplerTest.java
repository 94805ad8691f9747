package org.npp4j.llamagen.sampling;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.GoldenGpt;

class TokenSamplerTest {
    private static final Pattern CASE = Pattern.compile("t([0-9.]+)\\.k([0-9]+)\\.p([0-9.]+)");

    private static Map<String, INDArray> golden() {
        try {
            return GoldenGpt.readNpz(GoldenGpt.resource("sampler.npz"));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Stream<String> goldenCases() {
        return golden().keySet().stream().filter(name -> !name.equals("logits"));
    }

    @ParameterizedTest
    @MethodSource("goldenCases")
    void filtersLikePyTorch(String name) {
        Matcher setting = CASE.matcher(name);
        assertTrue(setting.matches(), name);
        float[][] logits = golden().get("logits").toFloatMatrix();
        double[][] expected = golden().get(name).toDoubleMatrix();
        for (int row = 0; row < logits.length; row++) {
            double[] actual = TokenSampler.filteredProbabilities(
                    logits[row],
                    Double.parseDouble(setting.group(1)),
                    Integer.parseInt(setting.group(2)),
                    Double.parseDouble(setting.group(3)));
            assertArrayEquals(expected[row], actual, 1e-6);
        }
    }

    @Test
    void keepsTheTokenThatCrossesTopPAndTiesOfTopK() {
        float[] logits = logs(0.5, 0.25, 0.125, 0.125);
        assertArrayEquals(new double[] {1, 0, 0, 0}, TokenSampler.filteredProbabilities(logits, 1, 0, 0.4999), 1e-7);
        assertArrayEquals(
                new double[] {2 / 3.0, 1 / 3.0, 0, 0}, TokenSampler.filteredProbabilities(logits, 1, 0, 0.501), 1e-7);
        assertArrayEquals(
                new double[] {1, 0, 0, 0}, TokenSampler.filteredProbabilities(logits, 1, 0, Double.MIN_VALUE), 1e-7);
        assertArrayEquals(
                new double[] {0.5, 0.25, 0.125, 0.125}, TokenSampler.filteredProbabilities(logits, 1, 3, 1), 1e-7);
        assertArrayEquals(
                new double[] {2 / 3.0, 1 / 3.0, 0, 0}, TokenSampler.filteredProbabilities(logits, 1, 2, 1), 1e-7);
    }

    @Test
    void topPKeepsTheFirstOfEquallyLikelyTokens() {
        float[] logits = {0, 1, 0, 1, 0};
        double e = Math.E;
        double likely = e / (2 * e + 3);
        assertArrayEquals(
                new double[] {0, 0.5, 0, 0.5, 0},
                TokenSampler.filteredProbabilities(logits, 1, 0, likely + 0.01),
                1e-7);
        assertArrayEquals(
                new double[] {0, 1, 0, 0, 0}, TokenSampler.filteredProbabilities(logits, 1, 0, likely - 0.01), 1e-7);
        double sum = 2 * e + 2;
        assertArrayEquals(
                new double[] {1 / sum, e / sum, 1 / sum, e / sum, 0},
                TokenSampler.filteredProbabilities(logits, 1, 0, 2 * likely + 0.15),
                1e-7);
    }

    /** The published filter, plainly: tokens by falling probability, the first of equal ones first. */
    @ParameterizedTest
    @ValueSource(doubles = {0.05, 0.3, 0.6, 0.9, 0.999})
    void topPIsThatOfAPlainLoop(double topP) {
        Random random = new Random(8);
        for (int round = 0; round < 50; round++) {
            float[] logits = new float[1 + random.nextInt(30)];
            for (int i = 0; i < logits.length; i++) {
                logits[i] = random.nextInt(7); // many are equal
            }
            double[] all = TokenSampler.filteredProbabilities(logits, 1, 0, 1);
            double[] expected = new double[logits.length];
            boolean[] taken = new boolean[logits.length];
            double before = 0;
            for (int rank = 0; rank < logits.length && (rank == 0 || before <= topP); rank++) {
                int next = -1;
                for (int i = 0; i < logits.length; i++) {
                    if (!taken[i] && (next < 0 || all[i] > all[next])) {
                        next = i;
                    }
                }
                taken[next] = true;
                expected[next] = all[next];
                before += all[next];
            }
            for (int i = 0; i < expected.length; i++) {
                expected[i] /= before;
            }
            assertArrayEquals(expected, TokenSampler.filteredProbabilities(logits, 1, 0, topP), 1e-12);
        }
    }

    /** By sorting, over a vocabulary of published size. */
    @ParameterizedTest
    @CsvSource({"0, 1", "1, 1", "2000, 1", "0, 0.5", "0, 0.9", "0, 0.9999999", "700, 0.8", "16383, 0.97", "20000, 1"})
    void filterOfALargeVocabularyIsThatOfASort(int topK, double topP) {
        Random random = new Random(5);
        float[] logits = new float[16384];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) (3 * random.nextGaussian());
        }
        Integer[] order = new Integer[logits.length];
        Arrays.setAll(order, i -> i);
        Arrays.sort(order, (a, b) -> Float.compare(logits[b], logits[a]));
        int kept = topK == 0 ? logits.length : Math.min(topK, logits.length);
        double all = 0;
        for (int rank = 0; rank < kept; rank++) {
            all += Math.exp(logits[order[rank]]);
        }
        double[] expected = new double[logits.length];
        double before = 0;
        for (int rank = 0; rank < kept && (topP == 1 || before <= topP * all); rank++) {
            expected[order[rank]] = Math.exp(logits[order[rank]]);
            before += expected[order[rank]];
        }
        for (int i = 0; i < expected.length; i++) {
            expected[i] /= before;
        }
        assertArrayEquals(expected, TokenSampler.filteredProbabilities(logits, 1, topK, topP), 1e-12);
    }

    @Test
    void samplersOfImagesAreRepeatableAndUnrelated() {
        float[] logits = new float[50];
        TokenSamplers samplers = TokenSamplers.random(1, 0, 1, 5);
        int[] seventh = draws(samplers.ofImage(7), logits);
        draws(samplers.ofImage(8), logits);
        assertArrayEquals(seventh, draws(samplers.ofImage(7), logits));
        assertArrayEquals(seventh, draws(samplers.from(3).ofImage(4), logits));
        assertArrayEquals(seventh, draws(samplers.from(3).from(2).ofImage(2), logits));
        // seeds and images side by side must not draw the same numbers, shifted or not
        for (long seed = 4; seed <= 6; seed++) {
            for (long image = 6; image <= 8; image++) {
                int[] other = draws(TokenSamplers.random(1, 0, 1, seed).ofImage(image), logits);
                int equal = 0;
                for (int i = 0; i < other.length; i++) {
                    equal += other[i] == seventh[i] ? 1 : 0;
                }
                assertTrue(seed == 5 && image == 7 ? equal == 40 : equal < 8, seed + ", " + image + ": " + equal);
            }
        }
        assertFalse(ImageRandom.of(5, 7, "class").nextLong()
                == ImageRandom.of(5, 7, "tokens").nextLong());
    }

    @Test
    void filtersOneAfterTheOther() {
        // the two most likely tokens hold 0.8 and 0.2 of what top-k leaves: top-p sees those, not the shares of all
        float[] logits = logs(0.4, 0.1, 0.09, 0.09, 0.08, 0.08, 0.08, 0.08);
        assertArrayEquals(
                new double[] {1, 0, 0, 0, 0, 0, 0, 0}, TokenSampler.filteredProbabilities(logits, 1, 2, 0.75), 1e-6);
    }

    @Test
    void temperatureSharpensAndFlattens() {
        float[] logits = logs(0.8, 0.2);
        assertArrayEquals(
                new double[] {16 / 17.0, 1 / 17.0}, TokenSampler.filteredProbabilities(logits, 0.5, 0, 1), 1e-6);
        assertArrayEquals(new double[] {2 / 3.0, 1 / 3.0}, TokenSampler.filteredProbabilities(logits, 2, 0, 1), 1e-6);
        assertArrayEquals(new double[] {1, 0}, TokenSampler.filteredProbabilities(logits, 1e-9, 0, 1), 0);
    }

    @Test
    void largeAndInfiniteLogitsStayProbabilities() {
        assertArrayEquals(
                new double[] {0.5, 0.5, 0},
                TokenSampler.filteredProbabilities(new float[] {3e38f, 3e38f, -3e38f}, 0.5, 0, 0.9),
                0);
        assertArrayEquals(
                new double[] {1, 0},
                TokenSampler.filteredProbabilities(new float[] {0, Float.NEGATIVE_INFINITY}, 1, 0, 1),
                0);
    }

    @Test
    void filteringLeavesTheLogitsAlone() {
        float[] logits = {1, 2, 3};
        TokenSampler.filteredProbabilities(logits, 0.5, 2, 0.5);
        assertArrayEquals(new float[] {1, 2, 3}, logits);
    }

    @Test
    void greedyTakesTheFirstOfTheLargest() {
        TokenSampler greedy = TokenSampler.greedy();
        assertEquals(1, greedy.sample(new float[] {-1, 2, 2, 0}));
        assertEquals(0, greedy.sample(new float[] {0, 0, 0}));
        assertEquals(2, greedy.sample(new float[] {-3, -2, -1}));
        assertEquals(0, greedy.sample(new float[] {-5}));
    }

    @ParameterizedTest
    @CsvSource({"1, 0, 1", "0.7, 0, 1", "1, 5, 1", "1, 0, 0.8", "1.3, 6, 0.9"})
    void drawsFollowTheProbabilities(double temperature, int topK, double topP) {
        Random random = new Random(3);
        float[] logits = new float[12];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) random.nextGaussian();
        }
        double[] probabilities = TokenSampler.filteredProbabilities(logits, temperature, topK, topP);
        TokenSampler sampler = TokenSampler.random(temperature, topK, topP, 11);
        int draws = 20000;
        int[] counts = new int[logits.length];
        for (int i = 0; i < draws; i++) {
            counts[sampler.sample(logits.clone())]++;
        }
        for (int i = 0; i < counts.length; i++) {
            double deviation = Math.sqrt(draws * probabilities[i] * (1 - probabilities[i]));
            assertEquals(draws * probabilities[i], counts[i], 4 * deviation, "token " + i);
            assertTrue(probabilities[i] > 0 || counts[i] == 0, "token " + i + " was filtered out");
        }
    }

    @Test
    void equalSeedsDrawEqualTokens() {
        float[] logits = new float[50];
        int[] first = draws(TokenSampler.random(1, 0, 1, 5), logits);
        assertArrayEquals(first, draws(TokenSampler.random(1, 0, 1, 5), logits));
        assertFalse(Arrays.equals(first, draws(TokenSampler.random(1, 0, 1, 6), logits)));
        // the state moves on from draw to draw
        assertTrue(Arrays.stream(first).distinct().count() > 10);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
    void refusesTemperatures(double temperature) {
        assertEquals(
                "The temperature must be a finite number above 0, got " + temperature
                        + "; use greedy() for the most likely token",
                message(() -> TokenSampler.random(temperature, 0, 1, 0)));
        assertTrue(message(() -> TokenSampler.filteredProbabilities(new float[2], temperature, 0, 1))
                .contains("got " + temperature));
    }

    @Test
    void refusesTopK() {
        assertEquals(
                "topK must be at least 1, or 0 for all tokens, got -1",
                message(() -> TokenSampler.random(1, -1, 1, 0)));
        assertTrue(message(() -> TokenSampler.filteredProbabilities(new float[2], 1, -1, 1))
                .contains("got -1"));
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -0.1, 1.0001, Double.NaN})
    void refusesTopP(double topP) {
        assertEquals(
                "topP must be above 0 and at most 1, got " + topP, message(() -> TokenSampler.random(1, 0, topP, 0)));
        assertTrue(message(() -> TokenSampler.filteredProbabilities(new float[2], 1, 0, topP))
                .contains("got " + topP));
    }

    @Test
    void refusesLogitsThatAreNoNumbers() {
        float[] diverged = {1, Float.NaN, 2};
        String expected = "The logit of token 1 is NaN: the network has diverged";
        assertEquals(expected, message(() -> TokenSampler.greedy().sample(diverged)));
        assertEquals(expected, message(() -> TokenSampler.random(1, 0, 1, 0).sample(diverged)));
        float[] never = {Float.NEGATIVE_INFINITY, Float.NEGATIVE_INFINITY};
        assertEquals("Every logit is -Infinity: no token may be chosen", message(() -> TokenSampler.greedy()
                .sample(never)));
        assertEquals("There are no logits to choose from", message(() -> TokenSampler.greedy()
                .sample(new float[0])));
    }

    private static int[] draws(TokenSampler sampler, float[] logits) {
        int[] draws = new int[40];
        Arrays.setAll(draws, i -> sampler.sample(logits.clone()));
        return draws;
    }

    private static float[] logs(double... probabilities) {
        float[] logits = new float[probabilities.length];
        for (int i = 0; i < logits.length; i++) {
            logits[i] = (float) Math.log(probabilities[i]);
        }
        return logits;
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
