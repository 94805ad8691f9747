package org.npp4j.llamagen.evaluation;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The Inception score of class probabilities, split by split: the mean over the splits of
 *
 * <p>exp(mean_n sum_c p_nc (log p_nc - log q_c)), q = mean_n p_n.
 *
 * <p>Images come in batches of any size; the last split may be shorter. A probability of 0 adds nothing.
 *
 * <p>Source: Salimans et al., "Improved techniques for training GANs", 2016.
 */
public final class InceptionScore {
    /** Images of a split in published scores. */
    public static final int SPLIT = 5000;

    private static final double SUM_TOLERANCE = 1e-2;

    private final int split;
    private double[] sums;
    private double negativeEntropy;
    private int inSplit;
    private double scores;
    private int splits;
    private long images;

    /**
     * A score of no image yet.
     *
     * @param split images of a split, at least 1
     * @throws IllegalArgumentException if it is below 1
     */
    public InceptionScore(int split) {
        if (split < 1) {
            throw new IllegalArgumentException("A split needs at least 1 image, got " + split);
        }
        this.split = split;
    }

    /**
     * The score of these images.
     *
     * @param probabilities [N, C]
     * @param split images of a split, at least 1
     * @return the score, 1 to C
     * @throws IllegalArgumentException see {@link #add}
     */
    public static double of(INDArray probabilities, int split) {
        InceptionScore score = new InceptionScore(split);
        score.add(probabilities);
        return score.value();
    }

    /**
     * Adds images.
     *
     * @param probabilities [n, C], each row not negative and with the sum 1
     * @throws IllegalArgumentException if they are not so, or have another number of classes than before
     */
    public void add(INDArray probabilities) {
        if (probabilities.rank() != 2 || probabilities.isEmpty()) {
            throw new IllegalArgumentException(
                    "Class probabilities must have the shape [images, classes] with at least one" + " of each, got "
                            + Arrays.toString(probabilities.shape()));
        }
        int classes = (int) probabilities.size(1);
        if (sums == null) {
            sums = new double[classes];
        }
        if (classes != sums.length) {
            throw new IllegalArgumentException(
                    "Images with " + sums.length + " classes were there already, got " + classes);
        }
        double[][] rows = probabilities.castTo(DataType.DOUBLE).toDoubleMatrix();
        for (double[] row : rows) {
            add(row, 1);
        }
    }

    /**
     * Adds an image as often as told.
     *
     * @param row its class probabilities
     * @param repeats how often; the end of a split must not lie between
     */
    void add(double[] row, int repeats) {
        double sum = 0;
        for (int c = 0; c < row.length; c++) {
            if (!(row[c] >= 0)) {
                throw new IllegalArgumentException("Probability " + c + " of image " + images + " is " + row[c]
                        + "; probabilities are at least 0. Give what the softmax gives");
            }
            sum += row[c];
        }
        if (!(Math.abs(sum - 1) <= SUM_TOLERANCE)) {
            throw new IllegalArgumentException("The probabilities of image " + images + " add up to " + sum
                    + ", not to 1. Give what the softmax gives");
        }
        sums = sums == null ? new double[row.length] : sums;
        for (int c = 0; c < row.length; c++) {
            sums[c] += repeats * row[c];
            negativeEntropy += row[c] == 0 ? 0 : repeats * row[c] * Math.log(row[c]);
        }
        images += repeats;
        inSplit += repeats;
        if (inSplit == split) {
            scores += splitScore();
            splits++;
            Arrays.fill(sums, 0);
            negativeEntropy = 0;
            inSplit = 0;
        }
    }

    /** exp(mean_n sum_c p log p - sum_c q log q), which is the same. */
    private double splitScore() {
        double divergence = negativeEntropy / inSplit;
        for (double sum : sums) {
            double q = sum / inSplit;
            divergence -= q == 0 ? 0 : q * Math.log(q);
        }
        return Math.exp(divergence);
    }

    /**
     * The score of all images so far.
     *
     * @return the mean over the splits, 1 to C
     * @throws IllegalStateException if there is no image
     */
    public double value() {
        if (images == 0) {
            throw new IllegalStateException("An Inception score needs at least 1 image");
        }
        return inSplit == 0 ? scores / splits : (scores + splitScore()) / (splits + 1);
    }
}
