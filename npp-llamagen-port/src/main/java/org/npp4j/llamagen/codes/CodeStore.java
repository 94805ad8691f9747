package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.npp4j.layers.TokenGrid;

/**
 * Token codes of an image set, with one class for each image and several crops of it. Immutable; safe for several threads.
 *
 * <p>Two layouts: the published one, two .npy files for each image ({@link CodeFiles}), and one file for all ({@link
 * PackedCodes}).
 */
public interface CodeStore extends AutoCloseable {
    /** {@return where it is} */
    Path path();

    /** {@return the number of images} */
    int images();

    /** {@return the crops of each image} */
    int crops();

    /** {@return N, the tokens of a crop} */
    int tokens();

    /**
     * Reads the codes of a crop.
     *
     * @param image from 0
     * @param crop from 0
     * @return ids [N], none negative
     * @throws IndexOutOfBoundsException if there is no such image or crop
     * @throws IOException if they cannot be read or are damaged; it names the file
     */
    int[] codes(int image, int crop) throws IOException;

    /**
     * Reads the class of an image.
     *
     * @param image from 0
     * @return the class, from 0
     * @throws IndexOutOfBoundsException if there is no such image
     * @throws IOException if it cannot be read or is damaged; it names the file
     */
    int label(int image) throws IOException;

    /**
     * Where the codes of an image are, for messages.
     *
     * @param image from 0
     * @return a file, or a place in one
     */
    String place(int image);

    /** {@return how the codes were made, if {@value CodeSetDescription#FILE} lies beside them} */
    Optional<CodeSetDescription> description();

    /** {@return V, if it is known: codes run from 0 to V - 1} */
    OptionalInt vocabulary();

    /** {@return the number of classes, if it is known: labels run from 0} */
    default OptionalInt classes() {
        return description()
                .map(known -> OptionalInt.of(known.classNames().size()))
                .orElse(OptionalInt.empty());
    }

    /**
     * The grid of the tokens: as described, else square.
     *
     * @return a grid of {@link #tokens()} tokens
     * @throws IllegalStateException if nothing describes the codes and their number is not a square
     */
    default TokenGrid grid() {
        if (description().isPresent()) {
            return description().get().grid();
        }
        int side = (int) Math.round(Math.sqrt(tokens()));
        if (side * side != tokens()) {
            throw new IllegalStateException(path() + " holds " + tokens()
                    + " tokens of each crop, which make no square, and no " + CodeSetDescription.FILE
                    + " says which grid they make. Extract the codes with npp extract-codes");
        }
        return TokenGrid.of(side, side);
    }

    /** Frees what is open. */
    @Override
    void close();

    /**
     * Opens the codes in a folder, or a packed file.
     *
     * @param path a packed file; a folder that holds one; or a folder with {@code NAME_codes} and {@code NAME_labels}
     * @return the codes
     * @throws NoSuchFileException if there is nothing
     * @throws FileSystemException if it holds no codes, those of several sets, or codes with holes; its reason says which
     * @throws IOException if it cannot be read
     */
    static CodeStore open(Path path) throws IOException {
        return open(path, null);
    }

    /**
     * Opens the codes in a folder that may hold those of several sets.
     *
     * @param path as {@link #open(Path)}
     * @param name the set, such as {@code imagenet256}: a folder's {@code NAME_codes} and {@code NAME_labels}, or {@code
     *     NAME.codes}; null for the only one
     * @return the codes
     * @throws NoSuchFileException if there is nothing
     * @throws FileSystemException if it holds no codes, those of several sets, or codes with holes; its reason says which
     * @throws IOException if it cannot be read
     */
    static CodeStore open(Path path, String name) throws IOException {
        if (!Files.exists(path)) {
            throw new NoSuchFileException(path.toString());
        }
        if (Files.isRegularFile(path)) {
            return PackedCodes.open(path);
        }
        List<Path> sets = sets(path);
        if (name != null) {
            sets.removeIf(set -> !name.equals(name(set)));
        }
        if (sets.size() != 1) {
            String found =
                    sets.stream().map(set -> set.getFileName().toString()).collect(Collectors.joining(", "));
            throw new FileSystemException(
                    path.toString(),
                    null,
                    sets.isEmpty()
                            ? "it holds no codes" + (name == null ? "" : " of " + name)
                                    + ". Codes are a folder NAME_codes beside NAME_labels, or a file NAME.codes;"
                                    + " npp extract-codes makes them"
                            : "it holds several sets of codes: " + found + ". Keep each in a folder of its own");
        }
        return Files.isDirectory(sets.get(0)) ? CodeFiles.open(path, name(sets.get(0))) : PackedCodes.open(sets.get(0));
    }

    /**
     * Where other crops of the same images are, by the published names: beside {@code NAME_ten_crop} in {@code
     * NAME_ten_crop_105}.
     *
     * @param path as {@link #open(Path)}
     * @return the folder, or the file of the same name in it; nothing if there is none
     */
    static Optional<Path> otherCrops(Path path) {
        Path absolute = path.toAbsolutePath().normalize();
        boolean isFile = Files.isRegularFile(absolute);
        Path folder = isFile ? absolute.getParent() : absolute;
        if (folder == null
                || folder.getFileName() == null
                || !folder.getFileName().toString().endsWith(CodeFiles.TEN_CROP)) {
            return Optional.empty();
        }
        Path other = folder.resolveSibling(folder.getFileName() + CodeFiles.OTHER_CROPS);
        return Optional.of(isFile ? other.resolve(absolute.getFileName()) : other)
                .filter(Files::exists);
    }

    /** The folders of codes and the packed files in a folder, by name. */
    private static List<Path> sets(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.filter(entry -> {
                        String name = entry.getFileName().toString();
                        return name.endsWith(CodeFiles.CODES) && Files.isDirectory(entry)
                                || name.endsWith(PackedCodes.ENDING) && Files.isRegularFile(entry);
                    })
                    .sorted()
                    .collect(Collectors.toCollection(ArrayList::new));
        }
    }

    /** Both endings are of the same length. */
    private static String name(Path set) {
        String name = set.getFileName().toString();
        return name.substring(0, name.length() - CodeFiles.CODES.length());
    }
}
