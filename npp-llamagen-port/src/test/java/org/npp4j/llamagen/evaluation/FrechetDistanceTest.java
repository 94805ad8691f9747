package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

class FrechetDistanceTest {
    private static double[][] random(long seed, int rows, int columns, double shift) {
        Random random = new Random(seed);
        double[][] values = new double[rows][columns];
        for (double[] row : values) {
            for (int i = 0; i < columns; i++) {
                row[i] = shift + random.nextGaussian() * (1 + i);
            }
        }
        return values;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 7, 1000})
    void meanAndCovarianceOfBatchesOfAnySize(int batch) {
        // far from 0: sums of squares would lose all digits in float and half of them in double
        double[][] rows = random(1, 45, 6, 1e7);
        INDArray features = Nd4j.createFromArray(rows);
        FeatureStatistics.Accumulator accumulator = new FeatureStatistics.Accumulator(6);
        for (int from = 0; from < rows.length; from += batch) {
            accumulator.add(
                    features.get(NDArrayIndex.interval(from, Math.min(rows.length, from + batch)), NDArrayIndex.all()));
        }
        assertEquals(45, accumulator.images());
        FeatureStatistics statistics = accumulator.statistics();
        double[] mean = new double[6];
        for (double[] row : rows) {
            for (int i = 0; i < 6; i++) {
                mean[i] += row[i] / rows.length;
            }
        }
        assertArrayEquals(mean, statistics.mean().toDoubleVector(), 1e-6);
        double[][] covariance = statistics.covariance().toDoubleMatrix();
        for (int i = 0; i < 6; i++) {
            for (int j = 0; j < 6; j++) {
                double expected = 0;
                for (double[] row : rows) {
                    expected += (row[i] - mean[i]) * (row[j] - mean[j]) / (rows.length - 1);
                }
                assertEquals(expected, covariance[i][j], 1e-6);
            }
        }
    }

    /** Covariances that commute have a root that can be written down. */
    @Test
    void diagonalCovariances() {
        double[] m1 = {1, 2, 3};
        double[] m2 = {0, 2, 5};
        double[] s1 = {4, 1, 0};
        double[] s2 = {9, 0.25, 2};
        double expected = 0;
        for (int i = 0; i < 3; i++) {
            expected += Math.pow(m1[i] - m2[i], 2) + s1[i] + s2[i] - 2 * Math.sqrt(s1[i] * s2[i]);
        }
        FeatureStatistics a = FeatureStatistics.of(Nd4j.createFromArray(m1), Nd4j.diag(Nd4j.createFromArray(s1)));
        FeatureStatistics b = FeatureStatistics.of(Nd4j.createFromArray(m2), Nd4j.diag(Nd4j.createFromArray(s2)));
        assertEquals(expected, FrechetDistance.between(a, b), 1e-12);
        assertEquals(expected, FrechetDistance.between(b, a), 1e-12);
    }

    @Test
    void ofOneFeatureAndOfNoVarianceAtAll() {
        FeatureStatistics a =
                FeatureStatistics.of(Nd4j.createFromArray(3.0), Nd4j.createFromArray(new double[][] {{4}}));
        FeatureStatistics b =
                FeatureStatistics.of(Nd4j.createFromArray(1.0), Nd4j.createFromArray(new double[][] {{9}}));
        assertEquals(4 + 1, FrechetDistance.between(a, b), 1e-12);
        FeatureStatistics point =
                FeatureStatistics.of(Nd4j.create(DataType.DOUBLE, 5), Nd4j.zeros(DataType.DOUBLE, 5, 5));
        FeatureStatistics unit = FeatureStatistics.of(Nd4j.ones(DataType.DOUBLE, 5), Nd4j.eye(5));
        assertEquals(10, FrechetDistance.between(point, unit), 1e-12);
        assertEquals(10, FrechetDistance.between(unit, point), 1e-12);
        assertEquals(0, FrechetDistance.between(point, point), 0);
    }

    /** Rotating and moving both sets changes nothing; the distance of a set to itself, moved, is the way. */
    @Test
    void whatDoesNotDependOnTheAxes() {
        INDArray x = Nd4j.createFromArray(random(2, 60, 8, 0));
        INDArray y = Nd4j.createFromArray(random(3, 5, 8, 0.5)); // singular
        double distance = distance(x, y);
        INDArray mixing = Nd4j.createFromArray(random(4, 8, 8, 0));
        INDArray symmetric = mixing.add(mixing.transpose()).dup('f');
        Nd4j.getBlasWrapper().lapack().syev('V', 'L', symmetric, Nd4j.create(DataType.DOUBLE, 8));
        assertEquals(
                distance, distance(x.mmul(symmetric).add(3), y.mmul(symmetric).add(3)), 1e-9 * distance);
        assertEquals(8 * 0.25, distance(x, x.add(0.5)), 1e-9);
    }

    private static double distance(INDArray x, INDArray y) {
        try (Features a = Features.of(x);
                Features b = Features.of(y)) {
            return FrechetDistance.between(FeatureStatistics.of(a), FeatureStatistics.of(b));
        }
    }

    @Test
    void refusesWhatHasNoDistance() {
        FeatureStatistics three = FeatureStatistics.of(Nd4j.zeros(DataType.DOUBLE, 3), Nd4j.eye(3));
        FeatureStatistics two = FeatureStatistics.of(Nd4j.zeros(DataType.DOUBLE, 2), Nd4j.eye(2));
        assertMessage("3 features an image, the sample 2", () -> FrechetDistance.between(three, two));
        assertMessage("got [3] and [2, 2]", () -> FeatureStatistics.of(Nd4j.zeros(DataType.DOUBLE, 3), Nd4j.eye(2)));
        assertMessage(
                "not symmetric",
                () -> FeatureStatistics.of(
                        Nd4j.zeros(DataType.DOUBLE, 2), Nd4j.createFromArray(new double[][] {{1, 2}, {0, 1}})));
        assertMessage("no finite number", () -> FeatureStatistics.of(Nd4j.createFromArray(0, Double.NaN), Nd4j.eye(2)));
        try (Features one = Features.of(Nd4j.ones(1, 3))) {
            assertMessage("at least 2 images, got 1", () -> FeatureStatistics.of(one));
        }
    }

    static void assertMessage(String part, org.junit.jupiter.api.function.Executable executable) {
        String message =
                assertThrows(IllegalArgumentException.class, executable).getMessage();
        assertTrue(message.contains(part), message);
    }

    /** With S2 = 4 S1 the distance is tr S1 (1 + 4 - 2 x 2). Many features: libraries take other paths for large matrices. */
    @Test
    void manyFeaturesOfScaledCovariances() {
        int width = 600;
        INDArray values = Nd4j.randn(DataType.DOUBLE, 900, width);
        INDArray covariance = values.transpose().mmul(values).divi(900);
        INDArray mean = Nd4j.zeros(DataType.DOUBLE, width);
        double distance = FrechetDistance.between(
                FeatureStatistics.of(mean, covariance), FeatureStatistics.of(mean, covariance.mul(4)));
        double trace = Nd4j.diag(covariance).sumNumber().doubleValue();
        assertEquals(trace, distance, 1e-8 * trace);
    }
}
