package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The operations of image autoencoders that are more than a convolution. Arrays are contiguous and in 'c' order; those named
 * d.. are gradients. {@link Kernels} chooses an implementation.
 */
public interface ImageKernel {
    /**
     * y = act((x - mean) * scale * gain + bias), with the mean and scale = 1 / sqrt(variance + epsilon) of each group of C /
     * groups neighbouring channels of an image, over all its pixels; act(z) is z, or z sigmoid(z) with swish.
     *
     * @param x [B, Y, X, C]
     * @param norm the number of groups and what is added to the variance
     * @param gain [C]
     * @param bias [C]
     * @param statistics [B, 2, groups], written: means, then scales
     * @param y [B, Y, X, C], written; may be x itself
     */
    void groupNorm(INDArray x, Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y);

    /**
     * The output of {@link #groupNorm} again, from the statistics that it wrote.
     *
     * @param x [B, Y, X, C]
     * @param norm as in the forward pass
     * @param gain [C]
     * @param bias [C]
     * @param statistics [B, 2, groups], of the forward pass
     * @param y [B, Y, X, C], written; may be x itself
     */
    void normalize(INDArray x, Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y);

    /**
     * The gradients of {@link #groupNorm}, and what reaches x past the norm added to that of x.
     *
     * @param dy [B, Y, X, C]
     * @param x [B, Y, X, C], the forward input
     * @param norm as in the forward pass
     * @param gain [C]
     * @param bias [C]
     * @param statistics [B, 2, groups], of the forward pass
     * @param residual [B, Y, X, C], added to dx; null for none; may be dx itself
     * @param scratch for intermediate arrays
     * @param dGain [C], written
     * @param dBias [C], written
     * @param dx [B, Y, X, C], written; may be dy itself
     */
    void groupNormGradient(
            INDArray dy,
            INDArray x,
            Norm norm,
            INDArray gain,
            INDArray bias,
            INDArray statistics,
            INDArray residual,
            Allocator scratch,
            INDArray dGain,
            INDArray dBias,
            INDArray dx);

    /**
     * What a group norm is besides its parameters.
     *
     * @param groups a divisor of the channels
     * @param epsilon added to the variance
     * @param swish whether z sigmoid(z) follows
     */
    record Norm(int groups, double epsilon, boolean swish) {}

    /**
     * y = softmax(q k^T / sqrt(C)) v, for each image. Scores exist for some of the queries at a time.
     *
     * @param q [B, N, C]
     * @param k [B, N, C]
     * @param v [B, N, C]
     * @param scratch for intermediate arrays
     * @param y [B, N, C], written
     */
    void attention(INDArray q, INDArray k, INDArray v, Allocator scratch, INDArray y);

    /**
     * The gradients of {@link #attention}.
     *
     * @param dy [B, N, C]
     * @param q [B, N, C]
     * @param k [B, N, C]
     * @param v [B, N, C]
     * @param scratch for intermediate arrays
     * @param dq [B, N, C], written
     * @param dk [B, N, C], written
     * @param dv [B, N, C], written
     */
    void attentionGradient(
            INDArray dy, INDArray q, INDArray k, INDArray v, Allocator scratch, INDArray dq, INDArray dk, INDArray dv);
}
