package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;

/**
 * What a KL autoencoder says of images: a normal distribution of each number of a latent, independent of the others.
 *
 * @param mean [B, D, h, w]
 * @param logVariance [B, D, h, w], -30 to 20
 */
public record LatentDistribution(INDArray mean, INDArray logVariance) {
    /** Log variances below count as this. */
    public static final double LEAST_LOG_VARIANCE = -30;

    /** Log variances above count as this. */
    public static final double LARGEST_LOG_VARIANCE = 20;

    /**
     * Distributions from what an encoder gives.
     *
     * @param moments [B, 2 D, h, w]: means, then log variances of any size
     * @return the distributions, with log variances clamped to {@value #LEAST_LOG_VARIANCE} .. {@value #LARGEST_LOG_VARIANCE}
     * @throws IllegalArgumentException if the array has another shape
     */
    public static LatentDistribution ofMoments(INDArray moments) {
        if (moments.rank() != 4 || moments.size(1) % 2 != 0) {
            throw new IllegalArgumentException("Moments are [images, 2 x latent channels, height, width], got "
                    + Arrays.toString(moments.shape()));
        }
        long d = moments.size(1) / 2;
        INDArray mean =
                moments.get(NDArrayIndex.all(), NDArrayIndex.interval(0, d)).dup('c');
        INDArray logVariance =
                moments.get(NDArrayIndex.all(), NDArrayIndex.interval(d, 2 * d)).dup('c');
        return new LatentDistribution(mean, clamped(logVariance));
    }

    private static INDArray clamped(INDArray values) {
        return Transforms.max(Transforms.min(values, LARGEST_LOG_VARIANCE, false), LEAST_LOG_VARIANCE, false);
    }

    /** {@return the most probable latents: the means} */
    public INDArray mode() {
        return mean;
    }

    /**
     * Latents drawn: mean + exp(log variance / 2) x noise.
     *
     * @param noise of unit normal distribution, [B, D, h, w]
     * @return a new array [B, D, h, w]
     * @throws IllegalArgumentException if the noise has another shape
     */
    public INDArray sample(INDArray noise) {
        if (!Arrays.equals(noise.shape(), mean.shape())) {
            throw new IllegalArgumentException("There must be noise for every number of the latents, "
                    + Arrays.toString(mean.shape()) + ", got " + Arrays.toString(noise.shape()));
        }
        return Transforms.exp(logVariance.mul(0.5), false).muli(noise).addi(mean);
    }

    /**
     * The Kullback-Leibler divergence from unit normal distributions, of each image the sum over its latent's numbers: sum
     * (mean^2 + variance - 1 - log variance) / 2.
     *
     * @return B numbers in nats
     */
    public double[] divergence() {
        INDArray m = mean.castTo(DataType.DOUBLE);
        INDArray l = logVariance.castTo(DataType.DOUBLE);
        return m.mul(m)
                .addi(Transforms.exp(l, true))
                .subi(1)
                .subi(l)
                .muli(0.5)
                .sum(1, 2, 3)
                .toDoubleVector();
    }
}
