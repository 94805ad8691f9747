package org.npp4j.layers.kernel.onednn;

import java.lang.ref.Reference;
import java.util.Map;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.BytePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Loader;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.ConvolutionWindow;
import org.npp4j.layers.kernel.Convolutions;
import org.npp4j.layers.kernel.Nd4jConvolutions;
import org.npp4j.layers.kernel.onednn.ConvolutionPrimitive.Kind;

/** {@link Convolutions} of floats by oneDNN; what it does not take goes to {@link Nd4jConvolutions}. */
public final class OneDnnConvolutions implements Convolutions {
    /** Pixels from which on adding weights up costs less than it saves. */
    private static final int MANY_PIXELS = 512;

    private final Convolutions general = Nd4jConvolutions.INSTANCE;
    private final engine processor;
    private final stream stream;
    private BytePointer buffer = new BytePointer(0L);
    private final Map<ConvolutionPrimitive.Key, ConvolutionPrimitive> primitives = new Recent<>();
    private final Map<EverySecondPixel.Key, EverySecondPixel> copies = new Recent<>();

    /**
     * Loads oneDNN.
     *
     * @throws UnsatisfiedLinkError if its natives are missing
     */
    public OneDnnConvolutions() {
        Loader.load(org.bytedeco.dnnl.global.dnnl.class);
        processor = new engine(engine.kind.cpu, 0);
        stream = new stream(processor);
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
        if (!takes(window, x, y)) {
            general.convolution(window, x, w, bias, residual, scratch, y);
        } else if (!window.upsample()) {
            if (residual != null) {
                y.assign(residual);
            }
            ConvolutionSizes sizes = ConvolutionSizes.of(window, x.shape(), y.shape());
            execute(residual == null ? Kind.FORWARD : Kind.FORWARD_ADD, sizes, x, w, bias, y);
        } else {
            if (addsWeightsUp(window, x, y)) {
                ofDoubled(window, x, w, bias, scratch, y);
            } else {
                convolution(window.withoutUpsampling(), doubled(x, scratch), w, bias, null, scratch, y);
            }
            if (residual != null) {
                y.addi(residual);
            }
        }
    }

    /** Whether it is of floats, and windows reach the end of the images, which oneDNN 2.5.2 takes for granted. */
    private static boolean takes(ConvolutionWindow window, INDArray x, INDArray y) {
        return x.dataType() == DataType.FLOAT
                && reachesEnd(window, x.size(1), window.top(), y.size(1))
                && reachesEnd(window, x.size(2), window.left(), y.size(2));
    }

    private static boolean reachesEnd(ConvolutionWindow window, long size, int before, long outSize) {
        return new ConvolutionSizes.Axis(size * window.scale(), window.side(), window.stride(), before, outSize).after()
                >= 0;
    }

    /** Whether {@link #ofDoubled} takes it, and is faster. The copies of oneDNN want the four pixels of a square to be there. */
    private static boolean addsWeightsUp(ConvolutionWindow window, INDArray x, INDArray y) {
        return window.stride() == 1
                && x.length() / x.size(3) >= MANY_PIXELS
                && y.size(1) % 2 == 0
                && y.size(2) % 2 == 0;
    }

    /**
     * A convolution of doubled images. Each output pixel sees a pixel of the image several times, so that it is one of four
     * smaller convolutions of the image as it is, with sums of the weights: for k = 3, 16 products instead of 36.
     */
    private void ofDoubled(
            ConvolutionWindow window, INDArray x, INDArray w, INDArray bias, Allocator scratch, INDArray y) {
        int side = window.side();
        long[] in = x.shape();
        long[] out = y.shape();
        INDArray phase = scratch.create(out[0], out[1] / 2, out[2] / 2, out[3]);
        for (int down = 0; down < 2; down++) {
            for (int across = 0; across < 2; across++) {
                ConvolutionSizes sizes = new ConvolutionSizes(
                        in[0],
                        in[3],
                        out[3],
                        ConvolutionSizes.Axis.ofPhase(down, in[1], side, window.top(), out[1]),
                        ConvolutionSizes.Axis.ofPhase(across, in[2], side, window.left(), out[2]));
                int taps = sizes.rows().side() * sizes.columns().side();
                INDArray sums = scratch.create(out[3], taps * in[3]);
                PhaseWeights.sum(w, sums, window, down, across, sizes);
                execute(Kind.FORWARD, sizes, x, sums, bias, phase);
                copy(EverySecondPixel.Kind.SPREAD, phase, y, down, across);
            }
        }
    }

    @Override
    public void inputGradient(ConvolutionWindow window, INDArray dy, INDArray w, Allocator scratch, INDArray dx) {
        if (!takes(window, dx, dy)) {
            general.inputGradient(window, dy, w, scratch, dx);
        } else if (!window.upsample()) {
            execute(Kind.INPUT_GRADIENT, ConvolutionSizes.of(window, dx.shape(), dy.shape()), dx, w, null, dy);
        } else {
            INDArray doubled = scratch.create(dx.size(0), 2 * dx.size(1), 2 * dx.size(2), dx.size(3));
            inputGradient(window.withoutUpsampling(), dy, w, scratch, doubled);
            for (int part = 0; part < 4; part++) {
                copy(
                        part == 0 ? EverySecondPixel.Kind.COLLECT : EverySecondPixel.Kind.ADD,
                        dx,
                        doubled,
                        part / 2,
                        part % 2);
            }
        }
    }

    @Override
    public void weightGradient(
            ConvolutionWindow window, INDArray x, INDArray dy, Allocator scratch, INDArray dw, INDArray dBias) {
        if (!takes(window, x, dy)) {
            general.weightGradient(window, x, dy, scratch, dw, dBias);
        } else if (!window.upsample()) {
            execute(Kind.WEIGHT_GRADIENT, ConvolutionSizes.of(window, x.shape(), dy.shape()), x, dw, dBias, dy);
        } else {
            weightGradient(window.withoutUpsampling(), doubled(x, scratch), dy, scratch, dw, dBias);
        }
    }

    /** [B, Y, X, C] -> [B, 2 Y, 2 X, C]. */
    private INDArray doubled(INDArray x, Allocator scratch) {
        INDArray doubled = scratch.create(x.size(0), 2 * x.size(1), 2 * x.size(2), x.size(3));
        for (int part = 0; part < 4; part++) {
            copy(EverySecondPixel.Kind.SPREAD, x, doubled, part / 2, part % 2);
        }
        return doubled;
    }

    private synchronized void copy(EverySecondPixel.Kind kind, INDArray small, INDArray large, int down, int across) {
        EverySecondPixel.Key key = new EverySecondPixel.Key(
                kind, small.size(0), small.size(1), small.size(2), small.size(3), large.size(1), large.size(2));
        copies.computeIfAbsent(key, k -> new EverySecondPixel(k, processor))
                .execute(
                        stream,
                        memory(small),
                        memory(large).getPointer((down * large.size(2) + across) * large.size(3)));
        Reference.reachabilityFence(small);
        Reference.reachabilityFence(large);
    }

    private synchronized void execute(
            Kind kind, ConvolutionSizes sizes, INDArray x, INDArray w, INDArray bias, INDArray y) {
        ConvolutionPrimitive primitive = primitives.computeIfAbsent(
                new ConvolutionPrimitive.Key(kind, sizes), key -> new ConvolutionPrimitive(key, processor));
        if (buffer.capacity() < primitive.orderedBytes()) {
            buffer.deallocate();
            buffer = new BytePointer(primitive.orderedBytes());
        }
        primitive.execute(stream, memory(x), memory(w), buffer, memory(bias), memory(y));
        Reference.reachabilityFence(x);
        Reference.reachabilityFence(w);
        Reference.reachabilityFence(bias);
        Reference.reachabilityFence(y);
    }

    private static FloatPointer memory(INDArray array) {
        return array == null ? null : MatrixLayout.memory(array);
    }

    @Override
    public String description() {
        return OneDnnProducts.version();
    }
}
