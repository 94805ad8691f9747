package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

class NoiseWindowsTest {
    private static void assertWindows(double[][] expected, NoiseWindows windows) {
        assertEquals(expected.length, windows.stages());
        for (int s = 0; s < expected.length; s++) {
            assertEquals(expected[s][0], windows.start(s), 1e-12, "start of stage " + s);
            assertEquals(expected[s][1], windows.end(s), 1e-12, "end of stage " + s);
        }
    }

    @Test
    void knownWindows() {
        assertWindows(new double[][] {{1, 0}}, NoiseWindows.of(1));
        assertWindows(new double[][] {{1, .5}, {2 / 3.0, 0}}, NoiseWindows.of(2));
        assertWindows(new double[][] {{1, 2 / 3.0}, {.8, 1 / 3.0}, {.5, 0}}, NoiseWindows.of(3));
        assertWindows(new double[][] {{1, .75}, {6 / 7.0, .5}, {2 / 3.0, .25}, {.4, 0}}, NoiseWindows.of(4));
        assertThrows(IllegalArgumentException.class, () -> NoiseWindows.of(0));
    }

    @ParameterizedTest
    @ValueSource(strings = {"ecar-s2", "ecar-s3"})
    void goldenWindows(String name) throws IOException {
        JsonNode golden = new ObjectMapper()
                .readTree(Files.readString(Golden.file(name + ".json")))
                .get("windows");
        double[][] expected = new double[golden.size()][];
        for (int s = 0; s < expected.length; s++) {
            expected[s] = new double[] {
                golden.get(s).get(0).asDouble(), golden.get(s).get(1).asDouble()
            };
        }
        assertWindows(expected, Golden.config(name).windows());
    }
}
