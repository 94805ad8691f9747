package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import org.junit.jupiter.api.Test;

class ConsumerTest {
    @Test
    void bothStagesLearn() {
        double[][] losses = Consumer.train();
        assertEquals(2, losses.length);
        assertNull(Consumer.fault(losses));
    }

    @Test
    void faultsAreFound() {
        assertNotNull(Consumer.fault(new double[][] {{2, 1}, {1, 1}}));
        assertNotNull(Consumer.fault(new double[][] {{2, 1}, {1, Double.NaN}}));
    }
}
