package org.npp4j.llamagen.files;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Locale;

/**
 * An .npy file of int64 that rows are added to at the end: at every moment a whole array that any reader of the format
 * reads.
 *
 * <p>The number of rows in its header has a fixed width. Rows go behind the last one and are forced to disk; then the number
 * is written in place, in one write within the first sector, and forced. What a process that was killed in between has left
 * behind the last counted row is cut off when the file is opened again.
 */
public final class GrowingNpyFile {
    private static final String TYPE = "<i8";
    /** Digits of the number of rows. */
    private static final int DIGITS = 10;

    private final Path file;
    private final int[] rowShape;
    private final int rowLength;
    private long rows;

    private GrowingNpyFile(Path file, int[] rowShape, long rows) {
        this.file = file;
        this.rowShape = rowShape;
        this.rowLength = Arrays.stream(rowShape).reduce(1, Math::multiplyExact);
        this.rows = rows;
    }

    /**
     * Opens a file. One that was written by other means is written anew in the form that can grow.
     *
     * @param file need not exist; the first row makes it
     * @param rowShape sides of a row; none for single numbers
     * @return the file
     * @throws FileSystemException if it holds rows of another shape, or other numbers than int64; its reason says which
     * @throws IOException if it cannot be read or written
     */
    public static GrowingNpyFile open(Path file, int... rowShape) throws IOException {
        int[] shape = rowShape.clone();
        if (!Files.exists(file)) {
            return new GrowingNpyFile(file, shape, 0);
        }
        byte[] start;
        try (InputStream in = Files.newInputStream(file)) {
            start = in.readNBytes(header(shape, 0).length);
        }
        long rows = rows(start, shape);
        GrowingNpyFile opened = new GrowingNpyFile(file, shape, rows);
        if (rows < 0 || Files.size(file) < opened.end(rows)) {
            NpyFile.WholeNumbers numbers = NpyFile.readWholeNumbers(file);
            opened.requireShape(numbers.shape());
            opened.rows = numbers.shape()[0];
            long[] values = numbers.values();
            AtomicFile.write(file, out -> {
                out.write(header(shape, opened.rows));
                out.write(bytes(values));
            });
        }
        opened.cut(opened.rows);
        return opened;
    }

    private void requireShape(long[] found) throws FileSystemException {
        boolean fits = found.length == rowShape.length + 1;
        for (int i = 0; fits && i < rowShape.length; i++) {
            fits = found[i + 1] == rowShape[i];
        }
        if (!fits) {
            throw new FileSystemException(
                    file.toString(),
                    null,
                    "it holds an array of " + Arrays.toString(found) + ", but rows of " + Arrays.toString(rowShape)
                            + " are to be added");
        }
    }

    /** The rows that a header in the growing form counts; -1 if it is not of this form. */
    private static long rows(byte[] start, int[] rowShape) {
        byte[] expected = header(rowShape, 0);
        int at = digits(expected);
        if (start.length < expected.length) {
            return -1;
        }
        String number = new String(start, at, DIGITS, StandardCharsets.US_ASCII).strip();
        byte[] empty = start.clone();
        System.arraycopy(expected, at, empty, at, DIGITS);
        return Arrays.equals(expected, empty) && number.matches("\\d+") ? Long.parseLong(number) : -1;
    }

    private static byte[] header(int[] rowShape, long rows) {
        StringBuilder sides = new StringBuilder("(").append(String.format(Locale.ROOT, "%" + DIGITS + "d,", rows));
        for (int i = 0; i < rowShape.length; i++) {
            sides.append(i == 0 ? " " : ", ").append(rowShape[i]);
        }
        return NpyFile.header(TYPE, sides.append(')').toString());
    }

    /** Where the number of rows is: behind the first bracket. */
    private static int digits(byte[] header) {
        int at = 0;
        while (header[at] != '(') {
            at++;
        }
        return at + 1;
    }

    private long end(long count) {
        return header(rowShape, 0).length + count * rowLength * Long.BYTES;
    }

    /** {@return the rows so far} */
    public int rows() {
        return Math.toIntExact(rows);
    }

    /** {@return the file} */
    public Path file() {
        return file;
    }

    /**
     * Removes the rows behind some.
     *
     * @param count rows to keep; nothing happens if there are no more
     * @throws IOException if the file cannot be written
     */
    public void keep(int count) throws IOException {
        if (count < rows) {
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                count(channel, count);
            }
            cut(count);
        }
    }

    private void cut(long count) throws IOException {
        if (Files.size(file) > end(count)) {
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                channel.truncate(end(count));
            }
        }
    }

    private void count(FileChannel channel, long count) throws IOException {
        byte[] header = header(rowShape, count);
        write(channel, ByteBuffer.wrap(header, digits(header), DIGITS), digits(header));
        channel.force(true);
        rows = count;
    }

    /**
     * Adds rows. They are on disk when this returns; if it throws, the file has the rows it had.
     *
     * @param more the rows, each with its values in row order
     * @throws IllegalArgumentException if one has another number of values
     * @throws FileSystemException if they cannot be written; it names the file and keeps the cause
     */
    public void append(int[]... more) throws FileSystemException {
        int[] all = new int[Math.multiplyExact(more.length, rowLength)];
        for (int i = 0; i < more.length; i++) {
            if (more[i].length != rowLength) {
                throw new IllegalArgumentException("A row of " + file + " has " + rowLength + " values, got "
                        + more[i].length + " for row " + (rows + i));
            }
            System.arraycopy(more[i], 0, all, i * rowLength, rowLength);
        }
        write(all);
    }

    /**
     * Adds rows of one value each.
     *
     * @param values one a row
     * @throws IllegalStateException if rows have several values
     * @throws FileSystemException see {@link #append}
     */
    public void appendValues(int... values) throws FileSystemException {
        if (rowLength != 1) {
            throw new IllegalStateException("A row of " + file + " has " + rowLength + " values: use append");
        }
        write(values);
    }

    private void write(int[] values) throws FileSystemException {
        try {
            if (!Files.exists(file)) {
                AtomicFile.write(file, header(rowShape, 0));
                rows = 0;
            }
            try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
                write(
                        channel,
                        ByteBuffer.wrap(
                                bytes(Arrays.stream(values).asLongStream().toArray())),
                        end(rows));
                channel.force(true);
                count(channel, rows + values.length / rowLength);
            }
        } catch (FileSystemException e) {
            throw e;
        } catch (IOException e) {
            FileSystemException failure = new FileSystemException(file.toString(), null, e.getMessage());
            failure.initCause(e);
            throw failure;
        }
    }

    private static void write(FileChannel channel, ByteBuffer bytes, long at) throws IOException {
        long position = at;
        while (bytes.hasRemaining()) {
            int written = channel.write(bytes, position);
            if (written <= 0) {
                throw new EOFException("nothing more can be written");
            }
            position += written;
        }
    }

    private static byte[] bytes(long[] values) {
        ByteBuffer bytes = ByteBuffer.allocate(Math.multiplyExact(values.length, Long.BYTES))
                .order(ByteOrder.LITTLE_ENDIAN);
        bytes.asLongBuffer().put(values);
        return bytes.array();
    }
}
