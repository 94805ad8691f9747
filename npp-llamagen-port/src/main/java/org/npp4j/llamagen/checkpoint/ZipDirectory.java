package org.npp4j.llamagen.checkpoint;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The entries of a zip file and where their data lies, which java.util.zip does not tell. Only entries that are stored
 * without compression have data; PyTorch writes no others.
 */
final class ZipDirectory {
    static final int LOCAL_SIGNATURE = 0x04034b50;
    static final int ENTRY_SIGNATURE = 0x02014b50;
    static final int END_SIGNATURE = 0x06054b50;
    static final int END64_SIGNATURE = 0x06064b50;
    static final int LOCATOR64_SIGNATURE = 0x07064b50;
    static final int DESCRIPTOR_SIGNATURE = 0x08074b50;
    static final int ZIP64_EXTRA = 1;
    static final int LOCAL_SIZE = 30;
    static final int ENTRY_SIZE = 46;
    static final int END_SIZE = 22;
    static final int END64_SIZE = 56;
    static final int LOCATOR64_SIZE = 20;
    static final long MAX_32 = 0xffffffffL;
    static final int MAX_16 = 0xffff;

    private static final int ENCRYPTED = 1;

    private final FileBytes file;
    private final Map<String, Entry> entries = new LinkedHashMap<>();
    private long directoryStart;
    private long directorySize;

    /**
     * An entry.
     *
     * @param name its path in the zip file
     * @param size of its data
     * @param isStored whether the data is there as it is
     * @param header position of its local header
     */
    record Entry(String name, long size, boolean isStored, long header) {}

    ZipDirectory(FileBytes file, HeapBudget budget) throws CheckpointException {
        this.file = file;
        findDirectory();
        readDirectory(budget);
    }

    /** {@return the entries by name, in the directory's order} */
    Map<String, Entry> entries() {
        return entries;
    }

    /** Finds the end record: the last one after which its comment fills the file. */
    private void findDirectory() throws CheckpointException {
        int tail = (int) Math.min(file.size(), END_SIZE + MAX_16);
        ByteBuffer bytes = file.read(file.size() - tail, tail);
        for (int at = tail - END_SIZE; at >= 0; at--) {
            if (bytes.getInt(at) == END_SIGNATURE && at + END_SIZE + uint16(bytes, at + 20) == tail) {
                readEnd(bytes, at, file.size() - tail + at);
                return;
            }
        }
        throw new CheckpointException(
                file.path(), "is truncated: the directory at the end of a zip file is missing. Get the file again");
    }

    private void readEnd(ByteBuffer bytes, int at, long end) throws CheckpointException {
        directorySize = bytes.getInt(at + 12) & MAX_32;
        directoryStart = bytes.getInt(at + 16) & MAX_32;
        long limit = end;
        boolean is64 = uint16(bytes, at + 10) == MAX_16 || directorySize == MAX_32 || directoryStart == MAX_32;
        long locator = end - LOCATOR64_SIZE;
        if (is64 && locator >= 0) {
            ByteBuffer located = file.read(locator, LOCATOR64_SIZE);
            if (located.getInt(0) == LOCATOR64_SIGNATURE) {
                limit = located.getLong(8);
                if (limit < 0 || limit > locator - END64_SIZE) {
                    throw file.damaged("its zip64 directory is said to end at byte " + limit);
                }
                ByteBuffer end64 = file.read(limit, END64_SIZE);
                if (end64.getInt(0) != END64_SIGNATURE) {
                    throw file.damaged("the end of its zip64 directory is missing");
                }
                directorySize = end64.getLong(40);
                directoryStart = end64.getLong(48);
            }
        }
        if (directoryStart < 0 || directorySize < 0 || directoryStart > limit - directorySize) {
            throw file.damaged("its zip directory is said to lie at byte " + directoryStart + " and to have "
                    + directorySize + " bytes, the file has " + file.size());
        }
    }

    private void readDirectory(HeapBudget budget) throws CheckpointException {
        long at = directoryStart;
        long end = directoryStart + directorySize;
        while (at < end) {
            if (end - at < ENTRY_SIZE) {
                throw file.damaged("its zip directory ends inside an entry");
            }
            ByteBuffer fixed = file.read(at, ENTRY_SIZE);
            if (fixed.getInt(0) != ENTRY_SIGNATURE) {
                throw file.damaged("its zip directory has no entry at byte " + at);
            }
            int nameLength = uint16(fixed, 28);
            int extraLength = uint16(fixed, 30);
            long next = at + ENTRY_SIZE + nameLength + extraLength + uint16(fixed, 32);
            if (next > end) {
                throw file.damaged("its zip directory ends inside an entry");
            }
            budget.take(4L * HeapBudget.OBJECT + HeapBudget.ENTRY + 2L * nameLength);
            ByteBuffer rest = file.read(at + ENTRY_SIZE, nameLength + extraLength);
            String name = new String(rest.array(), 0, nameLength, StandardCharsets.UTF_8);
            if (entries.put(name, entry(name, fixed, rest.position(nameLength))) != null) {
                throw file.damaged("its zip directory has two entries " + name);
            }
            at = next;
        }
    }

    private Entry entry(String name, ByteBuffer fixed, ByteBuffer extra) throws CheckpointException {
        boolean isStored = uint16(fixed, 10) == 0 && (uint16(fixed, 8) & ENCRYPTED) == 0;
        long packed = fixed.getInt(20) & MAX_32;
        long size = fixed.getInt(24) & MAX_32;
        long header = fixed.getInt(42) & MAX_32;
        while (extra.remaining() >= 4) {
            int id = extra.getShort() & MAX_16;
            int length = extra.getShort() & MAX_16;
            if (length > extra.remaining()) {
                break;
            }
            ByteBuffer field = extra.slice(extra.position(), length).order(ByteOrder.LITTLE_ENDIAN);
            extra.position(extra.position() + length);
            if (id == ZIP64_EXTRA) {
                size = size == MAX_32 && field.remaining() >= 8 ? field.getLong() : size;
                packed = packed == MAX_32 && field.remaining() >= 8 ? field.getLong() : packed;
                header = header == MAX_32 && field.remaining() >= 8 ? field.getLong() : header;
            }
        }
        if (size < 0 || header < 0 || isStored && packed != size) {
            throw file.damaged("its zip entry " + name + " has the sizes " + packed + " and " + size
                    + " and the header at " + header);
        }
        return new Entry(name, size, isStored, header);
    }

    /** Where the data of an entry starts; all of it lies in the file. */
    long dataOf(Entry entry) throws CheckpointException {
        if (!entry.isStored()) {
            throw new CheckpointException(
                    file.path(),
                    "has the entry " + entry.name() + " compressed or encrypted, as torch.save never does. Unpack the"
                            + " file and pack it again without compression (unzip, then zip -0 -r)");
        }
        if (entry.header() > directoryStart - LOCAL_SIZE) {
            throw file.damaged("its zip entry " + entry.name() + " is said to start at byte " + entry.header());
        }
        ByteBuffer local = file.read(entry.header(), LOCAL_SIZE);
        if (local.getInt(0) != LOCAL_SIGNATURE) {
            throw file.damaged("its zip entry " + entry.name() + " is not at byte " + entry.header());
        }
        long data = entry.header() + LOCAL_SIZE + uint16(local, 26) + uint16(local, 28);
        if (data > directoryStart - entry.size()) {
            throw file.damaged("its zip entry " + entry.name() + " has " + entry.size() + " bytes from byte " + data
                    + " on, but the directory starts at " + directoryStart);
        }
        return data;
    }

    private static int uint16(ByteBuffer bytes, int at) {
        return bytes.getShort(at) & MAX_16;
    }
}
