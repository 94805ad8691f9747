package org.npp4j.layers;

import java.util.List;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.distribution.NormalDistribution;
import org.deeplearning4j.nn.conf.graph.ReshapeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.LossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Sgd;
import org.nd4j.linalg.lossfunctions.LossFunctions;

/** Backward passes of the layers on images against central differences; the first layer's sees the gradient of the input. */
class ImageGradientTest {

    @BeforeAll
    static void computeInDouble() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
    }

    @AfterAll
    static void computeInFloat() {
        Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
    }

    /** A graph whose first layer is a convolution, so that the gradient of the layer's input is seen. */
    record Case(String name, int height, int width, List<Layer> layers) {
        @Override
        public String toString() {
            return name + ", " + height + " x " + width;
        }
    }

    static List<Case> cases() {
        return List.of(
                new Case("3 x 3", 4, 3, List.of(convolution(3).build())),
                new Case("1 x 1", 3, 2, List.of(convolution(1).build())),
                new Case(
                        "2 x 2",
                        3,
                        4,
                        List.of(convolution(2).padding(0, 0, 1, 1).build())),
                new Case(
                        "below and right only",
                        4,
                        5,
                        List.of(convolution(3).stride(2).padding(0, 0, 1, 1).build())),
                new Case("stride 2", 5, 4, List.of(convolution(3).stride(2).build())),
                new Case(
                        "stride 3",
                        7,
                        5,
                        List.of(convolution(2).stride(3).padding(1, 0, 0, 1).build())),
                new Case(
                        "upsampling",
                        2,
                        3,
                        List.of(convolution(3).upsample(true).build())),
                new Case(
                        "upsampling, stride 2",
                        3,
                        2,
                        List.of(convolution(3).upsample(true).stride(2).build())),
                new Case(
                        "upsampling, 1 x 1",
                        2,
                        2,
                        List.of(convolution(1).upsample(true).build())),
                new Case("norm", 3, 2, List.of(new GroupNorm.Builder(2).build())),
                new Case("norm of one group", 2, 2, List.of(new GroupNorm.Builder(1).build())),
                new Case(
                        "norm of single channels",
                        2,
                        3,
                        List.of(new GroupNorm.Builder(4).epsilon(0.1).build())),
                new Case(
                        "norm and swish",
                        3,
                        2,
                        List.of(new GroupNorm.Builder(2).swish(true).build())),
                new Case(
                        "norm and swish of a pixel",
                        1,
                        1,
                        List.of(new GroupNorm.Builder(2).swish(true).build())),
                new Case("block", 3, 2, List.of(new ResidualBlock.Builder(2).build())),
                new Case(
                        "block of other channels",
                        2,
                        3,
                        List.of(new ResidualBlock.Builder(2).nOut(6).build())),
                new Case(
                        "block of a pixel",
                        1,
                        1,
                        List.of(new ResidualBlock.Builder(1).epsilon(0.2).build())),
                new Case("attention", 2, 3, List.of(new SpatialSelfAttention.Builder(2).build())),
                new Case("attention of a pixel", 1, 1, List.of(new SpatialSelfAttention.Builder(2).build())),
                new Case(
                        "all",
                        3,
                        4,
                        List.of(
                                new ResidualBlock.Builder(2).build(),
                                new SpatialSelfAttention.Builder(1).build(),
                                convolution(3).stride(2).padding(0, 0, 1, 1).build(),
                                new ResidualBlock.Builder(1).nOut(2).build(),
                                convolution(3).upsample(true).build(),
                                new GroupNorm.Builder(3).swish(true).build())));
    }

    private static ImageConvolution.Builder convolution(int kernelSize) {
        return new ImageConvolution.Builder(kernelSize).nOut(3);
    }

    static ComputationGraph graph(DataType type, long height, long width, List<Layer> layers) {
        ComputationGraphConfiguration.GraphBuilder builder = new NeuralNetConfiguration.Builder()
                .seed(5)
                .dataType(type)
                .updater(new Sgd(1e-3))
                .weightInit(new NormalDistribution(0, 0.4))
                .graphBuilder()
                .addInputs("images")
                .addLayer("first", new ImageConvolution.Builder(1).nOut(4).build(), "images");
        String last = "first";
        for (int i = 0; i < layers.size(); i++) {
            builder.addLayer("layer" + i, layers.get(i), last);
            last = "layer" + i;
        }
        InputType image = InputType.convolutional(height, width, 3, CNN2DFormat.NHWC);
        InputType shape = InputType.convolutional(height, width, 4, CNN2DFormat.NHWC);
        for (Layer layer : layers) {
            Layer copy = layer.clone();
            copy.setNIn(shape, false);
            shape = copy.getOutputType(0, shape);
        }
        int outputs = (int) shape.arrayElementsPerExample();
        ComputationGraph graph = new ComputationGraph(
                builder.addVertex("flat", new ReshapeVertex('c', new int[] {-1, outputs}, null), last)
                        .addLayer(
                                "loss",
                                new LossLayer.Builder(LossFunctions.LossFunction.MSE)
                                        .activation(Activation.IDENTITY)
                                        .build(),
                                "flat")
                        .setOutputs("loss")
                        .setInputTypes(image)
                        .build());
        graph.init();
        graph.paramTable().forEach((key, array) -> {
            if (array.rank() == 1) {
                array.assign(Nd4j.rand(type, array.shape()).addi(0.5)); // not the 0 and 1 that it starts with
            }
        });
        return graph;
    }

    @ParameterizedTest
    @MethodSource("cases")
    void gradientsMatchNumericalOnes(Case tested) {
        ComputationGraph graph = graph(DataType.DOUBLE, tested.height, tested.width, tested.layers);
        INDArray images = Nd4j.randn(DataType.DOUBLE, 2, tested.height, tested.width, 3);
        INDArray labels = Nd4j.randn(DataType.DOUBLE, graph.outputSingle(images).shape());
        NumericalGradients.check(
                graph, new MultiDataSet(new INDArray[] {images}, new INDArray[] {labels}), 5, () -> {});
    }
}
