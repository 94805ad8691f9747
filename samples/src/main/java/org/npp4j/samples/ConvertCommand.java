package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.checkpoint.CheckpointConversion;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp convert}: between PyTorch's files, safetensors and Deeplearning4j's networks. */
@Command(
        name = "convert",
        description =
                "Converts a checkpoint between PyTorch (.pt), safetensors and Deeplearning4j (.zip), each into each."
                        + " What comes back after a round trip has the same bits.",
        footer = {
            "",
            "IN is recognised by its content, OUT by its name; an OUT that exists is replaced, whole or not at all. Only"
                    + " .zip needs to know the model, and only if it is of no published size."
        },
        sortOptions = false)
final class ConvertCommand implements Callable<Integer> {
    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "IN", description = "The file to read.")
    private Path in;

    @Parameters(index = "1", paramLabel = "OUT", description = "The file to write: .pt, .pth, .safetensors or .zip.")
    private Path out;

    @Option(
            names = "--model",
            paramLabel = "NAME",
            description = "Published size of the model, such as GPT-B. Default: told from the tensors.")
    private String model;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "JSON that describes the model: dim, n_layer, n_head and the like.")
    private Path config;

    @Option(names = "--ema", description = "For .zip: take the moving average (\"ema\") in place of the weights.")
    private boolean average;

    @Mixin
    private StandardOptions standardOptions;

    ConvertCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        if (model != null && config != null) {
            throw new ParameterException(spec.commandLine(), "--model and --config exclude each other");
        }
        CheckpointConversion.Model known = new CheckpointConversion.Model(
                model == null ? null : size(), config == null ? null : GptConfig.read(config), average);
        backend.get();
        CheckpointConversion.Result result = CheckpointConversion.convert(in, out, known);
        result.notes().forEach(note -> spec.commandLine().getErr().println("npp: note: " + Failure.oneLine(note)));
        spec.commandLine().getErr().flush();
        spec.commandLine().getOut().println(line(in, Files.size(in), result));
        spec.commandLine().getOut().flush();
        return 0;
    }

    private GptSize size() {
        try {
            return GptSize.named(model);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
    }

    private static String line(Path in, long bytes, CheckpointConversion.Result result) {
        String types = result.types().entrySet().stream()
                .map(entry -> entry.getValue() + " " + entry.getKey())
                .collect(Collectors.joining(", "));
        return String.format(
                Locale.ROOT,
                "%s (%s) -> %s (%s): %s, %d tensors (%s), %,d numbers",
                in,
                size(bytes),
                result.file(),
                size(result.bytes()),
                result.kind(),
                result.tensors(),
                types,
                result.numbers());
    }

    private static String size(long bytes) {
        return bytes < 1 << 20
                ? String.format(Locale.ROOT, "%.1f KiB", bytes / 1024.0)
                : String.format(Locale.ROOT, "%.1f MiB", bytes / (double) (1 << 20));
    }
}
