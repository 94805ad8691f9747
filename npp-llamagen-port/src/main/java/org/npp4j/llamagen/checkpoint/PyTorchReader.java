package org.npp4j.llamagen.checkpoint;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.npp4j.llamagen.checkpoint.PickledCalls.StorageView;

/** Reads the object of a PyTorch file, in which tensors are views of storages that stay in the file. */
final class PyTorchReader {
    private static final String PICKLE = "data.pkl";
    private static final int LEGACY_PROTOCOL = 1001;
    private static final String OTHER_BYTE_ORDER =
            "was written on a big-endian machine, which is not read here. Load it with PyTorch and save it again on a"
                    + " little-endian one";

    private final FileBytes file;
    private final HeapBudget budget;
    private final Map<String, Storage> storages = new HashMap<>();

    PyTorchReader(FileBytes file, HeapBudget budget) {
        this.file = file;
        this.budget = budget;
    }

    // The zip form: PREFIX/data.pkl, PREFIX/byteorder, PREFIX/data/KEY for every storage.

    Object readZip() throws CheckpointException {
        ZipDirectory zip = new ZipDirectory(file, budget);
        ZipDirectory.Entry pickle = pickleOf(zip);
        String prefix = pickle.name().substring(0, pickle.name().length() - PICKLE.length());
        requireLittleEndian(zip, prefix);
        PickleInput in = new PickleInput(file, zip.dataOf(pickle), pickle.size());
        PickledCalls.StorageFinder finder =
                (element, key, length, view) -> zipStorage(zip, prefix + "data/" + key, element, length);
        return new Unpickler(file, in, budget, new PickledCalls(file, budget, finder)).read();
    }

    private ZipDirectory.Entry pickleOf(ZipDirectory zip) throws CheckpointException {
        Set<String> names = zip.entries().keySet();
        if (names.stream().anyMatch(name -> name.endsWith("/constants.pkl") || name.equals("constants.pkl"))) {
            throw new CheckpointException(
                    file.path(),
                    "is a TorchScript program (torch.jit.save), not a checkpoint. Save the weights instead:"
                            + " torch.save(model.state_dict(), FILE)");
        }
        for (ZipDirectory.Entry entry : zip.entries().values()) {
            String name = entry.name();
            if (name.equals(PICKLE) || name.endsWith("/" + PICKLE) && name.indexOf('/') == name.lastIndexOf('/')) {
                return entry;
            }
        }
        if (names.contains("coefficients.bin")) {
            throw new CheckpointException(
                    file.path(),
                    "is a network of Deeplearning4j (a zip file with coefficients.bin), not a file of PyTorch or"
                            + " safetensors. Load it with ModelSerializer, or turn it into one with ./npp convert");
        }
        if (!names.isEmpty() && names.stream().allMatch(name -> name.endsWith(".npy"))) {
            throw new CheckpointException(
                    file.path(), "is a NumPy archive (.npz), not a file of PyTorch or safetensors");
        }
        throw new CheckpointException(
                file.path(),
                "is a zip file without data.pkl: torch.save did not write it. Check that it is the right file");
    }

    private void requireLittleEndian(ZipDirectory zip, String prefix) throws CheckpointException {
        ZipDirectory.Entry entry = zip.entries().get(prefix + "byteorder");
        if (entry == null) {
            return;
        }
        int length = (int) Math.min(entry.size(), 16);
        String order = new String(file.read(zip.dataOf(entry), length).array(), StandardCharsets.ISO_8859_1).strip();
        if (order.equals("big")) {
            throw new CheckpointException(file.path(), OTHER_BYTE_ORDER);
        }
        if (!order.equals("little")) {
            throw file.damaged("its byte order is '" + order + "', neither little nor big");
        }
    }

    private StorageView zipStorage(ZipDirectory zip, String name, ElementType element, long length)
            throws CheckpointException {
        ZipDirectory.Entry entry = zip.entries().get(name);
        if (entry == null) {
            throw file.damaged("its pickle refers to " + name + ", which the zip file has not");
        }
        if (element.bytes() > 0 && length > entry.size() / element.bytes()) {
            throw file.damaged("its entry " + name + " has " + entry.size() + " bytes, too few for " + length
                    + " numbers of type " + element.label());
        }
        Storage storage = storages.get(name);
        if (storage == null || storage.element() != element || storage.length() != length) {
            storage = new Storage(element, length);
            storage.place(file, zip.dataOf(entry));
            storages.put(name, storage);
        }
        return new StorageView(storage, element, 0);
    }

    // The legacy form: magic number, protocol, system information, the object, the storages' keys; then for every
    // storage the number of its elements and the elements.

    Object readLegacy() throws CheckpointException {
        PickleInput in = new PickleInput(file, 0, file.size());
        PickledCalls plain = new PickledCalls(file, budget, null);
        new Unpickler(file, in, budget, plain).read();
        Object protocol = new Unpickler(file, in, budget, plain).read();
        if (!Long.valueOf(LEGACY_PROTOCOL).equals(protocol)) {
            throw file.damaged("its protocol is not " + LEGACY_PROTOCOL);
        }
        Object system = new Unpickler(file, in, budget, plain).read();
        if (system instanceof Map<?, ?> && Boolean.FALSE.equals(((Map<?, ?>) system).get("little_endian"))) {
            throw new CheckpointException(file.path(), OTHER_BYTE_ORDER);
        }
        Object root = new Unpickler(file, in, budget, new PickledCalls(file, budget, this::legacyStorage)).read();
        Object keys = new Unpickler(file, in, budget, plain).read();
        if (!(keys instanceof List<?>)) {
            throw file.damaged("it has no list of storages");
        }
        placeStorages((List<?>) keys, in.position());
        return root;
    }

    private StorageView legacyStorage(ElementType element, String key, long length, Object view)
            throws CheckpointException {
        Storage storage = storages.get(key);
        if (storage == null) {
            if (element.bytes() == 0) {
                throw new CheckpointException(
                        file.path(),
                        "has numbers of the unknown type " + element.label()
                                + ", so that it is not known where the next begin. Load it with PyTorch and save it in"
                                + " the present form (torch.save)");
            }
            if (length > file.size() / element.bytes()) {
                throw new CheckpointException(
                        file.path(),
                        "is truncated: storage " + key + " has " + length + " numbers of type " + element.label()
                                + ", the file " + file.size() + " bytes. Get the file again");
            }
            storage = new Storage(element, length);
            storages.put(key, storage);
        } else if (storage.length() != length) {
            throw file.damaged("storage " + key + " is said to have " + storage.length() + " numbers and " + length);
        }
        long offset = 0;
        if (view != null) {
            if (!(view instanceof List<?>)
                    || ((List<?>) view).size() < 3
                    || !(((List<?>) view).get(1) instanceof Long)) {
                throw file.damaged("storage " + key + " has an unknown kind of view");
            }
            offset = (Long) ((List<?>) view).get(1);
            if (offset < 0 || offset > length) {
                throw file.damaged("storage " + key + " of " + length + " numbers has a view from " + offset + " on");
            }
        }
        return new StorageView(storage, element, offset);
    }

    private void placeStorages(List<?> keys, long start) throws CheckpointException {
        long at = start;
        Set<Object> placed = new HashSet<>();
        for (Object key : keys) {
            Storage storage = key instanceof String ? storages.get(key) : null;
            if (storage == null || !placed.add(key)) {
                throw file.damaged("its list of storages has one that no tensor has, or one twice");
            }
            ByteBuffer length = file.read(at, Long.BYTES);
            if (length.getLong(0) != storage.length()) {
                throw file.damaged("storage " + key + " has " + length.getLong(0) + " numbers, not the announced "
                        + storage.length());
            }
            at += Long.BYTES;
            long bytes = storage.length() * storage.element().bytes();
            if (bytes > file.size() - at) {
                throw new CheckpointException(
                        file.path(),
                        "is truncated: storage " + key + " needs " + bytes + " bytes from byte " + at
                                + " on, the file has " + file.size() + ". Get the file again");
            }
            storage.place(file, at);
            at += bytes;
        }
    }
}
