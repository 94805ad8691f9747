package org.npp4j.ecar;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.NoOp;
import org.npp4j.ecar.latents.BlockTransform;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.images.PixelImages;

/** Networks with both heads: gradients, what sees what, cached sampling, training, files. */
class EcarNetworkTest {
    @TempDir
    private Path folder;

    static List<EcarConfig> configs() {
        return List.of(config(new FlowHead.Mlp(8, 1)), config(new FlowHead.Grid(8, 2, 2)));
    }

    private static EcarConfig config(FlowHead head) {
        return new EcarConfig(2, 4, 3, 8, 2, 2, 3, 0, 0, head);
    }

    /** Every parameter random, so that nothing hides behind a zero head. */
    private static ComputationGraph network(EcarConfig config, DataType type) {
        ComputationGraph network =
                Ecar.of(config).dataType(type).updater(new NoOp()).init();
        Random random = new Random(6);
        double[] values = random.doubles(network.params().length(), -0.5, 0.5).toArray();
        network.setParams(Nd4j.createFromArray(values).castTo(type).reshape(1, values.length));
        return network;
    }

    private static MultiDataSet batch(EcarConfig config, DataType type, int images) {
        Random random = new Random(7);
        double[] latents = random.doubles((long) images * config.channels() * config.grid() * config.grid(), -2, 2)
                .toArray();
        double[][] times = new double[images][];
        int[] classes = new int[images];
        for (int b = 0; b < images; b++) {
            times[b] = random.doubles(config.stages()).toArray();
            classes[b] = random.nextInt(config.classes() + 1);
        }
        return FlowBatch.of(
                config,
                Nd4j.createFromArray(latents)
                        .reshape('c', images, config.channels(), config.grid(), config.grid())
                        .castTo(type),
                classes,
                StageNoise.of(config, 1, 0, images, "test").stream()
                        .map(map -> map.castTo(type))
                        .toList(),
                times);
    }

    @ParameterizedTest
    @MethodSource("configs")
    void gradientsMatchNumericalOnes(EcarConfig config) {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
        try {
            ComputationGraph network = network(config, DataType.DOUBLE);
            MultiDataSet batch = batch(config, DataType.DOUBLE, 2);
            network.setInputs(batch.getFeatures());
            network.setLabels(batch.getLabels());
            network.computeGradientAndScore();
            Map<String, INDArray> gradients = new LinkedHashMap<>();
            network.gradient().gradientForVariable().forEach((key, array) -> gradients.put(key, array.dup()));
            Random random = new Random(8);
            for (Map.Entry<String, INDArray> parameter : network.paramTable().entrySet()) {
                for (int i = 0; i < 5; i++) {
                    INDArray values = parameter.getValue();
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
                    double analytic = gradients.get(parameter.getKey()).getDouble(at) / 2;
                    assertEquals(numerical, analytic, 2e-8 + 1e-5 * Math.abs(numerical), parameter.getKey());
                }
            }
        } finally {
            Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
        }
    }

    /** What is known of a stage reaches the next one and those behind it, and no other. */
    @ParameterizedTest
    @MethodSource("configs")
    void noStageSeesALaterOne(EcarConfig config) {
        ComputationGraph network = network(config, DataType.FLOAT);
        MultiDataSet batch = batch(config, DataType.FLOAT, 2);
        INDArray[] features = batch.getFeatures();
        INDArray before = network.feedForward(features, false).get(Ecar.NORM).dup();
        INDArray velocitiesBefore = network.output(features)[0].dup();
        int first = config.stageLengths().length(0);
        for (int s = 1; s < config.stages(); s++) {
            INDArray raised = features[1].dup();
            int from = config.stageLengths().start(s) - first;
            raised.get(
                            NDArrayIndex.all(),
                            NDArrayIndex.interval(
                                    from, from + config.stageLengths().length(s)),
                            NDArrayIndex.all())
                    .addi(1);
            INDArray[] changed = {features[0], raised, features[2], features[3]};
            INDArray after = network.feedForward(changed, false).get(Ecar.NORM);
            INDArray velocitiesAfter = network.output(changed)[0];
            for (int t = 0; t < config.stageLengths().positions(); t++) {
                INDArray difference = position(after, t).sub(position(before, t));
                assertEquals(
                        t >= config.stageLengths().start(s),
                        difference.amaxNumber().doubleValue() != 0,
                        "stage " + s + " changed, position " + t);
                if (t < config.stageLengths().start(s)) {
                    for (int c = 0; c < config.channels(); c++) {
                        int at = t * config.channels() + c;
                        assertEquals(velocitiesBefore.getDouble(1, at), velocitiesAfter.getDouble(1, at));
                    }
                }
            }
        }
    }

    private static INDArray position(INDArray sequence, int t) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.point(t), NDArrayIndex.all());
    }

    /** Sampling stage by stage with caches against the whole network at every step. */
    @ParameterizedTest
    @MethodSource("configs")
    void cachedSamplingEqualsTheFullForward(EcarConfig config) {
        ComputationGraph network = network(config, DataType.FLOAT);
        int[] classes = {0, 2, 1};
        List<INDArray> noise = StageNoise.of(config, 5, 0, 3, "test");
        for (FlowSampling settings :
                List.of(FlowSampling.of(3, 1), FlowSampling.of(2, 2.5), new FlowSampling(2, 1, 3))) {
            INDArray expected = uncached(config, network, classes, settings, noise);
            try (EcarSampler sampler = new EcarSampler(config, network)) {
                INDArray first = sampler.generate(classes, settings, noise);
                double scale = expected.amaxNumber().doubleValue();
                assertTrue(Golden.largestDifference(expected, first) < 1e-5 * scale);
                // caches and memory are used again
                assertEquals(first, sampler.generate(classes, settings, noise));
            }
        }
    }

    private static INDArray uncached(
            EcarConfig config, ComputationGraph network, int[] classes, FlowSampling settings, List<INDArray> noise) {
        StageFlow flow = new StageFlow(config.stages());
        int first = config.stageLengths().length(0);
        int positions = config.stageLengths().positions();
        INDArray raised = Nd4j.zeros(DataType.FLOAT, 3, positions - first, config.channels());
        INDArray end = null;
        for (int s = 0; s < config.stages(); s++) {
            int from = config.stageLengths().start(s);
            int to = config.stageLengths().start(s + 1);
            INDArray state = StageFlow.tokens(
                    s == 0
                            ? noise.get(0)
                            : StageFlow.nextStart(end, flow.windows().end(s - 1), noise.get(s)));
            if (s > 0) {
                raised.get(NDArrayIndex.all(), NDArrayIndex.interval(from - first, to - first), NDArrayIndex.all())
                        .assign(StageFlow.tokens(StageFlow.up(end)));
            }
            for (int step = 0; step < settings.steps(); step++) {
                INDArray states = Nd4j.zeros(DataType.FLOAT, 3, positions, config.channels());
                states.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all())
                        .assign(state);
                INDArray times = Nd4j.valueArrayOf(
                        new long[] {3, positions, 1}, (double) step / settings.steps(), DataType.FLOAT);
                INDArray[] velocities = new INDArray[2];
                for (int twin = 0; twin < 2; twin++) {
                    int[][] ids = new int[3][1];
                    for (int b = 0; b < 3; b++) {
                        ids[b][0] = twin == 0 ? classes[b] : config.classes();
                    }
                    velocities[twin] = network.output(Nd4j.createFromArray(ids), raised, states, times)[0]
                            .reshape('c', 3, positions, config.channels())
                            .get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all())
                            .dup('c');
                }
                double scale = settings.scale(s, config.stages());
                INDArray guided = velocities[0].sub(velocities[1]).muli(scale).addi(velocities[1]);
                state.addi(guided.divi(settings.steps()));
            }
            end = StageFlow.map(state, config.side(s));
        }
        return end;
    }

    /** A new model moves nothing: its loss is the mean square of the velocities. */
    @ParameterizedTest
    @MethodSource("configs")
    void aNewModelGivesZero(EcarConfig config) {
        ComputationGraph network = Ecar.of(config).seed(4).init();
        MultiDataSet batch = batch(config, DataType.FLOAT, 3);
        assertEquals(0, network.output(batch.getFeatures())[0].amaxNumber().doubleValue());
        INDArray velocities = batch.getLabels(0);
        assertEquals(velocities.mul(velocities).meanNumber().doubleValue(), network.score(batch, false), 1e-5);
    }

    @ParameterizedTest
    @MethodSource("configs")
    void learns(EcarConfig config) {
        ComputationGraph network = Ecar.of(config).seed(4).weightDecay(0.01).init();
        MultiDataSet batch = batch(config, DataType.FLOAT, 4);
        double before = network.score(batch, false);
        for (int step = 0; step < 60; step++) {
            network.fit(batch);
        }
        assertTrue(network.score(batch, false) < 0.8 * before);
    }

    @ParameterizedTest
    @MethodSource("configs")
    void isKeptInFiles(EcarConfig config) throws IOException {
        ComputationGraph network = network(config, DataType.FLOAT);
        ComputationGraphConfiguration configuration = network.getConfiguration();
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
        Path file = folder.resolve("model.pt");
        EcarCheckpoint.write(file, new EcarCheckpoint.Model(config, network, null));
        EcarCheckpoint.Model read = EcarCheckpoint.read(file);
        assertEquals(config, read.config());
        assertNull(read.codec());
        assertEquals(network.params(), read.network().params());
        PixelImages image =
                new PixelImages(1, 1, 4, 4, new byte[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15});
        LatentCodec codec = BlockTransform.fit(image, 1, 4);
        EcarCheckpoint.write(file, new EcarCheckpoint.Model(config, network, codec));
        assertEquals(codec, EcarCheckpoint.read(file).codec());
        Path bare = Golden.file("ecar-s2.pt");
        assertTrue(assertThrows(IOException.class, () -> EcarCheckpoint.read(bare))
                .getMessage()
                .contains("does not say which ECAR it is of"));
        assertEquals(network.params().length(), config.parameters());
        EcarConfig wider = new EcarConfig(2, 4, 3, 16, 2, 2, 3, 0, 0, config.head());
        String message = assertThrows(
                        IOException.class,
                        () -> EcarCheckpoint.load(file, wider, Ecar.of(wider).init()))
                .getMessage();
        assertTrue(message.contains("classes.weight is [4, 8], the model has [4, 16]"), message);
    }

    @Test
    void noiseOfAnImageDependsOnItsNumberAlone() {
        EcarConfig config = config(new FlowHead.Mlp(8, 1));
        List<INDArray> many = StageNoise.of(config, 3, 10, 4, "test");
        List<INDArray> one = StageNoise.of(config, 3, 12, 1, "test");
        for (int s = 0; s < config.stages(); s++) {
            assertArrayEquals(
                    many.get(s).slice(2).ravel().toFloatVector(),
                    one.get(s).ravel().toFloatVector());
        }
    }

    @Test
    void refusesWhatDoesNotFit() {
        EcarConfig config = config(new FlowHead.Mlp(8, 1));
        ComputationGraph network = network(config, DataType.FLOAT);
        try (EcarSampler sampler = new EcarSampler(config, network)) {
            List<INDArray> noise = StageNoise.of(config, 5, 0, 1, "test");
            assertEquals(
                    "Class 4 of image 0 is unknown to the network. It knows 0 .. 3, where 3 is \"no class\"",
                    message(() -> sampler.generate(new int[] {4}, FlowSampling.of(1, 1), noise)));
            assertTrue(message(() -> sampler.generate(new int[] {0, 1}, FlowSampling.of(1, 1), noise))
                    .startsWith("The noise of 2 images must be one map"));
            assertTrue(message(() -> sampler.generate(new int[0], FlowSampling.of(1, 1), noise))
                    .contains("at least one class"));
        }
        assertTrue(message(() -> new EcarSampler(config(new FlowHead.Grid(8, 1, 1)), network))
                .contains("\"headEmbedding\""));
        assertTrue(message(() -> FlowSampling.of(0, 1)).contains("at least one step"));
        assertTrue(message(() -> FlowSampling.of(1, -1)).contains("at least 0"));
        assertTrue(message(() -> new FlowHead.Grid(10, 1, 4)).contains("multiple of 4 x heads"));
        assertTrue(message(() -> FlowBatch.of(
                        config,
                        Nd4j.zeros(1, 2, 4, 4),
                        new int[2],
                        StageNoise.of(config, 1, 0, 2, "t"),
                        new double[2][3]))
                .contains("[2, 2, 4, 4]"));
        assertTrue(message(() -> FlowBatch.of(
                        config,
                        Nd4j.zeros(1, 2, 4, 4),
                        new int[1],
                        StageNoise.of(config, 1, 0, 1, "t"),
                        new double[1][2]))
                .contains("3 stages"));
        assertTrue(message(() -> Ecar.of(config).dataType(DataType.INT32)).contains("FLOAT or DOUBLE"));
        assertTrue(message(() -> new StageSequence(0)).contains("at least one position"));
    }

    private static String message(Executable action) {
        return assertThrows(IllegalArgumentException.class, action).getMessage();
    }
}
