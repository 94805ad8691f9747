package org.npp4j.samples;

import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.kernel.Kernels;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.layers.kernel.Products;

/** What computes: the libraries behind matrix products and fused operations, and their precision. */
final class Arithmetic {
    private Arithmetic() {}

    /**
     * What computes in this process, as a result must say it.
     *
     * @param backend that has started
     * @return such as "nd4j-native, oneDNN 2.5.2, VectorKernel"
     */
    static String describe(Backend backend) {
        return (backend.name().equalsIgnoreCase("CPU") ? "nd4j-native" : "nd4j-cuda") + ", " + Products.description()
                + ", " + Kernels.of(DataType.FLOAT).getClass().getSimpleName();
    }

    /**
     * From now on products of training and sampling are in bfloat16, with sums in single precision.
     *
     * @throws AppException if this processor or this class path cannot
     */
    static void useBf16() {
        try {
            Products.setPrecision(Precision.BF16);
        } catch (IllegalStateException e) {
            throw new AppException(e.getMessage(), e);
        }
    }
}
