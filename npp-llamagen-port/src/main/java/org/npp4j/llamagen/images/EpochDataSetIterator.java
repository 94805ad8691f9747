package org.npp4j.llamagen.images;

import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;

/**
 * Batches whose order within an epoch depends on a seed and the epoch alone, so that training can go on at any batch.
 *
 * <p>It starts at epoch 0; {@link #reset()} goes to the start of the next epoch, except where the present one has not begun.
 */
public interface EpochDataSetIterator extends MultiDataSetIterator {
    /** {@return batches in an epoch} */
    int batchesPerEpoch();

    /** {@return the present epoch, from 0} */
    int getEpoch();

    /**
     * Goes to the start of an epoch.
     *
     * @param epoch from 0
     * @throws IllegalArgumentException if it is negative
     */
    default void setEpoch(int epoch) {
        seek(epoch, 0);
    }

    /**
     * Goes to a batch of an epoch, to continue training in its middle.
     *
     * @param epoch from 0
     * @param batch the batch that comes next, 0 to {@link #batchesPerEpoch()}
     * @throws IllegalArgumentException if there is no such epoch or batch
     */
    void seek(int epoch, int batch);
}
