package org.npp4j.llamagen.sampling;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.Adam;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GoldenGpt;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.SmallGpts;
import org.npp4j.schedule.StageScheduler;

class GptDecoderTest {
    private static final GptSpec SPEC = SmallGpts.spec(TokenGrid.of(4, 4)).build();

    @ParameterizedTest
    @CsvSource({
        "gpt-tiny, 1, -1",
        "gpt-tiny, 2, -1",
        "gpt-tiny, 4, 21",
        "gpt-gqa, 1, -1",
        "gpt-gqa, 2, -1",
        "gpt-gqa, 4, 12"
    })
    void greedyTokensAreThoseOfPyTorch(String name, int scale, int interval) {
        GoldenGpt golden = new GoldenGpt(name);
        // the stage of training does not matter: generation is always at p = 1
        ComputationGraph network = golden.network(LlamaGen.of(golden.spec()).patchSide(2), DataType.FLOAT);
        int[][] ids = new GptDecoder(network)
                .generate(new int[] {1, 2}, new Guidance(scale, interval), TokenSamplers.greedy());
        int[][] expected =
                golden.array("greedy.cfg" + scale + ".interval" + interval).toIntMatrix();
        assertArrayEquals(expected, ids);
    }

    @Test
    void reportsEveryPositionAndRepeatsItself() {
        GoldenGpt golden = new GoldenGpt("gpt-gqa");
        GptDecoder decoder = new GptDecoder(golden.network(LlamaGen.of(golden.spec()), DataType.FLOAT));
        List<Integer> done = new ArrayList<>();
        int[][] first =
                decoder.generate(new int[] {0, 4, 3}, Guidance.of(2), TokenSamplers.random(1, 0, 1, 7), done::add);
        int[][] second = decoder.generate(new int[] {0, 4, 3}, Guidance.of(2), TokenSamplers.random(1, 0, 1, 7));
        assertArrayEquals(first, second);
        assertEquals(36, done.size());
        assertEquals(36, done.get(35));
    }

    @ParameterizedTest
    @CsvSource({
        "1, -1, 1",
        "1, -1, 2",
        "1.5, -1, 1",
        "4, -1, 2",
        "3, 0, 1",
        "3, 4, 1",
        "3, 100, 1",
    })
    void logitsAreThoseOfFullForwardPasses(double scale, int lastGuidedStep, int trainedPatchSide) {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(4, 6)).build();
        ComputationGraph network = SmallGpts.withLargeParameters(
                LlamaGen.of(spec).patchSide(trainedPatchSide).init(), 3);
        ComputationGraph oracle = SmallGpts.withLargeParameters(
                LlamaGen.of(spec).dataType(DataType.DOUBLE).init(), 3);
        int[] classes = {4, 0, 2};
        List<List<float[]>> seen = List.of(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
        TokenSampler greedy = TokenSampler.greedy();
        int[][] images = new GptDecoder(network)
                .generate(classes, new Guidance(scale, lastGuidedStep), image -> logits -> {
                    seen.get((int) image).add(logits.clone());
                    return greedy.sample(logits);
                });
        int[][] plain = new int[classes.length][spec.grid().tokens()];
        int[] noClass = {5, 5, 5};
        for (int position = 0; position < spec.grid().tokens(); position++) {
            double[][] conditional = logitsAt(oracle, plain, classes, position);
            double[][] free = logitsAt(oracle, plain, noClass, position);
            // the first token is always guided; steps count from the second
            boolean guided = lastGuidedStep < 0 || position - 1 <= lastGuidedStep;
            for (int b = 0; b < classes.length; b++) {
                double[] expected = new double[spec.vocabulary()];
                for (int v = 0; v < expected.length; v++) {
                    expected[v] = guided ? free[b][v] + (conditional[b][v] - free[b][v]) * scale : conditional[b][v];
                    if (expected[v] > expected[plain[b][position]]) {
                        plain[b][position] = v;
                    }
                }
                float[] actual = seen.get(b).get(position);
                for (int v = 0; v < expected.length; v++) {
                    assertEquals(expected[v], actual[v], 1e-4, "position " + position + ", image " + b);
                }
            }
        }
        assertArrayEquals(plain, images);
    }

    /** [B][V], from a pass over the whole sequence. */
    private static double[][] logitsAt(ComputationGraph network, int[][] images, int[] classes, int position) {
        INDArray logits = network.output(SmallGpts.data(images, classes).getFeatures())[0];
        return logits.get(NDArrayIndex.all(), NDArrayIndex.point(position), NDArrayIndex.all())
                .toDoubleMatrix();
    }

    /** Without a cache: full forward passes in the decoder's own type. Logits are handed out as floats. */
    @ParameterizedTest
    @CsvSource({
        "1, 5, 4, 4, 1, -1, FLOAT",
        "2, 5, 4, 4, 3, -1, FLOAT",
        "4, 6, 3, 7, 2, 5, FLOAT",
        "2, 7, 6, 2, 2, -1, FLOAT",
        "1, 8, 1, 9, 4, 0, FLOAT",
        "1, 5, 4, 4, 1, -1, DOUBLE",
        "2, 5, 3, 5, 3, -1, DOUBLE",
        "4, 9, 5, 2, 2, 3, DOUBLE",
    })
    void cachedEqualsUncached(
            int keyValueHeads, long seed, int height, int width, double scale, int lastGuidedStep, DataType type) {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(height, width))
                .keyValueHeads(keyValueHeads)
                .build();
        ComputationGraph network =
                SmallGpts.withLargeParameters(LlamaGen.of(spec).dataType(type).init(), seed);
        int[] classes = {4, 0, 2};
        int tokens = spec.grid().tokens();
        float[][][] seen = new float[classes.length][tokens][];
        int[] positions = new int[classes.length];
        TokenSampler greedy = TokenSampler.greedy();
        int[][] images;
        try (GptDecoder decoder = new GptDecoder(network)) {
            images = decoder.generate(classes, new Guidance(scale, lastGuidedStep), image -> logits -> {
                seen[(int) image][positions[(int) image]++] = logits.clone();
                return greedy.sample(logits);
            });
        }
        // every position of the finished images at once, without and with the class
        double[][][] conditional = logits(network, images, classes);
        double[][][] free = logits(network, images, new int[] {5, 5, 5});
        for (int b = 0; b < classes.length; b++) {
            for (int t = 0; t < tokens; t++) {
                boolean guided = lastGuidedStep < 0 || t - 1 <= lastGuidedStep;
                double largest = 0;
                double difference = 0;
                int best = 0;
                double bestLogit = Double.NEGATIVE_INFINITY;
                for (int v = 0; v < spec.vocabulary(); v++) {
                    double expected = guided
                            ? free[b][t][v] + (conditional[b][t][v] - free[b][t][v]) * scale
                            : conditional[b][t][v];
                    largest = Math.max(largest, Math.abs(expected));
                    difference = Math.max(difference, Math.abs(expected - seen[b][t][v]));
                    best = expected > bestLogit ? v : best;
                    bestLogit = Math.max(bestLogit, expected);
                }
                assertTrue(difference <= 1e-5 * largest, "image " + b + ", position " + t + ": " + difference);
                assertEquals(best, images[b][t], "image " + b + ", position " + t);
            }
        }
    }

    /** [B][N][V] */
    private static double[][][] logits(ComputationGraph network, int[][] images, int[] classes) {
        INDArray logits = network.output(SmallGpts.data(images, classes).getFeatures())[0];
        double[][][] result = new double[classes.length][][];
        for (int b = 0; b < classes.length; b++) {
            result[b] = logits.slice(b).dup('c').toDoubleMatrix();
        }
        return result;
    }

    @ParameterizedTest
    @CsvSource({
        "1, -1, false",
        "3, -1, false",
        "3, 5, false",
        "1, -1, true",
        "3, -1, true",
        "3, 5, true",
    })
    void greedyTokensOfCaptionsAreThoseOfPyTorch(int scale, int interval, boolean masked) {
        GoldenGpt golden = new GoldenGpt("gpt-text");
        INDArray mask = masked ? golden.array("mask") : null;
        int[][] expected = golden.array("greedy." + (masked ? "masked." : "") + "cfg" + scale + ".interval" + interval)
                .toIntMatrix();
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            try (GptDecoder decoder = new GptDecoder(golden.network(LlamaGen.of(golden.spec()), type))) {
                assertArrayEquals(expected, captionImages(decoder, golden, mask, scale, interval, 0, 3));
                for (int b = 0; b < 3; b++) {
                    int[][] alone = captionImages(decoder, golden, mask, scale, interval, b, b + 1);
                    assertArrayEquals(expected[b], alone[0]);
                }
            }
        }
    }

    private static int[][] captionImages(
            GptDecoder decoder, GoldenGpt golden, INDArray mask, int scale, int interval, int from, int to) {
        return decoder.generate(
                golden.array("captions").get(NDArrayIndex.interval(from, to), NDArrayIndex.all(), NDArrayIndex.all()),
                mask == null ? null : mask.get(NDArrayIndex.interval(from, to), NDArrayIndex.all()),
                new Guidance(scale, interval),
                TokenSamplers.greedy(),
                position -> {});
    }

    @Test
    void refusesWrongConditions() {
        GoldenGpt golden = new GoldenGpt("gpt-text");
        INDArray captions = golden.array("captions");
        try (GptDecoder text = new GptDecoder(golden.network(LlamaGen.of(golden.spec()), DataType.FLOAT));
                GptDecoder classes = new GptDecoder(network(1))) {
            assertTrue(text.textConditional() && text.guidable() && !classes.textConditional());
            assertEquals(5, classes.classes());
            assertEquals(11, classes.vocabulary());
            assertEquals(
                    "The network draws images of captions, not of classes. Give captions [images, 6, 24]",
                    message(() -> text.generate(new int[] {1}, Guidance.NONE, TokenSamplers.greedy())));
            assertEquals(
                    "The network draws images of classes, not of captions. Give class ids",
                    message(() -> classes.requireCaptions(captions, null)));
            assertEquals(
                    "The network takes captions [images, 6, 24], got [3, 24]. Pad or cut each caption to this size",
                    message(() -> text.requireCaptions(Nd4j.zeros(3, 24), null)));
            assertEquals(
                    "The mask of captions [3, 6, 24] is [3, 6], got [3, 5]",
                    message(() -> text.requireCaptions(captions, Nd4j.zeros(3, 5))));
        }
    }

    /** Whatever batches a run is cut into, and whatever is drawn beside an image. */
    @ParameterizedTest
    @CsvSource({"1, -1", "2, -1", "3, 6"})
    void drawsOfAnImageDoNotDependOnItsBatch(double scale, int lastGuidedStep) {
        Guidance guidance = new Guidance(scale, lastGuidedStep);
        TokenSamplers samplers = TokenSamplers.random(1, 8, 0.95, 42);
        int[] classes = {3, 0, 3, 1, 2, 4, 4};
        ComputationGraph network = network(1);
        int[][] expected = new GptDecoder(network).generate(classes, guidance, samplers);
        for (int batch : new int[] {1, 2, 3, 5}) {
            try (GptDecoder decoder = new GptDecoder(network)) {
                for (int from = 0; from < classes.length; from += batch) {
                    int[] some = Arrays.copyOfRange(classes, from, Math.min(from + batch, classes.length));
                    int[][] images = decoder.generate(some, guidance, samplers.from(from));
                    for (int b = 0; b < some.length; b++) {
                        assertArrayEquals(expected[from + b], images[b], "batch " + batch + ", image " + (from + b));
                    }
                }
            }
        }
        // the same class, another image
        assertFalse(Arrays.equals(expected[0], expected[2]));
    }

    @Test
    void aClosedDecoderMakesNewCaches() {
        GptDecoder decoder = new GptDecoder(network(1));
        int[] many = {1, 2, 3, 4, 0};
        int[][] expected = decoder.generate(many, Guidance.of(2), TokenSamplers.greedy());
        decoder.close();
        decoder.close();
        assertArrayEquals(expected, decoder.generate(many, Guidance.of(2), TokenSamplers.greedy()));
        decoder.close();
        // caches that are larger than needed, or too small
        decoder.generate(new int[] {1}, Guidance.NONE, TokenSamplers.greedy());
        assertArrayEquals(expected, decoder.generate(many, Guidance.of(2), TokenSamplers.greedy()));
        assertArrayEquals(
                Arrays.copyOf(expected, 2), decoder.generate(new int[] {1, 2}, Guidance.of(2), TokenSamplers.greedy()));
        decoder.close();
    }

    /** 100 decoders of 24 MB of caches each, none left to the collector. */
    @Test
    void closingGivesTheMemoryBack() {
        GptSpec spec = GptSpec.of(1, 8, 256)
                .feedForwardMultiple(16)
                .vocabulary(16)
                .classes(5)
                .grid(TokenGrid.of(1, 200))
                .build();
        ComputationGraph network = LlamaGen.of(spec).init();
        int[] classes = new int[60];
        long before = 0;
        for (int i = 0; i < 100; i++) {
            try (GptDecoder decoder = new GptDecoder(network)) {
                assertThrows(
                        UncheckedIOException.class,
                        () -> decoder.generate(classes, Guidance.NONE, image -> logits -> {
                            throw new UncheckedIOException(new IOException("enough"));
                        }));
            }
            if (i == 5) {
                before = Pointer.physicalBytes();
            }
        }
        long grown = Pointer.physicalBytes() - before;
        assertTrue(grown < 400L << 20, "grew by " + (grown >> 20) + " MiB");
    }

    @Test
    void aNetworkThatDivergedIsNamedWhateverThreadDraws() {
        ComputationGraph network = network(1);
        network.getLayer(LlamaGen.OUTPUT).getParam("W").putScalar(3, Double.NaN);
        try (GptDecoder decoder = new GptDecoder(network)) {
            String message = message(
                    () -> decoder.generate(new int[] {1, 2, 3, 4}, Guidance.of(2), TokenSamplers.random(1, 0, 1, 0)));
            assertTrue(message.startsWith("The logit of token "), message);
            assertTrue(message.endsWith("the network has diverged"), message);
        }
    }

    @Test
    void imagesOfABatchDoNotKnowEachOther() {
        ComputationGraph network = network(1);
        GptDecoder decoder = new GptDecoder(network);
        int[] classes = {3, 0, 3, 1};
        for (Guidance guidance : new Guidance[] {Guidance.NONE, Guidance.of(2)}) {
            int[][] together = decoder.generate(classes, guidance, TokenSamplers.greedy());
            for (int b = 0; b < classes.length; b++) {
                int[][] alone = decoder.generate(new int[] {classes[b]}, guidance, TokenSamplers.greedy());
                assertEquals(1, alone.length);
                assertArrayEquals(together[b], alone[0]);
            }
        }
    }

    @Test
    void decodesInDoubleToo() {
        LlamaGen builder = LlamaGen.of(SPEC);
        ComputationGraph network =
                SmallGpts.withLargeParameters(builder.dataType(DataType.DOUBLE).init(), 5);
        assertArrayEquals(
                new GptDecoder(network(1)).generate(new int[] {2, 3}, Guidance.of(2), TokenSamplers.greedy()),
                new GptDecoder(network).generate(new int[] {2, 3}, Guidance.of(2), TokenSamplers.greedy()));
    }

    @Test
    void drawsWithoutAClassRowForNoClass() {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(2, 2)).noClassRow(false).build();
        GptDecoder decoder =
                new GptDecoder(SmallGpts.withLargeParameters(LlamaGen.of(spec).init(), 3));
        assertEquals(4, decoder.generate(new int[] {4}, Guidance.NONE, TokenSamplers.greedy())[0].length);
        assertEquals(
                "Guidance needs a network trained with a row for \"no class\", this one has none. Use Guidance.NONE, or"
                        + " train with noClassRow and class dropout",
                message(() -> decoder.generate(new int[] {4}, Guidance.of(2), TokenSamplers.greedy())));
        assertEquals(
                "Class 5 of image 0 is unknown to the network. It knows 0 .. 4",
                message(() -> decoder.generate(new int[] {5}, Guidance.NONE, TokenSamplers.greedy())));
    }

    @Test
    void drawsImagesOfNoClass() {
        GptDecoder decoder = new GptDecoder(network(1));
        // the twin of "no class" is itself, so guidance changes nothing
        assertArrayEquals(
                decoder.generate(new int[] {5}, Guidance.NONE, TokenSamplers.greedy()),
                decoder.generate(new int[] {5}, Guidance.of(3), TokenSamplers.greedy()));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void trainingGoesOnAsIfNothingHadBeenDrawn(int patchSide) {
        MultiDataSet data = SmallGpts.data(SmallGpts.images(SPEC, 4, 1));
        ComputationGraph undisturbed = network(patchSide);
        ComputationGraph network = network(patchSide);
        GptDecoder decoder = new GptDecoder(network);
        network.addListeners(new BaseTrainingListener() {
            @Override
            public void iterationDone(Model model, int iteration, int epoch) {
                decoder.generate(new int[] {iteration}, Guidance.of(2), TokenSamplers.greedy());
            }
        });
        for (int step = 0; step < 4; step++) {
            Nd4j.getRandom().setSeed(step + 1);
            undisturbed.fit(data);
            decoder.generate(new int[] {0, 1}, Guidance.NONE, TokenSamplers.greedy());
            Nd4j.getRandom().setSeed(step + 1);
            network.fit(data);
            assertEquals(undisturbed.score(), network.score(), 0);
        }
        assertEquals(0, SmallGpts.difference(undisturbed.params(), network.params()));
        assertEquals(patchSide, StageScheduler.patchAveragesOf(network).get(0).getPatchSide());
    }

    @Test
    void drawsWithTheParametersOfTheMoment() {
        ComputationGraph network = network(1);
        GptDecoder decoder = new GptDecoder(network);
        decoder.generate(new int[] {1, 2}, Guidance.NONE, TokenSamplers.greedy());
        for (int step = 0; step < 5; step++) {
            network.fit(SmallGpts.data(SmallGpts.images(SPEC, 4, 1)));
        }
        assertArrayEquals(
                new GptDecoder(network.clone()).generate(new int[] {1, 2}, Guidance.of(2), TokenSamplers.greedy()),
                decoder.generate(new int[] {1, 2}, Guidance.of(2), TokenSamplers.greedy()));
    }

    @Test
    void aFailedDrawLeavesTheDecoderUsable() {
        GptDecoder decoder = new GptDecoder(network(1));
        int[][] expected = decoder.generate(new int[] {1, 2}, Guidance.NONE, TokenSamplers.greedy());
        int[] calls = new int[1];
        assertThrows(
                UncheckedIOException.class,
                () -> decoder.generate(new int[] {1, 2}, Guidance.NONE, image -> logits -> {
                    if (image == 0 && ++calls[0] == 9) {
                        throw new UncheckedIOException(new IOException("stopped"));
                    }
                    return 0;
                }));
        assertArrayEquals(expected, decoder.generate(new int[] {1, 2}, Guidance.NONE, TokenSamplers.greedy()));
    }

    /** Logits that stayed behind would add up to 320 MB. */
    @Test
    void nativeMemoryDoesNotGrow() {
        GptSpec spec = GptSpec.of(5, 8, 256)
                .feedForwardMultiple(16)
                .vocabulary(16384)
                .classes(5)
                .grid(TokenGrid.of(4, 4))
                .build();
        GptDecoder decoder = new GptDecoder(LlamaGen.of(spec).init());
        int[] classes = new int[16];
        for (int i = 0; i < 5; i++) {
            decoder.generate(classes, Guidance.NONE, TokenSamplers.greedy());
        }
        long limit = memoryOutsideTheHeap() + (150L << 20);
        for (int i = 0; i < 20; i++) {
            decoder.generate(classes, Guidance.NONE, TokenSamplers.greedy());
        }
        // what only waits for its collection disappears sooner or later; what leaks never does
        long left = memoryOutsideTheHeap();
        for (int i = 0; i < 20 && left > limit; i++) {
            decoder.generate(classes, Guidance.NONE, TokenSamplers.greedy());
            left = memoryOutsideTheHeap();
        }
        assertTrue(left <= limit, "grew by " + (150 + (left - limit >> 20)) + " MiB");
    }

    private static long memoryOutsideTheHeap() {
        System.gc();
        return Pointer.physicalBytes() - Runtime.getRuntime().totalMemory();
    }

    @Test
    void refusesOtherNetworks() {
        assertEquals(
                "The network is not initialised. Call init() before it generates",
                message(() ->
                        new GptDecoder(new ComputationGraph(LlamaGen.of(SPEC).build()))));
        ComputationGraph stock = new ComputationGraph(new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("in")
                .addLayer("out", new OutputLayer.Builder().nIn(2).nOut(2).build(), "in")
                .setOutputs("out")
                .build());
        stock.init();
        assertEquals(
                "The network has no layer \"tokenEmbedding\". GptDecoder takes networks built by LlamaGen",
                message(() -> new GptDecoder(stock)));
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.99, 0, -1, Double.NaN, Double.POSITIVE_INFINITY})
    void refusesGuidanceScales(double scale) {
        assertEquals(
                "The guidance scale must be at least 1 (1 = none), got " + scale, message(() -> Guidance.of(scale)));
    }

    @Test
    void refusesWhatItCannotGenerate() {
        GoldenGpt golden = new GoldenGpt("gpt-gqa");
        GptDecoder decoder = new GptDecoder(golden.network(LlamaGen.of(golden.spec()), DataType.FLOAT));
        assertTrue(message(() -> decoder.generate(new int[0], Guidance.NONE, TokenSamplers.greedy()))
                .contains("at least one class"));
        assertTrue(message(() -> decoder.generate(new int[] {6}, Guidance.NONE, TokenSamplers.greedy()))
                .contains("Class 6 of image 0 is unknown to the network. It knows 0 .. 5, where 5 is \"no class\""));
        assertTrue(message(() -> decoder.generate(new int[] {0, -1}, Guidance.NONE, TokenSamplers.greedy()))
                .contains("Class -1 of image 1"));
        assertEquals(
                "The last guided step must be at least 0, or -1 for all steps, got -2",
                message(() -> new Guidance(2, -2)));
    }

    private static ComputationGraph network(int patchSide) {
        return SmallGpts.withLargeParameters(
                LlamaGen.of(SPEC)
                        .patchSide(patchSide)
                        .classDropout(0.2)
                        .tokenDropout(0.1)
                        .residualDropout(0.1)
                        .feedForwardDropout(0.1)
                        .pathDropout(0.1)
                        .weightDecay(0.05)
                        .updater(new Adam(1e-2, 0.9, 0.95, 1e-8))
                        .init(),
                5);
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
