package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.SortedMap;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;

/**
 * The folder of a run of drawing: tokens.npy [images, N], classes.npy [images], a PNG for each image, and settings.txt.
 *
 * <p>It holds the images that are done, whole, at any time. A run with the same settings goes on behind them; one with
 * others begins anew and removes what is there.
 */
final class SampleFiles {
    private static final String TOKENS = "tokens.npy";
    private static final String CLASSES = "classes.npy";
    private static final String SETTINGS = "settings.txt";

    private final Path folder;
    private final ImageTokenizer tokenizer;
    private int[][] images;

    private SampleFiles(Path folder, ImageTokenizer tokenizer, int[][] images) {
        this.folder = folder;
        this.tokenizer = tokenizer;
        this.images = images;
    }

    /**
     * Opens a folder.
     *
     * @param folder made if it does not exist
     * @param tokenizer makes the pictures; null for none
     * @param settings everything that decides the images, one a line
     * @param tokens N
     * @return the folder with what an earlier run with these settings has left
     * @throws IOException if it cannot be read or written
     */
    static SampleFiles open(Path folder, ImageTokenizer tokenizer, SortedMap<String, String> settings, int tokens)
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
            AtomicFile.writeText(file, text.toString());
        }
        Path done = folder.resolve(TOKENS);
        return new SampleFiles(folder, tokenizer, Files.exists(done) ? read(done, tokens) : new int[0][]);
    }

    /** Else those of a longer run would stand beside the new ones as if they belonged to them. */
    private static void removePictures(Path folder) throws IOException {
        Files.deleteIfExists(folder.resolve(CLASSES));
        int image = 0;
        while (Files.deleteIfExists(picture(folder, image))) {
            image++;
        }
    }

    private static int[][] read(Path file, int tokens) throws IOException {
        INDArray array = NpyFile.read(file);
        if (array.rank() != 2 || array.size(1) != tokens) {
            throw new AppException(file + " does not hold images of " + tokens + " tokens, but "
                    + Arrays.toString(array.shape()) + ". Remove it, or choose another folder with --out");
        }
        return array.castTo(DataType.INT32).toIntMatrix();
    }

    /** {@return how many images are done} */
    int count() {
        return images.length;
    }

    /**
     * Adds images. They are on disk when this returns.
     *
     * @param more [count][N]
     * @param classes of all images so far; null for none
     * @throws IOException if they cannot be written
     */
    void add(int[][] more, int[] classes) throws IOException {
        int first = images.length;
        if (tokenizer != null) {
            PngSheet sheet = new PngSheet.Builder().columns(1).gap(0).build();
            PixelImages pictures = tokenizer.decode(more);
            for (int i = 0; i < more.length; i++) {
                sheet.write(picture(folder, first + i), pictures.select(i));
            }
        }
        images = Arrays.copyOf(images, first + more.length);
        System.arraycopy(more, 0, images, first, more.length);
        if (classes != null) {
            NpyFile.writeInt64(folder.resolve(CLASSES), classes);
        }
        // last: what it has is done
        NpyFile.writeInt64(folder.resolve(TOKENS), images);
    }

    private static Path picture(Path folder, int image) {
        return folder.resolve(String.format(Locale.ROOT, "%06d.png", image));
    }

    /** {@return the files in words} */
    String summary(boolean withClasses) {
        return TOKENS + (withClasses ? ", " + CLASSES : "")
                + (tokenizer == null
                        ? ""
                        : ", " + picture(folder, 0).getFileName() + " to "
                                + picture(folder, images.length - 1).getFileName())
                + " in " + folder;
    }
}
