package org.npp4j.llamagen.checkpoint;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads pickles of protocols 0 to 5 as data: a stack machine that makes lists, maps, numbers and texts, and leaves every
 * call to {@link PickledCalls}, which knows those that describe tensors and plain data. Nothing else is ever called.
 *
 * <p>Whatever the bytes are, it ends after as many steps as there are bytes, and takes no more heap than its budget.
 */
final class Unpickler {
    private static final int MAX_PROTOCOL = 5;
    private static final int MAX_INTEGER_BYTES = 4096;

    private final FileBytes file;
    private final PickleInput in;
    private final HeapBudget budget;
    private final PickledCalls calls;

    private final List<Object> stack = new ArrayList<>();
    private int deepest;
    private int[] marks = new int[16];
    private int markCount;
    private final Map<Long, Object> memo = new HashMap<>();

    Unpickler(FileBytes file, PickleInput in, HeapBudget budget, PickledCalls calls) {
        this.file = file;
        this.in = in;
        this.budget = budget;
        this.calls = calls;
    }

    private CheckpointException damaged(String problem) {
        return file.damaged("its pickle " + problem + " before byte " + in.position());
    }

    /** Reads one pickle. */
    Object read() throws CheckpointException {
        stack.clear();
        memo.clear();
        markCount = 0;
        while (true) {
            int code = in.uint8();
            if (code == '.') {
                Object result = pop();
                if (!stack.isEmpty() || markCount > 0) {
                    throw damaged("ends with more than one object");
                }
                return result;
            }
            if (!number(code) && !text(code) && !container(code) && !memory(code) && !object(code)) {
                throw damaged(String.format("has the unknown code 0x%02x", code));
            }
        }
    }

    // Numbers and constants

    private boolean number(int code) throws CheckpointException {
        switch (code) {
            case 'N' -> push(null);
            case 0x88 -> push(true);
            case 0x89 -> push(false);
            case 'I' -> push(integerLine());
            case 'L' -> push(longLine());
            case 'F' -> push(floatLine());
            case 'J' -> pushNumber((long) in.int32());
            case 'K' -> pushNumber((long) in.uint8());
            case 'M' -> pushNumber((long) in.uint16());
            case 'G' -> pushNumber(in.float64());
            case 0x8a -> pushNumber(integer(in.uint8()));
            case 0x8b -> pushNumber(integer(in.int32()));
            default -> {
                return false;
            }
        }
        return true;
    }

    private void pushNumber(Number value) throws CheckpointException {
        budget.take(HeapBudget.OBJECT);
        push(value);
    }

    /** Little endian in two's complement, of any length. */
    private Number integer(long length) throws CheckpointException {
        if (length < 0 || length > MAX_INTEGER_BYTES) {
            throw damaged("has an integer of " + length + " bytes, more than " + MAX_INTEGER_BYTES + " are not read,");
        }
        byte[] bytes = in.bytes(length, budget);
        for (int i = 0, j = bytes.length - 1; i < j; i++, j--) {
            byte swapped = bytes[i];
            bytes[i] = bytes[j];
            bytes[j] = swapped;
        }
        return bytes.length == 0 ? (Number) 0L : narrow(new BigInteger(bytes));
    }

    private static Number narrow(BigInteger value) {
        return value.bitLength() < Long.SIZE ? (Number) value.longValue() : value;
    }

    private Object integerLine() throws CheckpointException {
        String line = asciiLine();
        return line.equals("01") ? Boolean.TRUE : line.equals("00") ? (Object) Boolean.FALSE : decimal(line);
    }

    private Number longLine() throws CheckpointException {
        String line = asciiLine();
        return decimal(line.endsWith("L") ? line.substring(0, line.length() - 1) : line);
    }

    private Number decimal(String digits) throws CheckpointException {
        if (digits.length() > MAX_INTEGER_BYTES) {
            throw damaged("has an integer of " + digits.length() + " digits");
        }
        budget.take(HeapBudget.OBJECT + digits.length());
        try {
            return narrow(new BigInteger(digits));
        } catch (NumberFormatException e) {
            throw damaged("has a text in place of an integer");
        }
    }

    private Double floatLine() throws CheckpointException {
        String line = asciiLine();
        budget.take(HeapBudget.OBJECT);
        try {
            return switch (line) {
                case "inf" -> Double.POSITIVE_INFINITY;
                case "-inf" -> Double.NEGATIVE_INFINITY;
                case "nan" -> Double.NaN;
                default -> Double.valueOf(line);
            };
        } catch (NumberFormatException e) {
            throw damaged("has a text in place of a number");
        }
    }

    private String asciiLine() throws CheckpointException {
        return new String(in.line(budget), StandardCharsets.ISO_8859_1);
    }

    // Texts and bytes

    private boolean text(int code) throws CheckpointException {
        switch (code) {
            case 'X' -> push(utf8(in.int32() & 0xffffffffL));
            case 0x8c -> push(utf8(in.uint8()));
            case 0x8d -> push(utf8(in.int64()));
            case 'V' -> push(rawUnicode(asciiLine()));
            case 'S' -> push(quoted(asciiLine()));
            case 'T' -> push(python2Text(in.int32()));
            case 'U' -> push(python2Text(in.uint8()));
            case 'B' -> push(in.bytes(in.int32() & 0xffffffffL, budget));
            case 'C' -> push(in.bytes(in.uint8(), budget));
            case 0x8e, 0x96 -> push(in.bytes(in.int64(), budget));
            case 0x97, 0x98 -> throw damaged("needs a buffer that is kept outside it");
            default -> {
                return false;
            }
        }
        return true;
    }

    private String utf8(long length) throws CheckpointException {
        byte[] bytes = in.bytes(length, budget);
        budget.take(HeapBudget.OBJECT + 2L * bytes.length);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    /** Python 2 did not say how its texts are coded: UTF-8 if it can be, else Latin-1. */
    private String python2Text(long length) throws CheckpointException {
        byte[] bytes = in.bytes(length, budget);
        budget.take(HeapBudget.OBJECT + 2L * bytes.length);
        return python2Text(bytes);
    }

    private static String python2Text(byte[] bytes) {
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            return new String(bytes, StandardCharsets.ISO_8859_1);
        }
    }

    /** Latin-1 with \\uXXXX and \\UXXXXXXXX. */
    private String rawUnicode(String line) throws CheckpointException {
        StringBuilder text = new StringBuilder(line.length());
        for (int i = 0; i < line.length(); i++) {
            char c = line.charAt(i);
            int digits = c != '\\' || i + 1 == line.length()
                    ? 0
                    : switch (line.charAt(i + 1)) {
                        case 'u' -> 4;
                        case 'U' -> 8;
                        default -> 0;
                    };
            if (digits == 0) {
                text.append(c);
            } else {
                int point = hex(line, i + 2, digits);
                if (!Character.isValidCodePoint(point)) {
                    throw damaged("has an impossible character");
                }
                text.appendCodePoint(point);
                i += 1 + digits;
            }
        }
        return text.toString();
    }

    /** A Python 2 text between quotes, with backslash escapes. */
    private String quoted(String line) throws CheckpointException {
        int last = line.length() - 1;
        if (last < 1 || line.charAt(0) != line.charAt(last) || line.charAt(0) != '\'' && line.charAt(0) != '"') {
            throw damaged("has a text without quotes");
        }
        byte[] bytes = new byte[line.length()];
        int count = 0;
        for (int i = 1; i < last; i++) {
            char c = line.charAt(i);
            if (c == '\\' && i + 1 < last) {
                char escaped = line.charAt(++i);
                switch (escaped) {
                    case 'n' -> c = '\n';
                    case 't' -> c = '\t';
                    case 'r' -> c = '\r';
                    case 'x' -> {
                        c = (char) hex(line, i + 1, 2);
                        i += 2;
                    }
                    default -> c = escaped;
                }
            }
            bytes[count++] = (byte) c;
        }
        return python2Text(Arrays.copyOf(bytes, count));
    }

    private int hex(String line, int from, int digits) throws CheckpointException {
        int value = 0;
        for (int i = from; i < from + digits; i++) {
            int digit = i < line.length() ? Character.digit(line.charAt(i), 16) : -1;
            if (digit < 0) {
                throw damaged("has a text with a broken escape");
            }
            value = value << 4 | digit;
        }
        return value;
    }

    // Lists, tuples, maps

    private boolean container(int code) throws CheckpointException {
        switch (code) {
            case '(' -> mark();
            case ')' -> push(tuple(List.of()));
            case 0x85 -> push(tuple(popLast(1)));
            case 0x86 -> push(tuple(popLast(2)));
            case 0x87 -> push(tuple(popLast(3)));
            case 't' -> push(tuple(popSinceMark()));
                // A set and a frozen set are lists here.
            case ']', 0x8f -> push(list(List.of()));
            case 'l', 0x91 -> push(list(popSinceMark()));
            case '}' -> push(map(List.of()));
            case 'd' -> push(map(popSinceMark()));
            case 'a' -> addAll(popLast(1));
            case 'e', 0x90 -> addAll(popSinceMark());
            case 's' -> putAll(popLast(2));
            case 'u' -> putAll(popSinceMark());
            default -> {
                return false;
            }
        }
        return true;
    }

    private Tuple tuple(List<Object> items) throws CheckpointException {
        budget.take(HeapBudget.OBJECT + (long) HeapBudget.SLOT * items.size());
        return Tuple.copyOf(items);
    }

    private List<Object> list(List<Object> items) throws CheckpointException {
        budget.take(HeapBudget.LIST + (long) HeapBudget.SLOT * items.size());
        return new ArrayList<>(items);
    }

    private Map<Object, Object> map(List<Object> keysAndValues) throws CheckpointException {
        budget.take(HeapBudget.MAP);
        Map<Object, Object> map = new LinkedHashMap<>();
        putAll(map, keysAndValues);
        return map;
    }

    private void addAll(List<Object> items) throws CheckpointException {
        budget.take((long) HeapBudget.SLOT * items.size());
        Object target = peek();
        if (target instanceof ArrayList<?>) {
            asList(target).addAll(items);
        } else if (target instanceof PickledObject && !((PickledObject) target).isName()) {
            budget.take(HeapBudget.LIST);
            items.forEach(((PickledObject) target)::add);
        } else {
            throw damaged("adds an item to what is no list");
        }
    }

    private void putAll(List<Object> keysAndValues) throws CheckpointException {
        putAll(peek(), keysAndValues);
    }

    private void putAll(Object target, List<Object> keysAndValues) throws CheckpointException {
        if (keysAndValues.size() % 2 != 0) {
            throw damaged("has a key without a value");
        }
        budget.take((long) HeapBudget.ENTRY * (keysAndValues.size() / 2));
        for (int i = 0; i < keysAndValues.size(); i += 2) {
            Object key = keysAndValues.get(i);
            calls.requireKey(key);
            if (target instanceof LinkedHashMap<?, ?>) {
                asMap(target).put(key, keysAndValues.get(i + 1));
            } else if (target instanceof PickledObject && !((PickledObject) target).isName()) {
                budget.take(HeapBudget.MAP);
                ((PickledObject) target).put(key, keysAndValues.get(i + 1));
            } else {
                throw damaged("adds an entry to what is no dictionary");
            }
        }
    }

    @SuppressWarnings("unchecked")
    private static List<Object> asList(Object list) {
        return (List<Object>) list;
    }

    @SuppressWarnings("unchecked")
    private static Map<Object, Object> asMap(Object map) {
        return (Map<Object, Object>) map;
    }

    // Stack and memo

    private boolean memory(int code) throws CheckpointException {
        switch (code) {
            case '0' -> {
                if (markCount > 0 && stack.size() == marks[markCount - 1]) {
                    markCount--;
                } else {
                    pop();
                }
            }
            case '1' -> popSinceMark();
            case '2' -> push(peek());
            case 'p' -> remember(index());
            case 'q' -> remember(in.uint8());
            case 'r' -> remember(in.int32() & 0xffffffffL);
            case 0x94 -> remember(memo.size());
            case 'g' -> push(recall(index()));
            case 'h' -> push(recall(in.uint8()));
            case 'j' -> push(recall(in.int32() & 0xffffffffL));
            case 0x80 -> {
                int protocol = in.uint8();
                if (protocol > MAX_PROTOCOL) {
                    throw damaged("is of protocol " + protocol + ", but only those up to " + MAX_PROTOCOL + " exist,");
                }
            }
                // The length of what follows, which says nothing new.
            case 0x95 -> in.int64();
            default -> {
                return false;
            }
        }
        return true;
    }

    private long index() throws CheckpointException {
        Number index = decimal(asciiLine());
        if (!(index instanceof Long) || (Long) index < 0) {
            throw damaged("has an impossible index");
        }
        return (Long) index;
    }

    private void remember(long index) throws CheckpointException {
        budget.take(HeapBudget.ENTRY);
        memo.put(index, peek());
    }

    private Object recall(long index) throws CheckpointException {
        Object value = memo.get(index);
        if (value == null && !memo.containsKey(index)) {
            throw damaged("refers to object " + index + ", which was not there");
        }
        return value;
    }

    private void push(Object value) throws CheckpointException {
        stack.add(value);
        if (stack.size() > deepest) {
            deepest = stack.size();
            budget.take(HeapBudget.SLOT);
        }
    }

    /** The number of objects below the last mark, which only that mark's owner may take. */
    private int floor() {
        return markCount == 0 ? 0 : marks[markCount - 1];
    }

    private Object peek() throws CheckpointException {
        if (stack.size() <= floor()) {
            throw damaged("takes an object that was not there");
        }
        return stack.get(stack.size() - 1);
    }

    private Object pop() throws CheckpointException {
        Object value = peek();
        stack.remove(stack.size() - 1);
        return value;
    }

    private List<Object> popLast(int count) throws CheckpointException {
        if (stack.size() - count < floor()) {
            throw damaged("takes objects that were not there");
        }
        return take(stack.size() - count);
    }

    private void mark() throws CheckpointException {
        budget.take(HeapBudget.SLOT);
        if (markCount == marks.length) {
            marks = Arrays.copyOf(marks, 2 * markCount);
        }
        marks[markCount++] = stack.size();
    }

    private List<Object> popSinceMark() throws CheckpointException {
        if (markCount == 0) {
            throw damaged("refers to a mark that was not there");
        }
        return take(marks[--markCount]);
    }

    private List<Object> take(int from) throws CheckpointException {
        List<Object> top = stack.subList(from, stack.size());
        List<Object> taken = new ArrayList<>(top);
        top.clear();
        return taken;
    }

    // Classes, calls, objects

    private boolean object(int code) throws CheckpointException {
        switch (code) {
            case 'c' -> push(named(asciiLine(), asciiLine()));
            case 0x93 -> {
                List<Object> names = popLast(2);
                if (!(names.get(0) instanceof String) || !(names.get(1) instanceof String)) {
                    throw damaged("names a class by what is no text");
                }
                push(named((String) names.get(0), (String) names.get(1)));
            }
            case 'R', 0x81 -> {
                List<Object> call = popLast(2);
                call(call.get(0), call.get(1));
            }
            case 0x92 -> {
                List<Object> call = popLast(3);
                call(call.get(0), call.get(1));
            }
            case 'i' -> {
                PickledObject type = named(asciiLine(), asciiLine());
                call(type, tuple(popSinceMark()));
            }
            case 'o' -> {
                List<Object> call = popSinceMark();
                if (call.isEmpty()) {
                    throw damaged("makes an object of no class");
                }
                call(call.get(0), tuple(call.subList(1, call.size())));
            }
            case 'b' -> {
                Object state = pop();
                push(calls.build(pop(), state));
            }
            case 'Q' -> push(calls.persistent(pop()));
            case 'P' -> throw damaged("names a storage by a text, as protocol 0 does; save it with another,");
            case 0x82, 0x83, 0x84 -> throw damaged("uses a registry of classes outside it");
            default -> {
                return false;
            }
        }
        return true;
    }

    private PickledObject named(String module, String name) throws CheckpointException {
        budget.take(4L * HeapBudget.OBJECT + 2L * (module.length() + name.length()));
        return PickledObject.named(module, name);
    }

    private void call(Object function, Object arguments) throws CheckpointException {
        if (!(function instanceof PickledObject) || !(arguments instanceof List<?>)) {
            throw damaged("calls what is no function");
        }
        push(calls.call((PickledObject) function, asList(arguments)));
    }
}
