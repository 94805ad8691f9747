package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.EOFException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.factory.Nd4jBackend;
import org.nd4j.linalg.factory.Nd4jBackend.NoAvailableBackendException;
import org.npp4j.llamagen.files.AtomicFile;

class FailureTest {
    @Test
    void noBackendHoweverWrapped() {
        Throwable none = new NoAvailableBackendException("Please ensure that you have an nd4j backend");
        for (Throwable thrown : List.of(
                none,
                new RuntimeException(none),
                new ExceptionInInitializerError(new RuntimeException(none)),
                initCause(new NoClassDefFoundError("Could not initialize class org.nd4j.linalg.factory.Nd4j"), none))) {
            says(thrown, "No ND4J backend", "org.nd4j:nd4j-native-platform:1.0.0-M2.1", "-Pcuda", "./npp --cuda");
        }
        says(assertThrows(AppException.class, () -> Backend.requireUsable(List.of())), "No ND4J backend");
        says(new NoClassDefFoundError("Could not initialize class org.nd4j.linalg.factory.Nd4j"), "ND4J did not start");
    }

    @Test
    void cudaWithoutADriver() {
        RuntimeException reason = new RuntimeException(new UnsatisfiedLinkError(
                "/home/me/.javacpp/cache/libjnicudart.so: libcuda.so.1: cannot open shared object file"));
        says(
                assertThrows(AppException.class, () -> Backend.requireUsable(List.of(new JCublasBackendStub(reason)))),
                "no GPU can be used (libcuda.so.1: cannot open shared object file)",
                "NVIDIA driver",
                "without --cuda");
        says(
                assertThrows(AppException.class, () -> Backend.requireUsable(List.of(new JCublasBackendStub(null)))),
                "no GPU can be used",
                "NVIDIA driver");
        says(
                Backend.startFailure(
                        List.of(new JCublasBackendStub(null)),
                        new NoClassDefFoundError("Could not initialize class org.bytedeco.cuda.global.cudart")),
                "no GPU can be used",
                "org.bytedeco.cuda.global.cudart");
    }

    @Test
    void cudaNeverFallsBackToTheCpu() {
        Exception e = assertThrows(
                AppException.class,
                () -> Backend.requireUsable(List.of(new CpuBackendStub(true), new JCublasBackendStub(null))));
        says(e, "CUDA was asked for", "go back to the CPU");
    }

    @Test
    void cpuNativesMissing() {
        says(
                Backend.startFailure(
                        List.of(new CpuBackendStub(true)),
                        new ExceptionInInitializerError(new UnsatisfiedLinkError("no jnind4jcpu"))),
                "native libraries",
                "no jnind4jcpu",
                System.getProperty("os.arch"));
        says(
                assertThrows(AppException.class, () -> Backend.requireUsable(List.of(new CpuBackendStub(false)))),
                "native libraries");
        says(
                Backend.startFailure(List.of(new CpuBackendStub(true)), new IllegalStateException("odd")),
                "ND4J did not start (odd)");
    }

    @Test
    void theRealBackendStarts() {
        Backend backend = Backend.start();
        assertEquals("CPU", backend.name());
        assertFalse(backend.blas().isEmpty());
        assertTrue(backend.threads() > 0);
        assertTrue(backend.toString().contains("CPU backend, BLAS"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"No space left on device", "Disk quota exceeded", "There is not enough space on the disk"})
    void diskFullNamesTheFile(String reason) {
        Path file = Path.of("target", "full", "ntp.zip");
        Exception e = assertThrows(
                IOException.class,
                () -> AtomicFile.write(file, out -> {
                    throw new IOException(reason);
                }));
        says(e, "The disk is full", file.toString(), "--out");
        says(new UncheckedIOException((IOException) e), "The disk is full", file.toString());
        says(new RuntimeException(new IOException(reason)), "The disk is full: cannot write the output");
    }

    @Test
    void files() {
        says(new AccessDeniedException("out/report.json"), "No permission to use out/report.json", "--out");
        says(new java.nio.file.NoSuchFileException("train.gz"), "There is no train.gz");
        says(new java.nio.file.ReadOnlyFileSystemException(), "read-only");
        says(new java.nio.file.FileSystemException("a", null, "odd"), "Cannot use a: odd");
        assertEquals("a.json holds no tokenizer", Failure.explain(new IOException("a.json holds no tokenizer")));
        says(new EOFException("cut off"), "EOFException: cut off");
        assertEquals("a?[2Jb c", Failure.explain(new IOException("a\u009b[2Jb\nc")));
    }

    @Test
    void namesTheOptionOfTheCommand() {
        AccessDeniedException denied = new AccessDeniedException("codes/1.npy");
        assertEquals(
                "No permission to use codes/1.npy. Change its permissions, or choose another folder with --code-path",
                Failure.explain(denied, "--code-path"));
        assertEquals(
                "No permission to use codes/1.npy. Change its permissions, or choose another folder",
                Failure.explain(denied, null));
    }

    @Test
    void outOfMemorySaysWhichLimit() {
        says(new OutOfMemoryError("Java heap space"), "Java heap", "NPP_JAVA_OPTS=-Xmx2g");
        says(
                new OutOfMemoryError("Physical memory usage is too high: physicalBytes (3G) > maxPhysicalBytes (2G)"),
                "arrays",
                "physicalBytes (3G)",
                "smaller batch or model",
                "NPP_JAVA_OPTS=-Dnpp.memory=12g ./npp");
        says(
                new RuntimeException(new OutOfMemoryError("Cannot allocate new FloatPointer(1000)")),
                "Out of memory for arrays (Cannot allocate new FloatPointer(1000))");
        says(
                new OutOfMemoryError("Failed to allocate [1000] bytes"),
                "Failed to allocate [1000] bytes",
                "-Dnpp.memory");
        // more than any machine has
        says(
                assertThrows(RuntimeException.class, () -> Nd4j.create(DataType.FLOAT, 1L << 45)),
                "Out of memory for arrays (Allocation failed: [",
                "smaller batch or model");
        says(new OutOfMemoryError("unable to create native thread"), "ulimit -u");
    }

    @Test
    void anythingElse() {
        says(new IllegalArgumentException("Patch side 3 does not divide"), "Patch side 3 does not divide");
        assertEquals("Patch side 3", Failure.explain(new IllegalArgumentException("Patch side 3")));
        assertEquals("ArithmeticException: / by zero", Failure.explain(new ArithmeticException("/ by zero")));
        says(new NullPointerException(), "Unexpected NullPointerException", "--verbose");
        says(new AppException("one\n  two"), "one two");
    }

    @Test
    void causesThatLoop() {
        RuntimeException first = new RuntimeException("first");
        first.initCause(new RuntimeException("second", first));
        says(first, "first");
    }

    private static Throwable initCause(Throwable thrown, Throwable cause) {
        return thrown.initCause(cause);
    }

    private static void says(Throwable thrown, String... parts) {
        String explanation = Failure.explain(thrown);
        assertFalse(explanation.contains("\n"), explanation);
        for (String part : parts) {
            assertTrue(explanation.contains(part), explanation + " lacks: " + part);
        }
    }

    private static class CpuBackendStub extends Nd4jBackend {
        private final boolean available;

        CpuBackendStub(boolean available) {
            this.available = available;
        }

        @Override
        public boolean isAvailable() {
            return available;
        }

        @Override
        public boolean allowsOrder() {
            return false;
        }

        @Override
        public int getPriority() {
            return 0;
        }

        @Override
        public boolean canRun() {
            return true;
        }

        @Override
        public org.nd4j.common.io.Resource getConfigurationResource() {
            return null;
        }

        @Override
        @SuppressWarnings("rawtypes")
        public Class getNDArrayClass() {
            return null;
        }

        @Override
        public org.nd4j.linalg.factory.Environment getEnvironment() {
            return null;
        }

        @Override
        public String buildInfo() {
            return "";
        }

        @Override
        public void logBackendInit() {}
    }

    /** Named like ND4J's CUDA backend: JCublasBackend. */
    private static final class JCublasBackendStub extends CpuBackendStub {
        private final RuntimeException reason;

        JCublasBackendStub(RuntimeException reason) {
            super(false);
            this.reason = reason;
        }

        @Override
        public boolean isAvailable() {
            if (reason != null) {
                throw reason;
            }
            return false;
        }
    }
}
