package org.npp4j.benchmarks.layers;

import java.util.List;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.memory.enums.LearningPolicy;
import org.nd4j.linalg.api.memory.enums.SpillPolicy;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.benchmarks.OperationBenchmark;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Setup;

/** A block of GPT-B. The system property {@code npp.kernel} chooses the kernel: -jvmArgsAppend -Dnpp.kernel=nd4j. */
public class TransformerBlockBenchmark extends OperationBenchmark {
    /** Patch side p: 256 / p^2 positions. */
    @Param({"1", "2"})
    public int patchSide;

    private final LayerWorkspaceMgr workspaces = LayerWorkspaceMgr.builder()
            .defaultWorkspace(
                    "BLOCK",
                    WorkspaceConfiguration.builder()
                            .policyLearning(LearningPolicy.FIRST_LOOP)
                            .policySpill(SpillPolicy.REALLOCATE)
                            .build())
            .build();

    private Layer block;
    private INDArray x;
    private INDArray dy;

    /** The block and its input. */
    @Setup
    public void makeBlock() {
        NeuralNetConfiguration configuration = new NeuralNetConfiguration.Builder()
                .dataType(DataType.FLOAT)
                .weightInit(new NormalDistribution(0, 0.02))
                .layer(new TransformerBlock.Builder(TokenGrid.of(16, 16), HEADS, FEED_FORWARD)
                        .nIn(WIDTH)
                        .residualDropout(0.1)
                        .feedForwardDropout(0.1)
                        .build())
                .build();
        long length = configuration.getLayer().initializer().numParams(configuration);
        INDArray parameters = Nd4j.create(DataType.FLOAT, 1, length);
        block = configuration.getLayer().instantiate(configuration, List.of(), 0, parameters, true, DataType.FLOAT);
        block.setBackpropGradientsViewArray(Nd4j.create(DataType.FLOAT, 1, length));
        int positions = POSITIONS / (patchSide * patchSide);
        x = random(BATCH, positions, WIDTH);
        dy = random(BATCH, positions, WIDTH);
    }

    /** Forward, not for training. */
    @Benchmark
    public void forward() {
        try (MemoryWorkspace scope = workspaces.notifyScopeEntered(ArrayType.ACTIVATIONS)) {
            block.setInput(x, workspaces);
            block.activate(false, workspaces);
        }
    }

    /** Forward and backward. */
    @Benchmark
    public void forwardAndBackward() {
        try (MemoryWorkspace scope = workspaces.notifyScopeEntered(ArrayType.ACTIVATIONS)) {
            block.setInput(x, workspaces);
            block.activate(true, workspaces);
            block.backpropGradient(dy, workspaces);
        }
    }
}
