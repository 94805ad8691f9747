package org.npp4j.layers.kernel.vector;

/** Arrays on the heap that a thread uses again and again: what vectors are loaded from and stored to. */
final class Scratch {
    private static final ThreadLocal<Scratch> OF_THREAD = ThreadLocal.withInitial(Scratch::new);
    private static final int PLACES = 16;

    private final float[][] arrays = new float[PLACES][0];
    private final int[][] intArrays = new int[PLACES][0];

    private Scratch() {}

    /** {@return the arrays of the calling thread} */
    static Scratch get() {
        return OF_THREAD.get();
    }

    /**
     * One of the arrays.
     *
     * @param place from 0 to 15; arrays in use at the same time have different places
     * @param length the least length
     * @return an array with unspecified content
     */
    float[] array(int place, int length) {
        if (arrays[place].length < length) {
            arrays[place] = new float[length];
        }
        return arrays[place];
    }

    /**
     * One of the arrays of integers.
     *
     * @param place from 0 to 15
     * @param length the least length
     * @return an array with unspecified content
     */
    int[] ints(int place, int length) {
        if (intArrays[place].length < length) {
            intArrays[place] = new int[length];
        }
        return intArrays[place];
    }
}
