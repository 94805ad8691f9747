package org.npp4j.llamagen.parity;

import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.GptParameter;
import org.npp4j.llamagen.checkpoint.GptParameters;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.images.RepeatedBatch;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.schedule.StageScheduler;

/**
 * Compares a GPT with what PyTorch computed from the same weights: every array of a golden file.
 *
 * <ul>
 *   <li>inputs: {@code tokens} [B, N] and {@code classes} [B], or {@code captions} [B, C, S] for a model of captions
 *   <li>{@code p{p}.logits}, {@code p{p}.loss}, {@code p{p}.grad.NAME}: one forward and backward pass at patch side p
 *   <li>{@code p{p}.logits_f64}: the same in double precision
 *   <li>{@code trained.NAME}: the weights after the steps that {@code "training"} of config.json describes, with its losses
 *       and gradient norms; all three against {@value #TRAINED_FACTOR} times the tolerance, because Adam divides by small
 *       gradients, which magnifies rounding
 *   <li>{@code greedy.cfg{scale}.interval{i}}: token ids of greedy runs for the classes 1 and 2, equal in every
 *       token; a model of captions fails here
 * </ul>
 *
 * <p>The network is the one that users train: stages, clipping, optimizer and weight decay are the library's own. An array
 * of an unknown name fails, as one that silently stays unchecked would be worth nothing.
 */
public final class GptParity {
    /** The limit of trained weights, in tolerances. */
    public static final int TRAINED_FACTOR = 10;

    private static final String TOKENS = "tokens";
    private static final String CLASSES = "classes";
    private static final String CAPTIONS = "captions";
    private static final Pattern PASS = Pattern.compile("p(\\d{1,9})\\.(logits|logits_f64|loss|grad\\.(.+))");
    private static final Pattern TRAINED = Pattern.compile("trained\\.(.+)");
    private static final Pattern GREEDY = Pattern.compile("greedy\\.(cfg(\\d+(?:\\.\\d+)?)\\.interval(-?\\d{1,9}))");
    private static final int[] GREEDY_CLASSES = {1, 2};

    /** Puts the weights of the checkpoint into a network. */
    @FunctionalInterface
    public interface Weights {
        /**
         * Sets every parameter.
         *
         * @param network built by {@link LlamaGen}
         * @throws IOException if the checkpoint cannot be read or does not fit
         */
        void loadInto(ComputationGraph network) throws IOException;
    }

    private final GptSpec spec;
    private final Weights weights;
    private final JsonNode config;
    private final NpzFile golden;
    private final double tolerance;
    private final Map<String, GptParameter> parameters = new LinkedHashMap<>();
    private final List<Comparison> comparisons = new ArrayList<>();
    private MultiDataSet data;

    private GptParity(GptSpec spec, Weights weights, JsonNode config, NpzFile golden, double tolerance) {
        this.spec = spec;
        this.weights = weights;
        this.config = config;
        this.golden = golden;
        this.tolerance = tolerance;
        GptParameters.of(spec).forEach(parameter -> parameters.put(parameter.name(), parameter));
    }

    /**
     * Compares everything in a golden file.
     *
     * @param spec sizes of the model
     * @param weights what the golden run started from
     * @param config the config.json of the golden run: {@code "training"} if there are {@code trained.} arrays
     * @param golden the arrays
     * @param tolerance largest relative difference, above 0; 1e-4 suits float32
     * @return what was found
     * @throws IllegalArgumentException if the tolerance is not a number above 0, tokens or classes are missing or of another
     *     shape, or config.json lacks the training steps
     * @throws IOException if a file cannot be read
     */
    public static ParityReport compare(GptSpec spec, Weights weights, JsonNode config, NpzFile golden, double tolerance)
            throws IOException {
        if (!(tolerance > 0 && tolerance < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The tolerance must be a finite number above 0, got " + tolerance);
        }
        return new GptParity(spec, weights, config, golden, tolerance).compare();
    }

    /**
     * Compares everything in a golden file, starting from files.
     *
     * @param checkpoint the weights: a PyTorch, safetensors or network file
     * @param config a config.json: the model under {@code "config"}, the training steps under {@code "training"}
     * @param golden the arrays
     * @param tolerance largest relative difference, above 0
     * @return what was found
     * @throws IllegalArgumentException if config.json describes no GPT on classes, or as {@link #compare(GptSpec, Weights,
     *     JsonNode, NpzFile, double)}
     * @throws IOException if a file cannot be read, or the weights are not those of the model
     */
    public static ParityReport compare(Path checkpoint, Path config, NpzFile golden, double tolerance)
            throws IOException {
        JsonNode settings = settings(config);
        GptSpec spec = GptSpec.read(config);
        if (NetworkZip.isNetwork(checkpoint)) {
            try (INDArray parameters = NetworkZip.load(checkpoint, false).params()) {
                return compare(spec, network -> assign(checkpoint, parameters, network), settings, golden, tolerance);
            }
        }
        try (TensorFile file = TensorFile.open(checkpoint)) {
            return compare(spec, GptCheckpoint.of(file)::loadInto, settings, golden, tolerance);
        }
    }

    private static JsonNode settings(Path config) throws IOException {
        try {
            JsonNode settings = new ObjectMapper().readTree(Files.readString(config));
            JsonNode model = settings.path("config");
            if (model.has("codebook_size") || model.has("stages")) {
                throw new IllegalArgumentException(
                        config + " describes no GPT, but a VQ tokenizer or an ECAR. Its keys: " + keys(model));
            }
            return settings;
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException(config + " is not JSON: " + e.getOriginalMessage(), e);
        } catch (CharacterCodingException e) {
            throw new IllegalArgumentException(config + " is not JSON, nor any text in UTF-8", e);
        }
    }

    private static List<String> keys(JsonNode object) {
        List<String> keys = new ArrayList<>();
        object.fieldNames().forEachRemaining(keys::add);
        return keys;
    }

    private static void assign(Path checkpoint, INDArray parameters, ComputationGraph network)
            throws CheckpointException {
        // not numParams(), which counts in 32 bits
        long wanted = network.params().length();
        if (parameters.length() != wanted) {
            throw new CheckpointException(
                    checkpoint, "has " + parameters.length() + " parameters, but the model of config.json " + wanted);
        }
        network.params().assign(parameters);
    }

    private ParityReport compare() throws IOException {
        Map<Integer, List<String>> passes = byPatchSide(false);
        Map<Integer, List<String>> doublePasses = byPatchSide(true);
        List<String> greedy = matching(GREEDY);
        List<String> trained = matching(TRAINED);
        if (!passes.isEmpty() || !doublePasses.isEmpty() || !trained.isEmpty()) {
            data = data(DataType.FLOAT);
        }
        if (!passes.isEmpty() || !greedy.isEmpty()) {
            comparePasses(passes, greedy);
        }
        if (!trained.isEmpty()) {
            compareTraining(trained);
        }
        if (!doublePasses.isEmpty()) {
            compareDoublePasses(doublePasses);
        }
        for (String name : golden.names()) {
            if (!isInput(name) && !isKnown(name)) {
                failed("other arrays", name, "not checked: the name says nothing that is known here");
            }
        }
        return new ParityReport(comparisons);
    }

    private boolean isInput(String name) {
        return name.equals(TOKENS) || name.equals(spec.textConditional() ? CAPTIONS : CLASSES);
    }

    private boolean isKnown(String name) {
        return PASS.matcher(name).matches()
                || TRAINED.matcher(name).matches()
                || GREEDY.matcher(name).matches();
    }

    private List<String> matching(Pattern pattern) {
        return golden.names().stream()
                .filter(name -> pattern.matcher(name).matches())
                .toList();
    }

    private Map<Integer, List<String>> byPatchSide(boolean inDouble) {
        Map<Integer, List<String>> names = new LinkedHashMap<>();
        for (String name : matching(PASS)) {
            Matcher pass = pass(name);
            if (pass.group(2).equals("logits_f64") == inDouble) {
                names.computeIfAbsent(Integer.parseInt(pass.group(1)), p -> new ArrayList<>())
                        .add(name);
            }
        }
        return names;
    }

    private static Matcher pass(String name) {
        Matcher pass = PASS.matcher(name);
        if (!pass.matches()) {
            throw new IllegalStateException(name);
        }
        return pass;
    }

    /** The batch: tokens, and classes as a column or captions. */
    private MultiDataSet data(DataType type) throws IOException {
        int positions = spec.grid().tokens();
        INDArray tokens = input(TOKENS).castTo(DataType.INT32);
        if (tokens.rank() != 2 || tokens.size(1) != positions) {
            throw new IllegalArgumentException("\"" + TOKENS + "\" of the golden file must be [batch, " + positions
                    + "], as the " + spec.grid() + " of config.json says, but is " + Arrays.toString(tokens.shape()));
        }
        long batch = tokens.size(0);
        INDArray condition;
        if (spec.textConditional()) {
            condition = input(CAPTIONS).castTo(type);
            requireShape(CAPTIONS, condition, batch, spec.conditionTokens(), spec.captionWidth());
        } else {
            INDArray classes = input(CLASSES).castTo(DataType.INT32);
            requireShape(CLASSES, classes, batch);
            condition = classes.reshape(batch, 1);
        }
        return new MultiDataSet(new INDArray[] {tokens, condition}, new INDArray[] {tokens});
    }

    private static void requireShape(String name, INDArray array, long... shape) {
        if (!Arrays.equals(array.shape(), shape)) {
            throw new IllegalArgumentException("\"" + name + "\" of the golden file must be " + Arrays.toString(shape)
                    + ", as \"" + TOKENS + "\" and config.json say, but is " + Arrays.toString(array.shape()));
        }
    }

    private INDArray input(String name) throws IOException {
        if (!golden.contains(name)) {
            throw new IllegalArgumentException(
                    "The golden file has no \"" + name + "\", which the other arrays were computed from");
        }
        return golden.array(name);
    }

    private void comparePasses(Map<Integer, List<String>> passes, List<String> greedy) throws IOException {
        ComputationGraph network = network(LlamaGen.of(spec));
        try {
            for (Map.Entry<Integer, List<String>> pass : passes.entrySet()) {
                if (fits(pass.getKey(), pass.getValue())) {
                    setPatchSide(network, pass.getKey());
                    comparePass(network, pass.getKey(), pass.getValue());
                }
            }
            for (String name : greedy) {
                compareGreedy(network, name);
            }
        } finally {
            network.close();
        }
    }

    /** Logits and loss as in inference, then the gradients of a training pass. */
    private void comparePass(ComputationGraph network, int p, List<String> names) throws IOException {
        boolean gradients = false;
        for (String name : names) {
            switch (pass(name).group(2)) {
                case "logits" -> compare("p=" + p + " logits", name, () -> logits(network), tolerance);
                case "loss" -> compareNumber("p=" + p + " loss", name, network.score(data), tolerance);
                default -> gradients = true;
            }
        }
        if (gradients) {
            network.setInputs(data.getFeatures());
            network.setLabels(data.getLabels());
            network.computeGradientAndScore();
            double batch = data.getFeatures(0).size(0);
            for (String name : names) {
                String parameter = pass(name).group(3);
                if (parameter != null) {
                    // Deeplearning4j's gradients are sums over the examples until the updater divides them
                    compareParameter(
                            "p=" + p + " gradients",
                            name,
                            parameter,
                            ours -> network.gradient().getGradientFor(ours).div(batch),
                            tolerance);
                }
            }
        }
    }

    private void compareDoublePasses(Map<Integer, List<String>> passes) throws IOException {
        data = data(DataType.DOUBLE);
        ComputationGraph network = network(LlamaGen.of(spec).dataType(DataType.DOUBLE));
        try {
            for (Map.Entry<Integer, List<String>> pass : passes.entrySet()) {
                if (fits(pass.getKey(), pass.getValue())) {
                    setPatchSide(network, pass.getKey());
                    for (String name : pass.getValue()) {
                        compare("p=" + pass.getKey() + " logits in double", name, () -> logits(network), tolerance);
                    }
                }
            }
        } finally {
            network.close();
        }
    }

    private boolean fits(int p, List<String> names) {
        if (p > 0 && spec.grid().isDividedBy(p)) {
            return true;
        }
        for (String name : names) {
            failed("p=" + p, name, "patch side " + p + " does not divide the " + spec.grid());
        }
        return false;
    }

    private static void setPatchSide(ComputationGraph network, int p) {
        StageScheduler.patchAveragesOf(network).forEach(average -> average.setPatchSide(p));
    }

    private INDArray logits(ComputationGraph network) {
        return network.output(data.getFeatures())[0];
    }

    private void compareGreedy(ComputationGraph network, String name) throws IOException {
        Matcher greedy = GREEDY.matcher(name);
        if (!greedy.matches()) {
            throw new IllegalStateException(name);
        }
        String group =
                "greedy " + greedy.group(1).replace(".interval", " interval ").replace("cfg", "cfg ");
        if (spec.textConditional()) {
            failed(group, name, "not checked: greedy runs are compared for classes only");
            return;
        }
        double scale = Double.parseDouble(greedy.group(2));
        Guidance guidance = scale > 1 ? new Guidance(scale, Integer.parseInt(greedy.group(3))) : Guidance.NONE;
        INDArray expected = golden.array(name).castTo(DataType.INT32);
        long[] shape = {GREEDY_CLASSES.length, spec.grid().tokens()};
        if (!Arrays.equals(expected.shape(), shape)) {
            failed(group, name, "shape " + Arrays.toString(expected.shape()) + ", not " + Arrays.toString(shape));
            return;
        }
        int[][] tokens;
        try (GptDecoder decoder = new GptDecoder(network)) {
            tokens = decoder.generate(GREEDY_CLASSES, guidance, TokenSamplers.greedy());
        }
        int different = 0;
        int firstPosition = Integer.MAX_VALUE;
        for (int i = 0; i < tokens.length; i++) {
            for (int t = 0; t < tokens[i].length; t++) {
                if (tokens[i][t] != expected.getInt(i, t)) {
                    different++;
                    firstPosition = Math.min(firstPosition, t);
                }
            }
        }
        int all = tokens.length * tokens[0].length;
        JsonNode margin = config.path("greedy_smallest_margin").path(greedy.group(1));
        comparisons.add(new Comparison(
                group,
                name,
                (double) different / all,
                0,
                different + " of " + all + " tokens differ"
                        + (different == 0 ? "" : ", first at position " + firstPosition)
                        + (margin.isNumber()
                                ? String.format(
                                        Locale.ROOT,
                                        "; smallest margin between the two best logits %.2e",
                                        margin.asDouble())
                                : "")));
    }

    private void compareTraining(List<String> names) throws IOException {
        if (!config.path("training").isObject()) {
            throw new IllegalArgumentException("The golden file has weights after training (" + names.get(0)
                    + "), but config.json has no \"training\" that says how they were trained");
        }
        TrainingSteps steps = TrainingSteps.of(config.get("training"));
        double limit = TRAINED_FACTOR * tolerance;
        // the loop that trains models, not one of its own
        Trainer trainer = new Trainer.Builder(
                        steps.plan(spec, data.getFeatures(0).size(0)), new RepeatedBatch(data))
                .weights(weights::loadInto)
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer ignored, TrainingStep done) throws IOException {
                        compareStep(steps, done, limit);
                    }
                })
                .build();
        try {
            trainer.run();
            String group = "weights after " + steps.patchSides().size() + " steps";
            for (String name : names) {
                compareParameter(group, name, name.substring("trained.".length()), trainer.network()::getParam, limit);
            }
        } finally {
            trainer.network().close();
        }
    }

    private void compareStep(TrainingSteps steps, TrainingStep done, double limit) {
        int step = done.step() - 1;
        if (!steps.losses().isEmpty()) {
            compareNumber(
                    "training losses",
                    "training.losses[" + step + "]",
                    steps.losses().get(step),
                    done.loss(),
                    limit);
        }
        if (!steps.gradientNorms().isEmpty()) {
            compareNumber(
                    "gradient norms",
                    "training.gradient_norms_before_clipping[" + step + "]",
                    steps.gradientNorms().get(step),
                    done.gradientNorm(),
                    limit);
        }
    }

    private ComputationGraph network(LlamaGen builder) throws IOException {
        ComputationGraph network = builder.init();
        weights.loadInto(network);
        return network;
    }

    @FunctionalInterface
    private interface NetworkArray {
        INDArray named(String networkName);
    }

    private void compareParameter(String group, String name, String parameter, NetworkArray arrays, double limit)
            throws IOException {
        GptParameter known = parameters.get(parameter);
        if (known == null) {
            failed(group, name, "not checked: the model has no parameter \"" + parameter + "\"");
        } else {
            compare(group, name, () -> known.published(arrays.named(known.networkName())), limit);
        }
    }

    private void compare(String group, String name, Supplier<INDArray> actual, double limit) throws IOException {
        INDArray expected = golden.array(name);
        INDArray given = actual.get();
        if (!Arrays.equals(expected.shape(), given.shape())) {
            failed(
                    group,
                    name,
                    "shape " + Arrays.toString(expected.shape()) + ", but ours is " + Arrays.toString(given.shape()));
        } else {
            double difference = Difference.relative(expected, given);
            String note = Double.isNaN(difference) ? "some values are not finite" : "";
            comparisons.add(new Comparison(group, name, difference, limit, note));
        }
    }

    private void compareNumber(String group, String name, double actual, double limit) throws IOException {
        INDArray expected = golden.array(name);
        if (expected.length() == 1) {
            compareNumber(group, name, expected.getDouble(0), actual, limit);
        } else {
            failed(group, name, "shape " + Arrays.toString(expected.shape()) + ", but it must be one number");
        }
    }

    private void compareNumber(String group, String name, double expected, double actual, double limit) {
        comparisons.add(new Comparison(group, name, Difference.relative(expected, actual), limit, ""));
    }

    private void failed(String group, String name, String note) {
        comparisons.add(new Comparison(group, name, Double.NaN, 0, note));
    }
}
