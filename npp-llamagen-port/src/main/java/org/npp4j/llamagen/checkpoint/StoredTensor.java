package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * A tensor in a file. Its numbers are read when they are asked for; the file must be open then.
 *
 * <p>Files can hold types of numbers that ND4J has not. Such a tensor has a name, a {@link #typeLabel()} and a shape,
 * but {@link #isReadable()} is false and whatever reads its numbers throws.
 */
public final class StoredTensor implements TensorSource {
    /** ND4J's limit. */
    private static final int MAX_RANK = 32;

    /** Views may show each number of their storage so often, or be small. */
    private static final long MAX_REPEATS = 16;

    private static final long SMALL_VIEW = 1 << 26;
    private static final long SMALL_OVERLAP = 1 << 16;

    private final FileBytes file;
    private final Storage storage;
    private final ElementType element;
    private final long offset;
    private final long[] shape;
    private final long[] strides;
    private String name = "";
    private boolean named;
    private Double sum;

    /**
     * Creates a view of a storage.
     *
     * @param file the file
     * @param storage the numbers, or null if they are kept in a way that is not known here
     * @param element the type to read them as
     * @param offset of the first element, in elements
     * @param shape of the view
     * @param strides of the axes, in elements
     */
    StoredTensor(FileBytes file, Storage storage, ElementType element, long offset, long[] shape, long[] strides) {
        this.file = file;
        this.storage = storage;
        this.element = element;
        this.offset = offset;
        this.shape = shape;
        this.strides = strides;
    }

    /** Gives it the first of its names. */
    void nameOnce(String first) {
        if (!named) {
            name = first;
            named = true;
        }
    }

    /**
     * Checks it against its storage, once that has its place.
     *
     * @throws CheckpointException if the file cannot hold such a tensor
     */
    void validate() throws CheckpointException {
        if (shape.length != strides.length) {
            throw damaged("has " + shape.length + " sizes but " + strides.length + " strides");
        }
        if (offset < 0) {
            throw damaged("starts at element " + offset + " of its storage");
        }
        for (int axis = 0; axis < shape.length; axis++) {
            if (shape[axis] < 0 || strides[axis] < 0) {
                throw damaged("has size " + shape[axis] + " and stride " + strides[axis] + " on axis " + axis
                        + "; neither can be negative");
            }
        }
        try {
            validateExtent();
        } catch (ArithmeticException e) {
            throw damaged("of shape " + Arrays.toString(shape) + " and strides " + Arrays.toString(strides)
                    + " has more than 2^63 elements");
        }
    }

    private void validateExtent() throws CheckpointException {
        long elements = 1;
        long distinct = 1;
        long last = offset;
        for (long size : shape) {
            if (size == 0) {
                return;
            }
        }
        for (int axis = 0; axis < shape.length; axis++) {
            elements = Math.multiplyExact(elements, shape[axis]);
            distinct = strides[axis] == 0 ? distinct : Math.multiplyExact(distinct, shape[axis]);
            last = Math.addExact(last, Math.multiplyExact(shape[axis] - 1, strides[axis]));
        }
        Math.multiplyExact(elements, 16L);
        if (storage == null || element.bytes() == 0 || storage.element().bytes() == 0) {
            return;
        }
        if (!storage.isPlaced()) {
            throw damaged("is a view of a storage that the file does not hold");
        }
        long length = storage.length() * storage.element().bytes() / element.bytes();
        if (last >= length) {
            throw damaged("of shape " + Arrays.toString(shape) + ", strides " + Arrays.toString(strides)
                    + " and offset " + offset + " reaches element " + last + " of a storage of " + length);
        }
        if (elements > Math.max(SMALL_VIEW, MAX_REPEATS * length)
                || distinct > Math.max(SMALL_OVERLAP, MAX_REPEATS * length)) {
            throw new CheckpointException(
                    file.path(),
                    "holds " + label() + " as a view of " + elements + " elements on a storage of " + length
                            + "; a view may be " + MAX_REPEATS
                            + " times its storage. Save a copy of it instead (tensor.clone())");
        }
    }

    /** {@return the name, as in {@link TensorFile#tensors()}; the first one where the file names it more than once} */
    public String name() {
        return name;
    }

    /** {@return whether its numbers can be read} */
    public boolean isReadable() {
        return storage != null && storage.element().bytes() > 0 && element.type() != null && shape.length <= MAX_RANK;
    }

    /** {@return the type of its numbers as PyTorch says it, such as float32; also of types that cannot be read} */
    public String typeLabel() {
        return element.label();
    }

    /**
     * {@inheritDoc}
     *
     * @throws IllegalStateException if it is of a type that cannot be read
     */
    @Override
    public TensorType type() {
        if (!isReadable()) {
            throw new IllegalStateException(file.path() + " " + unreadable());
        }
        return element.type();
    }

    @Override
    public long[] shape() {
        return shape.clone();
    }

    /** {@return the number of its elements} */
    public long elements() {
        long elements = 1;
        for (long size : shape) {
            elements *= size;
        }
        return elements;
    }

    /**
     * {@inheritDoc}
     *
     * @throws CheckpointException if it cannot be read
     */
    @Override
    public synchronized double sum() throws CheckpointException {
        if (sum == null) {
            ElementSum adder = new ElementSum(readableType());
            stream(adder::add);
            sum = adder.value();
        }
        return sum;
    }

    /**
     * Reads it into a new array of the same type.
     *
     * @return the array, in 'c' order
     * @throws CheckpointException if it cannot be read
     */
    public INDArray toArray() throws CheckpointException {
        INDArray array = Nd4j.createUninitialized(readableType().dataType(), shape.clone(), 'c');
        readInto(array);
        return array;
    }

    /**
     * Reads it into an array, whose type it is converted to. The file is streamed through a small buffer.
     *
     * @param target an array of this tensor's shape, of any type, order and strides
     * @throws IllegalArgumentException if the array has another shape
     * @throws CheckpointException if it cannot be read
     */
    public void readInto(INDArray target) throws CheckpointException {
        TensorType type = readableType();
        if (!Arrays.equals(target.shape(), shape)) {
            throw new IllegalArgumentException("Tensor " + label() + " of " + file.path() + " has shape "
                    + Arrays.toString(shape) + ", the array to read it into " + Arrays.toString(target.shape())
                    + "; give an array of the tensor's shape");
        }
        if (elements() == 0) {
            return;
        }
        ElementReader reader = reader();
        try {
            ArrayBlocks.fill(target, type, bytes -> {
                int from = bytes.position();
                reader.read(bytes);
                if (type == TensorType.BOOL) {
                    asZeroOrOne(bytes, from);
                }
            });
        } catch (CheckpointException e) {
            throw e;
        } catch (IOException e) {
            throw new CheckpointException(file.path(), "cannot be read: " + e.getMessage(), e);
        }
    }

    private static void asZeroOrOne(ByteBuffer bytes, int from) {
        for (int i = from; i < bytes.position(); i++) {
            if (bytes.get(i) != 0) {
                bytes.put(i, (byte) 1);
            }
        }
    }

    @Override
    public void writeTo(OutputStream out) throws IOException {
        readableType();
        byte[] copy = new byte[1 << 16];
        stream(bytes -> {
            while (bytes.hasRemaining()) {
                int count = Math.min(copy.length, bytes.remaining());
                bytes.get(copy, 0, count);
                out.write(copy, 0, count);
            }
        });
    }

    private interface Sink<E extends Exception> {
        void accept(ByteBuffer bytes) throws E;
    }

    /** Hands out all numbers in row order, block by block. */
    private <E extends Exception> void stream(Sink<E> sink) throws CheckpointException, E {
        if (elements() == 0) {
            return;
        }
        ElementReader reader = reader();
        ByteBuffer block = file.borrowBlock();
        try {
            // At most 16 bytes an element: validate() has seen that this does not overflow.
            long left = elements() * element.bytes();
            while (left > 0) {
                block.clear().limit((int) Math.min(left, block.capacity()));
                reader.read(block);
                left -= block.flip().limit();
                sink.accept(block);
            }
        } finally {
            file.giveBack(block);
        }
    }

    private ElementReader reader() throws CheckpointException {
        validate();
        return new ElementReader(file, element.bytes(), storage.position() + offset * element.bytes(), shape, strides);
    }

    private TensorType readableType() throws CheckpointException {
        if (!isReadable()) {
            throw new CheckpointException(file.path(), unreadable());
        }
        return element.type();
    }

    private String unreadable() {
        return "holds " + label() + " as " + typeLabel() + " " + Arrays.toString(shape)
                + ", which cannot be read here. Convert it to one of float64, float32, float16, bfloat16, int64, int32,"
                + " int16, int8, uint8, bool, of at most " + MAX_RANK + " axes";
    }

    private CheckpointException damaged(String problem) {
        return file.damaged("tensor " + label() + " " + problem);
    }

    private String label() {
        return name.isEmpty() ? "(without a name)" : name;
    }

    /** {@return its name, type and shape} */
    @Override
    public String toString() {
        return label() + " " + typeLabel() + " " + Arrays.toString(shape);
    }
}
