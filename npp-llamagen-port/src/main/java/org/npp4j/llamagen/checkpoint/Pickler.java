package org.npp4j.llamagen.checkpoint;

import java.io.ByteArrayOutputStream;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes an object as a pickle of protocol 2, in which tensors are views of storages of their own. What is shared in the
 * object is shared in the pickle.
 */
final class Pickler {
    private static final int MAX_DEPTH = 500;
    private static final int OPEN = -1;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream();
    private final Map<TensorSource, Integer> storages;
    /** Positions of lists, tuples and maps in the reader's memo; {@link #OPEN} while one is written. */
    private final Map<Object, Integer> memo = new IdentityHashMap<>();

    private int memorised;

    /**
     * Creates a pickler.
     *
     * @param storages receives every tensor with the number of its storage, in the order of these
     */
    Pickler(Map<TensorSource, Integer> storages) {
        this.storages = storages;
    }

    byte[] pickle(Object root) {
        out.write(0x80);
        out.write(2);
        write(root, 0);
        out.write('.');
        return out.toByteArray();
    }

    private void write(Object value, int depth) {
        if (value == null) {
            out.write('N');
        } else if (value instanceof Boolean) {
            out.write((Boolean) value ? 0x88 : 0x89);
        } else if (value instanceof Long
                || value instanceof Integer
                || value instanceof Short
                || value instanceof Byte) {
            whole(((Number) value).longValue());
        } else if (value instanceof BigInteger) {
            big((BigInteger) value);
        } else if (value instanceof Double || value instanceof Float) {
            out.write('G');
            out.writeBytes(ByteBuffer.allocate(Double.BYTES)
                    .putDouble(((Number) value).doubleValue())
                    .array());
        } else if (value instanceof String) {
            text((String) value);
        } else if (value instanceof byte[]) {
            global("_codecs", "encode");
            text(new String((byte[]) value, StandardCharsets.ISO_8859_1));
            text("latin1");
            out.write(0x86);
            out.write('R');
        } else if (value instanceof TensorSource) {
            tensor((TensorSource) value);
        } else if (value instanceof List<?> || value instanceof Map<?, ?>) {
            container(value, depth);
        } else {
            throw new IllegalArgumentException("A checkpoint cannot hold " + value + " of class "
                    + value.getClass().getName()
                    + "; allowed are maps, lists, tuples, integers, floating-point numbers, booleans, texts, bytes, null"
                    + " and tensors");
        }
    }

    private void container(Object value, int depth) {
        Integer known = memo.get(value);
        if (known != null) {
            if (known == OPEN) {
                throw new IllegalArgumentException("A checkpoint cannot hold a list or map that contains itself");
            }
            out.write('j');
            int32(known);
            return;
        }
        if (depth == MAX_DEPTH) {
            throw new IllegalArgumentException(
                    "A checkpoint cannot nest lists and maps more than " + MAX_DEPTH + " deep");
        }
        memo.put(value, OPEN);
        if (value instanceof Map<?, ?>) {
            out.write('}');
            if (!((Map<?, ?>) value).isEmpty()) {
                out.write('(');
                for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                    write(entry.getKey(), depth + 1);
                    write(entry.getValue(), depth + 1);
                }
                out.write('u');
            }
        } else if (value instanceof Tuple) {
            out.write('(');
            for (Object item : (Tuple) value) {
                write(item, depth + 1);
            }
            out.write('t');
        } else {
            out.write(']');
            if (!((List<?>) value).isEmpty()) {
                out.write('(');
                for (Object item : (List<?>) value) {
                    write(item, depth + 1);
                }
                out.write('e');
            }
        }
        memo.put(value, memorised);
        out.write('r');
        int32(memorised++);
    }

    private void tensor(TensorSource tensor) {
        Integer known = storages.get(tensor);
        int number = known == null ? storages.size() : known;
        storages.putIfAbsent(tensor, number);
        long[] shape = tensor.shape();
        long[] strides = new long[shape.length];
        long elements = 1;
        for (int axis = shape.length - 1; axis >= 0; axis--) {
            strides[axis] = elements;
            elements *= Math.max(1, shape[axis]);
        }
        global("torch._utils", "_rebuild_tensor_v2");
        out.write('(');
        out.write('(');
        text("storage");
        global("torch", ElementType.storageOf(tensor.type()));
        text(String.valueOf(number));
        text("cpu");
        whole(elementsOf(shape));
        out.write('t');
        out.write('Q');
        whole(0);
        wholes(shape);
        wholes(strides);
        out.write(0x89);
        global("collections", "OrderedDict");
        out.write(')');
        out.write('R');
        out.write('t');
        out.write('R');
    }

    static long elementsOf(long[] shape) {
        long elements = 1;
        for (long size : shape) {
            elements = Math.multiplyExact(elements, size);
        }
        return elements;
    }

    private void wholes(long[] values) {
        out.write('(');
        for (long value : values) {
            whole(value);
        }
        out.write('t');
    }

    private void whole(long value) {
        if (value == (int) value) {
            out.write('J');
            int32((int) value);
        } else {
            big(BigInteger.valueOf(value));
        }
    }

    private void big(BigInteger value) {
        byte[] bytes = value.toByteArray();
        // weights_only=True reads no longer ones.
        if (bytes.length > 255) {
            throw new IllegalArgumentException(
                    "A checkpoint cannot hold an integer of " + value.bitLength() + " bits; at most 2039 are allowed");
        }
        out.write(0x8a);
        out.write(bytes.length);
        for (int i = bytes.length - 1; i >= 0; i--) {
            out.write(bytes[i]);
        }
    }

    private void text(String value) {
        byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
        out.write('X');
        int32(bytes.length);
        out.writeBytes(bytes);
    }

    private void global(String module, String name) {
        out.write('c');
        out.writeBytes((module + "\n" + name + "\n").getBytes(StandardCharsets.UTF_8));
    }

    private void int32(int value) {
        out.writeBytes(ByteBuffer.allocate(Integer.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(value)
                .array());
    }
}
