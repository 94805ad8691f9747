package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTest {
    @TempDir
    Path folder;

    @Test
    void aFullDiskLeavesTheOldFile() throws IOException {
        Path file = folder.resolve("file");
        AtomicFile.write(file, out -> out.write(new byte[] {1, 2, 3}));
        IOException failure = assertThrows(
                IOException.class,
                () -> AtomicFile.write(file, out -> {
                    out.write(new byte[200_000]);
                    throw new IOException("No space left on device");
                }));
        assertTrue(failure.getMessage().contains(file.toString()), failure.getMessage());
        assertTrue(failure.getMessage().contains("No space left on device"), failure.getMessage());
        assertEquals(3, Files.size(file));
        assertEquals(List.of("file"), names());
    }

    @Test
    void aFailureLeavesNothingNew() throws IOException {
        assertThrows(
                IllegalStateException.class,
                () -> AtomicFile.write(folder.resolve("file"), out -> {
                    out.write(1);
                    throw new IllegalStateException("broken content");
                }));
        assertEquals(List.of(), names());
    }

    @Test
    void aFileInPlaceOfTheFolder() throws IOException {
        Files.write(folder.resolve("file"), new byte[1]);
        IOException failure = assertThrows(
                IOException.class, () -> AtomicFile.write(folder.resolve("file").resolve("inner"), out -> {}));
        assertTrue(failure.getMessage().startsWith("Cannot write"), failure.getMessage());
    }

    private List<String> names() throws IOException {
        try (var files = Files.list(folder)) {
            return files.map(file -> file.getFileName().toString()).collect(Collectors.toList());
        }
    }
}
