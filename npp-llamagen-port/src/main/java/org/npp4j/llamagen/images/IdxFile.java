package org.npp4j.llamagen.images;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.zip.Deflater;
import java.util.zip.GZIPInputStream;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipException;
import org.npp4j.llamagen.files.AtomicFile;

/**
 * Reads and writes IDX files, the format of MNIST and Fashion-MNIST, plain or gzip-compressed (name ends in .gz).
 *
 * <p>An IDX file holds a magic number (two zero bytes, the type 0x08 = unsigned bytes, the rank), the sizes as
 * big-endian 32-bit integers, then the values. Images have rank 3 [count, height, width], labels rank 1 [count].
 *
 * <p>Reading is strict. Every error is an IOException that names the file, what was found and what was expected.
 */
public final class IdxFile {
    private static final int IMAGES_MAGIC = 0x00000803;
    private static final int LABELS_MAGIC = 0x00000801;

    private IdxFile() {}

    /**
     * Reads grey images.
     *
     * @param file an IDX file of rank 3
     * @return the images [count, 1, height, width]
     * @throws IOException if the file is missing, is no IDX image file, ends early or goes on after the last image
     */
    public static PixelImages readImages(Path file) throws IOException {
        try (InputStream in = open(file)) {
            int[] sizes = readHeader(in, file, IMAGES_MAGIC, "images");
            if (sizes[1] == 0 || sizes[2] == 0) {
                throw new IOException(file + " announces images of " + sizes[1] + " x " + sizes[2]
                        + " pixels; both sides must be at least 1. Get the file again");
            }
            byte[] pixels = readValues(in, file, sizes);
            return new PixelImages(sizes[0], 1, sizes[1], sizes[2], pixels);
        }
    }

    /**
     * Reads labels.
     *
     * @param file an IDX file of rank 1
     * @return the labels, 0 to 255
     * @throws IOException if the file is missing, is no IDX label file, ends early or goes on after the last label
     */
    public static int[] readLabels(Path file) throws IOException {
        try (InputStream in = open(file)) {
            byte[] values = readValues(in, file, readHeader(in, file, LABELS_MAGIC, "labels"));
            int[] labels = new int[values.length];
            for (int i = 0; i < labels.length; i++) {
                labels[i] = values[i] & 0xff;
            }
            return labels;
        }
    }

    /**
     * Writes grey images, compressed if the name ends in .gz.
     *
     * @param file the file; one that exists is replaced
     * @param images images of one channel
     * @throws IllegalArgumentException if the images have more than one channel
     * @throws IOException if the file cannot be written; no part of it is left behind
     */
    public static void writeImages(Path file, PixelImages images) throws IOException {
        if (images.channels() != 1) {
            throw new IllegalArgumentException(
                    "IDX image files hold grey images of one channel, got " + images + "; convert them first");
        }
        write(file, IMAGES_MAGIC, new int[] {images.count(), images.height(), images.width()}, images.toBytes());
    }

    /**
     * Writes labels, compressed if the name ends in .gz.
     *
     * @param file the file; one that exists is replaced
     * @param labels the labels, 0 to 255
     * @throws IllegalArgumentException if a label is outside 0 to 255
     * @throws IOException if the file cannot be written; no part of it is left behind
     */
    public static void writeLabels(Path file, int[] labels) throws IOException {
        byte[] values = new byte[labels.length];
        for (int i = 0; i < labels.length; i++) {
            if (labels[i] < 0 || labels[i] > 255) {
                throw new IllegalArgumentException(
                        "Label " + labels[i] + " of image " + i + " does not fit an IDX file: labels are 0 to 255");
            }
            values[i] = (byte) labels[i];
        }
        write(file, LABELS_MAGIC, new int[] {labels.length}, values);
    }

    private static boolean isCompressed(Path file) {
        return file.getFileName().toString().endsWith(".gz");
    }

    private static InputStream open(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new FileNotFoundException(
                    "There is no file " + file + ". Check the path, or get the data set's IDX files (.gz or plain)");
        }
        InputStream in = new BufferedInputStream(Files.newInputStream(file), 1 << 16);
        if (!isCompressed(file)) {
            return in;
        }
        try {
            return new GZIPInputStream(in, 1 << 16);
        } catch (EOFException | ZipException e) {
            in.close();
            throw new IOException(
                    file + " is not gzip-compressed (" + e.getMessage()
                            + ") though its name ends in .gz. Get the file again, or drop .gz from a plain IDX file's name",
                    e);
        }
    }

    /** Checks the magic number and returns the sizes. */
    private static int[] readHeader(InputStream in, Path file, int expectedMagic, String what) throws IOException {
        int rank = expectedMagic & 0xff;
        int magic =
                ByteBuffer.wrap(readExactly(in, file, 4, "the magic number")).getInt();
        if (magic != expectedMagic) {
            String found = magic == IMAGES_MAGIC
                    ? "That is a file of images: were the two files swapped?"
                    : magic == LABELS_MAGIC
                            ? "That is a file of labels: were the two files swapped?"
                            : magic >>> 16 == 0x1f8b
                                    ? "That is gzip: the file's name must then end in .gz"
                                    : "Check that it is an IDX file of unsigned bytes";
            throw new IOException(String.format(
                    "%s starts with the magic number 0x%08x; a file of %s starts with 0x%08x. %s",
                    file, magic, what, expectedMagic, found));
        }
        ByteBuffer header = ByteBuffer.wrap(readExactly(in, file, 4 * rank, "the sizes"));
        int[] sizes = new int[rank];
        for (int i = 0; i < rank; i++) {
            sizes[i] = header.getInt();
            if (sizes[i] < 0) {
                throw new IOException(file + " announces a size of " + Integer.toUnsignedString(sizes[i]) + "; at most "
                        + Integer.MAX_VALUE + " is possible. The file is damaged: get it again");
            }
        }
        return sizes;
    }

    private static byte[] readValues(InputStream in, Path file, int[] sizes) throws IOException {
        long length = 1;
        for (int size : sizes) {
            length = size == 0 ? 0 : length * size;
            if (length > Integer.MAX_VALUE) {
                throw new IOException(file + " announces more than " + Integer.MAX_VALUE
                        + " values, too many for one file. It is damaged, or must be split");
            }
        }
        byte[] values = readExactly(in, file, (int) length, "the values");
        // This also makes gzip compare its checksum.
        if (read(in, file, 1, "the checksum").length > 0) {
            throw new IOException(file + " goes on after the " + length
                    + " values that its header announces. The file is damaged: get it again");
        }
        return values;
    }

    private static byte[] readExactly(InputStream in, Path file, int length, String what) throws IOException {
        byte[] bytes = read(in, file, length, what);
        if (bytes.length < length) {
            throw truncated(file, what + " take " + length + " bytes, the file has " + bytes.length, null);
        }
        return bytes;
    }

    /** At most so many bytes; fewer at the end of the file. */
    private static byte[] read(InputStream in, Path file, int length, String what) throws IOException {
        try {
            // Grows as it reads: a damaged header cannot make it ask for gigabytes.
            return in.readNBytes(length);
        } catch (EOFException e) {
            throw truncated(file, "its compressed data ends before " + what, e);
        } catch (ZipException e) {
            throw new IOException(file + " is damaged: " + e.getMessage() + ". Get the file again", e);
        }
    }

    private static IOException truncated(Path file, String found, IOException cause) {
        return new IOException(file + " is truncated: " + found + ". Get the file again", cause);
    }

    private static void write(Path file, int magic, int[] sizes, byte[] values) throws IOException {
        AtomicFile.write(file, stream -> {
            if (isCompressed(file)) {
                GZIPOutputStream compressed = new BestGzip(stream);
                writeIdx(compressed, magic, sizes, values);
                compressed.finish();
            } else {
                writeIdx(stream, magic, sizes, values);
            }
        });
    }

    private static void writeIdx(OutputStream stream, int magic, int[] sizes, byte[] values) throws IOException {
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(stream, 1 << 16));
        out.writeInt(magic);
        for (int size : sizes) {
            out.writeInt(size);
        }
        out.write(values);
        out.flush();
    }

    /** Gzip at its strongest setting. The header that Java writes has neither time nor name. */
    private static final class BestGzip extends GZIPOutputStream {
        BestGzip(OutputStream out) throws IOException {
            super(out, 1 << 16);
            def.setLevel(Deflater.BEST_COMPRESSION);
        }
    }
}
