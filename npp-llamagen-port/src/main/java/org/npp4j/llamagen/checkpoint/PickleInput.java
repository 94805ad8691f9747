package org.npp4j.llamagen.checkpoint;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** The bytes of one or more pickles in a file, read from front to back. Never makes room for what the file has not. */
final class PickleInput {
    private static final int BUFFER = 1 << 14;

    private final FileBytes file;
    private final long end;
    private final ByteBuffer buffer = ByteBuffer.allocate(BUFFER).order(ByteOrder.LITTLE_ENDIAN);
    /** Position in the file of what comes after the buffer's content. */
    private long next;

    PickleInput(FileBytes file, long start, long size) {
        this.file = file;
        this.next = start;
        this.end = start + size;
        buffer.limit(0);
    }

    /** {@return the position in the file} */
    long position() {
        return next - buffer.remaining();
    }

    long remaining() {
        return end - position();
    }

    private CheckpointException truncated() {
        return new CheckpointException(
                file.path(),
                "is truncated: its pickle ends at byte " + end + " without an end mark. Get the file again");
    }

    /** Makes so many bytes, at most 8, come next in the buffer. */
    private void need(int count) throws CheckpointException {
        if (buffer.remaining() >= count) {
            return;
        }
        if (remaining() < count) {
            throw truncated();
        }
        buffer.compact();
        buffer.limit((int) Math.min(buffer.capacity(), buffer.position() + (end - next)));
        int added = buffer.remaining();
        file.read(next, buffer);
        next += added;
        buffer.flip();
    }

    int uint8() throws CheckpointException {
        need(1);
        return buffer.get() & 0xff;
    }

    int uint16() throws CheckpointException {
        need(2);
        return buffer.getShort() & 0xffff;
    }

    int int32() throws CheckpointException {
        need(4);
        return buffer.getInt();
    }

    long int64() throws CheckpointException {
        need(8);
        return buffer.getLong();
    }

    /** A double of a pickle: big endian, unlike all else. */
    double float64() throws CheckpointException {
        need(8);
        return Double.longBitsToDouble(Long.reverseBytes(buffer.getLong()));
    }

    byte[] bytes(long count, HeapBudget budget) throws CheckpointException {
        if (count < 0 || count > remaining()) {
            throw new CheckpointException(
                    file.path(),
                    "is damaged or truncated: its pickle announces " + Long.toUnsignedString(count) + " bytes, "
                            + remaining() + " are left. Get the file again");
        }
        if (count > Integer.MAX_VALUE - 16) {
            throw new CheckpointException(
                    file.path(), "has " + count + " bytes in one piece outside its tensors, more than Java can hold");
        }
        budget.take(HeapBudget.OBJECT + count);
        byte[] bytes = new byte[(int) count];
        int buffered = Math.min(bytes.length, buffer.remaining());
        buffer.get(bytes, 0, buffered);
        if (buffered < bytes.length) {
            file.read(next, ByteBuffer.wrap(bytes, buffered, bytes.length - buffered));
            next += bytes.length - buffered;
        }
        return bytes;
    }

    /** The bytes up to the next line feed, which is read but not returned. */
    byte[] line(HeapBudget budget) throws CheckpointException {
        ByteArrayOutputStream line = new ByteArrayOutputStream();
        while (true) {
            int next = uint8();
            if (next == '\n') {
                return line.toByteArray();
            }
            budget.take(4);
            line.write(next);
        }
    }
}
