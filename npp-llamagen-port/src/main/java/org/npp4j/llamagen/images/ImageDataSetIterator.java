package org.npp4j.llamagen.images;

import java.util.Arrays;
import java.util.NoSuchElementException;
import java.util.Random;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Batches of images for a network that is to reproduce them: features and labels are the same array [B, H, W, 3] in [-1, 1].
 * Grey images become colour images of three equal channels.
 *
 * <p>Every epoch has an order of its own, and each image is mirrored or not at random, if that is asked for; both depend on
 * the seed and the epoch alone. What is left over when the batches are full is dropped.
 */
public final class ImageDataSetIterator implements EpochDataSetIterator {
    private static final long serialVersionUID = 1L;

    private static final int CHANNELS = 3;

    private final transient PixelImages images;
    private final int batchSize;
    private final boolean mirror;
    private final long seed;

    private int[] order;
    private boolean[] mirrored;
    private int epoch;
    private int position;
    private transient MultiDataSetPreProcessor preProcessor;

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
        if (batchSize < 1 || batchSize > images.count()) {
            throw new IllegalArgumentException("Batch size " + batchSize + " is not possible with " + images.count()
                    + " images; use 1 to " + images.count());
        }
        if (images.channels() != 1 && images.channels() != CHANNELS) {
            throw new IllegalArgumentException("Images must be grey or have 3 channels, got " + images);
        }
        this.images = images;
        this.batchSize = batchSize;
        this.mirror = mirror;
        this.seed = seed;
        setEpoch(0);
    }

    @Override
    public int batchesPerEpoch() {
        return images.count() / batchSize;
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
        this.order = EpochOrder.shuffled(seed, epoch, images.count());
        this.mirrored = new boolean[images.count()];
        if (mirror) {
            // another stream than the order's: it starts from the order itself
            Random random = new Random(Arrays.hashCode(order) ^ seed);
            for (int i = 0; i < mirrored.length; i++) {
                mirrored[i] = random.nextBoolean();
            }
        }
        this.epoch = epoch;
        this.position = batch * batchSize;
    }

    @Override
    public boolean hasNext() {
        return position + batchSize - 1L < images.count();
    }

    /** The next batch of the present epoch. */
    @Override
    public MultiDataSet next() {
        return next(batchSize);
    }

    /**
     * The next images of the present epoch.
     *
     * @param count how many; fewer come if the epoch ends before
     * @return the images, as features and labels
     * @throws IllegalArgumentException if less than one is asked for
     * @throws NoSuchElementException if the epoch is over
     */
    @Override
    public MultiDataSet next(int count) {
        if (count < 1) {
            throw new IllegalArgumentException("A batch has at least 1 image, asked for " + count);
        }
        if (!hasNext()) {
            throw new NoSuchElementException("Epoch " + epoch + " is over; call reset() for the next one");
        }
        int taken = Math.min(count, images.count() - position);
        int height = images.height();
        int width = images.width();
        float[] values = new float[taken * height * width * CHANNELS];
        int to = 0;
        for (int i = position; i < position + taken; i++) {
            for (int y = 0; y < height; y++) {
                for (int x = 0; x < width; x++) {
                    int from = mirrored[i] ? width - 1 - x : x;
                    for (int c = 0; c < CHANNELS; c++) {
                        int pixel = images.pixel(order[i], images.channels() == 1 ? 0 : c, y, from);
                        values[to++] = PixelImages.toSignedUnit(pixel);
                    }
                }
            }
        }
        position += taken;
        INDArray batch = Nd4j.createFromArray(values).reshape('c', taken, height, width, CHANNELS);
        MultiDataSet data = new MultiDataSet(new INDArray[] {batch}, new INDArray[] {batch});
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
