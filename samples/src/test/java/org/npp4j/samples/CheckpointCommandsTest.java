package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.checkpoint.TensorFile;

/** {@code npp convert} and {@code npp parity}. */
class CheckpointCommandsTest {
    private static final Path CHECKPOINT = golden("small.pt");
    private static final Path CONFIG = golden("small.json");
    private static final Path GOLDEN = golden("small.npz");

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    /** Around through every kind of file, and the last one is the first again. */
    @Test
    void convertsInEveryDirection() throws IOException {
        String[] kinds = {"safetensors", "zip", "pt", "zip", "safetensors", "pt"};
        Path in = CHECKPOINT;
        for (int i = 0; i < kinds.length; i++) {
            Path next = folder.resolve(i + "." + kinds[i]);
            String[] args = {"convert", in.toString(), next.toString(), "--config", CONFIG.toString()};
            assertEquals(0, npp(args), err::toString);
            assertTrue(out.toString().contains("11 tensors (11 float32), 7,152 numbers"), out.toString());
            assertEquals(1, out.toString().lines().count());
            in = next;
        }
        try (TensorFile first = TensorFile.open(CHECKPOINT);
                TensorFile last = TensorFile.open(in)) {
            assertEquals(
                    List.copyOf(first.tensors().keySet()),
                    List.copyOf(last.tensors().keySet()));
            for (String name : first.tensors().keySet()) {
                assertEquals(
                        first.tensors().get(name).toArray(),
                        last.tensors().get(name).toArray());
            }
        }
        assertArrayEquals(
                Files.readAllBytes(folder.resolve("0.safetensors")),
                Files.readAllBytes(folder.resolve("4.safetensors")));
    }

    @Test
    void convertExplainsItselfInALine() throws IOException {
        Path zip = folder.resolve("a.zip");
        fails(1, "--config FILE.json", "convert", CHECKPOINT.toString(), zip.toString());
        fails(1, "must end in .pt", "convert", CHECKPOINT.toString(), "a.onnx");
        fails(1, "does not exist", "convert", folder.resolve("none.pt").toString(), zip.toString());
        fails(1, "is a folder", "convert", folder.toString(), zip.toString());
        fails(2, "GPT-XXL", "convert", CHECKPOINT.toString(), zip.toString(), "--model", "GPT-M");
        fails(
                2,
                "exclude each other",
                "convert",
                CHECKPOINT.toString(),
                zip.toString(),
                "--model",
                "GPT-B",
                "--config",
                CONFIG.toString());
        Path copy = Files.copy(CHECKPOINT, folder.resolve("copy.pt"));
        fails(1, "never overwritten", "convert", copy.toString(), copy.toString());
        assertArrayEquals(Files.readAllBytes(CHECKPOINT), Files.readAllBytes(copy));
        assertFalse(Files.exists(zip));
    }

    @Test
    void convertListsTheTensorsThatDoNotFit() {
        Path zip = folder.resolve("a.zip");
        assertEquals(1, npp("convert", CHECKPOINT.toString(), zip.toString(), "--model", "GPT-B"));
        List<String> lines = err.toString().lines().toList();
        assertTrue(lines.get(0).contains("77 missing, 0 unexpected and 11 mis-shaped"), lines.get(0));
        assertTrue(lines.contains("  mis-shaped: norm.weight is [24], the model has [768]"), err.toString());
        assertFalse(Files.exists(zip));
    }

    @Test
    void parityOfEveryArray() {
        assertEquals(0, parity(CHECKPOINT), () -> out + "" + err);
        assertTrue(out.toString().contains("weights after 4 steps"), out.toString());
        assertTrue(out.toString().contains("0 of 32 tokens differ"), out.toString());
        assertTrue(out.toString().contains("comparisons within their limits"), out.toString());
        assertFalse(out.toString().contains("FAILED"), out.toString());
    }

    @Test
    void parityOfConvertedFiles() {
        for (String kind : List.of("zip", "safetensors")) {
            Path converted = folder.resolve("converted." + kind);
            assertEquals(0, npp("convert", CHECKPOINT.toString(), converted.toString(), "--config", CONFIG.toString()));
            assertEquals(0, parity(converted), () -> out + "" + err);
        }
    }

    @Test
    void parityFailsAboveTheTolerance() {
        assertEquals(1, parity(CHECKPOINT, "--tolerance", "1e-12"));
        assertTrue(out.toString().contains("<- FAILED"), out.toString());
        assertTrue(out.toString().contains("FAILED p1.logits: "), out.toString());
        assertTrue(err.toString().contains("comparisons failed"), err.toString());
    }

    @Test
    void parityExplainsItselfInALine() throws IOException {
        fails(2, "--tolerance must be", arguments(CHECKPOINT, "--tolerance", "0"));
        fails(2, "--golden", "parity", "--checkpoint", CHECKPOINT.toString(), "--config", CONFIG.toString());
        fails(1, "does not exist", arguments(folder.resolve("none.pt")));
        Path config = folder.resolve("config.json");
        Files.writeString(config, Files.readString(CONFIG).replace("\"training\"", "\"trainings\""));
        fails(1, "no \"training\"", with(config));
        Files.writeString(config, Files.readString(CONFIG).replace("\"n_head\": 3", "\"n_head\": 5"));
        fails(1, "multiple of 4 x heads", with(config));
        Files.writeString(config, "{\"config\": {\"codebook_size\": 256}}");
        fails(1, "has no array \"images\"", with(config));
        Files.writeString(config, "{\"config\": {\"stages\": 1}}");
        fails(1, "stages of at least 2, got 1", with(config));
        fails(1, "nor any text in UTF-8", with(CHECKPOINT));
        Files.writeString(config, "{");
        fails(1, "is not JSON", with(config));
    }

    private static String[] with(Path config) {
        return new String[] {
            "parity",
            "--checkpoint",
            CHECKPOINT.toString(),
            "--config",
            config.toString(),
            "--golden",
            GOLDEN.toString()
        };
    }

    private int parity(Path checkpoint, String... more) {
        return npp(arguments(checkpoint, more));
    }

    private static String[] arguments(Path checkpoint, String... more) {
        String[] args = {
            "parity",
            "--checkpoint",
            checkpoint.toString(),
            "--config",
            CONFIG.toString(),
            "--golden",
            GOLDEN.toString()
        };
        String[] all = java.util.Arrays.copyOf(args, args.length + more.length);
        System.arraycopy(more, 0, all, args.length, more.length);
        return all;
    }

    private void fails(int code, String message, String... args) {
        assertEquals(code, npp(args), err::toString);
        assertTrue(err.toString().contains(message), err.toString());
        assertEquals(1, err.toString().lines().count(), err.toString());
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new ConvertCommand(Backend::start), new ParityCommand(Backend::start)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }

    private static Path golden(String name) {
        try {
            return Path.of(
                    CheckpointCommandsTest.class.getResource("/golden/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }
}
