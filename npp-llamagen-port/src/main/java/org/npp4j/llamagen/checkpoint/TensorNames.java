package org.npp4j.llamagen.checkpoint;

import java.util.IdentityHashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Finds the tensors in an object that a file describes, and names them by the keys and list positions on the way to
 * them, joined by dots. An object that contains itself is refused, as is one whose shared parts would unfold into more
 * names than a checkpoint can have.
 */
final class TensorNames {
    private static final int MAX_DEPTH = 500;
    private static final int MAX_TENSORS = 1_000_000;
    private static final long MAX_STEPS = 50_000_000;
    /** All tensors together may have so many elements, or so many for each byte of the file. */
    private static final long MIN_ELEMENTS = 1L << 30;

    private static final long MAX_REPEATS = 16;

    private final FileBytes file;
    private final HeapBudget budget;
    private final Map<String, StoredTensor> tensors = new LinkedHashMap<>();
    /** Of every container, how deep it is and whether it holds a tensor; {@link #OPEN} while it is looked at. */
    private final Map<Object, Content> contents = new IdentityHashMap<>();

    private final StringBuilder name = new StringBuilder();
    private long steps;
    private long elements;

    private record Content(int depth, boolean hasTensor) {}

    private static final Content OPEN = new Content(0, false);
    private static final Content PLAIN = new Content(0, false);
    private static final Content TENSOR = new Content(0, true);

    private TensorNames(FileBytes file, HeapBudget budget) {
        this.file = file;
        this.budget = budget;
    }

    /** {@return the tensors by name, in the order of the object} */
    static Map<String, StoredTensor> of(FileBytes file, HeapBudget budget, Object root) throws CheckpointException {
        TensorNames names = new TensorNames(file, budget);
        names.examine(root, 0);
        names.collect(root);
        return names.tensors;
    }

    /** Looks at every container once, however often it is shared. */
    private Content examine(Object value, int depth) throws CheckpointException {
        if (value instanceof StoredTensor) {
            return TENSOR;
        }
        if (!(value instanceof Map<?, ?>) && !(value instanceof List<?>) && !(value instanceof PickledObject)) {
            return PLAIN;
        }
        Content known = contents.get(value);
        if (known == OPEN) {
            throw new CheckpointException(
                    file.path(), "holds a list or dictionary that contains itself; a checkpoint must not");
        }
        if (known != null) {
            return known;
        }
        if (depth > MAX_DEPTH) {
            throw tooDeep();
        }
        budget.take(HeapBudget.ENTRY);
        contents.put(value, OPEN);
        int deepest = 0;
        boolean hasTensor = false;
        for (Iterable<?> children : List.of(items(value), entries(value).values())) {
            for (Object child : children) {
                Content content = examine(child, depth + 1);
                deepest = Math.max(deepest, content.depth + 1);
                hasTensor |= content.hasTensor;
            }
        }
        if (deepest > MAX_DEPTH) {
            throw tooDeep();
        }
        Content content = new Content(deepest, hasTensor);
        contents.put(value, content);
        return content;
    }

    private CheckpointException tooDeep() {
        return new CheckpointException(
                file.path(), "nests lists and dictionaries more than " + MAX_DEPTH + " deep; a checkpoint must not");
    }

    private void collect(Object value) throws CheckpointException {
        if (value instanceof StoredTensor) {
            add((StoredTensor) value);
            return;
        }
        Content content = contents.get(value);
        if (content == null || !content.hasTensor) {
            return;
        }
        int index = 0;
        for (Object item : items(value)) {
            descend(String.valueOf(index++), item);
        }
        for (Map.Entry<?, ?> entry : entries(value).entrySet()) {
            descend(entry.getKey(), entry.getValue());
        }
    }

    private void descend(Object key, Object value) throws CheckpointException {
        if (++steps > MAX_STEPS) {
            throw tooMany();
        }
        int length = name.length();
        if (value instanceof StoredTensor || contents.getOrDefault(value, PLAIN).hasTensor) {
            if (length > 0) {
                name.append('.');
            }
            name.append(text(key));
            collect(value);
            name.setLength(length);
        }
    }

    private void add(StoredTensor tensor) throws CheckpointException {
        if (tensors.size() == MAX_TENSORS) {
            throw tooMany();
        }
        budget.take(HeapBudget.OBJECT + HeapBudget.ENTRY + 2L * name.length());
        String called = name.toString();
        tensor.nameOnce(called);
        tensor.validate();
        if (tensor.isReadable()) {
            elements += tensor.elements();
            if (elements > Math.max(MIN_ELEMENTS, MAX_REPEATS * file.size())) {
                throw new CheckpointException(
                        file.path(),
                        "shows its numbers again and again: its tensors have more than " + MAX_REPEATS
                                + " elements for each of its " + file.size()
                                + " bytes. Save copies of them instead (tensor.clone())");
            }
        }
        if (tensors.put(called, tensor) != null) {
            throw new CheckpointException(
                    file.path(), "holds two tensors called " + called + "; rename one before saving");
        }
    }

    private CheckpointException tooMany() {
        return new CheckpointException(
                file.path(),
                "shares parts so that they unfold into more than " + MAX_TENSORS + " tensors; a checkpoint must not");
    }

    private static List<?> items(Object value) {
        return value instanceof List<?>
                ? (List<?>) value
                : value instanceof PickledObject ? ((PickledObject) value).items() : List.of();
    }

    private static Map<?, ?> entries(Object value) {
        return value instanceof Map<?, ?>
                ? (Map<?, ?>) value
                : value instanceof PickledObject ? ((PickledObject) value).entries() : Map.of();
    }

    /** A key as Python shows it. */
    private static String text(Object key) {
        return key == null ? "None" : key instanceof Boolean ? ((Boolean) key ? "True" : "False") : String.valueOf(key);
    }
}
