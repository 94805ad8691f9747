package org.npp4j.ecar.baseline;

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
 * Batches of latents with noise and times, as {@link Dit}'s networks train on them: classes [B, 1], times [B, 1, 1], states (1 -
 * t) noise + t latent as tokens [B, T, P P C]; labels latent - noise [B, T x P P C]. Order, noise and times depend on the seed,
 * the epoch and the place in it alone; images come in the order in which {@link org.npp4j.ecar.LatentDataSetIterator} gives them
 * with the same seed. A short batch at the end of an epoch is left out.
 */
public final class DitDataSetIterator implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private final DitConfig config;
    private final INDArray latents;
    private final int[] classes;
    private final int batchSize;
    private final long seed;
    private int[] order;
    private int epoch;
    private int position;
    private transient MultiDataSetPreProcessor preProcessor;

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
        long[] shape = {classes.length, config.channels(), config.grid(), config.grid()};
        if (!Arrays.equals(latents.shape(), shape)) {
            throw new IllegalArgumentException("Latents of " + classes.length + " classes and this model are "
                    + Arrays.toString(shape) + ", got " + Arrays.toString(latents.shape()));
        }
        if (Arrays.stream(classes).anyMatch(id -> id < 0 || id >= config.classes())) {
            throw new IllegalArgumentException(
                    "Classes must be 0 .. " + (config.classes() - 1) + ", but one of the images has another");
        }
        if (batchSize < 1 || batchSize > classes.length) {
            throw new IllegalArgumentException("Batch size " + batchSize + " is not possible with " + classes.length
                    + " images; use 1 to " + classes.length);
        }
        this.config = config;
        this.latents = latents;
        this.classes = classes;
        this.batchSize = batchSize;
        this.seed = seed;
        setEpoch(0);
    }

    @Override
    public int batchesPerEpoch() {
        return classes.length / batchSize;
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
        SplittableRandom random = ImageRandom.of(seed, epoch, "order of latents");
        order = new int[classes.length];
        for (int i = 0; i < order.length; i++) {
            int j = random.nextInt(i + 1);
            order[i] = order[j];
            order[j] = i;
        }
        this.epoch = epoch;
        this.position = batch * batchSize;
    }

    @Override
    public boolean hasNext() {
        return position + batchSize <= classes.length;
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
        INDArray noise = DitNoise.of(config, seed, first, count, "noise of training");
        INDArray states = noise.dup('c');
        INDArray velocities = noise.neg();
        int[][] ids = new int[count][1];
        float[] times = new float[count];
        for (int i = 0; i < count; i++) {
            int image = order[position + i];
            INDArray latent = latents.slice(image);
            times[i] =
                    (float) ImageRandom.of(seed, first + i, "times of training").nextDouble();
            ids[i][0] = classes[image];
            states.slice(i).muli(1 - times[i]).addi(latent.mul(times[i]));
            velocities.slice(i).addi(latent);
        }
        position += count;
        MultiDataSet data = new MultiDataSet(
                new INDArray[] {
                    Nd4j.createFromArray(ids),
                    Nd4j.createFromArray(times).reshape('c', count, 1, 1),
                    Dit.tokens(config, states)
                },
                new INDArray[] {
                    Dit.tokens(config, velocities).reshape('c', count, (long) config.tokens() * config.tokenWidth())
                });
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
