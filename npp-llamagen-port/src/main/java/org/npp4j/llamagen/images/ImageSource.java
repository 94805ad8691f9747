package org.npp4j.llamagen.images;

import java.io.Closeable;
import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.NpyRows;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.files.Sha256;

/**
 * Many images of one size, read a few at a time: from an .npz file ({@value #MEMBER}) or an .npy file with uint8 [N, H, W, C],
 * or from a folder of PNG and JPEG files, also in folders within, sorted by their path and decoded by {@link ImageFile}.
 * Whether they are grey or in colour is what the first of them is; grey ones among those in colour get three equal channels.
 */
public final class ImageSource implements Closeable {
    /** The array of an .npz file that holds the images. */
    public static final String MEMBER = "arr_0";

    private static final List<String> ENDINGS = List.of(".png", ".jpg", ".jpeg");
    private static final int COLOURS = 3;

    private final Path path;
    private final NpzFile npz;
    private final NpyRows rows;
    private final List<Path> files;
    private final long count;
    private int next;
    private int[] size;

    private ImageSource(Path path, NpzFile npz, NpyRows rows, List<Path> files) {
        this.path = path;
        this.npz = npz;
        this.rows = rows;
        this.files = files;
        this.count = rows == null ? files.size() : rows.shape()[0];
    }

    /**
     * Opens images.
     *
     * @param path a folder, an .npz or an .npy file
     * @return the images, to be closed
     * @throws NoSuchFileException if there is no such file or folder
     * @throws FileSystemException if it holds no images
     * @throws IOException if it cannot be read
     */
    public static ImageSource open(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            List<Path> files;
            try (Stream<Path> all = Files.walk(path)) {
                files = all.filter(ImageSource::isPicture).sorted().toList();
            }
            if (files.isEmpty()) {
                throw new FileSystemException(
                        path.toString(), null, "the folder holds no images, which are files that end in " + ENDINGS);
            }
            return new ImageSource(path, null, null, files);
        }
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
        NpzFile npz = isNpy(path) ? null : NpzFile.open(path);
        try {
            if (npz != null && !npz.contains(MEMBER)) {
                throw new FileSystemException(
                        path.toString(), null, "it has no array \"" + MEMBER + "\" with images; it has " + npz.names());
            }
            NpyRows rows = npz == null ? NpyFile.rows(path) : npz.rows(MEMBER);
            long[] shape = rows.shape();
            boolean fits = rows.dataType() == DataType.UINT8
                    && shape.length == 4
                    && (shape[3] == 1 || shape[3] == COLOURS)
                    && shape[1] > 0
                    && shape[2] > 0;
            if (!fits || shape[0] == 0) {
                throw new FileSystemException(
                        path.toString(),
                        null,
                        "images must be uint8 [images, height, width, 1 or 3] with at least one of each, not "
                                + rows.dataType() + " " + Arrays.toString(shape));
            }
            return new ImageSource(path, npz, rows, null);
        } catch (IOException | RuntimeException e) {
            if (npz != null) {
                npz.close();
            }
            throw e;
        }
    }

    private static boolean isNpy(Path path) {
        return path.toString().toLowerCase(Locale.ROOT).endsWith(".npy");
    }

    private static boolean isPicture(Path file) {
        String name = file.getFileName().toString().toLowerCase(Locale.ROOT);
        return ENDINGS.stream().anyMatch(name::endsWith) && !name.startsWith(".") && Files.isRegularFile(file);
    }

    /** {@return how many images there are} */
    public long count() {
        return count;
    }

    /**
     * Reads the next images.
     *
     * @param atMost how many, at least 1
     * @return as many as were asked for unless fewer remain; null if none do
     * @throws FileSystemException if one cannot be read, or is of another size or number of channels than the first
     * @throws IOException if one cannot be read
     */
    public PixelImages next(int atMost) throws IOException {
        if (atMost < 1) {
            throw new IllegalArgumentException("At least 1 image must be asked for, got " + atMost);
        }
        return rows == null ? nextFiles(atMost) : nextRows(atMost);
    }

    private PixelImages nextRows(int atMost) throws IOException {
        INDArray block = rows.next(atMost);
        if (block == null) {
            return null;
        }
        int images = (int) block.size(0);
        int height = (int) block.size(1);
        int width = (int) block.size(2);
        int channels = (int) block.size(3);
        byte[] from = new byte[(int) block.length()];
        Nd4j.getAffinityManager().ensureLocation(block, Location.HOST);
        block.data().asNio().get(from);
        block.close();
        byte[] to = new byte[from.length];
        int plane = height * width;
        for (int i = 0; i < images; i++) {
            for (int p = 0; p < plane; p++) {
                for (int c = 0; c < channels; c++) {
                    to[(i * channels + c) * plane + p] = from[(i * plane + p) * channels + c];
                }
            }
        }
        return new PixelImages(images, channels, height, width, to);
    }

    private PixelImages nextFiles(int atMost) throws IOException {
        int images = Math.min(atMost, files.size() - next);
        if (images == 0) {
            return null;
        }
        byte[] pixels = null;
        for (int i = 0; i < images; i++) {
            Path file = files.get(next + i);
            PixelImages picture = ImageFile.readGreyOrColour(file);
            int[] found = {picture.channels(), picture.height(), picture.width()};
            if (size == null) {
                size = found;
            }
            if (found[1] != size[1] || found[2] != size[2] || found[0] > size[0]) {
                throw new FileSystemException(
                        file.toString(),
                        null,
                        "the image is " + words(found) + ", but " + files.get(0).getFileName() + " is " + words(size)
                                + ". All images must have one size");
            }
            int length = size[0] * size[1] * size[2];
            if (pixels == null) {
                pixels = new byte[Math.multiplyExact(images, length)];
            }
            byte[] values = (size[0] == 1 ? picture : picture.toColour()).array();
            System.arraycopy(values, 0, pixels, i * length, length);
        }
        next += images;
        return new PixelImages(images, size[0], size[1], size[2], pixels);
    }

    private static String words(int[] size) {
        return size[2] + " x " + size[1] + (size[0] == 1 ? " in grey" : " in colour");
    }

    /**
     * The fingerprint of what is read: of the file, or of all image files one after the other.
     *
     * @return SHA-256, 64 hexadecimal digits
     * @throws IOException if a file cannot be read
     */
    public String sha256() throws IOException {
        return rows == null ? Sha256.of(files.toArray(Path[]::new)) : Sha256.of(path);
    }

    /** Closes the file. */
    @Override
    public void close() throws IOException {
        if (rows != null) {
            rows.close();
        }
        if (npz != null) {
            npz.close();
        }
    }
}
