package org.npp4j.layers.kernel.onednn;

import org.bytedeco.javacpp.FloatPointer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * How a matrix lies in memory.
 *
 * @param rows number of rows
 * @param columns number of columns
 * @param byRows whether rows are contiguous; otherwise columns are
 * @param leading elements from the start of a row (a column) to that of the next
 */
record MatrixLayout(long rows, long columns, boolean byRows, long leading) {
    /**
     * {@return the layout of an array, or null if it is not a matrix of floats with contiguous rows or columns}
     *
     * @param array any array
     */
    static MatrixLayout of(INDArray array) {
        if (array.dataType() != DataType.FLOAT || array.rank() != 2 || array.isEmpty()) {
            return null;
        }
        long rows = array.size(0);
        long columns = array.size(1);
        // Along an axis of length 1 the stride means nothing.
        long down = rows == 1 ? Math.max(columns, array.stride(0)) : array.stride(0);
        long across = columns == 1 ? 1 : array.stride(1);
        if (across == 1 && down >= columns) {
            return new MatrixLayout(rows, columns, true, down);
        }
        down = rows == 1 ? 1 : array.stride(0);
        across = columns == 1 ? Math.max(rows, array.stride(1)) : array.stride(1);
        return down == 1 && across >= rows ? new MatrixLayout(rows, columns, false, across) : null;
    }

    MatrixLayout transpose() {
        return new MatrixLayout(columns, rows, !byRows, leading);
    }

    /** The same matrix in the same order without gaps. */
    MatrixLayout dense() {
        return new MatrixLayout(rows, columns, byRows, byRows ? columns : rows);
    }

    long[] shape() {
        return new long[] {rows, columns};
    }

    long[] strides() {
        return byRows ? new long[] {leading, 1} : new long[] {1, leading};
    }

    /** The memory of an array from its first element on; the array must stay reachable as long as it is used. */
    static FloatPointer memory(INDArray array) {
        return new FloatPointer(array.data().addressPointer());
    }
}
