package org.npp4j.llamagen.images;

import java.util.Arrays;
import java.util.Random;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Batches of images for a network that is to reproduce them: features and labels are the same array [B, H, W, 3] in [-1, 1].
 * Grey images become colour images of three equal channels.
 *
 * <p>Every epoch has an order of its own, and each image is mirrored or not at random, if that is asked for; both depend on
 * the seed and the epoch alone. What is left over when the batches are full is dropped.
 */
public final class ImageDataSetIterator extends AbstractEpochDataSetIterator<MultiDataSet> {
    private static final long serialVersionUID = 1L;

    private static final int CHANNELS = 3;

    private final transient PixelImages images;
    private final boolean mirror;
    private boolean[] mirrored;

    /**
     * Batches in a shuffled order.
     *
     * @param images at least one batch of them, grey or in colour
     * @param batchSize B, at least 1
     * @param mirror whether half of the images are mirrored from left to right
     * @param seed of the orders and mirrorings
     * @throws IllegalArgumentException if there are fewer images than in a batch, or they have other channels
     */
    public ImageDataSetIterator(PixelImages images, int batchSize, boolean mirror, long seed) {
        super(images.count(), batchSize, false, seed);
        if (images.channels() != 1 && images.channels() != CHANNELS) {
            throw new IllegalArgumentException("Images must be grey or have 3 channels, got " + images);
        }
        this.images = images;
        this.mirror = mirror;
    }

    /** The order of an epoch; says, too, at which places of it the image is mirrored. */
    @Override
    protected int[] order(int epoch) {
        int[] order = super.order(epoch);
        mirrored = new boolean[images.count()];
        if (mirror) {
            // another stream than the order's: it starts from the order itself
            Random random = new Random(Arrays.hashCode(order) ^ seed());
            for (int i = 0; i < mirrored.length; i++) {
                mirrored[i] = random.nextBoolean();
            }
        }
        return order;
    }

    @Override
    protected MultiDataSet batch(int epoch, int first, int[] chosen) {
        int height = images.height();
        int width = images.width();
        float[] values = new float[chosen.length * height * width * CHANNELS];
        int to = 0;
        for (int i = 0; i < chosen.length; i++) {
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < width; x++) {
                    int from = mirrored[first + i] ? width - 1 - x : x;
                    for (int c = 0; c < CHANNELS; c++) {
                        int pixel = images.pixel(chosen[i], images.channels() == 1 ? 0 : c, y, from);
                        values[to++] = PixelImages.toSignedUnit(pixel);
                    }
                }
            }
        }
        INDArray batch = Nd4j.createFromArray(values).reshape('c', chosen.length, height, width, CHANNELS);
        return new MultiDataSet(new INDArray[] {batch}, new INDArray[] {batch});
    }
}
