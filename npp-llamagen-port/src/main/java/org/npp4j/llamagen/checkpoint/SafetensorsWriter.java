package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;

/** Writes safetensors files. */
public final class SafetensorsWriter {
    private SafetensorsWriter() {}

    /**
     * Writes tensors, or replaces the file that holds some. Tensors are streamed.
     *
     * @param path the file
     * @param tensors the tensors by name, in the order in which they are written
     * @param metadata texts to go with them; may be empty
     * @throws IllegalArgumentException if a tensor is called {@code __metadata__}
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Map<String, ? extends TensorSource> tensors, Map<String, String> metadata)
            throws IOException {
        throw new UnsupportedOperationException("not written yet");
    }
}
