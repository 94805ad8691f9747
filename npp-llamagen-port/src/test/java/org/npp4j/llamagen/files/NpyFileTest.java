package org.npp4j.llamagen.files;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

class NpyFileTest {
    @TempDir
    private Path folder;

    /** The layout of NumPy's format, version 1.0, byte by byte. */
    @Test
    void writesNumPysFormat() throws IOException {
        Path file = folder.resolve("a.npy");
        NpyFile.writeInt64(file, new int[][] {{1, -2, 3}, {4, 5, Integer.MAX_VALUE}});
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        byte[] magic = new byte[8];
        bytes.get(magic);
        assertArrayEquals(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0}, magic);
        byte[] header = new byte[bytes.getShort()];
        bytes.get(header);
        assertEquals(0, bytes.position() % 64);
        String text = new String(header, StandardCharsets.US_ASCII);
        assertTrue(text.endsWith(" \n"), text);
        assertEquals("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }", text.strip());
        for (long expected : new long[] {1, -2, 3, 4, 5, Integer.MAX_VALUE}) {
            assertEquals(expected, bytes.getLong());
        }
        assertEquals(0, bytes.remaining());
    }

    @Test
    void readsWhatItWrote() throws IOException {
        int[][] rows = {{1, 2, 3}, {4, 5, 6}};
        NpyFile.writeInt64(folder.resolve("a.npy"), rows);
        INDArray array = NpyFile.read(folder.resolve("a.npy"));
        assertEquals(DataType.INT64, array.dataType());
        assertArrayEquals(rows, array.toIntMatrix());
        NpyFile.writeInt64(folder.resolve("b.npy"), new int[] {7, 8});
        assertArrayEquals(new long[] {2}, NpyFile.read(folder.resolve("b.npy")).shape());
    }

    @Test
    void refusesOtherFiles() throws IOException {
        Path none = folder.resolve("none.npy");
        assertEquals("There is no file " + none + ". Check the path", message(none));
        Path text = Files.writeString(folder.resolve("text.npy"), "no array at all, but long enough for a header");
        assertTrue(message(text).contains("text.npy does not hold an array of numbers"), message(text));
        Path columns = Files.writeString(
                folder.resolve("columns.npy"),
                "\u0093NUMPY.... {'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
                StandardCharsets.ISO_8859_1);
        assertTrue(message(columns).contains("column order"), message(columns));
    }

    private static String message(Path file) {
        return assertThrows(IOException.class, () -> NpyFile.read(file)).getMessage();
    }
}
