package org.npp4j.ecar;

import java.util.Arrays;
import java.util.SplittableRandom;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.npp4j.llamagen.images.AbstractEpochDataSetIterator;
import org.npp4j.llamagen.sampling.ImageRandom;

/** Batches of latents and their classes: iterators of one seed give their images in the same order, whatever they add. */
public abstract class AbstractLatentDataSetIterator extends AbstractEpochDataSetIterator<MultiDataSet> {
    private static final long serialVersionUID = 1L;

    private final INDArray latents;
    private final int[] classes;

    /**
     * Batches in a shuffled order. The arrays are not copied.
     *
     * @param shape [C, G, G], what the model takes
     * @param classCount classes of the model
     * @param latents [images, C, G, G]
     * @param classes of the images, 0 .. classCount - 1
     * @param batchSize B, at least 1; at most the number of images, if a short batch is dropped
     * @param keepLastShort whether an epoch ends with the smaller batch that is left over, or drops it
     * @param seed of the orders
     * @throws IllegalArgumentException if shapes, classes or batch size do not fit
     */
    protected AbstractLatentDataSetIterator(
            int[] shape,
            int classCount,
            INDArray latents,
            int[] classes,
            int batchSize,
            boolean keepLastShort,
            long seed) {
        super(imagesOf(shape, classCount, latents, classes), batchSize, keepLastShort, seed);
        this.latents = latents;
        this.classes = classes;
    }

    private static int imagesOf(int[] shape, int classCount, INDArray latents, int[] classes) {
        long[] all = {classes.length, shape[0], shape[1], shape[2]};
        if (!Arrays.equals(latents.shape(), all)) {
            throw new IllegalArgumentException("Latents of " + classes.length + " classes and this model are "
                    + Arrays.toString(all) + ", got " + Arrays.toString(latents.shape()));
        }
        if (Arrays.stream(classes).anyMatch(id -> id < 0 || id >= classCount)) {
            throw new IllegalArgumentException(
                    "Classes must be 0 .. " + (classCount - 1) + ", but one of the images has another");
        }
        return classes.length;
    }

    /** {@return the type of the latents} */
    protected final DataType dataType() {
        return latents.dataType();
    }

    /**
     * The latent of an image.
     *
     * @param image from 0
     * @return [C, G, G], a view
     */
    protected final INDArray latent(int image) {
        return latents.slice(image);
    }

    /**
     * The class of an image.
     *
     * @param image from 0
     * @return from 0
     */
    protected final int classOf(int image) {
        return classes[image];
    }

    @Override
    protected final int[] order(int epoch) {
        SplittableRandom random = ImageRandom.of(seed(), epoch, "order of latents");
        int[] permutation = new int[imagesPerEpoch()];
        for (int i = 0; i < permutation.length; i++) {
            int j = random.nextInt(i + 1);
            permutation[i] = permutation[j];
            permutation[j] = i;
        }
        return permutation;
    }
}
