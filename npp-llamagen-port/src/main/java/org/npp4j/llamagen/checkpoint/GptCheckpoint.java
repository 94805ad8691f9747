package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.schedule.WeightAverage;

/**
 * A checkpoint of a LlamaGen GPT in an open file: weights, their moving average, the optimizer's state, steps and
 * arguments, as far as the file has them.
 *
 * <p>The weights are found under {@code model}, {@code module} or {@code state_dict}, or at the top; the prefixes {@code
 * _orig_mod.} and {@code module.} are stripped, however often they occur; buffers that follow from the sizes ({@code
 * freqs_cis}, {@code causal_mask}, key/value caches) are ignored. Nothing of a tensor is read before it is asked for.
 *
 * <pre>{@code
 * try (TensorFile file = TensorFile.open(Path.of("c2i_B_256.pt"))) {
 *     GptCheckpoint checkpoint = GptCheckpoint.of(file);
 *     ComputationGraph network = LlamaGen.of(checkpoint.spec()).init();
 *     checkpoint.loadInto(network);
 * }
 * }</pre>
 */
public final class GptCheckpoint {
    static final String MODEL = "model";
    static final String EMA = "ema";
    static final String OPTIMIZER = "optimizer";
    static final String STEPS = "steps";
    static final String ARGS = "args";
    static final String CONFIG = "config";

    private static final Pattern BUFFER =
            Pattern.compile("(.*\\.)?(freqs_cis|causal_mask)|(.*\\.)?(kv_cache|k_cache|v_cache)(\\..*)?");
    /** Far more than any published model has; a larger side comes from arguments that mean something else. */
    private static final int MAX_GRID_SIDE = 1024;

    private static final String TOKEN_TABLE = "tok_embeddings.weight";
    private static final Pattern BLOCK = Pattern.compile("layers\\.(\\d{1,9})\\..*");

    private final Path file;
    private final Object root;
    private final Map<String, TensorSource> weights;

    private GptCheckpoint(Path file, Object root, Map<String, TensorSource> weights) {
        this.file = file;
        this.root = root;
        this.weights = weights;
    }

    /**
     * The checkpoint in a file.
     *
     * @param file open; must stay open while the checkpoint is used
     * @return the checkpoint
     * @throws CheckpointException if the file holds something else
     */
    public static GptCheckpoint of(TensorFile file) throws CheckpointException {
        return of(file.path(), Safetensors.rootOf(file));
    }

    static GptCheckpoint of(Path file, Object root) throws CheckpointException {
        Map<String, TensorSource> weights = weights(file, CheckpointWeights.holder(root));
        if (!weights.containsKey(TOKEN_TABLE)) {
            throw new CheckpointException(
                    file,
                    "holds no LlamaGen GPT: there is no tensor " + TOKEN_TABLE
                            + " at the top nor under model, module or state_dict. See what it holds: npp inspect");
        }
        return new GptCheckpoint(file, root, weights);
    }

    static boolean isGpt(Path file, Object root) throws CheckpointException {
        return weights(file, CheckpointWeights.holder(root)).containsKey(TOKEN_TABLE);
    }

    private static Map<String, TensorSource> weights(Path file, Map<?, ?> holder) throws CheckpointException {
        return CheckpointWeights.of(file, holder, GptCheckpoint::isBuffer);
    }

    static boolean isBuffer(String name) {
        return BUFFER.matcher(name).matches();
    }

    /**
     * The same with the moving average in place of the weights, and without the optimizer.
     *
     * @return the checkpoint, empty if the file has no moving average
     * @throws CheckpointException if the average has a tensor twice
     */
    public Optional<GptCheckpoint> average() throws CheckpointException {
        if (!(root instanceof Map<?, ?> map) || !(map.get(EMA) instanceof Map<?, ?> average)) {
            return Optional.empty();
        }
        Map<Object, Object> averaged = new LinkedHashMap<>(map);
        averaged.keySet()
                .removeIf(key -> CheckpointWeights.HOLDERS.contains(key) || key.equals(EMA) || key.equals(OPTIMIZER));
        averaged.put(MODEL, average);
        return Optional.of(of(file, averaged));
    }

    /** {@return the file} */
    public Path path() {
        return file;
    }

    /** {@return the weights by published name, in file order, without prefixes and buffers} */
    public Map<String, TensorSource> weights() {
        return Collections.unmodifiableMap(weights);
    }

    /** {@return the training steps that the weights have seen, if the file says it} */
    public OptionalLong steps() {
        return root instanceof Map<?, ?> map && map.get(STEPS) instanceof Long steps && steps >= 0
                ? OptionalLong.of(steps)
                : OptionalLong.empty();
    }

    /** {@return the arguments of the run that wrote it, by name; empty if there are none} */
    public Map<String, Object> arguments() {
        Object args = root instanceof Map<?, ?> map ? CheckpointTree.plain(map.get(ARGS)) : null;
        Map<String, Object> arguments = new LinkedHashMap<>();
        if (args instanceof Map<?, ?> map) {
            map.forEach((name, value) -> arguments.put(String.valueOf(name), value));
        }
        return arguments;
    }

    /**
     * The sizes of the model. The shapes tell all but the heads, the token grid, the rotary base and epsilon. The heads are
     * those of the published size with as many layers and this width; the grid follows from the arguments {@code
     * image_size} and {@code downsample_size}, and else is 16 x 16; the rest is as published. Arguments that this class
     * wrote itself tell everything.
     *
     * @return the sizes
     * @throws CheckpointException if it is of no published size, so that its heads are unknown
     */
    public GptSpec spec() throws CheckpointException {
        if (arguments().get(CONFIG) instanceof Map<?, ?> config) {
            return configured(config);
        }
        int layers = layers();
        long width = width();
        for (GptSize size : GptSize.values()) {
            if (size.layers() == layers && size.width() == width) {
                return spec(size);
            }
        }
        throw new CheckpointException(
                file,
                "is of no published size (" + layers + " layers, width " + width
                        + "), so its heads cannot be told from its tensors. Describe the model: --config FILE.json");
    }

    private GptSpec configured(Map<?, ?> config) throws CheckpointException {
        try {
            GptSpec spec = GptConfig.parse(new ObjectMapper().writeValueAsString(config))
                    .spec();
            if (spec.layers() > weights.size()) {
                throw new IllegalArgumentException("n_layer is " + spec.layers() + ", but the file has only "
                        + weights.size() + " tensors of weights");
            }
            return spec;
        } catch (JsonProcessingException | IllegalArgumentException e) {
            throw new CheckpointException(file, "describes its model in args.config wrongly: " + e.getMessage(), e);
        }
    }

    /**
     * The sizes of the model, if it is of a published size: all else as far as the tensors and arguments tell.
     *
     * @param size decides layers, heads and width
     * @return the sizes; whether the tensors fit them is checked when they are loaded
     * @throws CheckpointException if a shape contradicts itself
     */
    public GptSpec spec(GptSize size) throws CheckpointException {
        GptSpec.Builder spec = size.spec();
        spec.vocabulary(side(TOKEN_TABLE, 0, 16384)).grid(grid());
        if (weights.containsKey("layers.0.feed_forward.w1.weight")) {
            spec.feedForwardWidth(side("layers.0.feed_forward.w1.weight", 0, 0));
        }
        int headWidth = size.width() / size.heads();
        int keyValueHeads =
                (side("layers.0.attention.wqkv.weight", 0, 3 * size.width()) / headWidth - size.heads()) / 2;
        if (keyValueHeads > 0 && size.heads() % keyValueHeads == 0) {
            spec.keyValueHeads(keyValueHeads);
        }
        if (weights.containsKey(GptParameters.CLASS_TABLE)) {
            int rows = side(GptParameters.CLASS_TABLE, 0, 1001);
            boolean noClassRow = !Long.valueOf(rows).equals(arguments().get("num_classes")) && rows > 1;
            spec.classes(noClassRow ? rows - 1 : rows).noClassRow(noClassRow);
        } else if (weights.containsKey("cls_embedding.uncond_embedding")) {
            spec.captions(
                    side("cls_embedding.uncond_embedding", 0, 120), side("cls_embedding.uncond_embedding", 1, 2048));
        }
        try {
            return spec.build();
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(file, "has shapes that no model has: " + e.getMessage(), e);
        }
    }

    private TokenGrid grid() {
        Map<String, Object> arguments = arguments();
        if (arguments.get("image_size") instanceof Long pixels
                && arguments.get("downsample_size") instanceof Long downsampling
                && downsampling > 0
                && pixels >= downsampling
                && pixels % downsampling == 0) {
            long side = pixels / downsampling;
            if (side <= MAX_GRID_SIDE) {
                return TokenGrid.of((int) side, (int) side);
            }
        }
        return TokenGrid.of(16, 16);
    }

    private int side(String name, int axis, int otherwise) {
        TensorSource tensor = weights.get(name);
        long[] shape = tensor == null ? new long[0] : tensor.shape();
        return axis < shape.length && shape[axis] > 0 && shape[axis] < Integer.MAX_VALUE
                ? (int) shape[axis]
                : otherwise;
    }

    private int layers() {
        Set<String> blocks = new HashSet<>();
        for (String name : weights.keySet()) {
            Matcher block = BLOCK.matcher(name);
            if (block.matches()) {
                blocks.add(block.group(1));
            }
        }
        return blocks.size();
    }

    private int width() {
        return side(TOKEN_TABLE, 1, 0);
    }

    /**
     * Compares the tensors with those that a model has.
     *
     * @param spec sizes of the model
     * @throws TensorMismatchException if a tensor is missing, unexpected or of another shape; it lists all
     */
    public void requireFits(GptSpec spec) throws TensorMismatchException {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        GptParameters.of(spec).forEach(parameter -> shapes.put(parameter.name(), parameter.shapeArray()));
        CheckpointWeights.requireFit(file, weights, shapes, () -> hint(spec));
    }

    /** What the checkpoint seems to be instead. */
    private String hint(GptSpec spec) {
        List<String> differences = new ArrayList<>();
        if (layers() != spec.layers() || width() != spec.width()) {
            String found = sizeName(layers(), width());
            String wanted = sizeName(spec.layers(), spec.width());
            differences.add("The checkpoint has " + layers() + " layers of width " + width()
                    + (found.isEmpty() ? "" : ", as " + found) + "; the model has " + spec.layers() + " of width "
                    + spec.width() + (wanted.isEmpty() ? "" : ", as " + wanted) + "."
                    + (found.isEmpty() ? "" : " Try --model " + found + "."));
        }
        if (side(TOKEN_TABLE, 0, 0) != spec.vocabulary() && weights.containsKey(TOKEN_TABLE)) {
            differences.add("The checkpoint has a vocabulary of " + side(TOKEN_TABLE, 0, 0) + ", the model of "
                    + spec.vocabulary() + ".");
        }
        differences.addAll(conditionHints(spec));
        return String.join(" ", differences);
    }

    private List<String> conditionHints(GptSpec spec) {
        boolean classes = weights.containsKey(GptParameters.CLASS_TABLE);
        if (classes == spec.textConditional()) {
            return List.of(
                    classes
                            ? "The checkpoint is conditioned on classes, the model on captions."
                            : "The checkpoint has no class table, the model is conditioned on classes.");
        }
        int rows = side(GptParameters.CLASS_TABLE, 0, 0);
        if (!classes || rows == spec.classRows()) {
            return List.of();
        }
        String given = "The checkpoint's class table has " + rows + " rows, the model's " + spec.classRows() + " ("
                + spec.classes() + " classes " + (spec.noClassRow() ? "and" : "without") + " \"no class\").";
        if (rows == spec.classes() && spec.noClassRow()) {
            return List.of(given + " It has no row for \"no class\": set \"class_dropout\" to 0 in the config.");
        }
        if (rows == spec.classes() + 1 && !spec.noClassRow()) {
            return List.of(given + " It has one for \"no class\": set \"class_dropout\" above 0 in the config.");
        }
        return List.of(given);
    }

    private static String sizeName(int layers, int width) {
        return Arrays.stream(GptSize.values())
                .filter(size -> size.layers() == layers && size.width() == width)
                .map(GptSize::label)
                .findFirst()
                .orElse("");
    }

    /**
     * Copies the weights into a network, converted to its type. Each tensor is streamed into its place: there is no second
     * copy of the model.
     *
     * @param network built by {@link LlamaGen}, initialised
     * @throws TensorMismatchException if the tensors are not those of the network; nothing is copied then
     * @throws IOException if the file cannot be read
     */
    public void loadInto(ComputationGraph network) throws IOException {
        GptSpec spec = LlamaGen.specOf(network.getConfiguration());
        requireFits(spec);
        for (GptParameter parameter : GptParameters.of(spec)) {
            read(weights.get(parameter.name()), parameter.published(network.getParam(parameter.networkName())));
        }
    }

    /**
     * Copies the weights, the optimizer's state and the steps into a network, which then trains on where PyTorch stopped.
     * Learning rate and decay stay those of the network.
     *
     * @param network built by {@link LlamaGen} with TorchAdam or Adam, initialised
     * @return whether the file has the optimizer's state; without it only weights and steps were copied
     * @throws TensorMismatchException if the tensors are not those of the network; nothing is copied then
     * @throws CheckpointException if the optimizer's state belongs to other parameters
     * @throws IllegalArgumentException if the file has that state and the network trains with another optimizer
     * @throws IOException if the file cannot be read
     */
    public boolean resumeInto(ComputationGraph network) throws IOException {
        GptSpec spec = LlamaGen.specOf(network.getConfiguration());
        Optional<AdamState> adam = optimizer(spec);
        NetworkLayout layout = NetworkLayout.of(network.getConfiguration());
        if (adam.isPresent()) {
            layout.requireAdam();
        }
        loadInto(network);
        network.getConfiguration().setIterationCount(iteration(adam));
        if (adam.isEmpty()) {
            return false;
        }
        INDArray state = network.getUpdater(true).getStateViewArray();
        INDArray flat = state.reshape(state.length());
        for (GptParameter parameter : GptParameters.of(spec)) {
            NetworkLayout.Slot slot = layout.slot(parameter.networkName());
            AdamState.Moments moments = adam.get().moments().get(parameter.name());
            load(moments == null ? null : moments.mean(), flat, slot.firstMoment(), parameter);
            load(moments == null ? null : moments.square(), flat, slot.secondMoment(), parameter);
        }
        return true;
    }

    /**
     * The network's counter of iterations.
     *
     * @param adam the optimizer's state, if there is one
     * @return the file's steps, or else the optimizer's, or 0
     * @throws CheckpointException if Deeplearning4j cannot count that far
     */
    int iteration(Optional<AdamState> adam) throws CheckpointException {
        long steps = steps().orElse(adam.map(AdamState::step).orElse(0L));
        if (steps != (int) steps) {
            throw new CheckpointException(
                    file, "says to have made " + steps + " steps; Deeplearning4j counts to " + Integer.MAX_VALUE);
        }
        return (int) steps;
    }

    private static void load(TensorSource source, INDArray state, long offset, GptParameter parameter)
            throws IOException {
        if (offset >= 0) {
            INDArray segment = state.get(NDArrayIndex.interval(offset, offset + parameter.elements()));
            if (source == null) {
                segment.assign(0);
            } else {
                // [elements] -> the published shape, row order
                read(source, segment.reshape('c', parameter.shapeArray()));
            }
        }
    }

    private static void read(TensorSource source, INDArray target) throws IOException {
        if (!(source instanceof StoredTensor stored)) {
            throw new IllegalStateException("Only tensors of a file can be read, not " + source);
        }
        stored.readInto(target);
    }

    /**
     * The optimizer's state.
     *
     * @param spec sizes of the model
     * @return the state; empty if the file has none
     * @throws CheckpointException if it belongs to other parameters
     */
    Optional<AdamState> optimizer(GptSpec spec) throws CheckpointException {
        return root instanceof Map<?, ?> map && map.get(OPTIMIZER) instanceof Map<?, ?> optimizer
                ? AdamState.read(file, optimizer, spec)
                : Optional.empty();
    }

    Object root() {
        return root;
    }

    /**
     * Writes a network as a checkpoint that PyTorch loads: {@code model}, {@code optimizer} if the network has trained with
     * Adam, {@code steps} and {@code args}.
     *
     * @param path the file; one that exists is replaced
     * @param network built by {@link LlamaGen}, initialised
     * @throws IllegalArgumentException if the network is laid out otherwise
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, ComputationGraph network) throws IOException {
        PyTorchWriter.write(path, NetworkState.of(network).checkpoint());
    }

    /**
     * Writes a network and the moving average of its weights, {@code ema}, otherwise as {@link #write(Path,
     * ComputationGraph)}.
     *
     * @param path the file; one that exists is replaced
     * @param network built by {@link LlamaGen}, initialised
     * @param average of this network
     * @throws IllegalArgumentException if the network is laid out otherwise
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, ComputationGraph network, WeightAverage average) throws IOException {
        PyTorchWriter.write(path, NetworkState.of(network).checkpoint(average.vector()));
    }

    /**
     * Copies the moving average of a file, or the weights where it has none, into that of a network.
     *
     * @param average of a network built by {@link LlamaGen}
     * @param network that network
     * @return whether the file has a moving average
     * @throws TensorMismatchException if the tensors are not those of the network
     * @throws IOException if the file cannot be read
     */
    public boolean loadInto(WeightAverage average, ComputationGraph network) throws IOException {
        Optional<GptCheckpoint> stored = average();
        try (WeightAverage.Swap ignored = average.applyTo(network)) {
            stored.orElse(this).loadInto(network);
        }
        return stored.isPresent();
    }
}
