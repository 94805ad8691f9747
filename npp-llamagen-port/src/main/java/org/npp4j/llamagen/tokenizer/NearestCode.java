package org.npp4j.llamagen.tokenizer;

import java.util.stream.IntStream;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The code nearest to each block: the smallest |x - c|^2 = |x|^2 + |c|^2 - 2 x.c, where one matrix product gives all x.c.
 *
 * <p>Blocks and codes are 8-bit values and a block has at most {@link #MAX_VALUES} of them, so every product and sum is an
 * integer below 2^24. Float arithmetic is exact there: the result does not depend on the backend, the number of threads or
 * the order of a sum. Equally near codes: the lowest id.
 */
final class NearestCode {
    /** The most values D of a block: 256 x 255^2 is below 2^24. */
    static final int MAX_VALUES = 256;

    /** Bounds the memory of one product: R x V floats. */
    private static final int BLOCKS_PER_PRODUCT = 8192;

    private final byte[] codes;
    private final int values;
    private final int count;
    private final int[] norms;

    /**
     * @param codes [V x D] unsigned bytes
     * @param values D
     */
    NearestCode(byte[] codes, int values) {
        this.codes = codes;
        this.values = values;
        this.count = codes.length / values;
        this.norms = new int[count];
        for (int v = 0; v < count; v++) {
            norms[v] = squaredNorm(codes, v * values, values);
        }
    }

    /**
     * @param blocks [blocks x D] unsigned bytes
     * @param nearest receives the id of the nearest code of each block
     * @param squaredDistance receives |x - c|^2 of each block and its nearest code
     */
    @SuppressWarnings("try") // The scope is only held open.
    void find(byte[] blocks, int[] nearest, int[] squaredDistance) {
        try (MemoryWorkspace ignored = Nd4j.getWorkspaceManager().scopeOutOfWorkspaces();
                INDArray c = floats(codes, 0, count)) { // [V, D]
            for (int from = 0; from < nearest.length; from += BLOCKS_PER_PRODUCT) {
                int rows = Math.min(BLOCKS_PER_PRODUCT, nearest.length - from);
                float[] products = products(c, blocks, from, rows);
                int first = from;
                IntStream.range(0, rows).parallel().forEach(r -> {
                    int best = 0;
                    int least = Integer.MAX_VALUE;
                    for (int v = 0; v < count; v++) {
                        int distance = norms[v] - 2 * (int) products[r * count + v];
                        if (distance < least) {
                            least = distance;
                            best = v;
                        }
                    }
                    nearest[first + r] = best;
                    squaredDistance[first + r] = least + squaredNorm(blocks, (first + r) * values, values);
                });
            }
        }
    }

    /** x.c of some blocks and all codes, [R x V]. */
    private float[] products(INDArray c, byte[] blocks, int from, int rows) {
        // [V, D] x [D, R] -> [V, R] in 'f' order, which is [R, V] row by row; BLAS writes 'f' order fastest.
        try (INDArray x = floats(blocks, from, rows);
                INDArray product = Nd4j.createUninitialized(DataType.FLOAT, new long[] {count, rows}, 'f')) {
            c.mmuli(x.transpose(), product);
            return product.data().asFloat();
        }
    }

    private INDArray floats(byte[] source, int from, int rows) {
        float[] floats = new float[rows * values];
        for (int i = 0; i < floats.length; i++) {
            floats[i] = source[from * values + i] & 0xff;
        }
        return Nd4j.createFromArray(floats).reshape('c', rows, values);
    }

    private static int squaredNorm(byte[] source, int offset, int values) {
        int sum = 0;
        for (int i = offset; i < offset + values; i++) {
            int v = source[i] & 0xff;
            sum += v * v;
        }
        return sum;
    }
}
