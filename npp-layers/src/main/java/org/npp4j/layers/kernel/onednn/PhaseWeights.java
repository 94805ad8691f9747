package org.npp4j.layers.kernel.onednn;

import java.lang.ref.Reference;
import java.util.Arrays;
import org.bytedeco.javacpp.FloatPointer;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.ConvolutionWindow;

/** The weights with which one of four output pixels of a doubled image sees the image as it is. */
final class PhaseWeights {
    private PhaseWeights() {}

    /**
     * Adds up the weights that fall on the same pixel.
     *
     * @param w [taps in, out] in 'f' order: rows of [out, k, k, in]
     * @param sums rows of [out, window of the phase, in], written
     * @param window of the doubled image
     * @param down 0 for even output rows, 1 for odd ones
     * @param across 0 for even output columns, 1 for odd ones
     * @param sizes of the phase
     */
    static void sum(INDArray w, INDArray sums, ConvolutionWindow window, int down, int across, ConvolutionSizes sizes) {
        int side = window.side();
        int in = (int) sizes.in();
        int columns = sizes.columns().side();
        float[] row = new float[side * side * in];
        float[] sum = new float[sizes.rows().side() * columns * in];
        try (FloatPointer from = MatrixLayout.memory(w);
                FloatPointer to = MatrixLayout.memory(sums)) {
            for (long o = 0; o < sizes.out(); o++) {
                from.position(o * row.length).get(row, 0, row.length);
                Arrays.fill(sum, 0);
                for (int i = 0; i < side; i++) {
                    int r = Math.floorDiv(down + i - window.top(), 2)
                            + sizes.rows().before();
                    for (int j = 0; j < side; j++) {
                        int c = Math.floorDiv(across + j - window.left(), 2)
                                + sizes.columns().before();
                        add(row, (i * side + j) * in, sum, (r * columns + c) * in, in);
                    }
                }
                to.position(o * sum.length).put(sum, 0, sum.length);
            }
        }
        Reference.reachabilityFence(w);
        Reference.reachabilityFence(sums);
    }

    private static void add(float[] x, int xFrom, float[] y, int yFrom, int length) {
        for (int i = 0; i < length; i++) {
            y[yFrom + i] += x[xFrom + i];
        }
    }
}
