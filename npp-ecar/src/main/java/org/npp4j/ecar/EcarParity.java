package org.npp4j.ecar;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.parity.Comparison;
import org.npp4j.llamagen.parity.Difference;
import org.npp4j.llamagen.parity.ParityReport;

/**
 * Compares an ECAR with what PyTorch computed from the same weights: every array of a golden file.
 *
 * <ul>
 *   <li>inputs: {@code x} [B, C, G, G], {@code classes} [B], and of each stage s {@code noise{s}} and {@code tau{s}} [B, 1]
 *   <li>{@code start{s}}, {@code end{s}}: the ends of the stages
 *   <li>{@code conditions{s}}, {@code velocity{s}}, {@code loss}, {@code grad.NAME}: one forward and backward pass
 *   <li>{@code generated.steps{n}.cfg{scale}}: latents generated for the classes 1, 2, 3 from the same noise
 * </ul>
 *
 * <p>An array of an unknown name fails, as one that silently stays unchecked would be worth nothing.
 */
public final class EcarParity {
    private static final Pattern INPUT = Pattern.compile("x|classes|(noise|tau)\\d+");
    private static final Pattern OF_STAGE = Pattern.compile("(start|end|conditions|velocity)(\\d{1,2})");
    private static final Pattern GRADIENT = Pattern.compile("grad\\.(.+)");
    private static final Pattern GENERATED = Pattern.compile("generated\\.steps(\\d{1,6})\\.cfg(\\d+(?:\\.\\d+)?)");

    private final EcarConfig config;
    private final ComputationGraph network;
    private final NpzFile golden;
    private final double tolerance;
    private final List<Comparison> comparisons = new ArrayList<>();

    private EcarParity(EcarConfig config, ComputationGraph network, NpzFile golden, double tolerance) {
        this.config = config;
        this.network = network;
        this.golden = golden;
        this.tolerance = tolerance;
    }

    /**
     * Compares everything in a golden file.
     *
     * @param checkpoint the weights: a PyTorch or safetensors file
     * @param config JSON: the model, at the top or under {@code "config"}
     * @param golden the arrays
     * @param tolerance largest relative difference, above 0; 1e-4 suits float32
     * @return what was found
     * @throws IllegalArgumentException if the tolerance is not a number above 0, or an input is missing or of another shape
     * @throws IOException if a file cannot be read, or the weights are not those of the model
     */
    public static ParityReport compare(Path checkpoint, Path config, NpzFile golden, double tolerance)
            throws IOException {
        if (!(tolerance > 0 && tolerance < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The tolerance must be a finite number above 0, got " + tolerance);
        }
        EcarConfig sizes = EcarConfig.read(config);
        ComputationGraph network = Ecar.of(sizes).init();
        try {
            EcarCheckpoint.load(checkpoint, sizes, network);
            return new EcarParity(sizes, network, golden, tolerance).compare();
        } finally {
            network.close();
        }
    }

    private ParityReport compare() throws IOException {
        INDArray latents = input("x");
        int[] classes = input("classes").castTo(DataType.INT32).toIntVector();
        List<INDArray> noise = new ArrayList<>();
        double[][] times = new double[classes.length][config.stages()];
        for (int s = 0; s < config.stages(); s++) {
            noise.add(input("noise" + s));
            double[] ofStage = input("tau" + s)
                    .castTo(DataType.DOUBLE)
                    .reshape(classes.length)
                    .toDoubleVector();
            for (int b = 0; b < classes.length; b++) {
                times[b][s] = ofStage[b];
            }
        }
        MultiDataSet batch = FlowBatch.of(config, latents, classes, noise, times);
        compareStages(new StageFlow(config.stages()).chain(latents, noise), batch);
        comparePass(batch);
        for (String name : golden.names()) {
            Matcher generated = GENERATED.matcher(name);
            if (generated.matches()) {
                compareGenerated(name, generated, noise);
            } else if (!isKnown(name)) {
                failed("other arrays", name, "not checked: the name says nothing that is known here");
            }
        }
        return new ParityReport(comparisons);
    }

    private INDArray input(String name) throws IOException {
        if (!golden.contains(name)) {
            throw new IllegalArgumentException(
                    "The golden file has no \"" + name + "\", which the other arrays were computed from");
        }
        return golden.array(name);
    }

    private static boolean isKnown(String name) {
        return name.equals("loss")
                || INPUT.matcher(name).matches()
                || OF_STAGE.matcher(name).matches()
                || GRADIENT.matcher(name).matches();
    }

    private void compareStages(List<StageFlow.Ends> chain, MultiDataSet batch) throws IOException {
        Map<String, INDArray> activations = network.feedForward(batch.getFeatures(), false);
        String headOutput = config.head().layers(config).stream()
                .reduce((a, b) -> b)
                .map(FlowHead.Part::name)
                .orElseThrow();
        for (String name : golden.names()) {
            Matcher ofStage = OF_STAGE.matcher(name);
            if (!ofStage.matches()) {
                continue;
            }
            int s = Integer.parseInt(ofStage.group(2));
            if (s >= config.stages()) {
                failed("other arrays", name, "not checked: the model has " + config.stages() + " stages");
                continue;
            }
            String what = ofStage.group(1);
            compare(
                    what.equals("velocity") ? "velocities" : what.equals("conditions") ? what : "ends of stages",
                    name,
                    () -> switch (what) {
                        case "start" -> chain.get(s).start();
                        case "end" -> chain.get(s).end();
                        case "conditions" -> ofStage(activations.get(Ecar.NORM), s);
                        default -> ofStage(activations.get(headOutput), s);
                    });
        }
    }

    private INDArray ofStage(INDArray sequence, int s) {
        return sequence.get(
                        NDArrayIndex.all(),
                        NDArrayIndex.interval(
                                config.stageLengths().start(s),
                                config.stageLengths().start(s + 1)),
                        NDArrayIndex.all())
                .dup('c');
    }

    /** The loss, and the gradients of a training pass; a configuration for parity has no dropout. */
    private void comparePass(MultiDataSet batch) throws IOException {
        if (golden.contains("loss")) {
            double loss = network.score(batch, false);
            comparisons.add(new Comparison(
                    "loss", "loss", Difference.relative(golden.array("loss").getDouble(0), loss), tolerance, ""));
        }
        Map<String, EcarParameter> parameters = new LinkedHashMap<>();
        EcarParameter.of(config).forEach(parameter -> parameters.put(parameter.name(), parameter));
        Map<String, INDArray> gradients = gradients(batch);
        for (String name : golden.names()) {
            Matcher gradient = GRADIENT.matcher(name);
            if (gradient.matches()) {
                EcarParameter parameter = parameters.get(gradient.group(1));
                if (parameter == null) {
                    failed("gradients", name, "not checked: the model has no parameter \"" + gradient.group(1) + "\"");
                } else {
                    compare("gradients", name, () -> parameter.published(gradients.get(parameter.networkName())));
                }
            }
        }
    }

    /** Without class dropout: that of the network is drawn at random. */
    private Map<String, INDArray> gradients(MultiDataSet batch) {
        EcarConfig undropped = new EcarConfig(
                config.channels(),
                config.grid(),
                config.stages(),
                config.width(),
                config.layers(),
                config.heads(),
                config.classes(),
                0,
                0,
                config.head());
        ComputationGraph training = Ecar.of(undropped).init();
        try {
            training.setParams(network.params());
            training.setInputs(batch.getFeatures());
            training.setLabels(batch.getLabels());
            training.computeGradientAndScore();
            Map<String, INDArray> gradients = new LinkedHashMap<>();
            // Deeplearning4j's gradients are sums over the examples until the updater divides them
            training.gradient()
                    .gradientForVariable()
                    .forEach((name, sum) -> gradients.put(
                            name,
                            sum.dup(sum.ordering()).divi(batch.getFeatures(0).size(0))));
            return gradients;
        } finally {
            training.close();
        }
    }

    private void compareGenerated(String name, Matcher generated, List<INDArray> noise) throws IOException {
        int batch = (int) noise.get(0).size(0);
        int[] classes = new int[batch];
        Arrays.setAll(classes, b -> b + 1);
        FlowSampling settings =
                FlowSampling.of(Integer.parseInt(generated.group(1)), Double.parseDouble(generated.group(2)));
        try (EcarSampler sampler = new EcarSampler(config, network)) {
            compare("generated latents", name, () -> sampler.generate(classes, settings, noise));
        }
    }

    private void compare(String group, String name, Supplier<INDArray> actual) throws IOException {
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
            comparisons.add(new Comparison(group, name, difference, tolerance, note));
        }
    }

    private void failed(String group, String name, String note) {
        comparisons.add(new Comparison(group, name, Double.NaN, 0, note));
    }
}
