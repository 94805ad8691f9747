package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.kernel.ConvolutionWindow;

/** How the layers on images behave as parts of configurations and networks. */
class ImageLayersTest {

    private static InputType images(long height, long width, long channels) {
        return InputType.convolutional(height, width, channels, CNN2DFormat.NHWC);
    }

    private static ImageConvolution.Builder down() {
        return new ImageConvolution.Builder(3).stride(2).padding(0, 0, 1, 1);
    }

    /** Each layer and option, with 4 input channels. */
    static List<org.deeplearning4j.nn.conf.layers.Layer> layers() {
        return List.of(
                new ImageConvolution.Builder(3).nIn(4).nOut(6).build(),
                new ImageConvolution.Builder(1).nIn(4).nOut(6).build(),
                down().nIn(4).nOut(2).build(),
                new ImageConvolution.Builder(3).nIn(4).nOut(4).upsample(true).build(),
                new GroupNorm.Builder(2).nIn(4).build(),
                new GroupNorm.Builder(1).nIn(4).build(),
                new GroupNorm.Builder(2).nIn(4).epsilon(0.25).build(),
                new GroupNorm.Builder(2).nIn(4).swish(true).build(),
                new ResidualBlock.Builder(2).nIn(4).build(),
                new ResidualBlock.Builder(2).nIn(4).nOut(6).build(),
                new ResidualBlock.Builder(1).nIn(4).build(),
                new ResidualBlock.Builder(2).nIn(4).epsilon(0.5).build(),
                new SpatialSelfAttention.Builder(4).nIn(4).build(),
                new SpatialSelfAttention.Builder(2).nIn(4).build(),
                new SpatialSelfAttention.Builder(4).nIn(4).epsilon(0.5).build());
    }

    @Test
    void equalsAndJson() throws IOException {
        List<org.deeplearning4j.nn.conf.layers.Layer> layers = layers();
        for (int i = 0; i < layers.size(); i++) {
            org.deeplearning4j.nn.conf.layers.Layer layer = layers.get(i);
            assertEquals(layer, layer.clone());
            assertEquals(layer.hashCode(), layer.clone().hashCode());
            String json = NeuralNetConfiguration.mapper().writeValueAsString(layer);
            assertEquals(
                    layer,
                    NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.layers.Layer.class));
            for (int j = 0; j < layers.size(); j++) {
                if (i != j) {
                    assertNotEquals(layer, layers.get(j));
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("layers")
    void viewsAndOrdersAreReadCorrectly(org.deeplearning4j.nn.conf.layers.Layer configuration) {
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            Layer layer = SingleLayer.of(configuration, type, 3);
            INDArray wide = Nd4j.randn(type, 3, 6, 7, 8);
            INDArray view = wide.get(
                    NDArrayIndex.interval(1, 3),
                    NDArrayIndex.interval(1, 5),
                    NDArrayIndex.interval(2, 5),
                    NDArrayIndex.interval(3, 7));
            INDArray plain = view.dup('c');
            INDArray expected = SingleLayer.forward(layer, plain.dup('c'), true).dup();
            INDArray epsilon = Nd4j.randn(type, expected.shape());
            Pair<Gradient, INDArray> back = layer.backpropGradient(epsilon.dup('c'), SingleLayer.NO_WORKSPACES);
            INDArray dx = back.getSecond().dup();
            INDArray parameters = layer.getGradientsViewArray().dup();
            for (INDArray input : new INDArray[] {view, plain.dup('f')}) {
                assertEquals(expected, SingleLayer.forward(layer, input, false));
                assertEquals(expected, SingleLayer.forward(layer, input, true));
                back = layer.backpropGradient(epsilon.dup('f'), SingleLayer.NO_WORKSPACES);
                assertEquals(dx, back.getSecond());
                assertEquals(parameters, layer.getGradientsViewArray());
            }
            assertEquals(plain, view, "the input changed");
            assertEquals(
                    layer.paramTable().keySet(),
                    back.getFirst().gradientForVariable().keySet());
        }
    }

    @Test
    void parametersAndTheirStart() {
        ResidualBlock.Builder builder = new ResidualBlock.Builder(2).nIn(4).nOut(6);
        builder.weightDecay(0.1, true);
        ResidualBlock block = builder.build();
        assertEquals(
                List.of(
                        "normGain1",
                        "normBias1",
                        "W1",
                        "b1",
                        "normGain2",
                        "normBias2",
                        "W2",
                        "b2",
                        "Wshortcut",
                        "bshortcut"),
                block.initializer().paramKeys(block));
        assertEquals(List.of("W1", "W2", "Wshortcut"), block.initializer().weightKeys(block));
        assertEquals(
                List.of("normBias1", "b1", "normBias2", "b2", "bshortcut"),
                block.initializer().biasKeys(block));
        assertTrue(block.convolvesShortcut());
        long length = block.initializer().numParams(block);
        assertEquals(4 + 4 + 36 * 6 + 6 + 6 + 6 + 54 * 6 + 6 + 24 + 6, length);
        NeuralNetConfiguration configuration =
                new NeuralNetConfiguration.Builder().layer(block).build();
        Layer layer = configuration
                .getLayer()
                .instantiate(configuration, null, 0, Nd4j.create(DataType.FLOAT, 1, length), true, DataType.FLOAT);
        assertEquals(Nd4j.ones(DataType.FLOAT, 4), layer.getParam(ResidualBlock.NORM_GAIN_1));
        assertEquals(Nd4j.zeros(DataType.FLOAT, 6), layer.getParam(ResidualBlock.NORM_BIAS_2));
        assertEquals(Nd4j.zeros(DataType.FLOAT, 6), layer.getParam(ResidualBlock.BIAS_1));
        assertTrue(layer.getParam(ResidualBlock.WEIGHT_1).norm2Number().doubleValue() > 0);
        for (String key : block.initializer().paramKeys(block)) {
            boolean decayed = block.getRegularizationByParam(key) != null
                    && !block.getRegularizationByParam(key).isEmpty();
            assertEquals(key.startsWith("W"), decayed, key);
        }
    }

    /** The statement of the javadoc: the bytes of a weight [out, in, k, k] permuted to [out, k, k, in]. */
    @Test
    void weightsAreThoseOfPyTorchPermuted() {
        Layer layer =
                SingleLayer.of(new ImageConvolution.Builder(3).nIn(2).nOut(3).build(), DataType.DOUBLE, 1);
        INDArray torch = Nd4j.rand(DataType.DOUBLE, 3, 2, 3, 3);
        layer.getParam(ImageConvolution.WEIGHT)
                .assign(torch.permute(0, 2, 3, 1).dup('c').reshape('c', 3, 18).transpose());
        layer.getParam(ImageConvolution.BIAS).assign(0);
        INDArray x = Nd4j.rand(DataType.DOUBLE, 1, 3, 3, 2);
        double expected = 0;
        for (int i = 0; i < 3; i++) {
            for (int j = 0; j < 3; j++) {
                for (int c = 0; c < 2; c++) {
                    expected += x.getDouble(0, i, j, c) * torch.getDouble(2, c, i, j);
                }
            }
        }
        assertEquals(expected, SingleLayer.forward(layer, x, false).getDouble(0, 1, 1, 2), 1e-12);
    }

    /** A small autoencoder: every layer, down and up. */
    private static ComputationGraph autoencoder(DataType type) {
        return ImageGradientTest.graph(
                type,
                8,
                6,
                List.of(
                        new ResidualBlock.Builder(2).build(),
                        down().nOut(6).build(),
                        new ResidualBlock.Builder(2).nOut(8).build(),
                        new SpatialSelfAttention.Builder(4).build(),
                        new ImageConvolution.Builder(3).nOut(4).upsample(true).build(),
                        new GroupNorm.Builder(2).swish(true).build(),
                        new ImageConvolution.Builder(3).nOut(3).build()));
    }

    @Test
    void theSameNetworkTakesOtherSizes() {
        ComputationGraph graph = autoencoder(DataType.FLOAT);
        for (int[] size : new int[][] {{8, 6}, {2, 2}, {16, 10}, {8, 6}, {3, 5}}) {
            INDArray x = Nd4j.randn(DataType.FLOAT, 2, size[0], size[1], 3);
            INDArray y = graph.feedForward(x, 7, false).get("layer6");
            // the convolution with stride 2 rounds an odd side down
            assertEquals(List.of(2L, size[0] / 2 * 2L, size[1] / 2 * 2L, 3L), longs(y.shape()));
            // each image by itself
            INDArray first = graph.feedForward(
                            x.get(NDArrayIndex.interval(0, 1)).dup('c'), 7, false)
                    .get("layer6");
            assertEquals(
                    0,
                    first.distance2(y.get(NDArrayIndex.interval(0, 1))),
                    1e-4 * first.norm2Number().doubleValue());
        }
    }

    private static List<Long> longs(long[] values) {
        return Arrays.stream(values).boxed().toList();
    }

    @Test
    void floatAndDoubleAgree() {
        ComputationGraph single = autoencoder(DataType.FLOAT);
        ComputationGraph exact = autoencoder(DataType.DOUBLE);
        exact.params().assign(single.params().castTo(DataType.DOUBLE));
        INDArray x = Nd4j.randn(DataType.FLOAT, 2, 8, 6, 3);
        INDArray labels = Nd4j.randn(DataType.FLOAT, 2, 8 * 6 * 3);
        single.setInputs(x);
        single.setLabels(labels);
        single.computeGradientAndScore();
        exact.setInputs(x.castTo(DataType.DOUBLE));
        exact.setLabels(labels.castTo(DataType.DOUBLE));
        exact.computeGradientAndScore();
        assertEquals(exact.score(), single.score(), 1e-4 * exact.score());
        INDArray expected = exact.gradient().gradient();
        INDArray actual = single.gradient().gradient().castTo(DataType.DOUBLE);
        assertTrue(expected.distance2(actual) < 1e-4 * expected.norm2Number().doubleValue());
    }

    @Test
    void aNetworkRunsInWorkspacesAndIsSaved(@TempDir Path folder) throws IOException {
        ComputationGraph graph = autoencoder(DataType.FLOAT);
        ComputationGraph without = autoencoder(DataType.FLOAT);
        without.params().assign(graph.params());
        without.getConfiguration().setTrainingWorkspaceMode(WorkspaceMode.NONE);
        without.getConfiguration().setInferenceWorkspaceMode(WorkspaceMode.NONE);
        INDArray x = Nd4j.randn(DataType.FLOAT, 4, 8, 6, 3);
        DataSet data = new DataSet(x, x.reshape('c', 4, 8 * 6 * 3));
        INDArray start = graph.params().dup();
        for (int i = 0; i < 3; i++) {
            graph.fit(data);
            without.fit(data);
        }
        assertNotEquals(start, graph.params());
        assertEquals(without.params(), graph.params());
        assertEquals(without.outputSingle(x), graph.outputSingle(x));
        File file = folder.resolve("network.zip").toFile();
        graph.save(file);
        ComputationGraph loaded = ComputationGraph.load(file, false);
        assertEquals(graph.getConfiguration(), loaded.getConfiguration());
        assertEquals(graph.outputSingle(x), loaded.outputSingle(x));
    }

    @Test
    void shapesFollowTheInput() {
        ImageConvolution convolution = down().nOut(5).build();
        convolution.setNIn(images(8, 5, 3), true);
        assertEquals(3, convolution.getNIn());
        assertEquals(images(4, 2, 5), convolution.getOutputType(0, images(8, 5, 3)));
        assertEquals(new ConvolutionWindow(3, 2, 0, 0, 1, 1, false), convolution.getWindow());
        ImageConvolution up =
                new ImageConvolution.Builder(3).nOut(2).upsample(true).build();
        assertEquals(images(6, 8, 2), up.getOutputType(0, images(3, 4, 7)));
        ResidualBlock block = new ResidualBlock.Builder(1).build();
        block.setNIn(images(8, 5, 3), true);
        assertEquals(images(8, 5, 3), block.getOutputType(0, images(8, 5, 3)));
        GroupNorm norm = new GroupNorm.Builder(3).build();
        norm.setNIn(images(8, 5, 3), true);
        assertEquals(images(2, 2, 3), norm.getOutputType(0, images(2, 2, 3)));
        assertEquals(3, norm.getGroups());
        assertEquals(1e-6, norm.getEpsilon());
        assertNull(norm.getPreProcessorForInputType(images(8, 5, 3)));
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertEquals(
                "The kernel size must be at least 1, got 0", Refusal.ofArgument(() -> new ImageConvolution.Builder(0)));
        assertEquals("The stride must be at least 1, got 0", Refusal.ofArgument(() -> new ImageConvolution.Builder(3)
                .stride(0)));
        assertEquals(
                "The padding of a kernel of size 3 is from 0 to 2 on each side, got top 0, left 3, bottom 1, right 1",
                Refusal.ofArgument(() -> new ImageConvolution.Builder(3).padding(0, 3, 1, 1)));
        assertEquals(
                "ImageConvolution \"c\" needs nOut(channels) of at least 1, got 0",
                Refusal.ofArgument(
                        () -> new ImageConvolution.Builder(3).name("c").build()));
        assertEquals("Groups must be at least 1, got 0", Refusal.ofArgument(() -> new GroupNorm.Builder(0)));
        assertEquals("Groups must be at least 1, got -1", Refusal.ofArgument(() -> new ResidualBlock.Builder(-1)));
        assertEquals("Groups must be at least 1, got 0", Refusal.ofArgument(() -> new SpatialSelfAttention.Builder(0)));
        assertEquals(
                "The epsilon of a group norm must be above 0, got 0.0",
                Refusal.ofArgument(() -> new GroupNorm.Builder(2).epsilon(0)));
        assertEquals(
                "The epsilon of a group norm must be above 0, got NaN",
                Refusal.ofArgument(() -> new ResidualBlock.Builder(2).epsilon(Double.NaN)));
        assertEquals(
                "GroupNorm: 3 groups do not divide 4 channels. Set groups(n) with an n that does",
                Refusal.ofArgument(() -> new GroupNorm.Builder(3).nIn(4).build()));
        assertEquals(
                "ResidualBlock: 2 groups do not divide 5 channels. Set groups(n) with an n that does",
                Refusal.ofArgument(
                        () -> new ResidualBlock.Builder(2).nIn(4).nOut(5).build()));
        assertEquals(
                "SpatialSelfAttention needs its channels: set nIn(channels) or the network's input types, got 0",
                Refusal.ofArgument(
                        () -> SingleLayer.of(new SpatialSelfAttention.Builder(2).build(), DataType.FLOAT, 1)));
        GroupNorm norm = new GroupNorm.Builder(2).name("n").nIn(4).build();
        assertEquals(
                "GroupNorm \"n\" is set up for 4 channels, but the layer before it gives 6. Leave nIn out or make them"
                        + " equal",
                Refusal.ofArgument(() -> norm.setNIn(images(2, 2, 6), false)));
        String message = Refusal.ofArgument(() -> norm.getOutputType(0, InputType.convolutional(2, 2, 4)));
        assertTrue(message.startsWith("GroupNorm \"n\" works on images [batch, height, width, channels]"), message);
        assertTrue(message.endsWith("Set the data format of the layer before it to CNN2DFormat.NHWC"), message);
        ImageConvolution valid = new ImageConvolution.Builder(3)
                .padding(0, 0, 0, 0)
                .nIn(4)
                .nOut(2)
                .build();
        assertEquals(
                "An image of 2 pixels with 0 + 0 pixels of padding is too small for a kernel of size 3. Give larger"
                        + " images or pad more",
                Refusal.ofArgument(() -> valid.getOutputType(0, images(2, 5, 4))));
        Layer layer = SingleLayer.of(valid, DataType.FLOAT, 1);
        message = Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.create(DataType.FLOAT, 1, 5, 5, 3), false));
        assertTrue(message.startsWith("Expected images [batch, height, width, 4], got [1, 5, 5, 3]"), message);
        message = Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.create(DataType.FLOAT, 5, 5, 4), false));
        assertTrue(message.startsWith("Expected images [batch, height, width, 4], got [5, 5, 4]"), message);
    }

    @Test
    void theBackwardPassNeedsATrainingForwardPass() {
        for (org.deeplearning4j.nn.conf.layers.Layer configuration : List.<org.deeplearning4j.nn.conf.layers.Layer>of(
                new GroupNorm.Builder(2).nIn(4).build(),
                new ResidualBlock.Builder(2).nIn(4).build(),
                new SpatialSelfAttention.Builder(2).nIn(4).build())) {
            Layer layer = SingleLayer.of(configuration, DataType.FLOAT, 1);
            INDArray x = Nd4j.rand(DataType.FLOAT, 1, 2, 2, 4);
            SingleLayer.forward(layer, x, false);
            String message = Refusal.ofState(() -> layer.backpropGradient(x, SingleLayer.NO_WORKSPACES));
            assertTrue(
                    message.startsWith("The backward pass needs the training forward pass of the same input before it"),
                    message);
        }
    }
}
