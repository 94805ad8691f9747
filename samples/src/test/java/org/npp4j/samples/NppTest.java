package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.samples.report.LossCurve;
import org.npp4j.samples.report.QuickstartReport;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.samples.report.TrainedModel;

class NppTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private final List<QuickstartSettings> runs = new ArrayList<>();

    @Test
    void helpListsTheCommands() {
        assertEquals(0, npp("--help"));
        assertTrue(out.toString().contains("quickstart"), out.toString());
        assertTrue(out.toString().contains("--cuda"), out.toString());
        assertEquals("", err.toString());
    }

    @Test
    void helpOfACommand() {
        assertEquals(0, npp("quickstart", "--help"));
        for (String option : List.of("--data", "--out", "--epochs", "--seed", "--verbose")) {
            assertTrue(out.toString().contains(option), out.toString());
        }
        assertTrue(out.toString().contains("npp-out/quickstart"), out.toString());
    }

    @Test
    void versions() {
        assertEquals(0, npp("--version"));
        assertTrue(
                out.toString().matches("(?s)NPP [0-9].*Deeplearning4j 1\\.0\\.0-M2\\.1.*Java [0-9].*"), out.toString());
    }

    @Test
    void wrongUsageIsOneLineAndTwo() {
        isUsageError("Which command?", new String[0]);
        isUsageError("'fly'", "fly");
        isUsageError("--epochz", "quickstart", "--epochz", "3");
        isUsageError("'many' is not an int", "quickstart", "--epochs", "many");
        isUsageError("at least 2, one for each stage of NPP, but is 1", "quickstart", "--epochs", "1");
        isUsageError(
                "does not exist", "quickstart", "--data", folder.resolve("none").toString());
        isUsageError("--out", "quickstart", "--out");
        assertTrue(runs.isEmpty());
    }

    @Test
    void aFileInPlaceOfTheOutputFolder() throws Exception {
        Path file = Files.createFile(folder.resolve("file"));
        isUsageError("is a file", "quickstart", "--out", file.toString());
        assertEquals(1, npp("quickstart", "--out", file.resolve("deeper").toString()));
        assertTrue(err.toString().contains("file"), err.toString());
    }

    @Test
    void writesEverythingAndPassesTheSettings() throws Exception {
        Path to = folder.resolve("a b");
        assertEquals(
                0,
                npp("quickstart", "--out", to.toString(), "--epochs", "3", "--seed", "-7", "--data", folder.toString()),
                err::toString);
        assertEquals(List.of(new QuickstartSettings(folder, to, 3, -7, 0)), runs);
        JsonNode json = new ObjectMapper().readTree(to.resolve("report.json").toFile());
        assertEquals(0.5, json.at("/ratio/train_seconds").asDouble());
        assertEquals(3, json.at("/settings/epochs").asInt());
        assertEquals(-7, json.at("/settings/seed").asInt());
        assertEquals(64, json.at("/settings/batch_size").asInt());
        assertEquals("OPENBLAS", json.at("/environment/blas").asText());
        assertTrue(json.at("/environment/command_line").asText().startsWith("npp quickstart --out"));
        assertTrue(json.at("/peak_rss_gib").asDouble() > 0);
        assertTrue(Files.readString(to.resolve("report.html")).contains("<h1>"));
        assertEquals(3, Files.size(to.resolve("npp.png")));
        assertTrue(out.toString().contains("report.html"), out.toString());
    }

    @Test
    void aFailureIsOneLineAndItsTraceIsInTheLog() throws Exception {
        Path to = folder.resolve("out");
        QuickstartRun failing = settings -> {
            throw new AppException("The loss is NaN at step 7");
        };
        assertEquals(1, npp(failing, "quickstart", "--out", to.toString()));
        assertEquals("npp: The loss is NaN at step 7", err.toString().strip());
        String log = Files.readString(to.resolve("run.log"));
        assertTrue(log.contains("AppException: The loss is NaN") && log.contains("at org.npp4j"), log);
        assertFalse(Files.exists(to.resolve("report.json")));

        assertEquals(1, npp(failing, "quickstart", "--verbose", "--out", to.toString()));
        assertTrue(err.toString().contains("at org.npp4j.samples"), err.toString());
    }

    @Test
    void errorsAreCaughtToo() {
        assertEquals(
                1,
                npp(
                        settings -> {
                            throw new OutOfMemoryError("Java heap space");
                        },
                        "quickstart",
                        "--out",
                        folder.toString()));
        assertTrue(err.toString().contains("NPP_JAVA_OPTS=-Xmx2g"), err.toString());
        assertEquals(1, err.toString().lines().count(), err.toString());
    }

    private void isUsageError(String message, String... args) {
        assertEquals(2, npp(args), err::toString);
        assertTrue(err.toString().contains(message), err.toString());
        assertTrue(err.toString().contains("--help"), err.toString());
        assertEquals(1, err.toString().lines().count(), err.toString());
    }

    private int npp(String... args) {
        return npp(
                settings -> {
                    runs.add(settings);
                    return result();
                },
                args);
    }

    private int npp(QuickstartRun training, String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new QuickstartCommand(training, () -> BACKEND)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }

    private static QuickstartRun.Result result() {
        return new QuickstartRun.Result(
                model(10),
                model(5),
                new QuickstartReport.Data("test", "00", 1, 1, 64, 256, 0.01, List.of("A", "B")),
                Map.of("batch_size", 64),
                List.of(new SampleSheet("NPP", "npp.png", "Images", new byte[] {1, 2, 3})),
                "All of it.",
                null);
    }

    private static TrainedModel model(double seconds) {
        LossCurve curve = new LossCurve(List.of(seconds), List.of(1L), List.of(2.0), List.of(1));
        return new TrainedModel(seconds, 1, 1, 1, 1, 1.4, 4.05, 10, List.of(), curve, "model.zip", null);
    }
}
