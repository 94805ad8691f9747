package org.npp4j.llamagen.checkpoint;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.shade.jackson.core.JsonFactory;
import org.nd4j.shade.jackson.core.JsonGenerator;
import org.npp4j.llamagen.files.AtomicFile;

/** Writes safetensors files. */
public final class SafetensorsWriter {
    private static final int ALIGNMENT = 8;

    private SafetensorsWriter() {}

    /**
     * Writes tensors, or replaces the file that holds some. Tensors are streamed. The header names them in the order of
     * the map; their data is ordered by the size of the numbers, so that all start at a multiple of it.
     *
     * @param path the file
     * @param tensors the tensors by name
     * @param metadata texts to go with them; may be empty
     * @throws IllegalArgumentException if a tensor is called {@code __metadata__}, or the header gets too long
     * @throws IllegalStateException if one is a {@link StoredTensor} that cannot be read
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Map<String, ? extends TensorSource> tensors, Map<String, String> metadata)
            throws IOException {
        if (tensors.containsKey(SafetensorsReader.METADATA)) {
            throw new IllegalArgumentException(
                    "No tensor of a safetensors file can be called " + SafetensorsReader.METADATA + "; rename it");
        }
        List<TensorSource> byAlignment = new ArrayList<>(tensors.values());
        byAlignment.sort(
                Comparator.comparingInt((TensorSource tensor) -> -tensor.type().bytes()));
        byte[] header = header(tensors, metadata, byAlignment);
        if (header.length > SafetensorsReader.MAX_HEADER) {
            throw new IllegalArgumentException("The names and metadata of a safetensors file take " + header.length
                    + " bytes; at most " + SafetensorsReader.MAX_HEADER + " are allowed");
        }
        AtomicFile.write(path, out -> {
            out.write(ByteBuffer.allocate(Long.BYTES)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(header.length)
                    .array());
            out.write(header);
            for (TensorSource tensor : byAlignment) {
                writeExactly(tensor, out);
            }
        });
    }

    private static byte[] header(
            Map<String, ? extends TensorSource> tensors, Map<String, String> metadata, List<TensorSource> inOrder)
            throws IOException {
        // One source may stand under several names: its data is then written as often.
        Map<TensorSource, List<Long>> starts = new IdentityHashMap<>();
        long end = 0;
        for (TensorSource tensor : inOrder) {
            starts.computeIfAbsent(tensor, key -> new ArrayList<>()).add(end);
            end = Math.addExact(end, bytesOf(tensor));
        }
        ByteArrayOutputStream header = new ByteArrayOutputStream();
        try (JsonGenerator json = new JsonFactory().createGenerator(header)) {
            json.writeStartObject();
            if (!metadata.isEmpty()) {
                json.writeObjectFieldStart(SafetensorsReader.METADATA);
                for (Map.Entry<String, String> entry : metadata.entrySet()) {
                    json.writeStringField(entry.getKey(), entry.getValue());
                }
                json.writeEndObject();
            }
            for (Map.Entry<String, ? extends TensorSource> entry : tensors.entrySet()) {
                TensorSource tensor = entry.getValue();
                long start = starts.get(tensor).remove(0);
                json.writeObjectFieldStart(entry.getKey());
                json.writeStringField("dtype", ElementType.safetensorsOf(tensor.type()));
                writeWholes(json, "shape", tensor.shape());
                writeWholes(json, "data_offsets", start, start + bytesOf(tensor));
                json.writeEndObject();
            }
            json.writeEndObject();
        }
        while (header.size() % ALIGNMENT != 0) {
            header.write(' ');
        }
        return header.toByteArray();
    }

    private static void writeWholes(JsonGenerator json, String field, long... values) throws IOException {
        json.writeArrayFieldStart(field);
        for (long value : values) {
            json.writeNumber(value);
        }
        json.writeEndArray();
    }

    private static long bytesOf(TensorSource tensor) {
        return Math.multiplyExact(
                Pickler.elementsOf(tensor.shape()), (long) tensor.type().bytes());
    }

    private static void writeExactly(TensorSource tensor, OutputStream out) throws IOException {
        long[] count = new long[1];
        tensor.writeTo(new OutputStream() {
            @Override
            public void write(int value) throws IOException {
                out.write(value);
                count[0]++;
            }

            @Override
            public void write(byte[] bytes, int from, int length) throws IOException {
                out.write(bytes, from, length);
                count[0] += length;
            }
        });
        if (count[0] != bytesOf(tensor)) {
            throw new IOException("A tensor was to have " + bytesOf(tensor) + " bytes, but " + count[0]
                    + " were written: its shape does not agree with its numbers");
        }
    }
}
