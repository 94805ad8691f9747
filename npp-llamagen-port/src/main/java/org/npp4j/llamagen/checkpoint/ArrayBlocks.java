package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Moves the numbers of an array in row order through a small staging array, block by block. ND4J's assign does the
 * conversion of types and the strides, on any backend and for arrays of more than 2^31 elements.
 */
final class ArrayBlocks {
    private static final int BLOCK_BYTES = 1 << 20;

    private ArrayBlocks() {}

    /** Fills the bytes of a block, or takes them. */
    @FunctionalInterface
    interface Transfer {
        /**
         * Handles one block.
         *
         * @param bytes exactly those of the block, little endian
         * @throws IOException if it cannot be read or written
         */
        void apply(ByteBuffer bytes) throws IOException;
    }

    /** Fills an array with numbers of this type, which are converted to the array's. */
    static void fill(INDArray array, TensorType type, Transfer source) throws IOException {
        move(array, type, true, source);
    }

    /** Hands out the numbers of an array. */
    static void drain(INDArray array, Transfer sink) throws IOException {
        move(array, TensorType.of(array.dataType()), false, sink);
    }

    private static void move(INDArray array, TensorType type, boolean fill, Transfer transfer) throws IOException {
        if (array.isEmpty()) {
            return;
        }
        int capacity = (int) Math.min(array.length(), BLOCK_BYTES / type.bytes());
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces();
                INDArray staging = Nd4j.createUninitialized(type.dataType(), capacity)) {
            ByteBuffer bytes = staging.data().asNio().order(ByteOrder.LITTLE_ENDIAN);
            INDArray rows = isInRowOrder(array) ? array.reshape('c', true, array.length()) : array;
            new Walk(staging, bytes, fill, transfer).visit(rows);
        }
    }

    private static boolean isInRowOrder(INDArray array) {
        long expected = 1;
        for (int axis = array.rank() - 1; axis >= 0; axis--) {
            if (array.size(axis) != 1) {
                if (array.stride(axis) != expected) {
                    return false;
                }
                expected *= array.size(axis);
            }
        }
        return true;
    }

    private static final class Walk {
        private final INDArray staging;
        private final ByteBuffer bytes;
        private final boolean fill;
        private final Transfer transfer;

        Walk(INDArray staging, ByteBuffer bytes, boolean fill, Transfer transfer) {
            this.staging = staging;
            this.bytes = bytes;
            this.fill = fill;
            this.transfer = transfer;
        }

        /** Cuts along the first axis: into blocks of whole slices, or into slices that are cut again. */
        void visit(INDArray array) throws IOException {
            if (array.length() <= staging.length()) {
                block(array);
                return;
            }
            long slice = array.length() / array.size(0);
            long step = Math.max(1, staging.length() / slice);
            for (long from = 0; from < array.size(0); from += step) {
                if (slice > staging.length()) {
                    visit(slice(array, from));
                } else {
                    block(slices(array, from, Math.min(step, array.size(0) - from)));
                }
            }
        }

        private void block(INDArray array) throws IOException {
            int count = (int) array.length();
            INDArray shaped = view(staging, 0, array.shape().clone(), rowStrides(array.shape()));
            bytes.clear().limit(count * (int) (bytes.capacity() / staging.length()));
            if (fill) {
                transfer.apply(bytes);
                Nd4j.getAffinityManager().tagLocation(staging, Location.HOST);
                array.assign(shaped);
                Nd4j.getExecutioner().commit();
            } else {
                shaped.assign(array);
                Nd4j.getExecutioner().commit();
                Nd4j.getAffinityManager().ensureLocation(staging, Location.HOST);
                transfer.apply(bytes);
            }
        }
    }

    /** The array at a position of the first axis. */
    private static INDArray slice(INDArray array, long at) {
        long[] shape = Arrays.copyOfRange(array.shape(), 1, array.rank());
        long[] strides = Arrays.copyOfRange(array.stride(), 1, array.rank());
        return view(array, at * array.stride(0), shape, strides);
    }

    /** The array at some positions of the first axis. */
    private static INDArray slices(INDArray array, long from, long count) {
        long[] shape = array.shape().clone();
        shape[0] = count;
        return view(array, from * array.stride(0), shape, array.stride().clone());
    }

    /** Made directly: get(..) gives an empty array for some views that do not start at their buffer's start. */
    private static INDArray view(INDArray array, long from, long[] shape, long[] strides) {
        return Nd4j.create(array.data(), shape, strides, array.offset() + from, 'c', array.dataType());
    }

    private static long[] rowStrides(long[] shape) {
        long[] strides = new long[shape.length];
        long elements = 1;
        for (int axis = shape.length - 1; axis >= 0; axis--) {
            strides[axis] = elements;
            elements *= shape[axis];
        }
        return strides;
    }
}
