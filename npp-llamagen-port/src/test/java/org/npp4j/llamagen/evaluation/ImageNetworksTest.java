package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.npp4j.llamagen.evaluation.FrechetDistanceTest.assertMessage;

import java.io.IOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.LossLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.FashionMnistSmall;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;

class ImageNetworksTest {
    @TempDir
    private Path folder;

    private static PixelImages images(int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        new Random(3).nextBytes(pixels);
        return new PixelImages(count, channels, height, width, pixels);
    }

    private static INDArray unit(PixelImages images) {
        return images.toSignedUnit().addi(1).divi(2);
    }

    @Test
    void aClassifierLearns() throws IOException {
        LabelledImages train =
                FashionMnistSmall.load(LabelledImages.Split.TRAIN).firstOfEachClass(8);
        List<Double> progress = new ArrayList<>();
        MultiLayerNetwork network = ImageClassifier.train(train, 10, 0, progress::add);
        assertEquals(1.0, progress.get(progress.size() - 1));
        FeatureNetwork eyes = Dl4jNetwork.of(network, "small", "none");
        assertTrue(ImageClassifier.accuracy(eyes, train.images(), train.labels()) > 0.3);
        assertMessage(
                "2 images and 1 classes",
                () -> ImageClassifier.accuracy(eyes, train.images().range(0, 2), new int[1]));
        assertMessage(
                "images of 8 x 8",
                () -> ImageClassifier.train(
                        new LabelledImages(images(2, 1, 7, 9), new int[] {0, 1}), 1, 0, done -> {}));
    }

    @Test
    void featuresAreTheInputOfTheOutputLayer() throws IOException {
        MultiLayerNetwork network = ImageClassifier.network(images(1, 1, 12, 16), 5, 1, 3);
        Path file = folder.resolve("own.zip");
        ModelSerializer.writeModel(network, file.toFile(), false);
        assertTrue(Dl4jNetwork.isNetwork(file));
        Dl4jNetwork eyes = Dl4jNetwork.load(file, "own");
        assertEquals("own", eyes.name());
        assertEquals(Sha256.of(file), eyes.sha256());
        PixelImages images = images(4, 1, 12, 16);
        FeatureNetwork.Seen seen = eyes.look(images);
        List<INDArray> expected = network.feedForward(unit(images), false);
        assertTrue(expected.get(expected.size() - 2).equalsWithEps(seen.features(), 1e-5));
        assertTrue(expected.get(expected.size() - 1)
                .equalsWithEps(seen.probabilities().orElseThrow(), 1e-5));
        assertTrue(seen.spatialFeatures().isEmpty());
        // the same network as a graph
        Path graph = folder.resolve("graph.zip");
        ModelSerializer.writeModel(network.toComputationGraph(), graph.toFile(), false);
        assertEquals(
                seen.features(), Dl4jNetwork.load(graph, "graph").look(images).features());
        assertMessage("The network own does not take images of 3 x 12 x 16", () -> eyes.look(images(1, 3, 12, 16)));
    }

    @Test
    void denseNetworksTakeImagesAsRows() throws IOException {
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .list()
                .layer(new DenseLayer.Builder()
                        .nIn(2 * 3)
                        .nOut(4)
                        .activation(Activation.TANH)
                        .build())
                .layer(new OutputLayer.Builder(LossFunction.MSE)
                        .nOut(2)
                        .activation(Activation.IDENTITY)
                        .build())
                .setInputType(InputType.feedForward(6))
                .build());
        network.init();
        Path file = folder.resolve("dense.zip");
        ModelSerializer.writeModel(network, file.toFile(), false);
        PixelImages images = images(5, 1, 2, 3);
        FeatureNetwork.Seen seen = Dl4jNetwork.load(file, "dense").look(images);
        assertTrue(network.feedForward(unit(images).reshape(5, 6), false).get(1).equalsWithEps(seen.features(), 1e-5));
        assertTrue(seen.probabilities().isEmpty()); // no softmax
    }

    @Test
    void refusesOtherFiles() throws IOException {
        Path text = Files.writeString(folder.resolve("text.zip"), "text");
        assertFalse(Dl4jNetwork.isNetwork(text));
        assertThrows(IOException.class, () -> Dl4jNetwork.load(text, "text"));
        assertTrue(failure(() -> SameDiffNetwork.load(text, "text")).contains("no network of SameDiff"));
        MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
                .list()
                .layer(new DenseLayer.Builder().nIn(6).nOut(4).build())
                .layer(new LossLayer.Builder(LossFunction.MSE).build())
                .build());
        network.init();
        Path file = folder.resolve("loss.zip");
        ModelSerializer.writeModel(network, file.toFile(), false);
        assertTrue(failure(() -> Dl4jNetwork.load(file, "loss")).contains("ends with no output layer"));
    }

    @Test
    void sameDiffNetworksNameTheirFeatures() throws IOException {
        SameDiff graph = SameDiff.create();
        SDVariable input = graph.placeHolder("images", DataType.FLOAT, -1, 1, 2, 3);
        input.mul(2).rename(SameDiffNetwork.SPATIAL);
        SDVariable sums = input.sum("features", 2, 3); // [n, 1]
        graph.concat("logits", 1, sums, sums.neg());
        graph.nn().softmax(SameDiffNetwork.PROBABILITIES, graph.getVariable("logits"), 1);
        Path file = folder.resolve("graph.fb");
        graph.save(file.toFile(), false);
        SameDiffNetwork eyes = SameDiffNetwork.load(file, "same");
        PixelImages images = images(4, 1, 2, 3);
        FeatureNetwork.Seen seen = eyes.look(images);
        INDArray pixels = unit(images);
        assertTrue(pixels.sum(2, 3).equalsWithEps(seen.features(), 1e-5));
        assertArrayEquals(
                new long[] {4, 6}, seen.spatialFeatures().orElseThrow().shape());
        assertTrue(
                pixels.mul(2).reshape(4, 6).equalsWithEps(seen.spatialFeatures().orElseThrow(), 1e-5));
        assertTrue(Nd4j.ones(DataType.FLOAT, 4)
                .equalsWithEps(seen.probabilities().orElseThrow().sum(1), 1e-5));
        SameDiff other = SameDiff.create();
        other.placeHolder("images", DataType.FLOAT, -1, 1).mul("twice", 2);
        Path nameless = folder.resolve("other.fb");
        other.save(nameless.toFile(), false);
        assertTrue(failure(() -> SameDiffNetwork.load(nameless, "other")).contains("a variable \"features\""));
    }

    private static String failure(org.junit.jupiter.api.function.Executable executable) {
        return assertThrows(FileSystemException.class, executable).getReason();
    }
}
