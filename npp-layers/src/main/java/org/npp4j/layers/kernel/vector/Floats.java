package org.npp4j.layers.kernel.vector;

import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import java.util.Arrays;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.LongPointer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.shape.Shape;

/** ND4J's memory as Java reads and writes it. */
final class Floats {
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
        try (FloatPointer pointer = new FloatPointer(array.data().addressPointer())) {
            return pointer.capacity(array.length()).asBuffer();
        }
    }

    /** Whether {@link #of} takes it. */
    static boolean plain(INDArray array) {
        return array.dataType() == DataType.FLOAT
                && array.length() <= Integer.MAX_VALUE / Float.BYTES
                && Shape.hasDefaultStridesForShape(array);
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
