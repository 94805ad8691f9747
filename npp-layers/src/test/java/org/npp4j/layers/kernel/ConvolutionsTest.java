package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.kernel.onednn.OneDnnConvolutions;

/** Every implementation and type against plain loops in double. */
class ConvolutionsTest {
    private static final Allocator SCRATCH = shape -> Nd4j.valueArrayOf(shape, Double.NaN, DataType.FLOAT);
    private static final Allocator DOUBLE_SCRATCH = shape -> Nd4j.valueArrayOf(shape, Double.NaN, DataType.DOUBLE);

    /** An implementation, and the type of the arrays it is given. */
    enum Subject {
        ND4J_FLOAT(Nd4jConvolutions.INSTANCE, DataType.FLOAT),
        ND4J_DOUBLE(Nd4jConvolutions.INSTANCE, DataType.DOUBLE),
        ND4J_IN_BANDS(new Nd4jConvolutions(100), DataType.DOUBLE),
        ONEDNN(new OneDnnConvolutions(), DataType.FLOAT);

        final Convolutions convolutions;
        final DataType type;

        Subject(Convolutions convolutions, DataType type) {
            this.convolutions = convolutions;
            this.type = type;
        }

        Allocator scratch() {
            return type == DataType.FLOAT ? SCRATCH : DOUBLE_SCRATCH;
        }

        double tolerance() {
            return type == DataType.FLOAT ? 1e-5 : 1e-12;
        }
    }

    record Sizes(ConvolutionWindow window, int batch, int height, int width, int in, int out) {
        int outHeight() {
            return (int) window.outputHeight(height);
        }

        int outWidth() {
            return (int) window.outputWidth(width);
        }

        /** Every (y pixel, x pixel, tap) that belong together. */
        void forEach(Visitor visitor) {
            for (int r = 0; r < outHeight(); r++) {
                for (int c = 0; c < outWidth(); c++) {
                    for (int i = 0; i < window.side(); i++) {
                        for (int j = 0; j < window.side(); j++) {
                            int row = r * window.stride() + i - window.top();
                            int column = c * window.stride() + j - window.left();
                            if (row >= 0
                                    && column >= 0
                                    && row < height * window.scale()
                                    && column < width * window.scale()) {
                                visitor.visit(
                                        r * outWidth() + c,
                                        row / window.scale() * width + column / window.scale(),
                                        i * window.side() + j);
                            }
                        }
                    }
                }
            }
        }
    }

    private interface Visitor {
        void visit(int outPixel, int inPixel, int tap);
    }

    static List<Sizes> sizes(Random random) {
        ConvolutionWindow down = new ConvolutionWindow(3, 2, 0, 0, 1, 1, false);
        ConvolutionWindow up = new ConvolutionWindow(3, 1, 1, 1, 1, 1, true);
        List<Sizes> sizes = new ArrayList<>(List.of(
                new Sizes(ConvolutionWindow.NEIGHBOURS, 1, 1, 1, 1, 1),
                new Sizes(ConvolutionWindow.NEIGHBOURS, 2, 8, 8, 32, 32),
                new Sizes(ConvolutionWindow.NEIGHBOURS, 1, 5, 7, 3, 16),
                new Sizes(ConvolutionWindow.NEIGHBOURS, 3, 4, 4, 48, 3),
                new Sizes(ConvolutionWindow.PIXEL, 2, 3, 5, 17, 33),
                new Sizes(ConvolutionWindow.PIXEL, 1, 1, 1, 64, 8),
                new Sizes(down, 2, 8, 6, 16, 16),
                new Sizes(down, 1, 7, 9, 5, 40),
                new Sizes(up, 2, 3, 4, 16, 16),
                new Sizes(up, 1, 1, 1, 20, 7)));
        // doubled images of enough pixels that weights are added up first
        for (int side = 1; side <= 5; side++) {
            ConvolutionWindow window = new ConvolutionWindow(
                    side,
                    1,
                    random.nextInt(side),
                    random.nextInt(side),
                    random.nextInt(side),
                    random.nextInt(side),
                    true);
            sizes.add(new Sizes(window, 1, 23 + side, 24, 3 + side, 18));
        }
        sizes.add(new Sizes(up, 3, 12, 15, 16, 5));
        sizes.add(new Sizes(up, 600, 1, 1, 2, 3));
        while (sizes.size() < 50) {
            int side = 1 + random.nextInt(4);
            ConvolutionWindow window = new ConvolutionWindow(
                    side,
                    1 + random.nextInt(3),
                    random.nextInt(side),
                    random.nextInt(side),
                    random.nextInt(side),
                    random.nextInt(side),
                    random.nextInt(3) == 0);
            int height = 1 + random.nextInt(9);
            int width = 1 + random.nextInt(9);
            if (window.scale() * height + window.top() + window.bottom() >= side
                    && window.scale() * width + window.left() + window.right() >= side) {
                sizes.add(new Sizes(
                        window, 1 + random.nextInt(3), height, width, 1 + random.nextInt(40), 1 + random.nextInt(40)));
            }
        }
        return sizes;
    }

    private static double[] random(Random random, long length) {
        return random.doubles(length, -1, 1).toArray();
    }

    private static INDArray array(double[] values, DataType type, long... shape) {
        return Nd4j.createFromArray(values).castTo(type).reshape('c', shape);
    }

    /** [k k in, out] in 'f' order. */
    private static INDArray weight(double[] values, DataType type, Sizes s) {
        return Nd4j.createFromArray(values).castTo(type).reshape('f', (long) s.window.taps() * s.in, s.out);
    }

    private static void assertClose(double[] expected, INDArray actual, double tolerance, Object what) {
        double[] values =
                actual.castTo(DataType.DOUBLE).dup(actual.ordering()).data().asDouble();
        assertEquals(expected.length, values.length);
        double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
        for (int i = 0; i < values.length; i++) {
            assertEquals(expected[i], values[i], tolerance * (1 + largest), what + " at " + i);
        }
    }

    @ParameterizedTest
    @EnumSource
    void matchLoops(Subject subject) {
        Random random = new Random(3);
        for (Sizes s : sizes(random)) {
            check(subject, s, random);
        }
    }

    private static void check(Subject subject, Sizes s, Random random) {
        int inPixels = s.height * s.width;
        int outPixels = s.outHeight() * s.outWidth();
        int taps = s.window.taps();
        double[] x = random(random, (long) s.batch * inPixels * s.in);
        double[] w = random(random, (long) taps * s.in * s.out);
        double[] bias = random(random, s.out);
        double[] residual = random(random, (long) s.batch * outPixels * s.out);
        double[] dy = random(random, (long) s.batch * outPixels * s.out);
        double[] y = new double[dy.length];
        double[] dx = new double[x.length];
        double[] dw = new double[w.length];
        double[] db = new double[s.out];
        for (int b = 0; b < s.batch; b++) {
            int image = b;
            s.forEach((outPixel, inPixel, tap) -> {
                for (int o = 0; o < s.out; o++) {
                    int at = (image * outPixels + outPixel) * s.out + o;
                    for (int i = 0; i < s.in; i++) {
                        int from = (image * inPixels + inPixel) * s.in + i;
                        int weight = (o * taps + tap) * s.in + i;
                        y[at] += x[from] * w[weight];
                        dx[from] += dy[at] * w[weight];
                        dw[weight] += dy[at] * x[from];
                    }
                }
            });
        }
        for (int i = 0; i < y.length; i++) {
            y[i] += bias[i % s.out];
            db[i % s.out] += dy[i];
        }
        DataType type = subject.type;
        INDArray images = array(x, type, s.batch, s.height, s.width, s.in);
        INDArray weight = weight(w, type, s);
        INDArray gradient = array(dy, type, s.batch, s.outHeight(), s.outWidth(), s.out);
        INDArray biases = array(bias, type, s.out);

        INDArray out = subject.scratch().create(gradient.shape());
        subject.convolutions.convolution(s.window, images, weight, biases, null, subject.scratch(), out);
        assertClose(y, out, subject.tolerance(), s);
        out.assign(Double.NaN);
        INDArray added = array(residual, type, gradient.shape());
        subject.convolutions.convolution(s.window, images, weight, biases, added, subject.scratch(), out);
        double[] sums = new double[y.length];
        Arrays.setAll(sums, i -> y[i] + residual[i]);
        assertClose(sums, out, subject.tolerance(), s + " with a residual");
        assertClose(residual, added, 1e-7, s + ": the residual stays");

        INDArray dImages = subject.scratch().create(images.shape());
        subject.convolutions.inputGradient(s.window, gradient, weight, subject.scratch(), dImages);
        assertClose(dx, dImages, subject.tolerance(), s + ", gradient of the input");
        INDArray dWeight = weight(new double[w.length], type, s).assign(Double.NaN);
        INDArray dBias = subject.scratch().create(s.out);
        subject.convolutions.weightGradient(s.window, images, gradient, subject.scratch(), dWeight, dBias);
        assertClose(dw, dWeight, subject.tolerance(), s + ", gradient of the weights");
        assertClose(db, dBias, subject.tolerance(), s + ", gradient of the bias");
    }
}
