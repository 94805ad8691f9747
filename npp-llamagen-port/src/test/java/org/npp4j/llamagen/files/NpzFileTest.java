package org.npp4j.llamagen.files;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Map;
import java.util.Set;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

class NpzFileTest {
    @TempDir
    private Path folder;

    @ParameterizedTest
    @CsvSource({
        "<f8, DOUBLE, 8, 1.5",
        "<f4, FLOAT, 4, 1.5",
        "<f2, HALF, 2, 1.5",
        "<i8, LONG, 8, -3",
        "<i4, INT, 4, -3",
        "<i2, SHORT, 2, -3",
        "|i1, BYTE, 1, -3",
        "|u1, UBYTE, 1, 253",
        "|b1, BOOL, 1, 1"
    })
    void everyTypeAtRankZeroAndOne(String type, DataType expected, int bytes, double value) throws IOException {
        ByteBuffer number = ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
        switch (type) {
            case "<f8" -> number.putDouble(1.5);
            case "<f4" -> number.putFloat(1.5f);
            case "<f2" -> number.putShort((short) 0x3e00);
            case "<i8" -> number.putLong(-3);
            case "<i4" -> number.putInt(-3);
            case "<i2" -> number.putShort((short) -3);
            case "|b1" -> number.put((byte) 1);
            default -> number.put((byte) -3);
        }
        try (NpzFile file = NpzFile.open(npz(Map.of(
                "scalar.npy",
                npy(type, false, "", number.array()),
                "a.b.npy",
                npy(type, false, "1,", number.array()))))) {
            assertEquals(Set.of("scalar", "a.b"), file.names());
            INDArray scalar = file.array("scalar");
            assertEquals(expected, scalar.dataType());
            assertEquals(0, scalar.rank());
            assertEquals(value, scalar.getDouble(0));
            assertArrayEquals(new long[] {1}, file.array("a.b").shape());
            assertEquals(value, file.array("a.b").getDouble(0));
        }
    }

    /** ND4J's own reader would take the columns for rows. */
    @Test
    void columnsFirst() throws IOException {
        byte[] values = doubles(6, i -> i);
        try (NpzFile file = NpzFile.open(npz(Map.of("a.npy", npy("<f8", true, "2, 3", values))))) {
            INDArray array = file.array("a");
            assertArrayEquals(
                    new double[] {0, 2, 4, 1, 3, 5}, array.dup('c').data().asDouble());
        }
    }

    @Test
    void longArraysInSeveralPieces() throws IOException {
        int length = 3 * (1 << 19) + 7;
        byte[] values = doubles(length, i -> i);
        try (NpzFile file = NpzFile.open(npz(Map.of("a.npy", npy("<f8", false, length + ",", values))))) {
            INDArray array = file.array("a");
            assertEquals(length, array.length());
            for (int i : new int[] {0, (1 << 19) - 1, 1 << 19, 1 << 20, length - 1}) {
                assertEquals(i, array.getDouble(i));
            }
        }
    }

    @Test
    void emptyArrays() throws IOException {
        try (NpzFile file = NpzFile.open(npz(Map.of("a.npy", npy("<f4", false, "0, 3", new byte[0]))))) {
            assertArrayEquals(new long[] {0, 3}, file.array("a").shape());
        }
    }

    @Test
    void refusesWhatItCannotRead() throws IOException {
        assertThrows(NoSuchFileException.class, () -> NpzFile.open(folder.resolve("none.npz")));
        Path text = Files.writeString(folder.resolve("text.npz"), "text");
        assertTrue(failure(() -> NpzFile.open(text)).contains("no .npz file"));
        try (NpzFile file = NpzFile.open(npz(Map.of(
                "big.npy", npy(">f4", false, "1,", new byte[4]),
                "object.npy", npy("|O", false, "1,", new byte[4]),
                "short.npy", npy("<f4", false, "2,", new byte[7]),
                "huge.npy", npy("<f4", false, "4611686018427387904, 4", new byte[8]),
                "other.npy", "something else".getBytes(StandardCharsets.US_ASCII))))) {
            assertTrue(failure(() -> file.array("big")).contains("little endian"));
            assertTrue(failure(() -> file.array("object")).contains("array \"object\""));
            assertTrue(failure(() -> file.array("short")).contains("ends too early"));
            assertTrue(failure(() -> file.array("huge")).contains("shape"));
            assertTrue(failure(() -> file.array("other")).contains("does not start as an .npy"));
            String message = assertThrows(IllegalArgumentException.class, () -> file.array("none"))
                    .getMessage();
            assertTrue(message.contains("no array \"none\""), message);
        }
    }

    private static String failure(org.junit.jupiter.api.function.Executable executable) {
        return assertThrows(FileSystemException.class, executable).getReason();
    }

    private interface Value {
        double at(int index);
    }

    private static byte[] doubles(int length, Value value) {
        ByteBuffer values = ByteBuffer.allocate(8 * length).order(ByteOrder.LITTLE_ENDIAN);
        for (int i = 0; i < length; i++) {
            values.putDouble(value.at(i));
        }
        return values.array();
    }

    private static byte[] npy(String type, boolean columns, String shape, byte[] values) {
        String header = "{'descr': '" + type + "', 'fortran_order': " + (columns ? "True" : "False") + ", 'shape': ("
                + shape + "), }\n";
        ByteBuffer npy =
                ByteBuffer.allocate(10 + header.length() + values.length).order(ByteOrder.LITTLE_ENDIAN);
        npy.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
        npy.putShort((short) header.length());
        npy.put(header.getBytes(StandardCharsets.US_ASCII));
        npy.put(values);
        return npy.array();
    }

    private Path npz(Map<String, byte[]> entries) throws IOException {
        Path file = folder.resolve("test.npz");
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<String, byte[]> entry : entries.entrySet()) {
                zip.putNextEntry(new ZipEntry(entry.getKey()));
                zip.write(entry.getValue());
            }
        }
        return file;
    }

    @Test
    void writesOneArrayOfBytes(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("bytes.npz");
        NpzFile.writeUint8(file, "arr_0", new long[] {2, 3}, out -> {
            out.write(new byte[] {0, 1, 2, (byte) 200});
            out.write(255);
            out.write(7);
        });
        try (NpzFile npz = NpzFile.open(file)) {
            assertEquals(Set.of("arr_0"), npz.names());
            INDArray read = npz.array("arr_0");
            assertEquals(DataType.UINT8, read.dataType());
            assertArrayEquals(new int[][] {{0, 1, 2}, {200, 255, 7}}, read.toIntMatrix());
        }
        FileSystemException wrong = assertThrows(
                FileSystemException.class,
                () -> NpzFile.writeUint8(file, "arr_0", new long[] {3}, out -> out.write(new byte[2])));
        assertEquals("2 values were written for the shape [3]", wrong.getReason());
    }
}
