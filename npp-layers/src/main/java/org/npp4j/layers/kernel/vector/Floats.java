package org.npp4j.layers.kernel.vector;

import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/** ND4J's memory as Java reads and writes it. */
final class Floats {
    /** The most floats that one buffer holds. */
    static final int LONGEST = Integer.MAX_VALUE / Float.BYTES;

    private Floats() {}

    /**
     * The numbers of an array, in the order of its memory.
     *
     * @param array of floats, contiguous
     * @return a view of its memory; the array must stay reachable as long as it is used
     * @throws IllegalArgumentException if the array is not of floats, has gaps, or holds more than 2^31 - 1 bytes
     */
    static FloatBuffer of(INDArray array) {
        if (!plain(array) && !plainRows(array)) {
            throw new IllegalArgumentException("Expected contiguous floats below 2 GiB, got " + array.dataType() + " "
                    + Arrays.toString(array.shape()) + " with strides " + Arrays.toString(array.stride()));
        }
        return of(array, 0, (int) array.length());
    }

    /**
     * Some of the numbers of an array that may be longer than a buffer, in the order of its memory.
     *
     * @param array of floats, contiguous; not checked
     * @param from the first number
     * @param length how many, up to {@link #LONGEST}
     * @return a view of its memory; the array must stay reachable as long as it is used
     */
    static FloatBuffer of(INDArray array, long from, int length) {
        try (FloatPointer start = new FloatPointer(array.data().addressPointer());
                // its position would not do: JavaCPP ends buffers 2 GiB behind the pointer's address
                FloatPointer pointer = start.getPointer(from)) {
            return pointer.capacity(length).asBuffer();
        }
    }

    /** Whether {@link #of(INDArray)} takes it. */
    static boolean plain(INDArray array) {
        return array.length() <= LONGEST && (contiguous(array, 'c') || contiguous(array, 'f'));
    }

    /** Whether it is of floats without gaps in this order: 'c', the last axis runs fastest, or 'f', the first. */
    static boolean contiguous(INDArray array, char order) {
        if (array.dataType() != DataType.FLOAT || array.isEmpty()) {
            return false;
        }
        long[] shape = array.shape();
        long[] stride = array.stride();
        long expected = 1;
        for (int i = 0; i < shape.length; i++) {
            int axis = order == 'c' ? shape.length - 1 - i : i;
            if (shape[axis] != 1) { // the stride of an axis of one place has no meaning
                if (stride[axis] != expected) {
                    return false;
                }
                expected *= shape[axis];
            }
        }
        return true;
    }

    /** Whether all are contiguous floats of one shape in the same order, so that equal places hold equal elements. */
    static boolean alike(INDArray... arrays) {
        return alike('c', arrays) || alike('f', arrays);
    }

    private static boolean alike(char order, INDArray... arrays) {
        for (INDArray array : arrays) {
            if (!contiguous(array, order) || !Arrays.equals(array.shape(), arrays[0].shape())) {
                return false;
            }
        }
        return true;
    }

    /** Whether all are matrices of floats whose rows follow each other without gaps, of one shape. */
    static boolean rows(INDArray... matrices) {
        return matrices[0].rank() == 2 && alike('c', matrices);
    }

    /** Whether it is a vector of floats of this length, whatever axes of length 1 it has besides. */
    static boolean vector(INDArray array, long length) {
        return array.length() == length && length <= LONGEST && contiguous(array, 'c');
    }

    /** Whether {@link #of} takes it, and gives its numbers in 'c' order. Strides of axes of size 1 do not matter. */
    static boolean plainRows(INDArray array) {
        if (array.dataType() != DataType.FLOAT || array.length() > Integer.MAX_VALUE / Float.BYTES) {
            return false;
        }
        long stride = 1;
        for (int axis = array.rank() - 1; axis >= 0; axis--) {
            if (array.size(axis) != 1 && array.stride(axis) != stride) {
                return false;
            }
            stride *= array.size(axis);
        }
        return true;
    }

    /**
     * The numbers of a weight [in, out] in 'f' order, in even, as pairs: the first inputs of unit 0, and so on.
     *
     * @param weight that {@link #plainWeight} says yes to
     * @return a view of its memory; the array must stay reachable as long as it is used
     */
    static LongBuffer ofWeight(INDArray weight) {
        try (LongPointer pointer = new LongPointer(weight.data().addressPointer())) {
            return pointer.capacity(weight.length() / 2).asBuffer();
        }
    }

    /** Whether {@link #ofWeight} takes it. */
    static boolean plainWeight(INDArray weight) {
        return weight.dataType() == DataType.FLOAT
                && weight.length() <= Integer.MAX_VALUE / Float.BYTES
                && weight.size(0) % 2 == 0
                && weight.stride(0) == 1
                && (weight.size(1) == 1 || weight.stride(1) == weight.size(0));
    }
}
