package org.npp4j.llamagen.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.SmallGpts;
import org.npp4j.llamagen.checkpoint.CheckpointException;

class TrainingCheckpointTest {
    private static final TrainingPlan PLAN = SmallRuns.plan().build();

    @TempDir
    private Path folder;

    @Test
    void keepsTheLastAndTheBest() throws IOException {
        List<Integer> best = new ArrayList<>();
        List<List<Integer>> kept = new ArrayList<>();
        Trainer.Builder builder = SmallRuns.trainer(PLAN)
                .testData(SmallRuns.data(PLAN, 10, true))
                .checkpoints(new CheckpointPolicy(folder, 2, Duration.ZERO, 2, true))
                .observer(new TrainingObserver() {
                    private double lowest = Double.MAX_VALUE;

                    @Override
                    public void onCheckpoint(Trainer trainer, TrainingCheckpoint checkpoint) throws IOException {
                        if (checkpoint.testLoss().orElseThrow() < lowest) {
                            lowest = checkpoint.testLoss().orElseThrow();
                            best.add(checkpoint.step());
                        }
                        kept.add(TrainingCheckpoint.list(folder).stream()
                                .map(TrainingCheckpoint::step)
                                .toList());
                    }
                });
        SmallRuns.run(builder);
        assertEquals(List.of(2), kept.get(0));
        List<Integer> last = kept.get(kept.size() - 1);
        assertTrue(last.containsAll(List.of(10, 12)), last::toString);
        assertTrue(last.contains(best.get(best.size() - 1)), last::toString);
        assertTrue(last.size() <= 3, last::toString);
        try (var files = Files.list(folder)) {
            assertEquals(last.size() + 1, files.count(), "nothing but checkpoints and the lock is left");
        }
    }

    @Test
    void withoutTestImagesTheBestIsOfTheNewestStage() throws IOException {
        SmallRuns.run(SmallRuns.trainer(PLAN).checkpoints(SmallRuns.every(2, folder)));
        List<TrainingCheckpoint> all = TrainingCheckpoint.list(folder);
        TrainingCheckpoint best = CheckpointFolder.best(all).orElseThrow();
        assertTrue(best.step() > 8, "stage 2 begins after step 8, got " + best.step());
    }

    @Test
    void checkpointsByTime() throws IOException {
        SmallRuns.run(
                SmallRuns.trainer(PLAN).checkpoints(new CheckpointPolicy(folder, 0, Duration.ofNanos(1), 100, false)));
        assertEquals(12, TrainingCheckpoint.list(folder).size());
    }

    @Test
    void isANetworkOfDeeplearning4j() throws IOException {
        Trainer trainer = SmallRuns.run(
                SmallRuns.trainer(PLAN).checkpoints(SmallRuns.every(0, folder)).stopAfter(3));
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        ComputationGraph network =
                ModelSerializer.restoreComputationGraph(checkpoint.network().toFile(), true);
        assertEquals(0, SmallGpts.difference(trainer.network().params(), network.params()));
        assertEquals(
                0,
                SmallGpts.difference(
                        trainer.network().getUpdater().getStateViewArray(),
                        network.getUpdater().getStateViewArray()));
        assertEquals(3, network.getIterationCount());
        assertEquals(0, network.getEpochCount());
    }

    @Test
    void damageIsFound() throws IOException {
        SmallRuns.run(
                SmallRuns.trainer(PLAN).checkpoints(SmallRuns.every(0, folder)).stopAfter(3));
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        checkpoint.requireWhole();
        byte[] bytes = Files.readAllBytes(checkpoint.network());
        bytes[bytes.length / 2] ^= 1;
        Files.write(checkpoint.network(), bytes);
        assertMessage("network.zip is not what was written", checkpoint);
        Trainer.Builder resumed = SmallRuns.trainer(PLAN).resume(checkpoint);
        assertThrows(CheckpointException.class, resumed::build);
        Files.write(checkpoint.network(), new byte[0], StandardOpenOption.TRUNCATE_EXISTING);
        assertMessage("network.zip is not what was written", checkpoint);
        Files.delete(checkpoint.network());
        assertMessage("network.zip is missing", checkpoint);
        Files.writeString(checkpoint.folder().resolve(TrainingCheckpoint.STATE), "{\"format\": 2}");
        assertTrue(assertThrows(CheckpointException.class, () -> TrainingCheckpoint.read(checkpoint.folder()))
                .getMessage()
                .contains("has format 2, but only 1 is known"));
        Files.delete(checkpoint.folder().resolve(TrainingCheckpoint.STATE));
        assertTrue(assertThrows(CheckpointException.class, () -> TrainingCheckpoint.read(checkpoint.folder()))
                .getMessage()
                .contains("is no checkpoint of a training run"));
        assertFalse(TrainingCheckpoint.isCheckpoint(checkpoint.folder()));
    }

    private static void assertMessage(String part, TrainingCheckpoint checkpoint) {
        String message = assertThrows(CheckpointException.class, checkpoint::requireWhole)
                .getMessage();
        assertTrue(message.contains(part), message);
    }

    /** What kills leave: a half-written folder, or one between the two moves of a replacement. */
    @Test
    void cleansUpAfterAKill() throws IOException {
        SmallRuns.run(
                SmallRuns.trainer(PLAN).checkpoints(SmallRuns.every(1, folder)).stopAfter(2));
        Files.createDirectory(folder.resolve(".unfinished-step-000000003"));
        Files.writeString(folder.resolve(".unfinished-step-000000003").resolve("network.zip"), "half");
        Files.move(folder.resolve("step-000000002"), folder.resolve(".replaced-step-000000002"));
        assertEquals(1, TrainingCheckpoint.latest(folder).orElseThrow().step());
        try (CheckpointFolder opened = new CheckpointFolder(SmallRuns.every(1, folder), TrainingPlan::parse)) {
            assertEquals(2, TrainingCheckpoint.latest(folder).orElseThrow().step());
            try (var files = Files.list(folder)) {
                assertEquals(3, files.count());
            }
        }
    }

    @Test
    void goingBackReplacesWhatWasAhead() throws IOException {
        SmallRuns.run(SmallRuns.trainer(PLAN).checkpoints(SmallRuns.every(2, folder)));
        TrainingCheckpoint fourth = TrainingCheckpoint.read(folder.resolve(TrainingCheckpoint.name(4)));
        SmallRuns.run(SmallRuns.trainer(PLAN)
                .resume(fourth)
                .checkpoints(SmallRuns.every(2, folder))
                .stopAfter(6));
        assertEquals(
                List.of(2, 4, 6),
                TrainingCheckpoint.list(folder).stream()
                        .map(TrainingCheckpoint::step)
                        .toList());
        TrainingCheckpoint.latest(folder).orElseThrow().requireWhole();
    }

    @Test
    void oneRunAtATime() throws IOException {
        try (CheckpointFolder first = new CheckpointFolder(SmallRuns.every(1, folder), TrainingPlan::parse)) {
            Trainer second = SmallRuns.trainer(PLAN)
                    .checkpoints(SmallRuns.every(1, folder))
                    .build();
            assertTrue(assertThrows(IllegalStateException.class, second::run)
                    .getMessage()
                    .contains("Another run is training in"));
        }
    }

    /** A folder in the way of the new checkpoint's name stands for a full disk. */
    @Test
    void aFailedCheckpointOnTheWayDoesNotEndTheRun() throws IOException {
        Trainer trainer = SmallRuns.trainer(PLAN)
                .checkpoints(SmallRuns.every(5, folder))
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer trainer, TrainingStep step) throws IOException {
                        Path inTheWay = folder.resolve(TrainingCheckpoint.name(5));
                        if (step.step() == 5) {
                            Files.writeString(inTheWay, "a file");
                            Files.createDirectories(folder.resolve(".replaced-step-000000005/x"));
                        } else if (step.step() == 6) {
                            Files.delete(inTheWay);
                        }
                    }
                })
                .build();
        trainer.run();
        assertEquals(
                List.of(10, 12),
                TrainingCheckpoint.list(folder).stream()
                        .map(TrainingCheckpoint::step)
                        .toList());
    }

    @Test
    void namesWrongPolicies() {
        assertTrue(assertThrows(
                        IllegalArgumentException.class, () -> new CheckpointPolicy(folder, 1, Duration.ZERO, 0, true))
                .getMessage()
                .contains("At least 1 checkpoint must be kept, got 0"));
        assertTrue(assertThrows(
                        IllegalArgumentException.class, () -> new CheckpointPolicy(folder, -1, Duration.ZERO, 1, true))
                .getMessage()
                .contains("must be 0 (none) or above"));
        assertEquals(new CheckpointPolicy(folder, 5000, Duration.ZERO, 2, true), CheckpointPolicy.in(folder));
    }
}
