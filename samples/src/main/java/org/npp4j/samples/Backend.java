package org.npp4j.samples;

import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import org.bytedeco.javacpp.Loader;
import org.nd4j.linalg.api.environment.Nd4jEnvironment;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.factory.Nd4jBackend;
import org.npp4j.layers.kernel.Products;
import org.npp4j.samples.report.RunEnvironment;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Model.CommandSpec;

/**
 * The ND4J backend that runs the arithmetic: checked once, before anything else, and described for the report.
 *
 * <p>ND4J itself takes the next backend if the best one cannot run. Here that is an error: who asked for the GPU must
 * not find out from the clock that the CPU did the work.
 *
 * @param name CPU or CUDA
 * @param blas BLAS library
 * @param threads threads of ND4J's operations
 * @param blasThreads threads of BLAS
 * @param devices the GPUs, or an empty string
 */
record Backend(String name, String blas, int threads, int blasThreads, String devices) {
    private static final Logger LOG = LoggerFactory.getLogger(Backend.class);

    private static final String MKL = "org.bytedeco.mkl.global.mkl_rt";

    static final String NONE = "No ND4J backend is on the class path, so nothing can be computed. Add the dependency"
            + " org.nd4j:nd4j-native-platform:1.0.0-M2.1 (CPU) to your project, or start with ./npp, which brings"
            + " one; for an NVIDIA GPU: ./npp --cuda, or build with -Pcuda";

    /**
     * Starts ND4J.
     *
     * @return what it runs on
     * @throws AppException if there is no backend or it cannot run here
     */
    static Backend start() {
        loadMkl();
        List<Nd4jBackend> found = new ArrayList<>();
        try {
            ServiceLoader.load(Nd4jBackend.class).forEach(found::add);
        } catch (ServiceConfigurationError | LinkageError e) {
            throw new AppException(cannotStart(e), e);
        }
        requireUsable(found);
        try {
            return of(Nd4j.getExecutioner().getEnvironmentInformation());
        } catch (LinkageError | RuntimeException e) {
            throw startFailure(found, e);
        }
    }

    /**
     * Makes MKL the BLAS if it is on the class path. It must be loaded before ND4J: OpenBLAS's binding, told to take it,
     * does not find its threads otherwise.
     */
    private static void loadMkl() {
        Class<?> mkl;
        try {
            mkl = Class.forName(MKL, false, Backend.class.getClassLoader());
        } catch (ClassNotFoundException e) {
            return;
        }
        try {
            Loader.load(mkl);
        } catch (LinkageError e) {
            throw new AppException(
                    "MKL is on the class path, but did not load (" + root(e)
                            + "). It is for Linux and Windows on x86_64:"
                            + " start without --mkl, NPP_PROFILE=mkl and -Pmkl",
                    e);
        }
        if (System.getProperty(Products.OPENBLAS_LOAD) == null) {
            System.setProperty(Products.OPENBLAS_LOAD, "mkl_rt");
        }
    }

    /**
     * Refuses a machine that cannot run every backend on the class path.
     *
     * @param found the backends on the class path
     * @throws AppException if there is none, or one is not available
     */
    static void requireUsable(List<Nd4jBackend> found) {
        if (found.isEmpty()) {
            throw new AppException(NONE);
        }
        for (Nd4jBackend backend : found) {
            boolean available;
            Throwable reason = null;
            PrintStream err = System.err;
            ByteArrayOutputStream printed = new ByteArrayOutputStream();
            try {
                // The CUDA backend prints a stack trace of its own.
                System.setErr(new PrintStream(printed, true, StandardCharsets.UTF_8));
                available = backend.isAvailable();
            } catch (RuntimeException | LinkageError e) {
                available = false;
                reason = e;
            } finally {
                System.setErr(err);
                if (printed.size() > 0) {
                    LOG.debug("{} printed: {}", backend, printed.toString(StandardCharsets.UTF_8));
                }
            }
            if (!available) {
                throw new AppException(
                        isCuda(backend) ? noGpu(reason) : nativesMissing(reason == null ? null : root(reason)), reason);
            }
        }
    }

    /**
     * Explains why a backend that seemed usable did not start.
     *
     * @param found the backends on the class path
     * @param thrown what ND4J threw
     * @return the explanation, or what was thrown if {@link Failure} explains it better
     */
    static RuntimeException startFailure(List<Nd4jBackend> found, Throwable thrown) {
        if (found.stream().anyMatch(Backend::isCuda)) {
            return new AppException(noGpu(thrown), thrown);
        }
        for (Throwable cause = thrown; cause != null; cause = cause.getCause()) {
            if (cause instanceof UnsatisfiedLinkError) {
                return new AppException(nativesMissing(cause.getMessage()), thrown);
            }
        }
        return new AppException(cannotStart(thrown), thrown);
    }

    private static String cannotStart(Throwable thrown) {
        return "ND4J did not start (" + root(thrown) + "). --verbose shows more";
    }

    static String nativesMissing(String reason) {
        return "The native libraries of ND4J did not load (" + reason + "). This system is "
                + System.getProperty("os.name") + " " + System.getProperty("os.arch")
                + ": build anew on it, so that its own natives are fetched (rm -r samples/target, then ./npp ..)";
    }

    private static String noGpu(Throwable reason) {
        return "CUDA was asked for, but no GPU can be used" + (reason == null ? "" : " (" + root(reason) + ")")
                + ". Install the NVIDIA driver for CUDA 11.6 or newer (nvidia-smi must list the GPU), or go back to the"
                + " CPU: start without --cuda, NPP_PROFILE=cuda and -Pcuda";
    }

    private static boolean isCuda(Nd4jBackend backend) {
        return backend.getClass().getName().contains("Cublas")
                || backend.getClass().getName().contains("cuda");
    }

    private static String root(Throwable thrown) {
        Throwable root = thrown;
        while (root.getCause() != null && root.getCause() != root) {
            root = root.getCause();
        }
        return root.getMessage() == null
                ? root.getClass().getSimpleName()
                // "/where/it/was/unpacked/libx.so: libcuda.so.1: cannot open ..": the second name is the one missing
                : root.getMessage().replaceFirst("^/\\S+: (?=\\S+\\.so)", "");
    }

    private static Backend of(Properties environment) {
        return new Backend(
                String.valueOf(environment.get(Nd4jEnvironment.BACKEND_KEY)),
                String.valueOf(environment.get(Nd4jEnvironment.BLAS_VENDOR_KEY)),
                number(environment, Nd4jEnvironment.OMP_THREADS_KEY),
                number(environment, Nd4jEnvironment.BLAS_THREADS_KEY),
                devices(environment.get(Nd4jEnvironment.CUDA_DEVICE_INFORMATION_KEY)));
    }

    private static int number(Properties environment, String key) {
        Object value = environment.get(key);
        return value instanceof Number ? ((Number) value).intValue() : 0;
    }

    private static String devices(Object information) {
        List<String> names = new ArrayList<>();
        if (information instanceof Iterable) {
            for (Object device : (Iterable<?>) information) {
                if (device instanceof Map) {
                    Map<?, ?> values = (Map<?, ?>) device;
                    names.add(values.get(Nd4jEnvironment.CUDA_DEVICE_NAME_KEY) + " (compute capability "
                            + values.get(Nd4jEnvironment.CUDA_DEVICE_MAJOR_VERSION_KEY) + "."
                            + values.get(Nd4jEnvironment.CUDA_DEVICE_MINOR_VERSION_KEY) + ")");
                }
            }
        }
        return String.join(", ", names);
    }

    /**
     * What a run is made with.
     *
     * @param started when it began
     * @param command that was called
     * @return for a report
     */
    RunEnvironment environment(Instant started, CommandSpec command) {
        return new RunEnvironment(
                started.truncatedTo(ChronoUnit.SECONDS).toString(),
                "npp "
                        + String.join(
                                " ",
                                command.root().commandLine().getParseResult().originalArgs()),
                Versions.all(),
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"),
                Runtime.getRuntime().availableProcessors(),
                Runtime.getRuntime().maxMemory() / (double) (1L << 30),
                name,
                blas,
                threads,
                blasThreads,
                devices);
    }

    /** The backend in words, for the log. */
    @Override
    public String toString() {
        return name + " backend, BLAS " + blas + ", " + threads + " threads"
                + (devices.isEmpty() ? "" : ", " + devices);
    }
}
