package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.environment.Nd4jEnvironment;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The BLAS of the ND4J backend: any backend, any type. It is fast only into 'f' ordered results (a 'c' ordered result costs
 * several times as much), so that results in 'c' order are written through their transposed view: c^T = b^T a^T.
 */
public final class Nd4jProducts implements MatrixProducts {
    /** The only instance. */
    public static final Nd4jProducts INSTANCE = new Nd4jProducts();

    private Nd4jProducts() {}

    @Override
    public void multiply(INDArray a, INDArray b, INDArray c, double alpha, double beta) {
        if (c.stride(0) == 1 && c.ordering() == 'f') {
            Nd4j.gemm(a, b, c, false, false, alpha, beta);
        } else {
            Nd4j.gemm(b, a, c.transpose(), true, true, alpha, beta);
        }
    }

    @Override
    public String description() {
        String vendor =
                String.valueOf(Nd4j.getExecutioner().getEnvironmentInformation().get(Nd4jEnvironment.BLAS_VENDOR_KEY));
        return vendor.equals("OPENBLAS") ? "OpenBLAS" : vendor;
    }
}
