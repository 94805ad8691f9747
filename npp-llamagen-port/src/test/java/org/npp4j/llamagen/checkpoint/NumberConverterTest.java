package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.factory.Nd4j;

class NumberConverterTest {
    @Test
    void everyHalfSurvivesTheWayThroughFloat() {
        for (int bits = 0; bits < 1 << 16; bits++) {
            short half = (short) bits;
            assertEquals(half, NumberConverter.floatToHalf(NumberConverter.halfToFloat(half)), "bits " + bits);
        }
    }

    @Test
    void everyBrainFloatSurvivesTheWayThroughFloat() {
        for (int bits = 0; bits < 1 << 16; bits++) {
            float value = Float.intBitsToFloat(bits << 16);
            assertEquals((short) bits, NumberConverter.floatToBrain(value), "bits " + bits);
        }
    }

    /** Against the nearest of the two neighbours, found by trying. */
    @Test
    void roundsToTheNearestHalf() {
        Random random = new Random(3);
        for (int i = 0; i < 20000; i++) {
            float value = (float) (random.nextGaussian() * Math.pow(2, random.nextInt(40) - 25));
            if (Math.abs(value) > 65504) {
                continue;
            }
            short rounded = NumberConverter.floatToHalf(value);
            double error = Math.abs(NumberConverter.halfToFloat(rounded) - value);
            for (int neighbour : new int[] {-1, 1}) {
                float other = NumberConverter.halfToFloat((short) (rounded + neighbour));
                assertTrue(Float.isNaN(other) || error <= Math.abs(other - value), () -> "rounded " + value);
            }
        }
        assertEquals(0x7c00, NumberConverter.floatToHalf(65520f));
        assertEquals(0x7bff, NumberConverter.floatToHalf(65519f));
        assertEquals(0x3c00, NumberConverter.floatToHalf(1 + 0x1p-11f), "ties go to even");
        assertEquals(0x3c02, NumberConverter.floatToHalf(1 + 0x1.8p-10f), "ties go to even");
    }

    @Test
    void convertsInEitherOrderAndSaysWhetherExactly() throws IOException {
        TensorSource exact = TensorSource.of(Nd4j.createFromArray(1f, -0.5f, 0f));
        TensorSource fine = TensorSource.of(Nd4j.createFromArray(1f, 0.1f));
        assertTrue(NumberConverter.isExact(exact, TensorType.BFLOAT16));
        assertTrue(NumberConverter.isExact(exact, TensorType.FLOAT16));
        assertFalse(NumberConverter.isExact(fine, TensorType.BFLOAT16));
        assertFalse(NumberConverter.isExact(fine, TensorType.FLOAT16));
        assertTrue(NumberConverter.isExact(fine, TensorType.FLOAT64));
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        NumberConverter.write(exact, out, TensorType.FLOAT64, ByteOrder.BIG_ENDIAN);
        double[] values = new double[3];
        ByteBuffer.wrap(out.toByteArray()).asDoubleBuffer().get(values);
        assertArrayEquals(new double[] {1, -0.5, 0}, values);
    }

    /** More than the converter's buffer, to the bit, NaN with its payload included. */
    @Test
    void sameTypesKeepEveryBit() throws IOException {
        float[] values = new float[50000];
        Random random = new Random(1);
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(random.nextInt());
        }
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        TensorSource source = Trees.tensor(TensorType.FLOAT32, new long[] {values.length}, bytes.array());
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        NumberConverter.write(source, out, TensorType.FLOAT32, ByteOrder.BIG_ENDIAN);
        ByteBuffer swapped = ByteBuffer.wrap(out.toByteArray());
        for (int i = 0; i < values.length; i++) {
            assertEquals(bytes.getInt(4 * i), swapped.getInt(4 * i));
        }
    }
}
