package org.npp4j.llamagen.tokenizer;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.CheckpointWeights;
import org.npp4j.llamagen.checkpoint.StoredTensor;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.checkpoint.TensorSource;

/** A checkpoint of a KL autoencoder in any of the published layouts. */
final class KlCheckpoint {
    /** Where a checkpoint of a whole latent diffusion model has its autoencoder. */
    private static final String FIRST_STAGE = "first_stage_model.";
    /** Networks of the training loss, of no use for encoding or decoding. */
    private static final String LOSS = "loss.";

    private final Path file;
    private final Map<String, TensorSource> weights;
    private final KlLayout layout;

    private KlCheckpoint(Path file, Map<String, TensorSource> weights, KlLayout layout) {
        this.file = file;
        this.weights = weights;
        this.layout = layout;
    }

    /**
     * The checkpoint in a file.
     *
     * @param file open; must stay open while the checkpoint is used
     * @return the checkpoint
     * @throws CheckpointException if the file holds something else
     */
    static KlCheckpoint of(TensorFile file) throws CheckpointException {
        Map<String, TensorSource> all = CheckpointWeights.of(file, name -> false);
        boolean whole = all.keySet().stream().anyMatch(name -> name.startsWith(FIRST_STAGE));
        Map<String, TensorSource> weights = new LinkedHashMap<>();
        all.forEach((name, tensor) -> {
            String own = whole && name.startsWith(FIRST_STAGE) ? name.substring(FIRST_STAGE.length()) : name;
            if (whole == name.startsWith(FIRST_STAGE) && !own.startsWith(LOSS)) {
                weights.put(own, tensor);
            }
        });
        KlLayout layout = KlLayout.of(weights.keySet());
        if (layout == null) {
            throw new CheckpointException(
                    file.path(),
                    "holds no KL autoencoder: there are no tensors encoder.down.0... (latent-diffusion) nor"
                            + " encoder.down_blocks.0... (diffusers) at the top nor under model, module, state_dict or "
                            + FIRST_STAGE + " See what it holds: npp inspect");
        }
        return new KlCheckpoint(file.path(), weights, layout);
    }

    /**
     * The sizes, told from the shapes, with as many groups as published models have.
     *
     * @return the sizes; whether all tensors fit them is checked when they are loaded
     * @throws CheckpointException if the tensors that tell the sizes are missing or contradict each other
     */
    KlConfig config() throws CheckpointException {
        int channels = side("encoder.conv_in.weight", 0);
        List<Integer> multipliers = new ArrayList<>();
        for (int level = 0; has("encoder.down." + level + ".block.0.conv1.weight", 0); level++) {
            int width = side("encoder.down." + level + ".block.0.conv1.weight", 0);
            if (width % channels != 0) {
                throw new CheckpointException(
                        file,
                        "has " + channels + " channels at first but " + width + " on level " + level
                                + ", which is no multiple. Is it a KL autoencoder of latent-diffusion's form?");
            }
            multipliers.add(width / channels);
        }
        int blocks = 0;
        while (has("encoder.down.0.block." + blocks + ".conv1.weight", 0)) {
            blocks++;
        }
        int z = side("encoder.conv_out.weight", 0);
        int moments = side("quant_conv.weight", 0);
        if (z % 2 != 0 || moments % 2 != 0) {
            throw new CheckpointException(
                    file,
                    "gives " + z + " channels from its encoder and " + moments + " from quant_conv; means and log"
                            + " variances need even numbers. Is it an autoencoder without variances?");
        }
        try {
            return new KlConfig(
                    channels,
                    multipliers,
                    Math.max(1, blocks),
                    z / 2,
                    moments / 2,
                    attention("encoder.down.", multipliers.size()),
                    attention("decoder.up.", multipliers.size()),
                    KlConfig.PUBLISHED_GROUPS);
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(
                    file, "has shapes that no KL autoencoder has, as far as they tell: " + e.getMessage(), e);
        }
    }

    private List<Integer> attention(String side, int levels) {
        List<Integer> attention = new ArrayList<>();
        for (int level = 0; level < levels; level++) {
            if (has(side + level + ".attn.0.norm.weight", levels)) {
                attention.add(level);
            }
        }
        return attention;
    }

    private boolean has(String name, int levels) {
        return weights.containsKey(layout.name(name, levels));
    }

    /** A side of a tensor of the encoder, or outside of both halves. */
    private int side(String name, int axis) throws CheckpointException {
        String stored = layout.name(name, 0);
        TensorSource tensor = weights.get(stored);
        long[] shape = tensor == null ? new long[0] : tensor.shape();
        if (axis >= shape.length || shape[axis] < 1 || shape[axis] > Integer.MAX_VALUE) {
            throw new CheckpointException(
                    file,
                    "does not tell the sizes of its autoencoder: " + stored
                            + (tensor == null ? " is missing" : " has no usable shape")
                            + ". Describe the autoencoder in a file, or get the checkpoint again");
        }
        return (int) shape[axis];
    }

    /**
     * The autoencoder with these weights.
     *
     * @param config its sizes
     * @return the autoencoder
     * @throws IOException if a tensor is missing, unexpected or of another shape (all are listed), or cannot be read
     */
    KlAutoencoder load(KlConfig config) throws IOException {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        KlModules.shapes(config).forEach((name, shape) -> {
            String stored = layout.name(name, config.levels());
            shapes.put(stored, storedShape(stored, shape));
        });
        CheckpointWeights.requireFit(file, weights, shapes, () -> hint(config));
        KlAutoencoder autoencoder = KlAutoencoder.unset(config);
        for (Map.Entry<String, INDArray> target : autoencoder.weights().entrySet()) {
            String stored = layout.name(target.getKey(), config.levels());
            if (!(weights.get(stored) instanceof StoredTensor tensor)) {
                throw new IllegalStateException("Only tensors of a file can be read, not " + stored);
            }
            // [C, C, 1, 1] -> [C, C], a view
            INDArray array = target.getValue();
            tensor.readInto(
                    tensor.shape().length == array.rank()
                            ? array
                            : array.reshape('c', true, array.size(0), array.size(1)));
        }
        return autoencoder;
    }

    /** Products of attention are 1 x 1 convolutions in one layout and linear in the others; either is taken in all. */
    private long[] storedShape(String stored, long[] shape) {
        TensorSource tensor = weights.get(stored);
        boolean attention = stored.contains(".attn") || stored.contains(".attentions.");
        boolean linear = tensor == null ? layout != KlLayout.COMPVIS : tensor.shape().length == 2;
        return attention && shape.length == 4 && linear ? new long[] {shape[0], shape[1]} : shape;
    }

    private String hint(KlConfig config) {
        try {
            KlConfig told = config();
            return told.equals(config)
                    ? ""
                    : "The checkpoint looks like a " + told + "; the model is a " + config + ".";
        } catch (CheckpointException e) {
            return "";
        }
    }
}
