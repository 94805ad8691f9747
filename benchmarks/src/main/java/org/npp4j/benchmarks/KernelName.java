package org.npp4j.benchmarks;

import org.npp4j.layers.kernel.Nd4jKernel;
import org.npp4j.layers.kernel.TransformerKernel;
import org.npp4j.layers.kernel.vector.VectorKernel;

/** The kernels to compare. */
public enum KernelName {
    /** ND4J's operations. */
    ND4J,
    /** Fused passes with the Vector API. */
    VECTOR;

    /** {@return the kernel} */
    public TransformerKernel kernel() {
        return this == ND4J ? Nd4jKernel.INSTANCE : new VectorKernel();
    }
}
