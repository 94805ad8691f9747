package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import org.nd4j.shade.jackson.databind.JsonNode;

/**
 * Checkpoints with all their nesting in safetensors files, which hold named tensors and texts: the weights of a model
 * under their bare published names, other tensors under the way to them joined by dots, the rest as JSON among the texts.
 */
final class Safetensors {
    /** The text that keeps the nesting. */
    private static final String TREE = "npp.tree";

    private Safetensors() {}

    /**
     * The object that a file holds, with the nesting that {@link #write} has put away.
     *
     * @param file any checkpoint file
     * @return the object
     */
    static Object rootOf(TensorFile file) throws CheckpointException {
        if (file.format() != CheckpointFormat.SAFETENSORS) {
            return file.root();
        }
        Map<String, StoredTensor> tensors = file.tensors();
        String tree = file.metadata().get(TREE);
        if (tree == null) {
            Map<String, Object> bare = new LinkedHashMap<>(tensors);
            return CheckpointWeights.isModel(file.path(), bare) ? nested(bare) : bare;
        }
        Set<String> used = new HashSet<>();
        JsonNode json = CheckpointTree.parse(file.path(), tree);
        Object root = CheckpointTree.fromJson(file.path(), json, name -> {
            used.add(name);
            if (!tensors.containsKey(name)) {
                throw new CheckpointException(
                        file.path(), "is damaged: its nesting names a tensor " + name + ", which it has not");
            }
            return tensors.get(name);
        });
        if (used.size() < tensors.size()) {
            throw new CheckpointException(
                    file.path(),
                    "has tensors that its nesting does not mention: someone has added them. Remove the text " + TREE
                            + " from its metadata to read the tensors alone");
        }
        return root;
    }

    private static Map<String, Object> nested(Map<String, Object> weights) {
        Map<String, Object> root = new LinkedHashMap<>();
        root.put(GptCheckpoint.MODEL, weights);
        return root;
    }

    /**
     * Writes an object.
     *
     * @param from where the object comes from, for messages
     * @param path the file
     * @param root what {@link CheckpointTree#plain} gives
     * @return the tensors as they are called in the file
     */
    static Map<String, TensorSource> write(Path from, Path path, Object root) throws IOException {
        Map<TensorSource, String> weights = new IdentityHashMap<>();
        if (CheckpointWeights.isModel(from, root)) {
            CheckpointWeights.holder(root).forEach((key, value) -> {
                if (key instanceof String name && value instanceof TensorSource tensor) {
                    weights.putIfAbsent(tensor, CheckpointWeights.publishedName(name));
                }
            });
        }
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        JsonNode tree = CheckpointTree.toJson(from, root, (way, tensor) -> {
            String name = weights.getOrDefault(tensor, way.isEmpty() ? "tensor" : way);
            while (tensors.containsKey(name) && tensors.get(name) != tensor) {
                name += "'";
            }
            tensors.put(name, tensor);
            return name;
        });
        Map<String, String> metadata = new LinkedHashMap<>();
        metadata.put("format", "pt");
        metadata.put(TREE, tree.toString());
        SafetensorsWriter.write(path, tensors, metadata);
        return tensors;
    }
}
