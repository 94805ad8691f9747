package org.npp4j.llamagen.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.SmallGpts;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TrainingDivergedException;

class TrainerTest {
    /** In the middle of an epoch, at its end, at a switch of stages, and just before the end. */
    @ParameterizedTest
    @CsvSource({
        "'2:2,1:3', 1",
        "'2:2,1:3', 4",
        "'2:2,1:3', 6",
        "'2:2,1:3', 8",
        "'2:2,1:3', 11",
        "'4:5it,2:7it,1:10it', 5",
        "'4:5it,2:7it,1:10it', 6"
    })
    void continuesToTheBit(String stages, int resumedAt, @TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().stages(PatchStages.parse(stages)).build();
        Losses through = new Losses();
        Trainer whole = SmallRuns.run(SmallRuns.trainer(plan).observer(through));

        Losses parts = new Losses();
        SmallRuns.run(SmallRuns.trainer(plan)
                .observer(parts)
                .checkpoints(SmallRuns.every(0, folder))
                .stopAfter(resumedAt));
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        assertEquals(resumedAt, checkpoint.step());
        assertEquals(List.of(), checkpoint.differences(plan, Map.of(), SmallRuns.STEPS_PER_EPOCH));
        Trainer resumed = SmallRuns.run(SmallRuns.trainer(plan).observer(parts).resume(checkpoint));

        assertEquals(whole.totalSteps(), resumed.step());
        assertEquals(through.steps, parts.steps);
        assertSame(whole.network().params(), resumed.network().params());
        assertSame(
                whole.network().getUpdater().getStateViewArray(),
                resumed.network().getUpdater().getStateViewArray());
        assertSame(
                whole.average().orElseThrow().vector(),
                resumed.average().orElseThrow().vector());
        assertEquals(whole.images(), resumed.images());
    }

    @Test
    void everySourceOfChanceMatters() {
        TrainingPlan plan = SmallRuns.plan().build();
        INDArray weights = SmallRuns.run(SmallRuns.trainer(plan)).network().params();
        assertSame(weights, SmallRuns.run(SmallRuns.trainer(plan)).network().params());
        for (TrainingPlan other : List.of(
                SmallRuns.plan().seed(8).build(),
                SmallRuns.plan()
                        .dropouts(new TrainingPlan.Dropouts(0, 0.1, 0.2, 0.1, 0.1))
                        .build(),
                SmallRuns.plan()
                        .dropouts(new TrainingPlan.Dropouts(0.3, 0, 0.2, 0.1, 0.1))
                        .build(),
                SmallRuns.plan()
                        .dropouts(new TrainingPlan.Dropouts(0.3, 0.1, 0.2, 0.1, 0))
                        .build())) {
            INDArray others = SmallRuns.run(new Trainer.Builder(other, SmallRuns.data(plan)))
                    .network()
                    .params();
            assertTrue(SmallGpts.difference(weights, others) > 1e-4, () -> String.valueOf(plan.differences(other)));
        }
    }

    /** Uneven parts, a last batch that is smaller, clipping that bites, weight decay; nothing random. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4, 5})
    void partsOfABatchMakeTheStepOfTheWhole(int microBatch) {
        TrainingPlan.Builder plan =
                SmallRuns.plan().dropouts(TrainingPlan.Dropouts.NONE).dataType(DataType.DOUBLE);
        TrainingPlan whole = plan.microBatch(SmallRuns.BATCH).build();
        TrainingPlan cut = plan.microBatch(microBatch).build();
        Losses wholeLosses = new Losses();
        Losses cutLosses = new Losses();
        Scores wholeScores = new Scores();
        Scores cutScores = new Scores();
        Trainer expected = SmallRuns.run(new Trainer.Builder(whole, SmallRuns.data(whole, SmallRuns.IMAGES, true))
                .observer(wholeLosses)
                .listeners(wholeScores));
        Trainer actual = SmallRuns.run(new Trainer.Builder(cut, SmallRuns.data(cut, SmallRuns.IMAGES, true))
                .observer(cutLosses)
                .listeners(cutScores));
        assertEquals(
                0,
                SmallGpts.difference(
                        expected.network().params(), actual.network().params()),
                1e-12);
        for (int i = 0; i < wholeLosses.steps.size(); i++) {
            assertEquals(wholeLosses.steps.get(i).loss(), cutLosses.steps.get(i).loss(), 1e-12);
            assertEquals(
                    wholeLosses.steps.get(i).gradientNorm(),
                    cutLosses.steps.get(i).gradientNorm(),
                    1e-12);
            assertTrue(cutLosses.steps.get(i).gradientNorm() > 0.5 || i > 0, "clipping is part of the test");
            assertEquals(wholeScores.scores.get(i), cutScores.scores.get(i), 1e-12);
        }
        assertEquals(wholeScores.events, cutScores.events);
    }

    @Test
    void listenersSeeWhatFitShowsThem() {
        TrainingPlan plan = SmallRuns.plan().microBatch(3).build();
        Scores seen = new Scores();
        SmallRuns.run(SmallRuns.trainer(plan).listeners(seen));
        String step = "forward backward gradient done ";
        assertEquals(
                ("start " + step.repeat(SmallRuns.STEPS_PER_EPOCH) + "end ")
                        .repeat(3)
                        .strip(),
                String.join(" ", seen.events));
    }

    @Test
    void stagesLearningRatesAndPositionsAreThoseOfThePlan() {
        TrainingPlan plan = SmallRuns.plan().build();
        Losses seen = new Losses();
        Trainer trainer = SmallRuns.run(SmallRuns.trainer(plan).observer(seen));
        assertEquals(12, trainer.totalSteps());
        for (int i = 0; i < 12; i++) {
            TrainingStep step = seen.steps.get(i);
            assertEquals(i + 1, step.step());
            assertEquals(i / 4, step.epoch());
            assertEquals(i < 8 ? 0 : 1, step.stage());
            assertEquals(i < 8 ? 2 : 1, step.patchSide());
            assertEquals(SmallRuns.BATCH, step.images());
        }
        assertEquals(0, seen.steps.get(0).learningRate());
        assertEquals(0.5e-2, seen.steps.get(1).learningRate(), 1e-15);
        assertEquals(1e-2, seen.steps.get(2).learningRate(), 1e-15);
        assertEquals(0, seen.steps.get(8).learningRate(), "the second stage warms up anew");
        assertEquals(3, trainer.network().getEpochCount());
        assertEquals(12, trainer.network().getIterationCount());
    }

    @Test
    void stopsAfterTheStepAtHandWithACheckpoint(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer trainer = SmallRuns.trainer(plan)
                .checkpoints(SmallRuns.every(0, folder))
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer trainer, TrainingStep step) {
                        if (step.step() == 5) {
                            trainer.stop();
                        }
                    }
                })
                .build();
        trainer.run();
        assertTrue(trainer.isStopped());
        assertEquals(5, trainer.step());
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        assertEquals(5, checkpoint.step());
        assertEquals(1, checkpoint.epoch());
        assertEquals(1, checkpoint.batch());
        assertEquals(30, checkpoint.images());
    }

    /** The observer that evaluates and samples must not change what is trained. */
    @Test
    void testsDoNotDisturbTheRun(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer untested = SmallRuns.run(SmallRuns.trainer(plan));
        Trainer tested = SmallRuns.run(SmallRuns.trainer(plan)
                .testData(SmallRuns.data(plan, 10, true))
                .checkpoints(SmallRuns.every(1, folder)));
        assertSame(untested.network().params(), tested.network().params());
        List<TrainingCheckpoint> all = TrainingCheckpoint.list(folder);
        assertEquals(12, all.size());
        for (TrainingCheckpoint each : all) {
            assertTrue(each.testLoss().orElseThrow() > 0);
            assertTrue(each.averageTestLoss().orElseThrow() > 0);
        }
        assertEquals(
                tested.testLoss(true), all.get(all.size() - 1).averageTestLoss(), "tests repeat, in the same order");
    }

    @Test
    void explosionStopsWithTheLastCheckpoint(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan()
                .learningRate(new TrainingPlan.LearningRate(20, false, 0, 0, 0))
                .clipNorm(0)
                .build();
        Trainer trainer =
                SmallRuns.trainer(plan).checkpoints(SmallRuns.every(1, folder)).build();
        TrainingDivergedException diverged = assertThrows(TrainingDivergedException.class, trainer::run);
        assertTrue(diverged.getMessage().contains("at iteration " + trainer.step()), diverged.getMessage());
        Path last = folder.resolve(TrainingCheckpoint.name(trainer.step()));
        assertEquals(last, diverged.lastCheckpoint().orElseThrow());
        assertTrue(diverged.getMessage().contains(last.toString()), diverged.getMessage());
        TrainingCheckpoint.read(last).requireWhole();
    }

    @Test
    void goesOnWithOtherSettings(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer first = SmallRuns.run(
                SmallRuns.trainer(plan).checkpoints(SmallRuns.every(0, folder)).stopAfter(6));
        TrainingPlan changed = SmallRuns.plan()
                .learningRate(5e-3)
                .averageDecay(0.5)
                .clipNorm(0)
                .build();
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        assertEquals(
                List.of("ema_decay: 0.9 -> 0.5", "lr: 0.01 -> 0.005", "max_grad_norm: 0.5 -> 0.0"),
                checkpoint.differences(changed, Map.of(), SmallRuns.STEPS_PER_EPOCH));
        Trainer resumed = SmallRuns.trainer(changed).resume(checkpoint).build();
        assertSame(first.network().params(), resumed.network().params());
        assertSame(
                first.average().orElseThrow().vector(),
                resumed.average().orElseThrow().vector());
        assertEquals(0.5, resumed.average().orElseThrow().decay());
        resumed.run();
        assertEquals(12, resumed.step());
        assertEquals(
                List.of("data, images: null -> 26", "steps of an epoch: 4 -> 5"),
                checkpoint.differences(plan, Map.of("images", "26"), 5));
    }

    @Test
    void refusesAnotherModel(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        SmallRuns.run(
                SmallRuns.trainer(plan).checkpoints(SmallRuns.every(0, folder)).stopAfter(1));
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        TrainingPlan larger = TrainingPlan.of(
                        plan.model().toBuilder().vocabulary(12).build())
                .stages(plan.stages())
                .batchSize(SmallRuns.BATCH)
                .build();
        Trainer.Builder builder = new Trainer.Builder(larger, SmallRuns.data(plan)).resume(checkpoint);
        IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, builder::build);
        assertTrue(refused.getMessage().contains("model.vocab_size: 11 -> 12"), refused.getMessage());
    }

    /** Published resume: weights, optimizer, average and steps of a .pt; position of the schedule and the data. */
    @Test
    void continuesFromAPyTorchFileToTheBit(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer whole = SmallRuns.run(SmallRuns.trainer(plan));
        Trainer first = SmallRuns.run(SmallRuns.trainer(plan).stopAfter(7));
        Path file = folder.resolve("0000007.pt");
        GptCheckpoint.write(file, first.network(), first.average().orElseThrow());
        Trainer resumed;
        try (TensorFile tensors = TensorFile.open(file)) {
            resumed = SmallRuns.trainer(plan).resume(GptCheckpoint.of(tensors)).build();
        }
        assertEquals(7, resumed.step());
        assertEquals(1, resumed.epoch());
        resumed.run();
        assertSame(whole.network().params(), resumed.network().params());
        assertSame(
                whole.average().orElseThrow().vector(),
                resumed.average().orElseThrow().vector());
    }

    @Test
    void weightsAloneStartANewRun(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer first = SmallRuns.run(SmallRuns.trainer(plan).stopAfter(7));
        Path file = folder.resolve("weights.pt");
        GptCheckpoint.write(file, first.network());
        try (TensorFile tensors = TensorFile.open(file)) {
            Trainer second = SmallRuns.trainer(plan)
                    .weights(GptCheckpoint.of(tensors)::loadInto)
                    .build();
            assertSame(first.network().params(), second.network().params());
            assertEquals(0, second.step());
            assertEquals(
                    2, StageScheduler.patchAveragesOf(second.network()).get(0).getPatchSide());
        }
    }

    /** Batches that are made ahead are the same, also after a resume, and their failures arrive. */
    @Test
    void batchesMadeAhead(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer expected = SmallRuns.run(SmallRuns.trainer(plan));
        SmallRuns.run(new Trainer.Builder(plan, new SlowData(SmallRuns.data(plan), Integer.MAX_VALUE))
                .checkpoints(SmallRuns.every(0, folder))
                .stopAfter(7));
        Trainer resumed = SmallRuns.run(new Trainer.Builder(plan, new SlowData(SmallRuns.data(plan), Integer.MAX_VALUE))
                .resume(TrainingCheckpoint.latest(folder).orElseThrow()));
        assertSame(expected.network().params(), resumed.network().params());

        Trainer failing = new Trainer.Builder(plan, new SlowData(SmallRuns.data(plan), 5)).build();
        assertEquals(
                "batch 5 is damaged",
                assertThrows(IllegalArgumentException.class, failing::run).getMessage());
        assertEquals(5, failing.step());
    }

    @Test
    void namesEmptyEpochs() {
        TrainingPlan plan = SmallRuns.plan().build();
        assertTrue(assertThrows(IllegalArgumentException.class, () -> SmallRuns.trainer(plan)
                        .stopAfter(0))
                .getMessage()
                .contains("at least 1 step"));
        assertFalse(SmallRuns.data(plan).batchesPerEpoch() < 1);
    }

    private static void assertSame(INDArray expected, INDArray actual) {
        // equals of INDArray allows for rounding, this does not
        assertEquals(0, SmallGpts.difference(expected, actual));
    }

    private static final class Losses implements TrainingObserver {
        private final List<TrainingStep> steps = new ArrayList<>();

        @Override
        public void onStep(Trainer trainer, TrainingStep step) {
            steps.add(new TrainingStep(
                    step.step(),
                    step.epoch(),
                    step.stage(),
                    step.patchSide(),
                    step.learningRate(),
                    step.loss(),
                    step.score(),
                    step.gradientNorm(),
                    step.images(),
                    0));
        }
    }

    private static final class Scores extends BaseTrainingListener {
        private final List<Double> scores = new ArrayList<>();
        private final List<String> events = new ArrayList<>();

        @Override
        public void onEpochStart(Model model) {
            events.add("start");
        }

        @Override
        public void onEpochEnd(Model model) {
            events.add("end");
        }

        @Override
        public void onForwardPass(Model model, Map<String, INDArray> activations) {
            events.add("forward");
        }

        @Override
        public void onBackwardPass(Model model) {
            events.add("backward");
        }

        @Override
        public void onGradientCalculation(Model model) {
            events.add("gradient");
        }

        @Override
        public void iterationDone(Model model, int iteration, int epoch) {
            events.add("done");
            scores.add(((ComputationGraph) model).score());
        }
    }
}
