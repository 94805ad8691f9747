package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;
import java.util.function.UnaryOperator;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.dropout.Dropout;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.Sgd;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

class LlamaGenTest {
    private static final GptSpec SPEC = SmallGpts.spec(TokenGrid.of(4, 4)).build();

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void startsWithTheLossOfAGuess(int patchSide) {
        ComputationGraph network =
                LlamaGen.of(SPEC).patchSide(patchSide).seed(3).init();
        double loss = network.score(SmallGpts.data(SmallGpts.images(SPEC, 3, 1)));
        assertEquals(Math.log(SPEC.vocabulary()), loss, 1e-6);
    }

    @Test
    void drawsTheInitialParameters() {
        GptSpec wide = GptSpec.of(2, 4, 64)
                .feedForwardMultiple(16)
                .vocabulary(100)
                .classes(50)
                .grid(TokenGrid.of(4, 4))
                .build();
        Map<String, INDArray> parameters = LlamaGen.of(wide).seed(5).init().paramTable();
        parameters.forEach((name, values) -> {
            double mean = values.meanNumber().doubleValue();
            double deviation = values.stdNumber().doubleValue();
            if (isGain(name)) {
                assertEquals(1, values.minNumber().doubleValue(), name);
                assertEquals(1, values.maxNumber().doubleValue(), name);
            } else if (name.startsWith(LlamaGen.OUTPUT)) {
                assertEquals(0, values.amaxNumber().doubleValue(), name);
            } else {
                double error = 0.02 / Math.sqrt(values.length());
                assertEquals(0, mean, 5 * error, name);
                assertEquals(0.02, deviation, 4 * error, name);
            }
        });
        assertEquals(2 * 7 + 4, parameters.size());
    }

    /** ND4J replaces seed 0 by the time of day. */
    @ParameterizedTest
    @ValueSource(longs = {0, 8, -1})
    void equalSeedsMakeEqualNetworks(long seed) {
        ComputationGraph first = everything().seed(seed).init();
        MultiDataSet data = SmallGpts.data(SmallGpts.images(SPEC, 4, 1));
        first.fit(data);
        Nd4j.getRandom().nextInt();
        ComputationGraph second = everything().seed(seed).init();
        second.fit(data);
        assertEquals(0, SmallGpts.difference(first.params(), second.params()));
        ComputationGraph other = everything().seed(seed + 1).init();
        assertTrue(SmallGpts.difference(first.params(), other.params()) > 0.01);
    }

    @Test
    void decaysMatricesAndTablesAndNoGain() {
        double rate = 0.1;
        double decay = 0.05;
        MultiDataSet data = SmallGpts.data(SmallGpts.images(SPEC, 3, 1));
        UnaryOperator<LlamaGen> settings =
                builder -> builder.updater(new Sgd(rate)).dataType(DataType.DOUBLE);
        ComputationGraph plain =
                SmallGpts.withLargeParameters(settings.apply(LlamaGen.of(SPEC)).init(), 4);
        ComputationGraph decayed = SmallGpts.withLargeParameters(
                settings.apply(LlamaGen.of(SPEC)).weightDecay(decay).init(), 4);
        INDArray before = plain.params().dup();
        plain.fit(data);
        decayed.fit(data);
        plain.setParams(plain.params().subi(decayed.params()));
        decayed.setParams(before);
        plain.paramTable().forEach((name, difference) -> {
            INDArray expected = decayed.getParam(name).mul(isGain(name) ? 0 : rate * decay);
            assertEquals(0, SmallGpts.difference(expected, difference), 1e-12, name);
        });
    }

    @Test
    void placesTheDropouts() {
        GptSpec deep = GptSpec.of(5, 1, 8)
                .vocabulary(7)
                .classes(3)
                .grid(TokenGrid.of(2, 2))
                .build();
        ComputationGraphConfiguration configuration = LlamaGen.of(deep)
                .tokenDropout(0.1)
                .residualDropout(0.2)
                .feedForwardDropout(0.3)
                .pathDropout(0.4)
                .classDropout(0.15)
                .build();
        ComputationGraph network = new ComputationGraph(configuration);
        network.init();
        for (int i = 0; i < 5; i++) {
            TransformerBlock block = (TransformerBlock)
                    network.getLayer(LlamaGen.block(i)).conf().getLayer();
            assertEquals(0.1 * i, block.getPathDropout(), 1e-12);
            assertEquals(0.2, block.getResidualDropout());
            assertEquals(0.3, block.getFeedForwardDropout());
            if (i == 0) {
                assertEquals(new Dropout(0.9), block.getIDropout());
            } else {
                assertNull(block.getIDropout());
            }
        }
        assertNull(network.getLayer(LlamaGen.NORM).conf().getLayer().getIDropout());
        assertNull(network.getLayer(LlamaGen.OUTPUT).conf().getLayer().getIDropout());
        TokenEmbedding classes = (TokenEmbedding)
                network.getLayer(LlamaGen.CLASS_EMBEDDING).conf().getLayer();
        assertEquals(0.15, classes.getDropout());
        assertEquals(3, classes.getReplacement());
        TokenEmbedding tokens = (TokenEmbedding)
                network.getLayer(LlamaGen.TOKEN_EMBEDDING).conf().getLayer();
        assertEquals(0, tokens.getDropout());
    }

    @Test
    void aSingleBlockHasNoPathDropout() {
        GptSpec shallow = GptSpec.of(1, 1, 8)
                .vocabulary(7)
                .classes(3)
                .grid(TokenGrid.of(2, 2))
                .build();
        ComputationGraph network = LlamaGen.of(shallow).pathDropout(0.4).init();
        TransformerBlock block =
                (TransformerBlock) network.getLayer(LlamaGen.block(0)).conf().getLayer();
        assertEquals(0, block.getPathDropout());
    }

    @Test
    void configurationSurvivesJson() {
        ComputationGraphConfiguration configuration = everything().build();
        ComputationGraphConfiguration read = ComputationGraphConfiguration.fromJson(configuration.toJson());
        assertEquals(configuration, read);
        assertEquals(configuration, configuration.clone());
        ComputationGraph first = new ComputationGraph(configuration);
        first.init();
        ComputationGraph second = new ComputationGraph(read);
        second.init();
        assertEquals(0, SmallGpts.difference(first.params(), second.params()));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void continuesToTheBitAfterASave(int patchSide, @TempDir Path folder) throws IOException {
        MultiDataSet data = SmallGpts.data(SmallGpts.images(SPEC, 4, 1));
        ComputationGraph network = everything().patchSide(patchSide).init();
        network.fit(data);
        network.fit(data);
        File file = folder.resolve("network.zip").toFile();
        ModelSerializer.writeModel(network, file, true);
        ComputationGraph restored = ModelSerializer.restoreComputationGraph(file, true);
        for (ComputationGraph each : new ComputationGraph[] {network, restored}) {
            Nd4j.getRandom().setSeed(17);
            each.fit(data);
            each.fit(data);
        }
        assertEquals(network.score(), restored.score(), 0);
        assertEquals(0, SmallGpts.difference(network.params(), restored.params()));
    }

    @Test
    void learnsOnAGridThatIsNoSquare() {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(4, 6)).build();
        int[][] images = SmallGpts.images(spec, 2, 6);
        ComputationGraph network = LlamaGen.of(spec)
                .updater(new Adam(1e-2, 0.9, 0.95, 1e-8))
                .seed(2)
                .init();
        new StageScheduler(PatchStages.parse("2:20it,1:60it")).attachTo(network);
        double[] losses = losses(network, SmallGpts.data(images), 60);
        assertEquals(Math.log(11), losses[0], 1e-5);
        assertTrue(losses[19] < 0.9 * losses[0], "p = 2: " + losses[0] + " to " + losses[19]);
        assertTrue(losses[59] < 0.2 * losses[20], "p = 1: " + losses[20] + " to " + losses[59]);
    }

    @Test
    void memorisesImagesAndDrawsThemAgain() {
        int[][] images = SmallGpts.images(SPEC, 5, 12);
        ComputationGraph network = LlamaGen.of(SPEC)
                .updater(new Adam(5e-3, 0.9, 0.95, 1e-8))
                .seed(2)
                .init();
        new StageScheduler(PatchStages.parse("4:20it,2:60it,1:200it")).attachTo(network);
        double[] losses = losses(network, SmallGpts.data(images), 200);
        assertTrue(losses[19] < 0.9 * losses[0], "p = 4: " + losses[0] + " to " + losses[19]);
        assertTrue(losses[59] < 0.95 * losses[20], "p = 2: " + losses[20] + " to " + losses[59]);
        assertTrue(losses[199] < 0.05, "p = 1: " + losses[60] + " to " + losses[199]);
        int[][] drawn =
                new GptDecoder(network).generate(new int[] {0, 1, 2, 3, 4}, Guidance.NONE, TokenSamplers.greedy());
        assertArrayEquals(images, drawn);
    }

    @Test
    void refusesClassDropoutWithoutItsRow() {
        GptSpec spec = SmallGpts.spec(TokenGrid.of(2, 2)).noClassRow(false).build();
        assertEquals("Class dropout needs a row for \"no class\": set noClassRow(true)", message(() -> LlamaGen.of(spec)
                .classDropout(0.1)));
        LlamaGen.of(spec).classDropout(0).build();
    }

    @Test
    void refusesPatchesThatDoNotTileTheGrid() {
        String message = message(() -> LlamaGen.of(SPEC).patchSide(3));
        assertTrue(message.startsWith("Patch side 3 does not divide the 4 x 4 token grid"), message);
        message = message(() -> LlamaGen.of(SPEC).patchSide(0));
        assertTrue(message.startsWith("Patch side 0 does not divide"), message);
    }

    @ParameterizedTest
    @ValueSource(doubles = {-0.1, 1, Double.NaN})
    void refusesWhatIsNoProbability(double value) {
        String rule = " is the probability of dropping, at least 0 and below 1, got " + value;
        LlamaGen builder = LlamaGen.of(SPEC);
        assertEquals("classDropout" + rule, message(() -> builder.classDropout(value)));
        assertEquals("tokenDropout" + rule, message(() -> builder.tokenDropout(value)));
        assertEquals("residualDropout" + rule, message(() -> builder.residualDropout(value)));
        assertEquals("feedForwardDropout" + rule, message(() -> builder.feedForwardDropout(value)));
        assertEquals("pathDropout" + rule, message(() -> builder.pathDropout(value)));
    }

    @Test
    void refusesOtherBadSettings() {
        LlamaGen builder = LlamaGen.of(SPEC);
        assertEquals(
                "The weight decay must be a finite number, at least 0 (none), got -0.1",
                message(() -> builder.weightDecay(-0.1)));
        assertEquals(
                "The weight decay must be a finite number, at least 0 (none), got NaN",
                message(() -> builder.weightDecay(Double.NaN)));
        assertEquals(
                "LlamaGen trains in FLOAT or DOUBLE, got BFLOAT16", message(() -> builder.dataType(DataType.BFLOAT16)));
        assertThrows(NullPointerException.class, () -> builder.updater(null));
        assertThrows(NullPointerException.class, () -> LlamaGen.of((GptSpec) null));
    }

    private static LlamaGen everything() {
        return LlamaGen.of(SPEC)
                .patchSide(2)
                .classDropout(0.2)
                .tokenDropout(0.1)
                .residualDropout(0.1)
                .feedForwardDropout(0.1)
                .pathDropout(0.1)
                .weightDecay(0.05)
                .updater(new Adam(1e-3, 0.9, 0.95, 1e-8))
                .seed(4);
    }

    private static double[] losses(ComputationGraph network, MultiDataSet data, int steps) {
        double[] losses = new double[steps];
        for (int step = 0; step < steps; step++) {
            network.fit(data);
            losses[step] = PatchOutputLayer.crossEntropy(network);
        }
        return losses;
    }

    private static boolean isGain(String parameter) {
        return parameter.toLowerCase(Locale.ROOT).endsWith("gain");
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
