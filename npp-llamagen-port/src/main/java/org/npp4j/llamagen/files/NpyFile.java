package org.npp4j.llamagen.files;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * NumPy's {@code .npy}: one array.
 *
 * <p>Source: NumPy enhancement proposal 1, "A simple file format for NumPy arrays".
 */
public final class NpyFile {
    private static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    /** The data starts at a multiple of it. */
    private static final int ALIGNMENT = 64;
    /** The header of an array of numbers is shorter. */
    private static final int HEADER_LIMIT = 256;

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
            out.write(header("(" + rows.length + ", " + columns + ")"));
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
        AtomicFile.write(file, out -> {
            out.write(header("(" + numbers.length + ",)"));
            writeNumbers(out, numbers);
        });
    }

    private static byte[] header(String shape) {
        String text = "{'descr': '<i8', 'fortran_order': False, 'shape': " + shape + ", }";
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
     * Reads an array of numbers in row order.
     *
     * @param file a .npy file
     * @return the array, in its own type
     * @throws IOException if it cannot be read or does not hold such an array
     */
    public static INDArray read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException("There is no file " + file + ". Check the path");
        }
        byte[] content = Files.readAllBytes(file);
        String header = new String(content, 0, Math.min(content.length, HEADER_LIMIT), StandardCharsets.ISO_8859_1);
        if (header.contains("'fortran_order': True")) {
            throw new IOException(file + " holds an array in column order. Write it with numpy.ascontiguousarray");
        }
        try {
            return Nd4j.createNpyFromByteArray(content);
        } catch (RuntimeException e) {
            throw new IOException(
                    file + " does not hold an array of numbers (" + e.getMessage()
                            + "). Write it with numpy.save, as float32 or int64",
                    e);
        }
    }
}
