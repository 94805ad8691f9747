package org.npp4j.layers.kernel.onednn;

import java.util.LinkedHashMap;
import java.util.Map;

/** Primitives by shape, which forgets the one that was not asked for longest. */
final class Recent<K, V> extends LinkedHashMap<K, V> {
    private static final long serialVersionUID = 1L;

    /** Shapes that are kept; a network and its stages have fewer. */
    private static final int SHAPES = 256;

    Recent() {
        super(16, 0.75f, true);
    }

    @Override
    protected boolean removeEldestEntry(Map.Entry<K, V> eldest) {
        return size() > SHAPES;
    }
}
