package org.npp4j.llamagen.codes;

import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.zip.CRC32C;

/**
 * Codes of any number of images in one file, which is mapped into memory.
 *
 * <pre>
 * header  "NPPCODES"; int32 version, crops, N, bytes a code (2 or 4), V, checksum of these; int64 images I;   64 bytes
 *         24 bytes of 0
 * image i codes [crops, N], unsigned; int32 class; int32 checksum of what precedes it in the record           one record
 * </pre>
 *
 * <p>All numbers in little endian, checksums are CRC-32C. All records have the same size, so image i is found without an
 * index: at 64 + i (crops N bytes + 8). I is written after the records before it were forced to disk; whole records behind
 * those count too. So a kill at any moment loses nothing that was added, a power cut only what was not forced, and half a
 * record never counts.
 */
public final class PackedCodes implements CodeStore {
    /** Ending of the file. */
    static final String ENDING = ".codes";

    private static final byte[] MAGIC = {'N', 'P', 'P', 'C', 'O', 'D', 'E', 'S'};
    private static final int VERSION = 1;
    private static final int HEADER = 64;
    private static final int CHECKED = 28;
    private static final int COUNT_AT = 32;
    private static final int LABEL_AND_CHECKSUM = 2 * Integer.BYTES;
    private static final int MAX_UINT16 = (1 << 16) - 1;
    /** Bytes of one mapping; a ByteBuffer ends at 2 GiB. */
    private static final long MAPPED = 1L << 30;

    private final Path file;
    private final Layout layout;
    private final CodeSetDescription description;
    private final int images;
    private final int imagesPerMap;
    private final ByteBuffer[] maps;

    private PackedCodes(
            Path file, Layout layout, CodeSetDescription description, int images, int imagesPerMap, ByteBuffer[] maps) {
        this.file = file;
        this.layout = layout;
        this.description = description;
        this.images = images;
        this.imagesPerMap = imagesPerMap;
        this.maps = maps;
    }

    /** What the header says. */
    private record Layout(int crops, int tokens, int bytesPerCode, int vocabulary) {
        int record() {
            return crops * tokens * bytesPerCode + LABEL_AND_CHECKSUM;
        }

        long start(long image) {
            return HEADER + image * record();
        }

        ByteBuffer header() {
            ByteBuffer header = little(ByteBuffer.allocate(HEADER))
                    .put(MAGIC)
                    .putInt(VERSION)
                    .putInt(crops)
                    .putInt(tokens)
                    .putInt(bytesPerCode)
                    .putInt(vocabulary);
            return header.putInt(checksum(header, CHECKED)).rewind();
        }

        static Layout read(FileChannel channel, Path file) throws IOException {
            ByteBuffer header = little(ByteBuffer.allocate(HEADER));
            try {
                readFully(channel, header, 0);
            } catch (EOFException e) {
                throw failure(file, "it is too short for packed codes. Get it again, or extract the codes again");
            }
            byte[] magic = new byte[MAGIC.length];
            header.flip().get(magic);
            if (!Arrays.equals(magic, MAGIC)) {
                throw failure(file, "it holds no packed codes. npp extract-codes --packed makes them");
            }
            int version = header.getInt();
            Layout layout = new Layout(header.getInt(), header.getInt(), header.getInt(), header.getInt());
            if (version != VERSION) {
                throw failure(
                        file, "it is of version " + version + ", but " + VERSION + " can be read. Extract it again");
            }
            if (header.getInt() != checksum(header, CHECKED)
                    || layout.crops < 1
                    || layout.tokens < 1
                    || layout.vocabulary < 1
                    || (layout.bytesPerCode != Short.BYTES && layout.bytesPerCode != Integer.BYTES)
                    || (long) layout.crops * layout.tokens > Integer.MAX_VALUE / 8) {
                throw failure(file, "its header is damaged (" + layout + "). Get it again, or extract the codes again");
            }
            return layout;
        }

        /** How many images are whole. */
        long count(FileChannel channel, Path file) throws IOException {
            ByteBuffer stored = little(ByteBuffer.allocate(Long.BYTES));
            readFully(channel, stored, COUNT_AT);
            long images = stored.getLong(0);
            long fit = (channel.size() - HEADER) / record();
            if (images < 0 || images > fit) {
                throw failure(
                        file,
                        "it should hold " + images + " images, but has bytes for " + fit
                                + " of them: it was cut off. Get it again, or extract the codes again");
            }
            ByteBuffer record = little(ByteBuffer.allocate(record()));
            while (images < fit) {
                readFully(channel, record.clear(), start(images));
                if (!whole(record.flip())) {
                    break;
                }
                images++;
            }
            return images;
        }
    }

    /**
     * Opens a file.
     *
     * @param file a packed file
     * @return its codes
     * @throws NoSuchFileException if there is none
     * @throws FileSystemException if it holds something else, is cut off, or holds no image; its reason says which
     * @throws IOException if it cannot be read
     */
    public static PackedCodes open(Path file) throws IOException {
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            Layout layout = Layout.read(channel, file);
            long images = layout.count(channel, file);
            if (images < 1 || images > Integer.MAX_VALUE) {
                throw failure(file, "it holds " + images + " images; 1 to " + Integer.MAX_VALUE + " can be used");
            }
            String name = file.getFileName().toString();
            CodeSetDescription description = CodeSetDescription.find(
                            file.toAbsolutePath().getParent())
                    .filter(found -> found.packed() && name.equals(found.name() + ENDING))
                    .orElse(null);
            if (description != null && description.complete() && description.images() != images) {
                throw failure(
                        file,
                        "it holds " + images + " images, but " + CodeSetDescription.FILE + " says "
                                + description.images() + ". Get both again, or extract the codes again");
            }
            int perMap = (int) Math.max(1, MAPPED / layout.record());
            ByteBuffer[] maps = new ByteBuffer[(int) ((images + perMap - 1) / perMap)];
            for (int i = 0; i < maps.length; i++) {
                long first = (long) i * perMap;
                long bytes = Math.min(perMap, images - first) * layout.record();
                maps[i] = channel.map(FileChannel.MapMode.READ_ONLY, layout.start(first), bytes);
            }
            return new PackedCodes(file, layout, description, (int) images, perMap, maps);
        }
    }

    @Override
    public Path path() {
        return file;
    }

    @Override
    public int images() {
        return images;
    }

    @Override
    public int crops() {
        return layout.crops();
    }

    @Override
    public int tokens() {
        return layout.tokens();
    }

    @Override
    public int[] codes(int image, int crop) throws IOException {
        Objects.checkIndex(crop, layout.crops());
        ByteBuffer record = record(image);
        int[] ids = new int[layout.tokens()];
        int from = crop * layout.tokens() * layout.bytesPerCode();
        for (int i = 0; i < ids.length; i++) {
            ids[i] = layout.bytesPerCode() == Short.BYTES
                    ? Short.toUnsignedInt(record.getShort(from + i * Short.BYTES))
                    : record.getInt(from + i * Integer.BYTES);
        }
        return ids;
    }

    @Override
    public int label(int image) throws IOException {
        return record(image).getInt(layout.record() - LABEL_AND_CHECKSUM);
    }

    /** The record of an image, which is whole. */
    private ByteBuffer record(int image) throws IOException {
        Objects.checkIndex(image, images);
        int at = image % imagesPerMap * layout.record();
        ByteBuffer record = little(maps[image / imagesPerMap].slice(at, layout.record()));
        if (!whole(record)) {
            throw failure(
                    file,
                    "image " + image
                            + " is damaged: its checksum is wrong. Get the file again, or extract the codes again");
        }
        return record;
    }

    private static boolean whole(ByteBuffer record) {
        int end = record.limit() - Integer.BYTES;
        return checksum(record, end) == record.getInt(end);
    }

    private static int checksum(ByteBuffer buffer, int end) {
        CRC32C checksum = new CRC32C();
        checksum.update(buffer.slice(0, end));
        return (int) checksum.getValue();
    }

    @Override
    public String place(int image) {
        return "image " + image + " of " + file;
    }

    @Override
    public Optional<CodeSetDescription> description() {
        return Optional.ofNullable(description);
    }

    @Override
    public OptionalInt vocabulary() {
        return OptionalInt.of(layout.vocabulary());
    }

    /** The mappings go when nothing refers to the codes any more; Java cannot undo them before. */
    @Override
    public void close() {
        // nothing else is open
    }

    /** Writes the file. */
    static final class Writer implements CodeWriter {
        private final FileChannel channel;
        private final Path file;
        private final Layout layout;
        private int images;

        private Writer(FileChannel channel, Path file, Layout layout, int images) {
            this.channel = channel;
            this.file = file;
            this.layout = layout;
            this.images = images;
        }

        /**
         * Makes a file, or goes on behind the whole images of one and cuts off the rest.
         *
         * @param file the file
         * @param crops of each image
         * @param tokens N
         * @param vocabulary V, decides the bytes of a code
         */
        static Writer open(Path file, int crops, int tokens, int vocabulary) throws IOException {
            Layout layout =
                    new Layout(crops, tokens, vocabulary - 1 <= MAX_UINT16 ? Short.BYTES : Integer.BYTES, vocabulary);
            if ((long) crops * tokens > Integer.MAX_VALUE / 8) {
                throw failure(file, crops + " crops of " + tokens + " tokens are too many for one record");
            }
            FileChannel channel = FileChannel.open(
                    file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
            try {
                if (channel.size() < HEADER) {
                    // it was killed before the header was whole
                    channel.truncate(0);
                    writeFully(channel, layout.header(), 0);
                } else if (!Layout.read(channel, file).equals(layout)) {
                    throw failure(file, "it holds codes of another shape. Choose another folder");
                }
                int images = (int) layout.count(channel, file);
                channel.truncate(layout.start(images));
                return new Writer(channel, file, layout, images);
            } catch (IOException | RuntimeException e) {
                channel.close();
                throw e;
            }
        }

        @Override
        public int images() {
            return images;
        }

        @Override
        public void add(int[][] codesOfCrops, int label) throws IOException {
            ByteBuffer record = little(ByteBuffer.allocate(layout.record()));
            for (int[] crop : codesOfCrops) {
                for (int id : crop) {
                    if (layout.bytesPerCode() == Short.BYTES) {
                        record.putShort((short) id);
                    } else {
                        record.putInt(id);
                    }
                }
            }
            record.putInt(label);
            record.putInt(checksum(record, record.position())).flip();
            try {
                writeFully(channel, record, layout.start(images));
            } catch (IOException e) {
                throw failed(e);
            }
            images++;
        }

        /** The count comes after what it counts is on disk. */
        @Override
        public void force() throws IOException {
            try {
                channel.force(false);
                writeFully(
                        channel,
                        little(ByteBuffer.allocate(Long.BYTES)).putLong(images).flip(),
                        COUNT_AT);
                channel.force(false);
            } catch (IOException e) {
                throw failed(e);
            }
        }

        /** The reasons of channels do not name the file. */
        private FileSystemException failed(IOException cause) {
            FileSystemException failure = failure(file, cause.getMessage());
            failure.initCause(cause);
            return failure;
        }

        @Override
        public void close() throws IOException {
            try (channel) {
                force();
            }
        }
    }

    private static ByteBuffer little(ByteBuffer buffer) {
        return buffer.order(ByteOrder.LITTLE_ENDIAN);
    }

    private static void readFully(FileChannel channel, ByteBuffer buffer, long position) throws IOException {
        long at = position;
        while (buffer.hasRemaining()) {
            int read = channel.read(buffer, at);
            if (read < 0) {
                throw new EOFException();
            }
            at += read;
        }
    }

    private static void writeFully(FileChannel channel, ByteBuffer buffer, long position) throws IOException {
        long at = position;
        while (buffer.hasRemaining()) {
            at += channel.write(buffer, at);
        }
    }

    private static FileSystemException failure(Path file, String reason) {
        return new FileSystemException(file.toString(), null, reason);
    }
}
