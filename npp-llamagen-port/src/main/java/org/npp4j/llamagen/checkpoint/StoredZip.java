package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.zip.CRC32;
import org.npp4j.llamagen.files.AtomicFile;

/**
 * Writes a zip file of stored entries in one pass, as torch.save does: the data of every entry starts at a multiple of
 * 64 bytes, and checksums follow the data. Entries and files of 4 GiB and more take the zip64 form.
 */
final class StoredZip {
    private static final int ALIGNMENT = 64;
    private static final int VERSION = 20;
    private static final int VERSION_ZIP64 = 45;
    /** Bit 3: the checksum follows the data. */
    private static final int FLAGS = 1 << 3;

    /** 1 January 1980: a file does not tell when it was written. */
    private static final int DATE = 1 << 5 | 1;

    private static final int PADDING_EXTRA = 0x4246;
    private static final int EXTRA_HEADER = 4;
    private static final int EXTRA64 = EXTRA_HEADER + 2 * Long.BYTES;

    private final Counted out;
    private final List<Written> entries = new ArrayList<>();

    private record Written(byte[] name, long size, int crc, long header) {}

    StoredZip(OutputStream out) {
        this.out = new Counted(out);
    }

    void entry(String name, byte[] data) throws IOException {
        entry(name, data.length, to -> to.write(data));
    }

    /**
     * Writes an entry.
     *
     * @param name its path
     * @param size how many bytes the data has
     * @param data writes exactly so many
     * @throws IOException if it cannot be written
     */
    void entry(String name, long size, AtomicFile.Content data) throws IOException {
        byte[] path = name.getBytes(StandardCharsets.UTF_8);
        long header = out.count;
        boolean is64 = size >= ZipDirectory.MAX_32;
        int fixed = ZipDirectory.LOCAL_SIZE + path.length + (is64 ? EXTRA64 : 0) + EXTRA_HEADER;
        int padding = (int) ((ALIGNMENT - (header + fixed) % ALIGNMENT) % ALIGNMENT);
        ByteBuffer local = allocate(fixed + padding);
        local.putInt(ZipDirectory.LOCAL_SIGNATURE);
        putCommon(local, is64, 0, size);
        local.putShort((short) path.length).putShort((short) (fixed + padding - ZipDirectory.LOCAL_SIZE - path.length));
        local.put(path);
        if (is64) {
            local.putShort((short) ZipDirectory.ZIP64_EXTRA).putShort((short) (2 * Long.BYTES));
            local.putLong(size).putLong(size);
        }
        local.putShort((short) PADDING_EXTRA).putShort((short) padding);
        out.write(local.array());

        long start = out.count;
        out.crc.reset();
        data.writeTo(out);
        if (out.count - start != size) {
            throw new IOException("Entry " + name + " was to have " + size + " bytes, but " + (out.count - start)
                    + " were written: the shape of the tensor does not agree with its numbers");
        }
        Written written = new Written(path, size, (int) out.crc.getValue(), header);
        entries.add(written);

        ByteBuffer descriptor = allocate(8 + (is64 ? 2 * Long.BYTES : 2 * Integer.BYTES));
        descriptor.putInt(ZipDirectory.DESCRIPTOR_SIGNATURE).putInt(written.crc);
        if (is64) {
            descriptor.putLong(size).putLong(size);
        } else {
            descriptor.putInt((int) size).putInt((int) size);
        }
        out.write(descriptor.array());
    }

    /** From the version that a reader needs to the sizes, in which local and central headers agree. */
    private static void putCommon(ByteBuffer target, boolean is64, int crc, long size) {
        target.putShort((short) (is64 ? VERSION_ZIP64 : VERSION)).putShort((short) FLAGS);
        target.putShort((short) 0).putShort((short) 0).putShort((short) DATE);
        int small = (int) Math.min(size, ZipDirectory.MAX_32);
        target.putInt(crc).putInt(small).putInt(small);
    }

    /** Writes the directory. Nothing may follow. */
    void finish() throws IOException {
        long start = out.count;
        for (Written entry : entries) {
            out.write(central(entry));
        }
        long size = out.count - start;
        long end64 = out.count;
        boolean is64 =
                entries.size() >= ZipDirectory.MAX_16 || size >= ZipDirectory.MAX_32 || start >= ZipDirectory.MAX_32;
        if (is64) {
            ByteBuffer end = allocate(ZipDirectory.END64_SIZE + ZipDirectory.LOCATOR64_SIZE);
            end.putInt(ZipDirectory.END64_SIGNATURE).putLong(ZipDirectory.END64_SIZE - 12);
            end.putShort((short) VERSION_ZIP64).putShort((short) VERSION_ZIP64);
            end.putInt(0).putInt(0).putLong(entries.size()).putLong(entries.size());
            end.putLong(size).putLong(start);
            end.putInt(ZipDirectory.LOCATOR64_SIGNATURE)
                    .putInt(0)
                    .putLong(end64)
                    .putInt(1);
            out.write(end.array());
        }
        int count = Math.min(entries.size(), ZipDirectory.MAX_16);
        ByteBuffer end = allocate(ZipDirectory.END_SIZE);
        end.putInt(ZipDirectory.END_SIGNATURE).putInt(0);
        end.putShort((short) count).putShort((short) count);
        end.putInt((int) Math.min(size, ZipDirectory.MAX_32)).putInt((int) Math.min(start, ZipDirectory.MAX_32));
        end.putShort((short) 0);
        out.write(end.array());
    }

    private static byte[] central(Written entry) {
        boolean isLong = entry.size >= ZipDirectory.MAX_32;
        boolean isFar = entry.header >= ZipDirectory.MAX_32;
        int fields = (isLong ? 2 * Long.BYTES : 0) + (isFar ? Long.BYTES : 0);
        int extra = fields == 0 ? 0 : EXTRA_HEADER + fields;
        ByteBuffer central = allocate(ZipDirectory.ENTRY_SIZE + entry.name.length + extra);
        central.putInt(ZipDirectory.ENTRY_SIGNATURE).putShort((short) VERSION_ZIP64);
        putCommon(central, fields > 0, entry.crc, entry.size);
        central.putShort((short) entry.name.length).putShort((short) extra);
        central.putShort((short) 0).putShort((short) 0).putShort((short) 0).putInt(0);
        central.putInt((int) Math.min(entry.header, ZipDirectory.MAX_32)).put(entry.name);
        if (extra > 0) {
            central.putShort((short) ZipDirectory.ZIP64_EXTRA).putShort((short) fields);
            if (isLong) {
                central.putLong(entry.size).putLong(entry.size);
            }
            if (isFar) {
                central.putLong(entry.header);
            }
        }
        return central.array();
    }

    private static ByteBuffer allocate(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    /** Counts and checks what goes through. */
    private static final class Counted extends OutputStream {
        private final OutputStream out;
        private final CRC32 crc = new CRC32();
        private long count;

        Counted(OutputStream out) {
            this.out = out;
        }

        @Override
        public void write(int value) throws IOException {
            write(new byte[] {(byte) value}, 0, 1);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            out.write(bytes, from, length);
            crc.update(bytes, from, length);
            count += length;
        }
    }
}
