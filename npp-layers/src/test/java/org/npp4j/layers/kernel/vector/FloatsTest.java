package org.npp4j.layers.kernel.vector;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

class FloatsTest {
    @Test
    void readsAndWritesBehindTwoGibibytes() {
        long length = (1L << 29) + 4096; // 2 GiB + 16 KiB, of which only the touched pages take memory
        try (INDArray array = Nd4j.createUninitialized(DataType.FLOAT, length)) {
            for (long from : new long[] {0, Floats.LONGEST - 3L, (1L << 29) - 1, length - 5}) {
                FloatBuffer slice = Floats.of(array, from, 5);
                assertEquals(5, slice.remaining());
                slice.put(4, from);
                assertEquals((float) from, array.getFloat(from + 4));
                assertEquals((float) from, Floats.of(array, from, 5).get(4));
            }
        }
    }
}
