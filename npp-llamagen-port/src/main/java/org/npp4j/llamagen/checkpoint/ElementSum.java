package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Adds up numbers in double precision; NaN and infinities count 0, and a sum beyond the largest double is that. Short runs are added plainly, their sums with
 * compensation (Neumaier), so that the rounding error does not grow with the length.
 */
final class ElementSum {
    private static final int RUN = 512;
    /** Bytes, a multiple of every type's. */
    private static final int BLOCK = 1 << 16;

    private final TensorType type;
    private double sum;
    private double compensation;

    ElementSum(TensorType type) {
        this.type = type;
    }

    /** Adds up all numbers of a tensor. */
    static double of(TensorSource tensor) throws IOException {
        ElementSum sum = new ElementSum(tensor.type());
        ByteBuffer block = ByteBuffer.allocate(BLOCK).order(ByteOrder.LITTLE_ENDIAN);
        tensor.writeTo(new OutputStream() {
            @Override
            public void write(int value) {
                write(new byte[] {(byte) value}, 0, 1);
            }

            @Override
            public void write(byte[] bytes, int from, int length) {
                for (int done = 0; done < length; ) {
                    int count = Math.min(length - done, block.remaining());
                    block.put(bytes, from + done, count);
                    done += count;
                    if (!block.hasRemaining()) {
                        sum.add(block.flip());
                        block.clear();
                    }
                }
            }
        });
        sum.add(block.flip());
        return sum.value();
    }

    /** Adds all numbers that remain in the buffer, little endian. */
    void add(ByteBuffer numbers) {
        int end = numbers.limit() / type.bytes();
        for (int from = numbers.position() / type.bytes(); from < end; from += RUN) {
            addCompensated(run(numbers, from, Math.min(end, from + RUN)));
        }
    }

    /** {@return the sum so far} */
    double value() {
        return bounded(sum + compensation);
    }

    /** A sum beyond the largest double stays there: infinity would end in infinity or in no number at all. */
    private static double bounded(double value) {
        return Math.max(-Double.MAX_VALUE, Math.min(Double.MAX_VALUE, value));
    }

    private void addCompensated(double run) {
        double value = bounded(run);
        double next = bounded(sum + value);
        compensation += Math.abs(sum) >= Math.abs(value) ? (sum - next) + value : (value - next) + sum;
        sum = next;
    }

    private double run(ByteBuffer in, int from, int end) {
        return switch (type) {
            case FLOAT64 -> float64(in, from, end);
            case FLOAT32 -> float32(in, from, end);
            case FLOAT16 -> float16(in, from, end);
            case BFLOAT16 -> bfloat16(in, from, end);
            case INT64 -> int64(in, from, end);
            case INT32 -> int32(in, from, end);
            case INT16 -> int16(in, from, end);
            case INT8 -> int8(in, from, end);
            case UINT8 -> uint8(in, from, end);
            case BOOL -> bool(in, from, end);
        };
    }

    private static double float64(ByteBuffer in, int from, int end) {
        double sum = 0;
        for (int i = from; i < end; i++) {
            double value = in.getDouble(i * Double.BYTES);
            sum += Double.isFinite(value) ? value : 0;
        }
        return sum;
    }

    private static double float32(ByteBuffer in, int from, int end) {
        double sum = 0;
        for (int i = from; i < end; i++) {
            float value = in.getFloat(i * Float.BYTES);
            sum += Float.isFinite(value) ? value : 0;
        }
        return sum;
    }

    private static double float16(ByteBuffer in, int from, int end) {
        double sum = 0;
        for (int i = from; i < end; i++) {
            sum += HalfTable.FINITE[in.getShort(i * Short.BYTES) & 0xffff];
        }
        return sum;
    }

    private static double bfloat16(ByteBuffer in, int from, int end) {
        double sum = 0;
        for (int i = from; i < end; i++) {
            float value = Float.intBitsToFloat(in.getShort(i * Short.BYTES) << 16);
            sum += Float.isFinite(value) ? value : 0;
        }
        return sum;
    }

    private static double int64(ByteBuffer in, int from, int end) {
        double sum = 0;
        for (int i = from; i < end; i++) {
            sum += in.getLong(i * Long.BYTES);
        }
        return sum;
    }

    private static double int32(ByteBuffer in, int from, int end) {
        long sum = 0;
        for (int i = from; i < end; i++) {
            sum += in.getInt(i * Integer.BYTES);
        }
        return sum;
    }

    private static double int16(ByteBuffer in, int from, int end) {
        int sum = 0;
        for (int i = from; i < end; i++) {
            sum += in.getShort(i * Short.BYTES);
        }
        return sum;
    }

    private static double int8(ByteBuffer in, int from, int end) {
        int sum = 0;
        for (int i = from; i < end; i++) {
            sum += in.get(i);
        }
        return sum;
    }

    private static double uint8(ByteBuffer in, int from, int end) {
        int sum = 0;
        for (int i = from; i < end; i++) {
            sum += in.get(i) & 0xff;
        }
        return sum;
    }

    private static double bool(ByteBuffer in, int from, int end) {
        int sum = 0;
        for (int i = from; i < end; i++) {
            sum += in.get(i) == 0 ? 0 : 1;
        }
        return sum;
    }

    /** The values of all 65536 patterns of float16; 0 for NaN and infinities. */
    private static final class HalfTable {
        static final float[] FINITE = new float[1 << 16];

        static {
            for (int bits = 0; bits < FINITE.length; bits++) {
                int exponent = bits >> 10 & 0x1f;
                int mantissa = bits & 0x3ff;
                float size = exponent == 0
                        ? Math.scalb((float) mantissa, -24)
                        : exponent == 0x1f ? 0 : Math.scalb((float) (mantissa | 0x400), exponent - 25);
                FINITE[bits] = bits >> 15 == 0 ? size : -size;
            }
        }
    }
}
