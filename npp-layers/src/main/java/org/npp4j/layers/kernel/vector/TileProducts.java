package org.npp4j.layers.kernel.vector;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Products of small matrices on the heap, C = A B or C = C + A B, {@value #ROWS} rows of C at a time.
 *
 * <p>The sums of {@value #ROWS} rows by two vectors stay in registers over the whole inner dimension: twelve of them, enough
 * to keep two multipliers busy and few enough for processors with sixteen registers.
 */
final class TileProducts {
    /** Rows of C that are computed together. A and C must have room for a multiple of it. */
    static final int ROWS = 6;

    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();

    /** Columns of C that are computed together. */
    static final int COLUMNS = 2 * LANES;

    private TileProducts() {}

    /** {@return number rounded up to a multiple} */
    static int roundUp(int number, int multiple) {
        return (number + multiple - 1) / multiple * multiple;
    }

    /**
     * {@value #ROWS} rows of C, all columns.
     *
     * @param a A: the element of row r and step k is at aFrom + r aRow + k aStep
     * @param aFrom its first element
     * @param aRow distance of its rows
     * @param aStep distance of its columns
     * @param b B, its row k at bFrom + k bRow
     * @param bFrom its first element
     * @param bRow distance of its rows
     * @param c C, its row r at cFrom + r cRow
     * @param cFrom its first element
     * @param cRow distance of its rows
     * @param columns of B and C, a multiple of the lanes of a vector
     * @param steps the inner dimension
     * @param add whether the product is added to C
     */
    static void rows(
            float[] a,
            int aFrom,
            int aRow,
            int aStep,
            float[] b,
            int bFrom,
            int bRow,
            float[] c,
            int cFrom,
            int cRow,
            int columns,
            int steps,
            boolean add) {
        int column = 0;
        for (; column + COLUMNS <= columns; column += COLUMNS) {
            tile(a, aFrom, aRow, aStep, b, bFrom + column, bRow, c, cFrom + column, cRow, steps, add);
        }
        if (column < columns) {
            narrowTile(a, aFrom, aRow, aStep, b, bFrom + column, bRow, c, cFrom + column, cRow, steps, add);
        }
    }

    /** {@link #ROWS} rows by two vectors of C. */
    static void tile(
            float[] a,
            int aFrom,
            int aRow,
            int aStep,
            float[] b,
            int bFrom,
            int bRow,
            float[] c,
            int cFrom,
            int cRow,
            int steps,
            boolean add) {
        FloatVector c00 = FloatVector.zero(SPECIES);
        FloatVector c01 = FloatVector.zero(SPECIES);
        FloatVector c10 = FloatVector.zero(SPECIES);
        FloatVector c11 = FloatVector.zero(SPECIES);
        FloatVector c20 = FloatVector.zero(SPECIES);
        FloatVector c21 = FloatVector.zero(SPECIES);
        FloatVector c30 = FloatVector.zero(SPECIES);
        FloatVector c31 = FloatVector.zero(SPECIES);
        FloatVector c40 = FloatVector.zero(SPECIES);
        FloatVector c41 = FloatVector.zero(SPECIES);
        FloatVector c50 = FloatVector.zero(SPECIES);
        FloatVector c51 = FloatVector.zero(SPECIES);
        int a1 = aFrom + aRow;
        int a2 = a1 + aRow;
        int a3 = a2 + aRow;
        int a4 = a3 + aRow;
        int a5 = a4 + aRow;
        for (int k = 0; k < steps; k++) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, b, bFrom + k * bRow);
            FloatVector b1 = FloatVector.fromArray(SPECIES, b, bFrom + k * bRow + LANES);
            FloatVector x = FloatVector.broadcast(SPECIES, a[aFrom + k * aStep]);
            c00 = x.fma(b0, c00);
            c01 = x.fma(b1, c01);
            x = FloatVector.broadcast(SPECIES, a[a1 + k * aStep]);
            c10 = x.fma(b0, c10);
            c11 = x.fma(b1, c11);
            x = FloatVector.broadcast(SPECIES, a[a2 + k * aStep]);
            c20 = x.fma(b0, c20);
            c21 = x.fma(b1, c21);
            x = FloatVector.broadcast(SPECIES, a[a3 + k * aStep]);
            c30 = x.fma(b0, c30);
            c31 = x.fma(b1, c31);
            x = FloatVector.broadcast(SPECIES, a[a4 + k * aStep]);
            c40 = x.fma(b0, c40);
            c41 = x.fma(b1, c41);
            x = FloatVector.broadcast(SPECIES, a[a5 + k * aStep]);
            c50 = x.fma(b0, c50);
            c51 = x.fma(b1, c51);
        }
        if (add) {
            add(c00, c, cFrom);
            add(c01, c, cFrom + LANES);
            add(c10, c, cFrom + cRow);
            add(c11, c, cFrom + cRow + LANES);
            add(c20, c, cFrom + 2 * cRow);
            add(c21, c, cFrom + 2 * cRow + LANES);
            add(c30, c, cFrom + 3 * cRow);
            add(c31, c, cFrom + 3 * cRow + LANES);
            add(c40, c, cFrom + 4 * cRow);
            add(c41, c, cFrom + 4 * cRow + LANES);
            add(c50, c, cFrom + 5 * cRow);
            add(c51, c, cFrom + 5 * cRow + LANES);
        } else {
            c00.intoArray(c, cFrom);
            c01.intoArray(c, cFrom + LANES);
            c10.intoArray(c, cFrom + cRow);
            c11.intoArray(c, cFrom + cRow + LANES);
            c20.intoArray(c, cFrom + 2 * cRow);
            c21.intoArray(c, cFrom + 2 * cRow + LANES);
            c30.intoArray(c, cFrom + 3 * cRow);
            c31.intoArray(c, cFrom + 3 * cRow + LANES);
            c40.intoArray(c, cFrom + 4 * cRow);
            c41.intoArray(c, cFrom + 4 * cRow + LANES);
            c50.intoArray(c, cFrom + 5 * cRow);
            c51.intoArray(c, cFrom + 5 * cRow + LANES);
        }
    }

    /** {@link #ROWS} rows by one vector of C. */
    private static void narrowTile(
            float[] a,
            int aFrom,
            int aRow,
            int aStep,
            float[] b,
            int bFrom,
            int bRow,
            float[] c,
            int cFrom,
            int cRow,
            int steps,
            boolean add) {
        FloatVector c0 = FloatVector.zero(SPECIES);
        FloatVector c1 = FloatVector.zero(SPECIES);
        FloatVector c2 = FloatVector.zero(SPECIES);
        FloatVector c3 = FloatVector.zero(SPECIES);
        FloatVector c4 = FloatVector.zero(SPECIES);
        FloatVector c5 = FloatVector.zero(SPECIES);
        int a1 = aFrom + aRow;
        int a2 = a1 + aRow;
        int a3 = a2 + aRow;
        int a4 = a3 + aRow;
        int a5 = a4 + aRow;
        for (int k = 0; k < steps; k++) {
            FloatVector b0 = FloatVector.fromArray(SPECIES, b, bFrom + k * bRow);
            c0 = FloatVector.broadcast(SPECIES, a[aFrom + k * aStep]).fma(b0, c0);
            c1 = FloatVector.broadcast(SPECIES, a[a1 + k * aStep]).fma(b0, c1);
            c2 = FloatVector.broadcast(SPECIES, a[a2 + k * aStep]).fma(b0, c2);
            c3 = FloatVector.broadcast(SPECIES, a[a3 + k * aStep]).fma(b0, c3);
            c4 = FloatVector.broadcast(SPECIES, a[a4 + k * aStep]).fma(b0, c4);
            c5 = FloatVector.broadcast(SPECIES, a[a5 + k * aStep]).fma(b0, c5);
        }
        if (add) {
            add(c0, c, cFrom);
            add(c1, c, cFrom + cRow);
            add(c2, c, cFrom + 2 * cRow);
            add(c3, c, cFrom + 3 * cRow);
            add(c4, c, cFrom + 4 * cRow);
            add(c5, c, cFrom + 5 * cRow);
        } else {
            c0.intoArray(c, cFrom);
            c1.intoArray(c, cFrom + cRow);
            c2.intoArray(c, cFrom + 2 * cRow);
            c3.intoArray(c, cFrom + 3 * cRow);
            c4.intoArray(c, cFrom + 4 * cRow);
            c5.intoArray(c, cFrom + 5 * cRow);
        }
    }

    private static void add(FloatVector sums, float[] c, int at) {
        FloatVector.fromArray(SPECIES, c, at).add(sums).intoArray(c, at);
    }
}
