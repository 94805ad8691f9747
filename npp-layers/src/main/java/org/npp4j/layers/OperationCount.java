package org.npp4j.layers;

/**
 * What a layer configuration knows about its own cost, for layers whose work is not simply proportional to their weights
 * and positions: attention, for one.
 */
public interface OperationCount {
    /**
     * Floating-point operations of this layer's forward pass over one example. A multiplication and an addition count as
     * two.
     *
     * @param positions T, the positions that the example has in this layer
     * @return operations
     */
    double forwardOperations(long positions);
}
