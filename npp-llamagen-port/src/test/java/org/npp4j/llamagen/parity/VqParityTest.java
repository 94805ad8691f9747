package org.npp4j.llamagen.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.tokenizer.GoldenVq;

class VqParityTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"vq8-tiny", "vq-odd"})
    void computesWhatPyTorchComputes(String name) throws IOException {
        try (NpzFile golden = NpzFile.open(GoldenVq.file(name + ".npz"))) {
            ParityReport report =
                    VqParity.compare(GoldenVq.file(name + ".pt"), GoldenVq.file(name + ".json"), golden, 2e-5);
            assertEquals(List.of(), report.failures());
            assertEquals(
                    List.of("latents", "codes", "decoded", "pixels"),
                    report.comparisons().stream().map(Comparison::name).toList());
        }
    }

    @Test
    void tellsTokenizersFromGpts() throws IOException {
        assertTrue(VqParity.describes(GoldenVq.file("vq-odd.json")));
        assertTrue(VqParity.describes(Files.writeString(folder.resolve("a"), "{\"vq_model\": \"VQ-8\"}")));
        assertFalse(VqParity.describes(Files.writeString(folder.resolve("b"), "{\"dim\": 8}")));
        assertFalse(VqParity.describes(Files.writeString(folder.resolve("c"), "no JSON")));
    }

    @Test
    void refusesAToleranceThatIsNone() throws IOException {
        try (NpzFile golden = NpzFile.open(GoldenVq.file("vq-odd.npz"))) {
            Path config = GoldenVq.file("vq-odd.json");
            assertThrows(
                    IllegalArgumentException.class,
                    () -> VqParity.compare(GoldenVq.file("vq-odd.pt"), config, golden, 0));
        }
    }
}
