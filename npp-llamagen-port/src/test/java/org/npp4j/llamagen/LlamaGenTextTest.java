package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Random;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.Adam;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.impl.TransformerBlockImpl;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.PatchStages;

/** Models of captions: training through stages, saving, counting. */
class LlamaGenTextTest {
    private static final int CAPTION_TOKENS = 5;
    private static final int CAPTION_WIDTH = 6;
    private static final GptSpec SPEC = SmallGpts.spec(TokenGrid.of(4, 4))
            .captions(CAPTION_TOKENS, CAPTION_WIDTH)
            .build();

    private static MultiDataSet data(int count, boolean padded) {
        Nd4j.getRandom().setSeed(5);
        INDArray tokens = Nd4j.createFromArray(SmallGpts.images(SPEC, count, 3));
        INDArray captions = Nd4j.randn(DataType.FLOAT, count, CAPTION_TOKENS, CAPTION_WIDTH);
        INDArray mask = Nd4j.ones(DataType.FLOAT, count, CAPTION_TOKENS);
        for (int b = 0; b < count; b++) {
            for (int t = 0; t < b % CAPTION_TOKENS; t++) {
                mask.putScalar(b, t, 0);
            }
        }
        return new MultiDataSet(
                new INDArray[] {tokens, captions},
                new INDArray[] {tokens},
                padded ? new INDArray[] {null, mask} : null,
                null);
    }

    @ParameterizedTest
    @CsvSource({"1, false", "2, false", "4, false", "1, true", "2, true", "4, true"})
    void startsWithTheLossOfAGuess(int patchSide, boolean padded) {
        ComputationGraph network =
                LlamaGen.of(SPEC).patchSide(patchSide).seed(3).init();
        assertEquals(Math.log(SPEC.vocabulary()), network.score(data(3, padded)), 1e-6);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void learnsThroughTheStages(boolean padded) {
        ComputationGraph network = LlamaGen.of(SPEC)
                .classDropout(0.1)
                .learnUnconditional(true)
                .updater(new Adam(1e-2, 0.9, 0.95, 1e-8))
                .patchStages(PatchStages.parse("4:15it,2:40it,1:90it"))
                .seed(2)
                .init();
        MultiDataSet data = data(3, padded);
        double[] losses = new double[90];
        for (int step = 0; step < losses.length; step++) {
            network.fit(data);
            losses[step] = PatchOutputLayer.crossEntropy(network);
        }
        assertEquals(Math.log(11), losses[0], 1e-5);
        assertTrue(losses[14] < 0.97 * losses[0], "p = 4: " + losses[0] + " to " + losses[14]);
        assertTrue(losses[39] < 0.95 * losses[15], "p = 2: " + losses[15] + " to " + losses[39]);
        assertTrue(losses[89] < 0.3 * losses[40], "p = 1: " + losses[40] + " to " + losses[89]);
    }

    /** The mask of every token, all of them counted, changes nothing. */
    @Test
    void masksOfTokensAndCaptionsGoTogether() {
        ComputationGraph network =
                SmallGpts.withLargeParameters(LlamaGen.of(SPEC).patchSide(2).init(), 1);
        MultiDataSet data = data(3, true);
        double loss = network.score(data);
        data.setFeaturesMaskArrays(new INDArray[] {Nd4j.ones(DataType.FLOAT, 3, 16), data.getFeaturesMaskArray(1)});
        assertEquals(loss, network.score(data), 1e-6);
        data.setFeaturesMaskArrays(null);
        assertTrue(Math.abs(loss - network.score(data)) > 1e-3, "the padding is hidden");
    }

    @Test
    void aPaddedCaptionIsAShorterOne() {
        ComputationGraph network =
                SmallGpts.withLargeParameters(LlamaGen.of(SPEC).init(), 1);
        MultiDataSet data = data(3, true);
        INDArray changed = data.getFeatures(1).dup();
        changed.get(NDArrayIndex.point(2), NDArrayIndex.interval(0, 2), NDArrayIndex.all())
                .addi(7);
        double loss = network.score(data);
        data.setFeatures(1, changed);
        assertEquals(loss, network.score(data), 0);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void cachedDecodingEqualsTheFullPass(boolean padded) {
        ComputationGraph network =
                SmallGpts.withLargeParameters(LlamaGen.of(SPEC).init(), 1);
        MultiDataSet data = data(3, padded);
        network.setLayerMaskArrays(data.getFeaturesMaskArrays(), null);
        INDArray expected = network.output(data.getFeatures())[0];
        network.clearLayerMaskArrays();
        LayerWorkspaceMgr outside = LayerWorkspaceMgr.noWorkspaces();
        KeyValueCache[] caches = new KeyValueCache[SPEC.layers()];
        for (int i = 0; i < caches.length; i++) {
            caches[i] = ((TransformerBlockImpl) network.getLayer(LlamaGen.block(i))).newCache(3);
            caches[i].hideCondition(padded ? data.getFeaturesMaskArray(1) : null);
        }
        for (int position = 0; position < 16; position++) {
            INDArray x;
            if (position == 0) {
                network.getLayer(LlamaGen.CAPTION_EMBEDDING).setMaskArray(padded ? data.getFeaturesMaskArray(1) : null);
                x = network.getLayer(LlamaGen.CAPTION_EMBEDDING)
                        .activate(data.getFeatures(1), false, outside); // [3, C, D]
            } else {
                INDArray token = data.getFeatures(0)
                        .get(NDArrayIndex.all(), NDArrayIndex.interval(position - 1, position))
                        .dup();
                x = network.getLayer(LlamaGen.TOKEN_EMBEDDING).activate(token, false, outside);
            }
            for (int i = 0; i < caches.length; i++) {
                x = ((TransformerBlockImpl) network.getLayer(LlamaGen.block(i))).decode(x, caches[i], outside);
            }
            INDArray last = x.get(
                            NDArrayIndex.all(), NDArrayIndex.interval(x.size(1) - 1, x.size(1)), NDArrayIndex.all())
                    .dup('c');
            x = network.getLayer(LlamaGen.NORM).activate(last, false, outside);
            INDArray logits = network.getLayer(LlamaGen.OUTPUT).activate(x, false, outside);
            INDArray full = expected.get(
                            NDArrayIndex.all(), NDArrayIndex.interval(position, position + 1), NDArrayIndex.all())
                    .dup('c');
            assertEquals(0, SmallGpts.difference(full, logits.dup('c')), 1e-5, "position " + position);
        }
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void countsTheParametersOfTheNetwork(long seed) {
        Random random = new Random(seed);
        int heads = 1 + random.nextInt(3);
        GptSpec spec = GptSpec.of(1 + random.nextInt(3), heads, heads * 4 * (1 + random.nextInt(3)))
                .feedForwardMultiple(1 + random.nextInt(40))
                .vocabulary(1 + random.nextInt(60))
                .captions(1 + random.nextInt(9), 1 + random.nextInt(20))
                .grid(TokenGrid.of(1 + random.nextInt(5), 1 + random.nextInt(5)))
                .build();
        assertEquals(LlamaGen.of(spec).init().numParams(), spec.parameters(), spec::toString);
    }

    @Test
    void drawsTheInitialParameters() {
        GptSpec wide = GptSpec.of(1, 4, 64)
                .vocabulary(100)
                .captions(30, 256)
                .grid(TokenGrid.of(2, 2))
                .build();
        ComputationGraph network = LlamaGen.of(wide).seed(5).init();
        String layer = LlamaGen.CAPTION_EMBEDDING + "_";
        assertDeviation(0.02, network.getParam(layer + CaptionEmbedding.IN_WEIGHT));
        assertDeviation(0.02, network.getParam(layer + CaptionEmbedding.OUT_WEIGHT));
        assertDeviation(1 / 16.0, network.getParam(layer + CaptionEmbedding.UNCONDITIONAL));
        assertEquals(0, network.getParam(LlamaGen.OUTPUT + "_W").amaxNumber().doubleValue());
    }

    private static void assertDeviation(double expected, INDArray values) {
        double error = expected / Math.sqrt(values.length());
        assertEquals(0, values.meanNumber().doubleValue(), 5 * error);
        assertEquals(expected, values.stdNumber().doubleValue(), 4 * error);
    }

    @Test
    void survivesJsonAndSaving(@TempDir Path folder) throws IOException {
        LlamaGen builder =
                LlamaGen.of(SPEC).publishedTraining().learnUnconditional(true).seed(4);
        ComputationGraphConfiguration configuration = builder.build();
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
        assertEquals(configuration, configuration.clone());
        ComputationGraph network = builder.init();
        MultiDataSet data = data(3, true);
        network.fit(data);
        File file = folder.resolve("network.zip").toFile();
        ModelSerializer.writeModel(network, file, true);
        ComputationGraph restored = ModelSerializer.restoreComputationGraph(file, true);
        for (ComputationGraph each : new ComputationGraph[] {network, restored, network.clone()}) {
            Nd4j.getRandom().setSeed(17);
            each.fit(data);
        }
        assertEquals(0, SmallGpts.difference(network.params(), restored.params()));
    }

    @Test
    void refusesMixedConditions() {
        TokenGrid grid = TokenGrid.of(2, 2);
        assertEquals(
                "A GPT is conditioned on captions (captionWidth 8) or on classes, got 3 classes without a row for \"no"
                        + " class\" as well. Leave one of them out",
                message(() -> new GptSpec(1, 1, 1, 4, 4, 5, 3, false, grid, 10000, 1e-5, 2, 8)));
        assertEquals(
                "A class is 1 condition token, got 2. Give a captionWidth to condition on captions",
                message(() -> new GptSpec(1, 1, 1, 4, 4, 5, 3, false, grid, 10000, 1e-5, 2, 0)));
        assertEquals(
                "A GPT's captionWidth must be at least 1, got -8",
                message(() -> new GptSpec(1, 1, 1, 4, 4, 5, 0, false, grid, 10000, 1e-5, 2, -8)));
        assertEquals("A GPT's conditionTokens must be at least 1, got 0", message(() -> SPEC.toBuilder()
                .captions(0, 8)));
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
