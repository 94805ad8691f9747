package org.npp4j.llamagen.images;

import java.util.Objects;
import org.nd4j.linalg.dataset.api.MultiDataSet;

/** The same batch at every step, one in each epoch: for runs that are compared with others, or overfit on purpose. */
public final class RepeatedBatch extends AbstractEpochDataSetIterator<MultiDataSet> {
    private static final long serialVersionUID = 1L;

    private final transient MultiDataSet batch;

    /**
     * An iterator over this batch.
     *
     * @param batch features and labels; the very object is given out
     */
    public RepeatedBatch(MultiDataSet batch) {
        super(1, 1, false, 0);
        this.batch = Objects.requireNonNull(batch, "The batch is null");
    }

    @Override
    protected MultiDataSet batch(int epoch, int first, int[] images) {
        return batch;
    }
}
