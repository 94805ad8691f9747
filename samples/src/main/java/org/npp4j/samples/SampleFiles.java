package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.SortedMap;
import java.util.function.DoubleConsumer;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.GrowingNpyFile;
import org.npp4j.llamagen.files.NpyRows;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.images.ImageSource;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;

/**
 * The folder of a run of drawing: tokens.npy [images, N], classes.npy [images], a PNG for each image, settings.txt, and, if
 * asked for, all pictures in samples.npz.
 *
 * <p>It holds the images that are done, whole, at any time: pictures and classes are there before tokens.npy counts an image.
 * A run with the same settings goes on behind them; one with others begins anew and removes what is there.
 */
final class SampleFiles {
    private static final String TOKENS = "tokens.npy";
    private static final String CLASSES = "classes.npy";
    private static final String SETTINGS = "settings.txt";
    /** All pictures, for evaluators. */
    static final String PICTURES = "samples.npz";

    private final Path folder;
    private final ImageTokenizer tokenizer;
    private final SampleConditions conditions;
    private final GrowingNpyFile tokens;
    private final GrowingNpyFile classes;

    private SampleFiles(
            Path folder,
            ImageTokenizer tokenizer,
            SampleConditions conditions,
            GrowingNpyFile tokens,
            GrowingNpyFile classes) {
        this.folder = folder;
        this.tokenizer = tokenizer;
        this.conditions = conditions;
        this.tokens = tokens;
        this.classes = classes;
    }

    /**
     * Opens a folder.
     *
     * @param folder made if it does not exist
     * @param tokenizer makes the pictures; null for none
     * @param settings everything that decides the images, one a line
     * @param conditions of the images
     * @param tokens N
     * @return the folder with what an earlier run with these settings has left
     * @throws IOException if it cannot be read or written
     */
    static SampleFiles open(
            Path folder,
            ImageTokenizer tokenizer,
            SortedMap<String, String> settings,
            SampleConditions conditions,
            int tokens)
            throws IOException {
        StringBuilder text = new StringBuilder();
        settings.forEach(
                (name, value) -> text.append(name).append(": ").append(value).append('\n'));
        Path file = folder.resolve(SETTINGS);
        boolean isOurs = Files.exists(file);
        if (!isOurs || !Files.readString(file).contentEquals(text)) {
            Files.deleteIfExists(folder.resolve(TOKENS));
            if (isOurs) {
                removePictures(folder);
            }
            Files.deleteIfExists(folder.resolve(CLASSES));
            AtomicFile.writeText(file, text.toString());
        }
        GrowingNpyFile done = open(folder.resolve(TOKENS), tokens);
        GrowingNpyFile classes = null;
        if (conditions.areClasses()) {
            classes = open(folder.resolve(CLASSES));
            classes.keep(done.rows());
        }
        return new SampleFiles(folder, tokenizer, conditions, done, classes);
    }

    private static GrowingNpyFile open(Path file, int... rowShape) throws IOException {
        try {
            return GrowingNpyFile.open(file, rowShape);
        } catch (FileSystemException e) {
            throw new AppException(Failure.explain(e) + ". Remove it, or choose another folder with --out", e);
        }
    }

    /** Else those of a longer run would stand beside the new ones as if they belonged to them. */
    private static void removePictures(Path folder) throws IOException {
        Files.deleteIfExists(folder.resolve(PICTURES));
        int image = 0;
        while (Files.deleteIfExists(picture(folder, image))) {
            image++;
        }
    }

    /** {@return how many images are done} */
    int count() {
        return tokens.rows();
    }

    /**
     * Adds images. They are on disk when this returns.
     *
     * @param more [count][N]
     * @throws IOException if they cannot be written
     */
    void add(int[][] more) throws IOException {
        int first = tokens.rows();
        if (tokenizer != null) {
            // it would have less images than the folder
            Files.deleteIfExists(folder.resolve(PICTURES));
            PngSheet sheet = new PngSheet.Builder().columns(1).gap(0).build();
            PixelImages pictures = tokenizer.decode(more);
            for (int i = 0; i < more.length; i++) {
                sheet.write(picture(folder, first + i), pictures.select(i));
            }
        }
        if (classes != null) {
            classes.appendValues(conditions.classes(classes.rows(), first + more.length - classes.rows()));
        }
        // last: what it has is done
        tokens.append(more);
    }

    /**
     * Writes the pictures of the first images as samples.npz, uint8 [images, H, W, C], unless it is there.
     *
     * @param count images, at most as many as are done
     * @param progress told the share that is done
     * @return the file
     * @throws IOException if it cannot be written, or a picture cannot be read
     */
    Path pictures(int count, DoubleConsumer progress) throws IOException {
        Path file = folder.resolve(PICTURES);
        if (Files.exists(file)) {
            try (NpzFile npz = NpzFile.open(file);
                    NpyRows rows = npz.rows(ImageSource.MEMBER)) {
                if (rows.shape()[0] == count) {
                    return file;
                }
            }
        }
        try (ImageSource pictures = ImageSource.open(folder)) {
            PixelImages first = pictures.next(1);
            long[] shape = {count, first.height(), first.width(), first.channels()};
            NpzFile.writeUint8(file, ImageSource.MEMBER, shape, out -> {
                PixelImages picture = first;
                for (int image = 1; image <= count; image++) {
                    out.write(picture.toInterleavedBytes());
                    progress.accept(image / (double) count);
                    picture = image == count ? null : pictures.next(1);
                }
            });
        }
        return file;
    }

    private static Path picture(Path folder, int image) {
        return folder.resolve(String.format(Locale.ROOT, "%06d.png", image));
    }

    /** {@return the files in words} */
    String summary() {
        return TOKENS + (classes == null ? "" : ", " + CLASSES)
                + (tokenizer == null
                        ? ""
                        : ", " + picture(folder, 0).getFileName() + " to "
                                + picture(folder, tokens.rows() - 1).getFileName())
                + " in " + folder;
    }
}
