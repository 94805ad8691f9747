package org.npp4j.llamagen.training;

import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;
import org.npp4j.llamagen.images.EpochDataSetIterator;

/** As an iterator that reads files: may be asked in another thread, and may find damage. */
final class SlowData implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final transient EpochDataSetIterator data;
    private final int damaged;
    private int given;

    SlowData(EpochDataSetIterator data, int damaged) {
        this.data = data;
        this.damaged = damaged;
    }

    @Override
    public MultiDataSet next() {
        if (given++ == damaged) {
            throw new IllegalArgumentException("batch " + damaged + " is damaged");
        }
        return data.next();
    }

    @Override
    public boolean asyncSupported() {
        return true;
    }

    @Override
    public int batchesPerEpoch() {
        return data.batchesPerEpoch();
    }

    @Override
    public int getEpoch() {
        return data.getEpoch();
    }

    @Override
    public void seek(int epoch, int batch) {
        data.seek(epoch, batch);
    }

    @Override
    public boolean hasNext() {
        return data.hasNext();
    }

    @Override
    public MultiDataSet next(int images) {
        return data.next(images);
    }

    @Override
    public void reset() {
        data.reset();
    }

    @Override
    public boolean resetSupported() {
        return true;
    }

    @Override
    public void setPreProcessor(MultiDataSetPreProcessor preProcessor) {
        data.setPreProcessor(preProcessor);
    }

    @Override
    public MultiDataSetPreProcessor getPreProcessor() {
        return data.getPreProcessor();
    }
}
