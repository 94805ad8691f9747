package org.npp4j.ecar.baseline;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.npp4j.ecar.EcarParameter;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.PyTorchWriter;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;

/**
 * Weights of a {@link Dit} in PyTorch's and safetensors' files: {@code {"model": weights, "dit_config": .., "latent_codec": ..}}
 * under the names of {@link DitParameters}.
 */
public final class DitCheckpoint {
    private static final String MODEL = "model";
    private static final String CONFIG = "dit_config";
    private static final String CODEC = "latent_codec";

    private DitCheckpoint() {}

    /**
     * A model that describes itself.
     *
     * @param config its sizes
     * @param network with its weights
     * @param codec between images and its latents; null if the file says nothing of it
     */
    public record Model(DitConfig config, ComputationGraph network, LatentCodec codec) {}

    /**
     * Copies weights into a network.
     *
     * @param path the file
     * @param config the model
     * @param network built by {@link Dit} for it, initialised
     * @throws IOException if the file cannot be read, or a tensor is missing, unexpected or of another shape (all are listed;
     *     nothing is copied then)
     */
    public static void load(Path path, DitConfig config, ComputationGraph network) throws IOException {
        try (TensorFile file = TensorFile.open(path)) {
            Map<String, TensorSource> weights = CheckpointWeights.of(file, name -> false);
            Map<String, long[]> shapes = new LinkedHashMap<>();
            for (EcarParameter parameter : DitParameters.of(config)) {
                shapes.put(parameter.name(), parameter.shapeArray());
            }
            CheckpointWeights.requireFit(path, weights, shapes, () -> "Is it the checkpoint of this configuration?");
            for (EcarParameter parameter : DitParameters.of(config)) {
                if (!(weights.get(parameter.name()) instanceof StoredTensor stored)) {
                    throw new IllegalStateException("Only tensors of a file can be read, not " + parameter.name());
                }
                stored.readInto(parameter.published(network.getParam(parameter.networkName())));
            }
        }
    }

    /**
     * The model in a file that {@link #write} has written.
     *
     * @param path the file
     * @return a new network with its weights, its sizes and its codec
     * @throws IOException if the file cannot be read, or says nothing of the model's sizes
     */
    public static Model read(Path path) throws IOException {
        return read(path, null);
    }

    /**
     * The model in a file that {@link #write} has written.
     *
     * @param path the file
     * @param autoencoder where the checkpoint of the latents' autoencoder is now; null for where the file says
     * @return a new network with its weights, its sizes and its codec
     * @throws IOException if a file cannot be read, the model's says nothing of its sizes, or the autoencoder is another one
     */
    public static Model read(Path path, Path autoencoder) throws IOException {
        DitConfig config;
        LatentCodec codec;
        try (TensorFile file = TensorFile.open(path)) {
            Map<?, ?> root = file.root() instanceof Map<?, ?> map ? map : Map.of();
            if (!(root.get(CONFIG) instanceof String json)) {
                throw new CheckpointException(
                        path, "does not say which DiT it is of: it has no \"" + CONFIG + "\" beside the weights");
            }
            config = DitConfig.parse(json);
            codec = root.get(CODEC) instanceof String description ? LatentCodec.parse(description, autoencoder) : null;
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(path, "describes its model wrongly: " + e.getMessage(), e);
        }
        ComputationGraph network = Dit.of(config).init();
        load(path, config, network);
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
        Map<String, Object> weights = new LinkedHashMap<>();
        for (EcarParameter parameter : DitParameters.of(model.config())) {
            weights.put(
                    parameter.name(),
                    TensorSource.of(parameter.published(model.network().getParam(parameter.networkName()))));
        }
        Map<String, Object> root = new LinkedHashMap<>();
        root.put(MODEL, weights);
        root.put(CONFIG, model.config().toJson());
        if (model.codec() != null) {
            root.put(CODEC, model.codec().toJson());
        }
        PyTorchWriter.write(path, root);
    }
}
