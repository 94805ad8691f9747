package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/** Where an operation takes its arrays from: the workspace that fits how long they must live. */
@FunctionalInterface
public interface Allocator {
    /**
     * A new array with unspecified content.
     *
     * @param shape its shape
     * @return an array in 'c' order
     */
    INDArray create(long... shape);
}
