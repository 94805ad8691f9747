package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.NoSuchElementException;
import java.util.Random;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.ndarray.INDArray;

class ImageDataSetIteratorTest {
    @TempDir
    private Path folder;

    private static PixelImages images(int count, int channels) {
        byte[] pixels = new byte[count * channels * 6];
        new Random(1).nextBytes(pixels);
        return new PixelImages(count, channels, 2, 3, pixels);
    }

    @Test
    void everyImageOnceAnEpoch() {
        PixelImages images = images(7, 3);
        ImageDataSetIterator batches = new ImageDataSetIterator(images, 3, false, 5);
        assertEquals(2, batches.batchesPerEpoch());
        TreeSet<Integer> seen = new TreeSet<>();
        while (batches.hasNext()) {
            INDArray batch = batches.next().getFeatures(0);
            assertArrayEquals(new long[] {3, 2, 3, 3}, batch.shape());
            for (int i = 0; i < 3; i++) {
                seen.add(indexOf(images, batch.slice(i)));
            }
        }
        assertEquals(6, seen.size());
        assertFalse(seen.contains(-1));
        assertThrows(NoSuchElementException.class, batches::next);
    }

    /** The image [H, W, 3] in [-1, 1], or -1. */
    private static int indexOf(PixelImages images, INDArray image) {
        INDArray all = images.toSignedUnit();
        for (int i = 0; i < images.count(); i++) {
            if (all.slice(i).permute(1, 2, 0).equalsWithEps(image, 1e-6)) {
                return i;
            }
        }
        return -1;
    }

    @Test
    void goesOnAtAnyBatch() {
        ImageDataSetIterator batches = new ImageDataSetIterator(images(8, 3), 2, true, 5);
        batches.reset();
        assertEquals(0, batches.getEpoch());
        INDArray first = batches.next().getFeatures(0);
        batches.reset();
        assertEquals(1, batches.getEpoch());
        assertNotEquals(first, batches.next().getFeatures(0));
        INDArray second = batches.next().getFeatures(0);
        ImageDataSetIterator other = new ImageDataSetIterator(images(8, 3), 2, true, 5);
        other.seek(1, 1);
        assertEquals(second, other.next().getFeatures(0));
        other.setEpoch(0);
        assertEquals(first, other.next().getLabels(0));
        assertNotEquals(
                first, new ImageDataSetIterator(images(8, 3), 2, true, 6).next().getFeatures(0));
    }

    @Test
    void mirrorsHalf() {
        PixelImages images = images(40, 1);
        INDArray batch = new ImageDataSetIterator(images, 40, true, 1).next().getFeatures(0);
        int mirrored = 0;
        INDArray all = images.toSignedUnit();
        for (int i = 0; i < 40; i++) {
            INDArray grey = batch.slice(i).slice(0, 2);
            assertEquals(grey, batch.slice(i).slice(1, 2));
            boolean asItIs = false;
            for (int j = 0; j < 40; j++) {
                asItIs |= all.slice(j).slice(0).equalsWithEps(grey.dup(), 1e-6);
            }
            mirrored += asItIs ? 0 : 1;
        }
        assertTrue(mirrored > 8 && mirrored < 32, "" + mirrored);
    }

    @Test
    void refusesWhatItCannotBatch() {
        assertEquals(
                "Batch size 9 is not possible with 8 images; use 1 to 8",
                refused(() -> new ImageDataSetIterator(images(8, 3), 9, false, 1)));
        assertTrue(refused(() -> new ImageDataSetIterator(images(8, 2), 1, false, 1))
                .contains("3 channels"));
        ImageDataSetIterator batches = new ImageDataSetIterator(images(8, 3), 2, false, 1);
        assertTrue(refused(() -> batches.seek(0, 5)).contains("There is no batch 5"));
        assertTrue(refused(() -> batches.next(0)).contains("at least 1 image"));
    }

    @Test
    void readsCifar() throws IOException {
        byte[] bytes = new byte[2 * 3073];
        new Random(3).nextBytes(bytes);
        bytes[0] = 3;
        bytes[3073] = 9;
        Path file = Files.write(folder.resolve("a.bin"), bytes);
        LabelledImages images = CifarFile.read(file);
        assertArrayEquals(new int[] {3, 9}, images.labels());
        // image 1, green, row 5, column 7
        assertEquals(bytes[3073 + 1 + 1024 + 5 * 32 + 7] & 0xff, images.images().pixel(1, 1, 5, 7));
        bytes[3073] = 10;
        Files.write(file, bytes);
        String message =
                assertThrows(IOException.class, () -> CifarFile.read(file)).getMessage();
        assertTrue(message.contains("image 1 has the label 10"), message);
        Files.write(file, new byte[0]);
        assertThrows(IOException.class, () -> CifarFile.read(file));
    }

    private static String refused(org.junit.jupiter.api.function.Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
