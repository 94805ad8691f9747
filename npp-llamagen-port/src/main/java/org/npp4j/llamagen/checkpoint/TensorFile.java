package org.npp4j.llamagen.checkpoint;

import java.nio.file.Path;
import java.util.Map;

/**
 * A checkpoint file, open for reading. Recognises PyTorch's two forms and safetensors by what the file holds, not by its
 * name.
 */
public final class TensorFile implements AutoCloseable {
    private TensorFile() {}

    /**
     * Opens a file and reads what describes its tensors, not the tensors.
     *
     * @param path the file
     * @return the file, to be closed
     * @throws CheckpointException if it is no checkpoint, is damaged, or cannot be read
     */
    public static TensorFile open(Path path) throws CheckpointException {
        throw new UnsupportedOperationException("not written yet");
    }

    /** {@return the file} */
    public Path path() {
        throw new UnsupportedOperationException("not written yet");
    }

    /** {@return its format} */
    public CheckpointFormat format() {
        throw new UnsupportedOperationException("not written yet");
    }

    /**
     * The object that the file holds, built of LinkedHashMap, List ({@link Tuple} for a tuple), Long, BigInteger, Double,
     * Boolean, String, byte[], null, {@link StoredTensor} and {@link PickledObject}; a map from names to tensors for
     * safetensors. Lists and maps contain no cycles.
     *
     * @return the object
     */
    public Object root() {
        throw new UnsupportedOperationException("not written yet");
    }

    /**
     * All tensors in dictionaries and lists, at any depth, in the file's order.
     *
     * @return tensors by name: keys and list positions on the way to the tensor, joined by dots; unmodifiable
     */
    public Map<String, StoredTensor> tensors() {
        throw new UnsupportedOperationException("not written yet");
    }

    /** {@return the texts that a safetensors file holds beside its tensors, else an empty map; unmodifiable} */
    public Map<String, String> metadata() {
        throw new UnsupportedOperationException("not written yet");
    }

    /** Closes the file. Its tensors cannot be read afterwards. */
    @Override
    public void close() {
        throw new UnsupportedOperationException("not written yet");
    }
}
