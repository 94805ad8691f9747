package org.npp4j.llamagen.tokenizer;

/**
 * The code whose direction is nearest to that of a latent: the largest x.c, where latents and codes have length 1. For
 * vectors of length 1 that is also the smallest |x - c|. Equally near codes: the lowest id.
 */
final class NearestDirection {
    /** Shorter vectors are divided by this, as in PyTorch. */
    static final double SHORTEST = 1e-12;

    private final CodeProducts products;
    private final float[] codes;
    private final int values;

    /**
     * @param codes [V x D], of any length above 0; copied
     * @param values D
     */
    NearestDirection(float[] codes, int values) {
        this.codes = codes.clone();
        this.values = values;
        toUnitLength(this.codes, values);
        this.products = new CodeProducts(this.codes, values);
    }

    /** {@return the codes with length 1, [V x D]; not a copy} */
    float[] codes() {
        return codes;
    }

    /**
     * The nearest code of each latent.
     *
     * @param latents [R x D], of length 1
     * @return R ids
     */
    int[] find(float[] latents) {
        int count = codes.length / values;
        int[] nearest = new int[latents.length / values];
        products.forEach(
                nearest.length,
                (from, target) -> System.arraycopy(latents, from * values, target, 0, target.length),
                (row, all, start) -> {
                    int best = 0;
                    for (int v = 1; v < count; v++) {
                        if (all[start + v] > all[start + best]) {
                            best = v;
                        }
                    }
                    nearest[row] = best;
                });
        return nearest;
    }

    /**
     * Gives rows the length 1: x / max(|x|, 1e-12).
     *
     * @param rows [R x D], changed
     * @param values D
     */
    static void toUnitLength(float[] rows, int values) {
        for (int start = 0; start < rows.length; start += values) {
            double sum = 0;
            for (int i = start; i < start + values; i++) {
                sum += (double) rows[i] * rows[i];
            }
            double length = Math.max(Math.sqrt(sum), SHORTEST);
            for (int i = start; i < start + values; i++) {
                rows[i] = (float) (rows[i] / length);
            }
        }
    }
}
