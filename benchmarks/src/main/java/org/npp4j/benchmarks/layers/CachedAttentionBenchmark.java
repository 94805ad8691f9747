package org.npp4j.benchmarks.layers;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.benchmarks.KernelBenchmark;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.layers.kernel.RotaryTable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.TearDown;

/** Attention of the next position to a cache, as in sampling: the mean over the positions of an image. */
public class CachedAttentionBenchmark extends KernelBenchmark {
    /** Images, both halves of guidance counted. */
    @Param({"8", "32"})
    public int rows;

    private final RotaryTable rotary = new RotaryTable(TokenGrid.of(16, 16), 1, WIDTH / HEADS, 10_000, DataType.FLOAT);

    private AttentionShape shape;
    private KeyValueCache cache;
    private INDArray source;
    private INDArray qkv;
    private INDArray out;

    /** Arrays of this many rows. */
    @Setup
    public void makeArrays() {
        shape = new AttentionShape(rows, 1, HEADS, HEADS, WIDTH / HEADS);
        cache = new KeyValueCache(DataType.FLOAT, rows, HEADS, POSITIONS, WIDTH / HEADS);
        source = random(rows, 3 * WIDTH);
        qkv = create(rows, 3 * WIDTH);
        out = create(rows, WIDTH);
    }

    /** Frees the cache. */
    @TearDown
    public void close() {
        cache.close();
    }

    /** The operation destroys its input; behind the last position a new image starts. */
    @Setup(Level.Invocation)
    public void next() {
        qkv.assign(source);
        if (cache.length() == cache.capacity()) {
            cache.clear();
        }
    }

    /** One position. */
    @Benchmark
    public void cachedAttention() {
        try (MemoryWorkspace scratch = workspace()) {
            kernel.cachedAttention(shape, qkv, rotary, cache, dimensions -> create(dimensions), out);
        }
    }
}
