package org.npp4j.llamagen.tokenizer;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;

/** A checkpoint of a VQ tokenizer in the published layout. */
final class VqCheckpoint {
    /** Length of the buffer of the last codes in published files. */
    private static final int PUBLISHED_USED = 65536;

    private final Path file;
    private final Map<String, TensorSource> weights;

    private VqCheckpoint(Path file, Map<String, TensorSource> weights) {
        this.file = file;
        this.weights = weights;
    }

    /**
     * The checkpoint in a file.
     *
     * @param file open; must stay open while the checkpoint is used
     * @return the checkpoint
     * @throws CheckpointException if the file holds something else
     */
    static VqCheckpoint of(TensorFile file) throws CheckpointException {
        Map<String, TensorSource> weights = CheckpointWeights.of(file, VqModules.CODEBOOK_USED::equals);
        if (!weights.containsKey(VqModules.CODEBOOK)) {
            throw new CheckpointException(
                    file.path(),
                    "holds no VQ tokenizer: there is no tensor " + VqModules.CODEBOOK
                            + " at the top nor under model, module or state_dict. See what it holds: npp inspect");
        }
        return new VqCheckpoint(file.path(), weights);
    }

    /**
     * The sizes, told from the shapes.
     *
     * @return the sizes; whether all tensors fit them is checked when they are loaded
     * @throws CheckpointException if the tensors that tell the sizes are missing or contradict each other
     */
    VqConfig config() throws CheckpointException {
        int channels = side("encoder.conv_in.weight", 0);
        List<Integer> multipliers = new ArrayList<>();
        for (int level = 0; weights.containsKey(firstConvolution(level)); level++) {
            int width = side(firstConvolution(level), 0);
            if (width % channels != 0) {
                throw new CheckpointException(
                        file,
                        "has " + channels + " channels at first but " + width + " on level " + level
                                + ", which is no multiple. Is it a VQ tokenizer of LlamaGen's form?");
            }
            multipliers.add(width / channels);
        }
        int blocks = 0;
        while (weights.containsKey("encoder.conv_blocks.0.res." + blocks + ".conv1.weight")) {
            blocks++;
        }
        try {
            return new VqConfig(
                    multipliers,
                    channels,
                    side("encoder.conv_out.weight", 0),
                    side(VqModules.CODEBOOK, 0),
                    side(VqModules.CODEBOOK, 1),
                    blocks);
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(file, "has shapes that no VQ tokenizer has: " + e.getMessage(), e);
        }
    }

    private static String firstConvolution(int level) {
        return "encoder.conv_blocks." + level + ".res.0.conv1.weight";
    }

    private int side(String name, int axis) throws CheckpointException {
        TensorSource tensor = weights.get(name);
        long[] shape = tensor == null ? new long[0] : tensor.shape();
        if (axis >= shape.length || shape[axis] < 1 || shape[axis] > Integer.MAX_VALUE) {
            throw new CheckpointException(
                    file,
                    "does not tell the sizes of its tokenizer: " + name
                            + (tensor == null ? " is missing" : " has no usable shape")
                            + ". Describe the tokenizer in a file, or get the checkpoint again");
        }
        return (int) shape[axis];
    }

    /**
     * The networks with these weights.
     *
     * @param config their sizes
     * @return the networks
     * @throws IOException if a tensor is missing, unexpected or of another shape (all are listed), or cannot be read
     */
    VqNetworks load(VqConfig config) throws IOException {
        requireFits(config);
        VqNetworks networks = VqNetworks.unset(config);
        for (Map.Entry<String, INDArray> target : networks.weights().entrySet()) {
            if (!(weights.get(target.getKey()) instanceof StoredTensor stored)) {
                throw new IllegalStateException("Only tensors of a file can be read, not " + target.getKey());
            }
            stored.readInto(target.getValue());
        }
        networks.codebookChanged();
        return networks;
    }

    /**
     * Compares the tensors with those that a tokenizer has.
     *
     * @param config its sizes
     * @throws IOException if a tensor is missing, unexpected or of another shape; all are listed
     */
    void requireFits(VqConfig config) throws IOException {
        CheckpointWeights.requireFit(file, weights, VqModules.shapes(config), () -> hint(config));
    }

    private String hint(VqConfig config) {
        try {
            VqConfig told = config();
            return told.equals(config)
                    ? ""
                    : "The checkpoint looks like a " + told + "; the model is a " + config + ".";
        } catch (CheckpointException e) {
            return "";
        }
    }

    /**
     * Writes networks as published: the buffer of used codes, which PyTorch wants to load, is all 0.
     *
     * @param file .pt, .pth or .safetensors
     * @param networks their weights are written
     * @throws IOException if it cannot be written
     */
    static void write(Path file, VqNetworks networks) throws IOException {
        Map<String, TensorSource> sources = new LinkedHashMap<>();
        networks.weights().forEach((name, array) -> sources.put(name, TensorSource.of(array)));
        sources.put(VqModules.CODEBOOK_USED, TensorSource.of(Nd4j.zeros(DataType.FLOAT, PUBLISHED_USED)));
        CheckpointWeights.write(file, sources);
    }
}
