package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/** A provider of matrix products: the one place where a library is called for them. {@link Products} chooses it. */
public interface MatrixProducts {
    /**
     * c = alpha a b + beta c.
     *
     * @param a [m, k], a view of any kind; fast if its rows or its columns are contiguous
     * @param b [k, n], as a
     * @param c [m, n] in 'c' or in 'f' order without gaps, written; not read if beta is 0
     * @param alpha factor of the product
     * @param beta factor of what c held
     */
    void multiply(INDArray a, INDArray b, INDArray c, double alpha, double beta);

    /** {@return the library and its version, for reports} */
    String description();
}
