package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;

/**
 * Converts checkpoints between PyTorch's files, safetensors, and Deeplearning4j's network files, each into each. What comes
 * back after a round trip has the same nesting, types and bits.
 *
 * <p>PyTorch and safetensors hold any tensors, so these are copied as they are. A network file holds a LlamaGen GPT: in
 * single precision, or in double precision if a weight is float64. It has the state of the optimizer if the checkpoint has
 * that of AdamW. What has no place in a network goes into an entry of its own, which only the way back reads; large tensors
 * that are neither weights nor optimizer state, such as a moving average, are left out, and {@link Result#notes} says so.
 *
 * <p>The input is recognised by its content, the output by its name. Everything is streamed. The output is replaced whole or
 * not at all; the input is never written to.
 */
public final class CheckpointConversion {
    /** The longest vector of optimizer state that Deeplearning4j can hold. */
    private static final long MAX_STATE = Integer.MAX_VALUE;
    /** ModelSerializer reads entries into arrays of bytes. */
    private static final long MAX_SERIALIZER_BYTES = Integer.MAX_VALUE - 1024;

    private static final double PUBLISHED_DECAY = 0.05;
    private static final AdamSettings PUBLISHED_ADAM = new AdamSettings(1e-4, 0.9, 0.95, 1e-8);

    private final Path in;
    private final Path out;
    private final Model model;
    private final List<String> notes = new ArrayList<>();

    /**
     * What is known of the model beside its tensors; needed only for a network file of a model whose heads cannot be told.
     *
     * @param size a published size, or null
     * @param config a description, or null
     * @param average whether to take the moving average in place of the weights for a network file
     */
    public record Model(GptSize size, GptConfig config, boolean average) {
        /** Nothing but what the file says. */
        public static final Model UNKNOWN = new Model(null, null, false);

        /**
         * Checks the settings.
         *
         * @param size a published size, or null
         * @param config a description, or null
         * @param average whether to take the moving average
         * @throws IllegalArgumentException if both size and description are given
         */
        public Model {
            if (size != null && config != null) {
                throw new IllegalArgumentException(
                        "Name the published size (--model) or describe the model (--config), not both");
            }
        }
    }

    /**
     * What was written.
     *
     * @param file the file
     * @param kind of the file, for people
     * @param tensors how many
     * @param numbers how many in all tensors
     * @param types how many tensors of each type, by its name
     * @param bytes size of the file
     * @param notes what the user should know
     */
    public record Result(
            Path file,
            String kind,
            int tensors,
            long numbers,
            Map<String, Integer> types,
            long bytes,
            List<String> notes) {}

    private CheckpointConversion(Path in, Path out, Model model) {
        this.in = in;
        this.out = out;
        this.model = model;
    }

    /**
     * Converts a file.
     *
     * @param in a checkpoint or network
     * @param out its name ends in .pt, .pth, .bin or .ckpt (PyTorch), .safetensors, or .zip (Deeplearning4j); one that exists
     *     is replaced
     * @param model what is known of the model
     * @return what was written
     * @throws IllegalArgumentException if the name of the output says nothing, or is that of the input
     * @throws TensorMismatchException if the tensors are not those of the model; it lists all
     * @throws IOException if a file cannot be read or written
     */
    public static Result convert(Path in, Path out, Model model) throws IOException {
        String name = out.getFileName() == null ? "" : out.getFileName().toString();
        String extension = name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT);
        if (!List.of("pt", "pth", "bin", "ckpt", "safetensors", "zip").contains(extension)) {
            throw new IllegalArgumentException("The name of the output must end in .pt (PyTorch), .safetensors or .zip"
                    + " (Deeplearning4j), but is " + out);
        }
        if (Files.exists(out) && Files.exists(in) && Files.isSameFile(in, out)) {
            throw new IllegalArgumentException(
                    "The output is the input, " + in + ", which is never overwritten. Choose another name");
        }
        CheckpointConversion conversion = new CheckpointConversion(in, out, model);
        if (NetworkZip.isNetwork(in)) {
            NetworkState network = NetworkZip.read(in, true);
            return conversion.write(network.restored(conversion.notes), extension);
        }
        try (TensorFile file = TensorFile.open(in)) {
            return conversion.write(Safetensors.rootOf(file), extension);
        }
    }

    private Result write(Object root, String extension) throws IOException {
        if (extension.equals("zip")) {
            return writeNetwork(GptCheckpoint.of(in, root));
        }
        Object plain = CheckpointTree.plain(root);
        if (extension.equals("safetensors")) {
            return result(
                    "safetensors", List.copyOf(Safetensors.write(in, out, plain).values()));
        }
        PyTorchWriter.write(out, plain);
        return result("PyTorch", CheckpointTree.tensors(plain));
    }

    private Result writeNetwork(GptCheckpoint whole) throws IOException {
        GptCheckpoint checkpoint = weights(whole);
        GptConfig config = config(checkpoint);
        checkpoint.requireFits(config.spec());
        Optional<AdamState> adam = optimizer(checkpoint, config.spec());
        int steps = checkpoint.iteration(adam);
        if (adam.isPresent() && adam.get().step() != steps) {
            notes.add("the optimizer has made " + adam.get().step() + " steps, the checkpoint says " + steps
                    + ": the network's counter is the latter");
        }
        DataType type = checkpoint.weights().values().stream().anyMatch(tensor -> tensor.type() == TensorType.FLOAT64)
                ? DataType.DOUBLE
                : DataType.FLOAT;
        AdamSettings settings = adam.map(
                        state -> new AdamSettings(state.learningRate(), state.beta1(), state.beta2(), state.epsilon()))
                .orElse(PUBLISHED_ADAM);
        ComputationGraphConfiguration configuration = LlamaGen.of(config)
                .updater(settings.updater())
                .weightDecay(adam.map(AdamState::weightDecay).orElse(PUBLISHED_DECAY))
                .dataType(type)
                .build();
        configuration.setIterationCount(steps);
        NetworkLayout layout = NetworkLayout.of(configuration);
        if (adam.isPresent() && layout.stateLength() > MAX_STATE) {
            notes.add(
                    "the optimizer is left out: Deeplearning4j holds no state of more than " + MAX_STATE + " numbers");
            adam = Optional.empty();
        }
        Map<String, Integer> leftOut = new LinkedHashMap<>();
        String memo = ConversionMemo.describe(checkpoint, adam, steps, leftOut);
        leftOut.forEach((name, count) ->
                notes.add("left out, as a network has no place for it: " + name + " (" + count + " tensors)"));
        Optional<AdamState> state = adam;
        NetworkZip.write(
                out,
                configuration,
                type,
                layout.parameters(),
                sink -> writeWeights(sink, layout, checkpoint, type),
                state.isPresent() ? layout.stateLength() : 0,
                sink -> writeState(sink, layout, state.orElseThrow(), type),
                memo);
        if (Math.max(layout.parameters(), state.isPresent() ? layout.stateLength() : 0) * type.width()
                > MAX_SERIALIZER_BYTES) {
            notes.add("larger than ModelSerializer and ComputationGraph.load can read: load it with NetworkZip.load");
        }
        List<TensorSource> tensors = new ArrayList<>(checkpoint.weights().values());
        state.ifPresent(moments -> moments.moments().values().forEach(moment -> {
            tensors.add(moment.mean());
            tensors.add(moment.square());
        }));
        return result(
                "Deeplearning4j network, " + type.name().toLowerCase(Locale.ROOT)
                        + (state.isPresent() ? " with optimizer state" : ""),
                tensors);
    }

    private GptCheckpoint weights(GptCheckpoint whole) throws CheckpointException {
        if (!model.average()) {
            return whole;
        }
        return whole.average()
                .orElseThrow(() -> new CheckpointException(
                        in, "has no moving average of the weights (\"ema\"). Convert the weights themselves"));
    }

    private GptConfig config(GptCheckpoint checkpoint) throws CheckpointException {
        if (model.config() != null) {
            return model.config();
        }
        GptSpec spec = model.size() == null ? checkpoint.spec() : checkpoint.spec(model.size());
        return GptConfig.of(spec);
    }

    private Optional<AdamState> optimizer(GptCheckpoint checkpoint, GptSpec spec) {
        try {
            return checkpoint.optimizer(spec);
        } catch (CheckpointException e) {
            notes.add("the optimizer is left out: " + e.getMessage());
            return Optional.empty();
        }
    }

    private static void writeWeights(OutputStream sink, NetworkLayout layout, GptCheckpoint checkpoint, DataType type)
            throws IOException {
        Map<String, GptParameter> parameters = byNetworkName(layout);
        for (NetworkLayout.Slot slot : layout.slots()) {
            String name = parameters.get(slot.name()).name();
            NumberConverter.write(checkpoint.weights().get(name), sink, TensorType.of(type), ByteOrder.BIG_ENDIAN);
        }
    }

    /** Block by block: the means of its parameters, then their squares. */
    private static void writeState(OutputStream sink, NetworkLayout layout, AdamState adam, DataType type)
            throws IOException {
        Map<String, GptParameter> parameters = byNetworkName(layout);
        TreeMap<Long, TensorSource> sources = new TreeMap<>();
        for (NetworkLayout.Slot slot : layout.slots()) {
            AdamState.Moments moments =
                    adam.moments().get(parameters.get(slot.name()).name());
            if (moments != null && slot.firstMoment() >= 0) {
                sources.put(slot.firstMoment(), moments.mean());
                sources.put(slot.secondMoment(), moments.square());
            }
        }
        long written = 0;
        for (Map.Entry<Long, TensorSource> source : sources.entrySet()) {
            zeros(sink, (source.getKey() - written) * type.width());
            NumberConverter.write(source.getValue(), sink, TensorType.of(type), ByteOrder.BIG_ENDIAN);
            written = source.getKey() + elements(source.getValue());
        }
        zeros(sink, (layout.stateLength() - written) * type.width());
    }

    private static void zeros(OutputStream sink, long bytes) throws IOException {
        byte[] zeros = new byte[(int) Math.min(bytes, 1 << 16)];
        for (long left = bytes; left > 0; left -= zeros.length) {
            sink.write(zeros, 0, (int) Math.min(left, zeros.length));
        }
    }

    private static Map<String, GptParameter> byNetworkName(NetworkLayout layout) {
        Map<String, GptParameter> parameters = new HashMap<>();
        GptParameters.of(layout.spec()).forEach(parameter -> parameters.put(parameter.networkName(), parameter));
        return parameters;
    }

    private static long elements(TensorSource tensor) {
        long elements = 1;
        for (long side : tensor.shape()) {
            elements *= side;
        }
        return elements;
    }

    private Result result(String kind, List<TensorSource> tensors) throws IOException {
        Map<String, Integer> types = new TreeMap<>();
        long numbers = 0;
        for (TensorSource tensor : tensors) {
            types.merge(tensor.type().label(), 1, Integer::sum);
            numbers += elements(tensor);
        }
        return new Result(out, kind, tensors.size(), numbers, types, Files.size(out), List.copyOf(notes));
    }
}
