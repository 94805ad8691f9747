package org.npp4j.llamagen.parity;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** How far two arrays are apart: max |a - e| / max |e|, or max |a - e| where every expected value is 0. */
public final class Difference {
    /** Elements that are compared at a time, in double precision. */
    private static final int CHUNK = 1 << 20;

    private Difference() {}

    /**
     * The largest difference relative to the largest expected value.
     *
     * @param expected e, of any type
     * @param actual a, of the same shape
     * @return the difference; NaN if a value in either is not finite
     */
    public static double relative(INDArray expected, INDArray actual) {
        long length = expected.length();
        // [any shape] -> [length], row order
        INDArray wanted = expected.reshape('c', new long[] {length});
        INDArray given = actual.reshape('c', new long[] {length});
        double largest = 0;
        double difference = 0;
        for (long start = 0; start < length; start += CHUNK) {
            long end = Math.min(start + CHUNK, length);
            INDArray e = wanted.get(NDArrayIndex.interval(start, end)).castTo(DataType.DOUBLE);
            INDArray d = given.get(NDArrayIndex.interval(start, end))
                    .castTo(DataType.DOUBLE)
                    .sub(e);
            // ND4J's maximum passes over NaN; a sum does not
            if (!Double.isFinite(d.sumNumber().doubleValue())) {
                return Double.NaN;
            }
            largest = Math.max(largest, e.amaxNumber().doubleValue());
            difference = Math.max(difference, d.amaxNumber().doubleValue());
        }
        return quotient(largest, difference);
    }

    /**
     * The difference of two numbers relative to the expected one.
     *
     * @param expected e
     * @param actual a
     * @return |a - e| / |e|, or |a| if e is 0; NaN if either is not finite
     */
    public static double relative(double expected, double actual) {
        double difference = Math.abs(actual - expected);
        double largest = Math.abs(expected);
        return Double.isFinite(difference) ? quotient(largest, difference) : Double.NaN;
    }

    private static double quotient(double largest, double difference) {
        return largest == 0 ? difference : difference / largest;
    }
}
