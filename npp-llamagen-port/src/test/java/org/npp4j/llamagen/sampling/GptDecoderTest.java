package org.npp4j.llamagen.sampling;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.LlamaGen;

class GptDecoderTest {

    @ParameterizedTest
    @CsvSource({
        "gpt-tiny, 1, -1",
        "gpt-tiny, 2, -1",
        "gpt-tiny, 4, 21",
        "gpt-gqa, 1, -1",
        "gpt-gqa, 2, -1",
        "gpt-gqa, 4, 12"
    })
    void greedyTokensAreThoseOfPyTorch(String name, int scale, int interval) {
        GoldenGpt golden = new GoldenGpt(name);
        // the stage of training does not matter: generation is always at p = 1
        ComputationGraph network = golden.network(LlamaGen.of(golden.spec()).patchSide(2), DataType.FLOAT);
        int[][] ids = new GptDecoder(network)
                .generate(new int[] {1, 2}, new Guidance(scale, interval), TokenSampler.greedy());
        int[][] expected =
                golden.array("greedy.cfg" + scale + ".interval" + interval).toIntMatrix();
        assertArrayEquals(expected, ids);
    }

    @Test
    void reportsEveryPositionAndRepeatsItself() {
        GoldenGpt golden = new GoldenGpt("gpt-gqa");
        GptDecoder decoder = new GptDecoder(golden.network(LlamaGen.of(golden.spec()), DataType.FLOAT));
        List<Integer> done = new ArrayList<>();
        int[][] first =
                decoder.generate(new int[] {0, 4, 3}, Guidance.of(2), TokenSampler.random(1, 0, 1, 7), done::add);
        int[][] second = decoder.generate(new int[] {0, 4, 3}, Guidance.of(2), TokenSampler.random(1, 0, 1, 7));
        assertArrayEquals(first, second);
        assertEquals(36, done.size());
        assertEquals(36, done.get(35));
    }

    @Test
    void refusesWhatItCannotGenerate() {
        GoldenGpt golden = new GoldenGpt("gpt-gqa");
        GptDecoder decoder = new GptDecoder(golden.network(LlamaGen.of(golden.spec()), DataType.FLOAT));
        assertTrue(message(() -> decoder.generate(new int[0], Guidance.NONE, TokenSampler.greedy()))
                .contains("at least one class"));
        assertTrue(message(() -> decoder.generate(new int[] {6}, Guidance.NONE, TokenSampler.greedy()))
                .contains("6.0 at example 0"));
        assertTrue(message(() -> Guidance.of(0.5)).contains("at least 1 (1 = none), got 0.5"));
        assertTrue(message(() -> new Guidance(2, -2)).contains("got -2"));
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
