package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.function.Supplier;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.kernel.TransformerKernel.BranchGradient;
import org.npp4j.layers.kernel.vector.VectorKernel;

/** Every operation but attention, of every kernel and type, against plain loops in double. */
class KernelPassesTest {
    private static final double EPSILON = 1e-5;

    /** A kernel, and the type of the arrays it is given. */
    enum Subject {
        ND4J_FLOAT(Nd4jKernel.INSTANCE, DataType.FLOAT),
        ND4J_DOUBLE(Nd4jKernel.INSTANCE, DataType.DOUBLE),
        VECTOR_FLOAT(new VectorKernel(), DataType.FLOAT),
        VECTOR_DOUBLE(new VectorKernel(), DataType.DOUBLE);

        final TransformerKernel kernel;
        final DataType type;

        Subject(TransformerKernel kernel, DataType type) {
            this.kernel = kernel;
            this.type = type;
        }

        boolean isFloat() {
            return type == DataType.FLOAT;
        }

        /** Both are right to so many parts of what is typical in an array. */
        double tolerance() {
            return isFloat() ? 1e-5 : 1e-11;
        }

        /** Normal numbers. */
        INDArray random(Random random, long... shape) {
            double[] values = new double[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
            Arrays.setAll(values, i -> random.nextGaussian());
            return array(values, shape);
        }

        /** In 'c' order. */
        INDArray array(double[] values, long... shape) {
            INDArray flat = Nd4j.createFromArray(values).castTo(type);
            return shape.length == 1 ? flat : flat.reshape('c', shape);
        }

        INDArray empty(long... shape) {
            return Nd4j.valueArrayOf(shape, Double.NaN, type);
        }
    }

    private static double[] doubles(INDArray array) {
        return array.dup('c').castTo(DataType.DOUBLE).data().asDouble();
    }

    private static void assertClose(double[] expected, INDArray actual, double tolerance, Supplier<String> what) {
        assertClose(expected, actual, tolerance, 0, what);
    }

    /** The terms are the size of what was added up: where they cancel, the error is theirs. */
    private static void assertClose(
            double[] expected, INDArray actual, double tolerance, double terms, Supplier<String> what) {
        double[] values = doubles(actual);
        assertEquals(expected.length, values.length);
        double typical = Math.sqrt(Arrays.stream(expected).map(e -> e * e).sum() / expected.length);
        for (int i = 0; i < values.length; i++) {
            double allowed = tolerance * (Math.abs(expected[i]) + typical + terms);
            if (!(Math.abs(expected[i] - values[i]) <= allowed)) {
                assertEquals(expected[i], values[i], allowed, what.get() + " at " + i);
            }
        }
    }

    /** Rows and columns: one of each, multiples of no vector's length, more than one part. */
    private static List<int[]> shapes(Random random) {
        List<int[]> shapes = new ArrayList<>(List.of(
                new int[] {1, 1},
                new int[] {1, 17},
                new int[] {70, 1},
                new int[] {2, 64},
                new int[] {150, 768},
                new int[] {3, 5000}));
        for (int i = 0; i < 6; i++) {
            shapes.add(new int[] {1 + random.nextInt(200), 1 + random.nextInt(150)});
        }
        return shapes;
    }

    private interface ShapeTest {
        void run(int rows, int columns, Random random);
    }

    private static void forEachShape(long seed, ShapeTest test) {
        Random random = new Random(seed);
        for (int[] shape : shapes(random)) {
            test.run(shape[0], shape[1], random);
        }
    }

    private static double[] scales(double[] x, int r, int d) {
        double[] scales = new double[r];
        for (int row = 0; row < r; row++) {
            double squares = 0;
            for (int i = 0; i < d; i++) {
                squares += x[row * d + i] * x[row * d + i];
            }
            scales[row] = 1 / Math.sqrt(squares / d + EPSILON);
        }
        return scales;
    }

    @ParameterizedTest
    @EnumSource
    void rmsNorm(Subject subject) {
        forEachShape(1, (r, d, random) -> {
            INDArray x = subject.random(random, r, d).muli(3);
            INDArray gain = subject.random(random, d);
            double[] xs = doubles(x);
            double[] gains = doubles(gain);
            double[] scales = scales(xs, r, d);
            double[] expected = new double[r * d];
            Arrays.setAll(expected, i -> xs[i] * scales[i / d] * gains[i % d]);

            INDArray scale = subject.empty(r);
            subject.kernel.rmsScale(x, EPSILON, scale);
            assertClose(scales, scale, subject.tolerance(), () -> "scale of " + r + " x " + d);
            INDArray y = subject.empty(r, d);
            scale = subject.empty(r);
            subject.kernel.rmsNorm(x, gain, EPSILON, scale, y);
            assertClose(scales, scale, subject.tolerance(), () -> "scale of " + r + " x " + d);
            assertClose(expected, y, subject.tolerance(), () -> "norm of " + r + " x " + d);
            assertArrayEquals(xs, doubles(x));

            y = Nd4j.valueArrayOf(new long[] {d, r}, Double.NaN, subject.type).transpose();
            subject.kernel.rmsNorm(x.dup('f'), gain, EPSILON, scale, y);
            assertClose(expected, y, subject.tolerance(), () -> "'f' order: norm of " + r + " x " + d);
        });
    }

    @ParameterizedTest
    @EnumSource
    void rmsNormGradient(Subject subject) {
        forEachShape(2, (r, d, random) -> {
            INDArray x = subject.random(random, r, d).muli(3);
            INDArray dy = subject.random(random, r, d);
            INDArray gain = subject.random(random, d);
            INDArray residual = random.nextBoolean() ? subject.random(random, r, d) : null;
            double[] xs = doubles(x);
            double[] dys = doubles(dy);
            double[] gains = doubles(gain);
            INDArray scale = subject.array(scales(xs, r, d), r);
            double[] scales = doubles(scale);
            double[] dGains = new double[d];
            double[] expected = residual == null ? new double[r * d] : doubles(residual);
            double terms = 0;
            for (int row = 0; row < r; row++) {
                double mean = 0;
                terms = Math.max(terms, scales[row]);
                for (int i = 0; i < d; i++) {
                    int at = row * d + i;
                    double normed = xs[at] * scales[row];
                    dGains[i] += dys[at] * normed;
                    mean += dys[at] * gains[i] * normed / d;
                }
                for (int i = 0; i < d; i++) {
                    int at = row * d + i;
                    expected[at] += scales[row] * (dys[at] * gains[i] - xs[at] * scales[row] * mean);
                }
            }
            // the gradient of the gain is a part of the network's
            INDArray gradients = subject.empty(d + 7);
            INDArray dGain = gradients.get(NDArrayIndex.interval(3, 3 + d));
            boolean inPlace = random.nextBoolean();
            INDArray dx = inPlace ? dy : subject.empty(r, d);
            subject.kernel.rmsNormGradient(dy, x, gain, scale, residual, dGain, dx);
            assertClose(expected, dx, subject.tolerance(), terms, () -> "dx of " + r + " x " + d);
            assertClose(dGains, dGain, subject.tolerance(), () -> "dGain of " + r + " x " + d);
            assertArrayEquals(xs, doubles(x));
            if (!inPlace) {
                assertArrayEquals(dys, doubles(dy));
            }
            double[] all = doubles(gradients);
            assertTrue(Double.isNaN(all[2]) && Double.isNaN(all[3 + d]), "wrote outside the gain's part");
        });
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    private static double geluArgument(double x) {
        return Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x);
    }

    /** Normal numbers, and some whose exponentials overflow or vanish. */
    private static INDArray activationInput(Subject subject, Random random, int r, int d) {
        INDArray x = subject.random(random, r, d).muli(3);
        double[] extremes = {0, -0.0, 30, -30, 90, -90, 200, -200};
        for (int i = 0; i < Math.min(extremes.length, r * d); i++) {
            x.putScalar(random.nextInt(r), random.nextInt(d), extremes[i]);
        }
        return x;
    }

    @ParameterizedTest
    @EnumSource
    void swiGlu(Subject subject) {
        forEachShape(3, (r, d, random) -> {
            INDArray a = activationInput(subject, random, r, d);
            INDArray b = subject.random(random, r, d);
            INDArray dy = subject.random(random, r, d);
            double[] as = doubles(a);
            double[] bs = doubles(b);
            double[] dys = doubles(dy);
            double[] expected = new double[r * d];
            Arrays.setAll(expected, i -> as[i] * sigmoid(as[i]) * bs[i]);
            double[] da = new double[r * d];
            Arrays.setAll(da, i -> dys[i] * bs[i] * (sigmoid(as[i]) + as[i] * sigmoid(as[i]) * (1 - sigmoid(as[i]))));
            double[] db = new double[r * d];
            Arrays.setAll(db, i -> dys[i] * as[i] * sigmoid(as[i]));
            Supplier<String> what = () -> r + " x " + d;

            INDArray y = subject.empty(r, d);
            subject.kernel.swiGlu(a, b, y);
            assertClose(expected, y, subject.tolerance(), what);
            assertArrayEquals(as, doubles(a));
            // as when few rows are generated: 'f' order
            y = subject.empty(d, r).transpose();
            subject.kernel.swiGlu(a.dup('f'), b.dup('f'), y);
            assertClose(expected, y, subject.tolerance(), what);
            // different orders, and gaps between the rows
            INDArray wide = subject.empty(r, d + 3);
            INDArray gaps = wide.get(NDArrayIndex.all(), NDArrayIndex.interval(1, 1 + d));
            subject.kernel.swiGlu(a, b.dup('f'), gaps);
            assertClose(expected, gaps, subject.tolerance(), what);

            INDArray dA = subject.empty(r, d);
            INDArray dB = subject.empty(r, d);
            subject.kernel.swiGluGradient(dy, a, b, dA, dB);
            assertClose(da, dA, subject.tolerance(), what);
            assertClose(db, dB, subject.tolerance(), what);
            assertArrayEquals(as, doubles(a));
            assertArrayEquals(bs, doubles(b));
        });
    }

    @ParameterizedTest
    @EnumSource
    void gelu(Subject subject) {
        DoubleUnaryOperator gelu = x -> x * (1 + Math.tanh(geluArgument(x))) / 2;
        DoubleUnaryOperator slope = x -> {
            double t = Math.tanh(geluArgument(x));
            return (1 + t) / 2 + x * (1 - t * t) / 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x * x);
        };
        forEachShape(4, (r, d, random) -> {
            INDArray x = activationInput(subject, random, r, d);
            INDArray dy = subject.random(random, r, d);
            double[] xs = doubles(x);
            double[] dys = doubles(dy);
            Supplier<String> what = () -> r + " x " + d;
            INDArray y = subject.empty(r, d);
            subject.kernel.gelu(x, y);
            assertClose(Arrays.stream(xs).map(gelu).toArray(), y, subject.tolerance(), what);

            double[] dx = new double[r * d];
            Arrays.setAll(dx, i -> dys[i] * slope.applyAsDouble(xs[i]));
            INDArray result = random.nextBoolean() ? dy : subject.empty(r, d);
            subject.kernel.geluGradient(dy, x, result);
            assertClose(dx, result, subject.tolerance(), what);
            assertArrayEquals(xs, doubles(x));
        });
    }

    @ParameterizedTest
    @EnumSource
    void branchWithoutDropoutIsASum(Subject subject) {
        forEachShape(5, (r, d, random) -> {
            INDArray branch = subject.random(random, r, d);
            INDArray x = subject.random(random, r, d);
            double[] branches = doubles(branch);
            double[] xs = doubles(x);
            INDArray y = random.nextBoolean() ? branch : subject.empty(r, d);
            BranchGradient gradient = subject.kernel.addBranch(
                    branch, x, 1, 0, 0, shape -> Nd4j.createUninitialized(subject.type, shape, 'c'), y);
            double[] expected = new double[r * d];
            Arrays.setAll(expected, i -> branches[i] + xs[i]);
            assertClose(expected, y, 1e-7, () -> r + " x " + d);
            assertSame(BranchGradient.SAME, gradient);
        });
    }

    /** The factors that a branch was multiplied with: of a branch of ones, added to zeros. */
    private static double[] factors(Subject subject, int batch, int rows, int width, double units, double paths) {
        Allocator allocator = shape -> Nd4j.valueArrayOf(shape, Double.NaN, subject.type);
        INDArray y = subject.empty(rows, width);
        BranchGradient gradient = subject.kernel.addBranch(
                Nd4j.ones(subject.type, rows, width),
                Nd4j.zeros(subject.type, rows, width),
                batch,
                units,
                paths,
                allocator,
                y);
        double[] factors = doubles(y);
        // the gradient has the same factors, each time it is asked, and leaves what it is given
        INDArray dy = subject.random(new Random(rows), rows, width);
        double[] dys = doubles(dy);
        double[] expected = new double[factors.length];
        Arrays.setAll(expected, i -> factors[i] * dys[i]);
        assertClose(expected, gradient.of(dy, allocator), 1e-6, () -> "gradient");
        assertClose(expected, gradient.of(dy.dup('f'), allocator), 1e-6, () -> "gradient in 'f' order");
        assertArrayEquals(dys, doubles(dy));
        return factors;
    }

    @ParameterizedTest
    @EnumSource
    void dropsUnits(Subject subject) {
        Nd4j.getRandom().setSeed(11);
        for (double probability : new double[] {0.1, 0.5, 0.9}) {
            int rows = 300;
            int width = 331;
            double[] factors = factors(subject, 3, rows, width, probability, 0);
            double kept = 1 / (1 - probability);
            double[] centred = new double[factors.length];
            int stayed = 0;
            for (int i = 0; i < factors.length; i++) {
                boolean stays = factors[i] != 0;
                assertEquals(stays ? kept : 0, factors[i], 1e-6 * kept);
                stayed += stays ? 1 : 0;
                centred[i] = (stays ? 1 : 0) - (1 - probability);
            }
            double variance = probability * (1 - probability);
            double deviations = (stayed - (1 - probability) * factors.length) / Math.sqrt(variance * factors.length);
            assertTrue(Math.abs(deviations) < 4.5, "rate is off by " + deviations + " standard deviations");
            // independent of neighbours in the row, in the column, and where the generator changes words and tiles
            for (int lag : new int[] {1, 2, 16, width, 256, 512, 16384}) {
                double sum = 0;
                for (int i = lag; i < centred.length; i++) {
                    sum += centred[i] * centred[i - lag];
                }
                double off = sum / (variance * Math.sqrt(centred.length - lag));
                assertTrue(Math.abs(off) < 4.5, "lag " + lag + ": " + off + " standard deviations");
            }
            // and of the next draw
            double[] next = factors(subject, 3, rows, width, probability, 0);
            double sum = 0;
            for (int i = 0; i < centred.length; i++) {
                sum += centred[i] * ((next[i] != 0 ? 1 : 0) - (1 - probability));
            }
            double off = sum / (variance * Math.sqrt(centred.length));
            assertTrue(Math.abs(off) < 4.5, "next draw: " + off + " standard deviations");
        }
    }

    @ParameterizedTest
    @EnumSource
    void dropsPaths(Subject subject) {
        Nd4j.getRandom().setSeed(12);
        int batch = 400;
        int perExample = 3 * 7;
        double probability = 0.3;
        int stayed = 0;
        for (int draw = 0; draw < 5; draw++) {
            double[] factors = factors(subject, batch, batch * 3, 7, 0, probability);
            for (int example = 0; example < batch; example++) {
                double factor = factors[example * perExample];
                assertEquals(factor == 0 ? 0 : 1 / (1 - probability), factor, 1e-6);
                stayed += factor == 0 ? 0 : 1;
                for (int i = 0; i < perExample; i++) {
                    assertEquals(factor, factors[example * perExample + i]);
                }
            }
        }
        double n = 5 * batch;
        double deviations = (stayed - (1 - probability) * n) / Math.sqrt(probability * (1 - probability) * n);
        assertTrue(Math.abs(deviations) < 4.5, "rate is off by " + deviations + " standard deviations");
    }

    @ParameterizedTest
    @EnumSource
    void dropsUnitsOfPathsThatStay(Subject subject) {
        Nd4j.getRandom().setSeed(13);
        double[] factors = factors(subject, 40, 80, 100, 0.25, 0.5);
        int whole = 0;
        for (int example = 0; example < 40; example++) {
            int stayed = 0;
            for (int i = 0; i < 200; i++) {
                double factor = factors[example * 200 + i];
                assertEquals(factor == 0 ? 0 : 1 / 0.75 / 0.5, factor, 1e-5);
                stayed += factor == 0 ? 0 : 1;
            }
            whole += stayed == 0 ? 1 : 0;
            assertTrue(stayed == 0 || stayed > 110 && stayed < 190, stayed + " units stayed");
        }
        assertTrue(whole > 5 && whole < 35, whole + " paths were dropped");
    }

    @ParameterizedTest
    @EnumSource
    void dropoutFollowsTheSeed(Subject subject) {
        List<double[]> factors = new ArrayList<>();
        for (long seed : new long[] {21, 21, 22}) {
            Nd4j.getRandom().setSeed(seed);
            factors.add(factors(subject, 2, 200, 300, 0.2, 0.1));
        }
        assertArrayEquals(factors.get(0), factors.get(1));
        assertFalse(Arrays.equals(factors.get(0), factors.get(2)));
    }

    /** Targets of some rows, weights, and the plain form of the loss. */
    private static final class Targets {
        final int[] firstOfRow;
        final int[] ids;
        final double[] weightOfRow;
        final double[] weightOfTarget;

        Targets(Random random, int rows, int columns) {
            firstOfRow = new int[rows + 1];
            List<Integer> all = new ArrayList<>();
            for (int row = 0; row < rows; row++) {
                random.ints(random.nextInt(5), 0, columns).distinct().forEach(all::add);
                firstOfRow[row + 1] = all.size();
            }
            ids = all.stream().mapToInt(id -> id).toArray();
            weightOfRow = random.doubles(rows).toArray();
            weightOfTarget = random.doubles(ids.length).toArray();
        }

        /** Losses; the logits become the gradient. */
        double[] run(double[] z) {
            int columns = z.length / weightOfRow.length;
            double[] nats = new double[ids.length];
            for (int row = 0; row < weightOfRow.length; row++) {
                double largest = Double.NEGATIVE_INFINITY;
                for (int i = 0; i < columns; i++) {
                    largest = Math.max(largest, z[row * columns + i]);
                }
                double sum = 0;
                for (int i = 0; i < columns; i++) {
                    sum += Math.exp(z[row * columns + i] - largest);
                }
                for (int t = firstOfRow[row]; t < firstOfRow[row + 1]; t++) {
                    nats[t] = largest - z[row * columns + ids[t]] + Math.log(sum);
                }
                for (int i = 0; i < columns; i++) {
                    int at = row * columns + i;
                    z[at] = weightOfRow[row] * Math.exp(z[at] - largest) / sum;
                }
                for (int t = firstOfRow[row]; t < firstOfRow[row + 1]; t++) {
                    z[row * columns + ids[t]] -= weightOfTarget[t];
                }
            }
            return nats;
        }
    }

    @ParameterizedTest
    @EnumSource
    void crossEntropy(Subject subject) {
        forEachShape(6, (r, v, random) -> {
            // logits of all rows far from 0, and from each other
            double spread = random.nextBoolean() ? 1 : 30;
            double shift = random.nextBoolean() ? 0 : 300 * random.nextGaussian();
            INDArray z = subject.random(random, r, v).muli(spread).addi(shift);
            Targets targets = new Targets(random, r, v);
            double[] gradient = doubles(z);
            double[] expected = targets.run(gradient);
            double tolerance = subject.isFloat() ? 4e-6 : 1e-11;

            INDArray copy = z.dup('c');
            double[] nats = new double[expected.length];
            subject.kernel.crossEntropy(copy, targets.firstOfRow, targets.ids, null, null, nats);
            assertNats(expected, nats, tolerance, shift);
            for (char order : new char[] {'c', 'f'}) {
                copy = z.dup(order);
                nats = new double[expected.length];
                subject.kernel.crossEntropy(
                        copy, targets.firstOfRow, targets.ids, targets.weightOfRow, targets.weightOfTarget, nats);
                assertNats(expected, nats, tolerance, shift);
                assertClose(gradient, copy, subject.tolerance(), () -> r + " x " + v);
            }
        });
    }

    private static void assertNats(double[] expected, double[] actual, double tolerance, double shift) {
        for (int i = 0; i < expected.length; i++) {
            assertEquals(expected[i], actual[i], tolerance * (1 + Math.abs(expected[i])), "target " + i);
        }
    }

    /** A token that cannot come has no share in the loss of others; a NaN stays in its row. */
    @ParameterizedTest
    @EnumSource
    void crossEntropyOfLogitsThatAreNotFinite(Subject subject) {
        int v = 100;
        Random random = new Random(7);
        INDArray z = subject.random(random, 4, v);
        z.putScalar(0, 3, Double.NEGATIVE_INFINITY);
        z.putScalar(2, 90, Double.NaN);
        int[] first = {0, 1, 2, 3, 5};
        int[] ids = {5, 6, 7, 8, 9};
        double[] nats = new double[5];
        double[] rowWeights = {1, 1, 1, 1};
        double[] weights = {1, 1, 1, 0.5, 0.5};
        double[] logits = doubles(z);
        double sum = 0;
        for (int i = 0; i < v; i++) {
            sum += Math.exp(logits[i]);
        }
        subject.kernel.crossEntropy(z, first, ids, rowWeights, weights, nats);
        double[] gradient = doubles(z);
        assertEquals(Math.log(sum) - logits[5], nats[0], 1e-5);
        assertEquals(0, gradient[3]);
        assertEquals(Math.exp(logits[4]) / sum, gradient[4], 1e-6);
        assertTrue(Double.isNaN(nats[2]));
        for (int i = 0; i < v; i++) {
            assertTrue(Double.isNaN(gradient[2 * v + i]));
            assertTrue(Double.isFinite(gradient[v + i]) && Double.isFinite(gradient[3 * v + i]));
        }
        assertTrue(Double.isFinite(nats[1]) && Double.isFinite(nats[3]) && Double.isFinite(nats[4]));
    }

    @ParameterizedTest
    @EnumSource
    void adam(Subject subject) {
        forEachShape(8, (r, d, random) -> {
            double rate = 0.1;
            double beta1 = 0.9;
            double beta2 = 0.95;
            double epsilon = 1e-3;
            INDArray m = Nd4j.zeros(subject.type, r, d);
            INDArray v = Nd4j.zeros(subject.type, r, d);
            double[] ms = new double[r * d];
            double[] vs = new double[r * d];
            for (int step = 0; step < 4; step++) {
                INDArray g = subject.random(random, r, d).muli(0.01);
                double[] gs = doubles(g);
                double correction1 = 1 - Math.pow(beta1, step + 1);
                double correction2 = 1 - Math.pow(beta2, step + 1);
                double[] expected = new double[r * d];
                for (int i = 0; i < gs.length; i++) {
                    ms[i] = beta1 * ms[i] + (1 - beta1) * gs[i];
                    vs[i] = beta2 * vs[i] + (1 - beta2) * gs[i] * gs[i];
                    expected[i] = rate / correction1 * ms[i] / (Math.sqrt(vs[i]) / Math.sqrt(correction2) + epsilon);
                }
                subject.kernel.adam(g, m, v, new AdamStep(step, rate, beta1, beta2, epsilon));
                assertClose(expected, g, subject.tolerance(), () -> r + " x " + d);
                assertClose(ms, m, subject.tolerance(), () -> r + " x " + d);
                assertClose(vs, v, subject.tolerance(), () -> r + " x " + d);
            }
            INDArray g = subject.random(random, r, d);
            subject.kernel.adam(g, m, v, new AdamStep(4, 0, beta1, beta2, epsilon));
            assertArrayEquals(new double[r * d], doubles(g));
        });
    }

    @ParameterizedTest
    @EnumSource
    void adamW(Subject subject) {
        forEachShape(8, (r, d, random) -> {
            double scale = 0.3;
            double decay = 0.02;
            INDArray p = subject.random(random, r, d);
            INDArray m = Nd4j.zeros(subject.type, r, d);
            INDArray v = Nd4j.zeros(subject.type, r, d);
            double[] ps = doubles(p);
            double[] ms = new double[r * d];
            double[] vs = new double[r * d];
            // a warm-up begins at a rate of 0; parameters may decay nevertheless
            double[] rates = {0, 0.1, 0.05};
            for (int step = 0; step < rates.length; step++) {
                INDArray g = subject.random(random, r, d).muli(0.01);
                double[] gs = doubles(g);
                double correction1 = 1 - Math.pow(0.9, step + 1);
                double correction2 = 1 - Math.pow(0.95, step + 1);
                for (int i = 0; i < gs.length; i++) {
                    double gradient = scale * gs[i];
                    ms[i] = 0.9 * ms[i] + 0.1 * gradient;
                    vs[i] = 0.95 * vs[i] + 0.05 * gradient * gradient;
                    double root = Math.sqrt(vs[i]) / Math.sqrt(correction2);
                    ps[i] -= rates[step] / correction1 * ms[i] / (root + 1e-3) + decay * ps[i];
                }
                subject.kernel.adamW(p, g, m, v, scale, new AdamStep(step, rates[step], 0.9, 0.95, 1e-3), decay);
                assertClose(ps, p, subject.tolerance(), () -> r + " x " + d);
                assertClose(ms, m, subject.tolerance(), () -> r + " x " + d);
                assertClose(vs, v, subject.tolerance(), () -> r + " x " + d);
            }
            // what is infinite does not reach parameters that stand still
            double[] before = doubles(p);
            INDArray g = Nd4j.valueArrayOf(new long[] {r, d}, Double.POSITIVE_INFINITY, subject.type);
            subject.kernel.adamW(p, g, m, v, 1, new AdamStep(3, 0, 0.9, 0.95, 1e-3), 0);
            assertArrayEquals(before, doubles(p));
        });
    }

    @ParameterizedTest
    @EnumSource
    void sumOfSquares(Subject subject) {
        Random random = new Random(9);
        for (int length : new int[] {1, 2, 63, 1000, 4096, 5000, 40_000, 400_001}) {
            INDArray x = subject.random(random, length + 5);
            INDArray part = x.get(NDArrayIndex.interval(3, 3 + length));
            double expected = Arrays.stream(doubles(part)).map(e -> e * e).sum();
            assertEquals(expected, subject.kernel.sumOfSquares(part), 1e-6 * expected, "length " + length);
            part.putScalar(length / 2, Double.NaN);
            assertTrue(Double.isNaN(subject.kernel.sumOfSquares(part)), "length " + length);
            part.putScalar(length / 2, Double.NEGATIVE_INFINITY);
            assertEquals(Double.POSITIVE_INFINITY, subject.kernel.sumOfSquares(part), "length " + length);
        }
        INDArray matrix = subject.random(random, 30, 40);
        double expected = Arrays.stream(doubles(matrix)).map(e -> e * e).sum();
        assertEquals(expected, subject.kernel.sumOfSquares(matrix.dup('f')), 1e-6 * expected);
        INDArray gaps = matrix.get(NDArrayIndex.all(), NDArrayIndex.interval(2, 31));
        expected = Arrays.stream(doubles(gaps)).map(e -> e * e).sum();
        assertEquals(expected, subject.kernel.sumOfSquares(gaps), 1e-6 * expected);
    }

    /** To the bit, however often, with as many threads as there are, and whether compiled by then or not. */
    @ParameterizedTest
    @EnumSource
    void repeats(Subject subject) {
        Random random = new Random(10);
        int r = 311;
        int d = 1001;
        INDArray x = subject.random(random, r, d);
        INDArray dy = subject.random(random, r, d);
        INDArray gain = subject.random(random, d);
        Targets targets = new Targets(random, r, d);
        List<double[]> first = null;
        for (int run = 0; run < 25; run++) {
            Nd4j.getRandom().setSeed(31);
            Allocator allocator = shape -> Nd4j.createUninitialized(subject.type, shape, 'c');
            List<double[]> results = new ArrayList<>();
            INDArray scale = subject.empty(r);
            INDArray y = subject.empty(r, d);
            INDArray dGain = subject.empty(d);
            subject.kernel.rmsNorm(x, gain, EPSILON, scale, y);
            results.add(doubles(y));
            subject.kernel.rmsNormGradient(dy, x, gain, scale, null, dGain, y);
            results.add(doubles(dGain));
            results.add(doubles(y));
            subject.kernel.swiGlu(x, dy, y);
            results.add(doubles(y));
            subject.kernel.gelu(x, y);
            results.add(doubles(y));
            INDArray branch = dy.dup('c');
            subject.kernel.addBranch(branch, x, 1, 0.1, 0, allocator, branch);
            results.add(doubles(branch));
            INDArray z = x.dup('c');
            double[] nats = new double[targets.ids.length];
            subject.kernel.crossEntropy(
                    z, targets.firstOfRow, targets.ids, targets.weightOfRow, targets.weightOfTarget, nats);
            results.add(nats);
            results.add(doubles(z));
            results.add(new double[] {subject.kernel.sumOfSquares(x)});
            if (first == null) {
                first = results;
            }
            for (int i = 0; i < results.size(); i++) {
                assertArrayEquals(first.get(i), results.get(i), "result " + i + " of run " + run);
            }
        }
        assertNotEquals(0, first.size());
    }
}
