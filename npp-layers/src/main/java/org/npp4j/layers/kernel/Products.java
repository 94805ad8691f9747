package org.npp4j.layers.kernel;

import java.lang.reflect.InvocationTargetException;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Matrix products between rows of activations, [R, in] in 'c' order, and weights, [in, out] in 'f' order.
 *
 * <p>They are computed by oneDNN where it is on the class path and the arrays are floats in the memory of the processor,
 * otherwise by the BLAS of the ND4J backend; also if that BLAS is MKL by the system property {@value #OPENBLAS_LOAD}. The
 * system property {@value #PROPERTY} chooses: {@code nd4j} or {@code onednn}.
 * The system property {@value #PRECISION_PROPERTY} or {@link #setPrecision} choose mixed precision.
 */
public final class Products {
    /** The system property that chooses the library: nd4j or onednn. */
    public static final String PROPERTY = "npp.products";

    /** The system property that sets the precision at start: float or bf16. */
    public static final String PRECISION_PROPERTY = "npp.precision";

    /** The system property by which ND4J takes another library for its BLAS, such as {@code mkl_rt}. */
    public static final String OPENBLAS_LOAD = "org.bytedeco.openblas.load";

    private static final Logger LOG = LoggerFactory.getLogger(Products.class);

    private static final String ONEDNN = "org.npp4j.layers.kernel.onednn.OneDnnProducts";
    private static final String ONEDNN_CONVOLUTIONS = "org.npp4j.layers.kernel.onednn.OneDnnConvolutions";
    private static final String ONEDNN_BF16 = "org.npp4j.layers.kernel.onednn.OneDnnBf16Products";
    private static final String ONEDNN_BINDING = "org.bytedeco.dnnl.global.dnnl";
    private static final String ADD_ONEDNN = "Add the dependencies org.bytedeco:dnnl:2.5.2-1.5.7, and"
            + " org.bytedeco:dnnl:2.5.2-1.5.7 and org.bytedeco:opencl:3.0-1.5.7 with the classifier of the system"
            + " (linux-x86_64, macosx-x86_64 or windows-x86_64), or build with -Ponednn";

    private static volatile MatrixProducts full;
    private static volatile MatrixProducts wide;
    private static Precision precision;

    private Products() {}

    /**
     * y = x W.
     *
     * @param x [R, in]
     * @param w [in, out], 'f' order
     * @param y [R, out], written
     */
    public static void linear(INDArray x, INDArray w, INDArray y) {
        inPrecision().multiply(x, w, y, 1, 0);
    }

    /**
     * y = x W where rows are few, as when a sequence is generated: then the time goes into reading the weight, and a result
     * in 'f' order lets it be read fastest. A single row is a product of the weight and a vector. Always in full precision,
     * since rounding the weight would take longer than the product.
     *
     * @param x [R, in], any order
     * @param w [in, out], 'f' order
     * @param y [R, out], 'f' order, written
     */
    public static void linearOfFewRows(INDArray x, INDArray w, INDArray y) {
        if (x.rows() == 1) {
            Nd4j.matmul(w.transpose(), x.reshape(w.rows()), y.reshape(w.columns())); // [out, in] x [in]
        } else {
            inFull().multiply(x, w, y, 1, 0);
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
        linearInputGradient(dy, w, dx, 1, keep);
    }

    /**
     * dx = scale dy W^T + keep dx.
     *
     * @param dy [R, out]
     * @param w [in, out], 'f' order
     * @param dx [R, in], written
     * @param scale factor of the product
     * @param keep 0 to overwrite dx, 1 to add to it
     */
    public static void linearInputGradient(INDArray dy, INDArray w, INDArray dx, double scale, double keep) {
        inPrecision().multiply(dy, w.transpose(), dx, scale, keep);
    }

    /**
     * dW = x^T dy.
     *
     * @param x [R, in]
     * @param dy [R, out]
     * @param dw [in, out], 'f' order, written
     */
    public static void linearWeightGradient(INDArray x, INDArray dy, INDArray dw) {
        linearWeightGradient(x, dy, dw, 1);
    }

    /**
     * dW = scale x^T dy.
     *
     * @param x [R, in]
     * @param dy [R, out]
     * @param dw [in, out], 'f' order, written
     * @param scale factor of the product
     */
    public static void linearWeightGradient(INDArray x, INDArray dy, INDArray dw, double scale) {
        inPrecision().multiply(x.transpose(), dy, dw, scale, 0);
    }

    /**
     * db = scale dy^T 1: the sums over the rows, as a product, because a sum over the rows is several times slower. Always in
     * full precision.
     *
     * @param dy [R, out]
     * @param db [out], or [1, out], or [out, 1], contiguous, written
     * @param scale factor of the sums
     */
    public static void linearBiasGradient(INDArray dy, INDArray db, double scale) {
        INDArray ones = Nd4j.ones(dy.dataType(), dy.size(0), 1);
        Nd4jProducts.INSTANCE.multiply(dy.transpose(), ones, db.reshape('f', db.length(), 1), scale, 0);
    }

    /**
     * Sets the precision of all products from now on, in this process; not while a network computes.
     *
     * @param precision to compute in
     * @throws IllegalStateException if it is bf16 and something is missing; says what
     */
    public static synchronized void setPrecision(Precision precision) {
        MatrixProducts products = precision == Precision.BF16 ? bf16() : inFull();
        LOG.info("Matrix products: {}", products.description());
        Products.precision = precision;
        wide = products;
    }

    /** {@return the precision of the products} */
    public static synchronized Precision precision() {
        inPrecision();
        return precision;
    }

    /** {@return what computes the products, for reports: the library, its version, and the precision if it is not full} */
    public static String description() {
        return inPrecision().description();
    }

    static MatrixProducts inPrecision() {
        MatrixProducts products = wide;
        if (products == null) {
            synchronized (Products.class) {
                if (wide == null) {
                    setPrecision(Precision.named(System.getProperty(PRECISION_PROPERTY, "float")));
                }
                products = wide;
            }
        }
        return products;
    }

    static MatrixProducts inFull() {
        MatrixProducts products = full;
        if (products == null) {
            synchronized (Products.class) {
                if (full == null) {
                    full = choose(System.getProperty(PROPERTY, ""));
                }
                products = full;
            }
        }
        return products;
    }

    static MatrixProducts choose(String asked) {
        switch (asked) {
            case "nd4j":
                return Nd4jProducts.INSTANCE;
            case "onednn":
                return oneDnn(ONEDNN, "The system property " + PROPERTY + " is onednn");
            case "":
                if (System.getProperty(OPENBLAS_LOAD) != null
                        || !cpu(backend())
                        || !onClassPath(ONEDNN_BINDING, Products.class.getClassLoader())) {
                    return Nd4jProducts.INSTANCE;
                }
                try {
                    return oneDnn(ONEDNN, "oneDNN is on the class path");
                } catch (IllegalStateException e) {
                    LOG.warn("{}. Products are computed by {}", e.getMessage(), Nd4jProducts.INSTANCE.description());
                    return Nd4jProducts.INSTANCE;
                }
            default:
                throw new IllegalArgumentException(
                        "The system property " + PROPERTY + " is \"" + asked + "\", but must be nd4j or onednn");
        }
    }

    /** {@return the convolutions of the library that computes products in full precision} */
    static Convolutions convolutions() {
        if (!inFull().getClass().getName().equals(ONEDNN)) {
            return Nd4jConvolutions.INSTANCE;
        }
        try {
            return (Convolutions)
                    Class.forName(ONEDNN_CONVOLUTIONS).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException | LinkageError e) {
            throw didNotLoad("oneDNN computes the products", e);
        }
    }

    private static MatrixProducts bf16() {
        return oneDnn(ONEDNN_BF16, "Mixed precision in bf16 was asked for");
    }

    private static MatrixProducts oneDnn(String name, String reason) {
        requireOneDnn(reason, backend(), Products.class.getClassLoader());
        try {
            return (MatrixProducts) Class.forName(name).getDeclaredConstructor().newInstance();
        } catch (InvocationTargetException e) {
            if (e.getCause() instanceof IllegalStateException) {
                throw (IllegalStateException) e.getCause();
            }
            throw didNotLoad(reason, e.getCause());
        } catch (ReflectiveOperationException | LinkageError e) {
            throw didNotLoad(reason, e);
        }
    }

    /**
     * Refuses oneDNN where it cannot be.
     *
     * @param reason why it is wanted, for the message
     * @param backend name of the ND4J backend's class
     * @param loader of the class path
     * @throws IllegalStateException if the backend is another's than the processor's, or oneDNN is not on the class path
     */
    static void requireOneDnn(String reason, String backend, ClassLoader loader) {
        if (!cpu(backend)) {
            throw new IllegalStateException(reason + ", but oneDNN computes on the processor, and the ND4J backend is "
                    + backend + ". Take nd4j-native for the backend");
        }
        if (!onClassPath(ONEDNN_BINDING, loader)) {
            throw new IllegalStateException(reason + ", but oneDNN is not on the class path. " + ADD_ONEDNN);
        }
    }

    private static IllegalStateException didNotLoad(String reason, Throwable cause) {
        return new IllegalStateException(reason + ", but it did not load (" + cause + "). " + ADD_ONEDNN, cause);
    }

    private static String backend() {
        return Nd4j.getBackend().getClass().getSimpleName();
    }

    private static boolean cpu(String backend) {
        return backend.startsWith("Cpu");
    }

    private static boolean onClassPath(String name, ClassLoader loader) {
        try {
            Class.forName(name, false, loader);
            return true;
        } catch (ClassNotFoundException | LinkageError e) {
            return false;
        }
    }
}
