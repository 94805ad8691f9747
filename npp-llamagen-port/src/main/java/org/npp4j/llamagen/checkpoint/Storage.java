package org.npp4j.llamagen.checkpoint;

/**
 * Numbers in a row in a file. A tensor is a view of one; several tensors can share it.
 *
 * <p>The legacy form names storages before it says where they lie, hence {@link #place}.
 */
final class Storage {
    private final ElementType element;
    private final long length;
    private FileBytes file;
    private long position = -1;

    /**
     * Creates a storage.
     *
     * @param element the type of its numbers
     * @param length how many
     */
    Storage(ElementType element, long length) {
        this.element = element;
        this.length = length;
    }

    /** Says where it lies. The caller has checked that the file holds that much. */
    void place(FileBytes bytes, long at) {
        file = bytes;
        position = at;
    }

    boolean isPlaced() {
        return file != null;
    }

    ElementType element() {
        return element;
    }

    long length() {
        return length;
    }

    FileBytes file() {
        return file;
    }

    long position() {
        return position;
    }
}
