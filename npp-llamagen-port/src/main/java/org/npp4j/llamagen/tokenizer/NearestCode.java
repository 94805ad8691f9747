package org.npp4j.llamagen.tokenizer;

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

    private final CodeProducts products;
    private final int values;
    private final int[] norms;

    /**
     * @param codes [V x D] unsigned bytes
     * @param values D
     */
    NearestCode(byte[] codes, int values) {
        this.values = values;
        float[] floats = new float[codes.length];
        toFloats(codes, 0, floats);
        this.products = new CodeProducts(floats, values);
        this.norms = new int[codes.length / values];
        for (int v = 0; v < norms.length; v++) {
            norms[v] = squaredNorm(codes, v * values, values);
        }
    }

    /**
     * @param blocks [blocks x D] unsigned bytes
     * @param nearest receives the id of the nearest code of each block
     * @param squaredDistance receives |x - c|^2 of each block and its nearest code
     */
    void find(byte[] blocks, int[] nearest, int[] squaredDistance) {
        products.forEach(
                nearest.length, (from, target) -> toFloats(blocks, from * values, target), (row, all, start) -> {
                    int best = 0;
                    int least = Integer.MAX_VALUE;
                    for (int v = 0; v < norms.length; v++) {
                        int distance = norms[v] - 2 * (int) all[start + v];
                        if (distance < least) {
                            least = distance;
                            best = v;
                        }
                    }
                    nearest[row] = best;
                    squaredDistance[row] = least + squaredNorm(blocks, row * values, values);
                });
    }

    private static void toFloats(byte[] source, int from, float[] target) {
        for (int i = 0; i < target.length; i++) {
            target[i] = source[from + i] & 0xff;
        }
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
