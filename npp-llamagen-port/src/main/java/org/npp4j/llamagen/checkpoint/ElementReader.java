package org.npp4j.llamagen.checkpoint;

import java.nio.ByteBuffer;

/**
 * Reads the numbers of a view in row order. A view without gaps is read from the file block by block; any other is
 * gathered from the mapped file, so that the order in which it jumps about does not matter.
 */
final class ElementReader {
    private static final long SEGMENT = 1 << 30;

    private final FileBytes file;
    private final int bytes;
    /** Where the view starts in the file. */
    private final long start;
    /** Sizes and strides in elements, after neighbouring axes that form one run were joined; the last is innermost. */
    private final long[] sizes;

    private final long[] strides;
    private final int rank;
    private final ByteBuffer[] segments;
    private final long mappedBytes;

    private final long[] index;
    /** Element at which the innermost row starts, from the view's start. */
    private long row;
    /** Next position in the innermost row. */
    private long column;

    /**
     * Creates a reader at the first element.
     *
     * @param file where from
     * @param bytes of one element
     * @param start position of the view's first element in the file
     * @param shape of the view, without a 0
     * @param stride of each axis in elements, not negative; the view lies inside the file
     */
    ElementReader(FileBytes file, int bytes, long start, long[] shape, long[] stride) {
        this.file = file;
        this.bytes = bytes;
        this.start = start;
        this.sizes = new long[Math.max(1, shape.length)];
        this.strides = new long[sizes.length];
        this.rank = joinAxes(shape, stride);
        this.index = new long[rank];
        if (isContiguous()) {
            mappedBytes = 0;
            segments = null;
        } else {
            long last = 0;
            for (int i = 0; i < rank; i++) {
                last += (sizes[i] - 1) * strides[i];
            }
            mappedBytes = (last + 1) * bytes;
            segments = new ByteBuffer[Math.toIntExact((mappedBytes - 1) / SEGMENT + 1)];
        }
    }

    private int joinAxes(long[] shape, long[] stride) {
        int axes = 0;
        for (int i = 0; i < shape.length; i++) {
            if (shape[i] == 1) {
                continue;
            }
            if (axes > 0 && stride[i] != 0 && strides[axes - 1] == stride[i] * shape[i]) {
                sizes[axes - 1] *= shape[i];
                strides[axes - 1] = stride[i];
            } else {
                sizes[axes] = shape[i];
                strides[axes] = stride[i];
                axes++;
            }
        }
        if (axes == 0) {
            sizes[0] = 1;
            strides[0] = 1;
            axes = 1;
        }
        return axes;
    }

    private boolean isContiguous() {
        return rank == 1 && strides[0] == 1;
    }

    /** Fills the target with the next elements, of which there must be as many. */
    void read(ByteBuffer target) throws CheckpointException {
        if (isContiguous()) {
            long count = target.remaining() / bytes;
            file.read(start + column * bytes, target);
            column += count;
            return;
        }
        try {
            while (target.hasRemaining()) {
                long count = Math.min(target.remaining() / bytes, sizes[rank - 1] - column);
                gather(row + column * strides[rank - 1], strides[rank - 1], count, target);
                column += count;
                if (column == sizes[rank - 1]) {
                    nextRow();
                }
            }
        } catch (InternalError e) {
            throw file.changed(e);
        }
    }

    private void nextRow() {
        column = 0;
        for (int axis = rank - 2; axis >= 0; axis--) {
            row += strides[axis];
            if (++index[axis] < sizes[axis]) {
                return;
            }
            row -= strides[axis] * sizes[axis];
            index[axis] = 0;
        }
    }

    private void gather(long from, long stride, long count, ByteBuffer target) throws CheckpointException {
        if (stride == 1) {
            copy(from * bytes, count * bytes, target);
            return;
        }
        for (long i = 0; i < count; i++) {
            long at = (from + i * stride) * bytes;
            ByteBuffer segment = segment(at);
            int offset = (int) (at % SEGMENT);
            switch (bytes) {
                case 1 -> target.put(segment.get(offset));
                case 2 -> target.putShort(segment.getShort(offset));
                case 4 -> target.putInt(segment.getInt(offset));
                default -> target.putLong(segment.getLong(offset));
            }
        }
    }

    private void copy(long from, long count, ByteBuffer target) throws CheckpointException {
        long at = from;
        long left = count;
        while (left > 0) {
            ByteBuffer segment = segment(at);
            int offset = (int) (at % SEGMENT);
            int part = (int) Math.min(left, segment.limit() - offset);
            target.put(target.position(), segment, offset, part);
            target.position(target.position() + part);
            at += part;
            left -= part;
        }
    }

    private ByteBuffer segment(long at) throws CheckpointException {
        int number = (int) (at / SEGMENT);
        ByteBuffer segment = segments[number];
        if (segment == null) {
            long from = number * SEGMENT;
            segment = file.map(start + from, Math.min(SEGMENT, mappedBytes - from));
            segments[number] = segment;
        }
        return segment;
    }
}
