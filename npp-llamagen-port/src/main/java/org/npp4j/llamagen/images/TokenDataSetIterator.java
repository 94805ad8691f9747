package org.npp4j.llamagen.images;

import java.util.Arrays;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Batches of tokenized images and their classes, in a new order every epoch.
 *
 * <ul>
 *   <li>features: tokens [B, N] and classes [B, 1], INT32
 *   <li>labels: tokens [B, N], INT32, an array of their own
 * </ul>
 *
 * <p>Everything is in memory and a batch is made in no time, so no prefetching thread is wanted.
 */
public final class TokenDataSetIterator extends AbstractEpochDataSetIterator<MultiDataSet> {
    private static final long serialVersionUID = 1L;

    private final int[][] tokens;
    private final int[] classes;

    /**
     * Batches in a shuffled order. The arrays are not copied: they must not be changed afterwards.
     *
     * @param tokens ids [images][N], all rows of one length
     * @param classes the class of each image
     * @param batchSize B, at least 1
     * @param keepLastShort whether an epoch ends with the smaller batch that is left over, or drops it
     * @param seed of the orders
     * @throws IllegalArgumentException if there are no images, the counts or lengths differ, an id or class is negative, or
     *     an epoch would have no batch
     */
    public TokenDataSetIterator(int[][] tokens, int[] classes, int batchSize, boolean keepLastShort, long seed) {
        super(imagesOf(tokens, classes), batchSize, keepLastShort, seed);
        this.tokens = tokens;
        this.classes = classes;
    }

    private static int imagesOf(int[][] tokens, int[] classes) {
        if (tokens.length != classes.length) {
            throw new IllegalArgumentException(
                    tokens.length + " rows of tokens but " + classes.length + " classes: every image needs one class");
        }
        if (tokens.length == 0 || tokens[0].length == 0) {
            throw new IllegalArgumentException("There are no tokens; at least one image with one token is needed");
        }
        for (int i = 0; i < tokens.length; i++) {
            if (tokens[i].length != tokens[0].length) {
                throw new IllegalArgumentException("Row " + i + " has " + tokens[i].length + " tokens, row 0 has "
                        + tokens[0].length + "; all images of one iterator need the same grid");
            }
            if (classes[i] < 0 || Arrays.stream(tokens[i]).min().getAsInt() < 0) {
                throw new IllegalArgumentException(
                        "Row " + i + " has a negative class or token id; both are numbered from 0");
            }
        }
        return tokens.length;
    }

    @Override
    protected MultiDataSet batch(int epoch, int first, int[] images) {
        int[][] ids = new int[images.length][];
        int[][] classOf = new int[images.length][1];
        for (int i = 0; i < images.length; i++) {
            ids[i] = tokens[images[i]];
            classOf[i][0] = classes[images[i]];
        }
        return new MultiDataSet(
                new INDArray[] {Nd4j.createFromArray(ids), Nd4j.createFromArray(classOf)}, // [B, N], [B, 1]
                new INDArray[] {Nd4j.createFromArray(ids)}); // [B, N]
    }
}
