package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.shade.jackson.core.JsonFactory;
import org.nd4j.shade.jackson.core.JsonFactoryBuilder;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.core.JsonToken;
import org.nd4j.shade.jackson.core.StreamReadFeature;

/**
 * Reads the header of a safetensors file: 8 bytes with its length, then JSON that gives every tensor a type, a shape and
 * a range of the data behind the header. The ranges must cover the data without gaps or overlaps.
 */
final class SafetensorsReader {
    static final String METADATA = "__metadata__";
    static final long MAX_HEADER = 100_000_000;
    private static final int MAX_RANK = 64;

    private final FileBytes file;
    private final HeapBudget budget;
    private final Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();
    private final List<Range> ranges = new ArrayList<>();
    private long dataStart;

    /** Where the data of a tensor lies, from the end of the header. */
    private record Range(String name, long begin, long end) {}

    SafetensorsReader(FileBytes file, HeapBudget budget) {
        this.file = file;
        this.budget = budget;
    }

    Map<String, StoredTensor> tensors() {
        return tensors;
    }

    Map<String, String> metadata() {
        return metadata;
    }

    void read() throws CheckpointException {
        long length = file.read(0, Long.BYTES).getLong();
        if (length < 0 || length > MAX_HEADER) {
            throw file.damaged("its header is said to have " + Long.toUnsignedString(length) + " bytes; at most "
                    + MAX_HEADER + " are allowed");
        }
        if (length > file.size() - Long.BYTES) {
            throw new CheckpointException(
                    file.path(),
                    "is truncated: its header has " + length + " bytes, the file " + file.size()
                            + ". Get the file again");
        }
        if (length > budget.limit() / 2) {
            // One name could be as long as the header.
            budget.take(budget.limit() + 1);
        }
        dataStart = Long.BYTES + length;
        JsonFactory json = new JsonFactoryBuilder()
                // Names of tensors are as good as never repeated: no table of names.
                .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
                .disable(JsonFactory.Feature.INTERN_FIELD_NAMES)
                .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
                .build();
        try (Reader text = new InputStreamReader(new HeaderStream(file, length), StandardCharsets.UTF_8.newDecoder());
                JsonParser parser = json.createParser(text)) {
            readHeader(parser);
        } catch (CheckpointException e) {
            throw e;
        } catch (JsonProcessingException e) {
            throw damaged(e.getOriginalMessage(), e);
        } catch (CharacterCodingException e) {
            throw damaged("it is not UTF-8", e);
        } catch (IOException e) {
            throw damaged(e.getMessage(), e);
        }
        requireCover();
    }

    private CheckpointException damaged(String problem, Throwable cause) {
        return new CheckpointException(
                file.path(), "is damaged: its header is wrong: " + problem + ". Get the file again", cause);
    }

    private CheckpointException damaged(String problem) {
        return damaged(problem, null);
    }

    private void readHeader(JsonParser parser) throws IOException {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw damaged("it is no JSON object");
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String name = parser.getCurrentName();
            budget.take(HeapBudget.TENSOR + 3L * HeapBudget.ENTRY + 2L * name.length());
            parser.nextToken();
            if (name.equals(METADATA)) {
                readMetadata(parser);
            } else {
                readTensor(parser, name);
            }
        }
        if (parser.nextToken() != null) {
            throw damaged("there is something behind the JSON object");
        }
    }

    private void readMetadata(JsonParser parser) throws IOException {
        if (parser.currentToken() == JsonToken.VALUE_NULL) {
            return;
        }
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            throw damaged(METADATA + " is no object");
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String key = parser.getCurrentName();
            if (parser.nextToken() != JsonToken.VALUE_STRING) {
                throw damaged(METADATA + " has a value that is no text");
            }
            String value = parser.getText();
            budget.take(2L * HeapBudget.OBJECT + HeapBudget.ENTRY + 2L * (key.length() + value.length()));
            metadata.put(key, value);
        }
    }

    private void readTensor(JsonParser parser, String name) throws IOException {
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            throw damaged("tensor " + name + " is no object");
        }
        String dtype = null;
        long[] shape = null;
        long[] offsets = null;
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String field = parser.getCurrentName();
            parser.nextToken();
            switch (field) {
                case "dtype" -> dtype = parser.currentToken() == JsonToken.VALUE_STRING ? parser.getText() : null;
                case "shape" -> shape = wholes(parser, name);
                case "data_offsets" -> offsets = wholes(parser, name);
                default -> throw damaged("tensor " + name + " has the unknown field " + field);
            }
        }
        if (dtype == null || shape == null || offsets == null || offsets.length != 2) {
            throw damaged("tensor " + name + " needs dtype, shape and two data_offsets");
        }
        add(name, ElementType.ofSafetensors(dtype), shape, offsets[0], offsets[1]);
    }

    private long[] wholes(JsonParser parser, String name) throws IOException {
        long[] values = new long[MAX_RANK];
        int count = 0;
        if (parser.currentToken() != JsonToken.START_ARRAY) {
            throw damaged("tensor " + name + " has no list of numbers where one belongs");
        }
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            if (parser.currentToken() != JsonToken.VALUE_NUMBER_INT || count == MAX_RANK) {
                throw damaged("tensor " + name + " has a list that is no list of at most " + MAX_RANK + " integers");
            }
            values[count++] = parser.getLongValue();
            if (values[count - 1] < 0) {
                throw damaged("tensor " + name + " has the negative number " + values[count - 1]);
            }
        }
        return Arrays.copyOf(values, count);
    }

    private void add(String name, ElementType element, long[] shape, long begin, long end) throws CheckpointException {
        if (begin > end || end > file.size() - dataStart) {
            String range = "tensor " + name + " is said to lie at bytes " + begin + " to " + end + " of "
                    + (file.size() - dataStart);
            throw begin > end
                    ? damaged(range)
                    : new CheckpointException(file.path(), "is truncated: " + range + ". Get the file again");
        }
        long[] strides = new long[shape.length];
        long elements = 1;
        try {
            for (int axis = shape.length - 1; axis >= 0; axis--) {
                strides[axis] = elements;
                elements = Math.multiplyExact(elements, shape[axis]);
            }
            if (element.bytes() > 0 && Math.multiplyExact(elements, (long) element.bytes()) != end - begin) {
                throw damaged("tensor " + name + " of type " + element.label() + " and shape " + Arrays.toString(shape)
                        + " has " + (end - begin) + " bytes");
            }
        } catch (ArithmeticException e) {
            throw damaged("tensor " + name + " has more than 2^63 elements");
        }
        Storage storage = new Storage(element, elements);
        storage.place(file, dataStart + begin);
        tensors.put(name, new StoredTensor(file, storage, element, 0, shape, strides));
        ranges.add(new Range(name, begin, end));
    }

    private void requireCover() throws CheckpointException {
        ranges.sort(Comparator.comparingLong(Range::begin).thenComparingLong(Range::end));
        long covered = 0;
        for (Range range : ranges) {
            if (range.begin != covered) {
                throw damaged("tensor " + range.name + " starts at byte " + range.begin
                        + " of the data, the one before " + "it ends at " + covered);
            }
            covered = range.end;
        }
        if (covered != file.size() - dataStart) {
            throw damaged(
                    "its tensors have " + covered + " bytes, the file " + (file.size() - dataStart) + " for them");
        }
    }

    /** The header's bytes. */
    private static final class HeaderStream extends InputStream {
        private final FileBytes file;
        private final long end;
        private long at = Long.BYTES;

        HeaderStream(FileBytes file, long length) {
            this.file = file;
            this.end = at + length;
        }

        @Override
        public int read() throws IOException {
            byte[] one = new byte[1];
            return read(one, 0, 1) < 0 ? -1 : one[0] & 0xff;
        }

        @Override
        public int read(byte[] target, int from, int count) throws IOException {
            if (at == end) {
                return -1;
            }
            int part = (int) Math.min(count, end - at);
            file.read(at, ByteBuffer.wrap(target, from, part));
            at += part;
            return part;
        }
    }
}
