package org.npp4j.layers.kernel.onednn;

import static org.bytedeco.dnnl.global.dnnl.dnnl_sgemm;
import static org.bytedeco.dnnl.global.dnnl.dnnl_success;
import static org.bytedeco.dnnl.global.dnnl.dnnl_version;

import org.bytedeco.dnnl.dnnl_version_t;
import org.bytedeco.javacpp.Loader;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.MatrixProducts;
import org.npp4j.layers.kernel.Nd4jProducts;

/** Products of floats by oneDNN's {@code dnnl_sgemm}; what it does not take goes to ND4J. */
public final class OneDnnProducts implements MatrixProducts {
    /**
     * Loads oneDNN.
     *
     * @throws UnsatisfiedLinkError if its natives are missing
     */
    public OneDnnProducts() {
        Loader.load(org.bytedeco.dnnl.global.dnnl.class);
    }

    @Override
    public void multiply(INDArray a, INDArray b, INDArray c, double alpha, double beta) {
        MatrixLayout left = MatrixLayout.of(a);
        MatrixLayout right = MatrixLayout.of(b);
        MatrixLayout result = MatrixLayout.of(c);
        if (left == null || right == null || result == null) {
            Nd4jProducts.INSTANCE.multiply(a, b, c, alpha, beta);
        } else if (result.byRows()) {
            multiply(a, left, b, right, c, result, (float) alpha, (float) beta);
        } else {
            // c^T = b^T a^T
            multiply(b, right.transpose(), a, left.transpose(), c, result.transpose(), (float) alpha, (float) beta);
        }
    }

    private static void multiply(
            INDArray a,
            MatrixLayout left,
            INDArray b,
            MatrixLayout right,
            INDArray c,
            MatrixLayout result,
            float alpha,
            float beta) {
        int status = dnnl_sgemm(
                (byte) (left.byRows() ? 'N' : 'T'),
                (byte) (right.byRows() ? 'N' : 'T'),
                result.rows(),
                result.columns(),
                left.columns(),
                alpha,
                MatrixLayout.memory(a),
                left.leading(),
                MatrixLayout.memory(b),
                right.leading(),
                beta,
                MatrixLayout.memory(c),
                result.leading());
        if (status != dnnl_success) {
            throw new IllegalStateException(
                    "dnnl_sgemm failed with status " + status + " for " + left + " x " + right + " = " + result);
        }
    }

    @Override
    public String description() {
        return version();
    }

    static String version() {
        dnnl_version_t version = dnnl_version();
        return "oneDNN " + version.major() + "." + version.minor() + "." + version.patch();
    }
}
