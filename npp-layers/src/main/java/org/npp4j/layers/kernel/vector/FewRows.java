package org.npp4j.layers.kernel.vector;

import java.nio.LongBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * Products of a few rows of activations, as when a sequence is generated, with a weight [in, out] in 'f' order.
 *
 * <p>The time goes into reading the weight, so it is read once, a tile of {@value #UNITS} output units at a time. The lanes
 * of a vector are rows: two inputs of a unit, read as one long, are spread over a vector and multiplied with the same two
 * inputs of all rows. A result depends on its own row alone, to the last bit, whatever the number of rows.
 */
final class FewRows {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final VectorSpecies<Long> PAIRS = LongVector.SPECIES_PREFERRED;

    static final int LANES = SPECIES.length();

    /** Vectors of rows that are multiplied at a time: 8 sums for each, of which 16 fit registers where lanes are many. */
    static final int MOST_VECTORS = LANES >= 16 ? 2 : 1;

    /** Output units of a tile. */
    static final int UNITS = 8;

    private static final int MOST_UNITS_OF_PART = 64;
    private static final int PARTS = 8 * Runtime.getRuntime().availableProcessors();

    private static final ThreadLocal<Scratch> SCRATCH = ThreadLocal.withInitial(Scratch::new);

    private FewRows() {}

    /** What a thread works on. */
    private static final class Scratch {
        private long[] tile = new long[0];
        private long[] secondTile = new long[0];
        private final float[] sums = new float[UNITS * MOST_VECTORS * LANES];
        private final float[] results = new float[UNITS * MOST_VECTORS * LANES / 2];
        private final float[] secondResults = new float[UNITS * MOST_VECTORS * LANES / 2];
        private final float[] lanes = new float[LANES];

        private void reserve(int longs, boolean second) {
            if (tile.length < longs) {
                tile = new long[longs];
            }
            if (second && secondTile.length < longs) {
                secondTile = new long[longs];
            }
        }
    }

    /** Takes the results of a tile. */
    @FunctionalInterface
    interface Sink {
        /**
         * Results of all rows of a panel.
         *
         * @param unit the first
         * @param units how many, at most {@value #UNITS}
         * @param panel of the rows
         * @param results as a panel of {@link PackedRows} with these units alone; may be overwritten
         */
        void take(int unit, int units, int panel, float[] results);
    }

    /**
     * x W.
     *
     * @param x [R, in], in even
     * @param w [in, out]
     * @param out how many units
     * @param sink called by several threads, for different units
     */
    static void product(PackedRows x, LongBuffer w, int out, Sink sink) {
        int unitsOfPart = unitsOfPart(out);
        Workers.run((out + unitsOfPart - 1) / unitsOfPart, part -> {
            Scratch s = SCRATCH.get();
            s.reserve(UNITS * x.width() / 2, false);
            int end = Math.min(out, (part + 1) * unitsOfPart);
            for (int unit = part * unitsOfPart; unit < end; unit += UNITS) {
                int units = Math.min(UNITS, end - unit);
                read(w, unit, units, x.width(), s.tile);
                for (int panel = 0; panel < x.panels(); panel++) {
                    multiply(s.tile, x, panel, s.sums, s.results);
                    sink.take(unit, units, panel, s.results);
                }
            }
        });
    }

    /**
     * y = silu(x A) * (x B), silu(a) = a / (1 + exp(-a)).
     *
     * @param x [R, in], in even
     * @param a [in, F], F even
     * @param b [in, F]
     * @param y [R, F], written
     */
    static void swiGlu(PackedRows x, LongBuffer a, LongBuffer b, PackedRows y) {
        int out = y.width();
        int unitsOfPart = unitsOfPart(out);
        Workers.run((out + unitsOfPart - 1) / unitsOfPart, part -> {
            Scratch s = SCRATCH.get();
            s.reserve(UNITS * x.width() / 2, true);
            int end = Math.min(out, (part + 1) * unitsOfPart);
            for (int unit = part * unitsOfPart; unit < end; unit += UNITS) {
                int units = Math.min(UNITS, end - unit);
                read(a, unit, units, x.width(), s.tile);
                read(b, unit, units, x.width(), s.secondTile);
                for (int panel = 0; panel < x.panels(); panel++) {
                    multiply(s.tile, x, panel, s.sums, s.results);
                    multiply(s.secondTile, x, panel, s.sums, s.secondResults);
                    int n = units * x.panelRows();
                    gate(s.results, s.secondResults, n, s.sums, s.lanes);
                    System.arraycopy(s.results, 0, y.values(), y.offset(panel, unit), n);
                }
            }
        });
    }

    /** A multiple of a tile, so that each thread gets several parts. */
    private static int unitsOfPart(int out) {
        int even = out / PARTS;
        return Math.min(MOST_UNITS_OF_PART, Math.max(1, even / UNITS) * UNITS);
    }

    private static void read(LongBuffer w, int unit, int units, int in, long[] tile) {
        w.get(unit * (in / 2), tile, 0, units * (in / 2));
    }

    private static void multiply(long[] tile, PackedRows x, int panel, float[] sums, float[] results) {
        int vectors = 2 * x.panelRows() / LANES;
        if (vectors == 1) {
            oneVector(tile, x.width() / 2, x.values(), panel * x.panelSize(), sums);
        } else {
            twoVectors(tile, x.width() / 2, x.values(), panel * x.panelSize(), sums);
        }
        addPairs(sums, x.panelRows(), results);
    }

    /** sums [8][LANES]: of each unit the sums over even, and over odd inputs of each row. */
    private static void oneVector(long[] w, int pairs, float[] x, int start, float[] sums) {
        FloatVector a0 = FloatVector.zero(SPECIES);
        FloatVector a1 = a0;
        FloatVector a2 = a0;
        FloatVector a3 = a0;
        FloatVector a4 = a0;
        FloatVector a5 = a0;
        FloatVector a6 = a0;
        FloatVector a7 = a0;
        int w1 = pairs;
        int w2 = 2 * pairs;
        int w3 = 3 * pairs;
        int w4 = 4 * pairs;
        int w5 = 5 * pairs;
        int w6 = 6 * pairs;
        int w7 = 7 * pairs;
        for (int k = 0; k < pairs; k++) {
            FloatVector v = FloatVector.fromArray(SPECIES, x, start + k * LANES);
            a0 = LongVector.broadcast(PAIRS, w[k]).reinterpretAsFloats().fma(v, a0);
            a1 = LongVector.broadcast(PAIRS, w[w1 + k]).reinterpretAsFloats().fma(v, a1);
            a2 = LongVector.broadcast(PAIRS, w[w2 + k]).reinterpretAsFloats().fma(v, a2);
            a3 = LongVector.broadcast(PAIRS, w[w3 + k]).reinterpretAsFloats().fma(v, a3);
            a4 = LongVector.broadcast(PAIRS, w[w4 + k]).reinterpretAsFloats().fma(v, a4);
            a5 = LongVector.broadcast(PAIRS, w[w5 + k]).reinterpretAsFloats().fma(v, a5);
            a6 = LongVector.broadcast(PAIRS, w[w6 + k]).reinterpretAsFloats().fma(v, a6);
            a7 = LongVector.broadcast(PAIRS, w[w7 + k]).reinterpretAsFloats().fma(v, a7);
        }
        a0.intoArray(sums, 0);
        a1.intoArray(sums, LANES);
        a2.intoArray(sums, 2 * LANES);
        a3.intoArray(sums, 3 * LANES);
        a4.intoArray(sums, 4 * LANES);
        a5.intoArray(sums, 5 * LANES);
        a6.intoArray(sums, 6 * LANES);
        a7.intoArray(sums, 7 * LANES);
    }

    /** As {@link #oneVector} with twice the rows: sums [8][2 LANES]. */
    private static void twoVectors(long[] w, int pairs, float[] x, int start, float[] sums) {
        FloatVector a0 = FloatVector.zero(SPECIES);
        FloatVector a1 = a0;
        FloatVector a2 = a0;
        FloatVector a3 = a0;
        FloatVector a4 = a0;
        FloatVector a5 = a0;
        FloatVector a6 = a0;
        FloatVector a7 = a0;
        FloatVector b0 = a0;
        FloatVector b1 = a0;
        FloatVector b2 = a0;
        FloatVector b3 = a0;
        FloatVector b4 = a0;
        FloatVector b5 = a0;
        FloatVector b6 = a0;
        FloatVector b7 = a0;
        int w1 = pairs;
        int w2 = 2 * pairs;
        int w3 = 3 * pairs;
        int w4 = 4 * pairs;
        int w5 = 5 * pairs;
        int w6 = 6 * pairs;
        int w7 = 7 * pairs;
        for (int k = 0; k < pairs; k++) {
            FloatVector u = FloatVector.fromArray(SPECIES, x, start + k * 2 * LANES);
            FloatVector v = FloatVector.fromArray(SPECIES, x, start + k * 2 * LANES + LANES);
            FloatVector c = LongVector.broadcast(PAIRS, w[k]).reinterpretAsFloats();
            a0 = c.fma(u, a0);
            b0 = c.fma(v, b0);
            c = LongVector.broadcast(PAIRS, w[w1 + k]).reinterpretAsFloats();
            a1 = c.fma(u, a1);
            b1 = c.fma(v, b1);
            c = LongVector.broadcast(PAIRS, w[w2 + k]).reinterpretAsFloats();
            a2 = c.fma(u, a2);
            b2 = c.fma(v, b2);
            c = LongVector.broadcast(PAIRS, w[w3 + k]).reinterpretAsFloats();
            a3 = c.fma(u, a3);
            b3 = c.fma(v, b3);
            c = LongVector.broadcast(PAIRS, w[w4 + k]).reinterpretAsFloats();
            a4 = c.fma(u, a4);
            b4 = c.fma(v, b4);
            c = LongVector.broadcast(PAIRS, w[w5 + k]).reinterpretAsFloats();
            a5 = c.fma(u, a5);
            b5 = c.fma(v, b5);
            c = LongVector.broadcast(PAIRS, w[w6 + k]).reinterpretAsFloats();
            a6 = c.fma(u, a6);
            b6 = c.fma(v, b6);
            c = LongVector.broadcast(PAIRS, w[w7 + k]).reinterpretAsFloats();
            a7 = c.fma(u, a7);
            b7 = c.fma(v, b7);
        }
        a0.intoArray(sums, 0);
        b0.intoArray(sums, LANES);
        a1.intoArray(sums, 2 * LANES);
        b1.intoArray(sums, 3 * LANES);
        a2.intoArray(sums, 4 * LANES);
        b2.intoArray(sums, 5 * LANES);
        a3.intoArray(sums, 6 * LANES);
        b3.intoArray(sums, 7 * LANES);
        a4.intoArray(sums, 8 * LANES);
        b4.intoArray(sums, 9 * LANES);
        a5.intoArray(sums, 10 * LANES);
        b5.intoArray(sums, 11 * LANES);
        a6.intoArray(sums, 12 * LANES);
        b6.intoArray(sums, 13 * LANES);
        a7.intoArray(sums, 14 * LANES);
        b7.intoArray(sums, 15 * LANES);
    }

    /** [8][rows][even, odd] to [4 pairs of units][rows][2]. */
    private static void addPairs(float[] sums, int rows, float[] results) {
        int unitSize = 2 * rows;
        for (int unit = 0; unit < UNITS; unit += 2) {
            int first = unit * unitSize;
            int second = first + unitSize;
            int to = unit * rows;
            for (int i = 0; i < unitSize; i += 2) {
                results[to + i] = sums[first + i] + sums[first + i + 1];
                results[to + i + 1] = sums[second + i] + sums[second + i + 1];
            }
        }
    }

    /** a = silu(a) * b over n numbers, n a multiple of a vector; e and lanes are lost. */
    private static void gate(float[] a, float[] b, int n, float[] e, float[] lanes) {
        Lanes.exp(a, -1, 0, e, 0, n, lanes);
        for (int i = 0; i < n; i += LANES) {
            FloatVector.fromArray(SPECIES, a, i)
                    .div(FloatVector.fromArray(SPECIES, e, i).add(1))
                    .mul(FloatVector.fromArray(SPECIES, b, i))
                    .intoArray(a, i);
        }
    }
}
