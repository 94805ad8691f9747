package org.npp4j.llamagen.files;

import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.DirectoryStream;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * Writes a file whole or not at all: into a temporary file beside it, forced to disk, then renamed over it. Whoever
 * reads the file sees the old content or the new one, also after a crash, a full disk or a kill.
 */
public final class AtomicFile {
    private static final String TEMPORARY = ".tmp";
    private static final int BUFFER = 1 << 16;

    private AtomicFile() {}

    /** What writes the content. */
    @FunctionalInterface
    public interface Content {
        /**
         * Writes the whole content.
         *
         * @param out where to; may be closed
         * @throws IOException if it cannot be written
         */
        void writeTo(OutputStream out) throws IOException;
    }

    /**
     * Replaces a file, or creates it together with its folders.
     *
     * @param target the file
     * @param content what to write
     * @throws FileSystemException if it cannot be written; it names the file and keeps the cause. The old file is then
     *     as it was, and no temporary file is left
     */
    public static void write(Path target, Content content) throws FileSystemException {
        Path file = target.toAbsolutePath();
        Path temporary = null;
        try {
            Path folder = Files.createDirectories(file.getParent());
            temporary = folder.resolve(
                    "." + file.getFileName() + "." + ProcessHandle.current().pid() + TEMPORARY);
            try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(temporary), BUFFER)) {
                content.writeTo(out);
            }
            // Opened anew, because the content may have closed its stream.
            try (FileChannel channel = FileChannel.open(temporary, StandardOpenOption.WRITE)) {
                channel.force(true);
            }
            rename(temporary, file);
            forceFolder(folder);
        } catch (IOException | RuntimeException | Error e) {
            deleteQuietly(temporary, e);
            if (e instanceof IOException) {
                throw failure(target, (IOException) e);
            }
            if (e instanceof Error) {
                throw (Error) e;
            }
            throw (RuntimeException) e;
        }
    }

    /**
     * Replaces a file by these bytes.
     *
     * @param target the file
     * @param content its bytes
     * @throws FileSystemException if it cannot be written; see {@link #write(Path, Content)}
     */
    public static void write(Path target, byte[] content) throws FileSystemException {
        write(target, out -> out.write(content));
    }

    /**
     * Replaces a file by this text in UTF-8.
     *
     * @param target the file
     * @param content its text
     * @throws FileSystemException if it cannot be written; see {@link #write(Path, Content)}
     */
    public static void writeText(Path target, String content) throws FileSystemException {
        write(target, content.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Removes the temporary files that processes which were killed while writing have left in a folder.
     *
     * @param folder no process may be writing into it
     * @throws IOException if it cannot be read, or a file cannot be removed
     */
    public static void removeLeftovers(Path folder) throws IOException {
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder, ".*" + TEMPORARY)) {
            for (Path file : files) {
                Files.deleteIfExists(file);
            }
        }
    }

    private static void rename(Path temporary, Path file) throws IOException {
        try {
            Files.move(temporary, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
        } catch (AtomicMoveNotSupportedException e) {
            Files.move(temporary, file, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** The rename itself is on disk only once its folder is. Not every system lets a folder be opened. */
    private static void forceFolder(Path folder) {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException e) {
            // Nothing is lost but the promise about a power cut.
        }
    }

    private static void deleteQuietly(Path temporary, Throwable cause) {
        if (temporary == null) {
            return;
        }
        try {
            Files.deleteIfExists(temporary);
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }

    private static FileSystemException failure(Path target, IOException cause) {
        String reason = cause instanceof FileSystemException && ((FileSystemException) cause).getReason() != null
                ? ((FileSystemException) cause).getReason()
                : cause.getMessage() == null ? cause.getClass().getSimpleName() : cause.getMessage();
        FileSystemException failure = new FileSystemException(target.toString(), null, reason);
        failure.initCause(cause);
        return failure;
    }
}
