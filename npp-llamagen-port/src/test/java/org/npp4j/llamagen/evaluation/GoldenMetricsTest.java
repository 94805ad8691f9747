package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.files.NpzFile;

/** The scores that NumPy and SciPy gave. */
class GoldenMetricsTest {
    private static final double TOLERANCE = 1e-6;

    private final Path file = GoldenGpt.resource("metrics.npz").toPath();
    private final JsonNode expected = new ObjectMapper().readTree(GoldenGpt.resource("metrics.json"));

    GoldenMetricsTest() throws IOException {}

    private INDArray array(String name) throws IOException {
        try (NpzFile npz = NpzFile.open(file)) {
            return npz.array(name);
        }
    }

    private FeatureStatistics statistics(String name) throws IOException {
        try (Features features = Features.of(array(name))) {
            return FeatureStatistics.of(features);
        }
    }

    private void assertScore(String name, double actual) {
        double value = expected.get(name).asDouble();
        assertEquals(value, actual, TOLERANCE * value, name);
    }

    @Test
    void frechetDistances() throws IOException {
        FeatureStatistics reference = statistics("reference");
        FeatureStatistics sample = statistics("sample");
        FeatureStatistics few = statistics("few");
        assertScore("fid_reference_sample", FrechetDistance.between(reference, sample));
        assertScore("fid_reference_sample", FrechetDistance.between(sample, reference));
        // fewer images than features: singular
        assertScore("fid_reference_few", FrechetDistance.between(reference, few));
        assertScore("fid_reference_few", FrechetDistance.between(few, reference));
        assertEquals(0, FrechetDistance.between(reference, reference), TOLERANCE);
        assertEquals(0, FrechetDistance.between(few, few), TOLERANCE);
    }

    @Test
    void inceptionScores() throws IOException {
        assertScore("inception_score_split_5000", InceptionScore.of(array("probs"), 5000));
        assertScore("inception_score_split_400", InceptionScore.of(array("probs"), 400));
    }

    @Test
    void precisionAndRecall() throws IOException {
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            try (Features reference = Features.of(array("reference").castTo(type));
                    Features sample = Features.of(array("sample").castTo(type))) {
                PrecisionRecall scores = PrecisionRecall.of(reference, sample);
                assertScore("precision_k3", scores.precision());
                assertScore("recall_k3", scores.recall());
            }
        }
    }
}
