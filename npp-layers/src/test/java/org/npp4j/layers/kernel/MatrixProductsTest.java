package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/** Every provider against a plain loop: shapes, orders, types, factors, views. */
class MatrixProductsTest {
    private static final int[][] SHAPES = {
        {1, 1, 1},
        {1, 7, 5},
        {7, 1, 5},
        {7, 5, 1},
        {1, 1, 9},
        {2, 3, 4},
        {4, 16, 8},
        {17, 31, 13},
        {33, 64, 48},
        {65, 127, 3},
        {70, 130, 90}
    };

    private final Random random = new Random(7);

    @AfterEach
    void fullPrecision() {
        Products.setPrecision(Precision.FLOAT);
    }

    @Test
    void nd4jInFloatAndDouble() {
        compare(Nd4jProducts.INSTANCE, DataType.FLOAT, 1e-5, x -> x);
        compare(Nd4jProducts.INSTANCE, DataType.DOUBLE, 1e-13, x -> x);
    }

    @Test
    void oneDnnInFloatAndDouble() {
        compare(oneDnn(), DataType.FLOAT, 1e-5, x -> x);
        compare(oneDnn(), DataType.DOUBLE, 1e-13, x -> x);
    }

    /** Few rows and long sums take another way through oneDNN in a forward pass than other products. */
    @Test
    void oneDnnInForwardPasses() {
        MatrixProducts products = oneDnn();
        for (int[] s :
                new int[][] {{1, 5, 64}, {3, 70, 65}, {64, 33, 100}, {513, 90, 64}, {513, 1100, 64}, {37, 1025, 67}}) {
            forward(products, s[0], s[1], s[2]);
        }
        for (int i = 0; i < 40; i++) {
            forward(products, 1 + random.nextInt(90), 1 + random.nextInt(90), 64 + random.nextInt(80));
        }
    }

    @Test
    void oneDnnInSeveralThreads() {
        MatrixProducts products = oneDnn();
        IntStream.range(0, 32).parallel().forEach(i -> forward(products, 20 + i % 3, 40, 70 + i % 2));
    }

    private void forward(MatrixProducts products, int rows, int inner, int columns) {
        INDArray a = matrix(DataType.FLOAT, rows, inner, 'c', random.nextBoolean());
        INDArray b = matrix(DataType.FLOAT, inner, columns, 'f', random.nextBoolean());
        INDArray c = Nd4j.valueArrayOf(new long[] {rows, columns}, Double.NaN, DataType.FLOAT);
        products.multiply(a, b, c, 1, 0);
        float[] left = a.dup('c').data().asFloat();
        float[] right = b.dup('f').data().asFloat();
        float[] result = c.data().asFloat();
        for (int i = 0; i < rows; i++) {
            for (int j = 0; j < columns; j++) {
                double sum = 0;
                for (int k = 0; k < inner; k++) {
                    sum += (double) left[i * inner + k] * right[j * inner + k];
                }
                assertEquals(
                        sum,
                        result[i * columns + j],
                        1e-5 * (1 + Math.sqrt(inner)),
                        rows + " x " + inner + " x " + columns + ", row " + i + ", column " + j);
            }
        }
    }

    @Test
    void oneDnnInBf16() {
        compare(bf16(), DataType.FLOAT, 1e-5, MatrixProductsTest::rounded);
    }

    @Test
    void aFactorThatChangesMakesNoNewProduct() {
        MatrixProducts products = bf16();
        INDArray a = Nd4j.create(new float[][] {{1, 2}, {3, 4}});
        INDArray b = Nd4j.create(new float[][] {{1, 0}, {0, 2}});
        for (double alpha : new double[] {0.5, 3, 0, -1}) {
            INDArray c = Nd4j.create(DataType.FLOAT, 2, 2);
            products.multiply(a, b, c, alpha, 0);
            assertEquals(Nd4j.create(new float[][] {{1, 4}, {3, 8}}).muli(alpha), c);
        }
    }

    @Test
    void roundingIsToNearestEvenAndKeepsWhatIsNoNumber() {
        MatrixProducts products = bf16();
        // 8 bits of mantissa: between 256 and 512 the step is 2
        float[] given = {
            257, 259, 258.5f, -257, -259, 3e38f, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 0
        };
        float[] expected = {
            256,
            260,
            258,
            -256,
            -260,
            (float) rounded(3e38),
            Float.NaN,
            Float.POSITIVE_INFINITY,
            Float.NEGATIVE_INFINITY,
            0
        };
        INDArray c = Nd4j.create(DataType.FLOAT, given.length, 1);
        products.multiply(Nd4j.create(given, new int[] {given.length, 1}), Nd4j.ones(DataType.FLOAT, 1, 1), c, 1, 0);
        for (int i = 0; i < given.length; i++) {
            assertEquals(expected[i], c.getFloat(i, 0), String.valueOf(given[i]));
        }
    }

    @Test
    void resultsAreNotReadWithoutBeta() {
        List<MatrixProducts> all = new ArrayList<>(List.of(Nd4jProducts.INSTANCE));
        if (available(() -> Products.choose("onednn"))) {
            all.add(Products.choose("onednn"));
        }
        if (available(() -> Products.setPrecision(Precision.BF16))) {
            all.add(bf16());
        }
        for (MatrixProducts products : all) {
            INDArray c = Nd4j.valueArrayOf(new long[] {3, 2}, Double.NaN, DataType.FLOAT);
            products.multiply(Nd4j.ones(DataType.FLOAT, 3, 4), Nd4j.ones(DataType.FLOAT, 4, 2), c, 1, 0);
            assertEquals(Nd4j.valueArrayOf(new long[] {3, 2}, 4.0, DataType.FLOAT), c, products.description());
        }
    }

    @Test
    void aResultRepeatsToTheBit() {
        for (MatrixProducts products : List.of(oneDnn(), Nd4jProducts.INSTANCE)) {
            INDArray a = matrix(DataType.FLOAT, 200, 300, 'c', false);
            INDArray b = matrix(DataType.FLOAT, 300, 170, 'f', false);
            INDArray first = Nd4j.create(DataType.FLOAT, 200, 170);
            products.multiply(a, b, first, 1, 0);
            for (int i = 0; i < 5; i++) {
                INDArray again = Nd4j.create(DataType.FLOAT, 200, 170);
                products.multiply(a, b, again, 1, 0);
                assertEquals(0, first.sub(again).amaxNumber().doubleValue());
            }
        }
    }

    @Test
    void bf16TakesFloatsWithoutGapsOnly() {
        MatrixProducts products = bf16();
        INDArray doubles = Nd4j.ones(DataType.DOUBLE, 2, 2);
        String message = assertThrows(
                        IllegalStateException.class, () -> products.multiply(doubles, doubles, doubles.dup(), 1, 0))
                .getMessage();
        assertTrue(message.contains("take arrays of FLOAT, got DOUBLE. Build the network with dataType"), message);
        INDArray gaps =
                Nd4j.ones(DataType.FLOAT, 4, 4).get(NDArrayIndex.interval(0, 2, 4), NDArrayIndex.interval(0, 2, 4));
        message = assertThrows(
                        IllegalArgumentException.class,
                        () -> products.multiply(gaps, gaps, Nd4j.create(DataType.FLOAT, 2, 2), 1, 0))
                .getMessage();
        assertTrue(message.contains("contiguous rows or columns"), message);
    }

    @Test
    void namesAreChecked() {
        assertEquals(
                "The system property npp.products is \"mkl\", but must be nd4j or onednn",
                assertThrows(IllegalArgumentException.class, () -> Products.choose("mkl"))
                        .getMessage());
        assertEquals(
                "The precision is \"fp8\", but must be float or bf16",
                assertThrows(IllegalArgumentException.class, () -> Precision.named("fp8"))
                        .getMessage());
        assertEquals(Precision.BF16, Precision.named("bf16"));
        assertEquals(Precision.FLOAT, Precision.named("float"));
    }

    @Test
    void whatIsMissingIsNamed() {
        ClassLoader empty = ClassLoader.getPlatformClassLoader();
        String message = assertThrows(
                        IllegalStateException.class,
                        () -> Products.requireOneDnn("bf16 was asked for", "CpuBackend", empty))
                .getMessage();
        assertTrue(
                message.startsWith("bf16 was asked for, but oneDNN is not on the class path. Add the dependencies"
                        + " org.bytedeco:dnnl:2.5.2-1.5.7"),
                message);
        message = assertThrows(
                        IllegalStateException.class,
                        () -> Products.requireOneDnn("bf16 was asked for", "JCublasBackend", empty))
                .getMessage();
        assertTrue(message.contains("the ND4J backend is JCublasBackend. Take nd4j-native"), message);
    }

    @Test
    void theChosenOneIsDescribed() {
        String full = Products.description();
        assertTrue(full.contains("oneDNN 2.") || full.contains("OpenBLAS") || full.contains("MKL"), full);
        bf16();
        assertTrue(Products.description().endsWith("bf16"), Products.description());
        assertEquals(Precision.BF16, Products.precision());
    }

    private void compare(MatrixProducts products, DataType type, double tolerance, DoubleUnaryOperator rounding) {
        char[] orders = {'c', 'f'};
        for (int[] s : SHAPES) {
            for (char aOrder : orders) {
                for (char bOrder : orders) {
                    for (char cOrder : orders) {
                        for (double[] factors : new double[][] {{1, 0}, {1, 1}, {0.25, 0}, {-2, 0.5}}) {
                            boolean views = random.nextBoolean();
                            INDArray a = matrix(type, s[0], s[1], aOrder, views);
                            INDArray b = matrix(type, s[1], s[2], bOrder, views);
                            INDArray c = result(type, s[0], s[2], cOrder, views);
                            INDArray expected = naive(a, b, c, factors[0], factors[1], rounding);
                            products.multiply(a, b, c, factors[0], factors[1]);
                            double error = c.castTo(DataType.DOUBLE)
                                    .sub(expected)
                                    .amaxNumber()
                                    .doubleValue();
                            assertTrue(
                                    error <= tolerance * (1 + Math.sqrt(s[1])),
                                    () -> products.description() + " " + s[0] + " x " + s[1] + " x " + s[2] + " "
                                            + aOrder + bOrder + cOrder + " views " + views + " alpha " + factors[0]
                                            + " beta " + factors[1] + ": error " + error);
                        }
                    }
                }
            }
        }
    }

    /** With contiguous rows or columns; as a view it starts inside a larger array and has gaps between them. */
    private INDArray matrix(DataType type, int rows, int columns, char order, boolean view) {
        INDArray whole = Nd4j.create(type, new long[] {rows + 3, columns + 2}, order);
        for (long i = 0; i < whole.size(0); i++) {
            for (long j = 0; j < whole.size(1); j++) {
                whole.putScalar(i, j, random.nextGaussian());
            }
        }
        INDArray part = whole.get(NDArrayIndex.interval(2, 2 + rows), NDArrayIndex.interval(1, 1 + columns));
        return view ? part.reshape(rows, columns) : part.dup(order);
    }

    /** Without gaps; as a view it starts inside a larger array. */
    private INDArray result(DataType type, int rows, int columns, char order, boolean view) {
        INDArray plain = matrix(type, rows, columns, order, false);
        if (!view) {
            return plain;
        }
        INDArray whole = Nd4j.create(type, 3L + (long) rows * columns);
        return whole.get(NDArrayIndex.interval(3, whole.length()))
                .reshape(order, rows, columns)
                .assign(plain);
    }

    private static INDArray naive(
            INDArray a, INDArray b, INDArray c, double alpha, double beta, DoubleUnaryOperator rounding) {
        INDArray result = Nd4j.create(DataType.DOUBLE, c.size(0), c.size(1));
        for (long i = 0; i < c.size(0); i++) {
            for (long j = 0; j < c.size(1); j++) {
                double sum = 0;
                for (long k = 0; k < a.size(1); k++) {
                    sum += rounding.applyAsDouble(a.getDouble(i, k)) * rounding.applyAsDouble(b.getDouble(k, j));
                }
                result.putScalar(i, j, alpha * sum + beta * c.getDouble(i, j));
            }
        }
        return result;
    }

    /** A float to the nearest bfloat16, ties to even. */
    private static double rounded(double x) {
        int bits = Float.floatToIntBits((float) x);
        return Float.intBitsToFloat((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
    }

    private static MatrixProducts oneDnn() {
        assumeTrue(
                available(() -> Products.choose("onednn")),
                "needs oneDNN on the class path, on a processor of its kind");
        return Products.choose("onednn");
    }

    private static MatrixProducts bf16() {
        assumeTrue(available(() -> Products.setPrecision(Precision.BF16)), "needs oneDNN and a processor with bf16");
        return Products.inPrecision();
    }

    private static boolean available(Runnable start) {
        try {
            start.run();
            return true;
        } catch (IllegalStateException e) {
            return false;
        }
    }
}
