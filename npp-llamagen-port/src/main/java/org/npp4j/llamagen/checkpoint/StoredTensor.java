package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * A tensor in a file. Its numbers are read when they are asked for; the file must be open then.
 *
 * <p>Files can hold types of numbers that ND4J has not. Such a tensor has a name, a {@link #typeLabel()} and a shape,
 * but {@link #isReadable()} is false and whatever reads its numbers throws.
 */
public final class StoredTensor implements TensorSource {
    StoredTensor() {}

    /** {@return the name, as in {@link TensorFile#tensors()}; the first one where the file names it more than once} */
    public String name() {
        throw new UnsupportedOperationException("not written yet");
    }

    /** {@return whether its numbers can be read} */
    public boolean isReadable() {
        throw new UnsupportedOperationException("not written yet");
    }

    /** {@return the type of its numbers as PyTorch says it, such as float32; also of types that cannot be read} */
    public String typeLabel() {
        throw new UnsupportedOperationException("not written yet");
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException if it is of a type that cannot be read
     */
    @Override
    public TensorType type() {
        throw new UnsupportedOperationException("not written yet");
    }

    @Override
    public long[] shape() {
        throw new UnsupportedOperationException("not written yet");
    }

    /** {@return the number of its elements} */
    public long elements() {
        throw new UnsupportedOperationException("not written yet");
    }

    /**
     * Adds up its numbers in double precision. NaN and infinities count 0, true counts 1.
     *
     * @return the sum
     * @throws CheckpointException if it cannot be read
     */
    public double sum() throws CheckpointException {
        throw new UnsupportedOperationException("not written yet");
    }

    /**
     * Reads it into a new array of the same type.
     *
     * @return the array, in 'c' order
     * @throws CheckpointException if it cannot be read
     */
    public INDArray toArray() throws CheckpointException {
        throw new UnsupportedOperationException("not written yet");
    }

    /**
     * Reads it into an array, whose type it is converted to. The file is streamed through a small buffer.
     *
     * @param target an array of this tensor's shape, of any type, order and strides
     * @throws IllegalArgumentException if the array has another shape
     * @throws CheckpointException if it cannot be read
     */
    public void readInto(INDArray target) throws CheckpointException {
        throw new UnsupportedOperationException("not written yet");
    }

    @Override
    public void writeTo(OutputStream out) throws IOException {
        throw new UnsupportedOperationException("not written yet");
    }
}
