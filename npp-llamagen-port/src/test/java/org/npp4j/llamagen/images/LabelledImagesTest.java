package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.images.LabelledImages.Split;

class LabelledImagesTest {
    @TempDir
    Path folder;

    @Test
    void realFilesAreRead() throws IOException {
        LabelledImages train = FashionMnistSmall.load(Split.TRAIN);
        assertEquals(200, train.count());
        assertEquals(10, train.classes());
        assertArrayEquals(new int[] {9, 0, 0, 3, 0, 2, 7, 2}, Arrays.copyOf(train.labels(), 8));
        long sum = 0;
        for (byte pixel : train.images().toBytes()) {
            sum += pixel & 0xff;
        }
        assertEquals(11648277, sum);
        assertEquals(4, train.images().pixel(3, 0, 301 / 28, 301 % 28));
        assertEquals("180935eb8a7099bda5d01bf25a016fb560eb10d04332019cf9f6d3cb5943ccd8", train.sha256());
        assertEquals(
                "ccb5795c19458de3f668e20be77690f4d790d50318531ab78fdd3124c1bbc0cd",
                FashionMnistSmall.load(Split.TEST).sha256());
    }

    @Test
    void plainFilesAreReadToo() throws IOException {
        LabelledImages data = FashionMnistSmall.load(Split.TEST);
        IdxFile.writeImages(folder.resolve("t10k-images-idx3-ubyte"), data.images());
        IdxFile.writeLabels(folder.resolve("t10k-labels-idx1-ubyte"), data.labels());
        assertEquals(data.sha256(), LabelledImages.load(folder, Split.TEST).sha256());
    }

    @Test
    void filesInsideAnArchiveAreReadToo() throws IOException {
        try (FileSystem zip = FileSystems.newFileSystem(folder.resolve("data.zip"), Map.of("create", "true"))) {
            for (String name : List.of("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")) {
                Files.copy(FashionMnistSmall.folder().resolve(name), zip.getPath(name));
            }
            assertEquals(50, LabelledImages.load(zip.getPath("/"), Split.TEST).count());
        }
    }

    @Test
    void firstOfEachClassKeepsTheOrder() {
        int[] labels = {2, 0, 2, 1, 1, 0, 2, 0};
        LabelledImages data =
                new LabelledImages(new PixelImages(8, 1, 1, 1, new byte[] {0, 1, 2, 3, 4, 5, 6, 7}), labels);
        LabelledImages two = data.firstOfEachClass(2);
        assertArrayEquals(new byte[] {0, 1, 2, 3, 4, 5}, two.images().toBytes());
        assertArrayEquals(new int[] {2, 0, 2, 1, 1, 0}, two.labels());
        assertNotEquals(data.sha256(), two.sha256());
        assertMessage("Class 1 has only 2 images, asked for 3", () -> data.firstOfEachClass(3));
        assertMessage("At least 1", () -> data.firstOfEachClass(0));
    }

    @Test
    void missingAndUnequalFiles() throws IOException {
        IOException missing = assertThrows(FileNotFoundException.class, () -> LabelledImages.load(folder, Split.TRAIN));
        assertTrue(
                missing.getMessage().contains(folder + " does not hold train-images-idx3-ubyte.gz"),
                missing.getMessage());
        IOException noFolder = assertThrows(
                FileNotFoundException.class, () -> LabelledImages.load(folder.resolve("none"), Split.TRAIN));
        assertTrue(noFolder.getMessage().contains("is no folder"), noFolder.getMessage());

        LabelledImages data = FashionMnistSmall.load(Split.TEST);
        IdxFile.writeImages(folder.resolve("t10k-images-idx3-ubyte.gz"), data.images());
        IdxFile.writeLabels(folder.resolve("t10k-labels-idx1-ubyte.gz"), new int[] {1, 2});
        IOException unequal = assertThrows(IOException.class, () -> LabelledImages.load(folder, Split.TEST));
        assertTrue(unequal.getMessage().contains("50 images but"), unequal.getMessage());
        assertTrue(unequal.getMessage().contains("2 labels. The counts must be equal"), unequal.getMessage());

        IdxFile.writeImages(
                folder.resolve("t10k-images-idx3-ubyte.gz"), data.images().range(0, 0));
        IdxFile.writeLabels(folder.resolve("t10k-labels-idx1-ubyte.gz"), new int[0]);
        IOException empty = assertThrows(IOException.class, () -> LabelledImages.load(folder, Split.TEST));
        assertTrue(empty.getMessage().contains("holds no images"), empty.getMessage());
    }

    @Test
    void wrongArguments() {
        PixelImages one = new PixelImages(1, 1, 1, 1, new byte[1]);
        assertMessage("1 images but 2 labels", () -> new LabelledImages(one, new int[2]));
        assertMessage("Label -1 is negative", () -> new LabelledImages(one, new int[] {-1}));
        assertMessage("There are no images", () -> new LabelledImages(one.range(0, 0), new int[0]));
    }

    private static void assertMessage(String part, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }
}
