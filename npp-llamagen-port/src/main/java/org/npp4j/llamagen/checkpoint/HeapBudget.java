package org.npp4j.llamagen.checkpoint;

import java.nio.file.Path;

/**
 * How much of the heap the description of one file's tensors may take: a quarter. A few bytes of a hostile file can
 * stand for many objects, so every object is counted before it is made.
 */
final class HeapBudget {
    /** Rough sizes in bytes, of the object itself and of its place in what holds it. */
    static final int OBJECT = 32;

    static final int SLOT = 16;
    static final int LIST = 120;
    static final int MAP = 240;
    static final int ENTRY = 80;
    static final int TENSOR = 300;

    private final Path file;
    private final long limit;
    private long left;

    HeapBudget(Path file) {
        this(file, Runtime.getRuntime().maxMemory() / 4);
    }

    HeapBudget(Path file, long limit) {
        this.file = file;
        this.limit = limit;
        this.left = limit;
    }

    void take(long bytes) throws CheckpointException {
        left -= bytes;
        if (left < 0) {
            throw new CheckpointException(
                    file,
                    "describes its tensors with more than " + limit / (1 << 20)
                            + " MiB of objects, a quarter of the Java heap. If you trust it, raise the heap with -Xmx");
        }
    }

    long limit() {
        return limit;
    }
}
