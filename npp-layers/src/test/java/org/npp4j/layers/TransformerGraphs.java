package org.npp4j.layers;

import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Small transformer graphs for tests: [class, patches] through blocks and a norm, all positions into one squared error. */
final class TransformerGraphs {
    static final int VOCABULARY = 7;
    static final int CLASSES = 3;
    static final int OUTPUTS = 5;

    private TransformerGraphs() {}

    static ComputationGraph graph(
            TokenGrid grid, int patchSide, DataType type, IUpdater updater, TransformerBlock.Builder... blocks) {
        int width = (int) blocks[0].getNIn();
        int positions = grid.ofPatches(patchSide).tokens();
        ComputationGraphConfiguration.GraphBuilder builder = new NeuralNetConfiguration.Builder()
                .seed(1)
                .dataType(type)
                .updater(updater)
                .weightInit(new NormalDistribution(0, 0.3))
                .graphBuilder()
                .addInputs("tokens", "classes")
                .setInputTypes(InputType.feedForward(grid.tokens()), InputType.feedForward(1))
                .addLayer("tokenEmbedding", new TokenEmbedding.Builder(VOCABULARY, width).build(), "tokens")
                .addLayer(
                        "classEmbedding",
                        TokenEmbedding.ofClasses(CLASSES, width, 0).build(),
                        "classes")
                .addVertex("patches", new PreprocessorVertex(new PatchAverage(grid, patchSide)), "tokenEmbedding")
                .addVertex("sequence", new ClassPrefix(), "classEmbedding", "patches");
        String last = "sequence";
        for (int i = 0; i < blocks.length; i++) {
            builder.addLayer("block" + i, blocks[i].build(), last);
            last = "block" + i;
        }
        builder.addLayer("norm", new RmsNorm.Builder().build(), last)
                .addVertex("flat", new ReshapeVertex('c', new int[] {-1, positions * width}, null), "norm")
                .addLayer(
                        "out",
                        new OutputLayer.Builder(LossFunctions.LossFunction.MSE)
                                .nIn(positions * width)
                                .nOut(OUTPUTS)
                                .activation(Activation.IDENTITY)
                                .build(),
                        "flat")
                .setOutputs("out");
        ComputationGraph graph = new ComputationGraph(builder.build());
        graph.init();
        return graph;
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
