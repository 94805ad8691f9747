package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.parity.Comparison;
import org.npp4j.llamagen.parity.ParityReport;

/** Everything that PyTorch computed: ends of stages, conditions, velocities, loss, every gradient, generated latents. */
class EcarParityTest {
    @TempDir
    private Path folder;

    private static ParityReport compare(Path checkpoint, Path config, String golden) throws IOException {
        try (NpzFile arrays = Golden.arrays(golden)) {
            return EcarParity.compare(checkpoint, config, arrays, 1e-4);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"ecar-s2", "ecar-s3", "ecar-grid"})
    void everyArrayAgrees(String name) throws IOException {
        ParityReport report = compare(Golden.file(name + ".pt"), Golden.file(name + ".json"), name);
        assertEquals(List.of(), report.failures());
        int inputs = 2 + 2 * Golden.config(name).stages();
        try (NpzFile arrays = Golden.arrays(name)) {
            assertEquals(arrays.names().size() - inputs, report.comparisons().size());
        }
        for (Comparison comparison : report.comparisons()) {
            assertTrue(comparison.difference() < 1e-4, comparison.toString());
        }
    }

    @Test
    void findsAWrongWeight() throws IOException {
        EcarConfig config = Golden.config("ecar-s2");
        ComputationGraph network = Golden.network("ecar-s2");
        network.getParam("positions_stage").putScalar(1, 3, 5);
        Path wrong = folder.resolve("wrong.pt");
        EcarCheckpoint.write(wrong, new EcarCheckpoint.Model(config, network, null));
        ParityReport report = compare(wrong, Golden.file("ecar-s2.json"), "ecar-s2");
        List<String> failed = report.failures().stream().map(Comparison::name).toList();
        assertTrue(failed.contains("conditions1") && failed.contains("loss"), failed.toString());
        assertTrue(!failed.contains("conditions0") && !failed.contains("end1"), failed.toString());
    }

    @Test
    void failsWhatItDoesNotKnow() throws IOException {
        // the golden file of three stages against a model of two
        assertThrows(
                IllegalArgumentException.class,
                () -> compare(Golden.file("ecar-s2.pt"), Golden.file("ecar-s2.json"), "ecar-s3"));
        Path config = folder.resolve("config.json");
        Files.writeString(config, "{\"stage\": 2}");
        assertEquals(
                config + ": \"stage\" is no key of an ECAR. Known are: [channels, grid, stages, dim, n_layer, n_head,"
                        + " num_classes, class_dropout, dropout, head, head_width, head_blocks, head_heads]",
                assertThrows(IllegalArgumentException.class, () -> compare(config, config, "ecar-s2"))
                        .getMessage());
    }
}
