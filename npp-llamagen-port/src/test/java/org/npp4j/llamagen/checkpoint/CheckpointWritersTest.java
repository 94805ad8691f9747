package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

class CheckpointWritersTest {
    @TempDir
    private Path folder;

    /** A tensor of these bytes. */
    private record Bytes(TensorType type, long[] sizes, byte[] bytes) implements TensorSource {
        @Override
        public long[] shape() {
            return sizes.clone();
        }

        @Override
        public void writeTo(OutputStream out) throws IOException {
            out.write(bytes);
        }
    }

    private static Bytes random(Random random) {
        TensorType type = TensorType.values()[random.nextInt(TensorType.values().length)];
        long[] shape = new long[random.nextInt(4)];
        int elements = 1;
        for (int axis = 0; axis < shape.length; axis++) {
            shape[axis] = random.nextInt(6);
            elements *= (int) shape[axis];
        }
        byte[] bytes = new byte[elements * type.bytes()];
        random.nextBytes(bytes);
        return new Bytes(type, shape, bytes);
    }

    private static byte[] bytesOf(TensorSource tensor) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        tensor.writeTo(bytes);
        return bytes.toByteArray();
    }

    private static Object randomObject(Random random, int depth) {
        switch (random.nextInt(depth > 4 ? 7 : 10)) {
            case 0:
                return random.nextLong() >> random.nextInt(64);
            case 1:
                return random.nextGaussian();
            case 2:
                return random.nextBoolean();
            case 3:
                return null;
            case 4:
                return "text " + new String(Character.toChars(0x20 + random.nextInt(0x1000)));
            case 5:
                return new BigInteger(64 + random.nextInt(1900), random).setBit(64);
            case 6:
                return random(random);
            case 7:
                Map<Object, Object> map = new LinkedHashMap<>();
                for (int i = random.nextInt(5); i > 0; i--) {
                    map.put(random.nextBoolean() ? "key" + i : (Object) (long) i, randomObject(random, depth + 1));
                }
                return map;
            default:
                List<Object> list = new ArrayList<>();
                for (int i = random.nextInt(5); i > 0; i--) {
                    list.add(randomObject(random, depth + 1));
                }
                return random.nextBoolean() ? list : Tuple.copyOf(list);
        }
    }

    private static void isSame(Object expected, Object actual) throws IOException {
        if (expected instanceof TensorSource) {
            TensorSource tensor = (TensorSource) expected;
            StoredTensor read = (StoredTensor) actual;
            assertEquals(tensor.type(), read.type());
            assertArrayEquals(tensor.shape(), read.shape());
            assertArrayEquals(bytesOf(tensor), bytesOf(read));
        } else if (expected instanceof Map<?, ?>) {
            assertEquals(List.copyOf(((Map<?, ?>) expected).keySet()), List.copyOf(((Map<?, ?>) actual).keySet()));
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) expected).entrySet()) {
                isSame(entry.getValue(), ((Map<?, ?>) actual).get(entry.getKey()));
            }
        } else if (expected instanceof List<?>) {
            assertEquals(expected instanceof Tuple, actual instanceof Tuple);
            assertEquals(((List<?>) expected).size(), ((List<?>) actual).size());
            for (int i = 0; i < ((List<?>) expected).size(); i++) {
                isSame(((List<?>) expected).get(i), ((List<?>) actual).get(i));
            }
        } else {
            assertEquals(expected, actual);
        }
    }

    @Test
    void randomObjectsComeBackFromPyTorchFiles() throws Exception {
        Path path = folder.resolve("random.pt");
        Path copy = folder.resolve("copy.pt");
        for (int seed = 0; seed < 100; seed++) {
            Object root = randomObject(new Random(seed), seed % 3);
            PyTorchWriter.write(path, root);
            try (TensorFile file = TensorFile.open(path)) {
                isSame(root, file.root());
                PyTorchWriter.write(copy, file.root());
            }
            assertArrayEquals(Files.readAllBytes(path), Files.readAllBytes(copy));
        }
    }

    @Test
    void randomTensorsComeBackFromSafetensors() throws Exception {
        Path path = folder.resolve("random.safetensors");
        for (int seed = 0; seed < 100; seed++) {
            Random random = new Random(seed);
            Map<String, TensorSource> tensors = new LinkedHashMap<>();
            for (int i = random.nextInt(8); i > 0; i--) {
                tensors.put("tensor \"" + i + "\" ü", random(random));
            }
            Map<String, String> metadata = random.nextBoolean() ? Map.of() : Map.of("a\n", "ü");
            SafetensorsWriter.write(path, tensors, metadata);
            assertEquals(
                    0,
                    ByteBuffer.wrap(Files.readAllBytes(path))
                                    .order(ByteOrder.LITTLE_ENDIAN)
                                    .getLong()
                            % 8);
            try (TensorFile file = TensorFile.open(path)) {
                isSame(tensors, file.root());
                assertEquals(metadata, file.metadata());
            }
        }
    }

    @Test
    void theSameSourceTwiceIsWrittenOnceOrTwice() throws Exception {
        TensorSource one = TensorSource.of(Nd4j.createFromArray(1f, 2f));
        Path path = folder.resolve("shared");
        PyTorchWriter.write(path, Map.of("a", one, "b", one));
        try (TensorFile file = TensorFile.open(path);
                ZipFile zip = new ZipFile(path.toFile())) {
            assertEquals(2, file.tensors().size());
            assertEquals(4, zip.size());
        }
        List<Object> list = new ArrayList<>(List.of(1L));
        PyTorchWriter.write(path, List.of(list, list));
        try (TensorFile file = TensorFile.open(path)) {
            assertSame(((List<?>) file.root()).get(0), ((List<?>) file.root()).get(1));
        }
        SafetensorsWriter.write(path, Map.of("a", one, "b", one), Map.of());
        try (TensorFile file = TensorFile.open(path)) {
            assertEquals(3.0, file.tensors().get("a").sum());
            assertEquals(3.0, file.tensors().get("b").sum());
        }
    }

    @Test
    void dataIsAlignedAndChecksumsAreRight() throws Exception {
        Path path = folder.resolve("aligned.pt");
        PyTorchWriter.write(path, List.of(random(new Random(1)), random(new Random(2)), "text"));
        try (FileBytes bytes = FileBytes.open(path);
                ZipFile zip = new ZipFile(path.toFile())) {
            ZipDirectory directory = new ZipDirectory(bytes, new HeapBudget(path));
            for (ZipDirectory.Entry entry : directory.entries().values()) {
                assertEquals(0, directory.dataOf(entry) % 64, entry::name);
                // Compares the checksum at its end.
                ZipEntry found = zip.getEntry(entry.name());
                assertEquals(entry.size(), zip.getInputStream(found).readAllBytes().length);
                CRC32 crc = new CRC32();
                crc.update(zip.getInputStream(found).readAllBytes());
                assertEquals(crc.getValue(), found.getCrc());
            }
            assertArrayEquals(
                    "3\n".getBytes(StandardCharsets.US_ASCII),
                    zip.getInputStream(zip.getEntry("archive/version")).readAllBytes());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"types.pt", "views.pt", "nested-legacy.pt", "types.safetensors"})
    void tensorsOfAnotherFileAreStreamed(String name) throws Exception {
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path(name))) {
            Path pt = folder.resolve("copy.pt");
            Path safetensors = folder.resolve("copy.safetensors");
            PyTorchWriter.write(pt, file.tensors());
            SafetensorsWriter.write(safetensors, file.tensors(), Map.of());
            for (Path copy : List.of(pt, safetensors)) {
                try (TensorFile written = TensorFile.open(copy)) {
                    isSame(file.tensors(), written.root());
                }
            }
        }
    }

    @Test
    void arraysOfAnyStridesAreWrittenInRowOrder() throws Exception {
        INDArray base = Nd4j.arange(24).castTo(DataType.FLOAT).reshape('c', 4, 6);
        Map<String, INDArray> arrays = new LinkedHashMap<>();
        arrays.put("rows", base);
        arrays.put("transposed", base.transpose());
        arrays.put("f", base.dup('f'));
        arrays.put("window", base.get(NDArrayIndex.interval(1, 3), NDArrayIndex.interval(2, 5)));
        arrays.put("column", base.getColumn(3));
        arrays.put("scalar", Nd4j.scalar(2.5f));
        arrays.put("cube", Nd4j.arange(60).reshape(3, 4, 5).permute(2, 0, 1));
        for (DataType type : List.of(
                DataType.DOUBLE,
                DataType.FLOAT16,
                DataType.BFLOAT16,
                DataType.INT64,
                DataType.INT32,
                DataType.INT16,
                DataType.INT8,
                DataType.UINT8,
                DataType.BOOL)) {
            arrays.put(type.name(), base.castTo(type).transpose());
        }
        Map<String, TensorSource> sources = new LinkedHashMap<>();
        arrays.forEach((name, array) -> sources.put(name, TensorSource.of(array)));
        Path path = folder.resolve("arrays.pt");
        PyTorchWriter.write(path, sources);
        try (TensorFile file = TensorFile.open(path)) {
            for (Map.Entry<String, INDArray> entry : arrays.entrySet()) {
                StoredTensor tensor = file.tensors().get(entry.getKey());
                assertEquals(entry.getValue().dataType(), tensor.type().dataType());
                assertEquals(entry.getValue(), tensor.toArray(), entry::getKey);
            }
        }
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> TensorSource.of(Nd4j.create(new String[] {"text"})));
        assertTrue(e.getMessage().contains("UTF8"), e::getMessage);
    }

    @Test
    void whatCannotBeWrittenLeavesTheOldFile() throws Exception {
        Path path = folder.resolve("old.pt");
        Files.writeString(path, "old");
        List<Object> cycle = new ArrayList<>();
        cycle.add(cycle);
        isRefused("contains itself", () -> PyTorchWriter.write(path, cycle));
        isRefused("class java.util.Random", () -> PyTorchWriter.write(path, Map.of("a", new Random())));
        isRefused("at most 2039", () -> PyTorchWriter.write(path, BigInteger.TWO.pow(2040)));
        Object deep = "end";
        for (int i = 0; i < 501; i++) {
            deep = Collections.singletonList(deep);
        }
        Object tooDeep = deep;
        isRefused("more than 500 deep", () -> PyTorchWriter.write(path, tooDeep));
        Bytes lie = new Bytes(TensorType.INT8, new long[] {3}, new byte[2]);
        isRefused("__metadata__", () -> SafetensorsWriter.write(path, Map.of("__metadata__", lie), Map.of()));
        assertThrows(IOException.class, () -> PyTorchWriter.write(path, lie));
        assertThrows(IOException.class, () -> SafetensorsWriter.write(path, Map.of("a", lie), Map.of()));
        try (TensorFile file = TensorFile.open(GoldenCheckpoints.path("unsupported.pt"))) {
            assertThrows(IllegalStateException.class, () -> PyTorchWriter.write(path, file.root()));
            assertThrows(IllegalStateException.class, () -> SafetensorsWriter.write(path, file.tensors(), Map.of()));
        }
        assertEquals("old", Files.readString(path));
        assertFalse(Arrays.asList(folder.toFile().list()).stream().anyMatch(name -> name.endsWith(".tmp")));
    }

    private static void isRefused(String message, Executable write) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, write);
        assertTrue(e.getMessage().contains(message), e::getMessage);
    }
}
