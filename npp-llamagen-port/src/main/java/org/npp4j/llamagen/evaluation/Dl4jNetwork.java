package org.npp4j.llamagen.evaluation;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import org.deeplearning4j.exception.DL4JInvalidInputException;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.layers.BaseOutputLayer;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.impl.LayerVertex;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.nd4j.linalg.activations.impl.ActivationSoftmax;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A network of Deeplearning4j with one input and one output layer. Features are what goes into the output layer; class
 * probabilities what comes out, if that is a softmax. Images go in as they are, [n, C, H, W] with v / 255; a network that
 * starts with a dense layer takes them as [n, C H W].
 */
public final class Dl4jNetwork implements FeatureNetwork {
    private final String name;
    private final String sha256;
    private final ComputationGraph network;
    private final String input;
    private final String output;
    private final String beforeOutput;

    private Dl4jNetwork(String name, String sha256, ComputationGraph network) {
        this.name = name;
        this.sha256 = sha256;
        this.network = network;
        this.input = network.getConfiguration().getNetworkInputs().get(0);
        this.output = network.getConfiguration().getNetworkOutputs().get(0);
        this.beforeOutput =
                network.getConfiguration().getVertexInputs().get(output).get(0);
    }

    /**
     * Reads a network.
     *
     * @param file a .zip of ModelSerializer: a MultiLayerNetwork or a ComputationGraph
     * @param name for labels
     * @return the network
     * @throws FileSystemException if it holds none, or one of several inputs or outputs, or without an output layer
     * @throws IOException if it cannot be read
     */
    public static Dl4jNetwork load(Path file, String name) throws IOException {
        ComputationGraph network;
        try {
            network = isGraph(file)
                    ? ModelSerializer.restoreComputationGraph(file.toFile(), false)
                    : ModelSerializer.restoreMultiLayerNetwork(file.toFile(), false)
                            .toComputationGraph();
        } catch (RuntimeException e) {
            throw failure(file, "it holds no network of Deeplearning4j, or is damaged (" + e.getMessage() + ")", e);
        }
        if (network.getNumInputArrays() != 1 || network.getNumOutputArrays() != 1) {
            throw failure(
                    file,
                    "the network has " + network.getNumInputArrays() + " inputs and " + network.getNumOutputArrays()
                            + " outputs; images need one of each",
                    null);
        }
        if (!(network.getOutputLayer(0).conf().getLayer() instanceof BaseOutputLayer)) {
            throw failure(
                    file,
                    "the network ends with no output layer, whose input would be the features, but with "
                            + network.getOutputLayer(0)
                                    .conf()
                                    .getLayer()
                                    .getClass()
                                    .getSimpleName(),
                    null);
        }
        return new Dl4jNetwork(name, Sha256.of(file), network);
    }

    /**
     * A network in memory.
     *
     * @param network with an output layer
     * @param name for labels
     * @param sha256 of its file, or another text that tells it apart
     * @return the network
     */
    public static Dl4jNetwork of(MultiLayerNetwork network, String name, String sha256) {
        return new Dl4jNetwork(name, sha256, network.toComputationGraph());
    }

    private static boolean isGraph(Path file) throws IOException {
        try (ZipFile zip = new ZipFile(file.toFile())) {
            ZipEntry configuration = zip.getEntry(ModelSerializer.CONFIGURATION_JSON);
            return configuration != null
                    && new String(zip.getInputStream(configuration).readAllBytes(), StandardCharsets.UTF_8)
                            .contains("\"networkInputs\"");
        }
    }

    /**
     * Whether a file looks like one that {@link #load} reads.
     *
     * @param file any file
     * @return whether it is a zip file with the configuration of a network
     */
    public static boolean isNetwork(Path file) {
        try (ZipFile zip = new ZipFile(file.toFile())) {
            return Files.isRegularFile(file) && zip.getEntry(ModelSerializer.CONFIGURATION_JSON) != null;
        } catch (IOException e) {
            return false;
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String sha256() {
        return sha256;
    }

    @Override
    public String preparation() {
        return "none, pixels v / 255";
    }

    @Override
    public Seen look(PixelImages images) {
        Map<String, INDArray> activations;
        try {
            activations = network.feedForward(new INDArray[] {pixels(images)}, false);
        } catch (DL4JInvalidInputException | IllegalArgumentException | IllegalStateException e) {
            throw new IllegalArgumentException(
                    "The network " + name + " does not take images of " + images.channels() + " x " + images.height()
                            + " x " + images.width() + " (channels x height x width): " + e.getMessage(),
                    e);
        }
        INDArray features = activations.get(beforeOutput);
        INDArray result = activations.get(output);
        int count = images.count();
        return new Seen(
                features.dup('c').reshape('c', count, features.length() / count),
                Optional.empty(),
                isSoftmax() && result.rank() == 2 ? Optional.of(result.dup('c')) : Optional.empty());
    }

    private boolean isSoftmax() {
        BaseOutputLayer layer =
                (BaseOutputLayer) network.getOutputLayer(0).conf().getLayer();
        return layer.getActivationFn() instanceof ActivationSoftmax;
    }

    /** [n, C, H, W], or [n, C H W] before a dense layer without preprocessor. */
    private INDArray pixels(PixelImages images) {
        INDArray pixels = UnitPixels.of(images);
        return takesVectors() ? pixels.reshape('c', images.count(), images.bytesPerImage()) : pixels;
    }

    private boolean takesVectors() {
        for (Layer layer : network.getLayers()) {
            String vertex = layer.conf().getLayer().getLayerName();
            if (network.getConfiguration().getVertexInputs().get(vertex).contains(input)) {
                return layer.conf().getLayer() instanceof DenseLayer
                        && ((LayerVertex) network.getVertex(vertex)).getLayerPreProcessor() == null;
            }
        }
        return false;
    }

    private static FileSystemException failure(Path file, String reason, Throwable cause) {
        FileSystemException failure = new FileSystemException(file.toString(), null, reason);
        if (cause != null) {
            failure.initCause(cause);
        }
        return failure;
    }
}
