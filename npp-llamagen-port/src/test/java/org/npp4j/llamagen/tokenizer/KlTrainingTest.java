package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.CnnLossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Sgd;
import org.npp4j.llamagen.images.ImageDataSetIterator;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.schedule.TorchAdam;

class KlTrainingTest {
    private static final KlConfig SMALL = new KlConfig.Builder()
            .channels(8)
            .channelMultipliers(1, 1)
            .residualBlocks(1)
            .latentChannels(2)
            .groups(4)
            .build();

    private static final int D = 3;
    private static final double STEP = 1e-6;

    /** Images of one colour each. */
    private static PixelImages images(int count) {
        byte[] pixels = new byte[count * 3 * 16];
        Random random = new Random(4);
        for (int plane = 0; plane < count * 3; plane++) {
            java.util.Arrays.fill(pixels, plane * 16, plane * 16 + 16, (byte) random.nextInt(256));
        }
        return new PixelImages(count, 3, 4, 4, pixels);
    }

    private static ComputationGraph layerAlone(GaussianLatents latents, DataType type) {
        ComputationGraph network = new ComputationGraph(configuration(latents, type));
        network.init();
        return network;
    }

    private static ComputationGraphConfiguration configuration(GaussianLatents latents, DataType type) {
        return new NeuralNetConfiguration.Builder()
                .seed(3)
                .dataType(type)
                .updater(new Sgd(1))
                .graphBuilder()
                .addInputs("in")
                .setInputTypes(InputType.convolutional(2, 3, 2 * D, CNN2DFormat.NHWC))
                .addLayer("z", latents, "in")
                .addLayer(
                        "loss",
                        new CnnLossLayer.Builder(new ImageSquaredError(2 * 3 * D))
                                .format(CNN2DFormat.NHWC)
                                .activation(Activation.IDENTITY)
                                .build(),
                        "z")
                .setOutputs("loss")
                .build();
    }

    /** Moments [2, 2, 3, 2 D], some log variances beyond the clamps. */
    private static INDArray moments() {
        INDArray moments = Nd4j.rand(DataType.DOUBLE, 2, 2, 3, 2 * D).subi(0.5).muli(2);
        moments.putScalar(new int[] {0, 0, 0, D}, 25);
        moments.putScalar(new int[] {1, 1, 2, D + 1}, -35);
        return moments;
    }

    /** In training the mean and the standard deviation times noise, otherwise the mean; the divergence against its formula. */
    @Test
    void drawsAndMeasures() {
        ComputationGraph network =
                layerAlone(new GaussianLatents.Builder(D).weight(2).build(), DataType.DOUBLE);
        GaussianLatentsImpl layer = (GaussianLatentsImpl) network.getLayer("z");
        LayerWorkspaceMgr none = LayerWorkspaceMgr.noWorkspaces();
        INDArray moments = moments();
        layer.setInput(moments, none);
        INDArray mode = layer.activate(false, none).dup();
        layer.setInput(moments, none);
        INDArray drawn = layer.activate(true, none).dup();
        layer.setInput(moments, none);
        assertEquals(drawn, layer.activate(true, none), "the same iteration draws the same noise");
        double divergence = 0;
        for (int i = 0; i < mode.length(); i++) {
            int[] at = {i / (6 * D), i / (3 * D) % 2, i / D % 3, i % D};
            double mean = moments.getDouble(at);
            assertEquals(mean, mode.getDouble(at), 1e-12);
            int[] ofLog = {at[0], at[1], at[2], at[3] + D};
            double log = Math.max(-30, Math.min(20, moments.getDouble(ofLog)));
            double noise = (drawn.getDouble(at) - mean) / Math.exp(log / 2);
            assertTrue(Math.abs(noise) < 6 && noise != 0, "noise " + noise);
            divergence += 0.5 * (mean * mean + Math.exp(log) - 1 - log);
        }
        assertEquals(divergence / 2, layer.divergence(), 1e-9 * divergence);
        assertEquals(2 * divergence / 2, layer.calcRegularizationScore(true), 1e-9 * divergence);
        layer.setIterationCount(1);
        layer.setInput(moments, none);
        assertNotEquals(drawn, layer.activate(true, none), "the next one other noise");
    }

    @Test
    void theNoiseIsUnitNormal() {
        ComputationGraph network =
                layerAlone(new GaussianLatents.Builder(D).seed(7).build(), DataType.DOUBLE);
        GaussianLatentsImpl layer = (GaussianLatentsImpl) network.getLayer("z");
        LayerWorkspaceMgr none = LayerWorkspaceMgr.noWorkspaces();
        layer.setInput(Nd4j.zeros(DataType.DOUBLE, 40, 10, 10, 2 * D), none);
        INDArray noise = layer.activate(true, none);
        assertEquals(0, noise.meanNumber().doubleValue(), 0.03);
        assertEquals(1, noise.stdNumber().doubleValue(), 0.03);
        // images of a batch have noise of their own
        assertNotEquals(noise.slice(0), noise.slice(1));
    }

    /** Without the divergence: what is clamped does not move the sample, nor is it moved. */
    @Test
    void gradientsOfTheSample() {
        ComputationGraph network =
                layerAlone(new GaussianLatents.Builder(D).weight(0).build(), DataType.DOUBLE);
        INDArray exact = requireGradients(network, moments(), 1e-4);
        assertEquals(0, exact.getDouble(0, 0, 0, D));
        assertEquals(0, exact.getDouble(1, 1, 2, D + 1));
    }

    @Test
    void gradientsOfSampleAndDivergence() {
        ComputationGraph network =
                layerAlone(new GaussianLatents.Builder(D).weight(0.7).build(), DataType.DOUBLE);
        requireGradients(
                network, Nd4j.rand(DataType.DOUBLE, 2, 2, 3, 2 * D).subi(0.5).muli(2), 1e-7);
    }

    private static INDArray requireGradients(ComputationGraph network, INDArray moments, double tolerance) {
        GaussianLatentsImpl layer = (GaussianLatentsImpl) network.getLayer("z");
        LayerWorkspaceMgr none = LayerWorkspaceMgr.noWorkspaces();
        // what a following layer would send back, for an inner product with the latents
        INDArray epsilon = Nd4j.rand(DataType.DOUBLE, 2, 2, 3, D);
        layer.setInput(moments, none);
        layer.activate(true, none);
        INDArray exact = layer.backpropGradient(epsilon, none).getSecond().dup();
        for (long i = 0; i < moments.length(); i++) {
            double at = moments.getDouble(i);
            double up = loss(layer, moments, epsilon, i, at + STEP);
            double down = loss(layer, moments, epsilon, i, at - STEP);
            moments.putScalar(i, at);
            assertEquals((up - down) / (2 * STEP), exact.getDouble(i), tolerance, "element " + i);
        }
        return exact;
    }

    private static double loss(
            GaussianLatentsImpl layer, INDArray moments, INDArray epsilon, long element, double value) {
        moments.putScalar(element, value);
        LayerWorkspaceMgr none = LayerWorkspaceMgr.noWorkspaces();
        layer.setInput(moments, none);
        double product = layer.activate(true, none).mul(epsilon).sumNumber().doubleValue();
        // the gradient is that of the sum over the 2 images, the score their mean
        return product + 2 * layer.calcRegularizationScore(true);
    }

    /** Through the whole network: encoder, drawing, decoder and both losses. */
    @Test
    void gradientsOfTheNetwork() {
        KlTraining training = new KlTraining.Builder(SMALL, 4, 4)
                .dataType(DataType.DOUBLE)
                .updater(new Sgd(0))
                .weight(0.5)
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
        for (int i = 0; i < 25; i++) {
            long element = (long) (random.nextDouble() * parameters.length());
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
    void fitLearns() {
        // as many channels as the fast convolutions need
        KlConfig config = new KlConfig.Builder()
                .channels(32)
                .channelMultipliers(1, 1)
                .residualBlocks(1)
                .latentChannels(4)
                .build();
        KlTraining training = new KlTraining.Builder(config, 4, 4)
                .updater(new TorchAdam(2e-3))
                .build();
        ComputationGraph network = training.init();
        ImageDataSetIterator batches = new ImageDataSetIterator(images(32), 16, true, 1);
        network.fit(batches.next());
        double before = network.score();
        for (int epoch = 0; epoch < 15; epoch++) {
            network.fit(batches);
        }
        assertTrue(network.score() < 0.6 * before, before + " -> " + network.score());
        assertTrue(KlTraining.divergence(network) > 0);
    }

    /** The autoencoder computes what the network computes; a network can start from it. */
    @Test
    void theAutoencoderIsTheNetwork() {
        KlTraining training = new KlTraining.Builder(SMALL, 4, 4).build();
        ComputationGraph network = training.init();
        MultiDataSet batch = new ImageDataSetIterator(images(5), 5, false, 1).next();
        INDArray output = network.outputSingle(batch.getFeatures(0)).permute(0, 3, 1, 2);
        KlAutoencoder autoencoder = training.autoencoder(network);
        LatentDistribution latents = autoencoder.encode(batch.getFeatures(0).permute(0, 3, 1, 2));
        assertTrue(autoencoder.decode(latents.mode()).equalsWithEps(output.dup('c'), 1e-5));
        double sum = 0;
        for (double ofImage : latents.divergence()) {
            sum += ofImage;
        }
        assertEquals(sum / 5, KlTraining.divergence(network), 1e-4);
        ComputationGraph other =
                new KlTraining.Builder(SMALL, 4, 4).seed(9).build().init();
        training.start(autoencoder, other);
        assertEquals(network.params(), other.params());
    }

    @Test
    void survivesJsonAndClone() {
        ComputationGraphConfiguration configuration =
                new KlTraining.Builder(SMALL, 4, 4).build().configuration();
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
        GaussianLatents latents =
                new GaussianLatents.Builder(D).weight(3).seed(4).build();
        assertEquals(latents, latents.clone());
        assertEquals(latents.hashCode(), latents.clone().hashCode());
        assertNotEquals(latents, new GaussianLatents.Builder(D).weight(3).build());
        assertArrayEquals(new double[] {3, 4}, new double[] {latents.getWeight(), latents.getSeed()});
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertTrue(refused(() -> new KlTraining.Builder(SMALL, 4, 5)).contains("a downsampling of 2"));
        KlTraining.Builder builder = new KlTraining.Builder(SMALL, 4, 4);
        assertTrue(refused(() -> builder.weight(-1)).contains("0 or above, got -1.0"));
        KlTraining training = builder.build();
        KlAutoencoder other = KlAutoencoder.random(
                new KlConfig.Builder().channels(32).channelMultipliers(1).build(), 1);
        assertTrue(refused(() -> training.start(other, training.init())).contains("the sizes must be equal"));
        assertTrue(refused(() -> new GaussianLatents.Builder(0)).contains("at least 1 channel, got 0"));
        assertTrue(refused(() -> new GaussianLatents.Builder(1).weight(Double.NaN))
                .contains("weight must be a finite number"));
        assertTrue(refused(() -> configuration(new GaussianLatents.Builder(D + 1).build(), DataType.FLOAT))
                .contains("works on means and log variances [batch, height, width, 8]"));
        ComputationGraph stranger = layerAlone(new GaussianLatents.Builder(D).build(), DataType.FLOAT);
        assertThrows(RuntimeException.class, () -> KlTraining.divergence(stranger));
    }

    private static String refused(Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
