package org.npp4j.llamagen.images;

import java.util.Arrays;

/**
 * Resizes 8-bit images as Pillow's {@code Image.resize} does, to the pixel.
 *
 * <p>An output pixel is a weighted mean of the input pixels around its centre, first along rows, then along columns; each of
 * the two passes rounds to 8 bits. With the scale s = input size / output size, t = max(s, 1) and the support r of the filter
 * f, output pixel i has its centre at c = (i + 1/2) s and is made of the input pixels j from floor(c - r t + 1/2) to
 * floor(c + r t + 1/2) - 1 that exist, with weights f((j + 1/2 - c) / t). These are divided by their sum, then rounded to
 * multiples of 2^-22; their products with the pixels are summed in integers.
 *
 * <p>Source: the arithmetic of Pillow's resampling of 8-bit images, unchanged since Pillow 3.
 */
public enum PillowResampling {
    /** The mean over the area: f(x) = 1 for -1/2 &lt; x &lt;= 1/2, else 0; r = 1/2. */
    BOX(0.5) {
        @Override
        double weight(double x) {
            return x > -0.5 && x <= 0.5 ? 1 : 0;
        }
    },
    /**
     * Cubic convolution with a = -1/2: f(x) = (a+2)|x|^3 - (a+3)|x|^2 + 1 up to 1, a|x|^3 - 5a|x|^2 + 8a|x| - 4a up to 2;
     * r = 2.
     */
    BICUBIC(2) {
        @Override
        double weight(double x) {
            double d = Math.abs(x);
            if (d < 1) {
                return ((A + 2) * d - (A + 3)) * d * d + 1;
            }
            return d < 2 ? (((d - 5) * d + 8) * d - 4) * A : 0;
        }
    };

    private static final double A = -0.5;
    /** Bits of a weight behind the point: 32 less those of a pixel and two for sums outside 0 to 255. */
    private static final int PRECISION = 32 - 8 - 2;

    private static final int HALF = 1 << PRECISION - 1;

    private final double support;

    PillowResampling(double support) {
        this.support = support;
    }

    abstract double weight(double x);

    /**
     * Resizes images.
     *
     * @param images [B, C, H, W]
     * @param height rows of the result, at least 1
     * @param width columns of the result, at least 1
     * @return [B, C, height, width]
     * @throws IllegalArgumentException if a side is below 1
     */
    public PixelImages resize(PixelImages images, int height, int width) {
        return resize(images, height, width, 0, 0, height, width);
    }

    /**
     * A window of resized images. What lies outside it is not computed.
     *
     * @param images [B, C, H, W]
     * @param height rows of the whole result, at least 1
     * @param width columns of the whole result, at least 1
     * @param top first row of the window
     * @param left first column of the window
     * @param rows of the window, at least 1
     * @param columns of the window, at least 1
     * @return [B, C, rows, columns]: that part of what {@link #resize(PixelImages, int, int)} gives
     * @throws IllegalArgumentException if a side is below 1 or the window is not within the result
     */
    public PixelImages resize(PixelImages images, int height, int width, int top, int left, int rows, int columns) {
        if (height < 1 || width < 1) {
            throw new IllegalArgumentException(
                    "Cannot resize to " + height + " x " + width + " (height x width): both must be at least 1");
        }
        if (top < 0 || left < 0 || rows < 1 || columns < 1 || rows > height - top || columns > width - left) {
            throw new IllegalArgumentException("A window of " + rows + " x " + columns + " pixels at row " + top
                    + ", column " + left + " is not within " + height + " x " + width + " (height x width)");
        }
        int planes = images.count() * images.channels();
        long length = (long) rows * columns * planes;
        if (rows > Integer.MAX_VALUE / columns || length > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("Resized to " + rows + " x " + columns + " pixels (height x width), "
                    + images + " take more than 2^31 - 1 bytes; choose a smaller size");
        }
        Taps horizontal = new Taps(this, images.width(), width, left, columns);
        Taps vertical = new Taps(this, images.height(), height, top, rows);
        int firstRow = vertical.first[0];
        int inputRows = vertical.end() - firstRow;

        byte[] in = images.array();
        byte[] out = new byte[(int) length];
        byte[] narrow = new byte[Math.multiplyExact(inputRows, columns)];
        int[] sums = new int[columns];
        for (int plane = 0; plane < planes; plane++) {
            // [inputRows, W] -> [inputRows, columns]
            int start = (plane * images.height() + firstRow) * images.width();
            for (int y = 0; y < inputRows; y++) {
                alongRow(horizontal, in, start + y * images.width(), narrow, y * columns);
            }
            // [inputRows, columns] -> [rows, columns]
            for (int y = 0; y < rows; y++) {
                alongColumns(vertical, y, firstRow, narrow, sums, out, (plane * rows + y) * columns);
            }
        }
        return new PixelImages(images.count(), images.channels(), rows, columns, out);
    }

    private static void alongRow(Taps taps, byte[] in, int inStart, byte[] out, int outStart) {
        for (int x = 0; x < taps.first.length; x++) {
            int sum = HALF;
            int from = inStart + taps.first[x];
            int weights = x * taps.most;
            for (int k = 0; k < taps.count[x]; k++) {
                sum += (in[from + k] & 0xff) * taps.weights[weights + k];
            }
            out[outStart + x] = pixel(sum);
        }
    }

    /** Whole rows at a time, which the JIT compiles to vectors. */
    private static void alongColumns(Taps taps, int y, int firstRow, byte[] in, int[] sums, byte[] out, int outStart) {
        Arrays.fill(sums, HALF);
        for (int k = 0; k < taps.count[y]; k++) {
            int weight = taps.weights[y * taps.most + k];
            int from = (taps.first[y] - firstRow + k) * sums.length;
            for (int x = 0; x < sums.length; x++) {
                sums[x] += (in[from + x] & 0xff) * weight;
            }
        }
        for (int x = 0; x < sums.length; x++) {
            out[outStart + x] = pixel(sums[x]);
        }
    }

    private static byte pixel(int sum) {
        return (byte) Math.max(0, Math.min(255, sum >> PRECISION));
    }

    /** Which input pixels make which output pixel along one axis, and their weights. */
    private static final class Taps {
        /** First input pixel of each output pixel. */
        final int[] first;
        /** Input pixels of each output pixel. */
        final int[] count;
        /** Row length of the weights. */
        final int most;
        /** [output pixels, most] in multiples of 2^-22. */
        final int[] weights;

        Taps(PillowResampling filter, int inSize, int outSize, int from, int length) {
            double scale = (double) inSize / outSize;
            double stretch = Math.max(scale, 1);
            double support = filter.support * stretch;
            double shrink = 1 / stretch;
            first = new int[length];
            count = new int[length];
            most = (int) Math.min(inSize, (long) Math.ceil(support) * 2 + 1);
            weights = new int[Math.multiplyExact(length, most)];
            double[] exact = new double[most];
            for (int i = 0; i < length; i++) {
                double centre = (from + i + 0.5) * scale;
                first[i] = Math.max(0, (int) (centre - support + 0.5));
                count[i] = Math.min(inSize, (int) (centre + support + 0.5)) - first[i];
                double sum = 0;
                for (int k = 0; k < count[i]; k++) {
                    exact[k] = filter.weight((k + first[i] - centre + 0.5) * shrink);
                    sum += exact[k];
                }
                for (int k = 0; k < count[i]; k++) {
                    double weight = (sum == 0 ? exact[k] : exact[k] / sum) * (1 << PRECISION);
                    weights[i * most + k] = (int) (weight < 0 ? weight - 0.5 : weight + 0.5);
                }
            }
        }

        /** {@return the input pixel after the last that is used} */
        int end() {
            int last = first.length - 1;
            return first[last] + count[last];
        }
    }
}
