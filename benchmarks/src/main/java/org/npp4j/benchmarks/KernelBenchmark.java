package org.npp4j.benchmarks;

import org.npp4j.layers.kernel.TransformerKernel;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** An operation of a {@link TransformerKernel}, for each of them. */
public abstract class KernelBenchmark extends OperationBenchmark {
    /** Which one. */
    @Param
    public KernelName kernelName;

    /** That one. */
    protected TransformerKernel kernel;

    /** Makes the kernel. */
    @Setup
    public void makeKernel() {
        kernel = kernelName.kernel();
    }
}
