package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.npp4j.llamagen.images.CifarFile;
import org.npp4j.llamagen.images.ImageCrops;
import org.npp4j.llamagen.images.ImageFile;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;

/**
 * Images that a tokenizer is trained and tested on, all of one size, in memory.
 *
 * @param train images to train on
 * @param test images to test on
 */
record TokenizerImages(PixelImages train, PixelImages test) {
    /** Of pictures, which come without a split, each so many-th is a test image. */
    private static final int TEST_PERIOD = 20;

    private static final List<String> PICTURES = List.of(".png", ".jpg", ".jpeg");

    /**
     * Reads a folder: the four IDX files of MNIST or Fashion-MNIST, binary files of CIFAR-10, or pictures, in class folders
     * or not.
     *
     * @param folder the folder
     * @param side of the images; others are resized and cropped to it. null for that of the data, which pictures have not
     * @param skipped told of every picture that cannot be read
     * @return the images
     * @throws IOException if a file cannot be read
     */
    static TokenizerImages load(Path folder, Integer side, Consumer<String> skipped) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new AppException("--data must be a folder of images, but " + folder
                    + (Files.exists(folder) ? " is a file" : " does not exist"));
        }
        List<Path> files = files(folder);
        TokenizerImages images;
        if (files.stream().anyMatch(file -> name(file).startsWith("train-images-idx3-ubyte"))) {
            images = new TokenizerImages(
                    LabelledImages.load(folder, LabelledImages.Split.TRAIN).images(),
                    LabelledImages.load(folder, LabelledImages.Split.TEST).images());
        } else if (files.stream().anyMatch(file -> name(file).endsWith(".bin"))) {
            images = cifar(files);
        } else {
            images = pictures(folder, files, side, skipped);
        }
        return side == null ? images : images.resized(side);
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> found = Files.list(folder)) {
            return found.filter(Files::isRegularFile).sorted().toList();
        }
    }

    private static String name(Path file) {
        return file.getFileName().toString().toLowerCase(Locale.ROOT);
    }

    private static TokenizerImages cifar(List<Path> files) throws IOException {
        List<PixelImages> train = new ArrayList<>();
        List<PixelImages> test = new ArrayList<>();
        for (Path file : files) {
            if (name(file).endsWith(".bin")) {
                (name(file).contains("test") ? test : train)
                        .add(CifarFile.read(file).images());
            }
        }
        if (train.isEmpty()) {
            throw new AppException("The folder of --data has only test files of CIFAR-10 (names with \"test\")");
        }
        PixelImages all = concatenated(train);
        return test.isEmpty() ? split(all) : new TokenizerImages(all, concatenated(test));
    }

    private static TokenizerImages pictures(Path folder, List<Path> files, Integer side, Consumer<String> skipped)
            throws IOException {
        List<Path> pictures = files.stream()
                .filter(file -> PICTURES.stream().anyMatch(name(file)::endsWith))
                .toList();
        if (pictures.isEmpty()) {
            ImageFolder classes = ImageFolder.list(folder);
            pictures =
                    IntStream.range(0, classes.size()).mapToObj(classes::file).toList();
        }
        if (side == null) {
            throw new AppException("Pictures differ in size: give the side to crop them to, --image-size");
        }
        List<PixelImages> images = new ArrayList<>();
        for (Path picture : pictures) {
            try {
                images.add(ImageCrops.centreCrop(ImageFile.read(picture), side));
            } catch (IOException e) {
                skipped.accept(e.getMessage());
            }
        }
        if (images.size() < 2) {
            throw new AppException(folder + " holds " + images.size()
                    + " pictures that can be read; at least 2 are needed, one of them to test on");
        }
        return split(concatenated(images));
    }

    private static TokenizerImages split(PixelImages all) {
        int last = all.count() - 1;
        return new TokenizerImages(
                all.select(IntStream.rangeClosed(0, last)
                        .filter(i -> !isTest(i, last))
                        .toArray()),
                all.select(IntStream.rangeClosed(0, last)
                        .filter(i -> isTest(i, last))
                        .toArray()));
    }

    private static boolean isTest(int image, int last) {
        return image % TEST_PERIOD == TEST_PERIOD - 1 || last < TEST_PERIOD - 1 && image == last;
    }

    /** {@return all images, one part behind the other} */
    static PixelImages concatenated(List<PixelImages> parts) {
        PixelImages first = parts.get(0);
        long bytes = parts.stream()
                .mapToLong(part -> (long) part.count() * part.bytesPerImage())
                .sum();
        if (bytes > Integer.MAX_VALUE - 8) {
            throw new AppException("The images have " + bytes + " bytes; at most 2 GiB can be trained on. Give fewer"
                    + " images or a smaller --image-size");
        }
        byte[] pixels = new byte[(int) bytes];
        int count = 0;
        for (PixelImages part : parts) {
            System.arraycopy(
                    part.toBytes(), 0, pixels, count * first.bytesPerImage(), part.count() * part.bytesPerImage());
            count += part.count();
        }
        return new PixelImages(count, first.channels(), first.height(), first.width(), pixels);
    }

    private TokenizerImages resized(int side) {
        return train.height() == side && train.width() == side
                ? this
                : new TokenizerImages(ImageCrops.centreCrop(train, side), ImageCrops.centreCrop(test, side));
    }
}
