package org.npp4j.llamagen.parity;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.files.NpzFile;

class GptParityTest {
    private static final GoldenGpt GQA = new GoldenGpt("gpt-gqa");

    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"gpt-tiny", "gpt-gqa"})
    void everyArrayOfTheGoldenFiles(String name) throws IOException {
        GoldenGpt golden = new GoldenGpt(name);
        try (NpzFile arrays = NpzFile.open(GoldenGpt.resource(name + ".npz").toPath())) {
            ParityReport report = GptParity.compare(golden.spec(), golden::loadInto, golden.info(), arrays, 1e-4);
            assertTrue(report.passed(), () -> report.failures().toString());
            // tokens and classes are inputs; four losses and four norms come from the settings
            assertEquals(arrays.names().size() - 2 + 8, report.comparisons().size());
            for (Comparison comparison : report.comparisons()) {
                if (comparison.group().endsWith("in double")) {
                    assertTrue(comparison.difference() < 1e-12, comparison::toString);
                }
            }
        }
    }

    @Test
    void captions() throws IOException {
        GoldenGpt golden = new GoldenGpt("gpt-text");
        Map<String, INDArray> arrays = new HashMap<>(golden.arrays());
        arrays.keySet().removeIf(name -> !name.matches("tokens|captions|p\\d.*"));
        ParityReport report = compare(golden, arrays);
        assertTrue(report.passed(), () -> report.failures().toString());
    }

    @Test
    void whatDiffersFails() throws IOException {
        Map<String, INDArray> arrays = inputs();
        arrays.put("p2.loss", GQA.array("p2.loss").mul(1.001));
        arrays.put("p2.logits", GQA.array("p2.logits"));
        INDArray gradient = GQA.array("p2.grad.norm.weight").dup();
        gradient.putScalar(3, Float.NaN);
        arrays.put("p2.grad.norm.weight", gradient);
        arrays.put("p1.logits", Nd4j.zeros(3, 36, 49));
        arrays.put("p5.loss", GQA.array("p2.loss"));
        arrays.put("p1.grad.layers.7.ffn_norm.weight", gradient);
        arrays.put("perplexity", gradient);
        INDArray tokens = GQA.array("greedy.cfg2.interval-1").dup();
        tokens.putScalar(new int[] {1, 5}, (tokens.getInt(1, 5) + 1) % 50);
        arrays.put("greedy.cfg2.interval-1", tokens);
        ParityReport report = compare(GQA, arrays);
        assertFalse(report.passed());
        Map<String, Comparison> failures = new HashMap<>();
        report.failures().forEach(failure -> failures.put(failure.name(), failure));
        assertEquals(7, failures.size(), failures::toString);
        assertEquals(1e-3, failures.get("p2.loss").difference(), 1e-5);
        assertTrue(failures.get("p2.grad.norm.weight").note().contains("not finite"));
        assertTrue(failures.get("p1.logits").note().contains("[3, 36, 49]"));
        assertTrue(failures.get("p5.loss").note().contains("does not divide"));
        assertTrue(failures.get("p1.grad.layers.7.ffn_norm.weight").note().contains("no parameter"));
        assertTrue(failures.get("perplexity").note().contains("not checked"));
        String note = failures.get("greedy.cfg2.interval-1").note();
        assertTrue(note.contains("1 of 72 tokens differ, first at position 5") && note.contains("margin"), note);
    }

    @Test
    void theWorstOfAGroupIsTheOneThatFails() {
        Comparison large = new Comparison("a", "large", 0.5, 1, "");
        Comparison failed = new Comparison("a", "failed", 0.2, 0.1, "");
        Comparison unknown = new Comparison("b", "unknown", Double.NaN, 1, "");
        List<ParityReport.Group> groups = new ParityReport(List.of(large, failed, unknown)).groups();
        assertEquals(failed, groups.get(0).worst());
        assertFalse(groups.get(1).passed());
        assertFalse(new ParityReport(List.of()).passed(), "nothing compared is nothing shown");
    }

    @Test
    void inputsAreChecked() throws IOException {
        Map<String, INDArray> arrays = inputs();
        arrays.put("p1.loss", GQA.array("p1.loss"));
        arrays.remove("classes");
        assertRefused("no \"classes\"", arrays);
        arrays.put("classes", Nd4j.createFromArray(1L, 2L));
        assertRefused("\"classes\" of the golden file must be [3]", arrays);
        arrays.put("tokens", Nd4j.createFromArray(new long[][] {{1, 2, 3}}));
        assertRefused("must be [batch, 36]", arrays);
    }

    private void assertRefused(String message, Map<String, INDArray> arrays) {
        IllegalArgumentException refusal = assertThrows(IllegalArgumentException.class, () -> compare(GQA, arrays));
        assertTrue(refusal.getMessage().contains(message), refusal.getMessage());
    }

    private static Map<String, INDArray> inputs() {
        return new HashMap<>(Map.of("tokens", GQA.array("tokens"), "classes", GQA.array("classes")));
    }

    private ParityReport compare(GoldenGpt golden, Map<String, INDArray> arrays) throws IOException {
        Path file = folder.resolve("golden.npz");
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<String, INDArray> entry : arrays.entrySet()) {
                zip.putNextEntry(new ZipEntry(entry.getKey() + ".npy"));
                zip.write(Nd4j.toNpyByteArray(entry.getValue()));
            }
        }
        try (NpzFile npz = NpzFile.open(file)) {
            return GptParity.compare(golden.spec(), golden::loadInto, golden.info(), npz, 1e-4);
        }
    }
}
