package org.npp4j.llamagen.files;

import java.io.ByteArrayOutputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * Reads one array in NumPy's format, of which an .npy file holds one and an .npz file many: numbers and booleans in little
 * endian, in row or column order, of any rank and size. ND4J's own reader takes columns for rows.
 *
 * <p>Source: NumPy enhancement proposal 1, "A simple file format for NumPy arrays".
 */
final class NpyArray {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int MAX_HEADER = 1 << 20;
    /** Bytes that are in the heap at a time. */
    private static final int CHUNK = 1 << 22;
    /** ND4J's limit. */
    private static final int MAX_RANK = 32;

    private static final Pattern TYPE = Pattern.compile("'descr'\\s*:\\s*'([^']*)'");
    private static final Pattern COLUMN_ORDER = Pattern.compile("'fortran_order'\\s*:\\s*(True|False)");
    private static final Pattern SHAPE = Pattern.compile("'shape'\\s*:\\s*\\(([^)]*)\\)");

    private static final Map<String, DataType> TYPES = Map.of(
            "<f8", DataType.DOUBLE,
            "<f4", DataType.FLOAT,
            "<f2", DataType.FLOAT16,
            "<i8", DataType.INT64,
            "<i4", DataType.INT32,
            "<i2", DataType.INT16,
            "|i1", DataType.INT8,
            "|u1", DataType.UINT8,
            "|b1", DataType.BOOL);

    private final String text;
    private final DataType type;
    private final boolean columnOrder;
    private final long[] shape;

    private NpyArray(String text, DataType type, boolean columnOrder, long[] shape) {
        this.text = text;
        this.type = type;
        this.columnOrder = columnOrder;
        this.shape = shape;
    }

    /**
     * Reads an array.
     *
     * @param stream at its beginning
     * @param bytes that the stream has at the most; no more memory is taken
     * @param failure makes the exception for a reason, which is to be read after the array's name
     * @return a new array of the stored type and shape
     */
    static INDArray read(InputStream stream, long bytes, Function<String, FileSystemException> failure)
            throws IOException {
        try {
            return open(stream, bytes, failure).values(stream);
        } catch (EOFException e) {
            throw early(e, failure);
        }
    }

    /**
     * Reads what precedes the values.
     *
     * @param stream at its beginning; afterwards at the first value
     * @param bytes that the stream has at the most; a damaged shape must not ask for more memory than they can fill
     * @param failure makes the exception for a reason, which is to be read after the array's name
     * @return the array's type and shape
     */
    static NpyArray open(InputStream stream, long bytes, Function<String, FileSystemException> failure)
            throws IOException {
        NpyArray array;
        try {
            array = header(new DataInputStream(stream), failure);
        } catch (EOFException e) {
            throw early(e, failure);
        }
        if (array.elements() > bytes / array.type.width()) {
            throw failure.apply("ends too early: it has at most " + bytes + " bytes for the shape "
                    + Arrays.toString(array.shape) + ". Get the file again");
        }
        return array;
    }

    /**
     * Reads whole numbers into the heap.
     *
     * @param stream at its beginning, of a small file
     * @param bytes that the stream has
     * @param failure as in {@link #read}
     * @return shape and values in row order
     */
    static NpyFile.WholeNumbers readWholeNumbers(
            InputStream stream, long bytes, Function<String, FileSystemException> failure) throws IOException {
        DataInputStream in = new DataInputStream(stream);
        try {
            NpyArray array = open(in, bytes, failure);
            if (array.type.isFPType() || array.type == DataType.BOOL || array.columnOrder && array.shape.length > 1) {
                throw failure.apply("holds " + array.text + (array.columnOrder ? " in column order" : "")
                        + "; whole numbers in row order are wanted, such as <i8");
            }
            byte[] data = in.readAllBytes();
            int width = array.type.width();
            if (data.length / width < array.elements()) {
                throw new EOFException();
            }
            ByteBuffer buffer = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
            long[] values = new long[(int) array.elements()];
            for (int i = 0; i < values.length; i++) {
                values[i] = switch (width) {
                    case Long.BYTES -> buffer.getLong();
                    case Integer.BYTES -> buffer.getInt();
                    case Short.BYTES -> buffer.getShort();
                    default -> array.type == DataType.UINT8 ? Byte.toUnsignedInt(buffer.get()) : buffer.get();
                };
            }
            return new NpyFile.WholeNumbers(array.shape, values);
        } catch (EOFException e) {
            throw early(e, failure);
        }
    }

    static FileSystemException early(EOFException cause, Function<String, FileSystemException> failure) {
        FileSystemException early = failure.apply("ends too early. Get the file again");
        early.initCause(cause);
        return early;
    }

    DataType type() {
        return type;
    }

    long[] shape() {
        return shape.clone();
    }

    /** Whether the values of one index of the first axis lie together. */
    boolean hasRowsTogether() {
        return !columnOrder || shape.length < 2;
    }

    /** What precedes the values. */
    private static NpyArray header(DataInputStream in, Function<String, FileSystemException> failure)
            throws IOException {
        if (!Arrays.equals(in.readNBytes(MAGIC.length), MAGIC)) {
            throw failure.apply("does not start as an .npy file does. Write it with numpy.save or numpy.savez");
        }
        int version = in.readUnsignedByte();
        in.readUnsignedByte();
        long length = Short.toUnsignedLong(Short.reverseBytes(in.readShort()));
        if (version > 1) {
            length |= Short.toUnsignedLong(Short.reverseBytes(in.readShort())) << 16;
        }
        if (version < 1 || version > 3 || length > MAX_HEADER) {
            throw failure.apply("has a header of version " + version + " and " + length
                    + " bytes; versions 1 to 3 and at most " + MAX_HEADER + " bytes can be read");
        }
        byte[] bytes = new byte[(int) length];
        in.readFully(bytes);
        String header = new String(bytes, StandardCharsets.UTF_8);
        Matcher type = TYPE.matcher(header);
        Matcher order = COLUMN_ORDER.matcher(header);
        Matcher shape = SHAPE.matcher(header);
        if (!type.find() || !order.find() || !shape.find() || !TYPES.containsKey(type.group(1))) {
            throw failure.apply("is of a kind that cannot be read here (" + header.strip()
                    + "). Numbers and booleans in little endian can: "
                    + TYPES.keySet().stream().sorted().toList());
        }
        try {
            return new NpyArray(
                    type.group(1), TYPES.get(type.group(1)), "True".equals(order.group(1)), sides(shape.group(1)));
        } catch (IllegalArgumentException | ArithmeticException e) {
            throw failure.apply("has the shape (" + shape.group(1) + "), which is none");
        }
    }

    private static long[] sides(String text) {
        List<Long> sides = new ArrayList<>();
        long length = Long.BYTES;
        for (String side : text.split(",")) {
            if (!side.isBlank()) {
                sides.add(Long.parseLong(side.strip()));
                length = Math.multiplyExact(length, sides.get(sides.size() - 1));
            }
        }
        if (sides.size() > MAX_RANK || sides.stream().anyMatch(side -> side < 0)) {
            throw new IllegalArgumentException(text);
        }
        return sides.stream().mapToLong(Long::longValue).toArray();
    }

    private long elements() {
        return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    }

    /** All values, as an array of the stored shape. */
    INDArray values(InputStream in) throws IOException {
        // [length] -> the stored shape: a view
        return elements() == 0
                ? Nd4j.create(type, shape)
                : vector(in, elements()).reshape(columnOrder ? 'f' : 'c', shape);
    }

    /** The next values, [length], at least one. */
    INDArray vector(InputStream in, long length) throws IOException {
        INDArray flat = Nd4j.createUninitialized(type, length);
        int perChunk = CHUNK / type.width();
        for (long start = 0; start < length; start += perChunk) {
            int count = (int) Math.min(perChunk, length - start);
            byte[] values = in.readNBytes(count * type.width());
            if (values.length < count * type.width()) {
                throw new EOFException();
            }
            flat.get(NDArrayIndex.interval(start, start + count)).assign(vector(values, count));
        }
        return flat;
    }

    /** ND4J makes arrays from the bytes of an .npy file, so each chunk gets a header of its own. */
    private INDArray vector(byte[] values, int count) throws IOException {
        ByteArrayOutputStream npy = new ByteArrayOutputStream(values.length + 256);
        npy.write(NpyFile.header(text, "(" + count + ",)"));
        npy.write(values);
        return Nd4j.createNpyFromByteArray(npy.toByteArray());
    }
}
