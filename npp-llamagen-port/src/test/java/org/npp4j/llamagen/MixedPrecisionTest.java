package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.layers.kernel.Products;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TorchAdam;

/** A training in bf16 follows the one in float. */
class MixedPrecisionTest {
    private static final int STEPS = 300;
    private static final int WINDOW = 30;
    private static final int BATCH = 8;
    private static final int SIDE = 4;
    private static final int VOCABULARY = 32;

    @AfterEach
    void fullPrecision() {
        Products.setPrecision(Precision.FLOAT);
    }

    @Test
    void theLossFollowsThatOfFullPrecision() {
        assumeTrue(bf16(), "needs oneDNN and a processor with bf16");
        Products.setPrecision(Precision.FLOAT);
        double[] full = losses();
        Products.setPrecision(Precision.BF16);
        double[] mixed = losses();

        assertTrue(full[full.length - 1] < 0.85 * full[0], "it learns: " + full[0] + " to " + full[full.length - 1]);
        assertNotEquals(full[0], mixed[0], "bf16 did something");
        for (int i = 0; i < full.length; i++) {
            assertEquals(1, mixed[i] / full[i], 0.015, "steps " + i * WINDOW + " to " + ((i + 1) * WINDOW - 1));
        }
    }

    /** Mean losses of each window of steps, half of the steps at p = 2. */
    private static double[] losses() {
        ComputationGraph network = LlamaGen.of(GptSpec.of(2, 4, 64)
                        .grid(TokenGrid.of(SIDE, SIDE))
                        .vocabulary(VOCABULARY)
                        .build())
                .numClasses(4)
                .seed(5)
                .updater(new TorchAdam.Builder().learningRate(1e-3).build())
                .init();
        new StageScheduler(PatchStages.iterations()
                        .stage(2, STEPS / 2)
                        .stage(1, STEPS)
                        .build())
                .attachTo(network);
        Random random = new Random(11);
        double[] means = new double[STEPS / WINDOW];
        for (int step = 0; step < STEPS; step++) {
            network.fit(batch(random));
            means[step / WINDOW] += PatchOutputLayer.crossEntropy(network) / WINDOW;
        }
        return means;
    }

    /** Images that can be learnt: the class and one number of four decide five tokens of six, chance the others. */
    private static MultiDataSet batch(Random random) {
        int[][] tokens = new int[BATCH][SIDE * SIDE];
        int[][] classes = new int[BATCH][1];
        for (int b = 0; b < BATCH; b++) {
            classes[b][0] = random.nextInt(4);
            int start = random.nextInt(4);
            for (int t = 0; t < tokens[b].length; t++) {
                tokens[b][t] = random.nextInt(6) == 0
                        ? random.nextInt(VOCABULARY)
                        : (start * 8 + (classes[b][0] + 1) * t) % VOCABULARY;
            }
        }
        INDArray ids = Nd4j.createFromArray(tokens).castTo(DataType.INT32);
        return new MultiDataSet(
                new INDArray[] {ids, Nd4j.createFromArray(classes).castTo(DataType.INT32)}, new INDArray[] {ids});
    }

    private static boolean bf16() {
        try {
            Products.setPrecision(Precision.BF16);
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }
}
