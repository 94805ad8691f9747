package org.npp4j.benchmarks.losses;

import java.util.Arrays;
import java.util.Random;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** The loss of [1024 / p^2, V] logits against p^2 tokens a row. */
public class CrossEntropyBenchmark extends KernelBenchmark {
    /** Patch side p. */
    @Param({"1", "2"})
    public int patchSide;

    private INDArray logits;
    private INDArray z;
    private int[] firstOfRow;
    private int[] idOfTarget;
    private double[] weightOfRow;
    private double[] weightOfTarget;
    private double[] nats;

    /** Logits and targets. */
    @Setup
    public void makeArrays() {
        int each = patchSide * patchSide;
        int rows = ROWS / each;
        logits = random(rows, VOCABULARY);
        z = create(rows, VOCABULARY);
        firstOfRow = new int[rows + 1];
        Arrays.setAll(firstOfRow, row -> row * each);
        Random random = new Random(1);
        // different from each other within a row
        idOfTarget = new int[rows * each];
        Arrays.setAll(idOfTarget, i -> i % each + each * random.nextInt(VOCABULARY / each));
        weightOfRow = new double[rows];
        Arrays.fill(weightOfRow, 1);
        weightOfTarget = new double[idOfTarget.length];
        Arrays.fill(weightOfTarget, 1.0 / each);
        nats = new double[idOfTarget.length];
    }

    /** The operation destroys the logits. */
    @Setup(Level.Invocation)
    public void refill() {
        z.assign(logits);
    }

    /** Losses alone. */
    @Benchmark
    public void losses() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.crossEntropy(z, firstOfRow, idOfTarget, null, null, nats);
        }
    }

    /** Losses, and the gradient in place of the logits. */
    @Benchmark
    public void lossesAndGradient() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.crossEntropy(z, firstOfRow, idOfTarget, weightOfRow, weightOfTarget, nats);
        }
    }

    /** Reading and writing the logits once. */
    @Benchmark
    public void readAndWrite() {
        z.muli(-1);
    }
}
