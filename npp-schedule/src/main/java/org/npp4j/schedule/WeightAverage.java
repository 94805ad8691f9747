package org.npp4j.schedule;

import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.function.BiConsumer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * An exponential moving average of a network's weights (EMA), to sample or evaluate from.
 *
 * <p>It starts as a copy of the weights. After every step of the optimizer
 *
 * <pre>
 * average = decay x average + (1 - decay) x weights
 * </pre>
 *
 * <p>without correction of the start, as published. It takes as much memory as the weights, once; a step allocates
 * nothing. The average is over all of {@code network.params()}, in the network's type.
 *
 * <pre>{@code
 * WeightAverage average = new WeightAverage(network, 0.9999);
 * network.addListeners(average);
 * network.fit(batches);
 * try (WeightAverage.Swap ignored = average.applyTo(network)) {
 *     // here the network has the average weights
 * }
 * }</pre>
 *
 * <p>One network has one step of its optimizer in every iteration, so the average moves with
 * {@code iterationDone}. Who collects gradients over several batches and steps by hand calls {@link #update} after each
 * step instead, once whatever the number of batches. The average belongs to one network object: it refuses to follow
 * another, such as the replicas of ParallelWrapper.
 *
 * <p>A run continues to the bit from the network and the average if both were saved after the same {@code fit}.
 *
 * <p>Source: the training code of Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation"
 * (arXiv 2406.06525), where the decay is 0.9999.
 */
public final class WeightAverage extends BaseTrainingListener {
    /** The published decay. */
    public static final double DEFAULT_DECAY = 0.9999;

    private static final int MAGIC = 0x4E505741;
    private static final int VERSION = 1;
    /** Lengths in BLAS are 32 bits wide. */
    private static final long LONGEST_VECTOR = 1L << 30;
    /** Numbers that saving and reading hold at a time. */
    private static final int CHUNK = 1 << 18;

    private final Model network;
    private final double decay;
    private final INDArray average;
    private long updates;
    private boolean applied;

    /**
     * The average of a network's weights with the published decay, 0.9999.
     *
     * @param network initialised; add the average to its listeners
     */
    public WeightAverage(Model network) {
        this(network, DEFAULT_DECAY);
    }

    /**
     * The average of a network's weights from here on.
     *
     * @param network initialised, a ComputationGraph or MultiLayerNetwork; add the average to its listeners
     * @param decay share of the average that a step keeps, at least 0 and below 1
     * @throws IllegalArgumentException if the decay is out of its range, or the network has no weights, or others than
     *     FLOAT and DOUBLE
     */
    public WeightAverage(Model network, double decay) {
        this.network = Objects.requireNonNull(network, "A weight average needs a network, got null");
        if (!(decay >= 0 && decay < 1)) {
            throw new IllegalArgumentException(
                    "The decay of a weight average must be at least 0 and below 1, got " + decay + "; 0.9999 is usual");
        }
        this.decay = decay;
        INDArray weights = weights(network);
        try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            average = weights.dup();
        }
    }

    /** {@return the share of the average that a step keeps} */
    public double decay() {
        return decay;
    }

    /** {@return the steps of the optimizer that the average has followed, those before a restart included} */
    public long updates() {
        return updates;
    }

    /**
     * The average itself, in the order of {@code network.params()}. A view: not to be changed, and not to be kept beyond the
     * next step.
     *
     * @return a vector [P]
     * @throws IllegalStateException if the average is applied to a network at the moment
     */
    public INDArray vector() {
        requireAtHome();
        return average;
    }

    @Override
    public void iterationDone(Model model, int iteration, int epoch) {
        update(model);
    }

    /**
     * Follows one step of the optimizer. Networks call this by {@code iterationDone}.
     *
     * @param model the network of this average, with the weights after the step
     * @throws IllegalStateException if it is another network, or has the average weights applied at the moment
     */
    public void update(Model model) {
        if (model != network) {
            throw new IllegalStateException("This weight average follows another network object. Make one for each"
                    + " network: new WeightAverage(network)");
        }
        if (applied) {
            throw new IllegalStateException(
                    "The network was trained with its average weights applied. Close the Swap before training");
        }
        average.muli(decay);
        eachPart(average, weights(network), (mine, theirs) -> Nd4j.getBlasWrapper()
                .level1()
                .axpy(mine.length(), 1 - decay, theirs, mine));
        updates++;
    }

    /**
     * Gives the network the average weights until the result is closed; its own wait in here meanwhile. Nothing is
     * copied. What is written into the network's weights before that becomes the average, which is how a checkpoint's
     * average is read.
     *
     * @param model the network of this average, or one of the same parameters
     * @return to be closed, by the same thread, before training goes on
     * @throws IllegalArgumentException if the network has other parameters than the average
     * @throws IllegalStateException if the average is applied already
     */
    public Swap applyTo(Model model) {
        requireAtHome();
        requireSame(shapes(network), shapes(model), "the weight average");
        INDArray theirs = weights(model);
        swap(theirs);
        applied = true;
        return new Swap(theirs);
    }

    /**
     * Copies the average over the weights of a network, which loses its own: for a network of its own to save or to
     * sample from.
     *
     * @param model a network of the same parameters
     * @throws IllegalArgumentException if the network has other parameters than the average
     * @throws IllegalStateException if the average is applied to a network at the moment
     */
    public void copyTo(Model model) {
        requireAtHome();
        requireSame(shapes(network), shapes(model), "the weight average");
        weights(model).assign(average);
    }

    private void requireAtHome() {
        if (applied) {
            throw new IllegalStateException("The average weights are applied to a network. Close that Swap first");
        }
    }

    private void swap(INDArray theirs) {
        eachPart(
                average, theirs, (mine, other) -> Nd4j.getBlasWrapper().level1().swap(mine, other));
    }

    /** Holds a network that has the average weights for now. */
    public final class Swap implements AutoCloseable {
        private final INDArray theirs;
        private boolean closed;

        private Swap(INDArray theirs) {
            this.theirs = theirs;
        }

        /** Gives the network its own weights back, to the bit. A second call does nothing. */
        @Override
        public void close() {
            if (!closed) {
                swap(theirs);
                closed = true;
                applied = false;
            }
        }
    }

    /**
     * Saves the average: decay, steps, the names and shapes of the parameters, their values.
     *
     * @param out stays open; for a file that is whole or not there, give a method that writes such files
     *     {@code average::save}
     * @throws IOException if it cannot be written
     * @throws IllegalStateException if the average is applied to a network at the moment
     */
    public void save(OutputStream out) throws IOException {
        requireAtHome();
        DataOutputStream data = new DataOutputStream(out);
        data.writeInt(MAGIC);
        data.writeInt(VERSION);
        data.writeDouble(decay);
        data.writeLong(updates);
        data.writeUTF(average.dataType().name());
        Map<String, long[]> shapes = shapes(network);
        data.writeInt(shapes.size());
        for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
            data.writeUTF(entry.getKey());
            data.writeInt(entry.getValue().length);
            for (long size : entry.getValue()) {
                data.writeLong(size);
            }
        }
        byte[] bytes = new byte[CHUNK * average.dataType().width()];
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        for (long from = 0; from < average.length(); from += CHUNK) {
            INDArray part = part(average, from, CHUNK);
            buffer.clear();
            if (average.dataType() == DataType.DOUBLE) {
                buffer.asDoubleBuffer().put(part.toDoubleVector());
            } else {
                buffer.asFloatBuffer().put(part.toFloatVector());
            }
            data.write(bytes, 0, (int) part.length() * average.dataType().width());
        }
        data.flush();
    }

    /**
     * Reads an average that was saved.
     *
     * @param in stays open; nothing beyond the average is read
     * @param network the network it is of, initialised or restored; add the average to its listeners
     * @return the average
     * @throws IOException if it cannot be read, or is none
     * @throws IllegalArgumentException if the network has other parameters than the average
     */
    public static WeightAverage load(InputStream in, Model network) throws IOException {
        DataInputStream data = new DataInputStream(in);
        try {
            if (data.readInt() != MAGIC) {
                throw new IOException("This is no weight average. Give what WeightAverage.save wrote");
            }
            int version = data.readInt();
            if (version != VERSION) {
                throw new IOException("This weight average has version " + version + ", but only " + VERSION
                        + " is known. Read it with a newer version of this library");
            }
            double decay = data.readDouble();
            long updates = data.readLong();
            String type = data.readUTF();
            WeightAverage read = new WeightAverage(network, decay);
            if (!type.equals(read.average.dataType().name())) {
                throw new IllegalArgumentException("The saved weight average is of type " + type
                        + " but the network of type " + read.average.dataType() + ". Load it into a network of type "
                        + type);
            }
            requireSame(readShapes(data), shapes(network), "the saved weight average");
            read.readWeights(data);
            read.updates = updates;
            return read;
        } catch (EOFException e) {
            throw new IOException("The weight average is cut off. Use one that was saved whole", e);
        }
    }

    private static Map<String, long[]> readShapes(DataInputStream data) throws IOException {
        int count = data.readInt();
        Map<String, long[]> shapes = new LinkedHashMap<>();
        for (int i = 0; i < count; i++) {
            String name = data.readUTF();
            int rank = data.readInt();
            if (rank < 0 || rank > 32) {
                throw new IOException("The weight average is damaged: " + name + " has " + rank + " axes");
            }
            long[] shape = new long[rank];
            for (int axis = 0; axis < rank; axis++) {
                shape[axis] = data.readLong();
            }
            shapes.put(name, shape);
        }
        return shapes;
    }

    private void readWeights(DataInputStream data) throws IOException {
        int width = average.dataType().width();
        byte[] bytes = new byte[CHUNK * width];
        ByteBuffer buffer = ByteBuffer.wrap(bytes);
        for (long from = 0; from < average.length(); from += CHUNK) {
            INDArray part = part(average, from, CHUNK);
            int length = (int) part.length();
            data.readFully(bytes, 0, length * width);
            try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
                INDArray values;
                if (average.dataType() == DataType.DOUBLE) {
                    double[] numbers = new double[length];
                    buffer.asDoubleBuffer().get(numbers);
                    values = Nd4j.createFromArray(numbers);
                } else {
                    float[] numbers = new float[length];
                    buffer.asFloatBuffer().get(numbers);
                    values = Nd4j.createFromArray(numbers);
                }
                part.assign(values);
                // not left to the collector, which would not hurry
                values.close();
            }
        }
    }

    /** All parameters as one vector [P]: a view. */
    private static INDArray weights(Model network) {
        INDArray weights = network.params();
        if (weights == null || weights.isEmpty()) {
            throw new IllegalArgumentException(
                    "A weight average needs a network with weights. Call init() before it is made");
        }
        if (weights.dataType() != DataType.FLOAT && weights.dataType() != DataType.DOUBLE) {
            throw new IllegalArgumentException(
                    "A weight average needs weights of type FLOAT or DOUBLE, got " + weights.dataType());
        }
        return weights.reshape(weights.length());
    }

    private static void eachPart(INDArray mine, INDArray theirs, BiConsumer<INDArray, INDArray> operation) {
        for (long from = 0; from < mine.length(); from += LONGEST_VECTOR) {
            operation.accept(part(mine, from, LONGEST_VECTOR), part(theirs, from, LONGEST_VECTOR));
        }
    }

    private static INDArray part(INDArray vector, long from, long length) {
        return vector.get(NDArrayIndex.interval(from, Math.min(vector.length(), from + length)));
    }

    private static Map<String, long[]> shapes(Model network) {
        Map<String, long[]> shapes = new LinkedHashMap<>();
        network.paramTable()
                .forEach((name, values) -> shapes.put(name, values.shape().clone()));
        return shapes;
    }

    private static void requireSame(Map<String, long[]> ours, Map<String, long[]> theirs, String what) {
        for (String name : ours.keySet()) {
            long[] expected = ours.get(name);
            long[] actual = theirs.get(name);
            if (!Arrays.equals(expected, actual)) {
                throw new IllegalArgumentException("Parameter " + name + " is " + Arrays.toString(expected) + " in "
                        + what + " but " + (actual == null ? "missing" : Arrays.toString(actual))
                        + " in the network. Use the network that the average was made of, or one like it");
            }
        }
        for (String name : theirs.keySet()) {
            if (!ours.containsKey(name)) {
                throw new IllegalArgumentException("The network's parameter " + name + " is not in " + what
                        + ". Use the network that the average was made of, or one like it");
            }
        }
    }
}
