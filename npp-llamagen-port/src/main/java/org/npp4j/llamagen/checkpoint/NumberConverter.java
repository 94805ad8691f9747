package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Converts numbers on their way to another stream: little endian of one type in, any order of another type out. Where both
 * types are the same every bit stays. Floating point is rounded to the nearest, ties to even.
 */
final class NumberConverter extends OutputStream {
    private static final int NUMBERS = 1 << 13;

    private final OutputStream target;
    private final TensorType from;
    private final TensorType to;
    private final ByteBuffer in;
    private final ByteBuffer out;
    private boolean exact = true;

    /**
     * A stream that converts.
     *
     * @param target where to; is never closed
     * @param from type of what is written to this stream, little endian
     * @param to type of what arrives
     * @param order byte order of what arrives
     */
    NumberConverter(OutputStream target, TensorType from, TensorType to, ByteOrder order) {
        this.target = target;
        this.from = from;
        this.to = to;
        in = ByteBuffer.allocate(NUMBERS * from.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        out = ByteBuffer.allocate(NUMBERS * to.bytes()).order(order);
    }

    /** Writes a tensor. */
    static void write(TensorSource tensor, OutputStream target, TensorType to, ByteOrder order) throws IOException {
        NumberConverter converter = new NumberConverter(target, tensor.type(), to, order);
        tensor.writeTo(converter);
        converter.finish();
    }

    /** {@return whether every number of a tensor is one of another type, too} */
    static boolean isExact(TensorSource tensor, TensorType to) throws IOException {
        if (tensor.type() == to) {
            return true;
        }
        NumberConverter converter =
                new NumberConverter(OutputStream.nullOutputStream(), tensor.type(), to, ByteOrder.LITTLE_ENDIAN);
        tensor.writeTo(converter);
        converter.finish();
        return converter.exact;
    }

    @Override
    public void write(int b) throws IOException {
        in.put((byte) b);
        convertIfFull();
    }

    @Override
    public void write(byte[] bytes, int offset, int length) throws IOException {
        for (int done = 0; done < length; ) {
            int count = Math.min(length - done, in.remaining());
            in.put(bytes, offset + done, count);
            done += count;
            convertIfFull();
        }
    }

    private void convertIfFull() throws IOException {
        if (!in.hasRemaining()) {
            convert();
        }
    }

    /** Passes the last numbers on. */
    private void finish() throws IOException {
        if (in.position() % from.bytes() != 0) {
            throw new IOException("a tensor of type " + from.label() + " ends within a number");
        }
        convert();
    }

    private void convert() throws IOException {
        in.flip();
        out.clear();
        if (from == to) {
            copy();
        } else if (isSingle(from) && isSingle(to)) {
            // not through double precision, which would change signalling NaN
            while (in.hasRemaining()) {
                putSingle(nextSingle());
            }
        } else {
            while (in.hasRemaining()) {
                put(next());
            }
        }
        target.write(out.array(), 0, out.position());
        in.clear();
    }

    private void copy() {
        switch (from.bytes()) {
            case 8 -> {
                while (in.hasRemaining()) {
                    out.putLong(in.getLong());
                }
            }
            case 4 -> {
                while (in.hasRemaining()) {
                    out.putInt(in.getInt());
                }
            }
            case 2 -> {
                while (in.hasRemaining()) {
                    out.putShort(in.getShort());
                }
            }
            default -> out.put(in);
        }
    }

    /** Whether single precision holds every number of a type. */
    private static boolean isSingle(TensorType type) {
        return type == TensorType.FLOAT32 || type == TensorType.FLOAT16 || type == TensorType.BFLOAT16;
    }

    private double next() {
        return switch (from) {
            case FLOAT64 -> in.getDouble();
            case INT64 -> in.getLong();
            case INT32 -> in.getInt();
            case INT16 -> in.getShort();
            case INT8 -> in.get();
            case UINT8, BOOL -> in.get() & 0xff;
            default -> nextSingle();
        };
    }

    private float nextSingle() {
        return switch (from) {
            case FLOAT16 -> halfToFloat(in.getShort());
            case BFLOAT16 -> Float.intBitsToFloat(in.getShort() << 16);
            default -> in.getFloat();
        };
    }

    private void put(double value) {
        if (to == TensorType.FLOAT64) {
            out.putDouble(value);
        } else {
            exact &= Double.compare((float) value, value) == 0;
            putSingle((float) value);
        }
    }

    private void putSingle(float value) {
        float kept = value;
        switch (to) {
            case FLOAT32 -> out.putFloat(value);
            case FLOAT16 -> {
                short half = floatToHalf(value);
                out.putShort(half);
                kept = halfToFloat(half);
            }
            case BFLOAT16 -> {
                short brain = floatToBrain(value);
                out.putShort(brain);
                kept = Float.intBitsToFloat(brain << 16);
            }
            default -> throw new IllegalStateException("Weights are floating point, not " + to.label());
        }
        exact &= Float.compare(kept, value) == 0;
    }

    static short floatToBrain(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            // what is left of the payload must not be 0: that would be infinity
            return (short) ((bits >>> 16 & 0x7f) == 0 ? bits >>> 16 | 0x40 : bits >>> 16);
        }
        return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
    }

    static float halfToFloat(short half) {
        int sign = (half & 0x8000) << 16;
        int exponent = half >>> 10 & 0x1f;
        int mantissa = half & 0x3ff;
        if (exponent == 0) {
            // zero and subnormal numbers: multiples of 2^-24
            float magnitude = mantissa * 0x1p-24f;
            return sign == 0 ? magnitude : -magnitude;
        }
        int wide = exponent == 0x1f ? 0xff : exponent + 112;
        return Float.intBitsToFloat(sign | wide << 23 | mantissa << 13);
    }

    static short floatToHalf(float value) {
        int bits = Float.floatToRawIntBits(value);
        int sign = bits >>> 16 & 0x8000;
        float magnitude = Math.abs(value);
        if (Float.isNaN(value)) {
            int payload = bits >>> 13 & 0x3ff;
            return (short) (sign | 0x7c00 | (payload == 0 ? 0x200 : payload));
        }
        if (magnitude >= 65520) {
            return (short) (sign | 0x7c00);
        }
        if (magnitude < 0x1p-14f) {
            // subnormal: rint rounds ties to even, and 2^10 of the smallest steps is the smallest normal number
            return (short) (sign | (int) Math.rint(magnitude * 0x1p24));
        }
        int magnitudeBits = bits & 0x7fffffff;
        int rounded = magnitudeBits + 0xfff + (magnitudeBits >>> 13 & 1);
        return (short) (sign | (rounded >>> 13) - (112 << 10));
    }
}
