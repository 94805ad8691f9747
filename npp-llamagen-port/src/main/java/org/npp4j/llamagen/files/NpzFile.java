package org.npp4j.llamagen.files;

import java.io.Closeable;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * NumPy's {@code .npz}: named arrays of any rank, read one at a time.
 *
 * <p>Numbers and booleans in little endian, in row or column order, compressed or not, of any size. ND4J's own reader of
 * .npz refuses arrays of rank 0 and 1.
 */
public final class NpzFile implements Closeable {
    private static final String SUFFIX = ".npy";

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
            throw failure(
                    path,
                    "this is no .npz file, or it is damaged (" + e.getMessage() + "). Get the file again, or write it"
                            + " with numpy.savez",
                    e);
        }
    }

    /**
     * Writes a file of one array of bytes, of any size, uncompressed. Memory need not hold it.
     *
     * @param path the file; one that exists is replaced
     * @param name of the array, without the suffix .npy
     * @param shape of the array
     * @param values writes its unsigned bytes in row order
     * @throws FileSystemException if it cannot be written, or the values are not as many as the shape says; no part of it
     *     is left behind
     */
    public static void writeUint8(Path path, String name, long[] shape, AtomicFile.Content values)
            throws FileSystemException {
        String sides = Arrays.stream(shape).mapToObj(String::valueOf).collect(Collectors.joining(", "));
        byte[] header = NpyFile.header("|u1", "(" + sides + (shape.length == 1 ? ",)" : ")"));
        long length = Arrays.stream(shape).reduce(1, Math::multiplyExact);
        AtomicFile.write(path, out -> {
            ZipOutputStream zip = new ZipOutputStream(out);
            zip.setLevel(Deflater.NO_COMPRESSION); // an entry that is stored would need its checksum beforehand
            zip.putNextEntry(new ZipEntry(name + SUFFIX));
            CountingStream counted = new CountingStream(zip);
            counted.write(header);
            values.writeTo(counted);
            if (counted.count != header.length + length) {
                throw new IOException((counted.count - header.length) + " values were written for the shape "
                        + Arrays.toString(shape));
            }
            zip.closeEntry();
            zip.finish();
            zip.flush();
        });
    }

    /** Counts what goes through. */
    private static final class CountingStream extends FilterOutputStream {
        private long count;

        CountingStream(OutputStream out) {
            super(out);
        }

        @Override
        public void write(int value) throws IOException {
            out.write(value);
            count++;
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            out.write(bytes, from, length);
            count += length;
        }

        /** The file goes on behind the entry. */
        @Override
        public void close() throws IOException {
            flush();
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
        ZipEntry entry = entry(name);
        try (InputStream in = zip.getInputStream(entry)) {
            return NpyArray.read(in, ZipSizes.most(zip, entry), reason -> failure(path, called(name) + reason, null));
        } catch (ZipException e) {
            throw failure(path, called(name) + "is damaged (" + e.getMessage() + "). Get the file again", e);
        }
    }

    /**
     * Opens an array to be read row by row: one that memory need not hold. Valid until this file is closed.
     *
     * @param name without the suffix .npy
     * @return its rows, to be closed
     * @throws IllegalArgumentException if there is none of this name
     * @throws FileSystemException if it holds something else than numbers or booleans in little endian, is of rank 0, or
     *     is damaged
     * @throws IOException if it cannot be read
     */
    public NpyRows rows(String name) throws IOException {
        ZipEntry entry = entry(name);
        return NpyRows.open(
                zip.getInputStream(entry),
                ZipSizes.most(zip, entry),
                reason -> failure(path, called(name) + reason, null));
    }

    private ZipEntry entry(String name) {
        ZipEntry entry = entries.get(name);
        if (entry == null) {
            throw new IllegalArgumentException(path + " has no array \"" + name + "\". It has " + names());
        }
        return entry;
    }

    private static String called(String name) {
        return "array \"" + name + "\" ";
    }

    /** Closes the file. */
    @Override
    public void close() throws IOException {
        zip.close();
    }

    private static FileSystemException failure(Path path, String reason, Throwable cause) {
        FileSystemException failure = new FileSystemException(path.toString(), null, reason);
        if (cause != null) {
            failure.initCause(cause);
        }
        return failure;
    }
}
