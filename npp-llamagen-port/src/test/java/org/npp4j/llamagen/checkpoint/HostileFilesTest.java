package org.npp4j.llamagen.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Damaged and malicious files: an error that names the file, never another exception, a hang or a full heap. */
class HostileFilesTest {
    @TempDir
    private Path folder;

    // Damage

    @ParameterizedTest
    @ValueSource(
            strings = {"nested.pt", "nested-legacy.pt", "views-legacy.pt", "bare.pt", "types.safetensors", "plain.pkl"})
    void truncatedAtEveryByte(String name) throws Exception {
        Path file = write(Files.readAllBytes(GoldenCheckpoints.path(name)));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            for (long length = channel.size() - 1; length >= 0; length--) {
                channel.truncate(length);
                CheckpointException e = assertThrows(CheckpointException.class, () -> readAll(file), "at " + length);
                assertTrue(e.getMessage().startsWith(file.toString()), e::getMessage);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bare.pt", "types.safetensors", "nested-legacy-protocol4.pt"})
    void everyByteChanged(String name) throws Exception {
        byte[] bytes = Files.readAllBytes(GoldenCheckpoints.path(name));
        Path file = write(bytes);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            for (int at = 0; at < bytes.length; at++) {
                for (int wrong : new int[] {bytes[at] ^ 1, bytes[at] ^ 0x80, 0xff, '('}) {
                    put(channel, at, wrong);
                    readsOrIsRefused(file);
                }
                put(channel, at, bytes[at]);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"nested.pt", "nested-protocol1.pt", "views.pt", "views-legacy.pt", "types-legacy.pt"})
    void randomBytesChanged(String name) throws Exception {
        byte[] bytes = Files.readAllBytes(GoldenCheckpoints.path(name));
        Path file = write(bytes);
        Random random = new Random(1);
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            for (int round = 0; round < 1500; round++) {
                int[] places =
                        random.ints(1 + random.nextInt(4), 0, bytes.length).toArray();
                for (int at : places) {
                    put(channel, at, bytes[at] ^ 1 << random.nextInt(8));
                }
                readsOrIsRefused(file);
                for (int at : places) {
                    put(channel, at, bytes[at]);
                }
            }
        }
    }

    private static void put(FileChannel channel, int at, int value) throws Exception {
        channel.write(ByteBuffer.wrap(new byte[] {(byte) value}), at);
    }

    @Test
    void randomPickles() throws Exception {
        Random random = new Random(2);
        byte[] codes =
                "(.0123FIJKLMNQRSTUVXabcdeghijloqrstu}]GBC)\u0080\u0081\u0085\u0086\u0087\u0088\u008a\u0094\u0093"
                        .getBytes(StandardCharsets.ISO_8859_1);
        byte[] pickle = new byte[60];
        Path file = write(zip(pickle));
        int start = new String(zip(pickle), StandardCharsets.ISO_8859_1).indexOf("\0".repeat(pickle.length));
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.WRITE)) {
            for (int round = 0; round < 5000; round++) {
                for (int i = 0; i < pickle.length; i++) {
                    pickle[i] =
                            random.nextInt(3) == 0 ? (byte) random.nextInt(16) : codes[random.nextInt(codes.length)];
                }
                channel.write(ByteBuffer.wrap(pickle), start);
                readsOrIsRefused(file);
            }
        }
    }

    private static void readsOrIsRefused(Path file) throws Exception {
        try {
            readAll(file);
        } catch (CheckpointException e) {
            assertTrue(e.getMessage().startsWith(file.toString()), e::getMessage);
        }
    }

    private static void readAll(Path path) throws Exception {
        try (TensorFile file = TensorFile.open(path)) {
            for (StoredTensor tensor : file.tensors().values()) {
                if (tensor.isReadable()) {
                    tensor.sum();
                }
            }
        }
    }

    // Pickles

    /** One storage of 16 bytes, and the pickle. */
    private static byte[] zip(byte[] pickle) throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        StoredZip zip = new StoredZip(out);
        zip.entry("a/data.pkl", pickle);
        zip.entry("a/data/0", new byte[16]);
        zip.finish();
        return out.toByteArray();
    }

    private Path write(byte[] bytes) throws Exception {
        return Files.write(folder.resolve("file.pt"), bytes);
    }

    private void isRefused(String pickle, String message) throws Exception {
        isRefused(zip(pickle.getBytes(StandardCharsets.ISO_8859_1)), message);
    }

    private void isRefused(byte[] file, String message) throws Exception {
        Path path = write(file);
        CheckpointException e = assertThrows(CheckpointException.class, () -> readAll(path));
        assertTrue(e.getMessage().contains(message), e::getMessage);
    }

    @Test
    void brokenPickles() throws Exception {
        isRefused("", "is truncated");
        isRefused("N", "is truncated");
        isRefused(".", "takes an object that was not there");
        isRefused("NN.", "more than one object");
        isRefused("(N.", "more than one object");
        isRefused("h\u0001.", "refers to object 1");
        isRefused("g-1\n.", "impossible index");
        isRefused("t.", "mark that was not there");
        isRefused("(Na.", "takes an object that was not there");
        isRefused("\u0080\u0009N.", "protocol 9");
        isRefused("\u00feN.", "unknown code 0xfe");
        isRefused("Ix\n.", "text in place of an integer");
        isRefused("Fx\n.", "text in place of a number");
        isRefused("Sx\n.", "text without quotes");
        isRefused("V\\u12\n.", "broken escape");
        isRefused("V\\Uffffffff\n.", "impossible character");
        isRefused("NN\u0093.", "names a class by what is no text");
        isRefused("N)R.", "calls what is no function");
        isRefused("(o.", "object of no class");
        isRefused("\u0097.", "kept outside it");
        isRefused("P1\n.", "names a storage by a text");
        isRefused("\u0082\u0001.", "registry of classes");
        isRefused("NNa.", "adds an item to what is no list");
        isRefused("NNNs.", "adds an entry to what is no dictionary");
        isRefused("}(Nu.", "key without a value");
        isRefused("}]Ns.", "list or dictionary as a key");
        isRefused("}))\u0086Ns.", "nested tuple as a key");
        isRefused("NQ.", "refers to a storage by what is no list");
    }

    @Test
    void lengthsBeyondTheFile() throws Exception {
        isRefused("\u008b\u00ff\u00ff\u00ff\u007f.", "integer of 2147483647 bytes");
        isRefused("\u008b\u00ff\u00ff\u00ff\u00ff.", "integer of -1 bytes");
        isRefused("\u008a\u00ff.", "announces 255 bytes");
        isRefused("X\u00ff\u00ff\u00ff\u00ff.", "announces 4294967295 bytes");
        isRefused("\u008d\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u007f.", "announces 9223372036854775807 bytes");
        isRefused("\u008e\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff\u00ff.", "announces 18446744073709551615 bytes");
        isRefused("T\u00ff\u00ff\u00ff\u00ff.", "is damaged or truncated");
        isRefused("I" + "1".repeat(5000) + "\n.", "integer of 5000 digits");
    }

    @Test
    void moreObjectsThanTheHeapHolds() throws Exception {
        for (String code : List.of("}", "]", "(", "N", "J1234", "ca\nb\n", "}\u0094")) {
            Path path = write(zip(code.repeat(40_000_000 / code.length()).getBytes(StandardCharsets.ISO_8859_1)));
            CheckpointException e;
            try (FileBytes file = FileBytes.open(path)) {
                HeapBudget budget = new HeapBudget(path, 16 << 20);
                e = assertThrows(CheckpointException.class, () -> new PyTorchReader(file, budget).readZip());
            }
            assertTrue(e.getMessage().contains("more than 16 MiB of objects"), e::getMessage);
        }
        // A text that is copied again and again.
        isRefused(
                "c_codecs\nencode\nq\u0000X\u0000\u0000\u0010\u0000" + "x".repeat(1 << 20)
                        + "X\u0006\u0000\u0000\u0000latin1" + "\u0086q\u00010" + "h\u0000h\u0001R".repeat(2000) + "t.",
                "MiB of objects");
    }

    @Test
    void objectsThatContainThemselves() throws Exception {
        isRefused("]q\u0000h\u0000a.", "contains itself");
        isRefused("}q\u0000K\u0001h\u0000s.", "contains itself");
        isRefused("]q\u0000(h\u0000t\u0085a.", "contains itself");
        isRefused("]".repeat(200_000) + "a".repeat(199_999) + ".", "more than 500 deep");
        isRefused(")" + "\u0085".repeat(200_000) + ".", "more than 500 deep");
    }

    @Test
    void sharedPartsThatUnfold() throws Exception {
        StringBuilder laughs = new StringBuilder("](" + tensor("K\u0000", "(K\u0001t", "(K\u0001t") + "eq\u0000");
        StringBuilder silent = new StringBuilder("]q\u0000");
        for (int level = 1; level <= 60; level++) {
            String tenfold = "0](" + ("h" + (char) (level - 1)).repeat(10) + "eq" + (char) level;
            laughs.append(tenfold);
            silent.append(tenfold);
        }
        Path path = write(zip((laughs + ".").getBytes(StandardCharsets.ISO_8859_1)));
        try (FileBytes file = FileBytes.open(path)) {
            HeapBudget budget = new HeapBudget(path, 16 << 20);
            Object root = new PyTorchReader(file, budget).readZip();
            assertThrows(CheckpointException.class, () -> TensorNames.of(file, budget, root));
        }
        int eightLevels = laughs.indexOf("q\u0008") + 2;
        isRefused(laughs.substring(0, eightLevels) + ".", "more than 1000000 tensors");
        readAll(write(zip((silent + ".").getBytes(StandardCharsets.ISO_8859_1))));
    }

    /** Where a text belongs stands a list that would unfold into 10^60 items when it is shown. */
    @Test
    void listsInPlaceOfTexts() throws Exception {
        StringBuilder list = new StringBuilder("]q\u0000");
        for (int level = 1; level <= 60; level++) {
            list.append("0](")
                    .append(("h" + (char) (level - 1)).repeat(10))
                    .append("eq")
                    .append((char) level);
        }
        String recalled = "h" + (char) 60;
        for (String call : List.of(
                "c_codecs\nencode\nU\u0001x" + recalled + "\u0086R",
                "cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\n" + recalled + "\u0085RC\u00018\u0086R")) {
            Path path = write(zip((list + "0" + call + ".").getBytes(StandardCharsets.ISO_8859_1)));
            try (TensorFile file = TensorFile.open(path)) {
                assertEquals(2, ((PickledObject) file.root()).arguments().size());
            }
        }
    }

    @Test
    void textsThatAreTooLongForAKey() throws Exception {
        String text = "X\u0001\u0000\u0001\u0000" + "x".repeat(65537);
        isRefused("}" + text + "Ns.", "text of 65537 characters as a key");
        isRefused("ccollections\nOrderedDict\n](" + text + "N\u0086e\u0085R.", "65537 characters as a key");
        isRefused("}" + text + "\u0085Ns.", "65537 characters as a key");
    }

    // Tensors: of float32 numbers in the storage of 16 bytes

    private static String tensor(String offset, String shape, String strides) {
        return "ctorch._utils\n_rebuild_tensor_v2\n(" + storage("K\u0004") + offset + shape + strides + "\u0089}t"
                + "R";
    }

    private static String storage(String length) {
        return "(U\u0007storagectorch\nFloatStorage\nU\u00010U\u0003cpu" + length + "tQ";
    }

    private void tensorIsRefused(String offset, String shape, String strides, String message) throws Exception {
        isRefused("}U\u0001w" + tensor(offset, shape, strides) + "s.", message);
    }

    @Test
    void impossibleTensors() throws Exception {
        readAll(write(
                zip(tensor("K\u0001", "(K\u0003t", "(K\u0001t").concat(".").getBytes(StandardCharsets.ISO_8859_1))));
        tensorIsRefused(
                "K\u0002",
                "(K\u0003t",
                "(K\u0001t",
                "tensor w of shape [3], strides [1] and offset 2 reaches element 4 of a storage of 4");
        tensorIsRefused("I-1\n", "(K\u0003t", "(K\u0001t", "starts at element -");
        tensorIsRefused("K\u0000", "(I-3\nt", "(K\u0001t", "size -3");
        tensorIsRefused("K\u0000", "(K\u0003t", "(I-1\nt", "stride -1");
        tensorIsRefused("K\u0000", "(K\u0003t", "t", "mark that was not there");
        tensorIsRefused("K\u0000", "(K\u0003t", ")", "1 sizes but 0 strides");
        tensorIsRefused("N", "(K\u0003t", "(K\u0001t", "offset of a tensor that is no integer");
        tensorIsRefused("K\u0000", "N", "(K\u0001t", "shape of a tensor that is no list");
        tensorIsRefused("K\u0000", "(Nt", "(K\u0001t", "shape of a tensor that is no integer");
        String huge = "I4611686018427387904\n";
        tensorIsRefused("K\u0000", "(" + huge + huge + "t", "(K\u0000K\u0000t", "more than 2^63 elements");
        tensorIsRefused("K\u0000", "(K\u0003t", "(" + huge + "t", "more than 2^63 elements");
        tensorIsRefused(huge, "(K\u0003t", "(" + huge + "t", "more than 2^63 elements");
        tensorIsRefused("K\u0000", "(I1000000000\nt", "(K\u0000t", "16 times its storage");
        tensorIsRefused("K\u0000", "(" + "K\u0001".repeat(65) + "t", "(K\u0001t", "with 65 axes");
    }

    @Test
    void impossibleStorages() throws Exception {
        String tensor = "ctorch._utils\n_rebuild_tensor_v2\n";
        isRefused(tensor + "(" + storage("K\u0005") + ")))t" + "R.", "too few for 5 numbers of type float32");
        isRefused(storage("I-1\n") + ".", "storage of -1 numbers");
        isRefused(storage("I9223372036854775807\n") + ".", "too few for 9223372036854775807");
        isRefused(storage("N") + ".", "length of a storage that is no integer");
        isRefused("(U\u0007storagectorch\nFloatStorage\nU\u00019U\u0003cpuK\u0001tQ.", "refers to a/data/9");
        isRefused("(U\u0007storageNU\u00010U\u0003cpuK\u0001tQ.", "refers to a storage in an unknown way");
        isRefused("(U\u0007storagectorch\nFloatStorage\nK\u0000U\u0003cpuK\u0001tQ.", "key is no text");
        isRefused(tensor + ")R.", "rebuilds a tensor of 0 arguments");
        isRefused(tensor + "(NNNNNt" + "R.", "tensor without a storage");
    }

    /** Nothing says how large such a storage is, so no view of it may be read. */
    @Test
    void storagesOfAnUnknownType() throws Exception {
        String huge = "I1152921504606846976\n";
        String storage = "(U\u0007storagectorch\nOddStorage\nU\u00010U\u0003cpu" + huge + "tQ";
        String tensor = "ctorch._utils\n_rebuild_tensor_v3\n(" + storage + "K\u0000(I288230376151711744\ntK\u0000\u0085"
                + "\u0089}ctorch\nfloat32\nt" + "R";
        try (TensorFile file =
                TensorFile.open(write(zip(("}U\u0001w" + tensor + "s.").getBytes(StandardCharsets.ISO_8859_1))))) {
            assertFalse(file.tensors().get("w").isReadable());
        }
    }

    @Test
    void manyLargeViewsOfAFewNumbers() throws Exception {
        String view = tensor("K\u0000", "(I67108864\nt", "(K\u0000t");
        readAll(write(zip(("](" + view + "e.").getBytes(StandardCharsets.ISO_8859_1))));
        isRefused("](" + view.repeat(17) + "e.", "shows its numbers again and again");
    }

    // Zip files

    @Test
    void lyingZipHeaders() throws Exception {
        byte[] zip = zip("N.".getBytes(StandardCharsets.ISO_8859_1));
        ByteBuffer bytes = ByteBuffer.wrap(zip).order(ByteOrder.LITTLE_ENDIAN);
        int end = zip.length - ZipDirectory.END_SIZE;
        int directory = bytes.getInt(end + 16);
        zipIsRefused(zip, end + 16, 0x7fffffff, "directory is said to lie");
        zipIsRefused(zip, end + 12, 0x7fffffff, "directory is said to lie");
        zipIsRefused(zip, end + 12, 50, "ends inside an entry");
        zipIsRefused(zip, directory, 0, "no entry at byte");
        zipIsRefused(zip, directory + 24, 0x7fffffff, "has the sizes 2 and 2147483647");
        zipIsRefused(zip, directory + 42, 0x7fffffff, "is said to start at byte");
        zipIsRefused(zip, directory + 42, 1, "is not at byte 1");
        byte[] both = zip.clone();
        ByteBuffer.wrap(both)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putInt(directory + 20, 1 << 30)
                .putInt(directory + 24, 1 << 30);
        isRefused(both, "but the directory starts at");
        isRefused(twoEntries(), "two entries a/data.pkl");
    }

    private void zipIsRefused(byte[] zip, int at, int value, String message) throws Exception {
        byte[] changed = zip.clone();
        ByteBuffer.wrap(changed).order(ByteOrder.LITTLE_ENDIAN).putInt(at, value);
        isRefused(changed, message);
    }

    private static byte[] twoEntries() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        StoredZip zip = new StoredZip(out);
        zip.entry("a/data.pkl", new byte[] {'N', '.'});
        zip.entry("a/data.pkl", new byte[] {'N', '.'});
        zip.finish();
        return out.toByteArray();
    }

    // safetensors

    private void headerIsRefused(String header, int data, String message) throws Exception {
        byte[] text = header.getBytes(StandardCharsets.UTF_8);
        isRefused(
                ByteBuffer.allocate(8 + text.length + data)
                        .order(ByteOrder.LITTLE_ENDIAN)
                        .putLong(text.length)
                        .put(text)
                        .array(),
                message);
    }

    private static String entry(String name, String dtype, String shape, String offsets) {
        return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets
                + "}";
    }

    @Test
    void brokenSafetensors() throws Exception {
        String a = entry("a", "F32", "[2]", "[0,8]");
        readAll(write(ByteBuffer.allocate(8 + a.length() + 2 + 8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(a.length() + 2)
                .put(("{" + a + "}").getBytes(StandardCharsets.UTF_8))
                .array()));
        headerIsRefused("{" + a + "}", 7, "is truncated: tensor a is said to lie at bytes 0 to 8 of 7");
        headerIsRefused("{" + a + "}", 9, "its tensors have 8 bytes, the file 9");
        headerIsRefused("{" + a + "," + a + "}", 8, "Duplicate field 'a'");
        headerIsRefused("{" + a + "} x", 8, "its header is wrong");
        headerIsRefused("{" + a + "} {}", 8, "something behind");
        headerIsRefused("{" + a, 8, "its header is wrong");
        headerIsRefused("{" + a + "," + entry("b", "F32", "[1]", "[4,8]") + "}", 8, "tensor b starts at byte 4");
        headerIsRefused("{" + a + "," + entry("b", "F32", "[1]", "[12,16]") + "}", 16, "tensor b starts at byte 12");
        headerIsRefused("{" + entry("a", "F32", "[3]", "[0,8]") + "}", 8, "of type float32 and shape [3] has 8 bytes");
        headerIsRefused("{" + entry("a", "F32", "[-2]", "[0,8]") + "}", 8, "negative number -2");
        headerIsRefused("{" + entry("a", "F32", "[2]", "[8,0]") + "}", 8, "bytes 8 to 0");
        headerIsRefused("{" + entry("a", "F32", "[2.5]", "[0,8]") + "}", 8, "list of at most 64 integers");
        headerIsRefused("{" + entry("a", "F32", "[99999999999999999999]", "[0,8]") + "}", 8, "its header is wrong");
        headerIsRefused(
                "{" + entry("a", "F32", "[4611686018427387904,4]", "[0,8]") + "}", 8, "more than 2^63 elements");
        headerIsRefused("{" + entry("a", "F32", "[" + "1,".repeat(64) + "1]", "[0,4]") + "}", 4, "at most 64 integers");
        headerIsRefused("{" + entry("a", "F32", "[2]", "[0,8,8]") + "}", 8, "two data_offsets");
        headerIsRefused("{\"a\":{\"dtype\":\"F32\"}}", 0, "needs dtype, shape and two data_offsets");
        headerIsRefused("{\"a\":{\"color\":[[[]]]}}", 0, "unknown field color");
        headerIsRefused("{\"a\":1}", 0, "tensor a is no object");
        headerIsRefused("{\"__metadata__\":{\"a\":1}}", 0, "value that is no text");
        headerIsRefused("{\"__metadata__\":1}", 0, "is no object");
        headerIsRefused("{\"a\":" + "[".repeat(1_000_000), 0, "tensor a is no object");
        byte[] broken = {3, 0, 0, 0, 0, 0, 0, 0, '{', (byte) 0xff, '}'};
        isRefused(broken, "it is not UTF-8");
        isRefused(
                new byte[] {0, (byte) 0xff, (byte) 0xff, 0x7f, 0, 0, 0, 0, '{', '}'}, "at most 100000000 are allowed");
        isRefused(new byte[] {9, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, "is truncated: its header has 9 bytes");
    }

    @Test
    void aTypeUnknownToSafetensorsRefusesOnlyItsTensor() throws Exception {
        String header = "{" + entry("a", "F4", "[3]", "[0,2]") + "," + entry("b", "U8", "[2]", "[2,4]") + "}";
        Path path = write(ByteBuffer.allocate(8 + header.length() + 4)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(header.length())
                .put(header.getBytes(StandardCharsets.UTF_8))
                .put(new byte[] {9, 9, 1, 2})
                .array());
        try (TensorFile file = TensorFile.open(path)) {
            assertFalse(file.tensors().get("a").isReadable());
            assertEquals("F4", file.tensors().get("a").typeLabel());
            assertEquals(3.0, file.tensors().get("b").sum());
        }
    }
}
