package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.npp4j.llamagen.evaluation.FrechetDistanceTest.assertMessage;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.factory.Nd4j;

class InceptionScoreTest {
    private static double[][] random(long seed, int images, int classes) {
        Random random = new Random(seed);
        double[][] rows = new double[images][classes];
        for (double[] row : rows) {
            Arrays.setAll(row, c -> Math.exp(3 * random.nextGaussian()));
            double sum = Arrays.stream(row).sum();
            Arrays.setAll(row, c -> row[c] / sum);
        }
        return rows;
    }

    private static double naive(double[][] rows, int split) {
        List<Double> scores = new ArrayList<>();
        for (int from = 0; from < rows.length; from += split) {
            double[][] part = Arrays.copyOfRange(rows, from, Math.min(rows.length, from + split));
            double[] mean = new double[rows[0].length];
            for (double[] row : part) {
                for (int c = 0; c < row.length; c++) {
                    mean[c] += row[c] / part.length;
                }
            }
            double divergence = 0;
            for (double[] row : part) {
                for (int c = 0; c < row.length; c++) {
                    divergence += row[c] * (Math.log(row[c]) - Math.log(mean[c])) / part.length;
                }
            }
            scores.add(Math.exp(divergence));
        }
        return scores.stream().mapToDouble(Double::doubleValue).average().getAsDouble();
    }

    @ParameterizedTest
    @CsvSource({"40, 5000", "40, 10", "41, 10", "40, 1", "1, 7"})
    void theFormulaInBatches(int images, int split) {
        double[][] rows = random(images, images, 6);
        double expected = naive(rows, split);
        assertEquals(expected, InceptionScore.of(Nd4j.createFromArray(rows), split), 1e-12 * expected);
        InceptionScore score = new InceptionScore(split);
        for (int from = 0; from < images; from += 7) {
            score.add(Nd4j.createFromArray(Arrays.copyOfRange(rows, from, Math.min(images, from + 7))));
        }
        assertEquals(expected, score.value(), 1e-12 * expected);
    }

    @Test
    void extremes() {
        // sure of each class equally often: as many as there are classes. A probability of 0 adds nothing
        assertEquals(3, InceptionScore.of(Nd4j.eye(3), 5000), 1e-12);
        assertEquals(1, InceptionScore.of(Nd4j.ones(4, 5).div(5), 5000), 1e-6);
    }

    @Test
    void refusesWhatIsNoProbability() {
        assertMessage("add up to 5.0", () -> InceptionScore.of(Nd4j.ones(2, 5), 10));
        assertMessage("is -0.5", () -> InceptionScore.of(Nd4j.createFromArray(new double[][] {{1.5, -0.5}}), 10));
        assertMessage("is NaN", () -> InceptionScore.of(Nd4j.createFromArray(new double[][] {{1, Double.NaN}}), 10));
        assertMessage("[images, classes]", () -> InceptionScore.of(Nd4j.ones(3), 10));
        assertMessage("split needs at least 1 image, got 0", () -> new InceptionScore(0));
        InceptionScore score = new InceptionScore(5);
        assertThrows(IllegalStateException.class, score::value);
        score.add(Nd4j.eye(3));
        assertMessage("3 classes were there already, got 2", () -> score.add(Nd4j.eye(2)));
    }
}
