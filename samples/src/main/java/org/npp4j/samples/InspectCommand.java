package org.npp4j.samples;

import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.checkpoint.PickledObject;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp inspect}: what a checkpoint holds. */
@Command(
        name = "inspect",
        description =
                "Lists the tensors of a PyTorch or safetensors file, or of a GPT in a Deeplearning4j file: name, type,"
                        + " shape and sum.",
        footer = {
            "",
            "NaN and infinities count 0 in the sum; one that is too large for a double is the largest double,"
                    + " 1.7976931348623157E308. Nothing in a PyTorch or safetensors file is run, and little of it is in"
                    + " memory at a time. Of a Deeplearning4j file all parameters are read; they have the names that"
                    + " convert gives them."
        },
        sortOptions = false)
final class InspectCommand implements Callable<Integer> {
    private static final int MAX_OTHERS = 50;
    private static final int MAX_TEXT = 60;
    private static final int MAX_ATTRIBUTES = 8;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Parameters(
            paramLabel = "FILE",
            description = "The file: .pt, .pth, .bin, .safetensors, .zip; recognised by its content.")
    private Path file;

    @Option(
            names = "--json",
            description =
                    "Print {\"tensors\": {NAME: {\"dtype\": .., \"shape\": [..], \"sum\": ..}}} instead of a table.")
    private boolean json;

    @Mixin
    private StandardOptions standardOptions;

    /** A line of the list; without numbers if they cannot be read. */
    private record Line(String name, String type, long[] shape, TensorSource numbers) {
        static Line of(StoredTensor tensor, String name) {
            return new Line(name, tensor.typeLabel(), tensor.shape(), tensor.isReadable() ? tensor : null);
        }

        long elements() {
            return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        }

        String shapeText() {
            return Arrays.toString(shape);
        }
    }

    /**
     * The command.
     *
     * @param backend starts ND4J, which only the files of Deeplearning4j need
     */
    InspectCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        if (NetworkZip.isNetwork(file)) {
            backend.get();
            List<Line> lines = new ArrayList<>();
            NetworkZip.tensors(file)
                    .forEach((name, tensor) ->
                            lines.add(new Line(name, tensor.type().label(), tensor.shape(), tensor)));
            print("Deeplearning4j", lines, List.of());
            return 0;
        }
        try (TensorFile opened = TensorFile.open(file)) {
            List<Line> lines = new ArrayList<>();
            opened.tensors().forEach((name, tensor) -> lines.add(Line.of(tensor, name)));
            print(opened.format().label(), lines, others(opened));
            requireReadable(lines);
        }
        return 0;
    }

    private void print(String format, List<Line> lines, List<String> others) throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        if (json) {
            printJson(lines, out);
        } else {
            out.println(file + ": " + format);
            printTable(lines, out);
            printOthers(others, out);
        }
        out.flush();
    }

    private static void printJson(List<Line> lines, PrintWriter out) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        ObjectNode tensors = mapper.createObjectNode();
        for (Line line : lines) {
            if (line.numbers() != null) {
                ObjectNode node = tensors.putObject(line.name()).put("dtype", line.type());
                Arrays.stream(line.shape()).forEach(node.putArray("shape")::add);
                node.put("sum", line.numbers().sum());
            }
        }
        try (JsonGenerator generator = mapper.createGenerator(out).disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)) {
            mapper.writeTree(generator, mapper.createObjectNode().set("tensors", tensors));
        }
        out.println();
    }

    private static void printTable(List<Line> lines, PrintWriter out) throws IOException {
        int nameWidth = 4;
        int shapeWidth = 5;
        for (Line line : lines) {
            nameWidth = Math.max(nameWidth, line.name().length());
            shapeWidth = Math.max(shapeWidth, line.shapeText().length());
        }
        String row = "%-" + nameWidth + "s  %-8s  %-" + shapeWidth + "s  %16s%n";
        out.printf(Locale.ROOT, row, "name", "dtype", "shape", "sum");
        long elements = 0;
        long bytes = 0;
        for (Line line : lines) {
            String sum = "cannot be read";
            if (line.numbers() != null) {
                sum = String.format(Locale.ROOT, "%.9g", line.numbers().sum());
                bytes += line.elements() * line.numbers().type().bytes();
            }
            elements += line.elements();
            out.printf(
                    Locale.ROOT,
                    row,
                    Terminal.printable(line.name()),
                    Terminal.printable(line.type()),
                    line.shapeText(),
                    sum);
        }
        out.printf(
                Locale.ROOT,
                "%d tensors, %,d elements, %,d bytes (%.1f MiB)%n",
                lines.size(),
                elements,
                bytes,
                bytes / (double) (1 << 20));
    }

    // What is not a tensor

    private static List<String> others(TensorFile file) {
        List<String> others = new ArrayList<>();
        file.metadata()
                .forEach((key, value) -> others.add("metadata." + Terminal.printable(key) + "  " + brief(value)));
        if (file.root() instanceof Map<?, ?>) {
            collect("", (Map<?, ?>) file.root(), new TreeSet<>(file.tensors().keySet()), others);
        } else if (file.tensors().isEmpty()) {
            others.add("object  " + brief(file.root()));
        }
        return others;
    }

    private static void printOthers(List<String> others, PrintWriter out) {
        if (!others.isEmpty()) {
            out.println();
            others.stream().limit(MAX_OTHERS).forEach(out::println);
            if (others.size() > MAX_OTHERS) {
                out.println(".. and " + (others.size() - MAX_OTHERS) + " more");
            }
        }
    }

    /** Entries without tensors, in the top dictionary and in dictionaries in it that have some. */
    private static void collect(String prefix, Map<?, ?> entries, TreeSet<String> tensors, List<String> others) {
        for (Map.Entry<?, ?> entry : entries.entrySet()) {
            String name = prefix + entry.getKey();
            Object value = entry.getValue();
            if (value instanceof StoredTensor) {
                continue;
            }
            String next = tensors.ceiling(name + ".");
            if (next == null || !next.startsWith(name + ".")) {
                others.add(Terminal.printable(name) + "  " + brief(value));
            } else if (prefix.isEmpty() && value instanceof Map<?, ?>) {
                collect(name + ".", (Map<?, ?>) value, tensors, others);
            }
        }
    }

    private static String brief(Object value) {
        if (value instanceof Map<?, ?>) {
            return "dictionary of " + ((Map<?, ?>) value).size();
        }
        if (value instanceof List<?>) {
            return "list of " + ((List<?>) value).size();
        }
        if (value instanceof byte[]) {
            return ((byte[]) value).length + " bytes";
        }
        if (value instanceof PickledObject) {
            return object((PickledObject) value);
        }
        return cut(value instanceof String ? "\"" + value + "\"" : String.valueOf(value));
    }

    private static String object(PickledObject object) {
        if (!(object.state() instanceof Map<?, ?>)) {
            return cut(object.toString());
        }
        List<String> attributes = new ArrayList<>();
        for (Map.Entry<?, ?> entry : ((Map<?, ?>) object.state()).entrySet()) {
            if (attributes.size() == MAX_ATTRIBUTES) {
                attributes.add("..");
                break;
            }
            Object value = entry.getValue();
            attributes.add(cut(String.valueOf(entry.getKey())) + "="
                    + (value instanceof PickledObject ? cut(value.toString()) : brief(value)));
        }
        return cut(object.toString()) + "(" + String.join(", ", attributes) + ")";
    }

    private static String cut(String text) {
        String line = Terminal.printable(text.length() <= MAX_TEXT ? text : text.substring(0, MAX_TEXT));
        return text.length() <= MAX_TEXT ? line : line + "..";
    }

    private void requireReadable(List<Line> lines) {
        List<String> unreadable = lines.stream()
                .filter(line -> line.numbers() == null)
                .map(line -> line.name() + " (" + line.type() + ")")
                .toList();
        if (!unreadable.isEmpty()) {
            throw new AppException(file + " holds " + unreadable.size()
                    + (unreadable.size() == 1 ? " tensor" : " tensors") + " that cannot be read: "
                    + String.join(", ", unreadable.subList(0, Math.min(10, unreadable.size())))
                    + (unreadable.size() > 10 ? ", .." : "")
                    + ". Convert them to one of float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8,"
                    + " bool");
        }
    }
}
