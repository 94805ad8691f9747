package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarParity;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.parity.Comparison;
import org.npp4j.llamagen.parity.GptParity;
import org.npp4j.llamagen.parity.ParityReport;
import org.npp4j.llamagen.parity.VqParity;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp parity}: whether a model computes here what it computes in PyTorch. */
@Command(
        name = "parity",
        description =
                "Computes every array of a golden file anew, from the same weights, and prints the largest difference"
                        + " relative to the array's largest value.",
        footer = {
            "",
            "Exit code 1 if a difference is above the tolerance, a token differs, or an array is unknown. Weights after"
                    + " training steps may differ by ten times the tolerance, because Adam magnifies rounding; 8-bit pixels"
                    + " by one level."
        },
        sortOptions = false)
final class ParityCommand implements Callable<Integer> {
    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--checkpoint",
            required = true,
            paramLabel = "FILE",
            description = "The weights: .pt, .safetensors or, of a GPT, .zip.")
    private Path checkpoint;

    @Option(
            names = "--config",
            required = true,
            paramLabel = "FILE",
            description =
                    "JSON: the GPT, VQ tokenizer or ECAR under \"config\", the training steps under \"training\".")
    private Path config;

    @Option(
            names = "--golden",
            required = true,
            paramLabel = "FILE",
            description = "The arrays that PyTorch computed, .npz.")
    private Path golden;

    @Option(
            names = "--tolerance",
            paramLabel = "T",
            defaultValue = "1e-4",
            description = "Largest relative difference. Default: ${DEFAULT-VALUE}.")
    private double tolerance;

    @Mixin
    private StandardOptions standardOptions;

    ParityCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        if (!(tolerance > 0 && tolerance < Double.POSITIVE_INFINITY)) {
            throw new ParameterException(
                    spec.commandLine(), "--tolerance must be a number above 0, but is " + tolerance);
        }
        backend.get();
        try (NpzFile arrays = NpzFile.open(golden)) {
            ParityReport report = compare(arrays);
            print(report, spec.commandLine().getOut());
            if (report.comparisons().isEmpty()) {
                throw new AppException(golden + " has no array to compare");
            }
            if (!report.passed()) {
                throw new AppException(
                        report.failures().size() + " of " + report.comparisons().size() + " comparisons failed");
            }
        }
        return 0;
    }

    private ParityReport compare(NpzFile arrays) throws IOException {
        if (EcarConfig.describes(config)) {
            return EcarParity.compare(checkpoint, config, arrays, tolerance);
        }
        return VqParity.describes(config)
                ? VqParity.compare(checkpoint, config, arrays, tolerance)
                : GptParity.compare(checkpoint, config, arrays, tolerance);
    }

    private static void print(ParityReport report, PrintWriter out) {
        out.printf(Locale.ROOT, "%-28s %6s  %-10s %-8s  %s%n", "", "arrays", "difference", "limit", "largest in");
        for (ParityReport.Group group : report.groups()) {
            Comparison worst = group.worst();
            out.printf(
                    Locale.ROOT,
                    "%-28s %6d  %-10s %-8s  %s%s%n",
                    group.name(),
                    group.comparisons().size(),
                    number(worst.difference()),
                    number(worst.limit()),
                    worst.note().isEmpty() ? worst.name() : worst.note(),
                    group.passed() ? "" : "  <- FAILED");
        }
        for (Comparison failure : report.failures()) {
            out.printf(
                    Locale.ROOT,
                    "FAILED %s: %s%n",
                    failure.name(),
                    failure.note().isEmpty()
                            ? number(failure.difference()) + ", above " + number(failure.limit())
                            : failure.note());
        }
        if (report.passed()) {
            out.printf(
                    Locale.ROOT,
                    "All %d comparisons within their limits%n",
                    report.comparisons().size());
        }
        out.flush();
    }

    private static String number(double value) {
        return value == 0 ? "0" : Double.isNaN(value) ? "-" : String.format(Locale.ROOT, "%.2e", value);
    }
}
