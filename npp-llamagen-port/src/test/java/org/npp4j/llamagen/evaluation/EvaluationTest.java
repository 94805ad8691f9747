package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.npp4j.llamagen.evaluation.FrechetDistanceTest.assertMessage;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.files.NpzFile;

class EvaluationTest {
    private static Features golden(String name) throws IOException {
        try (NpzFile npz = NpzFile.open(GoldenGpt.resource("metrics.npz").toPath())) {
            INDArray array = npz.array(name);
            return Features.of(array.get(NDArrayIndex.interval(0, Math.min(500, array.size(0))), NDArrayIndex.all()));
        }
    }

    private static Evaluation.Scores score(Evaluation.Settings settings, List<Double> progress) throws IOException {
        try (Features reference = golden("reference");
                SeenImages sample = SeenImages.of(golden("sample"), golden("probs"))) {
            return Evaluation.score(
                    new Evaluation.Reference(FeatureStatistics.of(reference), null, reference),
                    sample,
                    settings,
                    progress::add);
        }
    }

    @Test
    void everyScoreAndItsInterval() throws IOException {
        List<Double> progress = new ArrayList<>();
        Evaluation.Scores plain = score(Evaluation.Settings.published(), progress);
        assertTrue(progress.get(progress.size() - 1) > 0.99);
        assertNull(plain.sfid());
        assertTrue(Double.isNaN(plain.fid().margin()));
        Evaluation.Scores with = score(new Evaluation.Settings(5000, 3, 30, 7), progress);
        assertEquals(plain.fid().value(), with.fid().value());
        assertEquals(plain.inceptionScore().value(), with.inceptionScore().value());
        assertEquals(plain.precision().value(), with.precision().value());
        assertEquals(plain.recall(), with.recall());
        // the share of 500 draws: sqrt(p (1 - p) / 500) is its deviation
        double p = plain.precision().value();
        double expected = 1.96 * Math.sqrt(p * (1 - p) / 500);
        assertEquals(expected, with.precision().margin(), 0.5 * expected);
        assertTrue(with.fid().margin() > 0 && with.fid().margin() < with.fid().value());
        assertTrue(with.inceptionScore().margin() > 0 && with.inceptionScore().margin() < 1);
        // the same seed draws the same sets
        assertEquals(with, score(new Evaluation.Settings(5000, 3, 30, 7), progress));
    }

    /** Drawing each image once is the set itself. */
    @Test
    void repeatsCountAsCopies() {
        INDArray rows = Nd4j.rand(DataType.DOUBLE, 3, 4);
        FeatureStatistics.Accumulator repeated = new FeatureStatistics.Accumulator(4);
        repeated.add(rows, Nd4j.createFromArray(2.0, 0, 3));
        FeatureStatistics.Accumulator copies = new FeatureStatistics.Accumulator(4);
        for (int row : new int[] {0, 2, 2, 0, 2}) {
            copies.add(rows.getRow(row, true));
        }
        assertEquals(5, repeated.images());
        assertTrue(
                copies.statistics().mean().equalsWithEps(repeated.statistics().mean(), 1e-12));
        assertTrue(copies.statistics()
                .covariance()
                .equalsWithEps(repeated.statistics().covariance(), 1e-12));
    }

    @Test
    void statisticsAloneGiveNoPrecision() throws IOException {
        try (Features reference = golden("reference");
                SeenImages sample = SeenImages.of(golden("sample"), null)) {
            Evaluation.Scores scores = Evaluation.score(
                    new Evaluation.Reference(FeatureStatistics.of(reference), null, null),
                    sample,
                    Evaluation.Settings.published(),
                    done -> {});
            assertNull(scores.precision());
            assertNull(scores.recall());
            assertNull(scores.inceptionScore());
            assertTrue(scores.fid().value() > 0);
        }
    }

    @Test
    void refusesSettingsOutOfRange() {
        assertMessage("got 0, 3 and 0", () -> new Evaluation.Settings(0, 3, 0, 0));
        assertMessage("got 1, 3 and 1", () -> new Evaluation.Settings(1, 3, 1, 0));
    }
}
