package org.npp4j.ecar;

/**
 * How images are sampled: Euler steps on the times 0, 1/n, .., (n - 1)/n of each stage, velocity = free + (conditional - free)
 * x scale, where "free" is that of "no class".
 *
 * <p>Reconstruction, as pyramidal flow matching (arXiv 2410.05954).
 *
 * @param steps n, of each stage
 * @param firstScale guidance scale of the first stage; 1 for none
 * @param lastScale guidance scale of the last stage; those between lie on a line
 */
public record FlowSampling(int steps, double firstScale, double lastScale) {
    /**
     * Checks the settings.
     *
     * @param steps at least 1
     * @param firstScale at least 0
     * @param lastScale at least 0
     * @throws IllegalArgumentException if they are below
     */
    public FlowSampling {
        if (steps < 1) {
            throw new IllegalArgumentException("There must be at least one step in each stage, got " + steps);
        }
        if (!(firstScale >= 0 && lastScale >= 0) || Double.isInfinite(firstScale) || Double.isInfinite(lastScale)) {
            throw new IllegalArgumentException("Guidance scales must be finite numbers, at least 0 (1 = none), got "
                    + firstScale + " and " + lastScale);
        }
    }

    /**
     * The same guidance in every stage.
     *
     * @param steps at least 1
     * @param scale at least 0, 1 for none
     * @return the settings
     */
    public static FlowSampling of(int steps, double scale) {
        return new FlowSampling(steps, scale, scale);
    }

    /** {@return whether any stage is guided} */
    boolean guided() {
        return firstScale != 1 || lastScale != 1;
    }

    /**
     * The scale of a stage.
     *
     * @param stage from 0
     * @param stages how many there are, at least 2
     * @return the scale
     */
    double scale(int stage, int stages) {
        return firstScale + (lastScale - firstScale) * stage / (stages - 1);
    }
}
