package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.factory.Nd4j;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Chooses the {@link TransformerKernel}, the {@link ImageKernel} and the {@link Convolutions} of this process.
 *
 * <p>On processors, in single precision, the kernels are of fused passes with the JDK's Vector API, if the JVM was started with
 * {@code --add-modules jdk.incubator.vector}; otherwise of ND4J's operations. The system property {@value #PROPERTY}
 * set to {@code nd4j} keeps to ND4J's operations. Convolutions are
 * computed by the library that computes products in full precision, see {@link Products}.
 */
public final class Kernels {
    /** The system property that chooses. */
    public static final String PROPERTY = "npp.kernel";

    private static final Logger LOG = LoggerFactory.getLogger(Kernels.class);
    private static final String VECTOR_MODULE = "jdk.incubator.vector";
    private static final String VECTOR_IMAGE_KERNEL = "org.npp4j.layers.kernel.vector.VectorImageKernel";
    private static final String VECTOR_KERNEL = "org.npp4j.layers.kernel.vector.VectorKernel";

    private Kernels() {}

    private static final class Chosen {
        private static final TransformerKernel FLOAT = choose();
        private static final ImageKernel IMAGES =
                FLOAT == Nd4jKernel.INSTANCE ? Nd4jImageKernel.INSTANCE : (ImageKernel) vector(VECTOR_IMAGE_KERNEL);
    }

    private static final class ChosenConvolutions {
        private static final Convolutions FLOAT = Products.convolutions();
    }

    /**
     * The kernel for arrays of a type.
     *
     * @param dataType of all floating point arrays
     * @return the fastest there is
     */
    public static TransformerKernel of(DataType dataType) {
        return dataType == DataType.FLOAT ? Chosen.FLOAT : Nd4jKernel.INSTANCE;
    }

    /**
     * The operations of images for arrays of a type.
     *
     * @param dataType of all floating point arrays
     * @return the fastest there is
     */
    public static ImageKernel images(DataType dataType) {
        return dataType == DataType.FLOAT ? Chosen.IMAGES : Nd4jImageKernel.INSTANCE;
    }

    /**
     * The convolutions for arrays of a type.
     *
     * @param dataType of all floating point arrays
     * @return the fastest there is
     */
    public static Convolutions convolutions(DataType dataType) {
        return dataType == DataType.FLOAT ? ChosenConvolutions.FLOAT : Nd4jConvolutions.INSTANCE;
    }

    private static TransformerKernel choose() {
        String asked = System.getProperty(PROPERTY, "");
        if (!asked.isEmpty() && !asked.equals("nd4j") && !asked.equals("vector")) {
            throw new IllegalArgumentException(
                    "The system property " + PROPERTY + " is \"" + asked + "\", but must be nd4j or vector");
        }
        boolean vector = ModuleLayer.boot().findModule(VECTOR_MODULE).isPresent();
        if (asked.equals("vector") && !vector) {
            throw new IllegalStateException("The system property " + PROPERTY
                    + " is \"vector\", but the JVM lacks the module. Start it with --add-modules " + VECTOR_MODULE);
        }
        boolean cpu = Nd4j.getBackend().getClass().getSimpleName().startsWith("Cpu");
        if (asked.equals("nd4j") || !vector || !cpu) {
            LOG.info(
                    "Fused operations: ND4J's{}",
                    cpu && !vector ? " (faster with --add-modules " + VECTOR_MODULE + ")" : "");
            return Nd4jKernel.INSTANCE;
        }
        LOG.info("Fused operations: the JDK's Vector API");
        return (TransformerKernel) vector(VECTOR_KERNEL);
    }

    private static Object vector(String name) {
        try {
            return Class.forName(name).getDeclaredConstructor().newInstance();
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(
                    "The Vector API of this JVM does not serve " + name + ". Set the system property " + PROPERTY
                            + " to nd4j",
                    e);
        }
    }
}
