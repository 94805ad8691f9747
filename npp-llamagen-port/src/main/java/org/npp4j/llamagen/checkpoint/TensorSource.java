package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import org.nd4j.linalg.api.ndarray.INDArray;

/** A tensor that can be written: an array in memory, or a tensor of another file. */
public interface TensorSource {
    /** {@return the type of its numbers} */
    TensorType type();

    /** {@return its shape, a copy; empty for a single number without axes} */
    long[] shape();

    /**
     * Writes its numbers in row order, one after another, little endian.
     *
     * @param out where to; is not closed
     * @throws IOException if it cannot be read or written
     */
    void writeTo(OutputStream out) throws IOException;

    /**
     * Adds up its numbers in double precision. NaN and infinities count 0, true counts 1; a sum that is too large for a
     * double is the largest, or least, double.
     *
     * @return the sum, a finite number
     * @throws IOException if it cannot be read
     */
    default double sum() throws IOException {
        return ElementSum.of(this);
    }

    /**
     * An array as a source. The array is read when it is written, and must stay as it is until then.
     *
     * @param array an array of any order and strides
     * @return the source
     * @throws IllegalArgumentException if checkpoints cannot hold the array's type
     */
    static TensorSource of(INDArray array) {
        return new ArraySource(array);
    }
}
