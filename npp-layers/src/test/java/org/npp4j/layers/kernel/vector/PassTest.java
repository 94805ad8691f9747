package org.npp4j.layers.kernel.vector;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

class PassTest {
    /** Arrays longer than a buffer are taken in slices: each unit once, at its place. */
    @ParameterizedTest
    @CsvSource({"1000, 1, 10, 100", "1003, 1, 10, 95", "57, 13, 4, 200", "57, 13, 4, 10", "5, 300000, 2, 700000"})
    void visitsEachUnitOnce(int units, int width, int unitsPerPart, int longest) {
        INDArray[] arrays = {
            Nd4j.arange((double) units * width).castTo(DataType.FLOAT), Nd4j.zeros(DataType.FLOAT, (long) units * width)
        };
        AtomicInteger parts = new AtomicInteger();
        Pass.run(longest, arrays, units, width, unitsPerPart, (buffers, first, from, to) -> {
            parts.incrementAndGet();
            assertEquals(0, (first + from) % unitsPerPart);
            for (int i = from * width; i < to * width; i++) {
                assertEquals(first * width + i, buffers[0].get(i));
                buffers[1].put(i, buffers[1].get(i) + 1);
            }
        });
        assertEquals(Pass.parts(units, unitsPerPart), parts.get());
        float[] ones = new float[units * width];
        Arrays.fill(ones, 1);
        assertArrayEquals(ones, arrays[1].toFloatVector());
    }

    @Test
    void aFailureReachesTheCaller() {
        AtomicInteger done = new AtomicInteger();
        IllegalStateException failure = assertThrows(
                IllegalStateException.class,
                () -> Workers.run(100, part -> {
                    if (part == 50) {
                        throw new IllegalStateException("part 50");
                    }
                    done.incrementAndGet();
                }));
        assertEquals("part 50", failure.getMessage());
        assertTrue(done.get() >= 49 && done.get() < 100, done + " parts");
        Workers.run(100, part -> done.incrementAndGet());
        assertTrue(done.get() >= 149);
    }

    @Test
    void tellsLayouts() {
        INDArray c = Nd4j.zeros(DataType.FLOAT, 3, 4);
        INDArray f = c.dup('f');
        INDArray gaps = Nd4j.zeros(DataType.FLOAT, 3, 5).get(NDArrayIndex.all(), NDArrayIndex.interval(0, 4));
        assertTrue(Floats.alike(c, c.dup()) && Floats.alike(f, c.dup('f')));
        assertFalse(Floats.alike(c, f) || Floats.alike(gaps) || Floats.alike(c.castTo(DataType.DOUBLE)));
        assertFalse(Floats.alike(c, Nd4j.zeros(DataType.FLOAT, 4, 3)));
        assertTrue(Floats.rows(c) && !Floats.rows(f) && !Floats.rows(c.reshape(12)));
        assertTrue(Floats.rows(f.transpose()));
        INDArray column = Nd4j.zeros(DataType.FLOAT, 3, 4).getColumn(1, true);
        assertFalse(Floats.vector(column, 3));
        assertTrue(Floats.vector(Nd4j.zeros(DataType.FLOAT, 1, 4), 4) && !Floats.vector(c.getRow(1), 3));
        assertTrue(Floats.vector(c.getRow(1), 4) && Floats.rows(c.getRow(1, true)));
        IllegalArgumentException failure = assertThrows(IllegalArgumentException.class, () -> Floats.of(gaps));
        assertEquals(
                "Expected contiguous floats below 2 GiB, got FLOAT [3, 4] with strides [5, 1]", failure.getMessage());
    }
}
