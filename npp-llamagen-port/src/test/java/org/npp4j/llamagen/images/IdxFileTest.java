package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class IdxFileTest {
    private static final PixelImages IMAGES = new PixelImages(2, 1, 1, 3, new byte[] {0, 1, 2, -1, -2, 127});

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"images", "images.gz"})
    void imagesAreWrittenAndRead(String name) throws IOException {
        Path file = folder.resolve("new").resolve(name);
        IdxFile.writeImages(file, IMAGES);
        assertEquals(IMAGES, IdxFile.readImages(file));
        IdxFile.writeImages(file, IMAGES.range(0, 1));
        assertEquals(IMAGES.range(0, 1), IdxFile.readImages(file));
        assertEquals(1, filesIn(file.getParent()));
    }

    @ParameterizedTest
    @ValueSource(strings = {"labels", "labels.gz"})
    void labelsAreWrittenAndRead(String name) throws IOException {
        Path file = folder.resolve(name);
        IdxFile.writeLabels(file, new int[] {0, 9, 255});
        assertArrayEquals(new int[] {0, 9, 255}, IdxFile.readLabels(file));
    }

    @Test
    void bytesAreThoseOfTheFormat() throws IOException {
        Path file = folder.resolve("labels");
        IdxFile.writeLabels(file, new int[] {7, 200});
        assertArrayEquals(new byte[] {0, 0, 8, 1, 0, 0, 0, 2, 7, (byte) 200}, Files.readAllBytes(file));
        IdxFile.writeImages(file, IMAGES);
        assertArrayEquals(
                new byte[] {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 3, 0, 1, 2, -1, -2, 127},
                Files.readAllBytes(file));
    }

    @Test
    void compressedFilesHoldNoTimeAndNoName() throws IOException {
        IdxFile.writeImages(folder.resolve("a.gz"), IMAGES);
        IdxFile.writeImages(folder.resolve("b.gz"), IMAGES);
        byte[] bytes = Files.readAllBytes(folder.resolve("a.gz"));
        assertArrayEquals(bytes, Files.readAllBytes(folder.resolve("b.gz")));
        // Magic, deflate, no flags (so no name), time 0.
        assertArrayEquals(new byte[] {0x1f, (byte) 0x8b, 8, 0, 0, 0, 0, 0}, Arrays.copyOf(bytes, 8));
    }

    @Test
    void missingFile() {
        assertFails(folder.resolve("none.gz"), "There is no file");
        assertFails(folder, "There is no file");
    }

    @Test
    void wrongMagicNumber() throws IOException {
        Path file = folder.resolve("file");
        Files.write(file, new byte[] {0, 0, 8, 1, 0, 0, 0, 0});
        assertFails(file, "0x00000801; a file of images starts with 0x00000803", "were the two files swapped");
        IdxFile.writeImages(file, IMAGES);
        String message =
                assertThrows(IOException.class, () -> IdxFile.readLabels(file)).getMessage();
        assertTrue(message.contains("a file of labels starts with 0x00000801"), message);
        Files.write(file, new byte[] {'P', 'N', 'G', '!'});
        assertFails(file, "0x504e4721", "Check that it is an IDX file");
        IdxFile.writeImages(folder.resolve("c.gz"), IMAGES);
        Files.move(folder.resolve("c.gz"), folder.resolve("c"));
        assertFails(folder.resolve("c"), "name must then end in .gz");
    }

    @Test
    void truncatedFile() throws IOException {
        Path file = folder.resolve("file");
        IdxFile.writeImages(file, IMAGES);
        byte[] whole = Files.readAllBytes(file);
        for (int length = 0; length < whole.length; length++) {
            Files.write(file, Arrays.copyOf(whole, length));
            assertFails(file, "is truncated", "Get the file again");
        }
        Files.write(file, Arrays.copyOf(whole, whole.length - 2));
        assertFails(file, "the values take 6 bytes, the file has 4");
    }

    @Test
    void truncatedCompressedFile() throws IOException {
        Path file = folder.resolve("file.gz");
        IdxFile.writeImages(file, IMAGES);
        byte[] whole = Files.readAllBytes(file);
        for (int length = 10; length < whole.length; length++) {
            Files.write(file, Arrays.copyOf(whole, length));
            assertFails(file, "is truncated", "compressed data ends");
        }
        for (int length = 0; length < 10; length++) {
            Files.write(file, Arrays.copyOf(whole, length));
            assertFails(file, "is not gzip-compressed");
        }
        Files.write(file, new byte[20]);
        assertFails(file, "is not gzip-compressed", "drop .gz");
        whole[whole.length - 6] ^= 1;
        Files.write(file, whole);
        assertFails(file, "is damaged");
    }

    @Test
    void trailingBytes() throws IOException {
        Path file = folder.resolve("file");
        IdxFile.writeImages(file, IMAGES);
        Files.write(file, Arrays.copyOf(Files.readAllBytes(file), (int) Files.size(file) + 1));
        assertFails(file, "goes on after the 6 values");
    }

    @Test
    void impossibleSizes() throws IOException {
        Path file = folder.resolve("file");
        writeHeader(file, -1, 1, 1);
        assertFails(file, "announces a size of 4294967295");
        writeHeader(file, 2_000_000_000, 2_000_000_000, 2_000_000_000);
        assertFails(file, "announces more than 2147483647 values");
        writeHeader(file, 2, 0, 3);
        assertFails(file, "announces images of 0 x 3 pixels");
        // A large size that a damaged header announces must not be allocated.
        writeHeader(file, 2_000_000, 28, 28);
        assertFails(file, "is truncated");
    }

    @Test
    void whatTheFormatCannotHold() {
        Path file = folder.resolve("file");
        PixelImages rgb = new PixelImages(1, 3, 1, 1, new byte[3]);
        String message = assertThrows(IllegalArgumentException.class, () -> IdxFile.writeImages(file, rgb))
                .getMessage();
        assertTrue(message.contains("one channel"), message);
        message = assertThrows(IllegalArgumentException.class, () -> IdxFile.writeLabels(file, new int[] {1, 256}))
                .getMessage();
        assertTrue(message.contains("Label 256 of image 1"), message);
        assertTrue(Files.notExists(file));
    }

    private static void writeHeader(Path file, int... sizes) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(4 + 4 * sizes.length).putInt(0x803);
        for (int size : sizes) {
            bytes.putInt(size);
        }
        Files.write(file, bytes.array());
    }

    private static void assertFails(Path file, String... parts) {
        Executable read = () -> IdxFile.readImages(file);
        String message = assertThrows(IOException.class, read).getMessage();
        assertTrue(message.contains(file.toString()), message);
        for (String part : parts) {
            assertTrue(message.contains(part), message);
        }
    }

    private static long filesIn(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.count();
        }
    }
}
