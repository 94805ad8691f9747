package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * Two-dimensional convolutions of images [B, Y, X, C], always in full precision. Weights are [k k in, out] in 'f' order with
 * row (i k + j) in + channel; all other arrays are contiguous and in 'c' order. {@link Kernels} chooses an implementation.
 */
public interface Convolutions {
    /**
     * y[r, c] = b + sum over i, j of x[r s + i - top, c s + j - left] W[i, j], with zeros around the image, which is doubled
     * before if the window says so.
     *
     * @param window which pixels are seen
     * @param x [B, Y, X, in]
     * @param w [k k in, out], 'f' order
     * @param bias [out]
     * @param residual [B, Y', X', out], added; null for none; not y
     * @param scratch for intermediate arrays
     * @param y [B, Y', X', out], written; not x
     */
    void convolution(
            ConvolutionWindow window,
            INDArray x,
            INDArray w,
            INDArray bias,
            INDArray residual,
            Allocator scratch,
            INDArray y);

    /**
     * The gradient of {@link #convolution} with respect to x.
     *
     * @param window which pixels are seen
     * @param dy [B, Y', X', out]
     * @param w [k k in, out], 'f' order
     * @param scratch for intermediate arrays
     * @param dx [B, Y, X, in], written
     */
    void inputGradient(ConvolutionWindow window, INDArray dy, INDArray w, Allocator scratch, INDArray dx);

    /**
     * The gradients of {@link #convolution} with respect to weights and bias.
     *
     * @param window which pixels are seen
     * @param x [B, Y, X, in], the forward input
     * @param dy [B, Y', X', out]
     * @param scratch for intermediate arrays
     * @param dw [k k in, out], 'f' order, written
     * @param dBias [out], written
     */
    void weightGradient(
            ConvolutionWindow window, INDArray x, INDArray dy, Allocator scratch, INDArray dw, INDArray dBias);

    /** {@return the library that computes, for reports} */
    String description();
}
