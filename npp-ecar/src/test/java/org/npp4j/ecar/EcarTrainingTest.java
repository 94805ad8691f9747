package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.TrainingDivergedException;

class EcarTrainingTest {
    private static final int STEPS = 3 * SmallEcarRuns.STEPS_PER_EPOCH;
    private static final int KILLS = 2;

    /** Everything that a run ends in. */
    private static void assertSameEnd(Trainer expected, Trainer actual) {
        assertEquals(STEPS, actual.step());
        assertEquals(expected.network().params(), actual.network().params());
        assertEquals(
                expected.network().getUpdater().getStateViewArray(),
                actual.network().getUpdater().getStateViewArray());
        assertEquals(
                expected.average().orElseThrow().vector(),
                actual.average().orElseThrow().vector());
        assertEquals(expected.testLoss(false), actual.testLoss(false));
        assertEquals(expected.testLoss(true), actual.testLoss(true));
        assertEquals(expected.images(), actual.images());
    }

    private static Trainer whole() throws IOException {
        Trainer trainer = SmallEcarRuns.trainer(SmallEcarRuns.plan().build()).build();
        trainer.run();
        return trainer;
    }

    /** In the middle of an epoch, at its end, and before the last step. */
    @ParameterizedTest
    @ValueSource(ints = {3, 4, 11})
    void continuesToTheBit(int steps, @TempDir Path folder) throws Exception {
        EcarPlan plan = SmallEcarRuns.plan().build();
        SmallEcarRuns.trainer(plan)
                .checkpoints(SmallEcarRuns.every(0, folder))
                .stopAfter(steps)
                .build()
                .run();
        TrainingCheckpoint checkpoint = SmallEcarRuns.latest(folder).orElseThrow();
        assertEquals(steps, checkpoint.step());
        assertEquals(plan, checkpoint.plan());
        assertTrue(checkpoint.testLoss().isPresent()
                && checkpoint.averageTestLoss().isPresent());
        Trainer continued = SmallEcarRuns.trainer(plan).resume(checkpoint).build();
        continued.run();
        assertSameEnd(whole(), continued);
    }

    /** Processes that the system kills again and again, at steps of chance and while checkpoints are written. */
    @Test
    void killedRunsEndAsOthers(@TempDir Path folder) throws Exception {
        Random random = new Random(3);
        int from = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            int reached = process(folder, from + 1 + random.nextInt(4));
            for (TrainingCheckpoint each : TrainingCheckpoint.list(folder, EcarPlan::parse)) {
                each.requireWhole();
            }
            from = SmallEcarRuns.latest(folder).map(TrainingCheckpoint::step).orElse(0);
            assertTrue(reached - from <= 1, "step " + reached + " was reached, the checkpoint is of " + from);
        }
        Trainer.Builder last = SmallEcarRuns.trainer(SmallEcarRuns.plan().build());
        SmallEcarRuns.latest(folder).ifPresent(last::resume);
        Trainer continued = last.build();
        assertTrue(continued.step() < STEPS, "it was killed before its end");
        continued.run();
        assertSameEnd(whole(), continued);
    }

    /** Kills a process after a step; returns the last step that it printed. */
    private static int process(Path folder, int killAfter) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElseThrow());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> argument.startsWith("-X")
                        || argument.startsWith("--add-modules")
                        || argument.startsWith("-Dnpp")
                        || argument.startsWith("-Dorg.bytedeco"))
                .forEach(command::add);
        command.addAll(List.of(
                "-cp", System.getProperty("java.class.path"), SmallEcarRuns.class.getName(), folder.toString()));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        int reached = 0;
        try (BufferedReader out = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = out.readLine(); line != null; line = out.readLine()) {
                if (line.startsWith("step ")) {
                    reached = Integer.parseInt(line.substring("step ".length()));
                    if (reached >= killAfter) {
                        // SIGKILL, by its handle, which leaves the stream open
                        process.toHandle().destroyForcibly();
                    }
                }
            }
        }
        process.waitFor();
        return reached;
    }

    /** The parts' gradients add up to those of the whole batch. */
    @Test
    void partsAreTheWholeBatch() throws IOException {
        EcarConfig withoutDropouts = SmallEcarRuns.MODEL.withDropouts(0, 0);
        List<INDArray> ends = new ArrayList<>();
        for (int part : new int[] {SmallEcarRuns.BATCH, 4, 1}) {
            EcarPlan plan = EcarPlan.of(withoutDropouts)
                    .epochs(2)
                    .batchSize(SmallEcarRuns.BATCH)
                    .microBatch(part)
                    .dataType(DataType.DOUBLE)
                    .build();
            Trainer trainer = SmallEcarRuns.trainer(plan).build();
            trainer.run();
            ends.add(trainer.network().params());
        }
        assertTrue(ends.get(0).equalsWithEps(ends.get(1), 1e-6), "parts of 4 and 2");
        assertTrue(ends.get(0).equalsWithEps(ends.get(2), 1e-6), "parts of 1");
    }

    /** Two workers share a batch: the same step up to rounding, as without dropouts. */
    @Test
    void workersShareABatch() throws IOException {
        EcarPlan plan = EcarPlan.of(SmallEcarRuns.MODEL.withDropouts(0, 0))
                .epochs(2)
                .batchSize(SmallEcarRuns.BATCH)
                .dataType(DataType.DOUBLE)
                .build();
        Trainer alone = SmallEcarRuns.trainer(plan).build();
        alone.run();
        Trainer shared = SmallEcarRuns.trainer(plan).workers(2).build();
        shared.run();
        assertTrue(alone.network().params().equalsWithEps(shared.network().params(), 1e-6));
    }

    /** The loss has no regularization terms, and that of the test counts short batches by their size. */
    @Test
    void lossIsThatOfTheVelocities() {
        EcarPlan plan = EcarPlan.of(SmallEcarRuns.MODEL.withDropouts(0, 0))
                .batchSize(SmallEcarRuns.BATCH)
                .optimizer(new TrainingPlan.AdamW(0.9, 0.95, 1e-8, 0.5))
                .dataType(DataType.DOUBLE)
                .build();
        ComputationGraph network = plan.newNetwork(1, false, null);
        LatentDataSetIterator test = SmallEcarRuns.data(plan, true);
        double sum = 0;
        long numbers = 0;
        while (test.hasNext()) {
            MultiDataSet batch = test.next();
            INDArray error = network.output(batch.getFeatures())[0].sub(batch.getLabels(0));
            sum += error.mul(error).sumNumber().doubleValue();
            numbers += error.length();
        }
        test.setEpoch(0);
        assertEquals(sum / numbers, plan.testLoss(network, test), 1e-6);

        test.setEpoch(0);
        MultiDataSet batch = test.next();
        network.setInputs(batch.getFeatures());
        network.setLabels(batch.getLabels());
        network.computeGradientAndScore();
        assertTrue(network.score() > plan.loss(network) + 1e-3, "decay is in the score");
        INDArray error = network.output(batch.getFeatures())[0].sub(batch.getLabels(0));
        assertEquals(error.mul(error).meanNumber().doubleValue(), plan.loss(network), 1e-6);
    }

    @Test
    void stopsWhereItDiverges() {
        EcarPlan plan = SmallEcarRuns.plan()
                .learningRate(new TrainingPlan.LearningRate(1e6, false, 0, 0, 0))
                .clipNorm(0)
                .epochs(50)
                .build();
        TrainingDivergedException diverged = assertThrows(
                TrainingDivergedException.class,
                () -> SmallEcarRuns.trainer(plan).build().run());
        assertTrue(diverged.getMessage().contains("Training has stopped"), diverged.getMessage());
    }

    @Test
    void plansAreWrittenAndRead() {
        EcarPlan plan = SmallEcarRuns.plan().build();
        assertEquals(plan, EcarPlan.parse(plan.toJson()));
        assertEquals(plan, plan.parser().parse(plan.toJson()));
        assertEquals(EcarPlan.of(EcarConfig.defaults()).build(), EcarPlan.parse("{\"ecar\": {}}"), "defaults of both");
        RunPlan other = SmallEcarRuns.plan().seed(8).epochs(4).build();
        assertEquals(List.of("epochs: 3 -> 4", "seed: 7 -> 8"), plan.differences(other));
        assertTrue(plan.hasModelOf(other));
        assertTrue(plan.hasModelOf(
                EcarPlan.of(SmallEcarRuns.MODEL.withDropouts(0, 0)).build()));
        assertFalse(plan.hasModelOf(EcarPlan.of(EcarConfig.defaults()).build()));
        assertNotEquals(plan, other);
    }

    @Test
    void continuesOnlyItsOwnModel(@TempDir Path folder) throws Exception {
        SmallEcarRuns.trainer(SmallEcarRuns.plan().build())
                .checkpoints(SmallEcarRuns.every(0, folder))
                .stopAfter(1)
                .build()
                .run();
        TrainingCheckpoint checkpoint = SmallEcarRuns.latest(folder).orElseThrow();
        EcarPlan wider = SmallEcarRuns.plan(SmallEcarRuns.MODEL.withHead(new FlowHead.Mlp(16, 1)))
                .build();
        refuses(
                "is of another model: ecar.head_width: 8 -> 16",
                () -> SmallEcarRuns.trainer(wider).resume(checkpoint).build());
        CheckpointException damaged =
                assertThrows(CheckpointException.class, () -> TrainingCheckpoint.read(checkpoint.folder()));
        assertTrue(damaged.getMessage().contains("A plan is an object with the key"), damaged.getMessage());
    }

    /** Runs compare plans as texts, and old files must stay readable: names and order are part of the format. */
    @Test
    void theJsonOnDiskStays() {
        String json = SmallEcarRuns.plan().build().toJson();
        assertEquals(
                """
                  "epochs" : 3,
                  "global_batch_size" : 6,
                  "micro_batch" : 4,
                  "lr" : 0.01,
                  "scheduler" : true,
                  "warmup" : 0.5,
                  "decay_ratio" : 0.5,
                  "end_lr" : 0.001,
                  "beta1" : 0.9,
                  "beta2" : 0.95,
                  "eps" : 1.0E-8,
                  "weight_decay" : 0.05,
                  "max_grad_norm" : 0.5,
                  "ema_decay" : 0.9,
                  "precision" : "float",
                  "data_type" : "FLOAT",
                  "seed" : 7
                }""",
                json.substring(json.indexOf("  \"epochs")));
    }

    @Test
    void wrongPlansAreRefused() {
        refuses(
                "epochs must be at least 1, got 0",
                () -> SmallEcarRuns.plan().epochs(0).build());
        refuses(
                "micro_batch must be 1 to global_batch_size, which is 6, got 7",
                () -> SmallEcarRuns.plan().microBatch(7).build());
        refuses("ema_decay must be", () -> SmallEcarRuns.plan().averageDecay(1).build());
        refuses("max_grad_norm must be", () -> SmallEcarRuns.plan().clipNorm(-1).build());
        refuses(
                "global_batch_size must be",
                () -> SmallEcarRuns.plan().batchSize(0).build());
        refuses("Is this the plan of a GPT?", () -> EcarPlan.parse("{\"model\": {}}"));
        refuses("This is not JSON", () -> EcarPlan.parse("{"));
        refuses("\"epoch\" is no key of the plan of an ECAR", () -> EcarPlan.parse("{\"ecar\": {}, \"epoch\": 3}"));
        refuses("\"data_type\" must be", () -> EcarPlan.parse("{\"ecar\": {}, \"data_type\": \"HALF\"}"));
        refuses("\"scheduler\" must be", () -> EcarPlan.parse("{\"ecar\": {}, \"scheduler\": 1}"));
        refuses("\"seed\" must be", () -> EcarPlan.parse("{\"ecar\": {}, \"seed\": 0.5}"));
    }

    private static void refuses(String message, Executable action) {
        IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, action);
        assertTrue(refused.getMessage().contains(message), refused.getMessage());
    }
}
