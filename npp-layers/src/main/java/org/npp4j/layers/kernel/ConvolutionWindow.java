package org.npp4j.layers.kernel;

import java.io.Serializable;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Which pixels each output pixel of a two-dimensional convolution sees.
 *
 * @param side k, the side of the square
 * @param stride the step from one square to the next
 * @param top rows of zeros above the image
 * @param left columns of zeros
 * @param bottom rows of zeros below
 * @param right columns of zeros
 * @param upsample whether each pixel of the image becomes a square of four equal ones before
 */
public record ConvolutionWindow(
        @JsonProperty("side") int side,
        @JsonProperty("stride") int stride,
        @JsonProperty("top") int top,
        @JsonProperty("left") int left,
        @JsonProperty("bottom") int bottom,
        @JsonProperty("right") int right,
        @JsonProperty("upsample") boolean upsample)
        implements Serializable {
    /** A single pixel: the convolution is the same matrix product at each pixel. */
    public static final ConvolutionWindow PIXEL = new ConvolutionWindow(1, 1, 0, 0, 0, 0, false);
    /** The pixel and its eight neighbours. */
    public static final ConvolutionWindow NEIGHBOURS = new ConvolutionWindow(3, 1, 1, 1, 1, 1, false);

    /** {@return how many pixels a square has} */
    public int taps() {
        return side * side;
    }

    /** {@return the factor of the image's sides before: 2 with upsampling, else 1} */
    public int scale() {
        return upsample ? 2 : 1;
    }

    /** {@return the same of an image that has been doubled already} */
    public ConvolutionWindow withoutUpsampling() {
        return new ConvolutionWindow(side, stride, top, left, bottom, right, false);
    }

    /** {@return whether each output pixel sees the one pixel at its own place} */
    public boolean pixelwise() {
        return side == 1 && stride == 1 && !upsample && top == 0 && left == 0 && bottom == 0 && right == 0;
    }

    /**
     * The length of a side of the output.
     *
     * @param size of the input
     * @param before zeros before it
     * @param after zeros behind it
     * @return (scale size + before + after - k) / stride + 1, rounded down
     * @throws IllegalArgumentException if that is below 1
     */
    public long outputSize(long size, int before, int after) {
        long room = scale() * size + before + after - side;
        if (size < 1 || room < 0) {
            throw new IllegalArgumentException("An image of " + size + " pixels" + (upsample ? ", doubled," : "")
                    + " with " + before + " + " + after + " pixels of padding is too small for a kernel of size "
                    + side + ". Give larger images or pad more");
        }
        return room / stride + 1;
    }

    /**
     * {@return the height of the output}
     *
     * @param height of the input
     */
    public long outputHeight(long height) {
        return outputSize(height, top, bottom);
    }

    /**
     * {@return the width of the output}
     *
     * @param width of the input
     */
    public long outputWidth(long width) {
        return outputSize(width, left, right);
    }
}
