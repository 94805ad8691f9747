package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Matrix products between rows of activations, [R, in] in 'c' order, and weights, [in, out] in 'f' order.
 *
 * <p>ND4J's products are fast only into 'f' ordered results (a 'c' ordered result costs several times as much), so
 * results in 'c' order are written through their transposed view: y^T = W^T x^T.
 */
public final class Products {
    private Products() {}

    /**
     * y = x W.
     *
     * @param x [R, in]
     * @param w [in, out], 'f' order
     * @param y [R, out], written
     */
    public static void linear(INDArray x, INDArray w, INDArray y) {
        Nd4j.gemm(w, x, y.transpose(), true, true, 1, 0);
    }

    /**
     * y = x W where rows are few, as when a sequence is generated: then the time goes into reading the weight, and a result
     * in 'f' order lets BLAS read it fastest (8 rows: a quarter less time than {@link #linear}). A single row is a product
     * of the weight and a vector.
     *
     * @param x [R, in], any order
     * @param w [in, out], 'f' order
     * @param y [R, out], 'f' order, written
     */
    public static void linearOfFewRows(INDArray x, INDArray w, INDArray y) {
        if (x.rows() == 1) {
            Nd4j.matmul(w.transpose(), x.reshape(w.rows()), y.reshape(w.columns())); // [out, in] x [in]
        } else {
            Nd4j.gemm(x, w, y, false, false, 1, 0);
        }
    }

    /**
     * dx = dy W^T + keep dx.
     *
     * @param dy [R, out]
     * @param w [in, out], 'f' order
     * @param dx [R, in], written
     * @param keep 0 to overwrite dx, 1 to add to it
     */
    public static void linearInputGradient(INDArray dy, INDArray w, INDArray dx, double keep) {
        Nd4j.gemm(w, dy, dx.transpose(), false, true, 1, keep);
    }

    /**
     * dW = x^T dy.
     *
     * @param x [R, in]
     * @param dy [R, out]
     * @param dw [in, out], 'f' order, written
     */
    public static void linearWeightGradient(INDArray x, INDArray dy, INDArray dw) {
        Nd4j.gemm(x, dy, dw, true, false, 1, 0);
    }
}
