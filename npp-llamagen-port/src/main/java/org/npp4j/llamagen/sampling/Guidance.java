package org.npp4j.llamagen.sampling;

/**
 * Classifier-free guidance: logits = free + (conditional - free) x scale, where "free" are those of "no class".
 *
 * @param scale 1 for none; published values lie between 1.5 and 4
 * @param lastGuidedStep guidance stops behind this step, counted from 0 at the image's second token; -1 for never
 */
public record Guidance(double scale, int lastGuidedStep) {
    /** No guidance: the "no class" twin is not computed. */
    public static final Guidance NONE = new Guidance(1, -1);

    /**
     * Checks the settings.
     *
     * @param scale at least 1
     * @param lastGuidedStep at least -1
     * @throws IllegalArgumentException if the scale is below 1 or not a number, or the step below -1
     */
    public Guidance {
        if (!(scale >= 1) || Double.isInfinite(scale)) {
            throw new IllegalArgumentException("The guidance scale must be at least 1 (1 = none), got " + scale);
        }
        if (lastGuidedStep < -1) {
            throw new IllegalArgumentException(
                    "The last guided step must be at least 0, or -1 for all steps, got " + lastGuidedStep);
        }
    }

    /**
     * Guidance of every token.
     *
     * @param scale at least 1
     * @return the guidance
     */
    public static Guidance of(double scale) {
        return new Guidance(scale, -1);
    }

    boolean active() {
        return scale > 1;
    }

    /** Whether the token at this position of the image, from 0, is guided. */
    boolean guides(int position) {
        return lastGuidedStep < 0 || position - 1 <= lastGuidedStep;
    }
}
