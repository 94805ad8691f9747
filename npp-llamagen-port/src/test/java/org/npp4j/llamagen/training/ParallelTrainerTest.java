package org.npp4j.llamagen.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.SmallGpts;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingDivergedException;

/** Several workers against one. */
class ParallelTrainerTest {
    /** Everything but chance: stages, schedule, clipping that bites, weight decay, the moving average, parts of shares. */
    @ParameterizedTest
    @CsvSource({"3, 1, '2:2,1:3', false", "2, 6, '4:5it,2:7it,1:10it', false", "2, 2, '2:2,1:3', true"})
    void makeTheStepsOfOne(int workers, int microBatch, String stages, boolean recompute) {
        TrainingPlan plan = SmallRuns.plan()
                .stages(PatchStages.parse(stages))
                .microBatch(microBatch)
                .dropouts(TrainingPlan.Dropouts.NONE)
                .dataType(DataType.DOUBLE)
                .build();
        Steps one = new Steps();
        Steps several = new Steps();
        Trainer expected = SmallRuns.run(SmallRuns.trainer(plan).observer(one).recomputeBlocks(recompute));
        Trainer actual = SmallRuns.run(
                SmallRuns.trainer(plan).observer(several).workers(workers).recomputeBlocks(recompute));
        assertEquals(workers, actual.workers());
        assertEquals(
                0,
                SmallGpts.difference(
                        expected.network().params(), actual.network().params()),
                1e-11);
        assertEquals(
                0,
                SmallGpts.difference(
                        expected.network().getUpdater().getStateViewArray(),
                        actual.network().getUpdater().getStateViewArray()),
                1e-11);
        assertEquals(
                0,
                SmallGpts.difference(
                        expected.average().orElseThrow().vector(),
                        actual.average().orElseThrow().vector()),
                1e-11);
        assertEquals(
                expected.average().orElseThrow().updates(),
                actual.average().orElseThrow().updates());
        assertEquals(one.made.size(), several.made.size());
        for (int i = 0; i < one.made.size(); i++) {
            TrainingStep wanted = one.made.get(i);
            TrainingStep made = several.made.get(i);
            assertEquals(wanted.step(), made.step());
            assertEquals(wanted.patchSide(), made.patchSide());
            assertEquals(wanted.learningRate(), made.learningRate());
            assertEquals(wanted.images(), made.images());
            assertEquals(wanted.loss(), made.loss(), 1e-11);
            assertEquals(wanted.score(), made.score(), 1e-11);
            assertEquals(wanted.gradientNorm(), made.gradientNorm(), 1e-11);
        }
        assertTrue(one.made.get(0).gradientNorm() > 0.5, "clipping is part of the test");
        assertEquals(expected.network().getIterationCount(), actual.network().getIterationCount());
        assertEquals(expected.network().getEpochCount(), actual.network().getEpochCount());
    }

    /** The last batch of an epoch has 5 images: shares of 2 and 3, in parts of 2, and of 2 and 1. */
    @Test
    void sharesNeedNotBeEqual() {
        int images = 29;
        TrainingPlan plan = SmallRuns.plan()
                .microBatch(2)
                .dropouts(TrainingPlan.Dropouts.NONE)
                .dataType(DataType.DOUBLE)
                .build();
        INDArray expected = SmallRuns.run(new Trainer.Builder(plan, SmallRuns.data(plan, images, true)))
                .network()
                .params();
        INDArray actual = SmallRuns.run(new Trainer.Builder(plan, SmallRuns.data(plan, images, true)).workers(2))
                .network()
                .params();
        assertEquals(0, SmallGpts.difference(expected, actual), 1e-11);
    }

    /** With everything random that there is: a run repeats, and goes on to the bit. */
    @ParameterizedTest
    @CsvSource({"3, 8"})
    void continuesToTheBit(int workers, int resumedAt, @TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer whole = SmallRuns.run(SmallRuns.trainer(plan).workers(workers));
        SmallRuns.run(SmallRuns.trainer(plan)
                .workers(workers)
                .checkpoints(SmallRuns.every(0, folder))
                .stopAfter(resumedAt));
        TrainingCheckpoint checkpoint = TrainingCheckpoint.latest(folder).orElseThrow();
        assertEquals(resumedAt, checkpoint.step());
        Trainer resumed = SmallRuns.run(SmallRuns.trainer(plan).workers(workers).resume(checkpoint));
        assertEquals(
                0,
                SmallGpts.difference(whole.network().params(), resumed.network().params()));
        assertEquals(
                0,
                SmallGpts.difference(
                        whole.average().orElseThrow().vector(),
                        resumed.average().orElseThrow().vector()));
        Trainer alone = SmallRuns.run(SmallRuns.trainer(plan).resume(checkpoint));
        assertEquals(whole.step(), alone.step(), "another number of workers can go on");
    }

    /** A run repeats, and two workers draw other numbers than one. */
    @Test
    void workersDropDifferently() {
        TrainingPlan plan = SmallRuns.plan().batchSize(2).microBatch(2).build();
        Trainer once = SmallRuns.run(SmallRuns.trainer(plan).workers(2).stopAfter(3));
        Trainer again = SmallRuns.run(SmallRuns.trainer(plan).workers(2).stopAfter(3));
        Trainer one = SmallRuns.run(SmallRuns.trainer(plan).stopAfter(3));
        assertEquals(
                0, SmallGpts.difference(once.network().params(), again.network().params()));
        assertTrue(SmallGpts.difference(once.network().params(), one.network().params()) > 1e-4);
        assertFalse(StepRandom.seed(StepRandom.seed(7, 1), 0) == StepRandom.seed(StepRandom.seed(7, 1), 1));
    }

    /** Listeners see worker 0 alone; tests and checkpoints between steps do not disturb. */
    @Test
    void listenersSeeOneWorker(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        Trainer untested = SmallRuns.run(SmallRuns.trainer(plan).workers(2));
        List<String> events = new ArrayList<>();
        Trainer tested = SmallRuns.trainer(plan)
                .workers(2)
                .testData(SmallRuns.data(plan, 10, true))
                .checkpoints(SmallRuns.every(5, folder))
                .listeners(new BaseTrainingListener() {
                    @Override
                    public void onEpochStart(Model model) {
                        events.add("start");
                    }

                    @Override
                    public void onEpochEnd(Model model) {
                        events.add("end");
                    }

                    @Override
                    public void iterationDone(Model model, int iteration, int epoch) {
                        events.add("done");
                    }
                })
                .build();
        tested.run();
        assertEquals(
                ("start " + "done ".repeat(SmallRuns.STEPS_PER_EPOCH) + "end ")
                        .repeat(3)
                        .strip(),
                String.join(" ", events));
        assertEquals(
                0,
                SmallGpts.difference(
                        untested.network().params(), tested.network().params()));
        assertEquals(3, TrainingCheckpoint.list(folder).size());
    }

    @Test
    void explosionStopsWithTheWeightsBefore(@TempDir Path folder) throws IOException {
        TrainingPlan plan = SmallRuns.plan()
                .learningRate(new TrainingPlan.LearningRate(20, false, 0, 0, 0))
                .clipNorm(0)
                .build();
        Trainer trainer = SmallRuns.trainer(plan)
                .workers(2)
                .checkpoints(SmallRuns.every(1, folder))
                .build();
        TrainingDivergedException diverged = assertThrows(TrainingDivergedException.class, trainer::run);
        assertEquals(
                folder.resolve(TrainingCheckpoint.name(trainer.step())),
                diverged.lastCheckpoint().orElseThrow());
        INDArray saved =
                TrainingCheckpoint.latest(folder).orElseThrow().loadNetwork().params();
        assertEquals(0, SmallGpts.difference(saved, trainer.network().params()));
    }

    /** A code outside the vocabulary, in the share of one worker or the other: nobody waits for it. */
    @ParameterizedTest
    @ValueSource(ints = {0, 5})
    void aWorkerThatFailsEndsTheRun(int image) throws IOException {
        TrainingPlan plan = SmallRuns.plan().build();
        SlowData data = new SlowData(SmallRuns.data(plan), Integer.MAX_VALUE);
        data.setPreProcessor(batch -> damage(batch, image));
        Trainer trainer = new Trainer.Builder(plan, data).workers(2).build();
        IllegalArgumentException failed = assertThrows(IllegalArgumentException.class, trainer::run);
        assertTrue(failed.getMessage().contains("99"), failed.getMessage());
        assertEquals(0, trainer.step());
    }

    private static void damage(org.nd4j.linalg.dataset.api.MultiDataSet batch, int image) {
        batch.getFeatures(0).putScalar(new long[] {image, 3}, 99);
    }

    @Test
    void theBatchMustBeShared() {
        TrainingPlan plan = SmallRuns.plan().build();
        IllegalArgumentException refused = assertThrows(
                IllegalArgumentException.class,
                () -> SmallRuns.trainer(plan).workers(4).build());
        assertTrue(
                refused.getMessage().contains("global_batch_size is 6 and there are 4 workers"), refused.getMessage());
        assertTrue(assertThrows(IllegalArgumentException.class, () -> SmallRuns.trainer(plan)
                        .workers(0))
                .getMessage()
                .contains("at least 1 worker"));
    }

    private static final class Steps implements TrainingObserver {
        private final List<TrainingStep> made = new ArrayList<>();

        @Override
        public void onStep(Trainer trainer, TrainingStep step) {
            made.add(step);
        }
    }
}
