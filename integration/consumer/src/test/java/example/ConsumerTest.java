package example;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

class ConsumerTest {
    @Test
    void patchesAreAveraged() {
        Consumer.main(new String[0]);
        assertArrayEquals(new long[] {3, 16, 5}, Consumer.patchAverageShape());
    }
}
