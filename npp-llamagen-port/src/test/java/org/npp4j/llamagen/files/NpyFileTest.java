package org.npp4j.llamagen.files;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
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
    void writesBytes() throws IOException {
        Path file = folder.resolve("u.npy");
        NpyFile.writeUint8(file, new byte[] {0, 1, 2, -1, -2, -3}, 1, 2, 3);
        String text = Files.readString(file, StandardCharsets.ISO_8859_1);
        assertTrue(text.contains("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 3), }"), text);
        assertTrue(text.endsWith("\n\0\1\2\u00ff\u00fe\u00fd"), text);
        INDArray array = NpyFile.read(file);
        assertEquals(DataType.UINT8, array.dataType());
        assertArrayEquals(new long[] {1, 2, 3}, array.shape());
        assertEquals(253, array.getInt(0, 1, 2));
        NpyFile.writeUint8(file, new byte[] {7, 8}, 2);
        assertTrue(Files.readString(file, StandardCharsets.ISO_8859_1).contains("'shape': (2,), }"));
        assertArrayEquals(new long[] {2}, NpyFile.read(file).shape());
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> NpyFile.writeUint8(file, new byte[5], 2, 3));
        assertTrue(e.getMessage().contains("5 values do not have the shape [2, 3]"), e.getMessage());
    }

    /** Header and numbers as NumPy writes them for a transposed array. */
    @Test
    void readsColumns() throws IOException {
        byte[] header = NpyFile.header("|u1", "(2, 3)");
        String text = new String(header, StandardCharsets.ISO_8859_1).replace("False", "True ");
        Path file = Files.writeString(folder.resolve("a.npy"), text + "\1\4\2\5\3\6", StandardCharsets.ISO_8859_1);
        assertArrayEquals(new int[][] {{1, 2, 3}, {4, 5, 6}}, NpyFile.read(file).toIntMatrix());
    }

    @Test
    void refusesOtherFiles() throws IOException {
        assertThrows(NoSuchFileException.class, () -> NpyFile.read(folder.resolve("none.npy")));
        assertTrue(reason(folder).contains("is a folder"));
        Path text = Files.writeString(folder.resolve("text.npy"), "no array at all, but long enough for a header");
        assertEquals("it does not start as an .npy file does. Write it with numpy.save or numpy.savez", reason(text));
        Path huge = Files.write(folder.resolve("huge.npy"), NpyFile.header("<f4", "(1099511627776,)"));
        assertTrue(reason(huge).contains("ends too early: it has at most 128 bytes for the shape [1099511627776]"));
        Path big = Files.write(folder.resolve("big.npy"), NpyFile.header(">f4", "(0,)"));
        assertTrue(reason(big).contains("little endian"), reason(big));
        Path negative = Files.write(folder.resolve("negative.npy"), NpyFile.header("<f4", "(-1, -1)"));
        assertTrue(reason(negative).contains("has the shape (-1, -1), which is none"), reason(negative));
    }

    private static String reason(Path file) {
        return assertThrows(FileSystemException.class, () -> NpyFile.read(file)).getReason();
    }
}
