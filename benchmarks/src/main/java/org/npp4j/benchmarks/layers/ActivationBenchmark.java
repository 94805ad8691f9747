package org.npp4j.benchmarks.layers;

import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Setup;

/** SwiGLU and GELU of [R, F]. */
public class ActivationBenchmark extends KernelBenchmark {
    private final INDArray a = random(ROWS, FEED_FORWARD);
    private final INDArray b = random(ROWS, FEED_FORWARD);
    private final INDArray source = random(ROWS, FEED_FORWARD);
    private final INDArray dy = create(ROWS, FEED_FORWARD);
    private final INDArray da = create(ROWS, FEED_FORWARD);
    private final INDArray db = create(ROWS, FEED_FORWARD);

    /** The gradients may destroy dy. */
    @Setup(Level.Invocation)
    public void refill() {
        dy.assign(source);
    }

    /** Forward. */
    @Benchmark
    public void swiGlu() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.swiGlu(a, b, da);
        }
    }

    /** Backward. */
    @Benchmark
    public void swiGluGradient() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.swiGluGradient(dy, a, b, da, db);
        }
    }

    /** Forward. */
    @Benchmark
    public void gelu() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.gelu(a, da);
        }
    }

    /** Backward. */
    @Benchmark
    public void geluGradient() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.geluGradient(dy, a, dy);
        }
    }
}
