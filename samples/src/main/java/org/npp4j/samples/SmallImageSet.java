package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.npp4j.llamagen.images.CifarFile;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A small image set with classes, in memory.
 *
 * @param name in words
 * @param train images to train on
 * @param test images to test on; null if there are none
 */
record SmallImageSet(String name, LabelledImages train, LabelledImages test) {
    /**
     * Reads a folder.
     *
     * @param folder the four IDX files of (Fashion-)MNIST, or binary files of CIFAR-10, of which those with "test" in their
     *     names are tested on
     * @return the images
     * @throws IOException if a file cannot be read
     */
    static SmallImageSet load(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new AppException("--data must be a folder of images, but " + folder
                    + (Files.exists(folder) ? " is a file" : " does not exist"));
        }
        List<Path> cifar;
        try (Stream<Path> files = Files.list(folder)) {
            cifar = files.filter(file -> name(file).endsWith(".bin")).sorted().toList();
        }
        if (cifar.isEmpty()) {
            return new SmallImageSet(
                    folder.toString(),
                    LabelledImages.load(folder, LabelledImages.Split.TRAIN),
                    LabelledImages.load(folder, LabelledImages.Split.TEST));
        }
        LabelledImages train = cifar(
                cifar.stream().filter(file -> !name(file).contains("test")).toList());
        LabelledImages test =
                cifar(cifar.stream().filter(file -> name(file).contains("test")).toList());
        if (train == null) {
            throw new AppException("The folder of --data has only test files of CIFAR-10 (names with \"test\")");
        }
        return new SmallImageSet(folder.toString(), train, test);
    }

    /**
     * Reads the images that come along with the apps.
     *
     * @return the images
     * @throws IOException if they cannot be read
     */
    static SmallImageSet shipped() throws IOException {
        return new SmallImageSet(
                "Fashion-MNIST, balanced subset",
                ShippedImages.load(LabelledImages.Split.TRAIN),
                ShippedImages.load(LabelledImages.Split.TEST));
    }

    private static String name(Path file) {
        return file.getFileName().toString().toLowerCase(Locale.ROOT);
    }

    private static LabelledImages cifar(List<Path> files) throws IOException {
        if (files.isEmpty()) {
            return null;
        }
        List<PixelImages> images = new ArrayList<>();
        List<int[]> labels = new ArrayList<>();
        for (Path file : files) {
            LabelledImages part = CifarFile.read(file);
            images.add(part.images());
            labels.add(part.labels());
        }
        return new LabelledImages(
                TokenizerImages.concatenated(images),
                labels.stream().flatMapToInt(Arrays::stream).toArray());
    }
}
