package org.npp4j.llamagen.evaluation;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.npp4j.llamagen.evaluation.FrechetDistanceTest.assertMessage;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.PixelImages;
import org.tensorflow.framework.GraphDef;
import org.tensorflow.framework.NodeDef;

class InceptionNetworkTest {
    private static final double TOLERANCE = 2e-5;

    @TempDir
    private Path folder;

    private final InceptionLikeGraph small = new InceptionLikeGraph();

    private Path save(GraphDef graph) throws IOException {
        return Files.write(folder.resolve("graph.pb"), graph.toByteArray());
    }

    private static PixelImages images(int count, int channels, int height, int width) {
        byte[] pixels = new byte[count * channels * height * width];
        new Random(3).nextBytes(pixels);
        return new PixelImages(count, channels, height, width, pixels);
    }

    private static double[][][] image(PixelImages images, int index) {
        double[][][] image = new double[images.height()][images.width()][3];
        for (int y = 0; y < images.height(); y++) {
            for (int x = 0; x < images.width(); x++) {
                for (int c = 0; c < 3; c++) {
                    image[y][x][c] = images.pixel(index, Math.min(c, images.channels() - 1), y, x);
                }
            }
        }
        return image;
    }

    private static void assertRow(double[] expected, INDArray actual) {
        double largest = 0;
        for (double value : expected) {
            largest = Math.max(largest, Math.abs(value));
        }
        assertArrayEquals(expected, actual.toDoubleVector(), TOLERANCE * largest);
    }

    /** Larger and smaller than the size in the graph, grey and in colour. */
    @ParameterizedTest
    @CsvSource({"2, 3, 9, 11", "3, 1, 28, 28", "1, 3, 64, 50", "2, 3, 29, 29"})
    void seesWhatPlainLoopsSee(int count, int channels, int height, int width) throws IOException {
        Path file = save(small.graph());
        InceptionNetwork network = InceptionNetwork.load(file);
        assertEquals("inception-2015", network.name());
        assertEquals(Sha256.of(file), network.sha256());
        PixelImages images = images(count, channels, height, width);
        FeatureNetwork.Seen seen = network.look(images);
        INDArray spatial = seen.spatialFeatures().orElseThrow();
        INDArray probabilities = seen.probabilities().orElseThrow();
        assertArrayEquals(
                new long[] {count, InceptionLikeGraph.FEATURES}, seen.features().shape());
        assertArrayEquals(new long[] {count, 6 * 6 * 7}, spatial.shape());
        assertArrayEquals(new long[] {count, InceptionLikeGraph.CLASSES}, probabilities.shape());
        for (int i = 0; i < count; i++) {
            double[][][] at = small.spatial(image(images, i));
            double[] firstChannels = new double[6 * 6 * 7];
            for (int k = 0; k < firstChannels.length; k++) {
                firstChannels[k] = at[k / 7 / 6][k / 7 % 6][k % 7];
            }
            assertRow(firstChannels, spatial.getRow(i));
            double[] features = small.features(at);
            assertRow(features, seen.features().getRow(i));
            assertRow(small.probabilities(features), probabilities.getRow(i));
        }
    }

    @Test
    void refusesOtherImagesAndFiles() throws IOException {
        InceptionNetwork network = InceptionNetwork.load(save(small.graph()));
        assertMessage("of 3 channels, or of 1, got 4", () -> network.look(images(1, 4, 8, 8)));
        Path text = Files.writeString(folder.resolve("text.pb"), "some text", StandardCharsets.UTF_8);
        assertFailure("no frozen TensorFlow graph", text);
        GraphDef.Builder other = GraphDef.newBuilder();
        small.graph().getNodeList().stream()
                .filter(node -> !node.getName().equals("mixed_6/conv"))
                .forEach(other::addNode);
        assertFailure("no node \"mixed_6/conv\"", save(other.build()));
        GraphDef.Builder unknown = GraphDef.newBuilder();
        for (NodeDef node : small.graph().getNodeList()) {
            unknown.addNode(node.getName().equals("pool") ? node.toBuilder().setOp("Unheard") : node.toBuilder());
        }
        assertFailure("is a Unheard, which this import does not know", save(unknown.build()));
    }

    private static void assertFailure(String part, Path file) {
        String reason = assertThrows(FileSystemException.class, () -> InceptionNetwork.load(file))
                .getReason();
        assertTrue(reason.contains(part), reason);
    }
}
