package org.npp4j.llamagen.checkpoint;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What the calls in a PyTorch pickle stand for: views of storages, and plain data. A closed list; any other call becomes
 * a {@link PickledObject} that says what would have been called.
 */
final class PickledCalls {
    private static final int MAX_RANK = 64;
    private static final int MAX_NESTED_CALLS = 8;
    private static final int MAX_KEY_ITEMS = 64;
    private static final int MAX_KEY_LENGTH = 1 << 16;
    private static final Set<String> BUILTINS = Set.of("builtins", "__builtin__");
    private static final Set<String> NUMPY = Set.of("numpy.core.multiarray", "numpy._core.multiarray");
    private static final Set<String> ORDERED_MAPS = Set.of("OrderedDict", "defaultdict", "Counter");

    private final FileBytes file;
    private final HeapBudget budget;
    private final StorageFinder storages;

    /** Finds the storages that a pickle names. */
    @FunctionalInterface
    interface StorageFinder {
        /**
         * Finds a storage.
         *
         * @param element the type of its numbers
         * @param key its name
         * @param length how many numbers it has, not negative
         * @param view the legacy form's view of a part of another storage, or null
         * @return the storage
         * @throws CheckpointException if the file has not got it
         */
        StorageView find(ElementType element, String key, long length, Object view) throws CheckpointException;
    }

    /**
     * A storage, or the part of one from an element on.
     *
     * @param storage the storage
     * @param element the type of the numbers
     * @param offset first element
     */
    record StorageView(Storage storage, ElementType element, long offset) {}

    PickledCalls(FileBytes file, HeapBudget budget, StorageFinder storages) {
        this.file = file;
        this.budget = budget;
        this.storages = storages;
    }

    private CheckpointException damaged(String problem) {
        return file.damaged("its pickle " + problem);
    }

    /** {@return what a persistent identifier stands for} */
    Object persistent(Object id) throws CheckpointException {
        if (storages == null) {
            throw damaged("refers to a storage, but only torch.save's have any");
        }
        if (!(id instanceof List<?>) || ((List<?>) id).isEmpty()) {
            throw damaged("refers to a storage by what is no list");
        }
        List<?> parts = (List<?>) id;
        if ("module".equals(parts.get(0)) && parts.size() > 1) {
            return parts.get(1);
        }
        if (!"storage".equals(parts.get(0)) || parts.size() < 5 || !(parts.get(1) instanceof PickledObject)) {
            throw damaged("refers to a storage in an unknown way");
        }
        if (!(parts.get(2) instanceof String)) {
            throw damaged("has a storage whose key is no text");
        }
        long length = whole(parts.get(4), "the length of a storage");
        if (length < 0) {
            throw damaged("has a storage of " + length + " numbers");
        }
        budget.take(HeapBudget.TENSOR);
        return storages.find(
                ElementType.ofStorage(((PickledObject) parts.get(1)).name()),
                (String) parts.get(2),
                length,
                parts.size() > 5 ? parts.get(5) : null);
    }

    /** {@return what a call would have returned} */
    Object call(PickledObject function, List<Object> arguments) throws CheckpointException {
        return call(function, arguments, 0);
    }

    private Object call(PickledObject function, List<Object> arguments, int depth) throws CheckpointException {
        budget.take(HeapBudget.LIST);
        if (function.isName()) {
            Object known = function.module().startsWith("torch")
                    ? torchCall(function, arguments, depth)
                    : plainCall(function, arguments);
            if (known != null) {
                return known;
            }
        }
        budget.take(HeapBudget.LIST + HeapBudget.MAP);
        return function.called(arguments);
    }

    // PyTorch

    private Object torchCall(PickledObject function, List<Object> arguments, int depth) throws CheckpointException {
        if (function.is("torch", "Size")) {
            return arguments.size() == 1 && arguments.get(0) instanceof List<?> ? tuple(arguments.get(0)) : null;
        }
        if (function.is("torch._tensor", "_rebuild_from_type_v2")) {
            return rebuildFromType(arguments, depth);
        }
        if (!function.module().equals("torch._utils")) {
            return null;
        }
        switch (function.name()) {
            case "_rebuild_tensor", "_rebuild_tensor_v2":
                return view(arguments, null);
            case "_rebuild_tensor_v3":
                return view(arguments, dtype(at(arguments, 6)));
            case "_rebuild_qtensor":
                return view(arguments, null);
            case "_rebuild_parameter", "_rebuild_parameter_with_state":
                return at(arguments, 0);
            case "_rebuild_meta_tensor_no_storage":
                return withoutNumbers(dtype(at(arguments, 0)).label() + " (meta)", at(arguments, 1));
            case "_rebuild_sparse_tensor":
                Object parts = at(arguments, 1);
                return parts instanceof List<?> && ((List<?>) parts).size() > 2
                        ? withoutNumbers("sparse", ((List<?>) parts).get(2))
                        : null;
            default:
                return null;
        }
    }

    /** A tensor of a Python subclass: the call inside makes the tensor. */
    private Object rebuildFromType(List<Object> arguments, int depth) throws CheckpointException {
        if (!(at(arguments, 0) instanceof PickledObject) || !(at(arguments, 2) instanceof List<?>)) {
            throw damaged("rebuilds a tensor by what is no function");
        }
        if (depth == MAX_NESTED_CALLS) {
            throw damaged("nests more than " + MAX_NESTED_CALLS + " calls");
        }
        return call((PickledObject) at(arguments, 0), listOf(at(arguments, 2)), depth + 1);
    }

    private StoredTensor view(List<Object> arguments, ElementType dtype) throws CheckpointException {
        if (!(at(arguments, 0) instanceof StorageView)) {
            throw damaged("has a tensor without a storage");
        }
        StorageView storage = (StorageView) at(arguments, 0);
        long offset = whole(at(arguments, 1), "the offset of a tensor");
        long[] shape = wholes(at(arguments, 2), "the shape of a tensor");
        long[] strides = wholes(at(arguments, 3), "the strides of a tensor");
        budget.take(HeapBudget.TENSOR + 16L * shape.length);
        long start = storage.offset() + offset;
        return new StoredTensor(
                file,
                storage.storage(),
                dtype == null ? storage.element() : dtype,
                offset < 0 || start < 0 ? Long.MIN_VALUE : start,
                shape,
                strides);
    }

    private StoredTensor withoutNumbers(String label, Object shape) throws CheckpointException {
        long[] sizes = wholes(shape, "the shape of a tensor");
        budget.take(HeapBudget.TENSOR + 16L * sizes.length);
        return new StoredTensor(file, null, new ElementType(label, 0, null), 0, sizes, new long[sizes.length]);
    }

    private ElementType dtype(Object dtype) throws CheckpointException {
        if (!(dtype instanceof PickledObject)) {
            throw damaged("has a tensor of no type");
        }
        return ElementType.ofDtype(((PickledObject) dtype).name());
    }

    // Python and NumPy

    private Object plainCall(PickledObject function, List<Object> arguments) throws CheckpointException {
        if (function.module().equals("collections") && ORDERED_MAPS.contains(function.name())) {
            return orderedMap(arguments);
        }
        if (BUILTINS.contains(function.module())) {
            return builtin(function.name(), arguments);
        }
        if (function.is("_codecs", "encode")) {
            return encoded(arguments);
        }
        if (function.is("copy_reg", "_reconstructor") || function.is("copyreg", "_reconstructor")) {
            Object type = at(arguments, 0);
            return type instanceof PickledObject ? ((PickledObject) type).called(List.of()) : null;
        }
        if (NUMPY.contains(function.module()) && function.name().equals("scalar")) {
            return numpyScalar(arguments);
        }
        return null;
    }

    /** Python 2 gives the entries here, as pairs; Python 3 adds them later. A factory of defaults is left out. */
    private Map<Object, Object> orderedMap(List<Object> arguments) throws CheckpointException {
        budget.take(HeapBudget.MAP);
        Map<Object, Object> map = new LinkedHashMap<>();
        for (Object argument : arguments) {
            if (argument instanceof Map<?, ?>) {
                budget.take((long) HeapBudget.ENTRY * ((Map<?, ?>) argument).size());
                map.putAll((Map<?, ?>) argument);
            } else if (argument instanceof List<?>) {
                for (Object pair : (List<?>) argument) {
                    budget.take(HeapBudget.ENTRY);
                    if (!(pair instanceof List<?>) || ((List<?>) pair).size() != 2) {
                        throw damaged("makes a dictionary of what are no pairs");
                    }
                    Object key = ((List<?>) pair).get(0);
                    requireKey(key);
                    map.put(key, ((List<?>) pair).get(1));
                }
            }
        }
        return map;
    }

    private Object builtin(String name, List<Object> arguments) throws CheckpointException {
        Object first = arguments.isEmpty() ? Tuple.of() : arguments.get(0);
        switch (name) {
            case "set", "frozenset", "list":
                if (!(first instanceof List<?>)) {
                    return null;
                }
                budget.take(HeapBudget.LIST + (long) HeapBudget.SLOT * ((List<?>) first).size());
                return new ArrayList<>((List<?>) first);
            case "tuple":
                return first instanceof List<?> ? tuple(first) : null;
            case "dict":
                return orderedMap(arguments);
            case "bytes", "bytearray":
                return arguments.isEmpty()
                        ? (Object) new byte[0]
                        : first instanceof byte[] ? first : encoded(arguments);
            default:
                return null;
        }
    }

    /** How protocols 0 to 2 say bytes. */
    private byte[] encoded(List<Object> arguments) throws CheckpointException {
        if (arguments.size() != 2
                || !(arguments.get(0) instanceof String text)
                || !(arguments.get(1) instanceof String coding)) {
            return null;
        }
        budget.take(HeapBudget.OBJECT + 2L * text.length());
        return switch (coding) {
            case "latin1", "latin-1" -> text.getBytes(StandardCharsets.ISO_8859_1);
            case "utf8", "utf-8" -> text.getBytes(StandardCharsets.UTF_8);
            default -> null;
        };
    }

    private Object numpyScalar(List<Object> arguments) {
        if (arguments.size() != 2
                || !(arguments.get(0) instanceof PickledObject)
                || !(arguments.get(1) instanceof byte[])) {
            return null;
        }
        PickledObject dtype = (PickledObject) arguments.get(0);
        byte[] bytes = (byte[]) arguments.get(1);
        String code = !dtype.arguments().isEmpty() && dtype.arguments().get(0) instanceof String text ? text : "";
        boolean isBig = dtype.state() instanceof List<?>
                && ((List<?>) dtype.state()).size() > 1
                && ">".equals(((List<?>) dtype.state()).get(1));
        if (!dtype.is("numpy", "dtype") || code.length() != 2 || code.charAt(1) - '0' != bytes.length) {
            return null;
        }
        ByteBuffer value = ByteBuffer.wrap(bytes).order(isBig ? ByteOrder.BIG_ENDIAN : ByteOrder.LITTLE_ENDIAN);
        return switch (code) {
            case "f8" -> (Object) value.getDouble();
            case "f4" -> (double) value.getFloat();
            case "i8" -> value.getLong();
            case "i4" -> (long) value.getInt();
            case "i2" -> (long) value.getShort();
            case "i1" -> (long) value.get();
            case "u8" -> unsigned(value.getLong());
            case "u4" -> value.getInt() & 0xffffffffL;
            case "u2" -> value.getShort() & 0xffffL;
            case "u1" -> value.get() & 0xffL;
            case "b1" -> value.get() != 0;
            default -> null;
        };
    }

    private static Object unsigned(long value) {
        return value >= 0 ? (Object) value : new BigInteger(Long.toUnsignedString(value));
    }

    /** {@return the object with a state; the attributes of known types, such as a dictionary's, are left out} */
    Object build(Object target, Object state) {
        if (target instanceof PickledObject && !((PickledObject) target).isName()) {
            ((PickledObject) target).setState(state);
        }
        return target;
    }

    /** Only what can be hashed and compared in a few steps, however often it is used. */
    void requireKey(Object key) throws CheckpointException {
        if (key instanceof Tuple tuple) {
            if (tuple.size() > MAX_KEY_ITEMS || tuple.stream().anyMatch(List.class::isInstance)) {
                throw damaged("has a large or nested tuple as a key, which is not read");
            }
            for (Object item : tuple) {
                requireKey(item);
            }
        } else if (key instanceof List<?> || key instanceof Map<?, ?>) {
            throw damaged("has a list or dictionary as a key");
        } else if (key instanceof String text && text.length() > MAX_KEY_LENGTH) {
            throw damaged(
                    "has a text of " + text.length() + " characters as a key; at most " + MAX_KEY_LENGTH + " are read");
        }
    }

    // Arguments

    private Object at(List<Object> arguments, int index) throws CheckpointException {
        if (index >= arguments.size()) {
            throw damaged("rebuilds a tensor of " + arguments.size() + " arguments");
        }
        return arguments.get(index);
    }

    @SuppressWarnings("unchecked")
    private static List<Object> listOf(Object list) {
        return (List<Object>) list;
    }

    private Tuple tuple(Object items) throws CheckpointException {
        budget.take(HeapBudget.OBJECT + (long) HeapBudget.SLOT * ((List<?>) items).size());
        return Tuple.copyOf((List<?>) items);
    }

    private long whole(Object number, String what) throws CheckpointException {
        if (!(number instanceof Long)) {
            throw damaged("has " + what + " that is no integer of 64 bits");
        }
        return (Long) number;
    }

    private long[] wholes(Object numbers, String what) throws CheckpointException {
        if (!(numbers instanceof List<?>)) {
            throw damaged("has " + what + " that is no list");
        }
        List<?> list = (List<?>) numbers;
        if (list.size() > MAX_RANK) {
            throw damaged("has " + what + " with " + list.size() + " axes; PyTorch allows " + MAX_RANK);
        }
        long[] values = new long[list.size()];
        for (int i = 0; i < values.length; i++) {
            values[i] = whole(list.get(i), what);
        }
        return values;
    }
}
