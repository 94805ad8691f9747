package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.npp4j.llamagen.files.AtomicFile;

/** Writes files as torch.save does, which {@code torch.load(weights_only=True)} reads. */
public final class PyTorchWriter {
    private static final String FOLDER = "archive/";

    private PyTorchWriter() {}

    /**
     * Writes an object, or replaces the file that holds one. Tensors are streamed, each into a storage of its own; the
     * same {@link TensorSource} in two places is written once.
     *
     * @param path the file
     * @param root the object, built of Map, List (a {@link Tuple} becomes a tuple), Long, Integer, BigInteger, Double,
     *     Float, Boolean, String, byte[], null and {@link TensorSource}
     * @throws IllegalArgumentException if it contains anything else, or itself
     * @throws IllegalStateException if it contains a {@link StoredTensor} that cannot be read
     * @throws IOException if it cannot be written; the old file is then as it was
     */
    public static void write(Path path, Object root) throws IOException {
        Map<TensorSource, Integer> storages = new IdentityHashMap<>();
        byte[] pickle = new Pickler(storages).pickle(root);
        List<TensorSource> inOrder = new ArrayList<>(storages.keySet());
        inOrder.sort((a, b) -> Integer.compare(storages.get(a), storages.get(b)));
        AtomicFile.write(path, out -> {
            StoredZip zip = new StoredZip(out);
            zip.entry(FOLDER + "data.pkl", pickle);
            zip.entry(FOLDER + "byteorder", "little".getBytes(StandardCharsets.US_ASCII));
            for (int i = 0; i < inOrder.size(); i++) {
                TensorSource tensor = inOrder.get(i);
                long bytes = Math.multiplyExact(
                        Pickler.elementsOf(tensor.shape()), (long) tensor.type().bytes());
                zip.entry(FOLDER + "data/" + i, bytes, tensor::writeTo);
            }
            zip.entry(FOLDER + "version", "3\n".getBytes(StandardCharsets.US_ASCII));
            zip.finish();
        });
    }
}
