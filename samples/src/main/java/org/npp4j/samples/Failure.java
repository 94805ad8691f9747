package org.npp4j.samples;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.ReadOnlyFileSystemException;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.stream.Collectors;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.TensorMismatchException;
import org.npp4j.schedule.TrainingDivergedException;

/**
 * The one place that turns whatever was thrown into one line for the user.
 *
 * <p>The causes are searched from the outside in; the first that is known gives the line.
 */
final class Failure {
    /** Where most commands write to. */
    static final String OUT = "--out";

    private static final String REFUSED = "Allocation failed: [";

    private static final Set<Class<?>> SELF_EXPLAINING = Set.of(
            IllegalArgumentException.class,
            IllegalStateException.class,
            TrainingDivergedException.class,
            IOException.class,
            FileNotFoundException.class);

    private Failure() {}

    /**
     * Explains a failure of a command that writes to {@value #OUT}.
     *
     * @param thrown what was thrown
     * @return what is wrong and how to fix it, in one line
     */
    static String explain(Throwable thrown) {
        return explain(thrown, OUT);
    }

    /**
     * Explains a failure.
     *
     * @param thrown what was thrown
     * @param outOption the option that says where the command writes to; null if it has none
     * @return what is wrong and how to fix it, in one line
     */
    static String explain(Throwable thrown, String outOption) {
        List<Throwable> chain = causes(thrown);
        for (Throwable cause : chain) {
            if (cause instanceof TensorMismatchException) {
                // the one failure of more than a line: it lists tensors
                return cause.getMessage().lines().map(Terminal::printable).collect(Collectors.joining("\n"));
            }
            String known = known(cause, outOption == null ? "" : " with " + outOption);
            if (known != null) {
                return oneLine(known);
            }
        }
        if (thrown instanceof NoClassDefFoundError && mentions(thrown, "org.nd4j.linalg.factory.Nd4j")) {
            return "ND4J did not start, and what stopped it was reported before. --verbose shows more";
        }
        String message = thrown.getMessage();
        return oneLine(
                message == null || message.isBlank()
                        ? "Unexpected " + thrown.getClass().getSimpleName() + "; --verbose shows where"
                        : explainsItself(thrown) ? message : thrown.getClass().getSimpleName() + ": " + message);
    }

    private static String known(Throwable cause, String withOption) {
        if (cause instanceof AppException || cause instanceof CheckpointException) {
            return cause.getMessage();
        }
        if (cause instanceof OutOfMemoryError || isRefusedAllocation(cause)) {
            return outOfMemory(cause);
        }
        if (cause.getClass().getName().endsWith("Nd4jBackend$NoAvailableBackendException")) {
            return Backend.NONE;
        }
        if (cause instanceof UnsatisfiedLinkError) {
            return Backend.nativesMissing(cause.getMessage());
        }
        if (cause instanceof ReadOnlyFileSystemException) {
            return "Cannot write: the file system is read-only. Choose another folder" + withOption;
        }
        return cause instanceof IOException ? file((IOException) cause, withOption) : null;
    }

    private static String file(IOException cause, String withOption) {
        String name = cause instanceof FileSystemException ? ((FileSystemException) cause).getFile() : null;
        if (isDiskFull(cause)) {
            return "The disk is full: cannot write " + (name == null ? "the output" : name)
                    + ". Free some space, or choose a folder on another disk" + withOption;
        }
        if (name == null) {
            return null;
        }
        if (cause instanceof AccessDeniedException || hasCause(cause, AccessDeniedException.class)) {
            return "No permission to use " + name + ". Change its permissions, or choose another folder" + withOption;
        }
        if (cause instanceof NoSuchFileException) {
            return "There is no " + name + ". Check the path";
        }
        if (cause instanceof FileAlreadyExistsException || hasCause(cause, FileAlreadyExistsException.class)) {
            return "Cannot create the folder of " + name + ": a file is in the way. Choose another folder" + withOption;
        }
        String reason = ((FileSystemException) cause).getReason();
        return "Cannot use " + name + (reason == null ? "" : ": " + reason);
    }

    static boolean isDiskFull(IOException cause) {
        String message = String.valueOf(cause.getMessage()).toLowerCase(Locale.ROOT);
        return message.contains("no space left on device")
                || message.contains("not enough space on the disk")
                || message.contains("disk quota exceeded");
    }

    private static String outOfMemory(Throwable cause) {
        String message = String.valueOf(cause.getMessage());
        if (isOfArrays(message)) {
            return "Out of memory for arrays (" + message + "). " + MemoryGuard.ADVICE;
        }
        if (message.contains("native thread")) {
            return "The system allows no more threads (" + message + "). Raise the limit (ulimit -u)";
        }
        return "Out of memory in the Java heap (limit "
                + Runtime.getRuntime().maxMemory() / (1 << 20)
                + " MiB). Allow more: NPP_JAVA_OPTS=-Xmx2g ./npp ..";
    }

    /** JavaCPP says "Physical memory usage is too high" or "Cannot allocate", ND4J "Failed to allocate". */
    private static boolean isOfArrays(String message) {
        return message.toLowerCase(Locale.ROOT).contains("physical memory")
                || message.contains("allocate")
                || message.startsWith(REFUSED);
    }

    /** ND4J's error is no OutOfMemoryError when the system refuses memory. */
    private static boolean isRefusedAllocation(Throwable cause) {
        return String.valueOf(cause.getMessage()).startsWith(REFUSED);
    }

    /** The kinds that our own messages come with; the name of any other says more than its message alone. */
    private static boolean explainsItself(Throwable thrown) {
        return SELF_EXPLAINING.contains(thrown.getClass());
    }

    private static boolean mentions(Throwable cause, String text) {
        return cause.getMessage() != null
                && cause.getMessage().replace('/', '.').contains(text);
    }

    private static boolean hasCause(Throwable thrown, Class<?> type) {
        return causes(thrown).stream().anyMatch(type::isInstance);
    }

    private static List<Throwable> causes(Throwable thrown) {
        List<Throwable> chain = new ArrayList<>();
        for (Throwable cause = thrown; cause != null && !chain.contains(cause); cause = cause.getCause()) {
            chain.add(cause);
        }
        return chain;
    }

    static String oneLine(String text) {
        return Terminal.printable(text.replaceAll("\\s*\\R\\s*", " ").strip());
    }
}
