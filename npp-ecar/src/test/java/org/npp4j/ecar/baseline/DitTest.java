package org.npp4j.ecar.baseline;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.NoOp;
import org.npp4j.ecar.EcarParameter;
import org.npp4j.llamagen.files.NpzFile;

/** The baseline against its golden files and numerical gradients. */
class DitTest {
    private static final DitConfig SMALL = new DitConfig(2, 4, 2, 8, 2, 1, 3, 0);

    @TempDir
    private Path folder;

    private static Path golden(String name) {
        try {
            return Path.of(DitTest.class.getResource("/golden/" + name).toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    private static double difference(INDArray expected, INDArray actual) {
        assertArrayEquals(expected.shape(), actual.shape());
        return expected.castTo(DataType.DOUBLE)
                .sub(actual.castTo(DataType.DOUBLE))
                .amaxNumber()
                .doubleValue();
    }

    @Test
    void agreesWithTheGoldenModel() throws IOException {
        DitCheckpoint.Model model = DitCheckpoint.read(golden("dit.pt"));
        assertNull(model.codec());
        DitConfig config = model.config();
        assertEquals(new DitConfig(3, 8, 2, 24, 2, 3, 5, 0.1), config);
        // as the file, but without dropping classes at random
        ComputationGraph network = Dit.of(new DitConfig(3, 8, 2, 24, 2, 3, 5, 0))
                .updater(new NoOp())
                .init();
        network.setParams(model.network().params());
        try (NpzFile arrays = NpzFile.open(golden("dit.npz"))) {
            INDArray noise = arrays.array("noise");
            INDArray x = arrays.array("x");
            INDArray times = arrays.array("t");
            INDArray states = noise.dup('c');
            for (int b = 0; b < 3; b++) {
                double t = times.getDouble(b);
                states.slice(b).muli(1 - t).addi(x.slice(b).mul(t));
            }
            INDArray classes = arrays.array("classes").castTo(DataType.INT32).reshape('c', 3, 1);
            INDArray[] inputs = {classes, times.reshape('c', 3, 1, 1), Dit.tokens(config, states)};
            INDArray velocity = network.output(inputs)[0];
            assertTrue(difference(arrays.array("velocity").reshape('c', velocity.shape()), velocity) < 1e-4);
            INDArray target = Dit.tokens(config, x.sub(noise)).reshape('c', velocity.shape());
            network.setInputs(inputs);
            network.setLabels(target);
            network.computeGradientAndScore();
            assertEquals(arrays.array("loss").getDouble(0), network.score(), 1e-5);
            Map<String, INDArray> gradients = network.gradient().gradientForVariable();
            for (EcarParameter parameter : DitParameters.of(config)) {
                INDArray expected = arrays.array("grad." + parameter.name());
                INDArray actual = parameter
                        .published(gradients.get(parameter.networkName()))
                        .div(3);
                assertTrue(
                        difference(expected, actual.reshape(expected.shape()))
                                < 1e-4 * (1e-2 + expected.amaxNumber().doubleValue()),
                        parameter.name());
            }
            DitSampler sampler = new DitSampler(config, network);
            for (int scale = 1; scale <= 2; scale++) {
                INDArray expected = arrays.array("generated.steps4.cfg" + scale);
                INDArray drawn = sampler.generate(new int[] {1, 2, 3}, 4, scale, noise);
                assertTrue(
                        difference(expected, drawn)
                                < 1e-4 * expected.amaxNumber().doubleValue(),
                        "scale " + scale);
            }
        }
    }

    private static ComputationGraph random(DitConfig config, DataType type) {
        ComputationGraph network =
                Dit.of(config).dataType(type).updater(new NoOp()).init();
        double[] values =
                new Random(6).doubles(network.params().length(), -0.5, 0.5).toArray();
        network.setParams(Nd4j.createFromArray(values).castTo(type).reshape(1, values.length));
        return network;
    }

    private static MultiDataSet batch(DitConfig config, DataType type) {
        INDArray latents = Nd4j.createFromArray(
                        new Random(3).doubles(4L * 2 * 4 * 4, -2, 2).toArray())
                .castTo(DataType.FLOAT)
                .reshape('c', 4, 2, 4, 4);
        MultiDataSet data = new DitDataSetIterator(config, latents, new int[] {0, 2, 1, 0}, 3, 5).next();
        for (int i = 1; i < data.getFeatures().length; i++) {
            data.setFeatures(i, data.getFeatures(i).castTo(type));
        }
        data.setLabels(0, data.getLabels(0).castTo(type));
        return data;
    }

    @Test
    void gradientsMatchNumericalOnes() {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
        try {
            ComputationGraph network = random(SMALL, DataType.DOUBLE);
            MultiDataSet batch = batch(SMALL, DataType.DOUBLE);
            network.setInputs(batch.getFeatures());
            network.setLabels(batch.getLabels());
            network.computeGradientAndScore();
            Map<String, INDArray> gradients = new LinkedHashMap<>();
            network.gradient().gradientForVariable().forEach((key, array) -> gradients.put(key, array.dup()));
            Random random = new Random(8);
            network.paramTable().forEach((key, values) -> {
                for (int i = 0; i < 4; i++) {
                    long[] at = new long[values.rank()];
                    for (int axis = 0; axis < at.length; axis++) {
                        at[axis] = random.nextInt((int) values.size(axis));
                    }
                    double value = values.getDouble(at);
                    double step = 1e-6;
                    values.putScalar(at, value + step);
                    double above = network.score(batch, true);
                    values.putScalar(at, value - step);
                    double below = network.score(batch, true);
                    values.putScalar(at, value);
                    double numerical = (above - below) / (2 * step);
                    double analytic = gradients.get(key).getDouble(at) / 3;
                    assertEquals(numerical, analytic, 2e-8 + 1e-5 * Math.abs(numerical), key);
                }
            });
        } finally {
            Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
        }
    }

    /** Large batches too: what an image gives does not depend on the others. */
    @Test
    void imagesDoNotSeeEachOther() {
        DitConfig config = new DitConfig(16, 8, 2, 8, 1, 1, 3, 0);
        ComputationGraph network = random(config, DataType.FLOAT);
        DitSampler sampler = new DitSampler(config, network);
        INDArray noise = DitNoise.of(config, 1, 0, 40, "test");
        INDArray all = sampler.generate(new int[40], 2, 2, noise);
        INDArray last = sampler.generate(new int[1], 2, 2, DitNoise.of(config, 1, 39, 1, "test"));
        assertTrue(difference(all.slice(39).reshape('c', 1, 16, 8, 8), last) < 1e-4);
    }

    /** The batch holds a point of the straight line from noise to latent, and the line's slope. */
    @Test
    void batchesAreOnTheLine() {
        MultiDataSet data = batch(SMALL, DataType.FLOAT);
        INDArray noise = Dit.tokens(SMALL, DitNoise.of(SMALL, 5, 0, 3, "noise of training"));
        for (int b = 0; b < 3; b++) {
            double t = data.getFeatures(1).getDouble(b, 0, 0);
            assertTrue(t >= 0 && t < 1);
            INDArray velocity = data.getLabels(0).getRow(b).reshape('c', 4, 8);
            INDArray expected = noise.slice(b).add(velocity.mul(t));
            assertTrue(difference(expected, data.getFeatures(2).slice(b)) < 1e-5);
        }
    }

    @Test
    void batchesRepeatAndContinue() {
        INDArray latents = Nd4j.rand(DataType.FLOAT, 5, 2, 4, 4);
        int[] classes = {0, 1, 2, 0, 1};
        DitDataSetIterator all = new DitDataSetIterator(SMALL, latents, classes, 2, 1);
        assertEquals(2, all.batchesPerEpoch());
        all.next();
        MultiDataSet second = all.next();
        assertFalse(all.hasNext());
        assertThrows(NoSuchElementException.class, all::next);
        all.reset();
        assertEquals(1, all.getEpoch());
        DitDataSetIterator later = new DitDataSetIterator(SMALL, latents, classes, 2, 1);
        later.seek(0, 1);
        assertEquals(second.getFeatures(2), later.next().getFeatures(2));
        assertTrue(message(() -> later.seek(-1, 0)).contains("no batch 0 of epoch -1"));
        assertTrue(message(() -> new DitDataSetIterator(SMALL, latents, new int[] {0, 1, 2, 0, 3}, 2, 1))
                .contains("must be 0 .. 2"));
        assertTrue(message(() -> new DitDataSetIterator(SMALL, latents, new int[4], 2, 1))
                .contains("[4, 2, 4, 4]"));
        assertTrue(message(() -> new DitDataSetIterator(SMALL, latents, classes, 6, 1))
                .contains("use 1 to 5"));
    }

    @Test
    void tokensAndBack() {
        INDArray latents = Nd4j.rand(DataType.FLOAT, 3, 2, 4, 4);
        INDArray tokens = Dit.tokens(SMALL, latents);
        // patch 1 is the right upper one; P, P, C
        assertEquals(latents.getDouble(2, 1, 1, 2), tokens.getDouble(2, 1, (1 * 2 + 0) * 2 + 1));
        assertEquals(latents, Dit.latents(SMALL, tokens));
    }

    @Test
    void learnsFromNothing() {
        ComputationGraph network = Dit.of(SMALL).seed(4).init();
        MultiDataSet batch = batch(SMALL, DataType.FLOAT);
        assertEquals(0, network.output(batch.getFeatures())[0].amaxNumber().doubleValue());
        double before = network.score(batch, false);
        for (int step = 0; step < 100; step++) {
            network.fit(batch);
        }
        assertTrue(network.score(batch, false) < 0.8 * before);
    }

    @Test
    void isKeptInFiles() throws IOException {
        ComputationGraph network = random(SMALL, DataType.FLOAT);
        ComputationGraphConfiguration configuration = network.getConfiguration();
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
        assertEquals(new ConditionedTokens(), new ConditionedTokens().clone());
        Path file = folder.resolve("dit.pt");
        DitCheckpoint.write(file, new DitCheckpoint.Model(SMALL, network, null));
        assertEquals(network.params(), DitCheckpoint.read(file).network().params());
        assertEquals(network.params().length(), SMALL.parameters());
        DitConfig wider = new DitConfig(2, 4, 2, 16, 2, 1, 3, 0);
        assertTrue(assertThrows(
                        IOException.class,
                        () -> DitCheckpoint.load(file, wider, Dit.of(wider).init()))
                .getMessage()
                .contains("the model has [16, 8]"));
        assertTrue(assertThrows(IOException.class, () -> DitCheckpoint.read(golden("ecar-s2.pt")))
                .getMessage()
                .contains("does not say which DiT it is of"));
    }

    @Test
    void refusesWhatDoesNotFit() {
        ComputationGraph network = random(SMALL, DataType.FLOAT);
        DitSampler sampler = new DitSampler(SMALL, network);
        INDArray noise = DitNoise.of(SMALL, 1, 0, 1, "test");
        assertTrue(message(() -> sampler.generate(new int[] {0}, 0, 1, noise)).contains("at least one step"));
        assertTrue(message(() -> sampler.generate(new int[] {0}, 1, -1, noise)).contains("at least 0"));
        assertTrue(message(() -> sampler.generate(new int[] {4}, 1, 1, noise)).contains("each 0 .. 3"));
        assertTrue(message(() -> sampler.generate(new int[2], 1, 1, noise)).contains("noise for 2 images"));
        assertTrue(message(() -> Dit.tokens(SMALL, Nd4j.zeros(1, 2, 4, 6))).contains("[images, 2, 4, 4]"));
        assertTrue(message(() -> new DitSampler(DitConfig.xl2(), network)).contains("parameters"));
        assertTrue(message(() -> Dit.of(SMALL).dataType(DataType.INT32)).contains("FLOAT or DOUBLE"));
        assertTrue(message(() -> new DitConfig(0, 4, 2, 8, 2, 1, 3, 0)).contains("at least 1"));
        assertTrue(message(() -> new DitConfig(2, 5, 2, 8, 2, 1, 3, 0)).contains("multiple of the patch side"));
        assertTrue(message(() -> new DitConfig(2, 4, 2, 8, 2, 3, 3, 0)).contains("multiple of 4 x heads"));
        assertTrue(message(() -> new DitConfig(2, 4, 2, 8, 2, 1, 3, 1)).contains("below 1, got 1.0"));
        assertEquals(SMALL, DitConfig.parse(SMALL.toJson()));
        assertTrue(message(() -> DitConfig.parse("{\"dim\": 3}")).contains("described by the keys"));
        assertTrue(message(() -> DitConfig.parse("{")).startsWith("This is not JSON"));
        assertTrue(message(() -> DitConfig.parse(SMALL.toJson().replace("\"dim\":8", "\"dim\":1.5")))
                .contains("must be a whole number"));
    }

    private static String message(Executable action) {
        return assertThrows(IllegalArgumentException.class, action).getMessage();
    }

    /** Products of a naive forward pass, counted one by one. */
    @Test
    void countsOperations() {
        DitConfig config = new DitConfig(3, 8, 2, 24, 2, 3, 5, 0);
        long count = 0;
        int d = 24;
        int hidden = 96;
        int token = 12;
        count += multiplyAdds(256, d) + multiplyAdds(d, d);
        for (int t = 0; t < 16; t++) {
            count += multiplyAdds(token, d);
        }
        for (int layer = 0; layer < 2; layer++) {
            count += multiplyAdds(d, 6 * d);
            for (int t = 0; t < 16; t++) {
                count += multiplyAdds(d, 3 * d) + multiplyAdds(d, d);
                count += multiplyAdds(d, hidden) + multiplyAdds(hidden, d);
                for (int head = 0; head < 3; head++) {
                    // scores with 16 keys, then 16 values mixed
                    count += multiplyAdds(d / 3, 16) + multiplyAdds(16, d / 3);
                }
            }
        }
        count += multiplyAdds(d, 2 * d);
        for (int t = 0; t < 16; t++) {
            count += multiplyAdds(d, token);
        }
        DitCost cost = DitCost.of(config);
        assertEquals(2 * count, cost.velocity());
        assertEquals(10 * count, cost.ofImage(5, 1));
        assertEquals(20 * count, cost.ofImage(5, 1.5));
        assertEquals(6 * count, cost.ofTrainingStep());
    }

    /** Of a row times a matrix. */
    private static long multiplyAdds(long in, long out) {
        return in * out;
    }

    /** The paper's table says 118.64 Gflops, in multiply-adds, and 675 million parameters, with variances as outputs. */
    @Test
    void countsThePublishedModel() {
        assertEquals(118.64e9, DitCost.of(DitConfig.xl2()).velocity() / 2, 0.1e9);
        assertEquals(675e6, DitConfig.xl2().parameters(), 1e6);
    }
}
