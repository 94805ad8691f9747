package org.npp4j.layers.kernel.vector;

import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Random numbers as a function of a key and a place: no state, any order, the same for any number of threads and any length
 * of vectors. Threefry with two words of 32 bits and 13 rounds.
 *
 * <p>Source: Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3" (SC 2011).
 */
final class CounterRandom {
    private static final int PARITY = 0x1BD11BDA;

    private final int k0;
    private final int k1;
    private final int k2;

    /**
     * The numbers of a key.
     *
     * @param key any
     */
    CounterRandom(long key) {
        k0 = (int) key;
        k1 = (int) (key >>> Integer.SIZE);
        k2 = PARITY ^ k0 ^ k1;
    }

    /**
     * The two words of each of some counters.
     *
     * @param low the first word of the first counter; that of the next is one more, up to the last without overflow
     * @param high the second word of all
     * @param x the first words, written
     * @param y the second words, written
     * @param length how many, a multiple of the lanes
     */
    void words(int low, int high, int[] x, int[] y, int length) {
        for (int i = 0; i < length; i++) {
            x[i] = low + i + k0;
            y[i] = high + k1;
        }
        oddRounds(x, y, k1, k2 + 1, length);
        evenRounds(x, y, k2, k0 + 2, length);
        oddRounds(x, y, k0, k1 + 3, length);
        lastRound(x, y, length);
    }

    /** Rounds 1 to 4 of every 8, and the key. */
    private static void oddRounds(int[] xs, int[] ys, int keyOfX, int keyOfY, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            IntVector x = IntVector.fromArray(Lanes.INTS, xs, i);
            IntVector y = IntVector.fromArray(Lanes.INTS, ys, i);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 13).lanewise(VectorOperators.XOR, x);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 15).lanewise(VectorOperators.XOR, x);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 26).lanewise(VectorOperators.XOR, x);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 6).lanewise(VectorOperators.XOR, x);
            x.add(keyOfX).intoArray(xs, i);
            y.add(keyOfY).intoArray(ys, i);
        }
    }

    /** Rounds 5 to 8 of every 8, and the key. */
    private static void evenRounds(int[] xs, int[] ys, int keyOfX, int keyOfY, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            IntVector x = IntVector.fromArray(Lanes.INTS, xs, i);
            IntVector y = IntVector.fromArray(Lanes.INTS, ys, i);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 17).lanewise(VectorOperators.XOR, x);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 29).lanewise(VectorOperators.XOR, x);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 16).lanewise(VectorOperators.XOR, x);
            x = x.add(y);
            y = y.lanewise(VectorOperators.ROL, 24).lanewise(VectorOperators.XOR, x);
            x.add(keyOfX).intoArray(xs, i);
            y.add(keyOfY).intoArray(ys, i);
        }
    }

    private static void lastRound(int[] xs, int[] ys, int length) {
        for (int i = 0; i < length; i += Lanes.COUNT) {
            IntVector y = IntVector.fromArray(Lanes.INTS, ys, i);
            IntVector x = IntVector.fromArray(Lanes.INTS, xs, i).add(y);
            x.intoArray(xs, i);
            y.lanewise(VectorOperators.ROL, 17).lanewise(VectorOperators.XOR, x).intoArray(ys, i);
        }
    }
}
