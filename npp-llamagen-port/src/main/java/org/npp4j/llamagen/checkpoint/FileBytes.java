package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.FileChannel;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.atomic.AtomicReference;

/** The bytes of an open file, at any position. Little endian, as every format here. */
final class FileBytes implements AutoCloseable {
    /** Bytes that are read at once. */
    static final int BLOCK = 1 << 20;

    private final Path path;
    private final FileChannel channel;
    private final long size;
    private final AtomicReference<ByteBuffer> spareBlock = new AtomicReference<>();

    private FileBytes(Path path, FileChannel channel, long size) {
        this.path = path;
        this.channel = channel;
        this.size = size;
    }

    static FileBytes open(Path path) throws CheckpointException {
        if (Files.isDirectory(path)) {
            throw new CheckpointException(
                    path, "is a folder. Name the checkpoint file in it (.pt, .pth, .bin or .safetensors)");
        }
        try {
            FileChannel channel = FileChannel.open(path, StandardOpenOption.READ);
            try {
                return new FileBytes(path, channel, channel.size());
            } catch (IOException | RuntimeException e) {
                channel.close();
                throw e;
            }
        } catch (NoSuchFileException e) {
            throw new CheckpointException(path, "does not exist. Check the path", e);
        } catch (AccessDeniedException e) {
            throw new CheckpointException(path, "may not be read. Change its permissions", e);
        } catch (IOException e) {
            throw new CheckpointException(path, "cannot be opened: " + e.getMessage(), e);
        }
    }

    Path path() {
        return path;
    }

    long size() {
        return size;
    }

    CheckpointException damaged(String problem) {
        return new CheckpointException(path, "is damaged: " + problem + ". Get the file again");
    }

    /** Fills what remains of the target from this position on. */
    void read(long position, ByteBuffer target) throws CheckpointException {
        int wanted = target.remaining();
        if (position < 0 || position > size - wanted) {
            throw new CheckpointException(
                    path,
                    "is truncated: bytes " + position + " to " + (position + wanted) + " are needed, it has " + size
                            + ". Get the file again");
        }
        try {
            long at = position;
            while (target.hasRemaining()) {
                int count = channel.read(target, at);
                if (count < 0) {
                    throw changed(null);
                }
                at += count;
            }
        } catch (ClosedChannelException e) {
            throw new CheckpointException(path, "was closed before its tensors were read; keep it open", e);
        } catch (CheckpointException e) {
            throw e;
        } catch (IOException e) {
            throw new CheckpointException(path, "cannot be read: " + e.getMessage(), e);
        }
    }

    ByteBuffer read(long position, int count) throws CheckpointException {
        ByteBuffer bytes = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
        read(position, bytes);
        return bytes.flip();
    }

    ByteBuffer map(long position, long count) throws CheckpointException {
        try {
            MappedByteBuffer mapped = channel.map(FileChannel.MapMode.READ_ONLY, position, count);
            return mapped.order(ByteOrder.LITTLE_ENDIAN);
        } catch (ClosedChannelException e) {
            throw new CheckpointException(path, "was closed before its tensors were read; keep it open", e);
        } catch (IOException e) {
            throw new CheckpointException(path, "cannot be mapped into memory: " + e.getMessage(), e);
        }
    }

    CheckpointException changed(Throwable cause) {
        return new CheckpointException(path, "became shorter while it was read. Leave it alone meanwhile", cause);
    }

    /** A buffer of {@link #BLOCK} bytes outside the heap, to be given back. */
    ByteBuffer borrowBlock() {
        ByteBuffer block = spareBlock.getAndSet(null);
        return (block == null ? ByteBuffer.allocateDirect(BLOCK) : block)
                .clear()
                .order(ByteOrder.LITTLE_ENDIAN);
    }

    void giveBack(ByteBuffer block) {
        spareBlock.set(block);
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            // Nothing was written.
        }
    }
}
