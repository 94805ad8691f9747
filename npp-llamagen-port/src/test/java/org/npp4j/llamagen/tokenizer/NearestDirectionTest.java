package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NearestDirectionTest {
    @ParameterizedTest
    @CsvSource({"1, 1, 1", "3, 7, 2", "50, 5, 40", "300000, 8, 9", "16384, 8, 300"})
    void findsWhatAPlainLoopFinds(int count, int values, int rows) {
        Random random = new Random(count);
        float[] codes = random(random, count * values);
        float[] latents = random(random, rows * values);
        NearestDirection nearest = new NearestDirection(codes, values);
        NearestDirection.toUnitLength(latents, values);
        int[] found = nearest.find(latents);
        for (int row = 0; row < rows; row++) {
            double best = Double.NEGATIVE_INFINITY;
            for (int v = 0; v < count; v++) {
                best = Math.max(best, product(codes, v, latents, row, values));
            }
            // floats: another code may be as near
            assertEquals(best, product(codes, found[row], latents, row, values), 1e-6);
        }
    }

    private static double product(float[] codes, int code, float[] latents, int row, int values) {
        double product = 0;
        double squares = 0;
        for (int d = 0; d < values; d++) {
            product += (double) codes[code * values + d] * latents[row * values + d];
            squares += (double) codes[code * values + d] * codes[code * values + d];
        }
        return product / Math.sqrt(squares);
    }

    @Test
    void takesTheLowestOfEquals() {
        float[] codes = {0, 1, /* */ 2, 0, /* */ 1, 0, /* */ 0, 5};
        NearestDirection nearest = new NearestDirection(codes, 2);
        assertArrayEquals(new int[] {1, 0}, nearest.find(new float[] {1, 0, 0, 1}));
        assertArrayEquals(new float[] {0, 1, 1, 0, 1, 0, 0, 1}, nearest.codes());
        assertArrayEquals(new float[] {0, 1, 2, 0, 1, 0, 0, 5}, codes);
    }

    @Test
    void aRowDoesNotDependOnTheOthers() {
        Random random = new Random(1);
        float[] codes = random(random, 500 * 8);
        float[] latents = random(random, 77 * 8);
        NearestDirection nearest = new NearestDirection(codes, 8);
        int[] all = nearest.find(latents);
        for (int row = 0; row < 77; row++) {
            assertEquals(all[row], nearest.find(Arrays.copyOfRange(latents, row * 8, row * 8 + 8))[0]);
        }
    }

    private static float[] random(Random random, int length) {
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }
}
