package org.npp4j.layers.kernel;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Rotated keys, and values, of the positions that one layer has already seen while a sequence is generated. */
public final class KeyValueCache {
    private final INDArray keys;
    private final INDArray values;
    private INDArray seen;
    private int length;

    /**
     * An empty cache; its arrays live outside workspaces, until the cache is collected.
     *
     * @param dataType of keys and values
     * @param batch B
     * @param keyValueHeads G
     * @param capacity the longest sequence
     * @param headWidth E
     */
    public KeyValueCache(DataType dataType, long batch, int keyValueHeads, int capacity, int headWidth) {
        try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            keys = Nd4j.createUninitialized(dataType, new long[] {batch, keyValueHeads, capacity, headWidth}, 'c');
            values = Nd4j.createUninitialized(dataType, new long[] {batch, keyValueHeads, capacity, headWidth}, 'c');
        }
    }

    /** {@return how many positions it holds} */
    public int length() {
        return length;
    }

    /** {@return the longest sequence it can hold} */
    public int capacity() {
        return (int) keys.size(2);
    }

    /** Forgets every position and what was hidden, so that the arrays serve the next sequence. */
    public void clear() {
        length = 0;
        seen = null;
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
        if (mask != null && (mask.rank() != 2 || mask.size(0) != keys.size(0))) {
            throw new IllegalArgumentException("The mask of the condition is [" + keys.size(0) + ", condition tokens],"
                    + " got " + Arrays.toString(mask.shape()));
        }
        try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            seen = mask == null ? null : mask.dup('c');
        }
    }

    /** {@return the mask of the condition, or null} */
    INDArray seen() {
        return seen;
    }

    /**
     * Refuses positions that do not fit.
     *
     * @param batch B
     * @param positions S, how many follow
     * @throws IllegalArgumentException if the cache is for another batch size
     * @throws IllegalStateException if the cache is full
     */
    public void requireRoom(long batch, long positions) {
        if (batch != keys.size(0)) {
            throw new IllegalArgumentException("The key/value cache is for " + keys.size(0) + " examples, got " + batch
                    + ". Make a new cache for another batch size");
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

    private static INDArray slice(INDArray array, int from, int to) {
        return array.get(NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all());
    }
}
