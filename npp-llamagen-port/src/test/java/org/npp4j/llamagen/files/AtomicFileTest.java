package org.npp4j.llamagen.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTest {
    @TempDir
    private Path folder;

    @Test
    void createsFoldersAndReplaces() throws Exception {
        Path file = folder.resolve("a/b c/report.json");
        AtomicFile.write(file, "old".getBytes(StandardCharsets.UTF_8));
        AtomicFile.write(file, "new".getBytes(StandardCharsets.UTF_8));
        assertEquals("new", Files.readString(file));
        assertEquals(List.of(file), files(file.getParent()));
    }

    @Test
    void contentMayCloseItsStream() throws Exception {
        Path file = folder.resolve("model.zip");
        AtomicFile.write(file, out -> {
            out.write(7);
            out.close();
        });
        assertEquals(1, Files.size(file));
    }

    @Test
    void failureLeavesTheOldFile() throws Exception {
        Path file = folder.resolve("report.json");
        Files.writeString(file, "old");
        FileSystemException e = assertThrows(
                FileSystemException.class,
                () -> AtomicFile.write(file, out -> {
                    out.write(new byte[1000]);
                    throw new IOException("No space left on device");
                }));
        assertEquals(file.toString(), e.getFile());
        assertEquals("No space left on device", e.getReason());
        assertInstanceOf(IOException.class, e.getCause());
        assertEquals("old", Files.readString(file));
        assertEquals(List.of(file), files(folder));
    }

    @Test
    void errorsLeaveTheOldFileToo() throws Exception {
        Path file = folder.resolve("report.json");
        Files.writeString(file, "old");
        assertThrows(
                OutOfMemoryError.class,
                () -> AtomicFile.write(file, out -> {
                    throw new OutOfMemoryError("test");
                }));
        assertThrows(
                IllegalStateException.class,
                () -> AtomicFile.write(file, out -> {
                    throw new IllegalStateException("test");
                }));
        assertEquals("old", Files.readString(file));
        assertEquals(List.of(file), files(folder));
    }

    @Test
    void aFolderInTheWayIsNamed() throws Exception {
        Path blocker = Files.createFile(folder.resolve("out"));
        Path file = blocker.resolve("report.json");
        FileSystemException e = assertThrows(FileSystemException.class, () -> AtomicFile.write(file, new byte[] {1}));
        assertTrue(e.getMessage().contains("report.json"), e.getMessage());
    }

    @Test
    void leftoversOfKilledProcessesGo() throws Exception {
        Path file = folder.resolve("report.json");
        AtomicFile.writeText(file, "new");
        Files.writeString(folder.resolve(".report.json.123.tmp"), "half");
        Path hidden = Files.writeString(folder.resolve(".hidden"), "a user's");
        Path other = Files.writeString(folder.resolve("notes.tmp"), "a user's");
        AtomicFile.removeLeftovers(folder);
        assertEquals(
                List.of(hidden, other, file), files(folder).stream().sorted().toList());
    }

    private static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.toList();
        }
    }
}
