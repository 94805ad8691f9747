package org.npp4j.llamagen.codes;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.npp4j.llamagen.codes.CodeSetDescription.Skipped;
import org.npp4j.llamagen.files.AtomicFile;

/**
 * A set of codes while it is made: the images in the order of the pictures, and the pictures that were skipped. Not safe for
 * several threads.
 *
 * <p>Every picture is either added or skipped, in their order, and either is on disk when the call returns. So image i of the
 * set, which has no holes, is the i-th picture that was not skipped, and where to go on follows from what is there: picture
 * number (images + skipped). Nothing else is kept about progress, so nothing can contradict it.
 *
 * <p>In the folder: the codes; {@value CodeSetDescription#FILE}; {@value #SKIPPED}, a line of JSON for each skipped picture,
 * if there are any; {@value #LOCK}, which a running process holds.
 */
final class CodeSetWriter implements AutoCloseable {
    /** The skipped pictures. */
    static final String SKIPPED = "skipped.jsonl";

    /** Keeps a second process out. */
    static final String LOCK = ".extract.lock";

    /** Images that a power cut can cost a packed file. */
    private static final int IMAGES_BETWEEN_FORCES = 256;

    private final Path folder;
    private final FileChannel lock;
    private final List<Skipped> skipped = new ArrayList<>();
    private CodeSetDescription description;
    private CodeWriter writer;
    private FileChannel journal;
    private int unforced;

    private CodeSetWriter(Path folder, FileChannel lock) {
        this.folder = folder;
        this.lock = lock;
    }

    /** Makes what images are written with; tests put failures in between. */
    @FunctionalInterface
    interface Writers {
        /** Opens the images of a set. */
        CodeWriter open(Path folder, CodeSetDescription description) throws IOException;
    }

    /** Writes the layout that the description says. */
    static CodeWriter layout(Path folder, CodeSetDescription description) throws IOException {
        return description.packed()
                ? PackedCodes.Writer.open(
                        folder.resolve(description.name() + PackedCodes.ENDING),
                        description.crops().plan().crops(),
                        description.grid().tokens(),
                        description.vocabulary())
                : CodeFiles.Writer.open(folder, description.name());
    }

    /**
     * Begins a set, or goes on with one that was made the same way.
     *
     * @param folder made if it does not exist
     * @param wanted how the codes are to be made
     * @param writers {@link #layout}
     * @return the set
     * @throws IllegalStateException if the folder holds codes that were made in another way, or nothing says how, or another
     *     process is writing them; the message lists the differences
     * @throws IOException if the folder cannot be read or written
     */
    static CodeSetWriter open(Path folder, CodeSetDescription wanted, Writers writers) throws IOException {
        Files.createDirectories(folder);
        FileChannel lock = FileChannel.open(folder.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
        CodeSetWriter set = new CodeSetWriter(folder, lock);
        try {
            set.lock();
            set.begin(wanted);
            if (!set.description.complete()) {
                AtomicFile.removeLeftovers(folder);
                set.writer = writers.open(folder, set.description);
                set.openJournal();
            }
            return set;
        } catch (IOException | RuntimeException | Error e) {
            try {
                set.close();
            } catch (IOException closing) {
                e.addSuppressed(closing);
            }
            throw e;
        }
    }

    private void lock() throws IOException {
        FileLock held;
        try {
            held = lock.tryLock();
        } catch (OverlappingFileLockException e) {
            held = null;
        }
        if (held == null) {
            throw new IllegalStateException("Another process is writing codes to " + folder
                    + ". Wait for it, stop it, or choose another folder");
        }
    }

    private void begin(CodeSetDescription wanted) throws IOException {
        Optional<CodeSetDescription> found = CodeSetDescription.find(folder);
        if (found.isEmpty()) {
            for (String ending : new String[] {CodeFiles.CODES, PackedCodes.ENDING}) {
                Path codes = folder.resolve(wanted.name() + ending);
                if (Files.exists(codes)) {
                    throw new IllegalStateException(folder + " holds " + codes.getFileName() + ", but no "
                            + CodeSetDescription.FILE
                            + " that says how it was made, so it cannot be continued. Choose another folder");
                }
            }
            wanted.write(folder);
            description = wanted;
            return;
        }
        description = found.get();
        List<String> differences = description.differencesTo(wanted);
        if (!differences.isEmpty()) {
            throw new IllegalStateException(
                    folder + " holds codes that were made in another way (" + String.join("; ", differences)
                            + "). Choose another folder, or give the same settings to go on with them");
        }
        if (description.complete()) {
            skipped.addAll(description.skipped());
        }
    }

    /** Reads which pictures were skipped before the image that comes next. */
    private void openJournal() throws IOException {
        Path file = folder.resolve(SKIPPED);
        journal = FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        long whole = 0;
        for (String line : new String(Files.readAllBytes(file), StandardCharsets.UTF_8).split("(?<=\n)")) {
            Skipped entry;
            try {
                entry = line.endsWith("\n") ? CodeSetDescription.parseSkipped(line) : null;
            } catch (JsonProcessingException e) {
                throw damagedJournal(file, e);
            }
            // The rest was skipped behind images that a power cut took: those pictures come again.
            if (entry == null || entry.picture() - skipped.size() > writer.images()) {
                break;
            }
            if (!skipped.isEmpty()
                    && entry.picture() <= skipped.get(skipped.size() - 1).picture()) {
                throw damagedJournal(file, null);
            }
            skipped.add(entry);
            whole += line.getBytes(StandardCharsets.UTF_8).length;
        }
        journal.truncate(whole);
        journal.position(whole);
        if (nextPicture() > description.data().pictures()) {
            throw new FileSystemException(
                    folder.toString(),
                    null,
                    "it holds " + writer.images() + " images and " + skipped.size()
                            + " skipped pictures, more than the "
                            + description.data().pictures() + " pictures. Extract the codes into an empty folder");
        }
    }

    private static FileSystemException damagedJournal(Path file, Exception cause) {
        FileSystemException failure = new FileSystemException(
                file.toString(),
                null,
                "it is damaged, so nobody knows which pictures the images are. Extract the codes"
                        + " into an empty folder");
        failure.initCause(cause);
        return failure;
    }

    /** {@return whether nothing is left to do} */
    boolean isComplete() {
        return description.complete();
    }

    /** {@return how the codes are made} */
    CodeSetDescription description() {
        return description;
    }

    /** {@return stored images} */
    int images() {
        return description.complete() ? description.images() : writer.images();
    }

    /** {@return the picture that is to be added or skipped next} */
    int nextPicture() {
        return images() + skipped.size();
    }

    /** {@return the skipped pictures} */
    List<Skipped> skipped() {
        return Collections.unmodifiableList(skipped);
    }

    /**
     * Adds the next picture.
     *
     * @param codesOfCrops [crops][N]
     * @param label its class
     * @throws IOException if it cannot be written; what was added before stays
     */
    void add(int[][] codesOfCrops, int label) throws IOException {
        writer.add(codesOfCrops, label);
        if (++unforced >= IMAGES_BETWEEN_FORCES) {
            writer.force();
            unforced = 0;
        }
    }

    /**
     * Skips the next picture.
     *
     * @param picture it, with the reason
     * @throws IOException if it cannot be written
     */
    void skip(Skipped picture) throws IOException {
        long end = journal.position();
        try {
            ByteBuffer line = ByteBuffer.wrap(CodeSetDescription.line(picture));
            while (line.hasRemaining()) {
                journal.write(line);
            }
            journal.force(false);
        } catch (IOException e) {
            journal.truncate(end);
            FileSystemException failure =
                    new FileSystemException(folder.resolve(SKIPPED).toString(), null, e.getMessage());
            failure.initCause(e);
            throw failure;
        }
        skipped.add(picture);
    }

    /**
     * Makes all that was added survive a power cut.
     *
     * @throws IOException if it cannot be written
     */
    void force() throws IOException {
        writer.force();
    }

    /**
     * Says that no picture is left.
     *
     * @param classImages stored images of each class
     * @param codesSha256 of all codes and classes
     * @throws IOException if it cannot be written
     */
    void finish(List<Integer> classImages, String codesSha256) throws IOException {
        CodeSetDescription d = description;
        description = new CodeSetDescription(
                d.format(),
                d.name(),
                d.packed(),
                true,
                writer.images(),
                d.crops(),
                d.gridHeight(),
                d.gridWidth(),
                d.vocabulary(),
                d.tokenizer(),
                d.data(),
                d.classNames(),
                classImages,
                codesSha256,
                List.copyOf(skipped));
        description.write(folder);
        if (skipped.isEmpty()) {
            Files.deleteIfExists(folder.resolve(SKIPPED));
        }
    }

    @Override
    public void close() throws IOException {
        // each is closed, whatever the others do
        try (lock;
                FileChannel closedSecond = journal;
                CodeWriter closedFirst = writer) {
            unforced = 0;
        }
    }
}
