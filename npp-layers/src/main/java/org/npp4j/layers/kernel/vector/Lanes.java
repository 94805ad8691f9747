package org.npp4j.layers.kernel.vector;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/**
 * The vectors of this processor, and functions of arrays.
 *
 * <p>Here and in the passes no method takes or returns vectors: where the compiler does not inline such a method, because the
 * caller has become large, each vector becomes an object. So every loop calls nothing but the Vector API, whose methods are
 * always inlined.
 */
final class Lanes {
    static final VectorSpecies<Float> FLOATS = FloatVector.SPECIES_PREFERRED;
    static final VectorSpecies<Integer> INTS = VectorSpecies.of(int.class, FLOATS.vectorShape());
    static final int COUNT = FLOATS.length();

    /** Numbers of one turn of a loop with four sums: additions that wait for each other leave the processor idle. */
    static final int TURN = 4 * COUNT;

    /** The largest exponent that {@link #exp} takes as it is; below its opposite the exponential is 0. */
    private static final float MOST = 88;

    private static final float LOG2_E = 1.442695f;
    /** ln 2 as a float, and what it lacks. */
    private static final float LN2 = 0.6931472f;

    private static final float LN2_REST = -1.9046543e-9f;

    /** Added to a small number it leaves the nearest integer, plus the bias of exponents, in the lowest bits. */
    private static final float TO_EXPONENT = 0x1.8p23f + 127;

    private static final int MANTISSA_BITS = 23;

    // (exp(r) - 1 - r) / r^2 for |r| up to ln 2 / 2, fitted for the least relative error of exp(r), 4e-9.
    private static final float C0 = 0.49999994f;
    private static final float C1 = 0.16666521f;
    private static final float C2 = 0.04166839f;
    private static final float C3 = 0.008368717f;
    private static final float C4 = 0.0013814599f;

    private Lanes() {}

    /** {@return the next multiple of {@link #TURN}} */
    static int roundUp(int length) {
        return (length + TURN - 1) / TURN * TURN;
    }

    /**
     * y = exp(factor x + added), to 1e-7 of its size: 0 where the exponent is below -88, exp(88) where it is above 88, NaN
     * for NaN. Works on whole vectors, so behind the end too.
     *
     * @param x numbers
     * @param factor of them
     * @param added to them
     * @param y exponentials, may be x
     * @param from the first
     * @param to behind the last
     * @param sums for each lane the sum of its exponentials
     */
    static void exp(float[] x, float factor, float added, float[] y, int from, int to, float[] sums) {
        FloatVector most = FloatVector.broadcast(FLOATS, MOST);
        FloatVector least = FloatVector.broadcast(FLOATS, -MOST);
        FloatVector ones = FloatVector.broadcast(FLOATS, 1);
        FloatVector factors = FloatVector.broadcast(FLOATS, factor);
        FloatVector addeds = FloatVector.broadcast(FLOATS, added);
        FloatVector toExponent = FloatVector.broadcast(FLOATS, TO_EXPONENT);
        FloatVector log2E = FloatVector.broadcast(FLOATS, LOG2_E);
        FloatVector minusLn2 = FloatVector.broadcast(FLOATS, -LN2);
        FloatVector minusRest = FloatVector.broadcast(FLOATS, -LN2_REST);
        FloatVector c0 = FloatVector.broadcast(FLOATS, C0);
        FloatVector c1 = FloatVector.broadcast(FLOATS, C1);
        FloatVector c2 = FloatVector.broadcast(FLOATS, C2);
        FloatVector c3 = FloatVector.broadcast(FLOATS, C3);
        FloatVector c4 = FloatVector.broadcast(FLOATS, C4);
        FloatVector sum = FloatVector.zero(FLOATS);
        for (int i = from; i < to; i += COUNT) {
            FloatVector given = FloatVector.fromArray(FLOATS, x, i).fma(factors, addeds);
            FloatVector bounded = given.blend(most, given.compare(VectorOperators.GT, MOST));
            bounded = bounded.blend(least, given.compare(VectorOperators.LT, -MOST));
            // exp(bounded) = 2^n exp(r), r = bounded - n ln 2
            FloatVector shifted = bounded.fma(log2E, toExponent);
            FloatVector n = shifted.sub(toExponent);
            FloatVector r = n.fma(minusRest, n.fma(minusLn2, bounded));
            FloatVector q = r.fma(c4, c3).fma(r, c2).fma(r, c1).fma(r, c0);
            FloatVector power = shifted.reinterpretAsInts()
                    .lanewise(VectorOperators.LSHL, MANTISSA_BITS)
                    .reinterpretAsFloats();
            FloatVector e = r.fma(q, ones).fma(r, ones).mul(power);
            e.intoArray(y, i);
            sum = sum.add(e);
        }
        sum.intoArray(sums, 0);
    }

    /** {@return the sum of the lanes}, in a fixed order, which the Vector API's own reduction does not promise */
    static double sum(float[] lanes) {
        double sum = 0;
        for (int i = 0; i < COUNT; i++) {
            sum += lanes[i];
        }
        return sum;
    }

    /**
     * The sum of squares.
     *
     * @param x numbers, 0 behind the last up to the next {@link #roundUp}
     * @param from the first, a multiple of {@link #TURN}
     * @param to behind the last
     * @param lanes scratch of {@link #COUNT} numbers
     * @return their sum of squares; those of a lane are added in single precision
     */
    static double sumOfSquares(float[] x, int from, int to, float[] lanes) {
        FloatVector s0 = FloatVector.zero(FLOATS);
        FloatVector s1 = FloatVector.zero(FLOATS);
        FloatVector s2 = FloatVector.zero(FLOATS);
        FloatVector s3 = FloatVector.zero(FLOATS);
        for (int i = from; i < to; i += TURN) {
            FloatVector x0 = FloatVector.fromArray(FLOATS, x, i);
            FloatVector x1 = FloatVector.fromArray(FLOATS, x, i + COUNT);
            FloatVector x2 = FloatVector.fromArray(FLOATS, x, i + 2 * COUNT);
            FloatVector x3 = FloatVector.fromArray(FLOATS, x, i + 3 * COUNT);
            s0 = x0.fma(x0, s0);
            s1 = x1.fma(x1, s1);
            s2 = x2.fma(x2, s2);
            s3 = x3.fma(x3, s3);
        }
        s0.add(s1).add(s2.add(s3)).intoArray(lanes, 0);
        return sum(lanes);
    }
}
