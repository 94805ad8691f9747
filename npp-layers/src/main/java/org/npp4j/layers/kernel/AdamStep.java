package org.npp4j.layers.kernel;

/**
 * The numbers of one step of Adam.
 *
 * @param step t - 1, steps before this one
 * @param rate the learning rate; with 0 the means move and the parameters do not
 * @param beta1 share of the mean of gradients that a step keeps
 * @param beta2 share of the mean of squared gradients that a step keeps
 * @param epsilon what is added to the root
 */
public record AdamStep(int step, double rate, double beta1, double beta2, double epsilon) {
    /** {@return rate / (1 - beta1^t), the factor of the mean of gradients} */
    public double meanFactor() {
        return rate / (1 - Math.pow(beta1, step + 1.0));
    }

    /** {@return 1 / sqrt(1 - beta2^t), the factor of the root of the mean of squares} */
    public double rootFactor() {
        return 1 / Math.sqrt(1 - Math.pow(beta2, step + 1.0));
    }
}
