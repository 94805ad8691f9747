package org.npp4j.ecar;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.sampling.ImageRandom;

/**
 * Batches of latents with noise and times, as {@link Ecar}'s networks train on them. Order, noise and times depend on the seed,
 * the epoch and the place in it alone: {@link #seek} continues a run.
 */
public final class LatentDataSetIterator extends AbstractLatentDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final EcarConfig config;

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
        super(
                new int[] {config.channels(), config.grid(), config.grid()},
                config.classes(),
                latents,
                classes,
                batchSize,
                keepLastShort,
                seed);
        this.config = config;
    }

    @Override
    protected MultiDataSet batch(int epoch, int first, int[] images) {
        long place = (long) epoch * imagesPerEpoch() + first;
        INDArray batch = Nd4j.createUninitialized(
                dataType(), new long[] {images.length, config.channels(), config.grid(), config.grid()}, 'c');
        int[] ids = new int[images.length];
        double[][] times = new double[images.length][];
        for (int i = 0; i < images.length; i++) {
            batch.slice(i).assign(latent(images[i]));
            ids[i] = classOf(images[i]);
            times[i] = ImageRandom.of(seed(), place + i, "times of training")
                    .doubles(config.stages())
                    .toArray();
        }
        return FlowBatch.of(
                config, batch, ids, StageNoise.of(config, seed(), place, images.length, "noise of training"), times);
    }

    /** A batch is a function of its place: it may be made in a thread of its own while the one before is trained on. */
    @Override
    public boolean asyncSupported() {
        return true;
    }
}
