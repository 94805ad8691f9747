package org.npp4j.llamagen.checkpoint;

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.UTFDataFormatException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.CRC32;
import java.util.zip.CheckedOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipException;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.updater.graph.ComputationGraphUpdater;
import org.deeplearning4j.util.ModelSerializer;
import org.nd4j.linalg.api.buffer.DataBuffer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.ZipSizes;

/**
 * Networks in Deeplearning4j's own file, the one that {@link ModelSerializer} writes and reads, without its limits: streamed
 * in both directions, and of any size. ModelSerializer holds the whole file in the heap and reads no more than 2 GiB of
 * parameters, nor of optimizer state.
 */
public final class NetworkZip {
    /** Entry with what a checkpoint had and the network has not; Deeplearning4j does not look at it. */
    static final String MEMO = "npp.json";

    private static final int CHUNK = 1 << 20;
    /** Kinds of buffers, as old versions name them, whose length has 4 bytes. */
    private static final List<String> SHORT_MODES = List.of("DIRECT", "HEAP", "JAVACPP");

    private static final LocalDateTime SOME_DAY = LocalDateTime.of(2000, 1, 1, 0, 0);

    private NetworkZip() {}

    /** Writes numbers in big endian. */
    @FunctionalInterface
    interface Numbers {
        void writeTo(OutputStream out) throws IOException;
    }

    /**
     * Whether a file holds a network.
     *
     * @param file any file
     * @return whether it does, by its content; false if it cannot be read
     */
    public static boolean isNetwork(Path file) {
        try (FileBytes bytes = FileBytes.open(file)) {
            return new ZipDirectory(bytes, new HeapBudget(file))
                    .entries()
                    .keySet()
                    .containsAll(List.of(ModelSerializer.CONFIGURATION_JSON, ModelSerializer.COEFFICIENTS_BIN));
        } catch (CheckpointException e) {
            return false;
        }
    }

    /**
     * The parameters of a GPT, and its optimizer's state, as they stand in a PyTorch file: under the same names and in the
     * same shapes.
     *
     * @param file written by this class or by ModelSerializer
     * @return the tensors by name, in memory
     * @throws CheckpointException if the file holds no network built by LlamaGen, or is damaged
     * @throws IOException if it cannot be read
     */
    public static Map<String, TensorSource> tensors(Path file) throws IOException {
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        CheckpointTree.toJson(file, read(file, true).restored(new ArrayList<>()), (name, tensor) -> {
            tensors.put(name, tensor);
            return name;
        });
        return tensors;
    }

    /**
     * Reads a network.
     *
     * @param file written by this class or by ModelSerializer
     * @param updater whether to read the optimizer's state, if there is one
     * @return the network
     * @throws CheckpointException if the file holds no ComputationGraph or is damaged
     * @throws IOException if it cannot be read
     */
    public static ComputationGraph load(Path file, boolean updater) throws IOException {
        NetworkState state = read(file, updater);
        ComputationGraph network = new ComputationGraph(state.configuration());
        network.init(state.parameters().reshape('c', 1, state.parameters().length()), false);
        if (state.updaterState() != null) {
            network.setUpdater(new ComputationGraphUpdater(network, state.updaterState()));
        }
        return network;
    }

    /**
     * Writes a network, its counters of iterations and epochs, and its optimizer's state if there is one. Not from inside
     * of {@code iterationDone} or {@code onEpochEnd}: the counter still stands at the step that has just ended there.
     *
     * @param file the file; one that exists is replaced, whole or not at all
     * @param network initialised, of type FLOAT or DOUBLE
     * @throws IOException if it cannot be written
     */
    public static void save(Path file, ComputationGraph network) throws IOException {
        INDArray parameters = network.params();
        INDArray state = network.getUpdater(false) == null
                ? null
                : network.getUpdater(false).getStateViewArray();
        write(
                file,
                network.getConfiguration(),
                parameters.dataType(),
                parameters.length(),
                out -> bigEndian(parameters, out),
                state == null ? 0 : state.length(),
                out -> bigEndian(state, out),
                null);
    }

    private static void bigEndian(INDArray numbers, OutputStream out) throws IOException {
        TensorSource vector = TensorSource.of(numbers.reshape(numbers.length()));
        NumberConverter.write(vector, out, vector.type(), ByteOrder.BIG_ENDIAN);
    }

    /** Takes a file apart; no network is made. */
    static NetworkState read(Path file, boolean updater) throws IOException {
        try (ZipFile zip = new ZipFile(file.toFile())) {
            ZipEntry memo = zip.getEntry(MEMO);
            ZipEntry state = updater ? zip.getEntry(ModelSerializer.UPDATER_BIN) : null;
            return new NetworkState(
                    file,
                    configuration(file, text(zip, require(file, zip, ModelSerializer.CONFIGURATION_JSON))),
                    vector(zip, require(file, zip, ModelSerializer.COEFFICIENTS_BIN)),
                    state == null ? null : vector(zip, state),
                    memo == null ? null : CheckpointTree.parse(file, text(zip, memo)));
        } catch (ZipException | EOFException | UTFDataFormatException | IllegalArgumentException e) {
            throw new CheckpointException(
                    file, "holds no network of Deeplearning4j, or is damaged (" + e.getMessage() + ")", e);
        }
    }

    private static ZipEntry require(Path file, ZipFile zip, String name) throws CheckpointException {
        ZipEntry entry = zip.getEntry(name);
        if (entry == null) {
            throw new CheckpointException(file, "holds no network of Deeplearning4j: it has no " + name);
        }
        return entry;
    }

    private static String text(ZipFile zip, ZipEntry entry) throws IOException {
        int limit = (int) Math.min(Integer.MAX_VALUE - 16, Runtime.getRuntime().maxMemory() / 16);
        try (InputStream in = zip.getInputStream(entry)) {
            byte[] bytes = in.readNBytes(limit);
            if (in.read() >= 0) {
                throw new ZipException("its " + entry.getName() + " has more than " + (limit >> 20)
                        + " MiB, a sixteenth of the Java heap; if you trust it, raise the heap with -Xmx");
            }
            return new String(bytes, StandardCharsets.UTF_8);
        }
    }

    private static ComputationGraphConfiguration configuration(Path file, String json) throws CheckpointException {
        try {
            ComputationGraphConfiguration configuration = ComputationGraphConfiguration.fromJson(json);
            if (configuration.getVertices() != null && configuration.getNetworkInputs() != null) {
                return configuration;
            }
        } catch (RuntimeException e) {
            throw new CheckpointException(file, "holds a configuration that cannot be read: " + e.getMessage(), e);
        }
        throw new CheckpointException(
                file, "holds no ComputationGraph, perhaps a MultiLayerNetwork. Load it with ModelSerializer");
    }

    /** An array as Nd4j.write writes it: shape information, then a buffer, each with a header. */
    private static INDArray vector(ZipFile zip, ZipEntry entry) throws IOException {
        try (DataInputStream in = new DataInputStream(new BufferedInputStream(zip.getInputStream(entry), CHUNK))) {
            long[] ignored = new long[1];
            DataType shapeType = header(in, ignored);
            in.skipNBytes(ignored[0] * shapeType.width());
            long[] length = new long[1];
            DataType type = header(in, length);
            if (type != DataType.FLOAT && type != DataType.DOUBLE) {
                throw new ZipException("its numbers are of type " + type + ", not FLOAT or DOUBLE");
            }
            // a damaged length must not ask for more memory than the file can fill
            if (length[0] < 1 || length[0] > ZipSizes.most(zip, entry) / type.width()) {
                throw new ZipException("it says to hold " + length[0] + " numbers");
            }
            INDArray vector = Nd4j.createUninitialized(type, length[0]);
            for (long start = 0; start < length[0]; start += CHUNK) {
                long end = Math.min(start + CHUNK, length[0]);
                try (INDArray numbers = numbers(in, type, (int) (end - start))) {
                    vector.get(NDArrayIndex.interval(start, end)).assign(numbers);
                }
            }
            return vector;
        }
    }

    private static DataType header(DataInputStream in, long[] length) throws IOException {
        length[0] = SHORT_MODES.contains(in.readUTF()) ? in.readInt() : in.readLong();
        return DataType.valueOf(in.readUTF());
    }

    private static INDArray numbers(DataInputStream in, DataType type, int count) throws IOException {
        byte[] bytes = new byte[count * type.width()];
        in.readFully(bytes);
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.BIG_ENDIAN);
        if (type == DataType.DOUBLE) {
            double[] values = new double[count];
            buffer.asDoubleBuffer().get(values);
            return Nd4j.createFromArray(values);
        }
        float[] values = new float[count];
        buffer.asFloatBuffer().get(values);
        return Nd4j.createFromArray(values);
    }

    /**
     * Writes a network from numbers that come from anywhere, each vector twice: once to know its checksum.
     *
     * @param file the file
     * @param configuration of the network
     * @param type FLOAT or DOUBLE
     * @param parameters how many
     * @param values the parameters in the network's order
     * @param stateLength of the optimizer, 0 for none
     * @param state of the optimizer
     * @param memo what else to remember, or null
     */
    static void write(
            Path file,
            ComputationGraphConfiguration configuration,
            DataType type,
            long parameters,
            Numbers values,
            long stateLength,
            Numbers state,
            String memo)
            throws IOException {
        AtomicFile.write(file, out -> {
            ZipOutputStream zip = new ZipOutputStream(out);
            put(
                    zip,
                    ModelSerializer.CONFIGURATION_JSON,
                    entry -> entry.write(configuration.toJson().getBytes(StandardCharsets.UTF_8)));
            put(zip, ModelSerializer.COEFFICIENTS_BIN, entry -> {
                header(entry, new long[] {1, parameters}, type, parameters);
                values.writeTo(entry);
            });
            if (stateLength > 0) {
                put(zip, ModelSerializer.UPDATER_BIN, entry -> {
                    header(entry, new long[] {stateLength}, type, stateLength);
                    state.writeTo(entry);
                });
            }
            if (memo != null) {
                put(zip, MEMO, entry -> entry.write(memo.getBytes(StandardCharsets.UTF_8)));
            }
            zip.finish();
        });
    }

    private static void header(OutputStream out, long[] shape, DataType type, long length) throws IOException {
        DataOutputStream data = new DataOutputStream(out);
        Nd4j.getShapeInfoProvider()
                .createShapeInformation(shape, 'c', type)
                .getFirst()
                .write(data);
        data.writeUTF(DataBuffer.AllocationMode.MIXED_DATA_TYPES.name());
        data.writeLong(length);
        data.writeUTF(type.name());
        data.flush();
    }

    /** Uncompressed, with size and checksum in front: ModelSerializer then reads it in one piece. Weights do not shrink. */
    private static void put(ZipOutputStream zip, String name, Numbers content) throws IOException {
        CRC32 checksum = new CRC32();
        CountingOutputStream counter = new CountingOutputStream();
        content.writeTo(new CheckedOutputStream(counter, checksum));
        ZipEntry entry = new ZipEntry(name);
        entry.setTimeLocal(SOME_DAY);
        entry.setMethod(ZipEntry.STORED);
        entry.setSize(counter.count);
        entry.setCompressedSize(counter.count);
        entry.setCrc(checksum.getValue());
        zip.putNextEntry(entry);
        content.writeTo(zip);
        zip.closeEntry();
    }

    private static final class CountingOutputStream extends OutputStream {
        private long count;

        @Override
        public void write(int b) {
            count++;
        }

        @Override
        public void write(byte[] bytes, int offset, int length) {
            count += length;
        }
    }
}
