package org.npp4j.llamagen.files;

import java.io.ByteArrayOutputStream;
import java.io.Closeable;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * NumPy's {@code .npz}: named arrays of any rank, read one at a time.
 *
 * <p>Numbers and booleans in little endian, in row or column order, compressed or not, of any size. ND4J's own reader of
 * .npz refuses arrays of rank 0 and 1, and its reader of .npy takes columns for rows.
 *
 * <p>Source: NumPy enhancement proposal 1, "A simple file format for NumPy arrays".
 */
public final class NpzFile implements Closeable {
    private static final String SUFFIX = ".npy";
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
    private static final int MAX_HEADER = 1 << 20;
    /** Bytes that are in the heap at a time. */
    private static final int CHUNK = 1 << 22;

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

    private final Path path;
    private final ZipFile zip;
    private final Map<String, ZipEntry> entries = new LinkedHashMap<>();

    private NpzFile(Path path, ZipFile zip) {
        this.path = path;
        this.zip = zip;
        for (ZipEntry entry : Collections.list(zip.entries())) {
            if (entry.getName().endsWith(SUFFIX)) {
                String name = entry.getName();
                entries.put(name.substring(0, name.length() - SUFFIX.length()), entry);
            }
        }
    }

    /**
     * Opens a file.
     *
     * @param path the file
     * @return the file, to be closed
     * @throws FileSystemException if there is none, or it is no .npz file
     * @throws IOException if it cannot be read
     */
    public static NpzFile open(Path path) throws IOException {
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
        try {
            return new NpzFile(path, new ZipFile(path.toFile()));
        } catch (ZipException e) {
            throw failure(path, "this is no .npz file, or it is damaged (" + e.getMessage() + ")", e);
        }
    }

    /** {@return the names of the arrays, in file order} */
    public Set<String> names() {
        return Collections.unmodifiableSet(entries.keySet());
    }

    /**
     * Whether there is an array of this name.
     *
     * @param name without the suffix .npy
     * @return whether there is one
     */
    public boolean contains(String name) {
        return entries.containsKey(name);
    }

    /**
     * Reads an array.
     *
     * @param name without the suffix .npy
     * @return a new array of the stored type and shape
     * @throws IllegalArgumentException if there is none of this name
     * @throws FileSystemException if it holds something else than numbers or booleans in little endian, or is damaged
     * @throws IOException if it cannot be read
     */
    public INDArray array(String name) throws IOException {
        ZipEntry entry = entries.get(name);
        if (entry == null) {
            throw new IllegalArgumentException(path + " has no array \"" + name + "\". It has " + names());
        }
        try (DataInputStream in = new DataInputStream(zip.getInputStream(entry))) {
            Header header = Header.read(in, reason -> failure(path, "array \"" + name + "\" " + reason, null));
            return values(in, header);
        } catch (EOFException e) {
            throw failure(path, "array \"" + name + "\" ends too early", e);
        } catch (ZipException e) {
            throw failure(path, "array \"" + name + "\" is damaged (" + e.getMessage() + ")", e);
        }
    }

    private static INDArray values(InputStream in, Header header) throws IOException {
        long length = Arrays.stream(header.shape).reduce(1, (a, b) -> a * b);
        if (length == 0) {
            return Nd4j.create(header.type, header.shape);
        }
        INDArray flat = Nd4j.createUninitialized(header.type, length);
        int perChunk = CHUNK / header.type.width();
        for (long start = 0; start < length; start += perChunk) {
            int count = (int) Math.min(perChunk, length - start);
            byte[] values = in.readNBytes(count * header.type.width());
            if (values.length < count * header.type.width()) {
                throw new EOFException();
            }
            flat.get(NDArrayIndex.interval(start, start + count)).assign(vector(values, header.text, count));
        }
        // [length] -> the stored shape: a view
        return flat.reshape(header.columnOrder ? 'f' : 'c', header.shape);
    }

    /** ND4J makes arrays from the bytes of an .npy file, so each chunk gets a header of its own. */
    private static INDArray vector(byte[] values, String type, int count) throws IOException {
        StringBuilder header =
                new StringBuilder("{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + count + ",), }");
        while ((MAGIC.length + 4 + header.length() + 1) % 64 != 0) {
            header.append(' ');
        }
        header.append('\n');
        ByteArrayOutputStream npy = new ByteArrayOutputStream(values.length + 256);
        npy.write(MAGIC);
        npy.write(1);
        npy.write(0);
        npy.write(header.length() & 0xff);
        npy.write(header.length() >> 8);
        npy.write(header.toString().getBytes(StandardCharsets.US_ASCII));
        npy.write(values);
        return Nd4j.createNpyFromByteArray(npy.toByteArray());
    }

    /** Closes the file. */
    @Override
    public void close() throws IOException {
        zip.close();
    }

    private static FileSystemException failure(Path path, String reason, Throwable cause) {
        FileSystemException failure = new FileSystemException(path.toString(), null, reason);
        failure.initCause(cause);
        return failure;
    }

    @FunctionalInterface
    private interface Refusal {
        IOException because(String reason);
    }

    /** What precedes the values of an .npy file. */
    private static final class Header {
        private final String text;
        private final DataType type;
        private final boolean columnOrder;
        private final long[] shape;

        private Header(String text, DataType type, boolean columnOrder, long[] shape) {
            this.text = text;
            this.type = type;
            this.columnOrder = columnOrder;
            this.shape = shape;
        }

        static Header read(DataInputStream in, Refusal refusal) throws IOException {
            if (!Arrays.equals(in.readNBytes(MAGIC.length), MAGIC)) {
                throw refusal.because("does not start as an .npy file does");
            }
            int version = in.readUnsignedByte();
            in.readUnsignedByte();
            long length = Short.toUnsignedLong(Short.reverseBytes(in.readShort()));
            if (version > 1) {
                length |= Short.toUnsignedLong(Short.reverseBytes(in.readShort())) << 16;
            }
            if (version < 1 || version > 3 || length > MAX_HEADER) {
                throw refusal.because("has a header of version " + version + " and " + length + " bytes");
            }
            byte[] bytes = new byte[(int) length];
            in.readFully(bytes);
            String header = new String(bytes, StandardCharsets.UTF_8);
            Matcher type = TYPE.matcher(header);
            Matcher order = COLUMN_ORDER.matcher(header);
            Matcher shape = SHAPE.matcher(header);
            if (!type.find() || !order.find() || !shape.find() || !TYPES.containsKey(type.group(1))) {
                throw refusal.because("is of a kind that cannot be read here (" + header.strip()
                        + "). Numbers and booleans in little endian can: "
                        + TYPES.keySet().stream().sorted().toList());
            }
            try {
                return new Header(
                        type.group(1), TYPES.get(type.group(1)), "True".equals(order.group(1)), sides(shape.group(1)));
            } catch (NumberFormatException | ArithmeticException e) {
                throw refusal.because("has the shape (" + shape.group(1) + "), which is none");
            }
        }

        private static long[] sides(String text) {
            List<Long> sides = new ArrayList<>();
            long length = Long.BYTES;
            for (String side : text.split(",")) {
                if (!side.isBlank()) {
                    sides.add(Long.parseUnsignedLong(side.strip()));
                    length = Math.multiplyExact(length, sides.get(sides.size() - 1));
                }
            }
            return sides.stream().mapToLong(Long::longValue).toArray();
        }
    }
}
