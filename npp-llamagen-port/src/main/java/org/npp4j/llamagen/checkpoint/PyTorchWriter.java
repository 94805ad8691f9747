package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;

/** Writes files as torch.save does, which {@code torch.load(weights_only=True)} reads. */
public final class PyTorchWriter {
    private PyTorchWriter() {}

    /**
     * Writes an object, or replaces the file that holds one. Tensors are streamed, each into a storage of its own.
     *
     * @param path the file
     * @param root the object, built of Map, List (a {@link Tuple} becomes a tuple), Long, Integer, BigInteger, Double,
     *     Float, Boolean, String, byte[], null and {@link TensorSource}
     * @throws IllegalArgumentException if it contains anything else, or itself
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Object root) throws IOException {
        throw new UnsupportedOperationException("not written yet");
    }
}
