package org.npp4j.samples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.npp4j.samples.bench.BenchSettings;
import org.npp4j.samples.bench.Comparison;
import org.npp4j.samples.bench.Job;
import org.npp4j.samples.bench.ModelSizes;
import org.npp4j.samples.bench.PyTorchPeer;
import org.npp4j.samples.bench.RunResult;
import org.npp4j.samples.bench.Timings;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp bench}: times a job and prints one line of JSON, or compares it with PyTorch. */
@Command(
        name = "bench",
        description =
                "Times training steps, sampling or the loss on random tokens, or a tokenizer. Prints one line of JSON;"
                        + " what it is doing"
                        + " goes to standard error.",
        footer = {
            "",
            "JSON: peer says what computed, median_s and min_s are seconds for a step, a position of the batch, a"
                    + " loss with its gradient or a batch of images, peak_rss_gib is the largest resident memory of the process. loss says that"
                    + " logits are never repeated. Of loss, read_write_s is the time of a pass that only reads and writes"
                    + " the logits once, and times_read_write how many times as long the loss takes.",
            "",
            "--peer runs this program and PyTorch in turn, each run a process of its own, and prints both medians and"
                    + " the medians of the ratios of a round (below 1: less than PyTorch). Without JOB: a line for train"
                    + " at patch sides 1 and 2 each, and one for sample.",
            "",
            "How time grows: for b in 4 8 16 32; do ./npp bench train --batch $b --steps 2; done, and"
                    + " for g in 8 16 24; do ./npp bench train --grid $g; done for 64, 256 and 576 positions."
        },
        sortOptions = false)
final class BenchCommand implements Callable<Integer> {
    private static final List<Integer> COMPARED_PATCHES = List.of(1, 2);

    private final Supplier<Backend> backend;
    private final Function<BenchSettings, ModelSizes> models;
    private final Supplier<List<String>> self;

    @Spec
    private CommandSpec spec;

    @Parameters(paramLabel = "JOB", arity = "0..1", description = "${COMPLETION-CANDIDATES}.")
    private Job job;

    @Option(
            names = "--model",
            paramLabel = "NAME",
            description = "GPT-B, -L, -XL, -XXL, -XXXL, -1B, -3B or -7B; of encode and decode VQ-16 or VQ-8. Default:"
                    + " GPT-B, VQ-16.")
    private String model;

    @Option(
            names = "--layers",
            paramLabel = "N",
            defaultValue = "0",
            description = "Fewer layers than the model has, to fit a small machine. Default: its own.")
    private int layers;

    @Option(names = "--batch", paramLabel = "N", description = "Images at a time. Default: 4, of encode and decode 2.")
    private Integer batch;

    @Option(names = "--patch", paramLabel = "P", description = "Patch side of train and loss. Default: 1.")
    private Integer patch;

    @Option(
            names = "--grid",
            paramLabel = "N",
            defaultValue = "16",
            description =
                    "Side of the token grid: N x N tokens an image. Images of encode and decode have N x 16 pixels a"
                            + " side with VQ-16, N x 8 with VQ-8. Default: ${DEFAULT-VALUE}.")
    private int grid;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description =
                    "Steps of train, losses, or batches of encode and decode, after some that do not count. Default: 50 of"
                            + " loss, else 4.")
    private Integer steps;

    @Option(
            names = "--tokens",
            paramLabel = "N",
            defaultValue = "64",
            description = "Tokens of an image that sample makes after its first. Default: ${DEFAULT-VALUE}.")
    private int tokens;

    @Option(
            names = "--cfg",
            paramLabel = "SCALE",
            defaultValue = "2.0",
            description = "Guidance scale of sample, 1 for none. Default: ${DEFAULT-VALUE}.")
    private double cfg;

    /** Precisions of products below the single one. */
    enum MixedPrecision {
        /** Bfloat16. */
        BF16;

        @Override
        public String toString() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    @Option(
            names = "--mixed-precision",
            paramLabel = "TYPE",
            description = "${COMPLETION-CANDIDATES}: products in this type, everything else in single precision.")
    private MixedPrecision mixedPrecision;

    @Option(names = "--peer", description = "Compare with PyTorch. Needs Python with torch.")
    private boolean peer;

    @Option(
            names = "--rounds",
            paramLabel = "N",
            defaultValue = "3",
            description = "Runs of each side of a comparison. Default: ${DEFAULT-VALUE}.")
    private int rounds;

    @Option(
            names = "--python",
            paramLabel = "PROGRAM",
            defaultValue = "python3",
            description = "The Python of the comparison. Default: ${DEFAULT-VALUE}.")
    private String python;

    @Option(
            names = "--peer-script",
            paramLabel = "FILE",
            description = "Another script than the built-in one, with the same arguments and JSON.")
    private Path peerScript;

    @Mixin
    private StandardOptions standardOptions;

    /**
     * The command.
     *
     * @param backend starts ND4J
     * @param models the sizes to build for the settings
     * @param self starts this program anew: program and arguments, before those of the command line
     */
    BenchCommand(Supplier<Backend> backend, Function<BenchSettings, ModelSizes> models, Supplier<List<String>> self) {
        this.backend = backend;
        this.models = models;
        this.self = self;
    }

    @Override
    public Integer call() throws IOException {
        if (peer) {
            compare();
        } else {
            time();
        }
        return 0;
    }

    private void time() throws JsonProcessingException {
        if (job == null) {
            throw usage("Which job? One of " + List.of(Job.values()) + "; --peer alone compares several with PyTorch");
        }
        BenchSettings settings = settings(job, patch == null ? 1 : patch);
        ModelSizes sizes = sizes(settings);
        Backend started = backend.get();
        PrintWriter progress = spec.commandLine().getErr();
        progress.println(started);
        if (settings.bf16()) {
            Arithmetic.useBf16();
        }
        try (PeakMemory memory = new PeakMemory()) {
            Timings timings = settings.job().benchmark().run(sizes, settings, progress::println);
            print(line(settings, started, timings, memory.gib()));
        }
    }

    private void compare() throws IOException {
        if (rounds < 1) {
            throw usage("--rounds must be at least 1, but is " + rounds);
        }
        if (peerScript != null && !Files.isRegularFile(peerScript)) {
            throw usage("--peer-script: there is no file " + peerScript);
        }
        List<BenchSettings> all = compared().toList();
        all.forEach(this::sizes);
        PyTorchPeer pyTorch = new PyTorchPeer(python, peerScript);
        pyTorch.requireAvailable();
        PrintWriter progress = spec.commandLine().getErr();
        for (BenchSettings settings : all) {
            progress.println("Comparing: " + String.join(" ", settings.arguments()));
            List<String> ours =
                    Stream.concat(self.get().stream(), Stream.of("bench")).toList();
            print(line(settings, pyTorch.compare(ours, settings, rounds, progress::println)));
        }
    }

    private Stream<BenchSettings> compared() {
        if (job != null) {
            return Stream.of(settings(job, patch == null ? 1 : patch));
        }
        return Stream.concat(
                (patch == null ? COMPARED_PATCHES : List.of(patch)).stream().map(side -> settings(Job.TRAIN, side)),
                Stream.of(settings(Job.SAMPLE, 1)));
    }

    private BenchSettings settings(Job chosen, int patchSide) {
        try {
            return new BenchSettings(
                    chosen,
                    model == null ? chosen.model() : model,
                    layers,
                    batch == null ? chosen.batch() : batch,
                    patchSide,
                    grid,
                    steps == null ? chosen.steps() : steps,
                    tokens,
                    cfg,
                    mixedPrecision == MixedPrecision.BF16);
        } catch (IllegalArgumentException e) {
            throw usage(e);
        }
    }

    private ModelSizes sizes(BenchSettings settings) {
        try {
            return models.apply(settings);
        } catch (IllegalArgumentException e) {
            throw usage(e);
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    private ParameterException usage(IllegalArgumentException e) {
        return new ParameterException(spec.commandLine(), e.getMessage(), e);
    }

    private void print(Map<String, Object> line) throws JsonProcessingException {
        spec.commandLine().getOut().println(new ObjectMapper().writeValueAsString(line));
    }

    /** The names and their order are those of the PyTorch peer, so that both lines can stand side by side. */
    private static Map<String, Object> line(BenchSettings settings, Backend started, Timings timings, double peakGib) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("peer", "npp4j " + Versions.all().get("NPP") + " " + Arithmetic.describe(started));
        putSettings(line, settings);
        line.put("loss", "sparse");
        line.put("threads", started.threads());
        line.put("median_s", rounded(timings.median(), 6));
        line.put("min_s", rounded(timings.least(), 6));
        line.put(timings.unit() + "_per_s", rounded(timings.perSecond(), 3));
        line.put("peak_rss_gib", rounded(peakGib, 2));
        timings.more().forEach((name, value) -> line.put(name, rounded(value, 6)));
        return line;
    }

    private static Map<String, Object> line(BenchSettings settings, Comparison comparison) {
        List<RunResult> ours = comparison.ours();
        List<RunResult> peers = comparison.peers();
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("ours", ours.get(0).by());
        line.put("peer", peers.get(0).by());
        putSettings(line, settings);
        line.put("rounds", ours.size());
        line.put("ours_s", ours.stream().map(RunResult::medianSeconds).toList());
        line.put("peer_s", peers.stream().map(RunResult::medianSeconds).toList());
        line.put("ours_median_s", rounded(Comparison.median(ours, RunResult::medianSeconds), 4));
        line.put("peer_median_s", rounded(Comparison.median(peers, RunResult::medianSeconds), 4));
        line.put("time_ratio", rounded(comparison.timeRatio(), 3));
        line.put("ours_peak_rss_gib", rounded(Comparison.median(ours, RunResult::peakGib), 2));
        line.put("peer_peak_rss_gib", rounded(Comparison.median(peers, RunResult::peakGib), 2));
        line.put("memory_ratio", rounded(comparison.memoryRatio(), 3));
        return line;
    }

    private static void putSettings(Map<String, Object> line, BenchSettings settings) {
        line.put("job", settings.job().toString());
        line.put("model", settings.model());
        line.put("layers", settings.layers());
        line.put("batch", settings.batch());
        line.put("patch", settings.patch());
        line.put("grid", settings.grid());
        line.put("steps", settings.steps());
        line.put("tokens", settings.tokens());
        line.put("cfg", settings.cfg());
        line.put("bf16", settings.bf16());
    }

    private static double rounded(double value, int digits) {
        return Double.parseDouble(String.format(Locale.ROOT, "%." + digits + "f", value));
    }
}
