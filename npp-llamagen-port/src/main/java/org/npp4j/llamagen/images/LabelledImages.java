package org.npp4j.llamagen.images;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.npp4j.llamagen.files.Sha256;

/**
 * Images with one class each. Immutable.
 *
 * <p>{@link #load} reads a folder in the layout of MNIST and Fashion-MNIST: {@code train-images-idx3-ubyte},
 * {@code train-labels-idx1-ubyte}, {@code t10k-images-idx3-ubyte} and {@code t10k-labels-idx1-ubyte}, each plain or with
 * {@code .gz}.
 */
public final class LabelledImages {
    private final PixelImages images;
    private final int[] labels;
    private final int classes;

    /** The two parts of a data set. */
    public enum Split {
        /** What a model is trained on. */
        TRAIN("train"),
        /** What it is measured on. */
        TEST("t10k");

        private final String prefix;

        Split(String prefix) {
            this.prefix = prefix;
        }
    }

    /**
     * Images and their classes.
     *
     * @param images the images
     * @param labels the class of each image, from 0
     * @throws IllegalArgumentException if there are no images, the counts differ or a label is negative
     */
    public LabelledImages(PixelImages images, int[] labels) {
        if (images.count() != labels.length) {
            throw new IllegalArgumentException(
                    images.count() + " images but " + labels.length + " labels: every image needs one label");
        }
        if (labels.length == 0) {
            throw new IllegalArgumentException("There are no images; at least one is needed");
        }
        int least = Arrays.stream(labels).min().getAsInt();
        if (least < 0) {
            throw new IllegalArgumentException("Label " + least + " is negative: classes are numbered from 0");
        }
        this.images = images;
        this.labels = labels.clone();
        this.classes = Arrays.stream(labels).max().getAsInt() + 1;
    }

    /**
     * Reads one part of a data set.
     *
     * @param folder the folder with the four IDX files
     * @param split which part
     * @return the images in file order
     * @throws IOException if a file is missing, damaged, or the two files do not belong together
     */
    public static LabelledImages load(Path folder, Split split) throws IOException {
        Path imageFile = find(folder, split.prefix + "-images-idx3-ubyte");
        Path labelFile = find(folder, split.prefix + "-labels-idx1-ubyte");
        PixelImages images = IdxFile.readImages(imageFile);
        int[] labels = IdxFile.readLabels(labelFile);
        if (images.count() != labels.length) {
            throw new IOException(imageFile + " holds " + images.count() + " images but " + labelFile + " holds "
                    + labels.length + " labels. The counts must be equal: get both files from the same data set");
        }
        if (labels.length == 0) {
            throw new IOException(imageFile + " holds no images; at least one is needed");
        }
        return new LabelledImages(images, labels);
    }

    private static Path find(Path folder, String name) throws IOException {
        for (String ending : List.of(".gz", "")) {
            Path file = folder.resolve(name + ending);
            if (Files.isRegularFile(file)) {
                return file;
            }
        }
        String found = Files.isDirectory(folder) ? "does not hold" : "is no folder that could hold";
        throw new FileNotFoundException(folder + " " + found + " " + name + ".gz or " + name
                + ". Give the folder of a data set in IDX form, such as Fashion-MNIST's four files");
    }

    /** {@return the images} */
    public PixelImages images() {
        return images;
    }

    /** {@return a copy of the labels, one for each image} */
    public int[] labels() {
        return labels.clone();
    }

    /** {@return the number of images} */
    public int count() {
        return labels.length;
    }

    /** {@return the number of classes: the largest label + 1} */
    public int classes() {
        return classes;
    }

    /**
     * A balanced part: the first images of every class, in their present order.
     *
     * @param perClass images of each class, at least 1
     * @return perClass x classes images
     * @throws IllegalArgumentException if a class has fewer images
     */
    public LabelledImages firstOfEachClass(int perClass) {
        if (perClass < 1) {
            throw new IllegalArgumentException("At least 1 image of each class is needed, got " + perClass);
        }
        int[] taken = new int[classes];
        int[] selected = new int[labels.length];
        int count = 0;
        for (int i = 0; i < labels.length; i++) {
            if (taken[labels[i]] < perClass) {
                taken[labels[i]]++;
                selected[count++] = i;
            }
        }
        for (int c = 0; c < classes; c++) {
            if (taken[c] < perClass) {
                throw new IllegalArgumentException("Class " + c + " has only " + taken[c] + " images, asked for "
                        + perClass + " of each class; ask for fewer");
            }
        }
        return select(Arrays.copyOf(selected, count));
    }

    /**
     * Some of the images, in the given order.
     *
     * @param indices which ones
     * @return a copy of them
     * @throws IllegalArgumentException if there is no such image, or none is asked for
     */
    public LabelledImages select(int... indices) {
        PixelImages selected = images.select(indices);
        return new LabelledImages(
                selected, Arrays.stream(indices).map(i -> labels[i]).toArray());
    }

    /**
     * The fingerprint of the data, for reports: SHA-256 over count, channels, height, width, all pixels, then all labels
     * (sizes and labels as big-endian 32-bit integers). It does not depend on how the files were compressed.
     *
     * @return 64 hexadecimal digits
     */
    public String sha256() {
        return new Sha256()
                .add(images.count(), images.channels(), images.height(), images.width())
                .add(images.toBytes())
                .add(labels)
                .hex();
    }
}
