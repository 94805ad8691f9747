package org.npp4j.llamagen.codes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.AsyncMultiDataSetIterator;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;

class CodeDataSetIteratorTest {
    private static final int IMAGES = 23;
    private static final int CROPS = 10;

    @TempDir
    private Path folder;

    private CodeStore store;
    private CodeStore other;

    /** An image as it was drawn. */
    private record Drawn(int image, int crop, boolean fromOther) {}

    @BeforeEach
    void write() throws IOException {
        store = CodeStore.open(MadeUpCodes.write(folder.resolve("a"), true, IMAGES, CROPS, 2000));
        // the same images, with codes of its own
        Path at = Files.createDirectory(folder.resolve("b"));
        try (CodeWriter writer = CodeFiles.Writer.open(at, MadeUpCodes.NAME)) {
            for (int i = 0; i < IMAGES; i++) {
                writer.add(MadeUpCodes.codes(i + IMAGES, CROPS, 4), MadeUpCodes.label(i));
            }
        }
        other = CodeStore.open(at);
    }

    @AfterEach
    void close() {
        store.close();
        other.close();
    }

    private static List<Drawn> drawn(MultiDataSet batch) {
        INDArray tokens = batch.getFeatures(0);
        INDArray classes = batch.getFeatures(1);
        assertEquals(tokens, batch.getLabels(0));
        assertNotSame(tokens, batch.getLabels(0));
        assertEquals(DataType.INT32, tokens.dataType());
        assertEquals(DataType.INT32, classes.dataType());
        assertArrayEquals(new long[] {tokens.size(0), 1}, classes.shape());
        List<Drawn> images = new ArrayList<>();
        int[][] ids = tokens.toIntMatrix();
        for (int b = 0; b < ids.length; b++) {
            int crop = ids[b][0] / 4 % CROPS;
            int image = ids[b][0] / 4 / CROPS;
            assertArrayEquals(MadeUpCodes.codes(image, CROPS, 4)[crop], ids[b]);
            assertEquals(MadeUpCodes.label(image % IMAGES), classes.getInt(b, 0));
            images.add(new Drawn(image % IMAGES, crop, image >= IMAGES));
        }
        return images;
    }

    private static List<List<Drawn>> rest(MultiDataSetIterator iterator) {
        List<List<Drawn>> batches = new ArrayList<>();
        while (iterator.hasNext()) {
            batches.add(drawn(iterator.next()));
        }
        return batches;
    }

    private CodeDataSetIterator.Builder builder(int batch, boolean keepLastShort) {
        return new CodeDataSetIterator.Builder(store)
                .batches(batch, keepLastShort)
                .seed(7);
    }

    @Test
    void everyEpochHoldsEveryImageOnceInANewOrderWithOtherCrops() {
        CodeDataSetIterator iterator = builder(4, true).build();
        assertEquals(6, iterator.batchesPerEpoch());
        Set<List<Integer>> orders = new HashSet<>();
        Set<List<Drawn>> epochs = new HashSet<>();
        int[] crops = new int[CROPS];
        for (int epoch = 0; epoch < 200; epoch++) {
            assertEquals(epoch, iterator.getEpoch());
            List<List<Drawn>> batches = rest(iterator);
            assertEquals(3, batches.get(5).size());
            List<Drawn> images = batches.stream().flatMap(List::stream).toList();
            assertEquals(IMAGES, images.stream().map(Drawn::image).distinct().count());
            assertEquals(IMAGES, images.size());
            images.forEach(drawn -> crops[drawn.crop()]++);
            orders.add(images.stream().map(Drawn::image).toList());
            epochs.add(images);
            assertThrows(NoSuchElementException.class, iterator::next);
            iterator.reset();
        }
        assertEquals(200, orders.size());
        assertEquals(200, epochs.size());
        // 4600 draws: 460 of each crop, standard deviation 20
        for (int count : crops) {
            assertEquals(460, count, 100);
        }
    }

    @Test
    void theLastShortBatchIsDroppedWhenAsked() {
        CodeDataSetIterator iterator = builder(4, false).build();
        assertEquals(5, iterator.batchesPerEpoch());
        assertEquals(5, rest(iterator).size());
        assertEquals(1, builder(IMAGES, false).build().batchesPerEpoch());
    }

    @Test
    void resumingAtAnyBatchGivesTheSameBatches() {
        Random random = new Random(3);
        for (int trial = 0; trial < 12; trial++) {
            CodeDataSetIterator.Builder settings = builder(1 + random.nextInt(IMAGES), random.nextBoolean())
                    .seed(random.nextLong())
                    .part(trial % 2, 1 + trial % 2);
            if (random.nextBoolean()) {
                settings.otherCrops(other);
            }
            CodeDataSetIterator straight;
            try {
                straight = settings.build();
            } catch (IllegalArgumentException e) {
                continue; // a batch larger than a part
            }
            for (int epoch = 0; epoch < 3; epoch++) {
                List<List<Drawn>> all = rest(straight);
                assertEquals(straight.batchesPerEpoch(), all.size());
                for (int batch = 0; batch <= all.size(); batch++) {
                    CodeDataSetIterator resumed = settings.build();
                    resumed.seek(epoch, batch);
                    assertEquals(epoch, resumed.getEpoch());
                    assertEquals(all.subList(batch, all.size()), rest(resumed));
                    resumed.reset();
                    assertEquals(batch == 0 && all.isEmpty() ? epoch : epoch + 1, resumed.getEpoch());
                }
                straight.reset();
            }
        }
    }

    /** A crop is drawn from seed, epoch and image alone: not from what else is in the batch. */
    @Test
    void cropsDependOnSeedEpochAndImageAlone() {
        List<Drawn> byFour = flat(builder(4, true).otherCrops(other).build(), 5);
        List<Drawn> byNine = flat(builder(9, true).otherCrops(other).build(), 5);
        assertEquals(byFour, byNine);
        List<Drawn> parts = new ArrayList<>();
        for (int part = 0; part < 3; part++) {
            parts.addAll(flat(builder(2, true).otherCrops(other).part(part, 3).build(), 5));
        }
        assertEquals(21, new HashSet<>(parts).size());
        assertTrue(byFour.containsAll(parts));
        assertNotEquals(byFour, flat(builder(4, true).otherCrops(other).seed(8).build(), 5));
        assertNotEquals(byFour, flat(builder(4, true).otherCrops(other).build(), 6));
    }

    private static List<Drawn> flat(CodeDataSetIterator iterator, int epoch) {
        iterator.setEpoch(epoch);
        return rest(iterator).stream().flatMap(List::stream).toList();
    }

    @Test
    void halfOfTheDrawsAreOfTheOtherCrops() {
        CodeDataSetIterator iterator = builder(IMAGES, false).otherCrops(other).build();
        int[][] counts = new int[2][CROPS];
        for (int epoch = 0; epoch < 400; epoch++) {
            rest(iterator).get(0).forEach(drawn -> counts[drawn.fromOther() ? 1 : 0][drawn.crop()]++);
            iterator.reset();
        }
        // 9200 draws: 460 of each of 20 crops, standard deviation 21
        for (int[] store : counts) {
            for (int count : store) {
                assertEquals(460, count, 105);
            }
        }
    }

    @Test
    void partsShareNothingAndLeaveOutNoImageForEver() {
        Set<Integer> seen = new HashSet<>();
        for (int epoch = 0; epoch < 30; epoch++) {
            Set<Integer> inEpoch = new HashSet<>();
            for (int part = 0; part < 4; part++) {
                CodeDataSetIterator iterator = builder(2, true).part(part, 4).build();
                assertEquals(5, iterator.imagesPerEpoch());
                assertEquals(3, iterator.batchesPerEpoch());
                flat(iterator, epoch).forEach(drawn -> assertTrue(inEpoch.add(drawn.image())));
            }
            assertEquals(20, inEpoch.size());
            seen.addAll(inEpoch);
        }
        assertEquals(IMAGES, seen.size());
    }

    @Test
    void prefetchingGivesTheSameBatchesFromWhereverItStarts() {
        List<List<Drawn>> first = rest(builder(4, true).build());
        CodeDataSetIterator later = builder(4, true).build();
        later.setEpoch(1);
        List<List<Drawn>> second = rest(later);
        for (int batch = 0; batch < 6; batch++) {
            CodeDataSetIterator iterator = builder(4, true).build();
            assertTrue(iterator.asyncSupported());
            iterator.seek(0, batch);
            AsyncMultiDataSetIterator prefetching = new AsyncMultiDataSetIterator(iterator, 2);
            assertEquals(first.subList(batch, 6), rest(prefetching));
            prefetching.reset();
            assertEquals(second, rest(prefetching));
            prefetching.shutdown();
            // stopped in the middle: where training is decides, not how far was read ahead
            iterator.seek(0, 0);
            prefetching = new AsyncMultiDataSetIterator(iterator, 2);
            assertTrue(prefetching.hasNext());
            assertEquals(first.get(0), drawn(prefetching.next()));
            prefetching.shutdown();
            iterator.seek(0, 1);
            assertEquals(first.subList(1, 6), rest(iterator));
        }
    }

    @Test
    void readsOnlyTheBatch() throws IOException {
        Path codes = folder.resolve("b/imagenet8_codes");
        CodeDataSetIterator iterator =
                new CodeDataSetIterator.Builder(other).batches(4, true).build();
        List<List<Drawn>> batches = rest(iterator);
        for (Drawn gone : batches.get(5)) {
            Files.delete(codes.resolve(gone.image() + ".npy"));
        }
        iterator.seek(0, 0);
        for (int batch = 0; batch < 5; batch++) {
            assertEquals(batches.get(batch), drawn(iterator.next()));
        }
        assertThrows(UncheckedIOException.class, iterator::next);
        assertTrue(iterator.hasNext(), "a batch that failed is still to come");
    }

    @Test
    void codesAndClassesOutsideTheLimitsNameTheirFile() throws IOException {
        Path codes = folder.resolve("b/imagenet8_codes");
        CodeDataSetIterator low = new CodeDataSetIterator.Builder(other)
                .batches(IMAGES, false)
                .limits(45 * 40, 3)
                .build();
        says(codes.resolve("22.npy").toString(), "but codes must be below 1800, the vocabulary", low::next);
        CodeDataSetIterator fewClasses = new CodeDataSetIterator.Builder(store)
                .batches(IMAGES, false)
                .limits(2000, 2)
                .build();
        says("imagenet8.codes is 2, but the model has the classes 0 to 1", "The label of image ", fewClasses::next);
        // a store that knows its vocabulary checks without being told
        Path at = MadeUpCodes.write(folder.resolve("c"), true, 3, CROPS, 50);
        try (CodeStore broken = CodeStore.open(at)) {
            CodeDataSetIterator iterator =
                    new CodeDataSetIterator.Builder(broken).batches(3, false).build();
            says("but codes must be below 50", "Were they made with another tokenizer?", iterator::next);
        }
    }

    @Test
    void wrongSettingsAreNamed() throws IOException {
        says("Batch size 24 is not possible with 23 images; use 1 to 23", "keep the last", builder(24, false)::build);
        assertEquals(1, builder(24, true).build().batchesPerEpoch());
        says("Batch size 0", "", builder(0, true)::build);
        says("with 7 images in each of 3 parts", "", builder(8, false).part(2, 3)::build);
        says("with 0 images in each of 24 parts", "", builder(1, true).part(2, 24)::build);
        says("part 3 of 3", "", builder(1, true).part(3, 3)::build);
        says("vocabulary 0", "", builder(1, true).limits(0, 1)::build);
        try (CodeStore fewer = CodeStore.open(MadeUpCodes.write(folder.resolve("d"), true, 3, CROPS, 500))) {
            says(
                    "holds 3 images of 4 tokens",
                    "crops of the same images",
                    builder(1, true).otherCrops(fewer)::build);
        }
        CodeDataSetIterator iterator = builder(4, false).build();
        says("There is no batch 6 of epoch 0", "0 to 5", () -> iterator.seek(0, 6));
        says("There is no batch 0 of epoch -1", "", () -> iterator.seek(-1, 0));
        says("A batch has at least 1 image", "", () -> iterator.next(0));
        assertFalse(iterator.getEpoch() != 0);
        assertEquals(2, drawn(iterator.next(2)).size());
    }

    private static void says(String part, String other, Executable call) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
        assertTrue(e.getMessage().contains(part) && e.getMessage().contains(other), e::getMessage);
    }
}
