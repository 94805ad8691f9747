package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.api.MultiDataSetPreProcessor;
import org.nd4j.linalg.factory.Nd4j;

class AbstractEpochDataSetIteratorTest {
    /** Says which images were asked for; can fail as an unreadable file does. */
    private static final class Recorded extends AbstractEpochDataSetIterator<MultiDataSet> {
        private static final long serialVersionUID = 1L;

        private final List<Integer> orders = new ArrayList<>();
        private final List<String> batches = new ArrayList<>();
        private boolean failing;

        Recorded(int images, int batchSize, boolean keepLastShort) {
            super(images, batchSize, keepLastShort, 5);
        }

        @Override
        protected int[] order(int epoch) {
            orders.add(epoch);
            return super.order(epoch);
        }

        @Override
        protected MultiDataSet batch(int epoch, int first, int[] images) {
            if (failing) {
                throw new IllegalStateException("unreadable");
            }
            batches.add(epoch + "/" + first + Arrays.toString(images));
            return new MultiDataSet(Nd4j.zeros(images.length, 1), null);
        }

        /** The batches of what is left of the epoch. */
        List<String> rest() {
            batches.clear();
            while (hasNext()) {
                next();
            }
            return List.copyOf(batches);
        }
    }

    /** What the batches of an epoch must be, cut out of its order by a plain loop. */
    private static List<String> expected(int images, int batchSize, boolean keepLastShort, int epoch) {
        int[] order = EpochOrder.shuffled(5, epoch, images);
        List<String> batches = new ArrayList<>();
        for (int first = 0; first < images; first += batchSize) {
            int end = Math.min(first + batchSize, images);
            if (end == first + batchSize || keepLastShort) {
                batches.add(epoch + "/" + first + Arrays.toString(Arrays.copyOfRange(order, first, end)));
            }
        }
        return batches;
    }

    @Test
    void batchesOfAnySizeAreTheOrderCutInPieces() {
        Random random = new Random(1);
        for (int trial = 0; trial < 200; trial++) {
            int images = 1 + random.nextInt(20);
            boolean keepLastShort = random.nextBoolean();
            int batchSize = 1 + random.nextInt(keepLastShort ? 30 : images);
            Recorded iterator = new Recorded(images, batchSize, keepLastShort);
            assertEquals(images, iterator.imagesPerEpoch());
            for (int epoch = 0; epoch < 3; epoch++) {
                List<String> expected = expected(images, batchSize, keepLastShort, epoch);
                assertEquals(expected.size(), iterator.batchesPerEpoch());
                assertEquals(epoch, iterator.getEpoch());
                assertEquals(expected, iterator.rest());
                iterator.reset();
                iterator.reset();
            }
            int epoch = random.nextInt(4);
            int batch = random.nextInt(iterator.batchesPerEpoch() + 1);
            iterator.seek(epoch, batch);
            List<String> expected = expected(images, batchSize, keepLastShort, epoch);
            assertEquals(expected.subList(batch, expected.size()), iterator.rest());
        }
    }

    @Test
    void anOrderIsMadeOnceAnEpochAndOnlyIfItIsNeeded() {
        Recorded iterator = new Recorded(6, 2, false);
        iterator.seek(3, 1);
        assertEquals(List.of(), iterator.orders);
        iterator.next();
        iterator.seek(3, 0);
        iterator.rest();
        iterator.reset();
        assertEquals(List.of(3), iterator.orders);
        iterator.next();
        assertEquals(List.of(3, 4), iterator.orders);
    }

    @Test
    void theLastShortBatchIsKeptOrDropped() {
        Recorded kept = new Recorded(5, 2, true);
        kept.seek(0, 2);
        assertEquals(1, kept.next().getFeatures(0).size(0));
        assertFalse(kept.hasNext());
        Recorded dropped = new Recorded(5, 2, false);
        dropped.seek(0, 2);
        assertFalse(dropped.hasNext());
        dropped.reset();
        assertEquals(1, dropped.getEpoch(), "the epoch was over");
    }

    @Test
    void otherNumbersOfImagesMoveThePlace() {
        Recorded iterator = new Recorded(7, 2, true);
        iterator.next(3);
        iterator.next();
        iterator.next(100);
        int[] order = EpochOrder.shuffled(5, 0, 7);
        assertEquals(
                List.of(
                        "0/0" + Arrays.toString(Arrays.copyOfRange(order, 0, 3)),
                        "0/3" + Arrays.toString(Arrays.copyOfRange(order, 3, 5)),
                        "0/5" + Arrays.toString(Arrays.copyOfRange(order, 5, 7))),
                iterator.batches);
        assertFalse(iterator.hasNext());
    }

    @Test
    void anExhaustedIteratorSaysSo() {
        Recorded iterator = new Recorded(4, 2, false);
        iterator.rest();
        for (Executable action : List.<Executable>of(iterator::next, () -> iterator.next(1))) {
            assertEquals(
                    "Epoch 0 is over; call reset() for the next one",
                    assertThrows(NoSuchElementException.class, action).getMessage());
        }
        iterator.seek(0, 2);
        assertFalse(iterator.hasNext());
    }

    @Test
    void aBatchThatFailedIsAskedForAgain() {
        Recorded iterator = new Recorded(4, 2, false);
        iterator.next();
        iterator.failing = true;
        assertThrows(IllegalStateException.class, iterator::next);
        iterator.failing = false;
        iterator.next();
        assertEquals(expected(4, 2, false, 0), iterator.batches);
    }

    @Test
    void thePreProcessorSeesEveryBatch() {
        Recorded iterator = new Recorded(4, 2, false);
        assertNull(iterator.getPreProcessor());
        MultiDataSetPreProcessor plusOne = batch -> batch.getFeatures(0).addi(1);
        iterator.setPreProcessor(plusOne);
        assertSame(plusOne, iterator.getPreProcessor());
        assertEquals(2, iterator.next().getFeatures(0).sumNumber().intValue());
        assertTrue(iterator.resetSupported());
        assertFalse(iterator.asyncSupported());
    }

    @Test
    void wrongArguments() {
        says("An epoch needs at least 1 image, got 0", () -> new Recorded(0, 1, true));
        says("Batch size 0 is not possible with 3 images; use 1 to 3", () -> new Recorded(3, 0, true));
        says("Batch size 4 is not possible with 3 images; use 1 to 3", () -> new Recorded(3, 4, false));
        Recorded iterator = new Recorded(4, 2, false);
        says(
                "There is no batch 3 of epoch 0: epochs are numbered from 0, batches from 0 to 2",
                () -> iterator.seek(0, 3));
        says(
                "There is no batch -1 of epoch 0: epochs are numbered from 0, batches from 0 to 2",
                () -> iterator.seek(0, -1));
        says(
                "There is no batch 0 of epoch -1: epochs are numbered from 0, batches from 0 to 2",
                () -> iterator.setEpoch(-1));
        says("A batch has at least 1 image, asked for 0", () -> iterator.next(0));
    }

    private static void says(String message, Executable action) {
        assertEquals(
                message, assertThrows(IllegalArgumentException.class, action).getMessage());
    }
}
