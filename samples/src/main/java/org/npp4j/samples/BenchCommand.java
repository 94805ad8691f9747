package org.npp4j.samples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.function.Supplier;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.samples.bench.BenchSettings;
import org.npp4j.samples.bench.Job;
import org.npp4j.samples.bench.Timings;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp bench}: times a job and prints one line of JSON. */
@Command(
        name = "bench",
        description =
                "Times training steps or sampling on random tokens. Prints one line of JSON; what it is doing goes"
                        + " to standard error.",
        footer = {
            "",
            "JSON: median_s and min_s are seconds for a step or a position of the batch, peak_rss_gib the largest"
                    + " resident memory of the process. bf16 and loss say how it computed: in single precision, and"
                    + " with a loss that never repeats logits."
        },
        sortOptions = false)
final class BenchCommand implements Callable<Integer> {
    private final Supplier<Backend> backend;
    private final Function<BenchSettings, GptSpec> models;

    @Spec
    private CommandSpec spec;

    @Parameters(paramLabel = "JOB", description = "${COMPLETION-CANDIDATES}.")
    private Job job;

    @Option(
            names = "--model",
            paramLabel = "NAME",
            defaultValue = "GPT-B",
            description = "GPT-B, -L, -XL, -XXL, -XXXL, -1B, -3B or -7B. Default: ${DEFAULT-VALUE}.")
    private String model;

    @Option(
            names = "--layers",
            paramLabel = "N",
            defaultValue = "0",
            description = "Fewer layers than the model has, to fit a small machine. Default: its own.")
    private int layers;

    @Option(
            names = "--batch",
            paramLabel = "N",
            defaultValue = "4",
            description = "Images at a time. Default: ${DEFAULT-VALUE}.")
    private int batch;

    @Option(
            names = "--patch",
            paramLabel = "P",
            defaultValue = "1",
            description = "Patch side of train. Default: ${DEFAULT-VALUE}.")
    private int patch;

    @Option(
            names = "--steps",
            paramLabel = "N",
            defaultValue = "4",
            description = "Steps of train, after one that does not count. Default: ${DEFAULT-VALUE}.")
    private int steps;

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

    @Mixin
    private StandardOptions standardOptions;

    /**
     * The command.
     *
     * @param backend starts ND4J
     * @param models the sizes to build for the settings
     */
    BenchCommand(Supplier<Backend> backend, Function<BenchSettings, GptSpec> models) {
        this.backend = backend;
        this.models = models;
    }

    @Override
    public Integer call() throws JsonProcessingException {
        BenchSettings settings;
        GptSpec sizes;
        try {
            settings = new BenchSettings(model, layers, batch, patch, steps, tokens, cfg);
            sizes = models.apply(settings);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
        Backend started = backend.get();
        PrintWriter progress = spec.commandLine().getErr();
        progress.println(started);
        try (PeakMemory memory = new PeakMemory()) {
            Timings timings = job.benchmark().run(sizes, settings, progress::println);
            spec.commandLine().getOut().println(json(settings, started, timings, memory.gib()));
        }
        return 0;
    }

    /** The names and their order are those of the PyTorch peer, so that both lines can stand side by side. */
    private String json(BenchSettings settings, Backend started, Timings timings, double peakGib)
            throws JsonProcessingException {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("peer", peer(started));
        line.put("job", job.toString());
        line.put("model", settings.model());
        line.put("layers", settings.layers());
        line.put("batch", settings.batch());
        line.put("patch", settings.patch());
        line.put("steps", settings.steps());
        line.put("tokens", settings.tokens());
        line.put("cfg", settings.cfg());
        line.put("bf16", false);
        line.put("loss", "sparse");
        line.put("threads", started.threads());
        line.put("median_s", rounded(timings.median(), 4));
        line.put("min_s", rounded(timings.least(), 4));
        line.put(timings.unit() + "_per_s", rounded(timings.perSecond(), 3));
        line.put("peak_rss_gib", rounded(peakGib, 2));
        return new ObjectMapper().writeValueAsString(line);
    }

    private static String peer(Backend started) {
        boolean cpu = started.name().equalsIgnoreCase("CPU");
        boolean openBlas = started.blas().equalsIgnoreCase("OPENBLAS");
        return "npp4j " + Versions.all().get("NPP") + (cpu ? " nd4j-native " : " nd4j-cuda ")
                + (openBlas ? "OpenBLAS" : started.blas());
    }

    private static double rounded(double value, int digits) {
        return Double.parseDouble(String.format(Locale.ROOT, "%." + digits + "f", value));
    }
}
