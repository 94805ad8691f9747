package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceLoader;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.arbiter.SweepView;
import org.npp4j.llamagen.training.TrainingCheckpoint;

class SweepCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");

    @TempDir
    static Path shared;

    private static Path data;
    private static Path codebook;
    private static Path preset;

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeAll
    static void writeImages() throws IOException {
        RandomImageFiles images = RandomImageFiles.write(shared, 24, 6);
        data = images.folder();
        codebook = images.codebook();
        preset = shared.resolve("preset.yaml");
        Files.writeString(
                preset,
                """
                gpt-config: {dim: 16, n_layer: 1, n_head: 2}
                epochs: 4
                patch-level: 2
                global-batch-size: 8
                scheduler: true
                lr: 1e-2
                ckpt-every: 7      # of npp train: without effect here
                """);
    }

    @Test
    void sweepsReportsAndGoesOn() throws IOException {
        assertEquals(0, sweep("--patch-levels", "1,2", "--epoch-rates", "0.5,0.75"), err::toString);
        JsonNode summary = new ObjectMapper().readTree(Files.readString(folder.resolve("sweep.json")));
        List<String> plans = new ArrayList<>();
        summary.get("candidates")
                .forEach(each -> plans.add(each.get("patch_stages").asText()));
        assertEquals(List.of("1:4", "2:2,1:4", "2:3,1:4"), plans);
        summary.get("candidates").forEach(each -> {
            assertEquals("done", each.get("status").asText());
            assertTrue(each.get("score").asDouble() > 0);
            assertTrue(Files.exists(folder.resolve(each.get("folder").asText()).resolve("result.json")));
        });
        assertTrue(out.toString().contains("Best of 3: stages "), out::toString);
        String page = Files.readString(folder.resolve("sweep.html"));
        assertTrue(page.contains("2:2,1:4"), "table");
        assertFalse(page.contains("src=\"http"), "self-contained");

        // a wider grid in the same folder: only what is new is trained
        assertEquals(
                0, sweep("--patch-levels", "1,2", "--epoch-rates", "0.5,0.75", "--lrs", "1e-2,2e-2"), err::toString);
        JsonNode more = new ObjectMapper().readTree(Files.readString(folder.resolve("sweep.json")));
        assertEquals(9, more.get("candidates").size());
    }

    @Test
    void theBestPlanIsAPresetOfTrain() throws IOException {
        assertEquals(
                0,
                sweep("--patch-plans", "2:1,1:2", "--lrs", "3e-3", "--decay-ratios", "0.4", "--epochs", "9"),
                err::toString);
        String best = Files.readString(folder.resolve("best.yaml"));
        assertTrue(best.contains("patch-stages: \"2:1,1:2\""), best);
        assertTrue(best.contains("lr: 0.003"), best);
        assertFalse(best.contains("epochs: "), best);
        Path run = folder.resolve("run");
        assertEquals(
                0,
                npp("train", "--config", folder.resolve("best.yaml").toString(), "--out", run.toString()),
                err::toString);
        TrainingCheckpoint trained =
                TrainingCheckpoint.latest(run.resolve("checkpoints")).orElseThrow();
        assertEquals(6, trained.step());
        JsonNode swept = new ObjectMapper().readTree(Files.readString(folder.resolve("sweep.json")));
        assertEquals(
                swept.get("candidates").get(0).get("test_loss").asDouble(),
                trained.testLoss().orElseThrow(),
                "the same run, to the bit");
    }

    @Test
    void wrongOptionsAreNamed() {
        assertFails(2, "--resume is an option of a single run", "--resume", "x");
        assertFails(2, "Unknown option: '--nonsense'", "--nonsense");
        assertFails(2, "grid, random or genetic", "--generator", "best");
        assertFails(2, "A random search has no end of its own", "--generator", "random");
        assertFails(2, "loss or fid", "--score", "nice");
        assertFails(2, "--score fid: the classifier that comes along knows Fashion-MNIST", "--score", "fid");
        assertFails(2, "above 0 and below 1, got 1.5", "--epoch-rates", "1.5");
        assertFails(2, "a range has two ends", "--lrs", "1..2..3");
        assertFails(2, "got a,b", "--lrs", "a,b");
        assertFails(2, "give one or the other", "--patch-plans", "1:4", "--patch-levels", "2");
    }

    @Test
    void theUiIsOneOfTheBuildThatHasIt() {
        assertFails(2, "--ui is a port, 0 to 65535, but is 65536", "--ui", "65536");
        assumeTrue(ServiceLoader.load(SweepView.class).findFirst().isEmpty(), "built with -Pui: has the UI");
        assertFails(1, "--ui needs Arbiter's UI on the class path. Start with ./npp", "--ui");
        assertEquals(1, err.toString().strip().lines().count(), err::toString);
    }

    private void assertFails(int code, String message, String... further) {
        assertEquals(code, sweep(further), err::toString);
        assertTrue(err.toString().contains(message), err::toString);
    }

    private int sweep(String... further) {
        List<String> arguments = new ArrayList<>(List.of(
                "sweep",
                "--data",
                data.toString(),
                "--vq-ckpt",
                codebook.toString(),
                "--config",
                preset.toString(),
                "--out",
                folder.toString()));
        arguments.addAll(List.of(further));
        return npp(arguments.toArray(String[]::new));
    }

    private int npp(String... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new SweepCommand(() -> BACKEND), new TrainCommand(() -> BACKEND)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                arguments);
    }
}
