package org.npp4j.llamagen.sampling;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
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
