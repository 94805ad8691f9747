package org.npp4j.samples.bench;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** The same jobs in PyTorch: scripts among the resources, run by a Python that the user has. */
public final class PyTorchPeer {
    private static final String SCRIPT = "peer_bench.py";
    private static final List<String> SCRIPTS = List.of(SCRIPT, "npp_torch.py", "vq_torch.py");

    private final String python;
    private final Path script;

    /**
     * A peer.
     *
     * @param python program
     * @param script that takes the arguments of the built-in one and prints such a line; null for the built-in one
     */
    public PyTorchPeer(String python, Path script) {
        this.python = python;
        this.script = script;
    }

    /**
     * Refuses a machine where the peer cannot run.
     *
     * @throws IllegalStateException if there is no such Python or it has no PyTorch; the message says what to do
     */
    public void requireAvailable() {
        BenchProcess.Output output;
        try {
            output = process(List.of("-c", "import torch")).runToItsEnd(line -> {});
        } catch (IllegalStateException e) {
            throw new IllegalStateException(
                    "--peer needs Python with PyTorch, but the program " + python
                            + " cannot be started. Install Python 3 and PyTorch (python3 -m pip install torch), or name"
                            + " another Python with --python",
                    e);
        }
        if (output.exitCode() != 0) {
            throw new IllegalStateException("--peer needs Python with PyTorch, but " + python + " has no PyTorch ("
                    + output.lastError() + "). Install it (" + python
                    + " -m pip install torch), or name another Python with --python");
        }
    }

    /**
     * Does a job in turn with our own process.
     *
     * @param ours program and arguments that come before those of the job
     * @param settings the job
     * @param rounds how often each side does it
     * @param progress told in lines what has been done
     * @return what both sides reported
     * @throws IOException if the scripts cannot be written to a temporary folder
     */
    public Comparison compare(List<String> ours, BenchSettings settings, int rounds, Consumer<String> progress)
            throws IOException {
        Path folder = Files.createTempDirectory("npp-peer");
        try {
            List<String> own = new ArrayList<>(ours);
            own.addAll(settings.arguments());
            own.addAll(settings.bf16() ? List.of("--mixed-precision", "bf16") : List.of());
            List<String> others = new ArrayList<>();
            others.add(Objects.requireNonNullElse(script, unpack(folder)).toString());
            others.addAll(settings.arguments());
            others.addAll(settings.bf16() ? List.of("--bf16") : List.of());
            BenchProcess our = new BenchProcess("Our process", own, variable -> false);
            BenchProcess their = process(others);
            List<RunResult> results = new ArrayList<>();
            List<RunResult> peers = new ArrayList<>();
            for (int round = 1; round <= rounds; round++) {
                results.add(run(our, "ours", round, rounds, progress));
                peers.add(run(their, "peer", round, rounds, progress));
            }
            return new Comparison(results, peers);
        } finally {
            delete(folder);
        }
    }

    private static RunResult run(BenchProcess process, String side, int round, int rounds, Consumer<String> progress) {
        RunResult result = process.run(progress);
        progress.accept(String.format(
                Locale.ROOT,
                "Round %d of %d, %s: %.4f s, %.2f GiB",
                round,
                rounds,
                side,
                result.medianSeconds(),
                result.peakGib()));
        return result;
    }

    private BenchProcess process(List<String> arguments) {
        List<String> command = new ArrayList<>(List.of(python));
        command.addAll(arguments);
        return new BenchProcess("The peer (" + python + ")", command, PyTorchPeer::isMeantForUs);
    }

    /** Variables by which the launcher tunes ND4J: PyTorch runs as it would without us. Numbers of threads hold for both. */
    private static boolean isMeantForUs(String variable) {
        return Stream.of("OMP_", "OPENBLAS_", "MKL_", "MALLOC_").anyMatch(variable::startsWith)
                && !variable.endsWith("_NUM_THREADS");
    }

    private static Path unpack(Path folder) throws IOException {
        for (String name : SCRIPTS) {
            try (InputStream in = PyTorchPeer.class.getResourceAsStream("/org/npp4j/samples/peer/" + name)) {
                Files.copy(in, folder.resolve(name));
            }
        }
        return folder.resolve(SCRIPT);
    }

    private static void delete(Path folder) throws IOException {
        List<Path> paths;
        try (Stream<Path> found = Files.walk(folder)) {
            paths = new ArrayList<>(found.toList());
        }
        for (int i = paths.size() - 1; i >= 0; i--) {
            Files.delete(paths.get(i)); // a folder after what is in it
        }
    }
}
