package org.npp4j.samples;

import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.kernel.Kernels;

/** What computes: the libraries behind matrix products and fused operations, and their precision. */
final class Arithmetic {
    private Arithmetic() {}

    /**
     * What computes in this process, as a result must say it.
     *
     * @param backend that has started
     * @return such as "nd4j-native OpenBLAS, VectorKernel"
     */
    static String describe(Backend backend) {
        boolean cpu = backend.name().equalsIgnoreCase("CPU");
        boolean openBlas = backend.blas().equalsIgnoreCase("OPENBLAS");
        return (cpu ? "nd4j-native " : "nd4j-cuda ") + (openBlas ? "OpenBLAS" : backend.blas()) + ", "
                + Kernels.of(DataType.FLOAT).getClass().getSimpleName();
    }

    /**
     * From now on products of training and sampling are in bfloat16, with sums in single precision.
     *
     * @throws AppException if this processor or this class path cannot
     */
    static void useBf16() {
        throw new AppException("--mixed-precision bf16 is not available");
    }
}
