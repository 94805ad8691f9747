package org.npp4j.ecar.baseline;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.ecar.AbstractLatentDataSetIterator;
import org.npp4j.ecar.LatentDataSetIterator;
import org.npp4j.llamagen.sampling.ImageRandom;

/**
 * Batches of latents with noise and times, as {@link Dit}'s networks train on them: classes [B, 1], times [B, 1, 1], states (1 -
 * t) noise + t latent as tokens [B, T, P P C]; labels latent - noise [B, T x P P C]. Order, noise and times depend on the seed,
 * the epoch and the place in it alone; images come in the order in which {@link LatentDataSetIterator} gives them
 * with the same seed. A short batch at the end of an epoch is left out.
 */
public final class DitDataSetIterator extends AbstractLatentDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final DitConfig config;

    /**
     * Batches in a shuffled order. The arrays are not copied.
     *
     * @param config the model
     * @param latents [images, C, G, G]
     * @param classes of the images, 0 .. classes - 1
     * @param batchSize B, at least 1, at most the number of images
     * @param seed of order, noise and times
     * @throws IllegalArgumentException if shapes, classes or batch size do not fit
     */
    public DitDataSetIterator(DitConfig config, INDArray latents, int[] classes, int batchSize, long seed) {
        super(
                new int[] {config.channels(), config.grid(), config.grid()},
                config.classes(),
                latents,
                classes,
                batchSize,
                false,
                seed);
        this.config = config;
    }

    @Override
    protected MultiDataSet batch(int epoch, int first, int[] images) {
        long place = (long) epoch * imagesPerEpoch() + first;
        INDArray noise = DitNoise.of(config, seed(), place, images.length, "noise of training");
        INDArray states = noise.dup('c');
        INDArray velocities = noise.neg();
        int[][] ids = new int[images.length][1];
        float[] times = new float[images.length];
        for (int i = 0; i < images.length; i++) {
            INDArray latent = latent(images[i]);
            times[i] = (float)
                    ImageRandom.of(seed(), place + i, "times of training").nextDouble();
            ids[i][0] = classOf(images[i]);
            states.slice(i).muli(1 - times[i]).addi(latent.mul(times[i]));
            velocities.slice(i).addi(latent);
        }
        return new MultiDataSet(
                new INDArray[] {
                    Nd4j.createFromArray(ids),
                    Nd4j.createFromArray(times).reshape('c', images.length, 1, 1),
                    Dit.tokens(config, states)
                },
                new INDArray[] {
                    Dit.tokens(config, velocities)
                            .reshape('c', images.length, (long) config.tokens() * config.tokenWidth())
                });
    }
}
