package org.npp4j.llamagen.checkpoint;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Base64;
import java.util.IdentityHashMap;
import java.util.Map;
import java.util.Optional;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.node.ArrayNode;
import org.nd4j.shade.jackson.databind.node.JsonNodeFactory;
import org.nd4j.shade.jackson.databind.node.ObjectNode;

/**
 * What a network of Deeplearning4j cannot hold of the checkpoint it was converted from, as JSON beside it: the nesting, the
 * types of the numbers, small tensors, and how many steps had been made.
 */
final class ConversionMemo {
    /** Bytes of a tensor that goes into the JSON; larger ones are left out. */
    private static final int MAX_INLINE = 4096;

    private static final int VERSION = 1;

    private ConversionMemo() {}

    /** Where the numbers of a tensor are. */
    enum Role {
        /** In the network's parameters. */
        WEIGHT,
        /** In the optimizer's running means. */
        MEAN,
        /** In the optimizer's running means of squares. */
        SQUARE,
        /** Here; counts on when the network trains on. */
        STEP,
        /** Here. */
        OTHER
    }

    /**
     * Describes a checkpoint.
     *
     * @param checkpoint that becomes a network
     * @param adam the optimizer's state that becomes the network's, if any
     * @param iteration the network's counter
     * @param leftOut receives what finds no place: paths and how many tensors
     * @return JSON
     */
    static String describe(
            GptCheckpoint checkpoint, Optional<AdamState> adam, long iteration, Map<String, Integer> leftOut)
            throws IOException {
        Map<TensorSource, ObjectNode> known = new IdentityHashMap<>();
        checkpoint.weights().forEach((name, tensor) -> known.put(tensor, entry(Role.WEIGHT, tensor, name)));
        if (adam.isPresent()) {
            for (Map.Entry<String, AdamState.Moments> entry :
                    adam.get().moments().entrySet()) {
                AdamState.Moments moments = entry.getValue();
                known.put(moments.mean(), entry(Role.MEAN, moments.mean(), entry.getKey()));
                known.put(moments.square(), entry(Role.SQUARE, moments.square(), entry.getKey()));
                if (moments.step() instanceof TensorSource step && bytes(step) <= MAX_INLINE) {
                    known.put(step, inlined(Role.STEP, step));
                }
            }
        }
        Object root = CheckpointTree.plain(checkpoint.root());
        for (TensorSource tensor : CheckpointTree.tensors(root)) {
            if (!known.containsKey(tensor) && bytes(tensor) <= MAX_INLINE) {
                known.put(tensor, inlined(Role.OTHER, tensor));
            }
        }
        ObjectNode tensors = JsonNodeFactory.instance.objectNode();
        JsonNode tree = CheckpointTree.toJson(checkpoint.path(), root, (path, tensor) -> {
            ObjectNode entry = known.get(tensor);
            if (entry == null) {
                leftOut.merge(path.contains(".") ? path.substring(0, path.indexOf('.')) : path, 1, Integer::sum);
                return null;
            }
            tensors.set(path, entry);
            return path;
        });
        ObjectNode memo = JsonNodeFactory.instance.objectNode();
        memo.put("version", VERSION);
        memo.put("iteration", iteration);
        memo.set("tensors", tensors);
        memo.set("tree", tree);
        return memo.toString();
    }

    private static ObjectNode entry(Role role, TensorSource tensor, String parameter) {
        return JsonNodeFactory.instance
                .objectNode()
                .put("role", role.name())
                .put("dtype", tensor.type().label())
                .put("parameter", parameter);
    }

    private static ObjectNode inlined(Role role, TensorSource tensor) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        tensor.writeTo(bytes);
        ObjectNode entry = JsonNodeFactory.instance
                .objectNode()
                .put("role", role.name())
                .put("dtype", tensor.type().label())
                .put("bytes", Base64.getEncoder().encodeToString(bytes.toByteArray()));
        ArrayNode shape = entry.putArray("shape");
        for (long side : tensor.shape()) {
            shape.add(side);
        }
        return entry;
    }

    private static long bytes(TensorSource tensor) {
        return Arrays.stream(tensor.shape()).reduce(1, (a, b) -> a * b)
                * tensor.type().bytes();
    }

    /**
     * One tensor of the memo.
     *
     * @param role where its numbers are
     * @param type of its numbers in the checkpoint
     * @param parameter published name of the parameter that it belongs to, or an empty string
     * @param shape if its numbers are here
     * @param bytes its numbers, if they are here
     */
    record Remembered(Role role, TensorType type, String parameter, long[] shape, byte[] bytes) {
        static Remembered of(Path file, JsonNode entry) throws CheckpointException {
            try {
                TensorType type = null;
                for (TensorType each : TensorType.values()) {
                    type = each.label().equals(entry.path("dtype").asText()) ? each : type;
                }
                if (type == null) {
                    throw new IllegalArgumentException("no type " + entry.path("dtype"));
                }
                long[] shape = new long[entry.path("shape").size()];
                for (int i = 0; i < shape.length; i++) {
                    shape[i] = entry.path("shape").get(i).asLong();
                }
                Role role = Role.valueOf(entry.path("role").asText());
                byte[] bytes = Base64.getDecoder().decode(entry.path("bytes").asText());
                if ((role == Role.STEP || role == Role.OTHER)
                        && Pickler.elementsOf(shape) * type.bytes() != bytes.length) {
                    throw new IllegalArgumentException(
                            bytes.length + " bytes for " + Arrays.toString(shape) + " of " + type.label());
                }
                return new Remembered(role, type, entry.path("parameter").asText(), shape, bytes);
            } catch (IllegalArgumentException | ArithmeticException e) {
                throw new CheckpointException(
                        file,
                        "is damaged: its " + NetworkZip.MEMO + " has " + e.getMessage() + ". Get the file again",
                        e);
            }
        }

        /** A tensor whose numbers are here; a step is counted on. */
        TensorSource inlined(Path file, long further) throws CheckpointException {
            if (further == 0 || bytes.length == 0) {
                return new Bytes(type, shape, bytes);
            }
            ByteBuffer counted = ByteBuffer.wrap(bytes.clone()).order(ByteOrder.LITTLE_ENDIAN);
            switch (type) {
                case FLOAT32 -> counted.putFloat(0, counted.getFloat(0) + further);
                case FLOAT64 -> counted.putDouble(0, counted.getDouble(0) + further);
                case INT64 -> counted.putLong(0, counted.getLong(0) + further);
                case INT32 -> counted.putInt(0, (int) (counted.getInt(0) + further));
                default -> throw new CheckpointException(file, "counts steps in " + type.label());
            }
            return new Bytes(type, shape, counted.array());
        }
    }

    private static final class Bytes implements TensorSource {
        private final TensorType type;
        private final long[] shape;
        private final byte[] bytes;

        Bytes(TensorType type, long[] shape, byte[] bytes) {
            this.type = type;
            this.shape = shape;
            this.bytes = bytes;
        }

        @Override
        public TensorType type() {
            return type;
        }

        @Override
        public long[] shape() {
            return shape.clone();
        }

        @Override
        public void writeTo(OutputStream out) throws IOException {
            out.write(bytes);
        }
    }
}
