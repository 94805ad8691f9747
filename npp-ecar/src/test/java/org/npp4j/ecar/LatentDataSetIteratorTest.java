package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

class LatentDataSetIteratorTest {
    private static final EcarConfig CONFIG = new EcarConfig(2, 4, 2, 8, 1, 2, 3, 0, 0, new FlowHead.Mlp(8, 1));
    private static final int[] CLASSES = {0, 1, 2, 0, 1, 2, 1};

    private final INDArray latents =
            Nd4j.arange(7 * 2 * 4 * 4).castTo(DataType.FLOAT).reshape('c', 7, 2, 4, 4);

    private LatentDataSetIterator batches() {
        return new LatentDataSetIterator(CONFIG, latents, CLASSES, 3, 5);
    }

    private static List<MultiDataSet> epochs(LatentDataSetIterator batches, int count) {
        List<MultiDataSet> all = new ArrayList<>();
        for (int epoch = 0; epoch < count; epoch++) {
            while (batches.hasNext()) {
                all.add(batches.next());
            }
            batches.reset();
        }
        return all;
    }

    @Test
    void repeatsAndContinues() {
        List<MultiDataSet> all = epochs(batches(), 3);
        assertEquals(6, all.size());
        assertEquals(all, epochs(batches(), 3));
        LatentDataSetIterator later = batches();
        later.seek(1, 1);
        assertEquals(all.get(3), later.next());
        assertFalse(later.hasNext());
        assertThrows(NoSuchElementException.class, later::next);
        assertNotEquals(all.get(0), all.get(2));
    }

    /** A test counts every image once; its batches may be larger than the data. */
    @Test
    void keepsTheLastShortBatch() {
        LatentDataSetIterator all = new LatentDataSetIterator(CONFIG, latents, CLASSES, 3, true, 5);
        assertEquals(3, all.batchesPerEpoch());
        assertEquals(
                List.of(3L, 3L, 1L),
                epochs(all, 1).stream()
                        .map(batch -> batch.getFeatures(0).size(0))
                        .toList());
        assertEquals(
                epochs(batches(), 1),
                epochs(new LatentDataSetIterator(CONFIG, latents, CLASSES, 3, true, 5), 1)
                        .subList(0, 2));
        assertEquals(1, new LatentDataSetIterator(CONFIG, latents, CLASSES, 9, true, 5).batchesPerEpoch());
    }

    /** The end of the last stage is the latent: state + (1 - time) velocity there. */
    @Test
    void trainsTowardsTheLatents() {
        for (MultiDataSet batch : epochs(batches(), 1)) {
            for (int b = 0; b < 3; b++) {
                int last = CONFIG.stageLengths().positions() - 1;
                double time = batch.getFeatures(3).getDouble(b, last, 0);
                double end = batch.getFeatures(2).getDouble(b, last, 1)
                        + (1 - time) * batch.getLabels(0).getDouble(b, last * 2 + 1);
                int image = (int) Math.round((end - 31) / 32);
                assertEquals(32 * image + 31, end, 1e-3);
                assertEquals(CLASSES[image], batch.getFeatures(0).getInt(b, 0));
                assertTrue(time >= 0 && time < 1);
            }
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertTrue(message(() -> new LatentDataSetIterator(CONFIG, latents, new int[6], 3, 0))
                .contains("[6, 2, 4, 4]"));
        assertTrue(message(() -> new LatentDataSetIterator(CONFIG, latents, new int[] {0, 0, 0, 0, 0, 0, 3}, 3, 0))
                .contains("0 .. 2"));
        assertTrue(message(() -> new LatentDataSetIterator(CONFIG, latents, CLASSES, 8, 0))
                .contains("use 1 to 7"));
        assertTrue(message(() -> batches().seek(0, 3)).contains("batches from 0 to 2"));
    }

    private static String message(Executable action) {
        return assertThrows(IllegalArgumentException.class, action).getMessage();
    }
}
