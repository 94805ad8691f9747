package org.npp4j.benchmarks;

import java.util.concurrent.TimeUnit;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.memory.enums.LearningPolicy;
import org.nd4j.linalg.api.memory.enums.SpillPolicy;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.Warmup;

/** How operations are measured: mean time in milliseconds, arrays from a workspace as in a layer. */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 5, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 500, timeUnit = TimeUnit.MILLISECONDS)
@Fork(1)
public abstract class OperationBenchmark {
    /** B. */
    protected static final int BATCH = 4;
    /** T. */
    protected static final int POSITIONS = 256;
    /** R = B x T. */
    protected static final int ROWS = BATCH * POSITIONS;
    /** D. */
    protected static final int WIDTH = 768;
    /** F. */
    protected static final int FEED_FORWARD = 2048;
    /** H. */
    protected static final int HEADS = 12;
    /** V. */
    protected static final int VOCABULARY = 16384;
    /** Of the root mean square norm. */
    protected static final double EPSILON = 1e-5;

    private static final String WORKSPACE = "BENCHMARK";

    private static final WorkspaceConfiguration CONFIGURATION = WorkspaceConfiguration.builder()
            .policyLearning(LearningPolicy.FIRST_LOOP)
            .policySpill(SpillPolicy.REALLOCATE)
            .build();

    /** {@return a workspace for the arrays of one call, to close behind it} */
    protected static MemoryWorkspace workspace() {
        return Nd4j.getWorkspaceManager().getAndActivateWorkspace(CONFIGURATION, WORKSPACE);
    }

    /** An array in 'c' order with unspecified content. */
    protected static INDArray create(long... shape) {
        return Nd4j.createUninitialized(DataType.FLOAT, shape, 'c');
    }

    /** Normal numbers in 'c' order. */
    protected static INDArray random(long... shape) {
        return Nd4j.randn(DataType.FLOAT, shape);
    }
}
