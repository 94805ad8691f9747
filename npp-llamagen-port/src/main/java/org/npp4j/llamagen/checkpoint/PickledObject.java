package org.npp4j.llamagen.checkpoint;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a pickle says about an object whose class is not known here: names and data, never code that ran. A class or
 * function that a pickle only names is one too, without arguments.
 *
 * <p>An {@code argparse.Namespace} has its attributes in {@link #state()}, a map.
 */
public final class PickledObject {
    private final String module;
    private final String name;
    private final List<Object> arguments;
    private final boolean isName;
    private List<Object> items = List.of();
    private Map<Object, Object> entries = Map.of();
    private Object state;

    private PickledObject(String module, String name, List<Object> arguments, boolean isName) {
        this.module = module;
        this.name = name;
        this.arguments = arguments;
        this.isName = isName;
    }

    /** A class or function that is only named. */
    static PickledObject named(String module, String name) {
        return new PickledObject(module, name, List.of(), true);
    }

    /** What a class or function would have returned. */
    PickledObject called(List<Object> with) {
        return new PickledObject(module, name, with, false);
    }

    void add(Object item) {
        if (items.isEmpty()) {
            items = new ArrayList<>();
        }
        items.add(item);
    }

    void put(Object key, Object value) {
        if (entries.isEmpty()) {
            entries = new LinkedHashMap<>();
        }
        entries.put(key, value);
    }

    void setState(Object newState) {
        state = newState;
    }

    boolean is(String ofModule, String called) {
        return module.equals(ofModule) && name.equals(called);
    }

    /** {@return whether it is a class or function that the pickle names, not something made by it} */
    public boolean isName() {
        return isName;
    }

    /** {@return the module of the class or function, such as argparse} */
    public String module() {
        return module;
    }

    /** {@return the name of the class or function, such as Namespace} */
    public String name() {
        return name;
    }

    /** {@return what it was called with} */
    public List<Object> arguments() {
        return Collections.unmodifiableList(arguments);
    }

    /** {@return its state, most often a map from attribute names to values; null if it has none} */
    public Object state() {
        return state;
    }

    /** {@return the items of an object that is also a list} */
    public List<Object> items() {
        return Collections.unmodifiableList(items);
    }

    /** {@return the entries of an object that is also a dictionary} */
    public Map<Object, Object> entries() {
        return Collections.unmodifiableMap(entries);
    }

    /** {@return module and name; the content may be large or contain the object itself} */
    @Override
    public String toString() {
        return module + "." + name;
    }
}
