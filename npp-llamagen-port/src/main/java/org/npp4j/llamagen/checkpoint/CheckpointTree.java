package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.nd4j.shade.jackson.core.JsonParser;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.core.JsonToken;
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

    /** What stands for a part that contains itself, or is nested deeper than {@link #MAX_DEPTH}. */
    private static final String CUT_OFF = "..";

    private static final int MAX_DEPTH = 500;
    /** A level may take two of JSON's. */
    private static final int MAX_JSON_DEPTH = 4 * MAX_DEPTH;

    private static final int MAX_DIGITS = 5000;

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
     * Writes the nesting. What is shared is written as often as it occurs.
     *
     * @param file for messages
     * @param root what {@link #plain} gives
     * @param namer called for every tensor in order; a tensor that gets no name is left out of its dictionary or list
     * @return JSON
     * @throws CheckpointException if shared parts unfold into more than the heap has room for
     */
    static JsonNode toJson(Path file, Object root, Namer namer) throws CheckpointException {
        return new Writer(new HeapBudget(file), namer).node(root);
    }

    private static final class Writer {
        private final HeapBudget budget;
        private final Namer namer;
        /** Keys and list positions on the way to the present node, joined by dots. */
        private final StringBuilder path = new StringBuilder();

        Writer(HeapBudget budget, Namer namer) {
            this.budget = budget;
            this.namer = namer;
        }

        JsonNode node(Object value) throws CheckpointException {
            budget.take(HeapBudget.OBJECT + HeapBudget.SLOT);
            if (value == null) {
                return NODES.nullNode();
            } else if (value instanceof TensorSource tensor) {
                String name = namer.name(path.toString(), tensor);
                return name == null ? null : NODES.objectNode().put(TENSOR, name);
            } else if (value instanceof Map<?, ?> map) {
                return map(map);
            } else if (value instanceof List<?> list) {
                return list(list);
            } else if (value instanceof Boolean truth) {
                return NODES.booleanNode(truth);
            } else if (value instanceof Double || value instanceof Float) {
                double number = ((Number) value).doubleValue();
                return Double.isFinite(number)
                        ? NODES.numberNode(number)
                        : NODES.objectNode().put(FLOAT, String.valueOf(number));
            } else if (value instanceof BigInteger number) {
                budget.take(number.bitLength());
                return NODES.numberNode(number);
            } else if (value instanceof Number number) {
                return NODES.numberNode(number.longValue());
            } else if (value instanceof byte[] bytes) {
                budget.take(2L * bytes.length);
                return NODES.objectNode().put(BYTES, Base64.getEncoder().encodeToString(bytes));
            }
            String text = value.toString();
            budget.take(2L * text.length());
            return NODES.textNode(text);
        }

        private JsonNode list(List<?> list) throws CheckpointException {
            budget.take(HeapBudget.LIST);
            ArrayNode items = NODES.arrayNode();
            for (int i = 0; i < list.size(); i++) {
                JsonNode item = child(i, list.get(i));
                if (item != null) {
                    items.add(item);
                }
            }
            return list instanceof Tuple ? NODES.objectNode().set(TUPLE, items) : items;
        }

        private JsonNode map(Map<?, ?> map) throws CheckpointException {
            budget.take(HeapBudget.MAP);
            boolean plain = map.keySet().stream().allMatch(key -> key instanceof String text && !text.startsWith("$"));
            ObjectNode object = NODES.objectNode();
            ArrayNode pairs = NODES.arrayNode();
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                budget.take(HeapBudget.ENTRY);
                JsonNode child = child(entry.getKey(), entry.getValue());
                if (child != null && plain) {
                    object.set((String) entry.getKey(), child);
                } else if (child != null) {
                    pairs.add(NODES.arrayNode().add(node(entry.getKey())).add(child));
                }
            }
            return plain ? object : NODES.objectNode().set(MAP, pairs);
        }

        private JsonNode child(Object key, Object value) throws CheckpointException {
            int length = path.length();
            path.append(length == 0 ? "" : ".").append(key);
            JsonNode child = node(value);
            path.setLength(length);
            return child;
        }
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
            case FLOAT, BYTES:
                return decoded(file, only, content.asText());
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

    private static Object decoded(Path file, String kind, String text) throws CheckpointException {
        try {
            return kind.equals(FLOAT)
                    ? (Object) Double.valueOf(text)
                    : Base64.getDecoder().decode(text);
        } catch (IllegalArgumentException e) {
            throw damaged(file, "has a " + kind + " that is none", e);
        }
    }

    private static CheckpointException damaged(Path file, String problem, Throwable cause) {
        return new CheckpointException(
                file, "is damaged: the description of its nesting " + problem + ". Get the file again", cause);
    }

    private static JsonNode requireArray(Path file, JsonNode content) throws CheckpointException {
        if (!content.isArray()) {
            throw damaged(file, "has no list where one belongs", null);
        }
        return content;
    }

    /**
     * Reads JSON.
     *
     * @param file for messages
     * @param text the JSON
     * @return the node
     * @throws CheckpointException if it is none, or nests deeper or takes more than any checkpoint does
     */
    static JsonNode parse(Path file, String text) throws CheckpointException {
        try {
            requireModest(file, text);
            return JSON.readTree(text);
        } catch (CheckpointException e) {
            throw e;
        } catch (JsonProcessingException e) {
            throw damaged(file, "is no JSON (" + e.getOriginalMessage() + ")", e);
        } catch (IOException e) {
            throw damaged(file, "cannot be read (" + e.getMessage() + ")", e);
        }
    }

    /** Before it is read in one go, which calls itself for each level and keeps everything. */
    private static void requireModest(Path file, String text) throws IOException {
        HeapBudget budget = new HeapBudget(file);
        int depth = 0;
        try (JsonParser parser = JSON.getFactory().createParser(text)) {
            for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
                budget.take(token.isStructStart() ? HeapBudget.MAP : HeapBudget.OBJECT + HeapBudget.SLOT);
                depth += token.isStructStart() ? 1 : token.isStructEnd() ? -1 : 0;
                if (depth > MAX_JSON_DEPTH) {
                    throw damaged(file, "is more than " + MAX_JSON_DEPTH + " levels deep", null);
                }
                if (token.isNumeric() && parser.getTextLength() > MAX_DIGITS) {
                    throw damaged(file, "has a number of more than " + MAX_DIGITS + " digits", null);
                }
            }
        }
    }

    /**
     * Replaces objects of foreign classes, which nothing can write: by their attributes, or else by their name. What is
     * shared stays shared. Attributes, unlike the rest of a checkpoint, may contain themselves or nest without end; they
     * are cut off there.
     *
     * @param value an object as {@link TensorFile#root} gives it
     * @return the same without {@link PickledObject}
     */
    static Object plain(Object value) {
        return plain(value, 0, new IdentityHashMap<>());
    }

    private static Object plain(Object value, int depth, Map<Object, Object> known) {
        boolean isObject = value instanceof PickledObject;
        if (!isObject && !(value instanceof Map<?, ?>) && !(value instanceof List<?>)) {
            return value;
        }
        if (known.containsKey(value)) {
            return known.get(value);
        }
        String name = isObject ? value.toString() : CUT_OFF;
        if (depth == MAX_DEPTH || isObject && !(((PickledObject) value).state() instanceof Map)) {
            return name;
        }
        // for whoever meets it again inside itself
        known.put(value, name);
        Object plain;
        if (value instanceof PickledObject object) {
            plain = plain(object.state(), depth, known);
        } else if (value instanceof Map<?, ?> map) {
            Map<Object, Object> entries = new LinkedHashMap<>();
            map.forEach((key, entry) -> entries.put(plain(key, depth + 1, known), plain(entry, depth + 1, known)));
            plain = entries;
        } else {
            List<Object> items = new ArrayList<>();
            ((List<?>) value).forEach(item -> items.add(plain(item, depth + 1, known)));
            plain = value instanceof Tuple ? Tuple.copyOf(items) : items;
        }
        known.put(value, plain);
        return plain;
    }

    /**
     * All tensors in an object, each once.
     *
     * @param root what {@link #plain} gives
     * @return the tensors in the order of the object
     */
    static List<TensorSource> tensors(Object root) {
        Set<Object> seen = Collections.newSetFromMap(new IdentityHashMap<>());
        List<TensorSource> tensors = new ArrayList<>();
        collect(root, seen, tensors);
        return tensors;
    }

    private static void collect(Object value, Set<Object> seen, List<TensorSource> tensors) {
        boolean isContainer = value instanceof Map<?, ?> || value instanceof List<?>;
        if (!isContainer && !(value instanceof TensorSource) || !seen.add(value)) {
            return;
        }
        if (value instanceof TensorSource tensor) {
            tensors.add(tensor);
        } else if (value instanceof Map<?, ?> map) {
            map.values().forEach(entry -> collect(entry, seen, tensors));
        } else {
            ((List<?>) value).forEach(item -> collect(item, seen, tensors));
        }
    }
}
