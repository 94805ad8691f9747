package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import org.nd4j.linalg.api.ndarray.INDArray;

/** An array in memory, to be written. */
final class ArraySource implements TensorSource {
    private final INDArray array;
    private final TensorType type;

    ArraySource(INDArray array) {
        this.array = array;
        this.type = TensorType.of(array.dataType());
    }

    @Override
    public TensorType type() {
        return type;
    }

    @Override
    public long[] shape() {
        return array.shape().clone();
    }

    @Override
    public void writeTo(OutputStream out) throws IOException {
        byte[] copy = new byte[1 << 16];
        ArrayBlocks.drain(array, bytes -> {
            while (bytes.hasRemaining()) {
                int count = Math.min(copy.length, bytes.remaining());
                bytes.get(copy, 0, count);
                out.write(copy, 0, count);
            }
        });
    }
}
