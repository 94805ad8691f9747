package org.npp4j.llamagen.files;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.FileSystemException;
import java.util.Arrays;
import java.util.function.Function;
import java.util.zip.ZipException;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * An array of NumPy's format, read a few indices of its first axis at a time. Only an array in column order is held whole,
 * because its rows lie scattered.
 */
public final class NpyRows implements Closeable {
    private final NpyArray array;
    private final InputStream in;
    private final Function<String, FileSystemException> failure;
    private final long[] shape;
    private INDArray whole;
    private long next;

    private NpyRows(NpyArray array, InputStream in, Function<String, FileSystemException> failure) {
        this.array = array;
        this.in = in;
        this.failure = failure;
        this.shape = array.shape();
    }

    /** Takes over the stream, and closes it if it cannot be read. */
    static NpyRows open(InputStream in, long bytes, Function<String, FileSystemException> failure) throws IOException {
        try {
            NpyArray array = NpyArray.open(in, bytes, failure);
            if (array.shape().length == 0) {
                throw failure.apply("is a single number, where an array with rows is expected");
            }
            return new NpyRows(array, in, failure);
        } catch (IOException | RuntimeException e) {
            in.close();
            throw e;
        }
    }

    /** {@return a copy of the whole array's shape, at least one length; the first counts the rows} */
    public long[] shape() {
        return shape.clone();
    }

    /** {@return the type of the elements} */
    public DataType dataType() {
        return array.type();
    }

    /** {@return how many rows have not been read yet} */
    public long remaining() {
        return shape[0] - next;
    }

    /**
     * Reads the next rows.
     *
     * @param atMost how many, at least 1
     * @return a new array in row order: the stored shape, but with fewer rows; as many as were asked for unless fewer
     *     remain; null if none do
     * @throws IllegalArgumentException if atMost is below 1
     * @throws FileSystemException if the file is damaged
     * @throws IOException if it cannot be read
     */
    public INDArray next(int atMost) throws IOException {
        if (atMost < 1) {
            throw new IllegalArgumentException("At least 1 row must be asked for, got " + atMost);
        }
        long count = Math.min(atMost, remaining());
        if (count == 0) {
            return null;
        }
        long[] part = shape.clone();
        part[0] = count;
        long length = Arrays.stream(part).reduce(1, (a, b) -> a * b);
        try {
            INDArray rows;
            if (length == 0) {
                rows = Nd4j.create(array.type(), part);
            } else if (array.hasRowsTogether()) {
                rows = array.vector(in, length).reshape('c', part);
            } else {
                whole = whole == null ? array.values(in) : whole;
                rows = whole.get(NDArrayIndex.interval(next, next + count)).dup('c');
            }
            next += count;
            return rows;
        } catch (EOFException e) {
            throw NpyArray.early(e, failure);
        } catch (ZipException e) {
            FileSystemException damaged = failure.apply("is damaged (" + e.getMessage() + "). Get the file again");
            damaged.initCause(e);
            throw damaged;
        }
    }

    /** Closes the array; a file of many arrays stays open. */
    @Override
    public void close() throws IOException {
        in.close();
    }
}
