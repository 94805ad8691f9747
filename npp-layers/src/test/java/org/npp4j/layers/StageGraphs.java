package org.npp4j.layers;

import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.LossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.NoOp;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Graphs of layers on sequences of vectors: x - projection - the layers - squared error over all numbers. */
final class StageGraphs {
    static final StageLengths STAGES = StageLengths.of(2, 3, 5);

    private StageGraphs() {}

    /** The projection in front passes the gradient of the layers' input on to its weights. Every parameter is random. */
    static ComputationGraph of(DataType type, int positions, int width, Layer... layers) {
        ComputationGraphConfiguration.GraphBuilder builder = new NeuralNetConfiguration.Builder()
                .seed(1)
                .dataType(type)
                .updater(new NoOp())
                .weightInit(new NormalDistribution(0, 0.3))
                .graphBuilder()
                .addInputs("x")
                .setInputTypes(InputType.recurrent(width, positions, RNNFormat.NWC))
                .addLayer("projection", new LinearProjection.Builder(width).build(), "x");
        String last = "projection";
        for (int i = 0; i < layers.length; i++) {
            builder.addLayer("layer" + i, layers[i], last);
            last = "layer" + i;
        }
        ComputationGraph graph =
                new ComputationGraph(builder.addVertex("flat", new ReshapeVertex('c', new int[] {3, -1}, null), last)
                        .addLayer(
                                "loss",
                                new LossLayer.Builder(LossFunctions.LossFunction.MSE)
                                        .activation(Activation.IDENTITY)
                                        .build(),
                                "flat")
                        .setOutputs("loss")
                        .build());
        graph.init();
        Nd4j.getRandom().setSeed(3);
        graph.setParams(Nd4j.randn(type, graph.params().shape()).muli(0.3));
        return graph;
    }

    /** Three sequences and their targets. */
    static MultiDataSet data(DataType type, int positions, int in, int out) {
        Nd4j.getRandom().setSeed(5);
        return new MultiDataSet(
                new INDArray[] {Nd4j.randn(type, 3, positions, in)},
                new INDArray[] {Nd4j.randn(type, 3, (long) positions * out).muli(0.1)});
    }
}
