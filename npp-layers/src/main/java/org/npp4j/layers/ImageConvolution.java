package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.ImageConvolutionImpl;
import org.npp4j.layers.kernel.ConvolutionWindow;

/**
 * A two-dimensional convolution (cross-correlation) with a bias, of images of any size: y[r, c] = b + sum over i, j of
 * x[r s + i - top, c s + j - left] W[i, j], with stride s, and zeros around the image. No activation function.
 *
 * <ul>
 *   <li>input: [B, Y, X, in], NHWC. With {@link Builder#upsample} each pixel is doubled in both directions before
 *   <li>output: [B, Y', X', out], Y' = (u Y + top + bottom - k) / s + 1 rounded down, u = 2 with upsampling, else 1
 *   <li>parameter {@value #WEIGHT}: [k k in, out] in 'f' order; row (i k + j) in + channel. A PyTorch weight
 *       [out, in, k, k], permuted to [out, k, k, in] (0, 2, 3, 1) and written in row order, has the same bytes; for k = 1
 *       as it is
 *   <li>parameter {@value #BIAS}: [out], initially 0
 * </ul>
 *
 * <p>Always in full precision.
 */
public class ImageConvolution extends ImageLayer {
    /** Key of the weights. */
    public static final String WEIGHT = "W";
    /** Key of the bias. */
    public static final String BIAS = "b";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private ConvolutionWindow window;

    private ImageConvolution() {}

    private ImageConvolution(Builder builder) {
        super(builder);
        int same = builder.kernelSize / 2;
        int[] padding = builder.padding == null ? new int[] {same, same, same, same} : builder.padding;
        window = new ConvolutionWindow(
                builder.kernelSize, builder.stride, padding[0], padding[1], padding[2], padding[3], builder.upsample);
        requireOutput();
        initializeConstraints(builder);
    }

    private void requireOutput() {
        if (nOut < 1) {
            throw new IllegalArgumentException(named() + " needs nOut(channels) of at least 1, got " + nOut);
        }
    }

    /** {@return which pixels each output pixel sees} */
    public ConvolutionWindow getWindow() {
        return window;
    }

    @Override
    void validate() {
        requireChannels();
        requireOutput();
    }

    @Override
    void completeWidths() {}

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        InputType.InputTypeConvolutional image = requireImages(inputType);
        return InputType.convolutional(
                window.outputSize(image.getHeight(), window.top(), window.bottom()),
                window.outputSize(image.getWidth(), window.left(), window.right()),
                nOut,
                CNN2DFormat.NHWC);
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(WEIGHT, LayerParameter.Kind.WEIGHT, window.taps() * nIn, nOut),
                new LayerParameter(BIAS, LayerParameter.Kind.BIAS, nOut));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new ImageConvolutionImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ImageConvolution
                && super.equals(other)
                && window.equals(((ImageConvolution) other).window);
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), window);
    }

    /** Builds an {@link ImageConvolution}; the input's channels come from the input if they are not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int kernelSize;
        private int stride = 1;
        private int[] padding;
        private boolean upsample;

        /**
         * A convolution with stride 1 and a padding of half the kernel, rounded down, on all sides.
         *
         * @param kernelSize k, the side of the square of pixels that each output pixel sees
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder(int kernelSize) {
            if (kernelSize < 1) {
                throw new IllegalArgumentException("The kernel size must be at least 1, got " + kernelSize);
            }
            this.kernelSize = kernelSize;
        }

        /**
         * The step from the square of one output pixel to that of the next.
         *
         * @param stride at least 1
         * @return this
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder stride(int stride) {
            if (stride < 1) {
                throw new IllegalArgumentException("The stride must be at least 1, got " + stride);
            }
            this.stride = stride;
            return this;
        }

        /**
         * Rows and columns of zeros around the (upsampled) image. (0, 0, 1, 1) pads below and on the right only.
         *
         * @param top rows above, from 0 to k - 1
         * @param left columns, as top
         * @param bottom rows below, as top
         * @param right columns, as top
         * @return this
         * @throws IllegalArgumentException if one is out of its range
         */
        public Builder padding(int top, int left, int bottom, int right) {
            for (int side : new int[] {top, left, bottom, right}) {
                if (side < 0 || side >= kernelSize) {
                    throw new IllegalArgumentException("The padding of a kernel of size " + kernelSize
                            + " is from 0 to " + (kernelSize - 1) + " on each side, got top " + top + ", left " + left
                            + ", bottom " + bottom + ", right " + right);
                }
            }
            padding = new int[] {top, left, bottom, right};
            return this;
        }

        /**
         * Whether the image is doubled in both directions before, each pixel becoming a square of four equal ones.
         *
         * @param upsample false by default
         * @return this
         */
        public Builder upsample(boolean upsample) {
            this.upsample = upsample;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new ImageConvolution(this);
        }
    }
}
