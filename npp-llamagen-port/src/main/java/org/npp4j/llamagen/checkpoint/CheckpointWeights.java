package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.function.Supplier;

/**
 * The weights in a checkpoint file under their published names, and whether they are those of a model.
 *
 * <p>They are found under {@code model}, {@code module} or {@code state_dict}, or at the top; the prefixes {@code _orig_mod.}
 * and {@code module.} are stripped, however often they occur.
 */
public final class CheckpointWeights {
    static final List<String> HOLDERS = List.of(GptCheckpoint.MODEL, "module", "state_dict");

    private static final List<String> PREFIXES = List.of("module.", "_orig_mod.");

    /** A tensor that every image tokenizer has, and no other model. */
    private static final String CODEBOOK = "quantize.embedding.weight";

    private CheckpointWeights() {}

    /**
     * The weights in a file.
     *
     * @param file open; must stay open while the weights are read
     * @param isBuffer published names that are left out
     * @return tensors by published name, in file order
     * @throws CheckpointException if a tensor occurs twice, with different prefixes
     */
    public static Map<String, TensorSource> of(TensorFile file, Predicate<String> isBuffer) throws CheckpointException {
        return of(file.path(), holder(Safetensors.rootOf(file)), isBuffer);
    }

    static Map<String, TensorSource> of(Path file, Map<?, ?> holder, Predicate<String> isBuffer)
            throws CheckpointException {
        Map<String, TensorSource> weights = new LinkedHashMap<>();
        for (Map.Entry<?, ?> entry : holder.entrySet()) {
            if (entry.getKey() instanceof String key && entry.getValue() instanceof TensorSource tensor) {
                String name = publishedName(key);
                if (!isBuffer.test(name) && weights.put(name, tensor) != null) {
                    throw new CheckpointException(
                            file, "has " + name + " twice, with different prefixes. Remove one of them");
                }
            }
        }
        return weights;
    }

    /** Whether an object holds the weights of a model that is known here. */
    static boolean isModel(Path file, Object root) throws CheckpointException {
        return GptCheckpoint.isGpt(file, root)
                || of(file, holder(root), name -> false).containsKey(CODEBOOK);
    }

    /** The dictionary of weights, however deep. */
    static Map<?, ?> holder(Object root) {
        if (!(root instanceof Map<?, ?> map)) {
            return Map.of();
        }
        for (String name : HOLDERS) {
            if (map.get(name) instanceof Map<?, ?> inner) {
                return holder(inner);
            }
        }
        return map;
    }

    static String publishedName(String key) {
        int start = 0;
        for (boolean found = true; found; ) {
            found = false;
            for (String prefix : PREFIXES) {
                if (key.startsWith(prefix, start)) {
                    start += prefix.length();
                    found = true;
                }
            }
        }
        return key.substring(start);
    }

    /**
     * Compares tensors with those that a model has.
     *
     * @param file where they are from, for messages
     * @param weights by published name
     * @param shapes of the model's tensors, by published name
     * @param hint what may be the reason and what to do, or an empty string; asked for if they do not fit
     * @throws TensorMismatchException if a tensor is missing, unexpected or of another shape; it lists all
     */
    public static void requireFit(
            Path file, Map<String, ? extends TensorSource> weights, Map<String, long[]> shapes, Supplier<String> hint)
            throws TensorMismatchException {
        List<String> missing = new ArrayList<>();
        List<String> misshaped = new ArrayList<>();
        shapes.forEach((name, shape) -> {
            TensorSource tensor = weights.get(name);
            if (tensor == null) {
                missing.add(name + " " + Arrays.toString(shape));
            } else if (!Arrays.equals(tensor.shape(), shape)) {
                misshaped.add(
                        name + " is " + Arrays.toString(tensor.shape()) + ", the model has " + Arrays.toString(shape));
            }
        });
        List<String> unexpected = new ArrayList<>();
        weights.forEach((name, tensor) -> {
            if (!shapes.containsKey(name)) {
                unexpected.add(name + " " + Arrays.toString(tensor.shape()));
            }
        });
        if (!missing.isEmpty() || !misshaped.isEmpty() || !unexpected.isEmpty()) {
            throw new TensorMismatchException(file, missing, unexpected, misshaped, hint.get());
        }
    }

    /**
     * Writes weights as published: under {@code model} in a PyTorch file, under their bare names in a safetensors file.
     *
     * @param path the file, whose name ends in .pt, .pth or .safetensors; one that exists is replaced
     * @param weights by published name
     * @throws IllegalArgumentException if the name ends otherwise
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Map<String, TensorSource> weights) throws IOException {
        String name = path.getFileName().toString();
        if (name.endsWith(".safetensors")) {
            SafetensorsWriter.write(path, weights, Map.of("format", "pt"));
        } else if (name.endsWith(".pt") || name.endsWith(".pth")) {
            PyTorchWriter.write(path, Map.of(GptCheckpoint.MODEL, weights));
        } else {
            throw new IllegalArgumentException(
                    "The name of a checkpoint must end in .pt (PyTorch) or .safetensors, but is " + path);
        }
    }
}
