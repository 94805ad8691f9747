package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.npp4j.llamagen.evaluation.FrechetDistanceTest.assertMessage;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.factory.Nd4j;

class PrecisionRecallTest {
    private static double distance(float[] a, float[] b) {
        double sum = 0;
        for (int i = 0; i < a.length; i++) {
            sum += ((double) a[i] - b[i]) * ((double) a[i] - b[i]);
        }
        return sum;
    }

    private static double[] radii(float[][] set, int k) {
        double[] radii = new double[set.length];
        for (int i = 0; i < set.length; i++) {
            double[] distances = new double[set.length];
            for (int j = 0; j < set.length; j++) {
                distances[j] = distance(set[i], set[j]);
            }
            Arrays.sort(distances);
            radii[i] = distances[k]; // the first is the distance to itself
        }
        return radii;
    }

    /** Which points are within the set. */
    private static boolean[] within(float[][] points, float[][] set, int k) {
        double[] radii = radii(set, k);
        boolean[] within = new boolean[points.length];
        for (int i = 0; i < points.length; i++) {
            for (int j = 0; j < set.length; j++) {
                within[i] |= distance(points[i], set[j]) <= radii[j];
            }
        }
        return within;
    }

    private static float[][] random(Random random, int rows, int columns, double shift, double scale) {
        float[][] values = new float[rows][columns];
        for (float[] row : values) {
            for (int i = 0; i < columns; i++) {
                row[i] = (float) (shift + scale * random.nextGaussian());
            }
        }
        return values;
    }

    private static void assertAsNaive(float[][] reference, float[][] sample, int k) {
        boolean[] precise = within(sample, reference, k);
        boolean[] recalled = within(reference, sample, k);
        List<Double> progress = new ArrayList<>();
        try (Features a = Features.of(Nd4j.createFromArray(reference));
                Features b = Features.of(Nd4j.createFromArray(sample))) {
            PrecisionRecall scores = PrecisionRecall.of(a, b, k, progress::add);
            int preciseCount = 0;
            for (int i = 0; i < sample.length; i++) {
                assertEquals(precise[i], scores.isPrecise(i));
                preciseCount += precise[i] ? 1 : 0;
            }
            int recalledCount = 0;
            for (int i = 0; i < reference.length; i++) {
                assertEquals(recalled[i], scores.isRecalled(i));
                recalledCount += recalled[i] ? 1 : 0;
            }
            assertEquals(preciseCount / (double) sample.length, scores.precision());
            assertEquals(recalledCount / (double) reference.length, scores.recall());
        }
        assertEquals(progress.stream().sorted().toList(), progress);
        assertTrue(progress.get(progress.size() - 1) > 0.99);
    }

    /** Also far from 0, where squares in float keep no digit of the distances, and in more than one block. */
    @ParameterizedTest
    @CsvSource({
        "60, 50, 5, 3, 0, 1",
        "60, 50, 5, 1, 1000, 0.01",
        "4, 30, 12, 3, 0, 1e-6",
        "50, 8, 3, 7, -300, 1e4",
        "2300, 2100, 2, 3, 5, 1"
    })
    void everyPointAsInPlainLoops(int references, int samples, int width, int k, double shift, double scale) {
        Random random = new Random(references);
        float[][] reference = random(random, references, width, shift, scale);
        float[][] sample = random(random, samples, width, shift + 0.5 * scale, 0.8 * scale);
        assertAsNaive(reference, sample, k);
        assertAsNaive(sample, reference, k);
    }

    /** On a lattice many distances equal a radius exactly: "no farther" must not depend on rounding. */
    @Test
    void tiesAndRepeatedPoints() {
        Random random = new Random(5);
        float[][] reference = new float[90][3];
        float[][] sample = new float[70][3];
        for (float[][] set : List.of(reference, sample)) {
            for (float[] row : set) {
                for (int i = 0; i < row.length; i++) {
                    row[i] = 1e4f + random.nextInt(4);
                }
            }
        }
        assertAsNaive(reference, sample, 3);
        float[][] same = new float[50][3];
        assertAsNaive(same, same, 3);
        assertAsNaive(reference, reference, 2);
    }

    @Test
    void refusesSetsThatAreTooSmallOrDoNotFit() {
        try (Features three = Features.of(Nd4j.rand(3, 2));
                Features four = Features.of(Nd4j.rand(4, 2));
                Features wide = Features.of(Nd4j.rand(4, 5))) {
            assertMessage(
                    "at least 4 images in each set, got 4 of the reference and 3",
                    () -> PrecisionRecall.of(four, three));
            assertMessage("2 features an image, the sample 5", () -> PrecisionRecall.of(four, wide));
            assertMessage("At least 1 neighbour", () -> PrecisionRecall.of(four, four, 0, done -> {}));
        }
    }
}
