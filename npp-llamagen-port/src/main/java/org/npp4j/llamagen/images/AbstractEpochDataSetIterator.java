package org.npp4j.llamagen.images;

import java.util.Arrays;
import java.util.NoSuchElementException;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;

/**
 * The part that all iterators over images share: the order of an epoch, the place in it, the number of batches. A subclass
 * makes the batch of given images: {@link #batch}.
 *
 * <p>An epoch of n images has floor(n / B) batches of B images, and with {@code keepLastShort} one more of those that are left
 * over. The order of epoch e depends on the seed and e alone, so training that was interrupted continues with the same
 * batches: {@link #seek(int, int)}.
 *
 * <p>Methods may be called by any thread. By default no prefetching thread is wanted ({@link #asyncSupported()} is false):
 * that pays only where a batch takes time. A thread that prefetches runs ahead: shut it down before {@link #seek}, and count
 * the batches that were trained on, not those that were read.
 *
 * @param <B> the class of the batches
 */
public abstract class AbstractEpochDataSetIterator<B extends MultiDataSet> implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final int images;
    private final int batchSize;
    private final boolean keepLastShort;
    private final long seed;

    private int[] order;
    private int epoch;
    private int position;
    private transient MultiDataSetPreProcessor preProcessor;

    /**
     * At epoch 0.
     *
     * @param images in an epoch, at least 1
     * @param batchSize B, at least 1; at most the number of images, if the last short batch is dropped
     * @param keepLastShort whether an epoch ends with the smaller batch that is left over, or drops it
     * @param seed of the orders
     * @throws IllegalArgumentException if an epoch would have no batch
     */
    protected AbstractEpochDataSetIterator(int images, int batchSize, boolean keepLastShort, long seed) {
        if (images < 1) {
            throw new IllegalArgumentException("An epoch needs at least 1 image, got " + images);
        }
        if (batchSize < 1 || !keepLastShort && batchSize > images) {
            throw new IllegalArgumentException(
                    "Batch size " + batchSize + " is not possible with " + images + " images; use 1 to " + images);
        }
        this.images = images;
        this.batchSize = batchSize;
        this.keepLastShort = keepLastShort;
        this.seed = seed;
    }

    /**
     * Makes a batch.
     *
     * @param epoch from 0
     * @param first the place of its first image in the order of the epoch, from 0
     * @param images which ones, as {@link #order} numbers them
     * @return features and labels, before the pre-processor
     */
    protected abstract B batch(int epoch, int first, int[] images);

    /**
     * The order of an epoch; asked for when its first batch is.
     *
     * @param epoch from 0
     * @return the images of the epoch; here {@link EpochOrder#shuffled}
     */
    protected int[] order(int epoch) {
        return EpochOrder.shuffled(seed, epoch, images);
    }

    /** {@return the seed of the orders} */
    protected final long seed() {
        return seed;
    }

    /** {@return images in an epoch, those of a dropped short batch among them} */
    public final int imagesPerEpoch() {
        return images;
    }

    @Override
    public final int batchesPerEpoch() {
        return keepLastShort ? (images - 1) / batchSize + 1 : images / batchSize;
    }

    @Override
    public final synchronized int getEpoch() {
        return epoch;
    }

    @Override
    public final synchronized void seek(int epoch, int batch) {
        if (epoch < 0 || batch < 0 || batch > batchesPerEpoch()) {
            throw new IllegalArgumentException("There is no batch " + batch + " of epoch " + epoch
                    + ": epochs are numbered from 0, batches from 0 to " + batchesPerEpoch());
        }
        if (this.epoch != epoch) {
            order = null;
        }
        this.epoch = epoch;
        position = (int) Math.min((long) batch * batchSize, images);
    }

    @Override
    public final synchronized boolean hasNext() {
        return position + (keepLastShort ? 0L : batchSize - 1L) < images;
    }

    /** The next batch of the present epoch. */
    @Override
    public final B next() {
        return next(batchSize);
    }

    /**
     * The next images of the present epoch.
     *
     * @param count how many; fewer come if the epoch ends before
     * @return a batch of them
     * @throws IllegalArgumentException if less than one is asked for
     * @throws NoSuchElementException if the epoch is over
     */
    @Override
    public final synchronized B next(int count) {
        if (count < 1) {
            throw new IllegalArgumentException("A batch has at least 1 image, asked for " + count);
        }
        if (!hasNext()) {
            throw new NoSuchElementException("Epoch " + epoch + " is over; call reset() for the next one");
        }
        if (order == null) {
            order = order(epoch);
        }
        int end = position + Math.min(count, images - position);
        B batch = batch(epoch, position, Arrays.copyOfRange(order, position, end));
        position = end; // after what may fail: a batch that could not be read is asked for again
        if (preProcessor != null) {
            preProcessor.preProcess(batch);
        }
        return batch;
    }

    /** Goes to the start of the next epoch, or stays at the start of the present one if it has not begun. */
    @Override
    public final synchronized void reset() {
        if (position > 0) {
            setEpoch(epoch + 1);
        }
    }

    @Override
    public final boolean resetSupported() {
        return true;
    }

    @Override
    public boolean asyncSupported() {
        return false;
    }

    @Override
    public final void setPreProcessor(MultiDataSetPreProcessor preProcessor) {
        this.preProcessor = preProcessor;
    }

    @Override
    public final MultiDataSetPreProcessor getPreProcessor() {
        return preProcessor;
    }
}
