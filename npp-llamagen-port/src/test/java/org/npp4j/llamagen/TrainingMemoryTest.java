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
    private static final long SLACK = 90 * 5 * 16 * 4;

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
     * Workspaces and the arrays outside them, without those that the collector frees: it is asked until they are no more
     * than expected, or often enough.
     */
    private static long collected(long expected) {
        long least = Long.MAX_VALUE;
        for (int i = 0; i < COLLECTIONS && least > expected; i++) {
            System.gc();
            least = Math.min(least, Nd4j.getMemoryManager().allocatedMemory(0));
        }
        return least;
    }

    @Test
    void doesNotGrowOverTwoHundredSteps() {
        GptSpec spec = GptSpec.of(2, 2, 32)
                .feedForwardMultiple(16)
                .vocabulary(256)
                .classes(5)
                .grid(TokenGrid.of(8, 8))
                .build();
        PatchStages stages = PatchStages.parse("2:100it,1:200it");
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
        MultiDataSet data = SmallGpts.data(SmallGpts.images(spec, 5, 1));
        for (int stage = 0; stage < 2; stage++) {
            fit(network, data, 10);
            long workspaces = workspaceBytes();
            long all = collected(Long.MIN_VALUE);
            fit(network, data, 90);
            assertEquals(workspaces, workspaceBytes(), "stage " + stage);
            long after = collected(all);
            assertTrue(after <= all + SLACK, "stage " + stage + ": from " + all + " to " + after + " bytes");
        }
        assertEquals(200, network.getIterationCount());
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
