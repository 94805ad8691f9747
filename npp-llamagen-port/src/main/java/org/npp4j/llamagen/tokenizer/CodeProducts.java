package org.npp4j.llamagen.tokenizer;

import java.util.stream.IntStream;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.concurrency.AffinityManager.Location;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The products x.c of rows with all codes, one matrix product for each block of rows: an array [all rows, V] is never made.
 */
final class CodeProducts {
    /** Bounds the memory of one product: R x V floats. */
    private static final int MAX_PRODUCTS = 1 << 21;

    private final float[] codes;
    private final int values;
    private final int count;

    /** Chooses a code. */
    @FunctionalInterface
    interface Choice {
        /**
         * Called once for each row, from several threads.
         *
         * @param row index of the row
         * @param products of several rows
         * @param start where the V products of this row begin
         */
        void choose(int row, float[] products, int start);
    }

    /** Fills in rows. */
    @FunctionalInterface
    interface Rows {
        /**
         * Fills in some rows.
         *
         * @param from index of the first
         * @param target [rows x D]
         */
        void fill(int from, float[] target);
    }

    /**
     * @param codes [V x D]
     * @param values D
     */
    CodeProducts(float[] codes, int values) {
        this.codes = codes;
        this.values = values;
        this.count = codes.length / values;
    }

    /**
     * Goes through all rows.
     *
     * @param rows how many
     * @param source gives them
     * @param choice gets the products of each
     */
    @SuppressWarnings("try") // The scope is only held open.
    void forEach(int rows, Rows source, Choice choice) {
        int perProduct = Math.max(1, Math.min(rows, MAX_PRODUCTS / count));
        try (MemoryWorkspace ignored = Nd4j.getWorkspaceManager().scopeOutOfWorkspaces();
                INDArray c = Nd4j.createFromArray(codes).reshape('c', count, values)) { // [V, D]
            for (int from = 0; from < rows; from += perProduct) {
                int first = from;
                int inBlock = Math.min(perProduct, rows - from);
                float[] block = new float[inBlock * values];
                source.fill(from, block);
                float[] products = products(c, block, inBlock);
                IntStream.range(0, inBlock).parallel().forEach(r -> choice.choose(first + r, products, r * count));
            }
        }
    }

    /** x.c of some rows and all codes, [R x V]. */
    private float[] products(INDArray c, float[] block, int rows) {
        // [V, D] x [D, R] -> [V, R] in 'f' order, which is [R, V] row by row; BLAS writes 'f' order fastest.
        try (INDArray x = Nd4j.createFromArray(block).reshape('c', rows, values);
                INDArray product = Nd4j.createUninitialized(DataType.FLOAT, new long[] {count, rows}, 'f')) {
            c.mmuli(x.transpose(), product);
            Nd4j.getExecutioner().commit();
            float[] floats = new float[rows * count];
            Nd4j.getAffinityManager().ensureLocation(product, Location.HOST);
            product.data().asNioFloat().get(floats);
            return floats;
        }
    }
}
