package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.PyTorchWriter;
import org.npp4j.llamagen.checkpoint.SafetensorsWriter;
import org.npp4j.llamagen.checkpoint.TensorSource;
import org.npp4j.llamagen.checkpoint.TensorType;

class InspectCommandTest {
    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    /** A tensor of bytes. */
    private record Bytes(byte... bytes) implements TensorSource {
        @Override
        public TensorType type() {
            return TensorType.UINT8;
        }

        @Override
        public long[] shape() {
            return new long[] {1, bytes.length};
        }

        @Override
        public void writeTo(OutputStream to) throws IOException {
            to.write(bytes);
        }
    }

    private Path checkpoint() throws IOException {
        Map<String, Object> root = new LinkedHashMap<>();
        root.put("model", Map.of("a\nb", new Bytes((byte) 1, (byte) 255)));
        root.put("optimizer", Map.of("lr", 0.5, "step", new Bytes((byte) 3)));
        root.put("steps", 12L);
        root.put("note", "x".repeat(100));
        root.put("sizes", List.of(1L, 2L));
        Path file = folder.resolve("model.pt");
        PyTorchWriter.write(file, root);
        return file;
    }

    @Test
    void table() throws Exception {
        assertEquals(0, npp("inspect", checkpoint().toString()), err::toString);
        List<String> lines = out.toString().lines().toList();
        assertTrue(lines.get(0).endsWith("model.pt: PyTorch"), out::toString);
        assertTrue(lines.get(1).matches("name +dtype +shape +sum"), out::toString);
        assertTrue(lines.get(2).matches("model\\.a\\?b +uint8 +\\[1, 2\\] +256\\.000000"), out::toString);
        assertTrue(lines.get(3).matches("optimizer\\.step +uint8 +\\[1, 1\\] +3\\.00000000"), out::toString);
        assertEquals("2 tensors, 3 elements, 3 bytes (0.0 MiB)", lines.get(4));
        assertEquals(
                List.of("", "optimizer.lr  0.5", "steps  12", "note  \"" + "x".repeat(59) + "..", "sizes  list of 2"),
                lines.subList(5, lines.size()));
    }

    @Test
    void json() throws Exception {
        assertEquals(0, npp("inspect", "--json", checkpoint().toString()), err::toString);
        assertEquals(
                "{\"tensors\":{\"model.a\\nb\":{\"dtype\":\"uint8\",\"shape\":[1,2],\"sum\":256.0},"
                        + "\"optimizer.step\":{\"dtype\":\"uint8\",\"shape\":[1,1],\"sum\":3.0}}}",
                out.toString().strip());
    }

    @Test
    void aNetwork() throws Exception {
        GptSpec spec = GptSpec.of(1, 2, 16)
                .feedForwardMultiple(8)
                .vocabulary(9)
                .classes(4)
                .grid(TokenGrid.of(2, 2))
                .build();
        Path zip = folder.resolve("model.zip");
        ModelSerializer.writeModel(LlamaGen.of(spec).init(), zip.toFile(), false);
        assertEquals(0, npp("inspect", zip.toString()), err::toString);
        List<String> lines = out.toString().lines().toList();
        assertTrue(lines.get(0).endsWith("model.zip: Deeplearning4j"), out::toString);
        assertTrue(
                lines.get(2).matches("model\\.cls_embedding\\.embedding_table\\.weight +float32 +\\[5, 16\\] +.*"),
                out::toString);
        assertTrue(lines.get(lines.size() - 1).startsWith("11 tensors, "), out::toString);
        assertEquals(0, npp("inspect", "--json", zip.toString()), err::toString);
        assertTrue(
                out.toString().contains("\"model.norm.weight\":{\"dtype\":\"float32\",\"shape\":[16],\"sum\":16.0}"),
                out::toString);
    }

    @Test
    void aSumThatNoDoubleHolds() throws Exception {
        Path file = folder.resolve("large.pt");
        double largest = Double.MAX_VALUE;
        PyTorchWriter.write(
                file,
                Map.of(
                        "a", TensorSource.of(Nd4j.createFromArray(largest, largest)),
                        "b", TensorSource.of(Nd4j.createFromArray(-largest, -largest, -largest))));
        assertEquals(0, npp("inspect", "--json", file.toString()), err::toString);
        assertTrue(out.toString().contains("\"sum\":1.7976931348623157E308"), out::toString);
        assertTrue(out.toString().contains("\"sum\":-1.7976931348623157E308"), out::toString);
    }

    @Test
    void aFileWithoutTensors() throws Exception {
        Path file = folder.resolve("number.pt");
        PyTorchWriter.write(file, 7L);
        assertEquals(0, npp("inspect", file.toString()), err::toString);
        assertTrue(out.toString().contains("0 tensors"), out::toString);
        assertTrue(out.toString().strip().endsWith("object  7"), out::toString);
    }

    @Test
    void metadata() throws Exception {
        Path file = folder.resolve("model.safetensors");
        SafetensorsWriter.write(file, Map.of("a", new Bytes((byte) 1)), Map.of("format", "pt"));
        assertEquals(0, npp("inspect", file.toString()), err::toString);
        assertTrue(out.toString().contains("model.safetensors: safetensors"), out::toString);
        assertTrue(out.toString().contains("metadata.format  \"pt\""), out::toString);
    }

    @Test
    void aTensorThatCannotBeReadIsNamed() throws Exception {
        String header = "{\"odd\":{\"dtype\":\"C64\",\"shape\":[1],\"data_offsets\":[0,8]},"
                + "\"fine\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[8,9]}} ";
        byte[] file = new byte[8 + header.length() + 9];
        file[0] = (byte) header.length();
        System.arraycopy(header.getBytes(StandardCharsets.UTF_8), 0, file, 8, header.length());
        Path path = Files.write(folder.resolve("odd.safetensors"), file);
        assertEquals(1, npp("inspect", path.toString()));
        assertTrue(
                out.toString().matches("(?s).*odd +complex64 +\\[1\\] +cannot be read.*fine +uint8.*"), out::toString);
        assertTrue(
                err.toString().contains("odd.safetensors holds 1 tensor that cannot be read: odd (complex64)."),
                err::toString);
        assertEquals(1, npp("inspect", "--json", path.toString()));
        assertEquals(
                "{\"tensors\":{\"fine\":{\"dtype\":\"uint8\",\"shape\":[1],\"sum\":0.0}}}",
                out.toString().strip());
        assertTrue(err.toString().contains("odd (complex64)"), err::toString);
    }

    @Test
    void failuresAreOneLine() throws Exception {
        assertEquals(2, npp("inspect"));
        assertTrue(err.toString().contains("FILE"), err::toString);
        Path none = folder.resolve("none.pt");
        assertEquals(1, npp("inspect", none.toString()));
        assertEquals(
                "npp: " + none + " does not exist. Check the path",
                err.toString().strip());
        assertEquals(1, npp("inspect", folder.toString()));
        assertTrue(err.toString().contains("is a folder"), err::toString);
        Path page = Files.writeString(folder.resolve("page.pt"), "<html>\n");
        assertEquals(1, npp("inspect", "--json", page.toString()));
        assertTrue(err.toString().contains("is a web page"), err::toString);
        assertEquals("", out.toString());
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new InspectCommand(Backend::start)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }
}
