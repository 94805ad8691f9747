package org.npp4j.llamagen.checkpoint;

import java.util.AbstractList;
import java.util.Arrays;
import java.util.List;
import java.util.RandomAccess;

/** A Python tuple: a list that cannot change. Equal to every list of the same items. */
public final class Tuple extends AbstractList<Object> implements RandomAccess {
    private final Object[] items;

    private Tuple(Object[] items) {
        this.items = items;
    }

    /**
     * Creates a tuple.
     *
     * @param items its items, which may be null
     * @return the tuple
     */
    public static Tuple of(Object... items) {
        return new Tuple(items.clone());
    }

    /**
     * Creates a tuple.
     *
     * @param items its items
     * @return the tuple
     */
    public static Tuple copyOf(List<?> items) {
        return new Tuple(Arrays.copyOf(items.toArray(), items.size(), Object[].class));
    }

    @Override
    public Object get(int index) {
        return items[index];
    }

    @Override
    public int size() {
        return items.length;
    }
}
