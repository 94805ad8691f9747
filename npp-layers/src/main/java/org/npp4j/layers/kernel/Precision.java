package org.npp4j.layers.kernel;

import java.util.Locale;

/** The precision that {@link Products} reads its factors in. Results and sums are in the arrays' own type. */
public enum Precision {
    /** Factors as they are. */
    FLOAT,

    /**
     * Mixed precision: factors are rounded to bfloat16 (8 bits of mantissa, to nearest, ties to even), products are summed
     * and stored in float. Parameters, gradients and everything that is not a {@link Products product of a layer} stay in
     * float: norms, attention's inner products, softmax, loss, updater.
     */
    BF16;

    /**
     * The precision of a name as options and properties write it.
     *
     * @param name float or bf16
     * @return the precision
     * @throws IllegalArgumentException if there is none of this name
     */
    public static Precision named(String name) {
        for (Precision precision : values()) {
            if (precision.toString().equals(name)) {
                return precision;
            }
        }
        throw new IllegalArgumentException("The precision is \"" + name + "\", but must be float or bf16");
    }

    @Override
    public String toString() {
        return name().toLowerCase(Locale.ROOT);
    }
}
