package org.npp4j.layers.kernel.vector;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CounterRandomTest {
    private static final int LENGTH = 64;

    /** Counter, key and words of the algorithm's authors, in hexadecimal. */
    @ParameterizedTest
    @CsvSource({
        "00000000, 00000000, 0000000000000000, 9d1c5ec6, 8bd50731",
        "ffffffff, ffffffff, ffffffffffffffff, fd36d048, 2d17272c",
        "243f6a88, 85a308d3, 0370734413198a2e, ba3e4725, f27d669e"
    })
    void givesThePublishedWords(String low, String high, String key, String first, String second) {
        int[] x = new int[LENGTH];
        int[] y = new int[LENGTH];
        new CounterRandom(Long.parseUnsignedLong(key, 16))
                .words(Integer.parseUnsignedInt(low, 16), Integer.parseUnsignedInt(high, 16), x, y, LENGTH);
        assertEquals(first, String.format("%08x", x[0]));
        assertEquals(second, String.format("%08x", y[0]));
    }

    @Test
    void countersFollowEachOther() {
        CounterRandom random = new CounterRandom(0x123456789ABCDEFL);
        int[] x = new int[LENGTH];
        int[] y = new int[LENGTH];
        random.words(1000, 7, x, y, LENGTH);
        for (int i = 0; i < LENGTH; i++) {
            int[] one = new int[LENGTH];
            int[] other = new int[LENGTH];
            random.words(1000 + i, 7, one, other, LENGTH);
            assertEquals(x[i], one[0]);
            assertEquals(y[i], other[0]);
        }
    }
}
