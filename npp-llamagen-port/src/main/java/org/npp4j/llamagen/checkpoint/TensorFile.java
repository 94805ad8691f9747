package org.npp4j.llamagen.checkpoint;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Collections;
import java.util.Locale;
import java.util.Map;

/**
 * A checkpoint file, open for reading. Recognises PyTorch's two forms and safetensors by what the file holds, not by its
 * name.
 */
public final class TensorFile implements AutoCloseable {
    private static final BigInteger LEGACY_MAGIC = new BigInteger("1950a86a20f9469cfc6c", 16);
    private static final int HEAD = 512;
    private static final int TAR_MARK = 257;
    private static final int PICKLE = 0x80;
    /** The magic number's pickle has 15 bytes, or some more in protocols other than 2. */
    private static final int MAGIC_PICKLE = 64;

    private final FileBytes file;
    private final CheckpointFormat format;
    private final Object root;
    private final Map<String, StoredTensor> tensors;
    private final Map<String, String> metadata;

    private TensorFile(
            FileBytes file,
            CheckpointFormat format,
            Object root,
            Map<String, StoredTensor> tensors,
            Map<String, String> metadata) {
        this.file = file;
        this.format = format;
        this.root = root;
        this.tensors = Collections.unmodifiableMap(tensors);
        this.metadata = Collections.unmodifiableMap(metadata);
    }

    /**
     * Opens a file and reads what describes its tensors, not the tensors.
     *
     * @param path the file
     * @return the file, to be closed
     * @throws CheckpointException if it is no checkpoint, is damaged, or cannot be read
     */
    public static TensorFile open(Path path) throws CheckpointException {
        FileBytes file = FileBytes.open(path);
        try {
            return read(file, new HeapBudget(path));
        } catch (CheckpointException | RuntimeException | Error e) {
            file.close();
            throw e;
        }
    }

    private static TensorFile read(FileBytes file, HeapBudget budget) throws CheckpointException {
        CheckpointFormat format = recognise(file, budget);
        if (format == CheckpointFormat.SAFETENSORS) {
            SafetensorsReader reader = new SafetensorsReader(file, budget);
            reader.read();
            reader.tensors().forEach((name, tensor) -> tensor.nameOnce(name));
            return new TensorFile(file, format, reader.tensors(), reader.tensors(), reader.metadata());
        }
        PyTorchReader reader = new PyTorchReader(file, budget);
        Object root = format == CheckpointFormat.PYTORCH_ZIP ? reader.readZip() : reader.readLegacy();
        return new TensorFile(file, format, root, TensorNames.of(file, budget, root), Map.of());
    }

    private static CheckpointFormat recognise(FileBytes file, HeapBudget budget) throws CheckpointException {
        int length = (int) Math.min(HEAD, file.size());
        if (length == 0) {
            throw new CheckpointException(file.path(), "is empty. Get the file again");
        }
        ByteBuffer head = file.read(0, length);
        String start = new String(head.array(), 0, length, StandardCharsets.ISO_8859_1);
        if (start.startsWith("PK\u0003\u0004") || start.startsWith("PK\u0005\u0006")) {
            return CheckpointFormat.PYTORCH_ZIP;
        }
        if (length > Long.BYTES && start.charAt(Long.BYTES) == '{' && head.getLong(0) >>> 32 == 0) {
            return CheckpointFormat.SAFETENSORS;
        }
        String other = otherKind(start);
        if (other != null) {
            throw new CheckpointException(file.path(), other);
        }
        if (isLegacy(file, budget, head)) {
            return CheckpointFormat.PYTORCH_LEGACY;
        }
        StringBuilder bytes = new StringBuilder();
        for (int i = 0; i < Math.min(8, length); i++) {
            bytes.append(String.format(" %02x", head.get(i)));
        }
        throw new CheckpointException(
                file.path(),
                "is no file of PyTorch or safetensors: it starts with the bytes" + bytes
                        + ". Check that it is the right file");
    }

    private static String otherKind(String start) {
        String text = start.stripLeading().toLowerCase(Locale.ROOT);
        if (text.startsWith("<")) {
            return "is a web page, not a checkpoint: the page was saved, not the file that it links to. Download the file"
                    + " itself";
        }
        if (text.startsWith("version https://git-lfs")) {
            return "is a Git LFS pointer, not the file that it points to. Fetch that with: git lfs pull";
        }
        if (text.startsWith("{")) {
            return "is a text in JSON, not a checkpoint. Check that it is the right file";
        }
        if (start.startsWith("ustar", TAR_MARK)) {
            return "is a tar file, the form of the first releases of PyTorch, which is not read here. Load it with"
                    + " PyTorch and save it again (torch.save)";
        }
        if (start.startsWith("\u001f\u008b")) {
            return "is compressed with gzip. Unpack it first: gunzip";
        }
        if (start.startsWith("\u0093NUMPY")) {
            return "is a NumPy array (.npy), not a file of PyTorch or safetensors";
        }
        if (start.startsWith("\u0089HDF")) {
            return "is an HDF5 file, not a file of PyTorch or safetensors";
        }
        if (start.startsWith("GGUF")) {
            return "is a GGUF file, not a file of PyTorch or safetensors";
        }
        return null;
    }

    /** Whether the first pickle is the magic number. A pickle that is not gets an error of its own. */
    private static boolean isLegacy(FileBytes file, HeapBudget budget, ByteBuffer head) throws CheckpointException {
        boolean isPickle = (head.get(0) & 0xff) == PICKLE && head.limit() > 1 && head.get(1) >= 0 && head.get(1) <= 5;
        try {
            PickleInput in = new PickleInput(file, 0, Math.min(MAGIC_PICKLE, file.size()));
            Object first = new Unpickler(file, in, budget, new PickledCalls(file, budget, null)).read();
            if (LEGACY_MAGIC.equals(first)) {
                return true;
            }
        } catch (CheckpointException e) {
            if (!isPickle) {
                return false;
            }
        }
        throw new CheckpointException(
                file.path(),
                "is a pickle that torch.save did not write, or a damaged file. Get the file again, or save it with"
                        + " torch.save");
    }

    /** {@return the file} */
    public Path path() {
        return file.path();
    }

    /** {@return its format} */
    public CheckpointFormat format() {
        return format;
    }

    /**
     * The object that the file holds, built of LinkedHashMap, List ({@link Tuple} for a tuple), Long, BigInteger, Double,
     * Boolean, String, byte[], null, {@link StoredTensor} and {@link PickledObject}; a map from names to tensors for
     * safetensors. Sets are lists. Lists and maps contain no cycles.
     *
     * @return the object
     */
    public Object root() {
        return root;
    }

    /**
     * All tensors in dictionaries and lists, at any depth, in the file's order.
     *
     * @return tensors by name: keys and list positions on the way to the tensor, joined by dots; unmodifiable
     */
    public Map<String, StoredTensor> tensors() {
        return tensors;
    }

    /** {@return the texts that a safetensors file holds beside its tensors, else an empty map; unmodifiable} */
    public Map<String, String> metadata() {
        return metadata;
    }

    /** Closes the file. Its tensors cannot be read afterwards. */
    @Override
    public void close() {
        file.close();
    }
}
