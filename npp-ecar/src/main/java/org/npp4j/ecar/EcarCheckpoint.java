package org.npp4j.ecar;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.PyTorchWriter;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;

/**
 * Weights of an ECAR in PyTorch's and safetensors' files: {@code {"model": weights, "config": ..}} under the names of {@link
 * EcarParameter}.
 */
public final class EcarCheckpoint {
    private static final String MODEL = "model";
    private static final String CONFIG = "config";

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
        try (TensorFile file = TensorFile.open(path)) {
            Map<String, TensorSource> weights = CheckpointWeights.of(file, name -> false);
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

    /**
     * The configuration that {@link #write} puts beside the weights.
     *
     * @param path the file
     * @return the model
     * @throws CheckpointException if the file cannot be read or says nothing of it
     */
    public static EcarConfig config(Path path) throws CheckpointException {
        try (TensorFile file = TensorFile.open(path)) {
            if (file.root() instanceof Map<?, ?> root && root.get(CONFIG) instanceof String json) {
                return EcarConfig.parse(json);
            }
            throw new CheckpointException(
                    path, "does not say which ECAR it is of. Describe the model in a file beside it");
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(path, "describes its model wrongly: " + e.getMessage(), e);
        }
    }

    /**
     * Writes the weights of a network.
     *
     * @param path the file; one that exists is replaced
     * @param config the model
     * @param network built by {@link Ecar} for it
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, EcarConfig config, ComputationGraph network) throws IOException {
        write(path, config, network.paramTable());
    }

    /**
     * Writes weights by their names in a network, such as a moving average of them.
     *
     * @param path the file; one that exists is replaced
     * @param config the model
     * @param parameters arrays of a network that {@link Ecar} built for it, by name
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, EcarConfig config, Map<String, INDArray> parameters) throws IOException {
        Map<String, Object> weights = new LinkedHashMap<>();
        for (EcarParameter parameter : EcarParameter.of(config)) {
            weights.put(
                    parameter.name(), TensorSource.of(parameter.published(parameters.get(parameter.networkName()))));
        }
        Map<String, Object> root = new LinkedHashMap<>();
        root.put(MODEL, weights);
        root.put(CONFIG, config.toJson());
        PyTorchWriter.write(path, root);
    }
}
