package org.npp4j.benchmarks.layers;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.RotaryTable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Setup;

/** Attention of a whole sequence, as in training. */
public class AttentionBenchmark extends KernelBenchmark {
    private static final AttentionShape SHAPE = new AttentionShape(BATCH, POSITIONS, HEADS, HEADS, WIDTH / HEADS);
    private static final Allocator ALLOCATOR = shape -> create(shape);

    private final RotaryTable rotary = new RotaryTable(TokenGrid.of(16, 16), 1, WIDTH / HEADS, 10_000, DataType.FLOAT);
    private final INDArray source = random(ROWS, WIDTH);
    private final INDArray q = create(ROWS, WIDTH);
    private final INDArray k = create(ROWS, WIDTH);
    private final INDArray v = random(ROWS, WIDTH);
    private final INDArray out = create(ROWS, WIDTH);
    private final INDArray dOut = random(ROWS, WIDTH);
    private final INDArray dq = create(ROWS, WIDTH);
    private final INDArray dk = create(ROWS, WIDTH);
    private final INDArray dv = create(ROWS, WIDTH);

    /** The operation destroys queries and keys. */
    @Setup(Level.Invocation)
    public void refill() {
        q.assign(source);
        k.assign(source);
    }

    /** Forward. */
    @Benchmark
    public void attention() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.attention(SHAPE, q, k, v, null, rotary, ALLOCATOR, ALLOCATOR, out);
        }
    }

    /** Forward and backward. */
    @Benchmark
    public void attentionAndGradient() {
        try (MemoryWorkspace scratch = workspace()) {
            INDArray[] forward = kernel.attention(SHAPE, q, k, v, null, rotary, ALLOCATOR, ALLOCATOR, out);
            kernel.attentionGradient(SHAPE, forward, rotary, dOut, ALLOCATOR, dq, dk, dv);
        }
    }
}
