package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.NpyFile.WholeNumbers;

/**
 * Codes in the published layout: {@code NAME_codes/i.npy}, int64 [1, crops, N], and {@code NAME_labels/i.npy}, int64 [1], for
 * the images i = 0, 1, .. without holes. The names of the files are read when it is opened, their content when it is asked
 * for.
 */
public final class CodeFiles implements CodeStore {
    /** Ending of the folder of codes. */
    static final String CODES = "_codes";

    /** Ending of the published folder of ten crops. */
    static final String TEN_CROP = "ten_crop";

    /** What the published folder of other crops has behind that. */
    static final String OTHER_CROPS = "_105";

    private static final String LABELS = "_labels";
    private static final String ENDING = ".npy";
    private static final int MAX_DIGITS = 9;

    private final Path codes;
    private final Path labels;
    private final int images;
    private final int crops;
    private final int tokens;
    private final CodeSetDescription description;

    private CodeFiles(Path codes, Path labels, int images, long[] shape, CodeSetDescription description) {
        this.codes = codes;
        this.labels = labels;
        this.images = images;
        this.crops = (int) shape[1];
        this.tokens = (int) shape[2];
        this.description = description;
    }

    /**
     * Opens codes.
     *
     * @param folder holds the two folders
     * @param name of the set, such as {@code imagenet256}
     * @return the codes
     * @throws FileSystemException if there are none, some are missing, or the first has a wrong shape; its reason says which
     * @throws IOException if they cannot be read
     */
    public static CodeFiles open(Path folder, String name) throws IOException {
        Path codes = folder.resolve(name + CODES);
        Path labels = folder.resolve(name + LABELS);
        for (Path part : new Path[] {codes, labels}) {
            if (!Files.isDirectory(part)) {
                throw failure(
                        part,
                        "there is no such folder. Codes and labels lie beside each other, as " + codes.getFileName()
                                + " and " + labels.getFileName());
            }
        }
        CodeSetDescription description = CodeSetDescription.find(folder)
                .filter(found -> found.name().equals(name) && !found.packed())
                .orElse(null);
        BitSet haveCodes = numbers(codes);
        BitSet haveLabels = numbers(labels);
        boolean complete = description != null && description.complete();
        int images = Math.max(Math.max(haveCodes.length(), haveLabels.length()), complete ? description.images() : 0);
        if (description != null && !complete) {
            // the image that an extraction is writing, or was when it was killed: its codes come before its label
            BitSet both = (BitSet) haveCodes.clone();
            both.and(haveLabels);
            int whole = both.nextClearBit(0);
            images = images == whole + 1 ? whole : images;
        }
        if (images == 0) {
            throw failure(codes, "it holds no codes: no files 0.npy, 1.npy, .. with labels");
        }
        requireAll(haveCodes, images, codes, haveLabels, labels);
        requireAll(haveLabels, images, labels, haveCodes, codes);
        long[] shape = read(file(codes, 0)).shape();
        if (shape.length != 3 || shape[0] != 1 || shape[1] < 1 || shape[2] < 1) {
            throw failure(
                    file(codes, 0),
                    "it has the shape " + Arrays.toString(shape) + "; codes of an image are [1, crops, tokens]");
        }
        return new CodeFiles(codes, labels, images, shape, description);
    }

    /** The numbers i of the files i.npy. */
    private static BitSet numbers(Path folder) throws IOException {
        BitSet found = new BitSet();
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder)) {
            for (Path file : files) {
                int number = number(file.getFileName().toString());
                if (number >= 0) {
                    found.set(number);
                }
            }
        } catch (DirectoryIteratorException e) {
            throw e.getCause();
        }
        return found;
    }

    /** i of i.npy, or -1. There are millions of names: no patterns. */
    private static int number(String name) {
        int digits = name.length() - ENDING.length();
        if (digits < 1 || digits > MAX_DIGITS || !name.endsWith(ENDING) || digits > 1 && name.charAt(0) == '0') {
            return -1;
        }
        int number = 0;
        for (int i = 0; i < digits; i++) {
            int digit = name.charAt(i) - '0';
            if (digit < 0 || digit > 9) {
                return -1;
            }
            number = 10 * number + digit;
        }
        return number;
    }

    private static void requireAll(BitSet have, int images, Path folder, BitSet haveOther, Path other)
            throws FileSystemException {
        int missing = images - have.cardinality();
        if (missing > 0) {
            throw failure(
                    folder,
                    missing + " of " + images + " files are missing, the first is " + have.nextClearBit(0) + ENDING
                            + "; it holds " + have.cardinality() + " files, " + other.getFileName() + " "
                            + haveOther.cardinality()
                            + ". Get the missing files, or extract the codes again into an empty folder");
        }
    }

    private static Path file(Path folder, int image) {
        return folder.resolve(image + ENDING);
    }

    @Override
    public Path path() {
        return codes;
    }

    @Override
    public int images() {
        return images;
    }

    @Override
    public int crops() {
        return crops;
    }

    @Override
    public int tokens() {
        return tokens;
    }

    @Override
    public int[] codes(int image, int crop) throws IOException {
        Objects.checkIndex(image, images);
        Objects.checkIndex(crop, crops);
        Path file = file(codes, image);
        WholeNumbers numbers = read(file);
        if (!Arrays.equals(numbers.shape(), new long[] {1, crops, tokens})) {
            throw failure(
                    file,
                    "it has the shape " + Arrays.toString(numbers.shape()) + ", but "
                            + file(codes, 0).getFileName() + " has [1, " + crops + ", " + tokens
                            + "]; all images of a set have the same");
        }
        int[] ids = new int[tokens];
        for (int i = 0; i < tokens; i++) {
            ids[i] = requireId(numbers.values()[crop * tokens + i], file);
        }
        return ids;
    }

    @Override
    public int label(int image) throws IOException {
        Objects.checkIndex(image, images);
        Path file = file(labels, image);
        WholeNumbers numbers = read(file);
        if (numbers.values().length != 1) {
            throw failure(
                    file, "it has the shape " + Arrays.toString(numbers.shape()) + "; the label of an image is [1]");
        }
        return requireId(numbers.values()[0], file);
    }

    @Override
    public String place(int image) {
        return file(codes, image).toString();
    }

    @Override
    public Optional<CodeSetDescription> description() {
        return Optional.ofNullable(description);
    }

    @Override
    public OptionalInt vocabulary() {
        return description == null ? OptionalInt.empty() : OptionalInt.of(description.vocabulary());
    }

    @Override
    public void close() {
        // nothing is open between calls
    }

    private static int requireId(long value, Path file) throws FileSystemException {
        if (value < 0 || value > Integer.MAX_VALUE) {
            throw failure(file, "it holds " + value + "; codes and labels are numbered from 0");
        }
        return (int) value;
    }

    private static WholeNumbers read(Path file) throws IOException {
        return NpyFile.readWholeNumbers(file);
    }

    private static FileSystemException failure(Path path, String reason) {
        return new FileSystemException(path.toString(), null, reason);
    }

    /** Writes the layout. An image counts when both of its files are there; the label comes last. */
    static final class Writer implements CodeWriter {
        private final Path codes;
        private final Path labels;
        private int images;

        private Writer(Path codes, Path labels, int images) {
            this.codes = codes;
            this.labels = labels;
            this.images = images;
        }

        /**
         * Makes the folders, or goes on behind the images that have both files, and removes what a process that was killed
         * left in the middle of a file.
         */
        static Writer open(Path folder, String name) throws IOException {
            Path codes = Files.createDirectories(folder.resolve(name + CODES));
            Path labels = Files.createDirectories(folder.resolve(name + LABELS));
            AtomicFile.removeLeftovers(codes);
            AtomicFile.removeLeftovers(labels);
            BitSet both = numbers(codes);
            both.and(numbers(labels));
            return new Writer(codes, labels, both.nextClearBit(0));
        }

        @Override
        public int images() {
            return images;
        }

        @Override
        public void add(int[][] codesOfCrops, int label) throws IOException {
            int[] all = Arrays.stream(codesOfCrops).flatMapToInt(Arrays::stream).toArray();
            NpyFile.writeInt64(file(codes, images), all, 1, codesOfCrops.length, codesOfCrops[0].length);
            NpyFile.writeInt64(file(labels, images), new int[] {label});
            images++;
        }

        /** Every file is forced when it is written. */
        @Override
        public void force() {
            // nothing is left to do
        }

        @Override
        public void close() {
            // nothing is open between calls
        }
    }
}
