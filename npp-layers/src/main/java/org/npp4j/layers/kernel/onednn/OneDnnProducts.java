package org.npp4j.layers.kernel.onednn;

import static org.bytedeco.dnnl.global.dnnl.dnnl_sgemm;
import static org.bytedeco.dnnl.global.dnnl.dnnl_success;
import static org.bytedeco.dnnl.global.dnnl.dnnl_version;

import java.util.Map;
import org.bytedeco.dnnl.dnnl_version_t;
import org.bytedeco.dnnl.engine;
import org.bytedeco.dnnl.stream;
import org.bytedeco.javacpp.Loader;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.MatrixProducts;
import org.npp4j.layers.kernel.Nd4jProducts;

/**
 * Products of floats by oneDNN, by its {@code dnnl_sgemm} or, where that is faster, its {@code matmul}; what it does not
 * take goes to ND4J.
 */
public final class OneDnnProducts implements MatrixProducts {
    private final ThreadLocal<Shapes> shapes;

    /**
     * Loads oneDNN.
     *
     * @throws UnsatisfiedLinkError if its natives are missing
     */
    public OneDnnProducts() {
        Loader.load(org.bytedeco.dnnl.global.dnnl.class);
        engine processor = new engine(engine.kind.cpu, 0);
        shapes = ThreadLocal.withInitial(() -> new Shapes(processor));
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

    private void multiply(
            INDArray a,
            MatrixLayout left,
            INDArray b,
            MatrixLayout right,
            INDArray c,
            MatrixLayout result,
            float alpha,
            float beta) {
        FloatProduct.Key key = new FloatProduct.Key(left, right, result);
        if (alpha == 1 && beta == 0 && key.isFaster()) {
            shapes.get().multiply(key, a, b, c);
            return;
        }
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

    /** The products that a thread has made, with its stream: threads compute at the same time. */
    private static final class Shapes {
        private final engine processor;
        private final stream stream;
        private final Map<FloatProduct.Key, FloatProduct> products = new Recent<>();

        Shapes(engine processor) {
            this.processor = processor;
            stream = new stream(processor);
        }

        void multiply(FloatProduct.Key key, INDArray a, INDArray b, INDArray c) {
            products.computeIfAbsent(key, shape -> new FloatProduct(shape, processor))
                    .execute(stream, MatrixLayout.memory(a), MatrixLayout.memory(b), MatrixLayout.memory(c));
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
