package org.npp4j.layers;

import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Small transformer graphs for tests: [class, patches] through blocks and a norm into a squared error. */
final class TransformerGraphs {
    static final int VOCABULARY = 7;
    static final int CLASSES = 3;
    static final int OUTPUTS = 5;

    private final PatchAverage average;
    private final TransformerBlock.Builder[] blocks;
    private DataType type = DataType.DOUBLE;
    private IUpdater updater = new NoOp();
    private WorkspaceMode workspaces = WorkspaceMode.ENABLED;
    private double classDropout;
    private double weightDecay;
    private int conditionTokens = 1;

    private TransformerGraphs(PatchAverage average, TransformerBlock.Builder... blocks) {
        this.average = average;
        this.blocks = blocks;
    }

    /** A graph in double, without updates, dropout or decay. */
    static TransformerGraphs of(PatchAverage average, TransformerBlock.Builder... blocks) {
        return new TransformerGraphs(average, blocks);
    }

    TransformerGraphs type(DataType value) {
        type = value;
        return this;
    }

    TransformerGraphs updater(IUpdater value) {
        updater = value;
        return this;
    }

    TransformerGraphs workspaces(WorkspaceMode value) {
        workspaces = value;
        return this;
    }

    TransformerGraphs classDropout(double value) {
        classDropout = value;
        return this;
    }

    /** Set for each layer: a global one is applied twice by Deeplearning4j. */
    TransformerGraphs weightDecay(double value) {
        weightDecay = value;
        return this;
    }

    TransformerGraphs conditionTokens(int value) {
        conditionTokens = value;
        return this;
    }

    /** Up to the vertex "norm", [B, C + K - 1, D]; class ids come as [B, C]. */
    ComputationGraphConfiguration.GraphBuilder trunk() {
        TokenGrid grid = average.getGrid();
        int width = (int) blocks[0].getNIn();
        ComputationGraphConfiguration.GraphBuilder builder = new NeuralNetConfiguration.Builder()
                .seed(1)
                .dataType(type)
                .updater(updater)
                .weightInit(new NormalDistribution(0, 0.3))
                .trainingWorkspaceMode(workspaces)
                .inferenceWorkspaceMode(workspaces)
                .graphBuilder()
                .addInputs("tokens", "classes")
                .setInputTypes(InputType.feedForward(grid.tokens()), InputType.feedForward(conditionTokens))
                .addLayer(
                        "tokenEmbedding",
                        decayed(new TokenEmbedding.Builder(VOCABULARY, width)).build(),
                        "tokens")
                .addLayer(
                        "classEmbedding",
                        decayed(TokenEmbedding.ofClasses(CLASSES, width, classDropout))
                                .build(),
                        "classes")
                .addVertex("patches", new PreprocessorVertex(average), "tokenEmbedding")
                .addVertex("sequence", new ClassPrefix(), "classEmbedding", "patches");
        String last = "sequence";
        for (int i = 0; i < blocks.length; i++) {
            builder.addLayer(
                    "block" + i,
                    decayed(blocks[i].conditionTokens(conditionTokens)).build(),
                    last);
            last = "block" + i;
        }
        return builder.addLayer("norm", decayed(new RmsNorm.Builder()).build(), last);
    }

    private <B extends FeedForwardLayer.Builder<B>> B decayed(B builder) {
        if (weightDecay > 0) {
            builder.weightDecay(weightDecay, true);
        }
        return builder;
    }

    /** All positions side by side into the output: every position has weights of its own, at one patch side. */
    ComputationGraph flat() {
        int positions = conditionTokens
                + average.getGrid().ofPatches(average.getPatchSide()).tokens()
                - 1;
        int width = positions * (int) blocks[0].getNIn();
        return initialised(trunk().addVertex("flat", new ReshapeVertex('c', new int[] {-1, width}, null), "norm")
                .addLayer("out", output().nIn(width).build(), "flat")
                .setOutputs("out")
                .build());
    }

    /** The mean over positions into the output: works at every patch side. */
    ComputationGraphConfiguration pooledConfiguration() {
        return trunk().addLayer(
                        "pool",
                        new GlobalPoolingLayer.Builder(PoolingType.AVG)
                                .poolingDimensions(1)
                                .build(),
                        "norm")
                .addLayer("out", output().nIn((int) blocks[0].getNIn()).build(), "pool")
                .setOutputs("out")
                .build();
    }

    ComputationGraph pooled() {
        return initialised(pooledConfiguration());
    }

    static OutputLayer.Builder output() {
        return new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                .nOut(OUTPUTS)
                .activation(Activation.IDENTITY);
    }

    static ComputationGraph initialised(ComputationGraphConfiguration configuration) {
        ComputationGraph graph = new ComputationGraph(configuration);
        graph.init();
        return graph;
    }

    /** Token ids and class ids for a batch, as whole numbers of the given type. */
    static INDArray[] inputs(int batch, TokenGrid grid, int conditionTokens, DataType type, long seed) {
        return new INDArray[] {
            ids(batch, grid.tokens(), VOCABULARY, seed).castTo(type),
            ids(batch, conditionTokens, CLASSES, seed + 1).castTo(type)
        };
    }

    /** A batch with random targets. */
    static MultiDataSet data(int batch, TokenGrid grid, DataType type, long seed) {
        Random random = new Random(seed);
        double[][] labels = new double[batch][OUTPUTS];
        for (double[] row : labels) {
            for (int i = 0; i < OUTPUTS; i++) {
                row[i] = random.nextGaussian();
            }
        }
        return new MultiDataSet(
                inputs(batch, grid, 1, type, seed),
                new INDArray[] {Nd4j.createFromArray(labels).castTo(type)});
    }

    static INDArray ids(int batch, int length, int vocabulary, long seed) {
        Random random = new Random(seed);
        int[][] ids = new int[batch][length];
        for (int[] row : ids) {
            for (int i = 0; i < length; i++) {
                row[i] = random.nextInt(vocabulary);
            }
        }
        return Nd4j.createFromArray(ids);
    }
}
