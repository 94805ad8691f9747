package org.npp4j.ecar;

import java.util.Arrays;
import java.util.NoSuchElementException;
import java.util.SplittableRandom;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.sampling.ImageRandom;

/**
 * Batches of latents with noise and times, as {@link Ecar}'s networks train on them. Order, noise and times depend on the seed,
 * the epoch and the place in it alone: {@link #seek} continues a run.
 */
public final class LatentDataSetIterator implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final EcarConfig config;
    private final INDArray latents;
    private final int[] classes;
    private final int batchSize;
    private final boolean keepLastShort;
    private final long seed;
    private int[] order;
    private int epoch;
    private int position;
    private transient MultiDataSetPreProcessor preProcessor;

    /**
     * Batches to train on, in a shuffled order; a short batch at the end of an epoch is left out. The arrays are not copied.
     *
     * @param config the model
     * @param latents [images, C, G, G]
     * @param classes of the images, 0 .. classes - 1
     * @param batchSize B, at least 1, at most the number of images
     * @param seed of order, noise and times
     * @throws IllegalArgumentException if shapes, classes or batch size do not fit
     */
    public LatentDataSetIterator(EcarConfig config, INDArray latents, int[] classes, int batchSize, long seed) {
        this(config, latents, classes, batchSize, false, seed);
    }

    /**
     * Batches in a shuffled order. The arrays are not copied.
     *
     * @param config the model
     * @param latents [images, C, G, G]
     * @param classes of the images, 0 .. classes - 1
     * @param batchSize B, at least 1; at most the number of images, if a short batch is dropped
     * @param keepLastShort whether an epoch ends with the smaller batch that is left over, as a test needs it, or drops it
     * @param seed of order, noise and times
     * @throws IllegalArgumentException if shapes, classes or batch size do not fit
     */
    public LatentDataSetIterator(
            EcarConfig config, INDArray latents, int[] classes, int batchSize, boolean keepLastShort, long seed) {
        long[] shape = {classes.length, config.channels(), config.grid(), config.grid()};
        if (!Arrays.equals(latents.shape(), shape)) {
            throw new IllegalArgumentException("Latents of " + classes.length + " classes and this model are "
                    + Arrays.toString(shape) + ", got " + Arrays.toString(latents.shape()));
        }
        if (Arrays.stream(classes).anyMatch(id -> id < 0 || id >= config.classes())) {
            throw new IllegalArgumentException(
                    "Classes must be 0 .. " + (config.classes() - 1) + ", but one of the images has another");
        }
        if (batchSize < 1 || !keepLastShort && batchSize > classes.length || classes.length == 0) {
            throw new IllegalArgumentException("Batch size " + batchSize + " is not possible with " + classes.length
                    + " images; use 1 to " + classes.length);
        }
        this.config = config;
        this.latents = latents;
        this.classes = classes;
        this.batchSize = batchSize;
        this.keepLastShort = keepLastShort;
        this.seed = seed;
        setEpoch(0);
    }

    @Override
    public int batchesPerEpoch() {
        return keepLastShort ? (classes.length - 1) / batchSize + 1 : classes.length / batchSize;
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
        this.order = shuffled(epoch);
        this.epoch = epoch;
        this.position = batch * batchSize;
    }

    private int[] shuffled(int ofEpoch) {
        SplittableRandom random = ImageRandom.of(seed, ofEpoch, "order of latents");
        int[] permutation = new int[classes.length];
        for (int i = 0; i < permutation.length; i++) {
            int j = random.nextInt(i + 1);
            permutation[i] = permutation[j];
            permutation[j] = i;
        }
        return permutation;
    }

    @Override
    public boolean hasNext() {
        return position + (keepLastShort ? 0L : batchSize - 1L) < classes.length;
    }

    @Override
    public MultiDataSet next() {
        return next(batchSize);
    }

    @Override
    public MultiDataSet next(int images) {
        if (images < 1) {
            throw new IllegalArgumentException("A batch has at least 1 image, asked for " + images);
        }
        if (!hasNext()) {
            throw new NoSuchElementException("Epoch " + epoch + " is over; call reset() for the next one");
        }
        int count = Math.min(images, classes.length - position);
        long first = (long) epoch * classes.length + position;
        INDArray batch = Nd4j.createUninitialized(
                latents.dataType(), new long[] {count, config.channels(), config.grid(), config.grid()}, 'c');
        int[] ids = new int[count];
        double[][] times = new double[count][];
        for (int i = 0; i < count; i++) {
            int image = order[position + i];
            batch.slice(i).assign(latents.slice(image));
            ids[i] = classes[image];
            times[i] = ImageRandom.of(seed, first + i, "times of training")
                    .doubles(config.stages())
                    .toArray();
        }
        position += count;
        MultiDataSet data =
                FlowBatch.of(config, batch, ids, StageNoise.of(config, seed, first, count, "noise of training"), times);
        if (preProcessor != null) {
            preProcessor.preProcess(data);
        }
        return data;
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

    /** A batch is a function of its place: it may be made in a thread of its own while the one before is trained on. */
    @Override
    public boolean asyncSupported() {
        return true;
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
