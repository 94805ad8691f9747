package org.npp4j.benchmarks.layers;

import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** Adding a branch [R, D] to the residual stream, with dropout. */
public class BranchBenchmark extends KernelBenchmark {
    /** Probability of dropping a unit. */
    @Param({"0", "0.1"})
    public double dropout;

    private final INDArray source = random(ROWS, WIDTH);
    private final INDArray branch = create(ROWS, WIDTH);
    private final INDArray x = random(ROWS, WIDTH);
    private final INDArray dy = random(ROWS, WIDTH);

    /** The operation may destroy the branch. */
    @Setup(Level.Invocation)
    public void refill() {
        branch.assign(source);
    }

    /** Forward. */
    @Benchmark
    public void addBranch() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.addBranch(branch, x, BATCH, dropout, 0, shape -> create(shape), branch);
        }
    }

    /** {@return the gradient, after forward and backward} */
    @Benchmark
    public INDArray addBranchAndGradient() {
        try (MemoryWorkspace scratch = workspace()) {
            return kernel.addBranch(branch, x, BATCH, dropout, 0, shape -> create(shape), branch)
                    .of(dy, shape -> create(shape));
        }
    }
}
