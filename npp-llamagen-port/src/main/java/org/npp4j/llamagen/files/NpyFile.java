package org.npp4j.llamagen.files;

import java.io.BufferedInputStream;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Collectors;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * NumPy's {@code .npy}: one array.
 *
 * <p>Source: NumPy enhancement proposal 1, "A simple file format for NumPy arrays".
 */
public final class NpyFile {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    private static final String INT64 = "<i8";
    private static final String UINT8 = "|u1";
    /** The data starts at a multiple of it. */
    private static final int ALIGNMENT = 64;

    private NpyFile() {}

    /**
     * Writes whole numbers as int64 [rows, columns].
     *
     * @param file the file; one that exists is replaced
     * @param rows of equal length, at least one
     * @throws FileSystemException if it cannot be written; no part of it is left behind
     */
    public static void writeInt64(Path file, int[][] rows) throws FileSystemException {
        int columns = rows[0].length;
        AtomicFile.write(file, out -> {
            out.write(header(INT64, "(" + rows.length + ", " + columns + ")"));
            for (int[] row : rows) {
                writeNumbers(out, row);
            }
        });
    }

    /**
     * Writes whole numbers as int64 [length].
     *
     * @param file the file; one that exists is replaced
     * @param numbers the array
     * @throws FileSystemException if it cannot be written; no part of it is left behind
     */
    public static void writeInt64(Path file, int[] numbers) throws FileSystemException {
        writeInt64(file, numbers, numbers.length);
    }

    /**
     * Writes whole numbers as int64 of any rank.
     *
     * @param file the file; one that exists is replaced
     * @param numbers in row order
     * @param shape the array's shape; its product is the number of values
     * @throws IllegalArgumentException if the shape does not fit the values
     * @throws FileSystemException if it cannot be written; no part of it is left behind
     */
    public static void writeInt64(Path file, int[] numbers, int... shape) throws FileSystemException {
        byte[] header = header(INT64, sides(shape, numbers.length));
        AtomicFile.write(file, out -> {
            out.write(header);
            writeNumbers(out, numbers);
        });
    }

    /**
     * Writes bytes as uint8.
     *
     * @param file the file; one that exists is replaced
     * @param values unsigned bytes in row order
     * @param shape the array's shape; its product is the number of values
     * @throws IllegalArgumentException if the shape does not fit the values
     * @throws FileSystemException if it cannot be written; no part of it is left behind
     */
    public static void writeUint8(Path file, byte[] values, int... shape) throws FileSystemException {
        byte[] header = header(UINT8, sides(shape, values.length));
        AtomicFile.write(file, out -> {
            out.write(header);
            out.write(values);
        });
    }

    /** A shape as Python writes it. */
    private static String sides(int[] shape, int values) {
        long length = Arrays.stream(shape).asLongStream().reduce(1, (a, b) -> a * b);
        if (length != values) {
            throw new IllegalArgumentException(values + " values do not have the shape " + Arrays.toString(shape));
        }
        String sides = Arrays.stream(shape).mapToObj(String::valueOf).collect(Collectors.joining(", "));
        return "(" + sides + (shape.length == 1 ? ",)" : ")");
    }

    /** All that precedes the values of an array in row order. */
    static byte[] header(String type, String shape) {
        String text = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
        int prefix = MAGIC.length + Short.BYTES;
        int padded = (prefix + text.length() + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        String filled = text + " ".repeat(padded - prefix - text.length() - 1) + "\n";
        return ByteBuffer.allocate(padded)
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(MAGIC)
                .putShort((short) filled.length())
                .put(filled.getBytes(StandardCharsets.US_ASCII))
                .array();
    }

    private static void writeNumbers(OutputStream out, int[] numbers) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(numbers.length * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int number : numbers) {
            bytes.putLong(number);
        }
        out.write(bytes.array());
    }

    /**
     * Reads an array of numbers or booleans in little endian, of any rank.
     *
     * @param file a .npy file
     * @return the array, in its own type
     * @throws NoSuchFileException if there is none
     * @throws FileSystemException if it does not hold such an array
     * @throws IOException if it cannot be read
     */
    public static INDArray read(Path file) throws IOException {
        try (InputStream in = open(file)) {
            return NpyArray.read(in, Files.size(file), reason -> failure(file, reason));
        }
    }

    /**
     * Opens an array to be read row by row: one that memory need not hold.
     *
     * @param file a .npy file
     * @return its rows, to be closed
     * @throws NoSuchFileException if there is none
     * @throws FileSystemException if it does not hold such an array, or one of rank 0
     * @throws IOException if it cannot be read
     */
    public static NpyRows rows(Path file) throws IOException {
        return NpyRows.open(open(file), Files.size(file), reason -> failure(file, reason));
    }

    private static InputStream open(Path file) throws IOException {
        if (Files.isDirectory(file)) {
            throw new FileSystemException(file.toString(), null, "it is a folder. Name an .npy file in it");
        }
        return new BufferedInputStream(Files.newInputStream(file));
    }

    private static FileSystemException failure(Path file, String reason) {
        return new FileSystemException(file.toString(), null, "it " + reason);
    }

    /**
     * An array of whole numbers in the heap.
     *
     * @param shape its sides
     * @param values in row order
     */
    public record WholeNumbers(long[] shape, long[] values) {}

    /**
     * Reads a small array of whole numbers without ND4J: where there are millions of files that is much faster.
     *
     * @param file a .npy file of signed or unsigned integers in little endian
     * @return its numbers
     * @throws NoSuchFileException if there is none
     * @throws FileSystemException if it does not hold such an array
     * @throws IOException if it cannot be read
     */
    public static WholeNumbers readWholeNumbers(Path file) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        try (InputStream in = new ByteArrayInputStream(bytes)) {
            return NpyArray.readWholeNumbers(
                    in, bytes.length, reason -> new FileSystemException(file.toString(), null, "it " + reason));
        }
    }
}
