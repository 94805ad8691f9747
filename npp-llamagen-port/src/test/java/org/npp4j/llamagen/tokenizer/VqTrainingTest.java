package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.learning.config.Sgd;
import org.npp4j.llamagen.images.ImageDataSetIterator;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.schedule.TorchAdam;

class VqTrainingTest {
    private static final VqConfig SMALL = new VqConfig(List.of(1, 1), 32, 6, 12, 3, 1);
    private static final double STEP = 1e-6;

    @TempDir
    private Path folder;

    /** Images of one colour each. */
    private static PixelImages images(int count) {
        byte[] pixels = new byte[count * 3 * 16];
        Random random = new Random(4);
        for (int plane = 0; plane < count * 3; plane++) {
            java.util.Arrays.fill(pixels, plane * 16, plane * 16 + 16, (byte) random.nextInt(256));
        }
        return new PixelImages(count, 3, 4, 4, pixels);
    }

    @Test
    void fitLearns() {
        VqTraining training =
                new VqTraining.Builder(SMALL, 4, 4).updater(new TorchAdam(2e-3)).build();
        ComputationGraph network = training.init();
        ImageDataSetIterator batches = new ImageDataSetIterator(images(32), 16, true, 1);
        CodebookRestart restart = new CodebookRestart(50, 1);
        network.addListeners(restart);
        network.fit(batches.next());
        double before = network.score();
        for (int epoch = 0; epoch < 40; epoch++) {
            network.fit(batches);
        }
        assertTrue(network.score() < 0.2 * before, before + " -> " + network.score());
        assertTrue(restart.restarted() > 0);
        assertEquals(16 * 4, VqTraining.chosenCodes(network).length);
        VqTokenizer tokenizer = training.tokenizer(network);
        assertTrue(error(tokenizer) < 0.2 * error(training.tokenizer(training.init())));
    }

    private static double error(VqTokenizer tokenizer) {
        PixelImages images = images(32);
        PixelImages decoded = tokenizer.decode(tokenizer.encode(images));
        double sum = 0;
        for (int i = 0; i < images.toBytes().length; i++) {
            sum += Math.pow((images.toBytes()[i] & 0xff) - (decoded.toBytes()[i] & 0xff), 2);
        }
        return sum;
    }

    /** The tokenizer computes what the network computes: codes and images. */
    @Test
    void theTokenizerIsTheNetwork() throws java.io.IOException {
        VqTraining training = new VqTraining.Builder(SMALL, 4, 4).build();
        ComputationGraph network = training.init();
        MultiDataSet batch = new ImageDataSetIterator(images(5), 5, false, 1).next();
        INDArray output = network.outputSingle(batch.getFeatures(0));
        VqTokenizer tokenizer = training.tokenizer(network);
        INDArray images = batch.getFeatures(0).permute(0, 3, 1, 2);
        int[][] ids = tokenizer.encode(images);
        assertArrayEquals(
                VqTraining.chosenCodes(network),
                java.util.Arrays.stream(ids)
                        .flatMapToInt(java.util.Arrays::stream)
                        .toArray());
        assertTrue(tokenizer
                .decodeToSignedUnit(ids)
                .equalsWithEps(output.permute(0, 3, 1, 2).dup('c'), 1e-5));
        // and a network can start from it
        ComputationGraph other =
                new VqTraining.Builder(SMALL, 4, 4).seed(9).build().init();
        training.start(tokenizer, other);
        assertEquals(network.params(), other.params());
        tokenizer.save(folder.resolve("vq.pt"));
        assertArrayEquals(
                ids, VqTokenizer.load(folder.resolve("vq.pt"), null, 4, 4).encode(images));
    }

    /** In the decoder no estimator is involved: its gradients are exact. */
    @Test
    void gradientsOfTheDecoder() {
        VqTraining training = new VqTraining.Builder(SMALL, 4, 4)
                .dataType(DataType.DOUBLE)
                .updater(new Sgd(0))
                .build();
        ComputationGraph network = training.init();
        MultiDataSet batch = new ImageDataSetIterator(images(2), 2, false, 1).next();
        batch.setFeatures(new INDArray[] {batch.getFeatures(0).castTo(DataType.DOUBLE)});
        batch.setLabels(new INDArray[] {batch.getLabels(0).castTo(DataType.DOUBLE)});
        network.setInputs(batch.getFeatures());
        network.setLabels(batch.getLabels());
        network.computeGradientAndScore();
        INDArray gradient = network.gradient().gradient().dup();
        INDArray parameters = network.params();
        Random random = new Random(1);
        long decoder = parameters.length() / 2;
        for (int i = 0; i < 40; i++) {
            long element = decoder + (long) (random.nextDouble() * (parameters.length() - decoder));
            double at = parameters.getDouble(element);
            double up = score(network, batch, element, at + STEP);
            double down = score(network, batch, element, at - STEP);
            parameters.putScalar(element, at);
            double numerical = (up - down) / (2 * STEP);
            // gradients are sums over the 2 images
            assertEquals(2 * numerical, gradient.getDouble(element), 1e-6 + 1e-4 * Math.abs(numerical), "" + element);
        }
    }

    private static double score(ComputationGraph network, MultiDataSet batch, long element, double value) {
        network.params().putScalar(element, value);
        return network.score(batch, true);
    }

    @Test
    void survivesJson() {
        ComputationGraphConfiguration configuration =
                new VqTraining.Builder(SMALL, 4, 4).build().configuration();
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertThrows(IllegalArgumentException.class, () -> new VqTraining.Builder(SMALL, 4, 5));
        VqTraining training = new VqTraining.Builder(SMALL, 4, 4).build();
        VqTokenizer other = VqTokenizer.random(SMALL.withCodebook(13, 3), 4, 4, 1);
        String message = assertThrows(IllegalArgumentException.class, () -> training.start(other, training.init()))
                .getMessage();
        assertTrue(message.contains("the sizes must be equal"), message);
    }

    @Test
    void countsUsage() {
        CodebookUsage usage = new CodebookUsage(8);
        assertEquals(0, usage.perplexity());
        usage.add(new int[][] {{0, 1}, {2, 3}});
        assertEquals(0.5, usage.used());
        assertEquals(4, usage.perplexity(), 1e-12);
        assertEquals(4, usage.total());
        assertThrows(IllegalArgumentException.class, () -> new CodebookUsage(0));
    }
}
