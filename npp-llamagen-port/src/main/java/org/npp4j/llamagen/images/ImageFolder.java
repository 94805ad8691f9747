package org.npp4j.llamagen.images;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystemLoopException;
import java.nio.file.FileVisitOption;
import java.nio.file.FileVisitResult;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.SimpleFileVisitor;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Objects;

/**
 * Pictures in class folders: which there are, their order and their classes. Immutable; holds names, no pixels.
 *
 * <p>Every folder in the root is a class, numbered from 0 in the order of the names. The pictures of a class are all files in
 * it, however deep and through links, whose name ends in .jpg, .jpeg, .png, .ppm, .bmp, .pgm, .tif, .tiff or .webp, upper or
 * lower case. They are ordered by the path of their folder, then by their name. Names are ordered by Unicode code point. So
 * image i is the same as in torchvision's {@code ImageFolder}, and files named by i can be mixed with those of the published
 * pipeline.
 */
public final class ImageFolder {
    private static final List<String> ENDINGS =
            List.of(".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp");

    private final Path root;
    private final List<String> classNames;
    /** Paths below the class folder, with slashes: much smaller than path objects when there are a million. */
    private final String[] files;
    /** First image of each class, and the count at the end. */
    private final int[] starts;

    private ImageFolder(Path root, List<String> classNames, String[] files, int[] starts) {
        this.root = root;
        this.classNames = classNames;
        this.files = files;
        this.starts = starts;
    }

    /**
     * Lists a folder.
     *
     * @param root a folder of class folders; one class is enough
     * @return its pictures
     * @throws NoSuchFileException if there is no such folder
     * @throws FileSystemException if there is no class folder, a class folder holds no picture, links go in a circle, or a
     *     name does not fit the character set of the system; it names the folder or file, and its reason says which
     * @throws IOException if a folder cannot be read
     */
    public static ImageFolder list(Path root) throws IOException {
        List<String> classNames = classNames(root);
        List<String> files = new ArrayList<>();
        List<String> empty = new ArrayList<>();
        int[] starts = new int[classNames.size() + 1];
        for (int c = 0; c < classNames.size(); c++) {
            files.addAll(pictures(root.resolve(classNames.get(c))));
            starts[c + 1] = files.size();
            if (starts[c + 1] == starts[c]) {
                empty.add(classNames.get(c));
            }
        }
        if (!empty.isEmpty()) {
            String names = String.join(", ", empty.subList(0, Math.min(5, empty.size())));
            throw failure(
                    root,
                    "no pictures for " + empty.size() + " of its " + classNames.size() + " classes: " + names
                            + (empty.size() > 5 ? ", .." : "") + ". Every folder in it is a class and needs a file that"
                            + " ends in one of " + String.join(" ", ENDINGS) + "; fill or remove those without");
        }
        return new ImageFolder(root, List.copyOf(classNames), files.toArray(new String[0]), starts);
    }

    private static List<String> classNames(Path root) throws IOException {
        if (!Files.exists(root)) {
            throw new NoSuchFileException(root.toString());
        }
        if (!Files.isDirectory(root)) {
            throw failure(root, "it is a file. Name a folder that holds one folder of pictures for each class");
        }
        List<String> names = new ArrayList<>();
        try (DirectoryStream<Path> entries = Files.newDirectoryStream(root)) {
            for (Path entry : entries) {
                if (Files.isDirectory(entry)) {
                    names.add(name(entry));
                }
            }
        } catch (DirectoryIteratorException e) {
            throw e.getCause();
        }
        if (names.isEmpty()) {
            throw failure(
                    root,
                    "it holds no class folders. Put the pictures into one folder for each class, also if there is but"
                            + " one class");
        }
        names.sort(BY_CODE_POINT);
        return names;
    }

    /** The last part of a path as text that leads back to it. */
    private static String name(Path path) throws IOException {
        String name = path.getFileName().toString();
        try {
            if (path.resolveSibling(name).equals(path)) {
                return name;
            }
        } catch (InvalidPathException e) {
            // told below
        }
        throw failure(
                path,
                "its name cannot be read with the character set " + System.getProperty("sun.jnu.encoding")
                        + ". Set the environment variable LC_ALL to C.UTF-8, or rename it");
    }

    /** The pictures of a class in order, as paths below its folder. */
    private static List<String> pictures(Path folder) throws IOException {
        List<String[]> found = new ArrayList<>();
        Files.walkFileTree(
                folder, EnumSet.of(FileVisitOption.FOLLOW_LINKS), Integer.MAX_VALUE, new SimpleFileVisitor<>() {
                    @Override
                    public FileVisitResult preVisitDirectory(Path directory, BasicFileAttributes attributes)
                            throws IOException {
                        name(directory);
                        return FileVisitResult.CONTINUE;
                    }

                    @Override
                    public FileVisitResult visitFile(Path file, BasicFileAttributes attributes) throws IOException {
                        if (isPicture(file.getFileName().toString())) {
                            found.add(new String[] {slashed(folder.relativize(file.getParent())), name(file)});
                        }
                        return FileVisitResult.CONTINUE;
                    }

                    @Override
                    public FileVisitResult visitFileFailed(Path file, IOException e) throws IOException {
                        if (e instanceof FileSystemLoopException) {
                            throw failure(file, "it is a link to a folder that holds it. Remove the link");
                        }
                        throw e;
                    }
                });
        found.sort(Comparator.<String[], String>comparing(entry -> entry[0], BY_CODE_POINT)
                .thenComparing(entry -> entry[1], BY_CODE_POINT));
        return found.stream()
                .map(entry -> entry[0].isEmpty() ? entry[1] : entry[0] + "/" + entry[1])
                .toList();
    }

    private static String slashed(Path path) {
        return path.toString().replace(path.getFileSystem().getSeparator(), "/");
    }

    private static boolean isPicture(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        return ENDINGS.stream().anyMatch(lower::endsWith);
    }

    /** UTF-16 puts characters above U+FFFF before U+E000 to U+FFFF; code points do not. */
    static final Comparator<String> BY_CODE_POINT = (a, b) -> {
        int same = 0;
        int length = Math.min(a.length(), b.length());
        while (same < length && a.charAt(same) == b.charAt(same)) {
            same++;
        }
        if (same == length) {
            return Integer.compare(a.length(), b.length());
        }
        char x = a.charAt(same);
        char y = b.charAt(same);
        boolean differ = Character.isSurrogate(x) != Character.isSurrogate(y);
        return differ ? (Character.isSurrogate(x) ? 1 : -1) : Character.compare(x, y);
    };

    /** {@return the folder that was listed} */
    public Path root() {
        return root;
    }

    /** {@return the names of the classes; the class of index i is the i-th} */
    public List<String> classNames() {
        return classNames;
    }

    /** {@return the number of pictures} */
    public int size() {
        return files.length;
    }

    /**
     * The file of a picture.
     *
     * @param image 0 to {@link #size()} - 1
     * @return its path
     * @throws IndexOutOfBoundsException if there is no such picture
     */
    public Path file(int image) {
        return root.resolve(classNames.get(label(image))).resolve(files[image]);
    }

    /**
     * The class of a picture.
     *
     * @param image 0 to {@link #size()} - 1
     * @return its class, from 0
     * @throws IndexOutOfBoundsException if there is no such picture
     */
    public int label(int image) {
        Objects.checkIndex(image, files.length);
        int found = Arrays.binarySearch(starts, image);
        return found >= 0 ? found : -found - 2;
    }

    /**
     * How many pictures a class has.
     *
     * @param label the class, from 0
     * @return at least 1
     * @throws IndexOutOfBoundsException if there is no such class
     */
    public int count(int label) {
        Objects.checkIndex(label, classNames.size());
        return starts[label + 1] - starts[label];
    }

    private static FileSystemException failure(Path path, String reason) {
        return new FileSystemException(path.toString(), null, reason);
    }
}
