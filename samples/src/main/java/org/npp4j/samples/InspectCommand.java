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
import org.npp4j.llamagen.checkpoint.PickledObject;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp inspect}: what a checkpoint holds. Starts no ND4J backend. */
@Command(
        name = "inspect",
        description = "Lists the tensors of a PyTorch or safetensors file: name, type, shape and sum.",
        footer = {"", "NaN and infinities count 0 in the sum. Nothing in the file is run."},
        sortOptions = false)
final class InspectCommand implements Callable<Integer> {
    private static final int MAX_OTHERS = 50;
    private static final int MAX_TEXT = 60;
    private static final int MAX_ATTRIBUTES = 8;

    @Spec
    private CommandSpec spec;

    @Parameters(
            paramLabel = "FILE",
            description = "The file: .pt, .pth, .bin, .safetensors; recognised by its content.")
    private Path file;

    @Option(
            names = "--json",
            description =
                    "Print {\"tensors\": {NAME: {\"dtype\": .., \"shape\": [..], \"sum\": ..}}} instead of a table.")
    private boolean json;

    @Mixin
    private StandardOptions standardOptions;

    @Override
    public Integer call() throws IOException {
        PrintWriter out = spec.commandLine().getOut();
        try (TensorFile opened = TensorFile.open(file)) {
            if (json) {
                printJson(opened, out);
            } else {
                printTable(opened, out);
            }
            out.flush();
            requireReadable(opened);
        }
        return 0;
    }

    private static void printJson(TensorFile file, PrintWriter out) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        ObjectNode tensors = mapper.createObjectNode();
        for (Map.Entry<String, StoredTensor> entry : file.tensors().entrySet()) {
            StoredTensor tensor = entry.getValue();
            if (tensor.isReadable()) {
                ObjectNode node = tensors.putObject(entry.getKey()).put("dtype", tensor.typeLabel());
                Arrays.stream(tensor.shape()).forEach(node.putArray("shape")::add);
                double sum = tensor.sum();
                // JSON has no infinity.
                node.put("sum", Double.isFinite(sum) ? (Double) sum : null);
            }
        }
        try (JsonGenerator generator = mapper.createGenerator(out).disable(JsonGenerator.Feature.AUTO_CLOSE_TARGET)) {
            mapper.writeTree(generator, mapper.createObjectNode().set("tensors", tensors));
        }
        out.println();
    }

    private static void printTable(TensorFile file, PrintWriter out) throws IOException {
        out.println(file.path() + ": " + file.format().label());
        int nameWidth = 4;
        int shapeWidth = 5;
        for (Map.Entry<String, StoredTensor> entry : file.tensors().entrySet()) {
            nameWidth = Math.max(nameWidth, printable(entry.getKey()).length());
            shapeWidth = Math.max(shapeWidth, shape(entry.getValue()).length());
        }
        String row = "%-" + nameWidth + "s  %-8s  %-" + shapeWidth + "s  %16s%n";
        out.printf(Locale.ROOT, row, "name", "dtype", "shape", "sum");
        long elements = 0;
        long bytes = 0;
        for (Map.Entry<String, StoredTensor> entry : file.tensors().entrySet()) {
            StoredTensor tensor = entry.getValue();
            String sum = "cannot be read";
            if (tensor.isReadable()) {
                sum = String.format(Locale.ROOT, "%.9g", tensor.sum());
                bytes += tensor.elements() * tensor.type().bytes();
            }
            elements += tensor.elements();
            out.printf(Locale.ROOT, row, printable(entry.getKey()), printable(tensor.typeLabel()), shape(tensor), sum);
        }
        out.printf(
                Locale.ROOT,
                "%d tensors, %,d elements, %,d bytes (%.1f MiB)%n",
                file.tensors().size(),
                elements,
                bytes,
                bytes / (double) (1 << 20));
        printOthers(file, out);
    }

    private static String shape(StoredTensor tensor) {
        return Arrays.toString(tensor.shape());
    }

    // What is not a tensor

    private static void printOthers(TensorFile file, PrintWriter out) {
        List<String> others = new ArrayList<>();
        file.metadata().forEach((key, value) -> others.add("metadata." + printable(key) + "  " + brief(value)));
        if (file.metadata().isEmpty() && file.root() instanceof Map<?, ?>) {
            collect("", (Map<?, ?>) file.root(), new TreeSet<>(file.tensors().keySet()), others);
        }
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
                others.add(printable(name) + "  " + brief(value));
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
        String line = printable(text.length() <= MAX_TEXT ? text : text.substring(0, MAX_TEXT));
        return text.length() <= MAX_TEXT ? line : line + "..";
    }

    /** Names come from the file: they must not move the terminal's cursor. */
    private static String printable(String text) {
        return text.replaceAll("\\p{Cntrl}", "?");
    }

    private static void requireReadable(TensorFile file) {
        List<String> unreadable = new ArrayList<>();
        file.tensors().forEach((name, tensor) -> {
            if (!tensor.isReadable()) {
                unreadable.add(name + " (" + tensor.typeLabel() + ")");
            }
        });
        if (!unreadable.isEmpty()) {
            throw new AppException(file.path() + " holds " + unreadable.size()
                    + (unreadable.size() == 1 ? " tensor" : " tensors") + " that cannot be read: "
                    + String.join(", ", unreadable.subList(0, Math.min(10, unreadable.size())))
                    + (unreadable.size() > 10 ? ", .." : "")
                    + ". Convert them to one of float64, float32, float16, bfloat16, int64, int32, int16, int8, uint8,"
                    + " bool");
        }
    }
}
