package org.npp4j.ecar;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.PyTorchWriter;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;
import org.npp4j.schedule.WeightAverage;

/**
 * Weights of an ECAR in PyTorch's and safetensors' files: {@code {"model": weights, "config": .., "latent_codec": ..}} under the names of {@link
 * EcarParameter}; "ema" holds the moving average of the weights in the same way, if there is one.
 */
public final class EcarCheckpoint {
    private static final String MODEL = "model";
    private static final String AVERAGE = "ema";
    private static final String CONFIG = "config";
    private static final String CODEC = "latent_codec";

    private EcarCheckpoint() {}

    /**
     * Copies weights into a network.
     *
     * @param path the file
     * @param config the model
     * @param network built by {@link Ecar} for it, initialised
     * @throws IOException if the file cannot be read, or a tensor is missing, unexpected or of another shape (all are listed;
     *     nothing is copied then)
     */
    public static void load(Path path, EcarConfig config, ComputationGraph network) throws IOException {
        load(path, config, network, false);
    }

    private static void load(Path path, EcarConfig config, ComputationGraph network, boolean average)
            throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            Map<String, TensorSource> weights = average ? averageOf(file) : CheckpointWeights.of(file, name -> false);
            Map<String, long[]> shapes = new LinkedHashMap<>();
            for (EcarParameter parameter : EcarParameter.of(config)) {
                shapes.put(parameter.name(), parameter.shapeArray());
            }
            CheckpointWeights.requireFit(path, weights, shapes, () -> "Is it the checkpoint of this configuration?");
            for (EcarParameter parameter : EcarParameter.of(config)) {
                if (!(weights.get(parameter.name()) instanceof StoredTensor stored)) {
                    throw new IllegalStateException("Only tensors of a file can be read, not " + parameter.name());
                }
                stored.readInto(parameter.published(network.getParam(parameter.networkName())));
            }
        }
    }

    private static Map<String, TensorSource> averageOf(TensorFile file) throws CheckpointException {
        if (!(file.root() instanceof Map<?, ?> root) || !(root.get(AVERAGE) instanceof Map<?, ?> average)) {
            throw new CheckpointException(file.path(), "holds no moving average of the weights (\"" + AVERAGE + "\")");
        }
        Map<String, TensorSource> weights = new LinkedHashMap<>();
        average.forEach((name, tensor) -> {
            if (name instanceof String text && tensor instanceof TensorSource source) {
                weights.put(text, source);
            }
        });
        return weights;
    }

    /**
     * A model that describes itself.
     *
     * @param config its sizes
     * @param network with its weights
     * @param codec between images and its latents; null if the file says nothing of it
     */
    public record Model(EcarConfig config, ComputationGraph network, LatentCodec codec) {}

    /**
     * The model in a file that {@link #write} has written.
     *
     * @param path the file
     * @return a new network with its weights, its sizes and its codec
     * @throws IOException if the file cannot be read, or says nothing of the model's sizes
     */
    public static Model read(Path path) throws IOException {
        return read(path, false);
    }

    /**
     * The model in a file that {@link #write} has written, or its moving average.
     *
     * @param path the file
     * @param average whether to take the moving average in place of the weights
     * @return a new network with its weights, its sizes and its codec
     * @throws IOException if the file cannot be read, says nothing of the model's sizes, or has no average
     */
    public static Model read(Path path, boolean average) throws IOException {
        return read(path, average, null);
    }

    /**
     * The model in a file that {@link #write} has written, or its moving average.
     *
     * @param path the file
     * @param average whether to take the moving average in place of the weights
     * @param autoencoder where the checkpoint of the latents' autoencoder is now; null for where the file says
     * @return a new network with its weights, its sizes and its codec
     * @throws IOException if a file cannot be read, the model's says nothing of its sizes or has no average, or the autoencoder
     *     is another one
     */
    public static Model read(Path path, boolean average, Path autoencoder) throws IOException {
        EcarConfig config;
        LatentCodec codec;
        try (TensorFile file = TensorFile.open(path)) {
            Map<?, ?> root = file.root() instanceof Map<?, ?> map ? map : Map.of();
            if (!(root.get(CONFIG) instanceof String json)) {
                throw new CheckpointException(
                        path, "does not say which ECAR it is of: it has no \"" + CONFIG + "\" beside the weights");
            }
            config = EcarConfig.parse(json);
            codec = root.get(CODEC) instanceof String description ? LatentCodec.parse(description, autoencoder) : null;
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(path, "describes its model wrongly: " + e.getMessage(), e);
        }
        ComputationGraph network = Ecar.of(config).init();
        load(path, config, network, average);
        return new Model(config, network, codec);
    }

    /**
     * Writes a model.
     *
     * @param path the file; one that exists is replaced
     * @param model sizes, weights and codec
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Model model) throws IOException {
        write(path, model, null);
    }

    /**
     * Writes a model with the moving average of its weights.
     *
     * @param path the file; one that exists is replaced
     * @param model sizes, weights and codec
     * @param average of the model's network; null for none
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Model model, WeightAverage average) throws IOException {
        Map<String, Object> root = new LinkedHashMap<>();
        root.put(MODEL, weights(model.config(), model.network()));
        if (average != null) {
            // parameters are found by name in a network alone
            ComputationGraph averaged = Ecar.of(model.config())
                    .dataType(model.network().params().dataType())
                    .init(average.vector().dup().reshape(1, average.vector().length()));
            root.put(AVERAGE, weights(model.config(), averaged));
        }
        root.put(CONFIG, model.config().toJson());
        if (model.codec() != null) {
            root.put(CODEC, model.codec().toJson());
        }
        PyTorchWriter.write(path, root);
    }

    private static Map<String, Object> weights(EcarConfig config, ComputationGraph network) {
        Map<String, Object> weights = new LinkedHashMap<>();
        for (EcarParameter parameter : EcarParameter.of(config)) {
            weights.put(
                    parameter.name(), TensorSource.of(parameter.published(network.getParam(parameter.networkName()))));
        }
        return weights;
    }
}
