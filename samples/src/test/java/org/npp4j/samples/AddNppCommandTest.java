package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

class AddNppCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @Test
    void images() {
        trainsAndReports("add-npp");
    }

    @Test
    void text() {
        trainsAndReports("add-npp-text");
    }

    private void trainsAndReports(String command) {
        assertEquals(0, npp(command, "--epochs", "2", "--seed", "3"), err::toString);
        List<String> lines = out.toString().lines().toList();
        assertTrue(lines.get(1).matches("NTP +1 +2 +\\d+\\.\\d +\\d\\.\\d{3}"), out::toString);
        assertTrue(lines.get(2).matches("NPP +2 +1 +\\d+\\.\\d +\\d\\.\\d{3}"), out::toString);
        assertTrue(lines.get(3).matches("NPP +1 +1 +\\d+\\.\\d +\\d\\.\\d{3}"), out::toString);
        assertTrue(lines.get(5).startsWith("Nats per token on new data: NTP "), out::toString);
    }

    @Test
    void tooFewEpochs() {
        for (String command : List.of("add-npp", "add-npp-text")) {
            assertEquals(2, npp(command, "--epochs", "1"));
            assertTrue(err.toString().contains("at least 2, one for each stage of NPP, but is 1"), err::toString);
            assertEquals(1, err.toString().lines().count(), err::toString);
        }
    }

    @Test
    void help() {
        assertEquals(0, npp("--help"));
        assertTrue(out.toString().contains("add-npp-text"), out::toString);
        assertEquals(0, npp("add-npp", "--help"));
        assertTrue(out.toString().contains("--epochs"), out::toString);
    }

    @Test
    void madeUpTextIsOfItsAlphabetAndRepeats() {
        String sentence = new MadeUpText(new Random(1)).sentence();
        assertTrue(sentence.matches("([a-z]+ )+[a-z]+\\."), sentence);
        int[][] ids = new MadeUpText(new Random(1)).examples(20, 50);
        assertEquals(20, ids.length);
        for (int[] example : ids) {
            assertEquals(50, example.length);
            for (int id : example) {
                assertTrue(id >= 0 && id < MadeUpText.ALPHABET.length());
            }
        }
        assertEquals(sentence.charAt(0), MadeUpText.ALPHABET.charAt(ids[0][0]));
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new AddNppCommand(() -> BACKEND, 13), new AddNppTextCommand(() -> BACKEND, 40)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }
}
