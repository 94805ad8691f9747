package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.schedule.DivergenceGuard;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
import org.npp4j.schedule.TorchAdam;
import org.npp4j.schedule.WeightAverage;

/** What training takes outside the Java heap: it neither grows from step to step nor faster than batch and positions. */
class TrainingMemoryTest {
    private static final int COLLECTIONS = 30;
    /** Less than an array that has a number for each position of the batch: one of those a step would be seen. */
    private static final long SLACK = 90 * 3 * 16 * 4;
    /** Two kilobytes a step. */
    private static final long HEAP_SLACK = 1000 * 2048;

    @BeforeEach
    @AfterEach
    void freeWorkspaces() {
        Nd4j.getWorkspaceManager().destroyAllWorkspacesForCurrentThread();
    }

    private static long workspaceBytes() {
        return Nd4j.getWorkspaceManager().getAllWorkspacesForCurrentThread().stream()
                .mapToLong(MemoryWorkspace::getCurrentSize)
                .sum();
    }

    /**
     * What the process holds.
     *
     * @param nativeBytes workspaces and the arrays outside them
     * @param heapBytes objects of Java
     */
    private record Held(long nativeBytes, long heapBytes) {
        static Held now() {
            long heap =
                    Runtime.getRuntime().totalMemory() - Runtime.getRuntime().freeMemory();
            return new Held(Nd4j.getMemoryManager().allocatedMemory(0), heap);
        }

        boolean within(Held limit) {
            return nativeBytes <= limit.nativeBytes + SLACK && heapBytes <= limit.heapBytes + HEAP_SLACK;
        }
    }

    /** What is held after some collections. */
    private static Held collected() {
        return collected(new Held(Long.MIN_VALUE / 2, Long.MIN_VALUE / 2), COLLECTIONS);
    }

    /**
     * What is held without what the collector frees: it is asked until no more is held than expected, or often enough.
     * Threads of ND4J follow it at their own pace.
     */
    private static Held collected(Held expected, int most) {
        Held least = new Held(Long.MAX_VALUE, Long.MAX_VALUE);
        for (int i = 0; i < most && !least.within(expected); i++) {
            System.gc();
            Held now = Held.now();
            least = new Held(Math.min(least.nativeBytes, now.nativeBytes), Math.min(least.heapBytes, now.heapBytes));
        }
        return least;
    }

    @Test
    void doesNotGrowOverAThousandStepsAndThreeSwitches() {
        GptSpec spec = GptSpec.of(1, 2, 16)
                .feedForwardMultiple(16)
                .vocabulary(64)
                .classes(5)
                .grid(TokenGrid.of(8, 8))
                .build();
        PatchStages stages = PatchStages.parse("8:300it,4:600it,2:900it,1:1000it");
        ComputationGraph network = LlamaGen.of(spec)
                .publishedTraining()
                .updater(new TorchAdam.Builder()
                        .learningRate(new StageLearningRate.Builder(stages)
                                .learningRate(1e-3)
                                .build())
                        .beta2(0.95)
                        .build())
                .patchStages(stages)
                .seed(1)
                .init();
        network.addListeners(new GlobalNormClipping(1), new DivergenceGuard(), new WeightAverage(network));
        MultiDataSet data = SmallGpts.data(SmallGpts.images(spec, 3, 1));
        long heapOfFirstStage = 0;
        int[] steps = {300, 300, 300, 100};
        for (int stage = 0; stage < steps.length; stage++) {
            fit(network, data, 10);
            long workspaces = workspaceBytes();
            Held before = collected();
            heapOfFirstStage = stage == 0 ? before.heapBytes : heapOfFirstStage;
            for (int step = 10; step < steps[stage]; step += 10) {
                fit(network, data, 10);
                if (step % 50 == 0) {
                    System.gc(); // else a table of ND4J's grows with what waits to be freed, and stays that large
                }
            }
            assertEquals(workspaces, workspaceBytes(), "stage " + stage);
            Held limit = new Held(before.nativeBytes, heapOfFirstStage);
            Held after = collected(limit, 20 * COLLECTIONS);
            assertTrue(after.within(limit), "stage " + stage + ": from " + limit + " to " + after);
        }
        assertEquals(1000, network.getIterationCount());
    }

    @Test
    void growsLinearlyWithTheBatch() {
        TokenGrid grid = TokenGrid.of(8, 8);
        long one = stepBytes(grid, 1);
        for (int batch : new int[] {2, 4, 8}) {
            double growth = stepBytes(grid, batch) / (double) one;
            assertEquals(batch, growth, 0.02 * batch);
        }
    }

    /** From the positions on that attention handles in more than one piece. */
    @Test
    void growsLinearlyWithThePositions() {
        long base = stepBytes(TokenGrid.of(16, 16), 2);
        for (int times : new int[] {2, 4, 8}) {
            double growth = stepBytes(TokenGrid.of(16, 16 * times), 2) / (double) base;
            assertTrue(growth < 1.05 * times, times + " times the positions take " + growth + " times the memory");
        }
    }

    /** Workspaces of a training step. */
    private static long stepBytes(TokenGrid grid, int batch) {
        Nd4j.getWorkspaceManager().destroyAllWorkspacesForCurrentThread();
        GptSpec spec = GptSpec.of(1, 2, 16)
                .feedForwardMultiple(16)
                .vocabulary(16)
                .classes(9)
                .grid(grid)
                .build();
        ComputationGraph network = LlamaGen.of(spec).publishedTraining().init();
        fit(network, SmallGpts.data(SmallGpts.images(spec, batch, 1)), 3);
        return workspaceBytes();
    }

    private static void fit(ComputationGraph network, MultiDataSet data, int steps) {
        for (int step = 0; step < steps; step++) {
            network.fit(data);
        }
    }
}
