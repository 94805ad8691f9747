package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class ImageFolderTest {
    @TempDir
    private Path root;

    @Test
    void classesAndPicturesAreSorted() throws IOException {
        touch("b/2.jpg", "b/10.jpg", "b/1.PNG", "B/x.jpeg", "a/z.webp", ".hidden/q.tiff", "_/1.bmp", "10/a.pgm");
        touch("a/notes.txt", "a/z.webp.part", "a/jpg", "loose.jpg");
        Files.createDirectories(root.resolve("a/nested.jpg"));
        ImageFolder folder = ImageFolder.list(root);
        assertEquals(List.of(".hidden", "10", "B", "_", "a", "b"), folder.classNames());
        assertEquals(
                List.of(
                        ".hidden/q.tiff",
                        "10/a.pgm",
                        "B/x.jpeg",
                        "_/1.bmp",
                        "a/z.webp",
                        "b/1.PNG",
                        "b/10.jpg",
                        "b/2.jpg"),
                files(folder));
        assertEquals(List.of(0, 1, 2, 3, 4, 5, 5, 5), labels(folder));
        assertEquals(3, folder.count(5));
        assertEquals(8, folder.size());
        assertEquals(root, folder.root());
    }

    /** By the path of the folder, in which "-" comes before "/", then by the name; a folder before those in it. */
    @Test
    void nestedPicturesAreInTheOrderOfTheirFolders() throws IOException {
        touch("c/m.jpg", "c/s/t/1.jpg", "c/s/2.jpg", "c/s-1/3.jpg", "c/s/z.jpg", "c/zz.jpg", "c/S/4.jpg", "c/s0/5.jpg");
        assertEquals(
                List.of(
                        "c/m.jpg",
                        "c/zz.jpg",
                        "c/S/4.jpg",
                        "c/s/2.jpg",
                        "c/s/z.jpg",
                        "c/s-1/3.jpg",
                        "c/s/t/1.jpg",
                        "c/s0/5.jpg"),
                files(ImageFolder.list(root)));
    }

    @Test
    void namesAreOrderedByCodePoint() {
        List<String> sorted = List.of(
                "",
                "A",
                "B",
                "Z",
                "a",
                "ab",
                "b",
                "\u00e4",
                "\ud7ff",
                "\ue000",
                "\uff5e",
                "\ud83d\ude00",
                "\ud83d\ude01",
                "\udbff\udfff");
        for (int i = 0; i < sorted.size(); i++) {
            for (int j = 0; j < sorted.size(); j++) {
                int expected = Integer.compare(i, j);
                assertEquals(
                        expected,
                        Integer.signum(ImageFolder.BY_CODE_POINT.compare(sorted.get(i), sorted.get(j))),
                        i + " and " + j);
            }
        }
    }

    @Test
    void namesInOtherScripts() throws IOException {
        touch("\u00e4/1.jpg", "\uff5e/2.jpg", "\ud83d\ude00/3.jpg", "z/4.jpg");
        assertEquals(
                List.of("z", "\u00e4", "\uff5e", "\ud83d\ude00"),
                ImageFolder.list(root).classNames());
    }

    /** A name in another character set, as old archives leave them. */
    @Test
    void aNameThatIsNoTextIsRefused() throws Exception {
        touch("a/1.jpg");
        assumeTrue(Files.isExecutable(Path.of("/bin/sh")), "needs a POSIX shell");
        Process shell = new ProcessBuilder("/bin/sh", "-c", "touch \"$(printf 'a/\\377.jpg')\"")
                .directory(root.toFile())
                .inheritIO()
                .start();
        assumeTrue(shell.waitFor() == 0, "needs a file system with any name");
        fails("LC_ALL", root);
    }

    @Test
    void linksAreFollowed() throws IOException {
        Path elsewhere = Files.createDirectories(root.resolve("elsewhere/deep"));
        Path set = Files.createDirectories(root.resolve("set"));
        Files.createFile(elsewhere.resolve("1.jpg"));
        Files.createDirectories(set.resolve("b"));
        link(set.resolve("a"), elsewhere);
        link(set.resolve("b/more"), elsewhere);
        link(set.resolve("b/2.jpg"), elsewhere.resolve("1.jpg"));
        link(set.resolve("b/gone.jpg"), elsewhere.resolve("none.jpg"));
        ImageFolder folder = ImageFolder.list(set);
        assertEquals(
                List.of("a/1.jpg", "b/2.jpg", "b/gone.jpg", "b/more/1.jpg"),
                IntStream.range(0, folder.size())
                        .mapToObj(i -> slashed(set.relativize(folder.file(i))))
                        .toList());

        link(set.resolve("b/round"), set.resolve("b"));
        fails("link to a folder that holds it", set);
    }

    @Test
    void oneClassIsEnough() throws IOException {
        touch("only/1.jpg");
        ImageFolder folder = ImageFolder.list(root);
        assertEquals(1, folder.classNames().size());
        assertEquals(0, folder.label(0));
        assertThrows(IndexOutOfBoundsException.class, () -> folder.label(1));
        assertThrows(IndexOutOfBoundsException.class, () -> folder.file(-1));
        assertThrows(IndexOutOfBoundsException.class, () -> folder.count(1));
    }

    @Test
    void namesWhatIsMissing() throws IOException {
        fails("no class folders", root);
        touch("loose.jpg");
        fails("no class folders", root);
        fails("it is a file", root.resolve("loose.jpg"));
        assertThrows(NoSuchFileException.class, () -> ImageFolder.list(root.resolve("none")));
        touch("a/1.jpg", "b/readme.txt", "c/d/readme.txt");
        fails("no pictures for 2 of its 3 classes: b, c.", root);
        touch("e/x", "f/x", "g/x", "h/x");
        fails("no pictures for 6 of its 7 classes: b, c, e, f, g, ..", root);
    }

    @Test
    void photosAreListedAsFolders() throws IOException {
        Path photos = GoldenImages.shared("data/photos/small");
        assumeTrue(Files.isDirectory(photos), "needs the photos in " + photos);
        ImageFolder folder = ImageFolder.list(photos);
        assertEquals(10, folder.classNames().size());
        assertEquals(600, folder.size());
        for (int i = 0; i < folder.size(); i++) {
            assertEquals(
                    folder.classNames().get(folder.label(i)),
                    folder.file(i).getParent().getFileName().toString());
        }
        try (Stream<Path> names = Files.list(photos.resolve(folder.classNames().get(0)))) {
            assertEquals(folder.count(0), names.count());
        }
    }

    private void touch(String... files) throws IOException {
        for (String file : files) {
            Path path = root.resolve(file);
            Files.createDirectories(path.getParent());
            Files.createFile(path);
        }
    }

    private static void link(Path from, Path to) throws IOException {
        try {
            Files.createSymbolicLink(from, to);
        } catch (FileSystemException e) {
            assumeFalse(OS.WINDOWS.isCurrentOs(), "Windows makes links only for users with that right: " + e);
            throw e;
        }
    }

    private List<String> files(ImageFolder folder) {
        List<String> files = new ArrayList<>();
        for (int i = 0; i < folder.size(); i++) {
            files.add(slashed(root.relativize(folder.file(i))));
        }
        return files;
    }

    private static String slashed(Path path) {
        return path.toString().replace('\\', '/');
    }

    private static List<Integer> labels(ImageFolder folder) {
        return IntStream.range(0, folder.size()).mapToObj(folder::label).toList();
    }

    private static void fails(String reason, Path folder) {
        FileSystemException e = assertThrows(FileSystemException.class, () -> ImageFolder.list(folder));
        assertTrue(e.getReason().contains(reason), e.getReason());
    }
}
