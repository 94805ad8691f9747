package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.UnaryOperator;

/** Checkpoints in tests: compared to the bit, and changed. */
final class Trees {
    private Trees() {}

    /** Same nesting, order of keys, kinds of values, types and bits. */
    static void assertSame(Object expected, Object actual) throws IOException {
        assertSame("", CheckpointTree.plain(expected), CheckpointTree.plain(actual));
    }

    private static void assertSame(String path, Object expected, Object actual) throws IOException {
        if (expected instanceof TensorSource tensor) {
            TensorSource other = assertInstanceOf(TensorSource.class, actual, path);
            assertEquals(tensor.type(), other.type(), path);
            assertArrayEquals(tensor.shape(), other.shape(), path);
            assertArrayEquals(bytes(tensor), bytes(other), path);
        } else if (expected instanceof Map<?, ?> map) {
            Map<?, ?> other = assertInstanceOf(Map.class, actual, path);
            assertEquals(List.copyOf(map.keySet()), List.copyOf(other.keySet()), path);
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                assertSame(path + "." + entry.getKey(), entry.getValue(), other.get(entry.getKey()));
            }
        } else if (expected instanceof List<?> list) {
            assertEquals(expected instanceof Tuple, actual instanceof Tuple, path);
            List<?> other = assertInstanceOf(List.class, actual, path);
            assertEquals(list.size(), other.size(), path);
            for (int i = 0; i < list.size(); i++) {
                assertSame(path + "." + i, list.get(i), other.get(i));
            }
        } else {
            assertEquals(expected, actual, path);
        }
    }

    static byte[] bytes(TensorSource tensor) throws IOException {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        tensor.writeTo(out);
        return out.toByteArray();
    }

    static TensorSource tensor(TensorType type, long[] shape, byte[] bytes) {
        return new TensorSource() {
            @Override
            public TensorType type() {
                return type;
            }

            @Override
            public long[] shape() {
                return shape.clone();
            }

            @Override
            public void writeTo(OutputStream out) throws IOException {
                out.write(bytes);
            }
        };
    }

    /** The same checkpoint with every tensor replaced. */
    static Object mapTensors(Object value, UnaryOperator<TensorSource> change) {
        if (value instanceof TensorSource tensor) {
            return change.apply(tensor);
        } else if (value instanceof Map<?, ?> map) {
            Map<Object, Object> entries = new LinkedHashMap<>();
            map.forEach((key, entry) -> entries.put(key, mapTensors(entry, change)));
            return entries;
        } else if (value instanceof List<?> list) {
            List<Object> items = new ArrayList<>();
            list.forEach(item -> items.add(mapTensors(item, change)));
            return value instanceof Tuple ? Tuple.copyOf(items) : items;
        }
        return value;
    }

    /** In memory, rounded to another type. */
    static TensorSource rounded(TensorSource tensor, TensorType type) {
        try {
            ByteArrayOutputStream out = new ByteArrayOutputStream();
            NumberConverter.write(tensor, out, type, java.nio.ByteOrder.LITTLE_ENDIAN);
            return tensor(type, tensor.shape(), out.toByteArray());
        } catch (IOException e) {
            throw new java.io.UncheckedIOException(e);
        }
    }

    /** In memory. */
    static Object kept(Object value) {
        return mapTensors(CheckpointTree.plain(value), tensor -> rounded(tensor, tensor.type()));
    }
}
