package org.npp4j.llamagen.parity;

/**
 * One array or number of a golden file, compared.
 *
 * @param group what it belongs to, such as {@code p=2 gradients}
 * @param name its name in the golden file
 * @param difference the largest difference relative to the largest expected value; for tokens the share that differs,
 *     for pixels the levels of 255; NaN
 *     if it could not be compared or holds values that are not finite
 * @param limit the largest difference that passes
 * @param note what else there is to say, or an empty string
 */
public record Comparison(String group, String name, double difference, double limit, String note) {
    /** {@return whether the difference is known and within the limit} */
    public boolean passed() {
        return difference <= limit;
    }
}
