package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.kernel.ImageKernel.Norm;
import org.npp4j.layers.kernel.vector.VectorImageKernel;

/** Every implementation and type against plain loops in double. */
class ImageKernelTest {

    /** An implementation, and the type of the arrays it is given. */
    enum Subject {
        ND4J_FLOAT(Nd4jImageKernel.INSTANCE, DataType.FLOAT),
        ND4J_DOUBLE(Nd4jImageKernel.INSTANCE, DataType.DOUBLE),
        ND4J_FEW_QUERIES(new Nd4jImageKernel(4), DataType.DOUBLE),
        VECTOR_FLOAT(new VectorImageKernel(), DataType.FLOAT),
        VECTOR_DOUBLE(new VectorImageKernel(), DataType.DOUBLE);

        final ImageKernel kernel;
        final DataType type;

        Subject(ImageKernel kernel, DataType type) {
            this.kernel = kernel;
            this.type = type;
        }

        double tolerance() {
            return type == DataType.FLOAT ? 2e-5 : 1e-10;
        }

        INDArray array(double[] values, long... shape) {
            return Nd4j.createFromArray(values).castTo(type).reshape(shape);
        }

        INDArray empty(long... shape) {
            return Nd4j.valueArrayOf(shape, Double.NaN, type);
        }
    }

    /** batch, height, width, channels, groups. */
    private static final int[][] SIZES = {
        {1, 1, 1, 1, 1},
        {2, 1, 1, 4, 2},
        {1, 1, 1, 6, 6},
        {1, 3, 5, 3, 1},
        {2, 4, 3, 32, 32},
        {3, 7, 5, 48, 16},
        {1, 2, 2, 1500, 3},
        {2, 33, 35, 64, 32},
        {1, 20, 11, 17, 1},
        {1, 80, 30, 33, 11}
    };

    private static double[] random(Random random, long length, double mean) {
        return random.doubles(length).map(v -> 2 * v - 1 + mean).toArray();
    }

    private static double[] doubles(INDArray array) {
        return array.castTo(DataType.DOUBLE).dup('c').data().asDouble();
    }

    private static void assertClose(double[] expected, INDArray actual, double tolerance, String what) {
        double[] values = doubles(actual);
        assertEquals(expected.length, values.length, what);
        double typical = Math.sqrt(Arrays.stream(expected).map(e -> e * e).sum() / expected.length);
        for (int i = 0; i < values.length; i++) {
            double allowed = tolerance * (1e-2 + typical + Math.abs(expected[i]));
            assertTrue(
                    Math.abs(expected[i] - values[i]) <= allowed,
                    what + " at " + i + ": expected " + expected[i] + ", got " + values[i]);
        }
    }

    private static double sigmoid(double z) {
        return 1 / (1 + Math.exp(-z));
    }

    /** One norm in plain loops. */
    private static final class Naive {
        final double[] unit;
        final double[] y;
        final double[] statistics;
        final double[] dx;
        final double[] dGain;
        final double[] dBias;

        Naive(int[] size, Norm norm, double[] x, double[] gain, double[] bias, double[] dy, double[] residual) {
            int channels = size[3];
            int pixels = size[1] * size[2];
            int each = channels / norm.groups();
            unit = new double[x.length];
            y = new double[x.length];
            dx = new double[x.length];
            statistics = new double[size[0] * 2 * norm.groups()];
            dGain = new double[channels];
            dBias = new double[channels];
            double numbers = (double) pixels * each;
            for (int b = 0; b < size[0]; b++) {
                for (int g = 0; g < norm.groups(); g++) {
                    int[] places = places(b, g, pixels, channels, each);
                    double mean = 0;
                    for (int i : places) {
                        mean += x[i] / numbers;
                    }
                    double variance = 0;
                    for (int i : places) {
                        variance += (x[i] - mean) * (x[i] - mean) / numbers;
                    }
                    double scale = 1 / Math.sqrt(variance + norm.epsilon());
                    statistics[b * 2 * norm.groups() + g] = mean;
                    statistics[(b * 2 + 1) * norm.groups() + g] = scale;
                    double[] dz = new double[places.length];
                    double sum = 0;
                    double product = 0;
                    for (int p = 0; p < places.length; p++) {
                        int i = places[p];
                        int c = i % channels;
                        unit[i] = (x[i] - mean) * scale;
                        double z = unit[i] * gain[c] + bias[c];
                        double s = sigmoid(z);
                        y[i] = norm.swish() ? z * s : z;
                        dz[p] = norm.swish() ? dy[i] * (s + z * s * (1 - s)) : dy[i];
                        dGain[c] += dz[p] * unit[i];
                        dBias[c] += dz[p];
                        sum += dz[p] * gain[c];
                        product += dz[p] * gain[c] * unit[i];
                    }
                    for (int p = 0; p < places.length; p++) {
                        int i = places[p];
                        dx[i] = scale * (dz[p] * gain[i % channels] - sum / numbers - unit[i] * product / numbers)
                                + residual[i];
                    }
                }
            }
        }

        private static int[] places(int b, int g, int pixels, int channels, int each) {
            int[] places = new int[pixels * each];
            for (int p = 0; p < places.length; p++) {
                places[p] = (b * pixels + p / each) * channels + g * each + p % each;
            }
            return places;
        }
    }

    @ParameterizedTest
    @EnumSource
    void groupNorm(Subject subject) {
        Random random = new Random(4);
        for (int[] size : SIZES) {
            for (boolean swish : new boolean[] {false, true}) {
                // an epsilon that keeps the error of a variance of 0 from growing
                Norm norm = new Norm(size[4], 1e-2, swish);
                long[] shape = {size[0], size[1], size[2], size[3]};
                int length = size[0] * size[1] * size[2] * size[3];
                double[] x = random(random, length, 0.3);
                double[] gain = random(random, size[3], 0.5);
                double[] bias = random(random, size[3], 0);
                double[] dy = random(random, length, 0.1);
                double[] residual = random(random, length, 0);
                double[] zeros = new double[length];
                Naive expected = new Naive(size, norm, x, gain, bias, dy, zeros);
                Naive added = new Naive(size, norm, x, gain, bias, dy, residual);
                String what = Arrays.toString(size) + (swish ? " with swish" : "");
                double tolerance = subject.tolerance();

                INDArray images = subject.array(x, shape);
                INDArray gains = subject.array(gain, size[3]);
                INDArray biases = subject.array(bias, size[3]);
                INDArray statistics = subject.empty(size[0], 2, size[4]);
                INDArray y = subject.empty(shape);
                subject.kernel.groupNorm(images, norm, gains, biases, statistics, y);
                assertClose(expected.y, y, tolerance, what);
                assertClose(expected.statistics, statistics, tolerance, what + ", statistics");
                assertClose(x, images, 1e-7, what + ": the input stays");
                y.assign(Double.NaN);
                subject.kernel.normalize(images, norm, gains, biases, statistics, y);
                assertClose(expected.y, y, tolerance, what + ", again");
                INDArray inPlace = images.dup('c');
                subject.kernel.groupNorm(inPlace, norm, gains, biases, subject.empty(size[0], 2, size[4]), inPlace);
                assertClose(expected.y, inPlace, tolerance, what + ", in place");

                INDArray gradient = subject.array(dy, shape);
                INDArray dGain = subject.empty(size[3]);
                INDArray dBias = subject.empty(size[3]);
                INDArray dx = subject.empty(shape);
                gradient(subject, gradient, images, norm, gains, biases, statistics, null, dGain, dBias, dx);
                double larger = 5 * tolerance;
                assertClose(expected.dx, dx, larger, what + ", gradient");
                assertClose(expected.dGain, dGain, larger, what + ", gradient of the gain");
                assertClose(expected.dBias, dBias, larger, what + ", gradient of the bias");
                assertClose(dy, gradient, 1e-7, what + ": the gradient stays");
                dx.assign(Double.NaN);
                INDArray past = subject.array(residual, shape);
                gradient(subject, gradient, images, norm, gains, biases, statistics, past, dGain, dBias, dx);
                assertClose(added.dx, dx, larger, what + ", gradient and a residual");
                gradient(subject, gradient, images, norm, gains, biases, statistics, past, dGain, dBias, past);
                assertClose(added.dx, past, larger, what + ", gradient into the residual");
                past = subject.array(residual, shape);
                gradient(subject, gradient, images, norm, gains, biases, statistics, past, dGain, dBias, gradient);
                assertClose(added.dx, gradient, larger, what + ", gradient in place");
            }
        }
    }

    private static void gradient(
            Subject subject,
            INDArray dy,
            INDArray x,
            Norm norm,
            INDArray gain,
            INDArray bias,
            INDArray statistics,
            INDArray residual,
            INDArray dGain,
            INDArray dBias,
            INDArray dx) {
        subject.kernel.groupNormGradient(
                dy, x, norm, gain, bias, statistics, residual, subject::empty, dGain, dBias, dx);
    }

    /** Where the mean is large beside the spread, single precision keeps what the numbers themselves have. */
    @ParameterizedTest
    @EnumSource
    void largeMeans(Subject subject) {
        Random random = new Random(5);
        int[] size = {1, 64, 64, 32, 8};
        long[] shape = {1, 64, 64, 32};
        double[] x = Arrays.stream(random(random, 64 * 64 * 32, 0))
                .map(v -> (float) (v + 300))
                .toArray();
        double[] ones = new double[32];
        Arrays.fill(ones, 1);
        double[] zeros = new double[x.length];
        Norm norm = new Norm(8, 1e-6, false);
        Naive expected = new Naive(size, norm, x, ones, new double[32], zeros, zeros);
        INDArray y = subject.empty(shape);
        subject.kernel.groupNorm(
                subject.array(x, shape),
                norm,
                subject.array(ones, 32),
                subject.array(new double[32], 32),
                subject.empty(1, 2, 8),
                y);
        assertClose(expected.y, y, 2e-4, "large means");
    }

    @ParameterizedTest
    @EnumSource
    void attention(Subject subject) {
        Random random = new Random(6);
        for (int[] size : new int[][] {{1, 1, 1}, {2, 1, 5}, {1, 4, 3}, {2, 9, 7}, {1, 30, 64}, {3, 17, 2}}) {
            int b = size[0];
            int n = size[1];
            int c = size[2];
            double[] q = random(random, (long) b * n * c, 0);
            double[] k = random(random, (long) b * n * c, 0);
            double[] v = random(random, (long) b * n * c, 0);
            double[] dy = random(random, (long) b * n * c, 0);
            double[] y = new double[q.length];
            double[] dq = new double[q.length];
            double[] dk = new double[q.length];
            double[] dv = new double[q.length];
            for (int i = 0; i < b * n; i++) {
                int first = i / n * n;
                double[] weights = new double[n];
                double sum = 0;
                for (int j = 0; j < n; j++) {
                    double score = 0;
                    for (int a = 0; a < c; a++) {
                        score += q[i * c + a] * k[(first + j) * c + a];
                    }
                    weights[j] = Math.exp(score / Math.sqrt(c));
                    sum += weights[j];
                }
                double[] dWeights = new double[n];
                double mean = 0;
                for (int j = 0; j < n; j++) {
                    weights[j] /= sum;
                    for (int a = 0; a < c; a++) {
                        y[i * c + a] += weights[j] * v[(first + j) * c + a];
                        dv[(first + j) * c + a] += weights[j] * dy[i * c + a];
                        dWeights[j] += dy[i * c + a] * v[(first + j) * c + a];
                    }
                    mean += weights[j] * dWeights[j];
                }
                for (int j = 0; j < n; j++) {
                    double dScore = weights[j] * (dWeights[j] - mean) / Math.sqrt(c);
                    for (int a = 0; a < c; a++) {
                        dq[i * c + a] += dScore * k[(first + j) * c + a];
                        dk[(first + j) * c + a] += dScore * q[i * c + a];
                    }
                }
            }
            INDArray queries = subject.array(q, b, n, c);
            INDArray keys = subject.array(k, b, n, c);
            INDArray values = subject.array(v, b, n, c);
            INDArray out = subject.empty(b, n, c);
            String what = Arrays.toString(size);
            subject.kernel.attention(queries, keys, values, subject::empty, out);
            assertClose(y, out, subject.tolerance(), what);
            INDArray dQueries = subject.empty(b, n, c);
            INDArray dKeys = subject.empty(b, n, c);
            INDArray dValues = subject.empty(b, n, c);
            subject.kernel.attentionGradient(
                    subject.array(dy, b, n, c), queries, keys, values, subject::empty, dQueries, dKeys, dValues);
            assertClose(dq, dQueries, subject.tolerance(), what + ", gradient of the queries");
            assertClose(dk, dKeys, subject.tolerance(), what + ", gradient of the keys");
            assertClose(dv, dValues, subject.tolerance(), what + ", gradient of the values");
        }
    }
}
