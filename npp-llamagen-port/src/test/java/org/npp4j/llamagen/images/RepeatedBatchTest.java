package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.NoSuchElementException;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

class RepeatedBatchTest {
    private final MultiDataSet batch = new MultiDataSet(Nd4j.ones(2, 3), Nd4j.ones(2, 3));
    private final RepeatedBatch batches = new RepeatedBatch(batch);

    @Test
    void givesTheBatchOnceAnEpoch() {
        assertEquals(1, batches.batchesPerEpoch());
        assertSame(batch, batches.next());
        assertFalse(batches.hasNext());
        assertThrows(NoSuchElementException.class, batches::next);
        batches.reset();
        batches.reset();
        assertEquals(1, batches.getEpoch(), "a second reset changes nothing");
        assertSame(batch, batches.next(7));
        batches.seek(4, 1);
        assertFalse(batches.hasNext());
        batches.setEpoch(5);
        assertTrue(batches.hasNext());
        assertEquals(5, batches.getEpoch());
    }

    @Test
    void refusesOtherPlaces() {
        for (int[] place : new int[][] {{-1, 0}, {0, -1}, {0, 2}}) {
            assertTrue(assertThrows(IllegalArgumentException.class, () -> batches.seek(place[0], place[1]))
                    .getMessage()
                    .contains("There is no batch " + place[1] + " of epoch " + place[0]));
        }
    }
}
