package org.npp4j.llamagen.files;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GrowingNpyFileTest {
    @TempDir
    private Path folder;

    @Test
    void isAWholeArrayAfterEachAppend() throws IOException {
        Path file = folder.resolve("new/rows.npy");
        GrowingNpyFile rows = GrowingNpyFile.open(file, 2, 3);
        assertEquals(0, rows.rows());
        assertFalse(Files.exists(file));
        int[][] all = new int[120][6];
        for (int i = 0; i < all.length; i++) {
            for (int j = 0; j < 6; j++) {
                all[i][j] = 1000 * i - j;
            }
        }
        for (int i = 0; i < all.length; i += 40) {
            rows.append(Arrays.copyOfRange(all, i, i + 40));
            NpyFile.WholeNumbers read = NpyFile.readWholeNumbers(file);
            assertArrayEquals(new long[] {i + 40, 2, 3}, read.shape());
            assertEquals(128 + (i + 40) * 6 * 8, Files.size(file));
        }
        assertEquals(all[119][5], NpyFile.read(file).getInt(119, 1, 2));
        GrowingNpyFile again = GrowingNpyFile.open(file, 2, 3);
        assertEquals(120, again.rows());
        again.keep(7);
        assertEquals(7, NpyFile.read(file).size(0));
        again.append(all[7]);
        assertArrayEquals(
                all[7], NpyFile.read(file).slice(7).dup('c').reshape(6).toIntVector());
    }

    @Test
    void whatWasNotCountedIsCutOff() throws IOException {
        Path file = folder.resolve("values.npy");
        GrowingNpyFile values = GrowingNpyFile.open(file);
        values.appendValues(3, 1, 4);
        // a kill between the rows and their number
        Files.write(file, new byte[12], StandardOpenOption.APPEND);
        assertArrayEquals(new int[] {3, 1, 4}, NpyFile.read(file).toIntVector());
        GrowingNpyFile again = GrowingNpyFile.open(file);
        assertEquals(3, again.rows());
        assertEquals(128 + 3 * 8, Files.size(file));
        again.appendValues(1);
        assertArrayEquals(new int[] {3, 1, 4, 1}, NpyFile.read(file).toIntVector());
    }

    @Test
    void takesFilesOfOtherWriters() throws IOException {
        Path file = folder.resolve("other.npy");
        NpyFile.writeInt64(file, new int[][] {{1, 2}, {3, 4}});
        GrowingNpyFile rows = GrowingNpyFile.open(file, 2);
        rows.append(new int[] {5, 6});
        assertArrayEquals(
                new int[][] {{1, 2}, {3, 4}, {5, 6}}, NpyFile.read(file).toIntMatrix());
    }

    @Test
    void refusesWhatDoesNotFit() throws IOException {
        Path file = folder.resolve("other.npy");
        NpyFile.writeInt64(file, new int[][] {{1, 2}, {3, 4}});
        String shape = assertThrows(FileSystemException.class, () -> GrowingNpyFile.open(file, 3))
                .getReason();
        assertEquals("it holds an array of [2, 2], but rows of [3] are to be added", shape);
        NpyFile.writeUint8(file, new byte[4], 2, 2);
        GrowingNpyFile rows = GrowingNpyFile.open(file, 2);
        assertTrue(assertThrows(IllegalArgumentException.class, () -> rows.append(new int[3]))
                .getMessage()
                .endsWith("has 2 values, got 3 for row 2"));
        assertThrows(IllegalStateException.class, () -> rows.appendValues(1));
        // a file that was cut in its middle
        Files.write(file, Arrays.copyOf(Files.readAllBytes(file), 130));
        assertTrue(assertThrows(FileSystemException.class, () -> GrowingNpyFile.open(file, 2))
                .getReason()
                .contains("ends too early"));
    }

    @Test
    void anUnwritableFolderIsNamed() throws IOException {
        Path inTheWay = Files.writeString(folder.resolve("file"), "x");
        GrowingNpyFile rows = GrowingNpyFile.open(inTheWay.resolve("rows.npy"), 1);
        assertThrows(FileSystemException.class, () -> rows.append(new int[] {1}));
        assertEquals(0, rows.rows());
    }
}
