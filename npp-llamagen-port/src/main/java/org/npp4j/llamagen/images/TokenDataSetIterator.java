package org.npp4j.llamagen.images;

import java.util.Arrays;
import java.util.NoSuchElementException;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Batches of tokenized images and their classes, in a new order every epoch.
 *
 * <ul>
 *   <li>features: tokens [B, N] and classes [B, 1], INT32
 *   <li>labels: tokens [B, N], INT32, an array of their own
 * </ul>
 *
 * <p>The order of epoch e depends on the seed and e alone, so training that was interrupted continues with the same
 * batches: {@link #seek(int, int)}. The iterator starts at epoch 0; {@link #reset()} goes to the next epoch, except where
 * the present one has not begun.
 *
 * <p>Everything is in memory and a batch is made in no time, so no prefetching thread is wanted ({@link #asyncSupported()}
 * is false). Not safe for several threads.
 */
public final class TokenDataSetIterator implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final int[][] tokens;
    private final int[] classes;
    private final int batchSize;
    private final boolean keepLastShort;
    private final long seed;

    private int[] order;
    private int epoch;
    private int position;
    private transient MultiDataSetPreProcessor preProcessor;

    /**
     * Batches in a shuffled order. The arrays are not copied: they must not be changed afterwards.
     *
     * @param tokens ids [images][N], all rows of one length
     * @param classes the class of each image
     * @param batchSize B, at least 1
     * @param keepLastShort whether an epoch ends with the smaller batch that is left over, or drops it
     * @param seed of the orders
     * @throws IllegalArgumentException if there are no images, the counts or lengths differ, an id or class is negative, or
     *     an epoch would have no batch
     */
    public TokenDataSetIterator(int[][] tokens, int[] classes, int batchSize, boolean keepLastShort, long seed) {
        if (tokens.length != classes.length) {
            throw new IllegalArgumentException(
                    tokens.length + " rows of tokens but " + classes.length + " classes: every image needs one class");
        }
        if (tokens.length == 0 || tokens[0].length == 0) {
            throw new IllegalArgumentException("There are no tokens; at least one image with one token is needed");
        }
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i].length != tokens[0].length) {
                throw new IllegalArgumentException("Row " + i + " has " + tokens[i].length + " tokens, row 0 has "
                        + tokens[0].length + "; all images of one iterator need the same grid");
            }
            if (classes[i] < 0 || Arrays.stream(tokens[i]).min().getAsInt() < 0) {
                throw new IllegalArgumentException(
                        "Row " + i + " has a negative class or token id; both are numbered from 0");
            }
        }
        if (batchSize < 1 || !keepLastShort && batchSize > tokens.length) {
            throw new IllegalArgumentException("Batch size " + batchSize + " is not possible with " + tokens.length
                    + " images; use 1 to " + tokens.length + ", or keep the last short batch");
        }
        this.tokens = tokens;
        this.classes = classes;
        this.batchSize = batchSize;
        this.keepLastShort = keepLastShort;
        this.seed = seed;
        setEpoch(0);
    }

    @Override
    public int batchesPerEpoch() {
        return keepLastShort ? (tokens.length - 1) / batchSize + 1 : tokens.length / batchSize;
    }

    @Override
    public int getEpoch() {
        return epoch;
    }

    @Override
    public void seek(int epoch, int batch) {
        if (epoch < 0 || batch < 0 || batch > batchesPerEpoch()) {
            throw new IllegalArgumentException("There is no batch " + batch + " of epoch " + epoch
                    + ": epochs are numbered from 0, batches from 0 to " + batchesPerEpoch());
        }
        this.order = EpochOrder.shuffled(seed, epoch, tokens.length);
        this.epoch = epoch;
        this.position = batch * batchSize;
    }

    @Override
    public boolean hasNext() {
        return position + (keepLastShort ? 0L : batchSize - 1L) < tokens.length;
    }

    /** The next batch of the present epoch. */
    @Override
    public MultiDataSet next() {
        return next(batchSize);
    }

    /**
     * The next images of the present epoch.
     *
     * @param images how many; fewer come if the epoch ends before
     * @return their tokens and classes
     * @throws IllegalArgumentException if less than one is asked for
     * @throws NoSuchElementException if the epoch is over
     */
    @Override
    public MultiDataSet next(int images) {
        if (images < 1) {
            throw new IllegalArgumentException("A batch has at least 1 image, asked for " + images);
        }
        if (!hasNext()) {
            throw new NoSuchElementException("Epoch " + epoch + " is over; call reset() for the next one");
        }
        int count = Math.min(images, tokens.length - position);
        int[][] ids = new int[count][];
        int[][] classOf = new int[count][1];
        for (int i = 0; i < count; i++) {
            ids[i] = tokens[order[position + i]];
            classOf[i][0] = classes[order[position + i]];
        }
        position += count;
        MultiDataSet batch = new MultiDataSet(
                new INDArray[] {Nd4j.createFromArray(ids), Nd4j.createFromArray(classOf)}, // [B, N], [B, 1]
                new INDArray[] {Nd4j.createFromArray(ids)}); // [B, N]
        if (preProcessor != null) {
            preProcessor.preProcess(batch);
        }
        return batch;
    }

    /** Goes to the start of the next epoch, or stays at the start of the present one if it has not begun. */
    @Override
    public void reset() {
        if (position > 0) {
            setEpoch(epoch + 1);
        }
    }

    @Override
    public boolean resetSupported() {
        return true;
    }

    @Override
    public boolean asyncSupported() {
        return false;
    }

    @Override
    public void setPreProcessor(MultiDataSetPreProcessor preProcessor) {
        this.preProcessor = preProcessor;
    }

    @Override
    public MultiDataSetPreProcessor getPreProcessor() {
        return preProcessor;
    }
}
