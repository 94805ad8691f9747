package org.npp4j.layers.kernel;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * Rotated keys, and values, of the positions that one layer has already seen while sequences are generated.
 *
 * <p>Made once for the largest batch of a run; {@link #clear(long)} makes it ready for the next batch, {@link #close} gives
 * its memory back.
 */
public final class KeyValueCache implements AutoCloseable {
    /** The memory has room for a multiple of so many positions, for kernels that work on blocks of them. */
    private static final int BLOCK = 16;

    private final INDArray keys;
    private final INDArray values;
    private final int capacity;
    private long batch;
    private INDArray seen;
    private boolean[][] hidden;
    private int length;
    /** Whether the keys lie as the array's shape says; null as long as there are none. */
    private Boolean inRows;

    /**
     * An empty cache; its arrays live outside workspaces, until it is closed or collected.
     *
     * @param dataType of keys and values
     * @param batch B, the largest batch that it serves, and that of its first sequence
     * @param keyValueHeads G
     * @param capacity the longest sequence
     * @param headWidth E
     */
    public KeyValueCache(DataType dataType, long batch, int keyValueHeads, int capacity, int headWidth) {
        this.capacity = capacity;
        long[] shape = {batch, keyValueHeads, (capacity + BLOCK - 1) / BLOCK * BLOCK, headWidth};
        try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            keys = Nd4j.createUninitialized(dataType, shape, 'c');
            values = Nd4j.createUninitialized(dataType, shape, 'c');
        }
        this.batch = batch;
    }

    /** {@return how many positions it holds} */
    public int length() {
        return length;
    }

    /** {@return the longest sequence it can hold} */
    public int capacity() {
        return capacity;
    }

    /** {@return B of the sequences it holds} */
    public long batch() {
        return batch;
    }

    /** {@return the largest batch it can hold} */
    public long largestBatch() {
        return keys.size(0);
    }

    /** Forgets every position and what was hidden, so that the arrays serve the next sequences, of the same batch size. */
    public void clear() {
        clear(batch);
    }

    /**
     * Forgets every position and what was hidden, so that the arrays serve the next sequences.
     *
     * @param newBatch B of the next sequences
     * @throws IllegalArgumentException if that is below 1 or more than the cache was made for
     */
    public void clear(long newBatch) {
        requireBatch(newBatch, keys.size(0));
        batch = newBatch;
        length = 0;
        inRows = null;
        hide(null);
    }

    /**
     * Goes on with the first sequences of the batch alone.
     *
     * @param first how many
     * @throws IllegalArgumentException if that is below 1 or more than the batch
     */
    public void keepFirst(long first) {
        requireBatch(first, batch);
        batch = first;
        if (seen != null) {
            hide(seen.get(NDArrayIndex.interval(0, first), NDArrayIndex.all()));
        }
    }

    private static void requireBatch(long batch, long most) {
        if (batch < 1 || batch > most) {
            throw new IllegalArgumentException(
                    "The key/value cache has room for 1 to " + most + " examples, got " + batch);
        }
    }

    /**
     * Hides condition tokens from the attention of all other positions, such as the padding of a caption. To be called before
     * the first position.
     *
     * @param mask [B, C], 0 hides; null hides none
     * @throws IllegalArgumentException if the mask is for another batch size
     * @throws IllegalStateException if there are positions already
     */
    public void hideCondition(INDArray mask) {
        if (length > 0) {
            throw new IllegalStateException("The mask of the condition comes before its first position, but the cache"
                    + " holds " + length + " positions already. Call clear() first");
        }
        if (mask != null && (mask.rank() != 2 || mask.size(0) != batch)) {
            throw new IllegalArgumentException("The mask of the condition is [" + batch + ", condition tokens],"
                    + " got " + Arrays.toString(mask.shape()));
        }
        hide(mask);
    }

    private void hide(INDArray mask) {
        try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            seen = mask == null ? null : mask.dup('c');
        }
        hidden = mask == null ? null : hidden(mask.castTo(DataType.DOUBLE).toDoubleMatrix());
    }

    private static boolean[][] hidden(double[][] mask) {
        boolean[][] hidden = new boolean[mask.length][mask[0].length];
        for (int b = 0; b < mask.length; b++) {
            for (int c = 0; c < mask[b].length; c++) {
                hidden[b][c] = mask[b][c] == 0;
            }
        }
        return hidden;
    }

    /**
     * Which of the first positions of a sequence are hidden from others, for kernels that work on the memory.
     *
     * @param example of the batch
     * @return one for each condition token, not to be written to; null if none are hidden
     */
    public boolean[] hidden(int example) {
        return hidden == null ? null : hidden[example];
    }

    /**
     * {@return the memory of the keys, [largest batch, G, slots, E], for kernels that fill it in an order of their own} All
     * positions until {@link #clear} must then come from that kernel.
     */
    public INDArray keyMemory() {
        return keys;
    }

    /** {@return the memory of the values, as {@link #keyMemory}} */
    public INDArray valueMemory() {
        return values;
    }

    /** {@return positions that the memory has room for: the capacity, rounded up} */
    public int slots() {
        return (int) keys.size(2);
    }

    /**
     * Counts positions that a kernel has written into the memory.
     *
     * @param positions how many
     * @throws IllegalStateException if there are positions that were appended otherwise
     */
    public void grow(int positions) {
        require(false);
        length += positions;
    }

    private void require(boolean rows) {
        if (inRows != null && inRows != rows) {
            throw new IllegalStateException(
                    "The positions of a key/value cache must come from one kernel, but these come"
                            + " from two. Call clear() first");
        }
        inRows = rows;
    }

    /** {@return the mask of the condition, or null} */
    INDArray seen() {
        return seen;
    }

    /**
     * Refuses positions that do not fit.
     *
     * @param examples B
     * @param positions S, how many follow
     * @throws IllegalArgumentException if the cache is for another batch size
     * @throws IllegalStateException if the cache is full
     */
    public void requireRoom(long examples, long positions) {
        if (examples != batch) {
            throw new IllegalArgumentException("The key/value cache is for " + batch + " examples, got " + examples
                    + ". Call clear(batch) or make a new cache for another batch size");
        }
        if (length + positions > capacity()) {
            throw new IllegalStateException("The key/value cache holds " + capacity() + " positions, got "
                    + (length + positions) + ". Start the next sequence with an empty cache");
        }
    }

    /**
     * Appends positions.
     *
     * @param newKeys [B, G, S, E], any strides
     * @param newValues [B, G, S, E], any strides
     * @throws IllegalStateException if the cache is full
     */
    void append(INDArray newKeys, INDArray newValues) {
        requireRoom(newKeys.size(0), newKeys.size(2));
        require(true);
        int end = length + (int) newKeys.size(2);
        slice(keys, length, end).assign(newKeys);
        slice(values, length, end).assign(newValues);
        length = end;
    }

    /** {@return the keys so far, [B, G, length, E], a view} */
    INDArray keys() {
        return slice(keys, 0, length);
    }

    /** {@return the values so far, [B, G, length, E], a view} */
    INDArray values() {
        return slice(values, 0, length);
    }

    private INDArray slice(INDArray array, int from, int to) {
        return array.get(
                NDArrayIndex.interval(0, batch),
                NDArrayIndex.all(),
                NDArrayIndex.interval(from, to),
                NDArrayIndex.all());
    }

    /** Gives the memory back now. The cache cannot be used afterwards; closing it again does nothing. */
    @Override
    public void close() {
        if (!keys.wasClosed()) {
            keys.close();
            values.close();
        }
    }
}
