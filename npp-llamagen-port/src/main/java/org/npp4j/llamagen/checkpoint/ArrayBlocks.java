package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;

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
                INDArrayIndex[] part = new INDArrayIndex[array.rank()];
                for (int axis = 1; axis < part.length; axis++) {
                    part[axis] = NDArrayIndex.all();
                }
                if (slice > staging.length()) {
                    part[0] = NDArrayIndex.point(from);
                    visit(array.get(part));
                } else {
                    part[0] = NDArrayIndex.interval(from, Math.min(array.size(0), from + step));
                    block(array.get(part));
                }
            }
        }

        private void block(INDArray array) throws IOException {
            int count = (int) array.length();
            INDArray flat = count == staging.length() ? staging : staging.get(NDArrayIndex.interval(0L, (long) count));
            INDArray shaped = flat.reshape('c', true, array.shape().clone());
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
}
