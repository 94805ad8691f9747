package org.npp4j.benchmarks.schedule;

import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.npp4j.layers.kernel.AdamStep;
import org.openjdk.jmh.annotations.Benchmark;

/** A step of Adam, and of AdamW with all that belongs to it, over 20 million parameters. */
public class AdamBenchmark extends KernelBenchmark {
    private static final int PARAMETERS = 20_000_000;

    private final INDArray parameters = random(1, PARAMETERS);
    private final INDArray gradient = random(1, PARAMETERS);
    private final INDArray m = random(1, PARAMETERS);
    private final INDArray v = random(1, PARAMETERS).muli(1e-2).addi(1);
    private int step;

    /** One step. It leaves the update in place of the gradient, which serves as the next one. */
    @Benchmark
    public void adam() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.adam(gradient, m, v, next());
        }
    }

    /** One step to the moved parameters. */
    @Benchmark
    public void adamW() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.adamW(parameters, gradient, m, v, 0.25, next(), 1e-5);
        }
    }

    private AdamStep next() {
        return new AdamStep(step++, 1e-4, 0.9, 0.95, 1e-8);
    }
}
