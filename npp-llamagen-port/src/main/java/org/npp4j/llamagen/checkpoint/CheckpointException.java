package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;

/** A checkpoint file that cannot be read or written. The message says which file, what is wrong and what to do. */
public final class CheckpointException extends IOException {
    private static final long serialVersionUID = 1L;

    private final String file;

    /**
     * Creates an exception.
     *
     * @param file the file
     * @param problem what is wrong with it and what to do, to be read after the file's name
     */
    public CheckpointException(Path file, String problem) {
        this(file, problem, null);
    }

    /**
     * Creates an exception with a cause.
     *
     * @param file the file
     * @param problem what is wrong with it and what to do, to be read after the file's name
     * @param cause what was caught, or null
     */
    public CheckpointException(Path file, String problem, Throwable cause) {
        super(file + " " + problem, cause);
        this.file = file.toString();
    }

    /** {@return the name of the file} */
    public String file() {
        return file;
    }
}
