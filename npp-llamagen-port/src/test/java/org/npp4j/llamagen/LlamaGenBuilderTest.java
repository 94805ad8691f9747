package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.regularization.WeightDecay;
import org.npp4j.layers.CaptionEmbedding;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.TransformerBlock;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;

/** Settings as one makes them from a published size. */
class LlamaGenBuilderTest {
    private static final GptSpec SPEC = SmallGpts.spec(TokenGrid.of(4, 4)).build();

    @Test
    void changesTheSizesOfAPublishedModel() {
        GptSpec spec = LlamaGen.gptB()
                .numClasses(10)
                .vocabulary(512)
                .imageSize(384, 16)
                .spec();
        assertEquals(
                GptSpec.of(12, 12, 768)
                        .classes(10)
                        .vocabulary(512)
                        .grid(TokenGrid.of(24, 24))
                        .build(),
                spec);
        assertEquals(
                TokenGrid.of(4, 6),
                LlamaGen.gptB().grid(TokenGrid.of(4, 6)).spec().grid());
        assertEquals(
                GptSize.GPT_XL.spec().captions(77, 768).build(),
                LlamaGen.gptXL().captions(77, 768).spec());
        GptSpec classes = LlamaGen.gpt3B().numClasses(1000).spec();
        assertFalse(classes.textConditional());
        assertEquals(1001, classes.classRows());
    }

    @Test
    void theFirstStageDecidesThePatchSideAndTheSchedulerTheRest() {
        PatchStages stages = PatchStages.parse("4:2it,2:3it,1:9it");
        LlamaGen builder = LlamaGen.of(SPEC).patchStages(stages);
        assertEquals(LlamaGen.of(SPEC).patchSide(4).build(), builder.build());
        ComputationGraph network = builder.init();
        assertEquals(1, network.getListeners().size());
        TrainingListener listener = network.getListeners().iterator().next();
        assertEquals(stages, ((StageScheduler) listener).stages());
        int[] expected = {4, 4, 2, 1, 1};
        for (int p : expected) {
            assertEquals(p, StageScheduler.patchAveragesOf(network).get(0).getPatchSide());
            network.fit(SmallGpts.data(SmallGpts.images(SPEC, 3, 1)));
        }
        assertTrue(builder.patchSide(2).init().getListeners().isEmpty());
    }

    @Test
    void refusesStagesAndSizesThatDoNotFit() {
        PatchStages thirds = PatchStages.parse("3:2,1:9");
        String message = message(() -> LlamaGen.of(SPEC).patchStages(thirds));
        assertTrue(message.startsWith("Stage 1 of 2 (3:2,1:9) does not fit: patch side 3"), message);
        LlamaGen builder = LlamaGen.of(SPEC).grid(TokenGrid.of(6, 6)).patchStages(thirds);
        builder.build();
        message = message(() -> builder.grid(TokenGrid.of(4, 4)).build());
        assertTrue(message.startsWith("Stage 1 of 2 (3:2,1:9) does not fit: patch side 3"), message);
        LlamaGen sided = LlamaGen.of(SPEC).patchSide(4).grid(TokenGrid.of(6, 6));
        message = message(sided::build);
        assertTrue(message.startsWith("Patch side 4 does not divide the 6 x 6 token grid"), message);
        assertEquals(
                "The downsampling of the tokenizer must divide the image size, got 250 pixels and downsampling 16",
                message(() -> LlamaGen.gptB().imageSize(250, 16)));
        assertEquals(
                "The downsampling of the tokenizer must divide the image size, got 256 pixels and downsampling 0",
                message(() -> LlamaGen.gptB().imageSize(256, 0)));
        assertEquals("A GPT's classes must be at least 1, got 0", message(() -> LlamaGen.gptB()
                .numClasses(0)));
        assertEquals("Class dropout needs a row for \"no class\": set noClassRow(true)", message(() -> LlamaGen.of(
                        SPEC.toBuilder().noClassRow(false).build())
                .publishedTraining()));
    }

    @Test
    void publishedTraining() {
        for (GptSize size : List.of(GptSize.GPT_L, GptSize.GPT_1B)) {
            ComputationGraphConfiguration configuration =
                    LlamaGen.of(size).publishedTraining().build();
            TransformerBlock block = (TransformerBlock) layer(configuration, LlamaGen.block(3));
            assertEquals(0.1, block.getResidualDropout());
            assertEquals(0.1, block.getFeedForwardDropout());
            assertEquals(0, block.getPathDropout());
            assertEquals(List.of(new WeightDecay(0.05, true)), block.getRegularization());
            assertNotNull(layer(configuration, LlamaGen.block(0)).getIDropout());
            if (size.textConditional()) {
                CaptionEmbedding captions = (CaptionEmbedding) layer(configuration, LlamaGen.CAPTION_EMBEDDING);
                assertEquals(0.1, captions.getDropout());
                assertFalse(captions.isLearnUnconditional());
            } else {
                TokenEmbedding classes = (TokenEmbedding) layer(configuration, LlamaGen.CLASS_EMBEDDING);
                assertEquals(0.1, classes.getDropout());
            }
        }
    }

    @Test
    void usesGivenParameters() {
        INDArray parameters = Nd4j.zeros(DataType.FLOAT, 1, SPEC.parameters());
        ComputationGraph network = LlamaGen.of(SPEC).init(parameters);
        assertEquals(0, network.params().amaxNumber().doubleValue());
        network.getParam(LlamaGen.NORM + "_gain").assign(3);
        assertEquals(3, parameters.maxNumber().doubleValue());
        assertSame(DataType.FLOAT, network.params().dataType());
        assertEquals(
                "This model has " + SPEC.parameters() + " parameters in DOUBLE, got an array of " + SPEC.parameters()
                        + " in FLOAT",
                message(() -> LlamaGen.of(SPEC).dataType(DataType.DOUBLE).init(parameters)));
        assertEquals(
                "This model has " + SPEC.parameters() + " parameters in FLOAT, got an array of 3 in FLOAT",
                message(() -> LlamaGen.of(SPEC).init(Nd4j.zeros(DataType.FLOAT, 1, 3))));
    }

    private static org.deeplearning4j.nn.conf.layers.BaseLayer layer(
            ComputationGraphConfiguration configuration, String name) {
        LayerVertex vertex = (LayerVertex) configuration.getVertices().get(name);
        return (org.deeplearning4j.nn.conf.layers.BaseLayer)
                vertex.getLayerConf().getLayer();
    }

    private static String message(Runnable call) {
        return assertThrows(IllegalArgumentException.class, call::run).getMessage();
    }
}
