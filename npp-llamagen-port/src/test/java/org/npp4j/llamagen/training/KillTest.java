package org.npp4j.llamagen.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

/** A run whose process is killed by the system again and again ends as one that was not. */
class KillTest {
    private static final int KILLS = 3;
    private static final long SEED = 20;

    @Test
    void killedRunsEndAsOthers(@TempDir Path folder) throws Exception {
        Path undisturbed = folder.resolve("undisturbed");
        SmallRuns.run(SmallRuns.trainer(KilledRun.plan()).checkpoints(SmallRuns.every(KilledRun.EVERY, undisturbed)));
        Path killed = folder.resolve("killed");
        Random random = new Random(SEED);
        int from = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            int reached = run(killed, from + 1 + random.nextInt(10));
            List<TrainingCheckpoint> all = TrainingCheckpoint.list(killed);
            for (TrainingCheckpoint each : all) {
                each.requireWhole();
            }
            from = all.isEmpty() ? 0 : all.get(all.size() - 1).step();
            assertTrue(
                    reached - from <= KilledRun.EVERY,
                    "step " + reached + " was reached, the checkpoint is of " + from);
        }
        run(killed, Integer.MAX_VALUE);
        assertEquals(files(undisturbed), files(killed), "weights, optimizer, average: to the bit");
    }

    /** Checksums of the last checkpoint's files. */
    private static JsonNode files(Path folder) throws IOException {
        TrainingCheckpoint last = TrainingCheckpoint.latest(folder).orElseThrow();
        assertEquals(KilledRun.plan().steps(SmallRuns.STEPS_PER_EPOCH), last.step());
        return new ObjectMapper()
                .readTree(Files.readString(last.folder().resolve(TrainingCheckpoint.STATE)))
                .get("files");
    }

    /** Runs until the end, or kills the process after a step; returns the last step that it printed. */
    private static int run(Path folder, int killAfter) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElseThrow());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> argument.startsWith("-X")
                        || argument.startsWith("--add-modules")
                        || argument.startsWith("-Dnpp")
                        || argument.startsWith("-Dorg.bytedeco"))
                .forEach(command::add);
        command.addAll(
                List.of("-cp", System.getProperty("java.class.path"), KilledRun.class.getName(), folder.toString()));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        int reached = 0;
        try (BufferedReader out = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = out.readLine(); line != null; line = out.readLine()) {
                if (line.startsWith("step ")) {
                    reached = Integer.parseInt(line.substring("step ".length()));
                    if (reached >= killAfter) {
                        // SIGKILL: nothing of the process can react. By its handle, which leaves the stream open
                        process.toHandle().destroyForcibly();
                    }
                }
            }
        }
        int code = process.waitFor();
        assertTrue(killAfter != Integer.MAX_VALUE || code == 0, "exit code " + code);
        return reached;
    }
}
