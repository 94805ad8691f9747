package org.npp4j.llamagen.codes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.files.NpyFile;

class CodeStoreTest {
    private static final Path PUBLISHED = Path.of("src/test/resources/golden/codes");

    @TempDir
    private Path folder;

    @Test
    void readsWhatNumPyWrote() throws IOException {
        try (CodeStore store = CodeStore.open(PUBLISHED)) {
            assertEquals(3, store.images());
            assertEquals(10, store.crops());
            assertEquals(6, store.tokens());
            assertArrayEquals(new int[] {2915, 2254, 4079, 9917, 3046, 7286}, store.codes(0, 0));
            assertArrayEquals(new int[] {6687, 5391, 13180, 11798, 9286, 14729}, store.codes(2, 9));
            assertArrayEquals(new int[] {7, 0, 999}, labels(store));
            assertEquals(Optional.empty(), store.description());
            assertEquals(OptionalInt.empty(), store.vocabulary());
            assertEquals(OptionalInt.empty(), store.classes());
            assertTrue(
                    assertThrows(IllegalStateException.class, store::grid)
                            .getMessage()
                            .contains("6 tokens of each crop, which make no square"),
                    "grid");
        }
    }

    /** Byte for byte, so that nothing of ours can trouble its readers. */
    @Test
    void writesWhatNumPyWrites() throws IOException {
        try (CodeStore store = CodeStore.open(PUBLISHED);
                CodeWriter writer = CodeFiles.Writer.open(folder, "imagenet32")) {
            for (int i = 0; i < store.images(); i++) {
                int[][] codes = new int[store.crops()][];
                for (int c = 0; c < codes.length; c++) {
                    codes[c] = store.codes(i, c);
                }
                writer.add(codes, store.label(i));
            }
        }
        for (String part : List.of("imagenet32_codes", "imagenet32_labels")) {
            for (int i = 0; i < 3; i++) {
                Path file = Path.of(part, i + ".npy");
                assertEquals(-1, Files.mismatch(PUBLISHED.resolve(file), folder.resolve(file)), file.toString());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void readsWhatItWrote(boolean packed) throws IOException {
        for (int vocabulary : new int[] {500, 1 << 16, (1 << 16) + 1}) {
            Path at = MadeUpCodes.write(folder.resolve("v" + vocabulary), packed, 11, 10, vocabulary);
            try (CodeStore store = CodeStore.open(at)) {
                assertEquals(packed ? PackedCodes.class : CodeFiles.class, store.getClass());
                assertEquals(11, store.images());
                assertEquals(10, store.crops());
                assertEquals(TokenGrid.of(2, 2), store.grid());
                assertEquals(packed ? OptionalInt.of(vocabulary) : OptionalInt.empty(), store.vocabulary());
                for (int i = 0; i < 11; i++) {
                    for (int c = 0; c < 10; c++) {
                        assertArrayEquals(MadeUpCodes.codes(i, 10, 4)[c], store.codes(i, c));
                    }
                    assertEquals(MadeUpCodes.label(i), store.label(i));
                }
                assertThrows(IndexOutOfBoundsException.class, () -> store.codes(11, 0));
                assertThrows(IndexOutOfBoundsException.class, () -> store.codes(0, 10));
                assertThrows(IndexOutOfBoundsException.class, () -> store.label(-1));
            }
        }
    }

    @Test
    void largeCodesOfBothWidths() throws IOException {
        for (int vocabulary : new int[] {1 << 16, Integer.MAX_VALUE}) {
            Path file = folder.resolve(vocabulary + ".codes");
            int[][] codes = {{0, vocabulary - 1, vocabulary / 2 + 1, 1}};
            try (CodeWriter writer = PackedCodes.Writer.open(file, 1, 4, vocabulary)) {
                writer.add(codes, 5);
            }
            try (CodeStore store = CodeStore.open(file)) {
                assertArrayEquals(codes[0], store.codes(0, 0));
            }
            assertEquals(64 + 4 * (vocabulary > 1 << 16 ? 4 : 2) + 8, Files.size(file));
        }
    }

    @Test
    void opensAFileOrOneSetOfSeveral() throws IOException {
        MadeUpCodes.write(folder, true, 2, 2, 500);
        try (CodeStore store = CodeStore.open(folder.resolve("imagenet8.codes"))) {
            assertEquals(2, store.images());
        }
        CodeFiles.Writer.open(folder, "other").add(MadeUpCodes.codes(0, 2, 4), 0);
        fails(
                () -> CodeStore.open(folder),
                folder,
                "it holds several sets of codes: imagenet8.codes, other_codes. Keep each in a folder of its own");
        try (CodeStore store = CodeStore.open(folder, "other")) {
            assertEquals(1, store.images());
        }
        fails(() -> CodeStore.open(folder, "none"), folder, "it holds no codes of none");
        Path empty = Files.createDirectory(folder.resolve("empty"));
        fails(() -> CodeStore.open(empty), empty, "it holds no codes. Codes are a folder NAME_codes");
        assertThrows(NoSuchFileException.class, () -> CodeStore.open(folder.resolve("nowhere")));
        Path text =
                Files.writeString(folder.resolve("x.codes"), "text that is no set of packed codes, but long enough");
        fails(() -> CodeStore.open(text), text, "it is too short for packed codes");
        Files.writeString(text, "text".repeat(100));
        fails(() -> CodeStore.open(text), text, "it holds no packed codes");
    }

    @Test
    void findsOtherCropsByThePublishedNames() throws IOException {
        Path ten = MadeUpCodes.write(folder.resolve("x_ten_crop"), true, 2, 10, 500);
        assertEquals(Optional.empty(), CodeStore.otherCrops(ten));
        Path other = MadeUpCodes.write(folder.resolve("x_ten_crop_105"), true, 2, 10, 500);
        assertEquals(Optional.of(other.toAbsolutePath()), CodeStore.otherCrops(ten));
        assertEquals(Optional.of(other.toAbsolutePath()), CodeStore.otherCrops(Path.of(ten + "/")));
        assertEquals(
                Optional.of(other.resolve("imagenet8.codes").toAbsolutePath()),
                CodeStore.otherCrops(ten.resolve("imagenet8.codes")));
        assertEquals(Optional.empty(), CodeStore.otherCrops(other));
    }

    @Test
    void holesAndDifferentCountsAreNamed() throws IOException {
        MadeUpCodes.write(folder, false, 6, 2, 500);
        Path codes = folder.resolve("imagenet8_codes");
        Path labels = folder.resolve("imagenet8_labels");
        Files.writeString(codes.resolve("notes.npy"), "no image");
        Files.writeString(codes.resolve("01.npy"), "no image");
        Files.delete(codes.resolve("3.npy"));
        fails(
                () -> CodeStore.open(folder),
                codes,
                "1 of 6 files are missing, the first is 3.npy; it holds 5 files, imagenet8_labels 6");
        try (CodeWriter writer = CodeFiles.Writer.open(folder, MadeUpCodes.NAME)) {
            assertEquals(3, writer.images(), "behind the hole nothing counts");
            writer.add(MadeUpCodes.codes(3, 2, 4), 0);
        }
        Files.delete(labels.resolve("5.npy"));
        Files.delete(labels.resolve("4.npy"));
        fails(
                () -> CodeStore.open(folder),
                labels,
                "2 of 6 files are missing, the first is 4.npy; it holds 4 files, imagenet8_codes 6");
        // a set that is being extracted may have one image half
        MadeUpCodes.description(false, false, 0).write(folder);
        fails(() -> CodeStore.open(folder), labels, "2 of 6 files are missing");
        Files.delete(codes.resolve("5.npy"));
        try (CodeStore store = CodeStore.open(folder)) {
            assertEquals(4, store.images());
            assertEquals(OptionalInt.of(2), store.classes());
            assertEquals(TokenGrid.of(1, 4), store.grid());
        }
        // one that is complete has all of its images
        Files.delete(codes.resolve("4.npy"));
        MadeUpCodes.description(false, true, 6).write(folder);
        fails(() -> CodeStore.open(folder), codes, "2 of 6 files are missing, the first is 4.npy");
        for (int i = 0; i < 4; i++) {
            Files.delete(codes.resolve(i + ".npy"));
            Files.delete(labels.resolve(i + ".npy"));
        }
        Files.delete(folder.resolve(CodeSetDescription.FILE));
        fails(() -> CodeStore.open(folder), codes, "it holds no codes");
        Files.delete(codes.resolve("notes.npy"));
        Files.delete(codes.resolve("01.npy"));
        Files.delete(labels);
        fails(() -> CodeStore.open(folder), labels, "there is no such folder");
    }

    @Test
    void wrongContentIsNamed() throws IOException {
        MadeUpCodes.write(folder, false, 3, 2, 500);
        Path one = folder.resolve("imagenet8_codes/1.npy");
        Path label = folder.resolve("imagenet8_labels/1.npy");
        try (CodeStore store = CodeStore.open(folder)) {
            NpyFile.writeInt64(one, new int[8], 1, 4, 2);
            fails(() -> store.codes(1, 0), one, "it has the shape [1, 4, 2], but 0.npy has [1, 2, 4]");
            Nd4j.writeAsNumpy(Nd4j.zeros(1, 2, 4), one.toFile());
            fails(() -> store.codes(1, 0), one, "whole numbers in row order are wanted");
            NpyFile.writeInt64(one, new int[] {0, 0, 0, 0, 0, 0, -1, 0}, 1, 2, 4);
            fails(() -> store.codes(1, 1), one, "it holds -1; codes and labels are numbered from 0");
            byte[] bytes = Files.readAllBytes(one);
            Files.write(one, Arrays.copyOf(bytes, bytes.length - 3));
            fails(() -> store.codes(1, 0), one, "ends too early");
            Files.write(one, new byte[0]);
            fails(() -> store.codes(1, 0), one, "it does not start as an .npy file does");
            NpyFile.writeInt64(label, new int[] {1, 2});
            fails(() -> store.label(1), label, "it has the shape [2]; the label of an image is [1]");
            Files.delete(label);
            assertThrows(NoSuchFileException.class, () -> store.label(1));
        }
        NpyFile.writeInt64(label, new int[] {1});
        NpyFile.writeInt64(folder.resolve("imagenet8_codes/0.npy"), new int[] {1, 2});
        fails(
                () -> CodeStore.open(folder),
                folder.resolve("imagenet8_codes/0.npy"),
                "it has the shape [2]; codes of an image are [1, crops, tokens]");
        Files.writeString(folder.resolve(CodeSetDescription.FILE), "{ \"format\": \"npp-codes-1\", ");
        fails(() -> CodeStore.open(folder), folder.resolve(CodeSetDescription.FILE), "it describes no set of codes");
        Files.writeString(folder.resolve(CodeSetDescription.FILE), "{ \"format\": \"npp-codes-1\"}");
        fails(() -> CodeStore.open(folder), folder.resolve(CodeSetDescription.FILE), "Missing required");
    }

    /** Neither half a record nor the leavings of a power cut count, and the writer goes on behind what is whole. */
    @Test
    void packedRecordsCountWhenTheyAreWhole() throws IOException {
        Path file = folder.resolve("imagenet8.codes");
        MadeUpCodes.write(folder, true, 5, 2, 500);
        int record = 2 * 4 * 2 + 8;
        assertEquals(64 + 5 * record, Files.size(file));
        try (RandomAccessFile access = new RandomAccessFile(file.toFile(), "rw")) {
            // two images behind the stored count, of which the first is whole, then half of one
            access.seek(32);
            access.writeLong(Long.reverseBytes(3));
            access.seek(64 + 4 * record + 3);
            access.write(77);
            access.setLength(64 + 6 * record - 1);
        }
        try (CodeStore store = CodeStore.open(file)) {
            assertEquals(4, store.images());
        }
        try (CodeWriter writer = PackedCodes.Writer.open(file, 2, 4, 500)) {
            assertEquals(4, writer.images());
            writer.add(MadeUpCodes.codes(4, 2, 4), MadeUpCodes.label(4));
        }
        try (CodeStore store = CodeStore.open(file)) {
            assertEquals(5, store.images());
            assertArrayEquals(MadeUpCodes.codes(4, 2, 4)[1], store.codes(4, 1));
        }
        assertEquals(64 + 5 * record, Files.size(file));
        fails(() -> PackedCodes.Writer.open(file, 10, 4, 500), file, "it holds codes of another shape");
    }

    @Test
    void damageToPackedCodesIsNamed() throws IOException {
        Path file = folder.resolve("imagenet8.codes");
        MadeUpCodes.write(folder, true, 5, 2, 500);
        byte[] good = Files.readAllBytes(file);
        byte[] bad = good.clone();
        bad[64 + 24 + 5] ^= 1;
        Files.write(file, bad);
        try (CodeStore store = CodeStore.open(file)) {
            assertArrayEquals(MadeUpCodes.codes(0, 2, 4)[0], store.codes(0, 0));
            fails(() -> store.codes(1, 0), file, "image 1 is damaged: its checksum is wrong");
            fails(() -> store.label(1), file, "image 1 is damaged");
        }
        for (int at = 8; at < 32; at++) {
            bad = good.clone();
            bad[at] ^= 4;
            Files.write(file, bad);
            fails(() -> CodeStore.open(file), file, at < 12 ? "it is of version " : "its header is damaged");
        }
        Files.write(file, Arrays.copyOf(good, good.length - 1));
        fails(() -> CodeStore.open(file), file, "it should hold 5 images, but has bytes for 4 of them: it was cut off");
        Files.write(file, Arrays.copyOf(good, 10));
        fails(() -> CodeStore.open(file), file, "it is too short for packed codes");
        Files.write(file, good);
        MadeUpCodes.description(true, true, 6).write(folder);
        fails(() -> CodeStore.open(folder), file, "it holds 5 images, but dataset.json says 6");
        Files.delete(file);
        MadeUpCodes.write(folder, true, 0, 2, 500);
        fails(() -> CodeStore.open(file), file, "it holds 0 images");
    }

    /** A prefetching thread is interrupted when it is to stop. */
    @Test
    void interruptedThreadsRead() throws IOException {
        MadeUpCodes.write(folder, false, 2, 2, 500);
        try (CodeStore store = CodeStore.open(folder)) {
            Thread.currentThread().interrupt();
            assertArrayEquals(MadeUpCodes.codes(1, 2, 4)[0], store.codes(1, 0));
            assertTrue(Thread.interrupted());
        }
    }

    private static int[] labels(CodeStore store) throws IOException {
        int[] labels = new int[store.images()];
        for (int i = 0; i < labels.length; i++) {
            labels[i] = store.label(i);
        }
        return labels;
    }

    private static void fails(Executable call, Path file, String reason) {
        FileSystemException e = assertThrows(FileSystemException.class, call);
        assertEquals(file.toString(), e.getFile());
        assertTrue(e.getMessage().contains(reason), e::getMessage);
    }
}
