package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.CustomOp;
import org.nd4j.linalg.api.ops.DynamicCustomOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * {@link Convolutions} in ND4J operations: any backend, any type, and what faster forms are tested against.
 *
 * <p>The pixels that each output pixel sees are gathered side by side into a row, for a band of the output at a time, and
 * the rows are multiplied with the weights. The gradient of the input is computed the same way: each pixel gathers the output
 * pixels that see it. So there is one form for all strides, paddings and doubled images, and no additions that could meet.
 */
public final class Nd4jConvolutions implements Convolutions {
    /** The only instance. */
    public static final Nd4jConvolutions INSTANCE = new Nd4jConvolutions(1 << 22);

    private final long bandLength;

    /**
     * Convolutions for tests.
     *
     * @param bandLength numbers of a band at most, if it has more than one row
     */
    Nd4jConvolutions(long bandLength) {
        this.bandLength = bandLength;
    }

    @Override
    public void convolution(
            ConvolutionWindow window,
            INDArray x,
            INDArray w,
            INDArray bias,
            INDArray residual,
            Allocator scratch,
            INDArray y) {
        Images in = new Images(x);
        Images out = new Images(y);
        INDArray yRows = out.rows();
        if (window.pixelwise()) {
            multiply(in.rows(), w, yRows, 0);
        } else {
            INDArray source = scratch.create(in.pixels() + 1, in.channels);
            Bands bands = new Bands(out, window.taps() * in.channels, scratch);
            for (long b = 0; b < in.batch; b++) {
                withZeroRow(in, b, source);
                for (long from = 0; from < out.pixels(); from += bands.rows) {
                    long to = Math.min(out.pixels(), from + bands.rows);
                    INDArray patches = bands.gather(source, seen(window, in, out, from, to), window.taps());
                    multiply(patches, w, rows(yRows, b * out.pixels() + from, b * out.pixels() + to), 0);
                }
            }
        }
        Nd4j.exec(new BroadcastAddOp(yRows, bias.reshape(bias.length()), yRows, 1));
        if (residual != null) {
            yRows.addi(new Images(residual).rows());
        }
    }

    @Override
    public void inputGradient(ConvolutionWindow window, INDArray dy, INDArray w, Allocator scratch, INDArray dx) {
        Images in = new Images(dx);
        Images out = new Images(dy);
        INDArray dxRows = in.rows();
        if (window.pixelwise()) {
            multiply(out.rows(), w.transpose(), dxRows, 0);
            return;
        }
        long taps = window.taps();
        // [taps in, out] in 'f' order = [out, taps, in] in 'c' order -> [taps, out, in]
        INDArray transposed = scratch.create(taps, out.channels, in.channels);
        transposed.assign(
                w.transpose().reshape('c', out.channels, taps, in.channels).permute(1, 0, 2));
        INDArray fromTaps = transposed.reshape('c', taps * out.channels, in.channels);
        INDArray source = scratch.create(out.pixels() + 1, out.channels);
        Bands bands = new Bands(in, taps * out.channels, scratch);
        for (long b = 0; b < in.batch; b++) {
            withZeroRow(out, b, source);
            for (long from = 0; from < in.pixels(); from += bands.rows) {
                long to = Math.min(in.pixels(), from + bands.rows);
                INDArray band = rows(dxRows, b * in.pixels() + from, b * in.pixels() + to);
                // the pixels of the doubled image that a pixel became
                for (int part = 0; part < window.scale() * window.scale(); part++) {
                    int[] seeing = seeing(window, in, out, from, to, part / window.scale(), part % window.scale());
                    multiply(bands.gather(source, seeing, taps), fromTaps, band, part == 0 ? 0 : 1);
                }
            }
        }
    }

    @Override
    public void weightGradient(
            ConvolutionWindow window, INDArray x, INDArray dy, Allocator scratch, INDArray dw, INDArray dBias) {
        Images in = new Images(x);
        Images out = new Images(dy);
        INDArray dyRows = out.rows();
        Products.linearBiasGradient(dyRows, dBias, 1);
        if (window.pixelwise()) {
            multiply(in.rows().transpose(), dyRows, dw, 0);
            return;
        }
        INDArray source = scratch.create(in.pixels() + 1, in.channels);
        Bands bands = new Bands(out, window.taps() * in.channels, scratch);
        for (long b = 0; b < in.batch; b++) {
            withZeroRow(in, b, source);
            for (long from = 0; from < out.pixels(); from += bands.rows) {
                long to = Math.min(out.pixels(), from + bands.rows);
                INDArray patches = bands.gather(source, seen(window, in, out, from, to), window.taps());
                INDArray gradient = rows(dyRows, b * out.pixels() + from, b * out.pixels() + to);
                multiply(patches.transpose(), gradient, dw, b == 0 && from == 0 ? 0 : 1);
            }
        }
    }

    private static void multiply(INDArray a, INDArray b, INDArray c, double keep) {
        Products.inFull().multiply(a, b, c, 1, keep);
    }

    private static INDArray rows(INDArray matrix, long from, long to) {
        return from == 0 && to == matrix.size(0)
                ? matrix
                : matrix.get(NDArrayIndex.interval(from, to), NDArrayIndex.all());
    }

    /** The pixels of image b, and behind them a pixel of zeros for those outside. */
    private static void withZeroRow(Images images, long b, INDArray source) {
        rows(source, 0, images.pixels()).assign(rows(images.rows(), b * images.pixels(), (b + 1) * images.pixels()));
        rows(source, images.pixels(), images.pixels() + 1).assign(0);
    }

    /** For the output pixels from .. to - 1, the input pixel at each tap; the number of pixels if it is outside. */
    private static int[] seen(ConvolutionWindow window, Images in, Images out, long from, long to) {
        int[] places = new int[Math.toIntExact((to - from) * window.taps())];
        int at = 0;
        for (long pixel = from; pixel < to; pixel++) {
            long top = pixel / out.width * window.stride() - window.top();
            long left = pixel % out.width * window.stride() - window.left();
            for (int i = 0; i < window.side(); i++) {
                for (int j = 0; j < window.side(); j++) {
                    long row = Math.floorDiv(top + i, window.scale());
                    long column = Math.floorDiv(left + j, window.scale());
                    places[at++] = (int) in.place(row, column);
                }
            }
        }
        return places;
    }

    /**
     * For the input pixels from .. to - 1, or with doubled images for one of the four pixels that each becomes, the output
     * pixel that sees it at each tap; the number of output pixels if there is none.
     */
    private static int[] seeing(
            ConvolutionWindow window, Images in, Images out, long from, long to, int down, int across) {
        int[] places = new int[Math.toIntExact((to - from) * window.taps())];
        int stride = window.stride();
        int at = 0;
        for (long pixel = from; pixel < to; pixel++) {
            long row = pixel / in.width * window.scale() + down + window.top();
            long column = pixel % in.width * window.scale() + across + window.left();
            for (int i = 0; i < window.side(); i++) {
                for (int j = 0; j < window.side(); j++) {
                    boolean meets = (row - i) % stride == 0 && (column - j) % stride == 0;
                    places[at++] = (int) (meets ? out.place((row - i) / stride, (column - j) / stride) : out.pixels());
                }
            }
        }
        return places;
    }

    @Override
    public String description() {
        return Products.inFull().description();
    }

    /** The sides of [B, Y, X, C]. */
    private static final class Images {
        private final INDArray array;
        private final long batch;
        private final long height;
        private final long width;
        private final long channels;

        Images(INDArray array) {
            this.array = array;
            batch = array.size(0);
            height = array.size(1);
            width = array.size(2);
            channels = array.size(3);
        }

        long pixels() {
            return height * width;
        }

        /** The number of a pixel, or of the zeros behind the last if it is outside. */
        long place(long row, long column) {
            return row >= 0 && row < height && column >= 0 && column < width ? row * width + column : pixels();
        }

        /** [B Y X, C]. */
        INDArray rows() {
            return array.reshape('c', batch * pixels(), channels);
        }
    }

    /** Memory for the gathered rows of some output pixels, and how many pixels these are. */
    private final class Bands {
        private final long rows;
        private final INDArray memory;

        Bands(Images out, long rowLength, Allocator scratch) {
            rows = Math.max(1, Math.min(out.pixels(), bandLength / rowLength));
            memory = scratch.create(rows, rowLength);
        }

        /** The source's rows at these places, side by side: [places / taps, taps C]. */
        INDArray gather(INDArray source, int[] places, long taps) {
            long length = places.length / taps;
            INDArray band = Nd4jConvolutions.rows(memory, 0, length);
            Nd4j.exec((CustomOp) DynamicCustomOp.builder("gather")
                    .addInputs(source, Nd4j.createFromArray(places))
                    .addIntegerArguments(0)
                    .addOutputs(band.reshape('c', places.length, source.size(1)))
                    .build());
            return band;
        }
    }
}
