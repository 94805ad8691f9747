package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

class ConfigFileTest {
    @TempDir
    private Path folder;

    private final CommandLine command = new CommandLine(new TrainCommand(() -> null));

    @Test
    void givesOptionsAsOnTheCommandLine() throws IOException {
        assertEquals(
                List.of(
                        "--lr=1.0E-4",
                        "--scheduler",
                        "--no-ema",
                        "--gpt-config={\"dim\":16}",
                        "--patch-stages=4:75,2:150,1:300",
                        "--global-batch-size=8",
                        "--seed=7"),
                arguments(
                        """
                        # a comment
                        lr: 1e-4
                        scheduler: true
                        ema: false
                        gpt-config: {dim: 16}
                        patch_stages: [4:75, 2:150, 1:300]
                        global_batch_size: 8
                        micro-batch:
                        seed: 7
                        """));
    }

    @Test
    void namesTheNearestKey() {
        assertFails("has the unknown key \"learning-rte\". Did you mean \"epoch-rate\"?", "learning-rte: 1");
        assertFails("Did you mean \"warmup-epochs\"?", "warmup_epoch: 1");
        assertFails("Did you mean \"patch-level\"?", "patchlevel: 1");
        assertFails("unknown key \"resume\"", "resume: x");
        assertFails("unknown key \"config\"", "config: x");
        assertFails("is not YAML", "a: [");
        assertFails("is not YAML", "lr: 1\nlr: 2");
        assertFails("must hold options and their values", "- a");
        assertFails("must hold options and their values", "");
    }

    @Test
    void distanceOfWords() {
        assertEquals(0, ConfigFile.distance("abc", "abc"));
        assertEquals(3, ConfigFile.distance("", "abc"));
        assertEquals(3, ConfigFile.distance("kitten", "sitting"));
        assertEquals(2, ConfigFile.distance("ab", "ba"));
    }

    @Test
    void writesWhatItReads() throws IOException {
        command.parseArgs(
                "--lr=2e-4", "--no-ema", "--scheduler", "--gpt-config={\"dim\": 16}", "--steps", "4", "--out=x");
        String yaml = ConfigFile.yaml(command.getCommandSpec());
        assertEquals(
                List.of("--gpt-config={\"dim\": 16}", "--lr=2.0E-4", "--scheduler", "--no-ema"), arguments(yaml), yaml);
    }

    private List<String> arguments(String yaml) throws IOException {
        Path file = folder.resolve("settings.yaml");
        Files.writeString(file, yaml);
        return List.copyOf(
                ConfigFile.read(file, command.getCommandSpec()).arguments().values());
    }

    private void assertFails(String part, String yaml) {
        String message = assertThrows(AppException.class, () -> arguments(yaml)).getMessage();
        assertTrue(message.contains(part), message);
    }
}
