package org.npp4j.layers.kernel.onednn;

import org.npp4j.layers.kernel.ConvolutionWindow;

/**
 * The sizes of a convolution [batch, height, width, in] -> [batch, outHeight, outWidth, out], without upsampling.
 *
 * @param batch images
 * @param in channels
 * @param out channels
 * @param rows along the height
 * @param columns along the width
 */
record ConvolutionSizes(long batch, long in, long out, Axis rows, Axis columns) {
    /**
     * One direction of the images.
     *
     * @param size of the input
     * @param side of the window
     * @param stride of the window
     * @param before padding
     * @param outSize of the output
     */
    record Axis(long size, int side, int stride, int before, long outSize) {
        /** {@return the padding behind, so much as the last window needs} */
        long after() {
            return (outSize - 1) * stride + side - before - size;
        }

        /**
         * For a doubled image: this axis for every second output, from number {@code phase} on, as a convolution with
         * stride 1 of the image as it is.
         *
         * @param phase 0 or 1
         * @param window of the convolution of the doubled image
         */
        static Axis ofPhase(int phase, long size, int side, int before, long doubledOutSize) {
            int first = Math.floorDiv(phase - before, 2);
            int last = Math.floorDiv(phase - before + side - 1, 2);
            return new Axis(size, last - first + 1, 1, -first, (doubledOutSize - phase + 1) / 2);
        }
    }

    /**
     * Of a window without upsampling.
     *
     * @param in [B, Y, X, in]
     * @param out [B, Y', X', out]
     */
    static ConvolutionSizes of(ConvolutionWindow window, long[] in, long[] out) {
        return new ConvolutionSizes(
                in[0],
                in[3],
                out[3],
                new Axis(in[1], window.side(), window.stride(), window.top(), out[1]),
                new Axis(in[2], window.side(), window.stride(), window.left(), out[2]));
    }
}
