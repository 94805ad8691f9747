package org.npp4j.llamagen.checkpoint;

import java.math.BigInteger;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.DeserializationFeature;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ArrayNode;
import org.nd4j.shade.jackson.databind.node.JsonNodeFactory;
import org.nd4j.shade.jackson.databind.node.ObjectNode;

/**
 * The nesting of a checkpoint as JSON, so that files which hold nothing but named tensors can keep it.
 *
 * <p>Dictionaries, lists, numbers and texts are JSON's own. What JSON lacks is an object with one key that starts with a
 * dollar sign: {@code $tensor} (its name), {@code $tuple}, {@code $map} (a dictionary whose keys are not all texts, as
 * pairs), {@code $float} (not a number, infinity) and {@code $bytes}.
 */
final class CheckpointTree {
    private static final String TENSOR = "$tensor";
    private static final String TUPLE = "$tuple";
    private static final String MAP = "$map";
    private static final String FLOAT = "$float";
    private static final String BYTES = "$bytes";

    private static final ObjectMapper JSON =
            new ObjectMapper().configure(DeserializationFeature.FAIL_ON_TRAILING_TOKENS, true);
    private static final JsonNodeFactory NODES = JsonNodeFactory.instance;

    private CheckpointTree() {}

    /** Names a tensor, or drops it by returning null. */
    @FunctionalInterface
    interface Namer {
        String name(String path, TensorSource tensor);
    }

    /** Finds a tensor. */
    @FunctionalInterface
    interface Finder {
        TensorSource find(String name) throws CheckpointException;
    }

    /**
     * Writes the nesting.
     *
     * @param root what {@link #plain} gives
     * @param namer called for every tensor in order; a tensor that gets no name is left out of its dictionary or list
     * @return JSON
     */
    static JsonNode toJson(Object root, Namer namer) {
        return node(root, "", namer);
    }

    private static JsonNode node(Object value, String path, Namer namer) {
        if (value == null) {
            return NODES.nullNode();
        } else if (value instanceof TensorSource tensor) {
            String name = namer.name(path, tensor);
            return name == null ? null : NODES.objectNode().put(TENSOR, name);
        } else if (value instanceof Map<?, ?> map) {
            return map(map, path, namer);
        } else if (value instanceof List<?> list) {
            ArrayNode items = NODES.arrayNode();
            for (int i = 0; i < list.size(); i++) {
                JsonNode item = node(list.get(i), join(path, i), namer);
                if (item != null) {
                    items.add(item);
                }
            }
            return value instanceof Tuple ? NODES.objectNode().set(TUPLE, items) : items;
        } else if (value instanceof Boolean truth) {
            return NODES.booleanNode(truth);
        } else if (value instanceof Double || value instanceof Float) {
            double number = ((Number) value).doubleValue();
            return Double.isFinite(number)
                    ? NODES.numberNode(number)
                    : NODES.objectNode().put(FLOAT, String.valueOf(number));
        } else if (value instanceof BigInteger number) {
            return NODES.numberNode(number);
        } else if (value instanceof Number number) {
            return NODES.numberNode(number.longValue());
        } else if (value instanceof byte[] bytes) {
            return NODES.objectNode().put(BYTES, Base64.getEncoder().encodeToString(bytes));
        }
        return NODES.textNode(value.toString());
    }

    private static JsonNode map(Map<?, ?> map, String path, Namer namer) {
        boolean plain = map.keySet().stream().allMatch(key -> key instanceof String text && !text.startsWith("$"));
        ObjectNode object = NODES.objectNode();
        ArrayNode pairs = NODES.arrayNode();
        map.forEach((key, value) -> {
            JsonNode child = node(value, join(path, key), namer);
            if (child != null && plain) {
                object.set((String) key, child);
            } else if (child != null) {
                pairs.add(NODES.arrayNode().add(node(key, path, namer)).add(child));
            }
        });
        return plain ? object : NODES.objectNode().set(MAP, pairs);
    }

    /**
     * Reads the nesting.
     *
     * @param file for messages
     * @param json as {@link #toJson} writes it
     * @param finder gives the tensors
     * @return the object
     * @throws CheckpointException if it is something else
     */
    static Object fromJson(Path file, JsonNode json, Finder finder) throws CheckpointException {
        if (json.isObject()) {
            return object(file, json, finder);
        } else if (json.isArray()) {
            List<Object> items = new ArrayList<>();
            for (JsonNode item : json) {
                items.add(fromJson(file, item, finder));
            }
            return items;
        } else if (json.isTextual()) {
            return json.textValue();
        } else if (json.isBoolean()) {
            return json.booleanValue();
        } else if (json.isIntegralNumber()) {
            return json.canConvertToLong() ? (Object) json.longValue() : json.bigIntegerValue();
        } else if (json.isNumber()) {
            return json.doubleValue();
        }
        return null;
    }

    private static Object object(Path file, JsonNode json, Finder finder) throws CheckpointException {
        String only = json.size() == 1 ? json.fieldNames().next() : "";
        JsonNode content = json.path(only);
        switch (only) {
            case TENSOR:
                return finder.find(content.asText());
            case TUPLE:
                return Tuple.copyOf((List<?>) fromJson(file, requireArray(file, content), finder));
            case FLOAT:
                return Double.valueOf(content.asText());
            case BYTES:
                return Base64.getDecoder().decode(content.asText());
            case MAP:
                Map<Object, Object> map = new LinkedHashMap<>();
                for (JsonNode pair : requireArray(file, content)) {
                    map.put(fromJson(file, pair.path(0), finder), fromJson(file, pair.path(1), finder));
                }
                return map;
            default:
                Map<String, Object> entries = new LinkedHashMap<>();
                for (Map.Entry<String, JsonNode> entry : (Iterable<Map.Entry<String, JsonNode>>) json::fields) {
                    entries.put(entry.getKey(), fromJson(file, entry.getValue(), finder));
                }
                return entries;
        }
    }

    private static JsonNode requireArray(Path file, JsonNode content) throws CheckpointException {
        if (!content.isArray()) {
            throw new CheckpointException(file, "is damaged: the description of its nesting has " + content);
        }
        return content;
    }

    /**
     * Reads JSON.
     *
     * @param file for messages
     * @param text the JSON
     * @return the node
     * @throws CheckpointException if it is none
     */
    static JsonNode parse(Path file, String text) throws CheckpointException {
        try {
            return JSON.readTree(text);
        } catch (JsonProcessingException e) {
            throw new CheckpointException(
                    file, "is damaged: the description of its nesting is no JSON (" + e.getOriginalMessage() + ")", e);
        }
    }

    /**
     * Replaces objects of foreign classes, which nothing can write: by their attributes, or else by their name.
     *
     * @param value an object as {@link TensorFile#root} gives it
     * @return the same without {@link PickledObject}
     */
    static Object plain(Object value) {
        if (value instanceof PickledObject object) {
            return object.state() instanceof Map ? plain(object.state()) : object.toString();
        } else if (value instanceof Map<?, ?> map) {
            Map<Object, Object> entries = new LinkedHashMap<>();
            map.forEach((key, entry) -> entries.put(plain(key), plain(entry)));
            return entries;
        } else if (value instanceof List<?> list) {
            List<Object> items = new ArrayList<>();
            list.forEach(item -> items.add(plain(item)));
            return value instanceof Tuple ? Tuple.copyOf(items) : items;
        }
        return value;
    }

    private static String join(String path, Object key) {
        return path.isEmpty() ? String.valueOf(key) : path + "." + key;
    }
}
