package org.npp4j.layers;

/** A layer that knows its number of operations, where twice the number of its weights for each position is not all. */
public interface OperationCount {
    /**
     * Floating-point operations of one forward pass of one example; a multiply-add counts as two.
     *
     * @param positions T
     * @return operations
     */
    double forwardOperations(long positions);
}
