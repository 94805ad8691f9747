package org.npp4j.layers.kernel.vector;

import java.lang.ref.Reference;
import java.nio.FloatBuffer;
import java.util.function.IntConsumer;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * One pass over arrays, part by part. What a part is depends on nothing but the sizes of the arrays, so that sums have one
 * order whatever the number of threads.
 */
final class Pass {
    /** Elements that a thread holds on the heap at a time; a few arrays of it fit a first-level cache. */
    static final int TILE = 512;

    /** Elements of a part of an elementwise pass, a multiple of {@link #TILE}. */
    private static final int ELEMENTS = 32 * TILE;

    /** Numbers that are touched, below which waking another thread costs more than it saves. */
    private static final long FEW = 1 << 18;

    private Pass() {}

    /** What is done with a part. */
    @FunctionalInterface
    interface Part {
        /**
         * Works on the units from .. to - 1 of buffers; a unit is an element or a row.
         *
         * @param buffers of the arrays, for many units at once
         * @param first the number of the buffers' first unit in the arrays
         * @param from the part's first unit in the buffers
         * @param to behind its last
         */
        void run(FloatBuffer[] buffers, long first, int from, int to);
    }

    /** What is done with a tile of an elementwise pass. */
    @FunctionalInterface
    interface Tile {
        /**
         * Works on neighbouring elements.
         *
         * @param buffers of the arrays
         * @param at the tile's first element in the buffers
         * @param length its elements, up to {@link #TILE}
         * @param place the number of its first element in the arrays, a multiple of {@link #TILE}
         * @param scratch arrays of the thread
         */
        void run(FloatBuffer[] buffers, int at, int length, long place, Scratch scratch);
    }

    /**
     * A pass over arrays that are {@link Floats#alike}.
     *
     * @param tile what is done
     * @param arrays the arrays
     */
    static void overElements(Tile tile, INDArray... arrays) {
        run(Floats.LONGEST, arrays, arrays[0].length(), 1, ELEMENTS, (buffers, first, from, to) -> {
            Scratch scratch = Scratch.get();
            for (int at = from; at < to; at += TILE) {
                tile.run(buffers, at, Math.min(TILE, to - at), first + at, scratch);
            }
        });
    }

    /**
     * A pass over matrices of one shape that are {@link Floats#rows}.
     *
     * @param rowsPerPart rows of a part; the last has fewer
     * @param part what is done; its units are rows
     * @param matrices the matrices
     */
    static void overRows(int rowsPerPart, Part part, INDArray... matrices) {
        run(Floats.LONGEST, matrices, matrices[0].size(0), (int) matrices[0].size(1), rowsPerPart, part);
    }

    /** {@return how many parts a pass has} */
    static int parts(long units, int unitsPerPart) {
        return Math.toIntExact((units + unitsPerPart - 1) / unitsPerPart);
    }

    /** {@return how many parts an elementwise pass has} */
    static int elementParts(long elements) {
        return parts(elements, ELEMENTS);
    }

    /** {@return the number of the part that an element belongs to} */
    static int elementPart(long place) {
        return Math.toIntExact(place / ELEMENTS);
    }

    /**
     * A pass in slices that fit buffers.
     *
     * @param longest numbers of a buffer at most
     * @param arrays the arrays, of units x width numbers
     * @param units how many
     * @param width numbers of a unit
     * @param unitsPerPart units of a part
     * @param part what is done
     */
    static void run(int longest, INDArray[] arrays, long units, int width, int unitsPerPart, Part part) {
        long unitsPerSlice = Math.max(1L, longest / width / unitsPerPart) * unitsPerPart;
        for (long first = 0; first < units; first += unitsPerSlice) {
            int inSlice = (int) Math.min(unitsPerSlice, units - first);
            FloatBuffer[] buffers = new FloatBuffer[arrays.length];
            for (int i = 0; i < arrays.length; i++) {
                buffers[i] = Floats.of(arrays[i], first * width, inSlice * width);
            }
            long start = first;
            IntConsumer numbered = number -> {
                int from = number * unitsPerPart;
                part.run(buffers, start, from, Math.min(inSlice, from + unitsPerPart));
            };
            int parts = parts(inSlice, unitsPerPart);
            if ((long) inSlice * width * arrays.length < FEW) {
                for (int i = 0; i < parts; i++) {
                    numbered.accept(i);
                }
            } else {
                Workers.run(parts, numbered);
            }
        }
        for (INDArray array : arrays) {
            Reference.reachabilityFence(array);
        }
    }
}
