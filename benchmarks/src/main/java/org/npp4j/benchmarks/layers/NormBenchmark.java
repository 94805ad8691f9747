package org.npp4j.benchmarks.layers;

import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.openjdk.jmh.annotations.Benchmark;

/** Root mean square norm of [R, D]. */
public class NormBenchmark extends KernelBenchmark {
    private final INDArray x = random(ROWS, WIDTH);
    private final INDArray dy = random(ROWS, WIDTH);
    private final INDArray residual = random(ROWS, WIDTH);
    private final INDArray gain = random(WIDTH);
    private final INDArray dGain = create(WIDTH);
    private final INDArray scale = create(ROWS).assign(1);
    private final INDArray y = create(ROWS, WIDTH);

    /** Forward. */
    @Benchmark
    public void rmsNorm() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.rmsNorm(x, gain, EPSILON, scale, y);
        }
    }

    /** Backward, with the gradient of the branch beside the norm. */
    @Benchmark
    public void rmsNormGradient() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.rmsNormGradient(dy, x, gain, scale, residual, dGain, y);
        }
    }
}
