package org.npp4j.llamagen.images;

import java.util.NoSuchElementException;
import java.util.Objects;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;

/** The same batch at every step, one in each epoch: for runs that are compared with others, or overfit on purpose. */
public final class RepeatedBatch implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final transient MultiDataSet batch;
    private int epoch;
    private int position;
    private transient MultiDataSetPreProcessor preProcessor;

    /**
     * An iterator over this batch.
     *
     * @param batch features and labels; the very object is given out
     */
    public RepeatedBatch(MultiDataSet batch) {
        this.batch = Objects.requireNonNull(batch, "The batch is null");
    }

    @Override
    public int batchesPerEpoch() {
        return 1;
    }

    @Override
    public int getEpoch() {
        return epoch;
    }

    @Override
    public void seek(int epoch, int batch) {
        if (epoch < 0 || batch < 0 || batch > 1) {
            throw new IllegalArgumentException("There is no batch " + batch + " of epoch " + epoch
                    + ": epochs are numbered from 0, and each has the batch 0 alone");
        }
        this.epoch = epoch;
        position = batch;
    }

    @Override
    public boolean hasNext() {
        return position == 0;
    }

    @Override
    public MultiDataSet next() {
        if (!hasNext()) {
            throw new NoSuchElementException("Epoch " + epoch + " is over; call reset() for the next one");
        }
        position = 1;
        if (preProcessor != null) {
            preProcessor.preProcess(batch);
        }
        return batch;
    }

    @Override
    public MultiDataSet next(int images) {
        return next();
    }

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
