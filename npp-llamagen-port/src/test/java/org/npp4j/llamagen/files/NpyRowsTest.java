package org.npp4j.llamagen.files;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.zip.CRC32;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

class NpyRowsTest {
    @TempDir
    private Path folder;

    private static byte[] npy(String type, String shape, byte[] values) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(NpyFile.header(type, shape));
        out.write(values);
        return out.toByteArray();
    }

    private static byte[] bytes(int length) {
        byte[] values = new byte[length];
        new Random(1).nextBytes(values);
        return values;
    }

    private Path npz(int method, byte[] npy) throws IOException {
        Path file = folder.resolve("images.npz");
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            ZipEntry entry = new ZipEntry("arr_0.npy");
            entry.setMethod(method);
            if (method == ZipEntry.STORED) {
                CRC32 crc = new CRC32();
                crc.update(npy);
                entry.setCrc(crc.getValue());
                entry.setSize(npy.length);
            }
            zip.putNextEntry(entry);
            zip.write(npy);
        }
        return file;
    }

    @ParameterizedTest
    @ValueSource(ints = {ZipEntry.STORED, ZipEntry.DEFLATED})
    void membersOfAnNpzFile(int method) throws IOException {
        byte[] values = bytes(7 * 2 * 3);
        try (NpzFile file = NpzFile.open(npz(method, npy("|u1", "(7, 2, 3)", values)));
                NpyRows rows = file.rows("arr_0")) {
            assertArrayEquals(new long[] {7, 2, 3}, rows.shape());
            assertEquals(DataType.UINT8, rows.dataType());
            assertEquals(7, rows.remaining());
            int at = 0;
            for (int expected : new int[] {3, 3, 1}) {
                INDArray part = rows.next(3);
                assertArrayEquals(new long[] {expected, 2, 3}, part.shape());
                for (int i = 0; i < part.length(); i++) {
                    assertEquals(
                            values[at++] & 0xff, part.reshape(part.length()).getInt(i));
                }
            }
            assertEquals(0, rows.remaining());
            assertNull(rows.next(3));
        }
    }

    @Test
    void columnOrderIsReadToo() throws IOException {
        Path file = folder.resolve("columns.npy");
        byte[] values = {0, 3, 1, 4, 2, 5};
        byte[] npy = npy("|i1", "(2, 3)", values);
        Files.write(
                file,
                new String(npy, StandardCharsets.ISO_8859_1)
                        .replace("False,", "True, ")
                        .getBytes(StandardCharsets.ISO_8859_1));
        try (NpyRows rows = NpyFile.rows(file)) {
            assertArrayEquals(new int[] {0, 1, 2}, rows.next(1).reshape(3).toIntVector());
            assertArrayEquals(new int[] {3, 4, 5}, rows.next(5).reshape(3).toIntVector());
        }
    }

    @Test
    void refusesWhatHasNoRowsOrEndsEarly() throws IOException {
        Path scalar = folder.resolve("scalar.npy");
        Files.write(scalar, npy("|u1", "()", new byte[1]));
        assertTrue(failure(() -> NpyFile.rows(scalar)).contains("single number"));
        Path empty = folder.resolve("empty.npy");
        Files.write(empty, npy("|u1", "(0, 3)", new byte[0]));
        try (NpyRows rows = NpyFile.rows(empty)) {
            assertNull(rows.next(1));
        }
        Path early = folder.resolve("early.npy");
        Files.write(early, npy("|u1", "(3, 2)", new byte[6]));
        try (NpyRows rows = NpyFile.rows(early)) {
            assertThrows(IllegalArgumentException.class, () -> rows.next(0));
        }
        Files.write(early, npy("|u1", "(1000, 2)", new byte[6]));
        assertTrue(failure(() -> NpyFile.rows(early)).contains("ends too early"));
    }

    private static String failure(org.junit.jupiter.api.function.Executable executable) {
        return assertThrows(FileSystemException.class, executable).getReason();
    }
}
