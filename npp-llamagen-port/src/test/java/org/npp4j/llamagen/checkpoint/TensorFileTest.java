package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.OutputStream;
import java.math.BigInteger;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.shade.jackson.databind.JsonNode;

class TensorFileTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @ValueSource(
            strings = {
                "types.pt",
                "types-legacy.pt",
                "views.pt",
                "views-legacy.pt",
                "nested.pt",
                "nested-legacy.pt",
                "nested-protocol1.pt",
                "nested-protocol3.pt",
                "nested-protocol4.pt",
                "nested-protocol5.pt",
                "nested-legacy-protocol4.pt",
                "bare.pt",
                "other-prefix.pt",
                "custom.pt",
                "runs.pt",
                "unsupported.pt",
                "types.safetensors"
            })
    void readsWhatWasWritten(String name) throws Exception {
        JsonNode expected = GoldenCheckpoints.expected().get(name);
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path(name))) {
            List<String> names = new ArrayList<>();
            expected.fieldNames().forEachRemaining(names::add);
            if (!name.endsWith(".safetensors")) {
                assertEquals(names, new ArrayList<>(file.tensors().keySet()));
            }
            assertEquals(names.size(), file.tensors().size());
            for (String each : names) {
                StoredTensor tensor = file.tensors().get(each);
                assertEquals(each, tensor.name().isEmpty() ? "" : each);
                isAsExpected(expected.get(each), tensor);
            }
        }
    }

    private static void isAsExpected(JsonNode expected, StoredTensor tensor) throws Exception {
        assertEquals(expected.get("shape").size(), tensor.shape().length);
        for (int axis = 0; axis < tensor.shape().length; axis++) {
            assertEquals(expected.get("shape").get(axis).asLong(), tensor.shape()[axis]);
        }
        assertEquals(expected.has("dtype"), tensor.isReadable(), tensor::toString);
        if (!tensor.isReadable()) {
            return;
        }
        assertEquals(expected.get("dtype").asText(), tensor.typeLabel());
        assertEquals(expected.get("dtype").asText(), tensor.type().label());
        assertEquals(expected.get("sum").asDouble(), tensor.sum(), 1e-12 * Math.abs(tensor.sum()));
        INDArray array = tensor.toArray();
        assertEquals(tensor.type().dataType(), array.dataType());
        assertArrayEquals(tensor.shape(), array.shape());
        JsonNode numbers = expected.get("numbers");
        assertEquals(numbers.size(), tensor.elements());
        if (numbers.isEmpty()) {
            assertTrue(array.isEmpty());
            return;
        }
        INDArray flat = array.reshape(array.length());
        for (int i = 0; i < numbers.size(); i++) {
            JsonNode number = numbers.get(i);
            if (number.isBoolean()) {
                assertEquals(number.asBoolean() ? 1 : 0, flat.getInt(i));
            } else if (tensor.type() == TensorType.INT64) {
                assertEquals(number.asLong(), flat.getLong(i));
            } else {
                assertEquals(
                        number.isTextual() ? special(number.asText()) : number.asDouble(),
                        flat.getDouble(i),
                        () -> tensor + " " + array);
            }
        }
    }

    private static double special(String text) {
        return switch (text) {
            case "nan" -> Double.NaN;
            case "inf" -> Double.POSITIVE_INFINITY;
            default -> Double.NEGATIVE_INFINITY;
        };
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "nested.pt",
                "nested-legacy.pt",
                "nested-protocol1.pt",
                "nested-protocol3.pt",
                "nested-protocol4.pt",
                "nested-protocol5.pt",
                "nested-legacy-protocol4.pt"
            })
    void readsPlainDataAsWell(String name) throws Exception {
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path(name))) {
            Map<?, ?> root = (Map<?, ?>) file.root();
            assertEquals(12L, root.get("steps"));
            assertEquals(BigInteger.TWO.pow(80), root.get("huge"));
            assertEquals(-(1L << 40), root.get("negative"));
            assertEquals(0.125, root.get("loss"));
            assertEquals("Grüße 你好", root.get("text"));
            assertArrayEquals(new byte[] {0, (byte) 0xff}, (byte[]) root.get("bytes"));
            PickledObject arguments = (PickledObject) root.get("args");
            assertEquals("argparse.Namespace", arguments.toString());
            assertEquals(Map.of("lr", 1e-3, "name", "run", "sizes", List.of(1L, 2L)), arguments.state());
            assertEquals(List.of("b", "a"), List.copyOf(((Map<?, ?>) root.get("ordered")).keySet()));
            assertEquals(List.of(2L, 3L), root.get("size"));
            assertEquals("torch.device", root.get("device").toString());
            assertTrue(((PickledObject) root.get("dtype")).isName());
            assertEquals(List.of(3L), root.get("set"));
            assertEquals(List.of(4L), root.get("frozen"));
            assertEquals(List.of(1.0, 2.0), ((PickledObject) root.get("complex")).arguments());
            assertEquals(0.5, root.get("numpy_scalar"));
            assertEquals(-3L, root.get("numpy_int"));
            assertInstanceOf(PickledObject.class, root.get("numpy_array"));
            assertTrue(root.containsKey("none"));
            assertNull(root.get("none"));
            List<?> groups = (List<?>) ((Map<?, ?>) root.get("optimizer")).get("param_groups");
            Map<?, ?> group = (Map<?, ?>) groups.get(0);
            assertEquals(Tuple.of(0.9, 0.95), group.get("betas"));
            assertInstanceOf(Tuple.class, group.get("betas"));
            assertEquals(true, group.get("flag"));
            assertSame(((List<?>) root.get("list")).get(0), file.tensors().get("list.1.0"));
            assertEquals("list.0", file.tensors().get("list.1.0").name());
        }
    }

    @Test
    void formatsAndMetadata() throws Exception {
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("types.safetensors"))) {
            assertEquals(CheckpointFormat.SAFETENSORS, file.format());
            assertEquals(Map.of("format", "pt", "note", "Grüße"), file.metadata());
            assertEquals(file.root(), file.tensors());
        }
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("bare.pt"))) {
            assertEquals(CheckpointFormat.PYTORCH_ZIP, file.format());
            assertSame(file.root(), file.tensors().get(""));
            assertEquals(GoldenCheckpoints.path("bare.pt"), file.path());
        }
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("types-legacy.pt"))) {
            assertEquals(CheckpointFormat.PYTORCH_LEGACY, file.format());
            assertEquals(Map.of(), file.metadata());
        }
    }

    @Test
    void nothingRuns() throws Exception {
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("runs.pt"))) {
            PickledObject attack = (PickledObject) ((Map<?, ?>) file.root()).get("attack");
            assertTrue(attack.toString().endsWith(".system"), attack::toString);
            assertFalse(attack.isName());
            assertEquals(List.of("touch /tmp/npp-pickle-ran"), attack.arguments());
        }
    }

    @Test
    void aTypeThatCannotBeReadRefusesOnlyItsTensor() throws Exception {
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("unsupported.pt"))) {
            for (String name : List.of("complex", "uint16", "float8", "quantized", "sparse")) {
                StoredTensor tensor = file.tensors().get(name);
                CheckpointException e = assertThrows(CheckpointException.class, tensor::sum);
                assertTrue(e.getMessage().contains("unsupported.pt holds " + name + " as "), e::getMessage);
                assertTrue(e.getMessage().contains(tensor.typeLabel()), e::getMessage);
                assertThrows(CheckpointException.class, tensor::toArray);
                assertThrows(
                        CheckpointException.class, () -> tensor.readInto(Nd4j.create(DataType.FLOAT, tensor.shape())));
                assertThrows(CheckpointException.class, () -> tensor.writeTo(OutputStream.nullOutputStream()));
                assertThrows(IllegalStateException.class, tensor::type);
            }
            assertEquals("complex64", file.tensors().get("complex").typeLabel());
            assertEquals("uint16", file.tensors().get("uint16").typeLabel());
            assertEquals("float8_e4m3fn", file.tensors().get("float8").typeLabel());
            assertEquals("qint8", file.tensors().get("quantized").typeLabel());
            assertEquals("sparse", file.tensors().get("sparse").typeLabel());
            assertEquals(2.0, file.tensors().get("fine").sum());
        }
    }

    @Test
    void otherFilesAreCalledWhatTheyAre() throws Exception {
        isRefused(GoldenCheckpoints.path("big-endian.pt"), "big-endian");
        isRefused(GoldenCheckpoints.path("big-endian-legacy.pt"), "big-endian");
        isRefused(GoldenCheckpoints.path("compressed.pt"), "compressed");
        isRefused(GoldenCheckpoints.path("torchscript.pt"), "TorchScript");
        isRefused(GoldenCheckpoints.path("plain.pkl"), "is a pickle that torch.save did not write");
        isRefused(folder, "is a folder");
        isRefused(folder.resolve("none.pt"), "does not exist");
        isRefused(file(""), "is empty");
        isRefused(file("<!DOCTYPE html><html>"), "is a web page");
        isRefused(file("\n <HTML>"), "is a web page");
        isRefused(file("version https://git-lfs.github.com/spec/v1\noid sha256:0"), "is a Git LFS pointer");
        isRefused(file("{\"a\": 1}"), "is a text in JSON");
        isRefused(file("\u001f\u008b\b"), "gzip");
        isRefused(file("hello"), "it starts with the bytes 68 65 6c 6c 6f");
        isRefused(file(".".repeat(257) + "ustar"), "is a tar file");
        isRefused(file("\u0093NUMPY"), "is a NumPy array");
        isRefused(zip("coefficients.bin"), "is a network of Deeplearning4j");
        isRefused(zip("logits.npy"), "is a NumPy archive");
        isRefused(zip("notes.txt"), "is a zip file without data.pkl");
    }

    private static void isRefused(Path file, String message) {
        CheckpointException e = assertThrows(CheckpointException.class, () -> TensorFile.open(file));
        assertTrue(e.getMessage().contains(message), e::getMessage);
        assertTrue(e.getMessage().startsWith(file.toString()), e::getMessage);
        assertEquals(file.toString(), e.file());
    }

    private Path file(String latin1) throws Exception {
        Path file = Files.createTempFile(folder, "file", ".pt");
        return Files.write(file, latin1.getBytes(StandardCharsets.ISO_8859_1));
    }

    private Path zip(String entry) throws Exception {
        Path file = Files.createTempFile(folder, "zip", ".zip");
        try (ZipOutputStream zip = new ZipOutputStream(Files.newOutputStream(file))) {
            zip.putNextEntry(new ZipEntry(entry));
            zip.write(1);
        }
        return file;
    }

    @Test
    void aClosedFileSaysSo() throws Exception {
        TensorFile file = TensorFile.open(GoldenCheckpoints.path("bare.pt"));
        file.close();
        CheckpointException e = assertThrows(
                CheckpointException.class, () -> file.tensors().get("").sum());
        assertTrue(e.getMessage().contains("was closed"), e::getMessage);
    }
}
