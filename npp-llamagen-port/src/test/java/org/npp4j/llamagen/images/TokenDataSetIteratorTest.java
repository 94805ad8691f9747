package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Set;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.EmbeddingLayer;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;

class TokenDataSetIteratorTest {
    private static final int IMAGES = 23;

    /** Row i holds i, i + 100, i + 200; its class is i % 5. */
    private static TokenDataSetIterator iterator(int batchSize, boolean keepLastShort, long seed) {
        int[][] tokens = new int[IMAGES][];
        int[] classes = new int[IMAGES];
        for (int i = 0; i < IMAGES; i++) {
            tokens[i] = new int[] {i, i + 100, i + 200};
            classes[i] = i % 5;
        }
        return new TokenDataSetIterator(tokens, classes, batchSize, keepLastShort, seed);
    }

    /** The images of what is left of the epoch; checks every batch. */
    private static List<Integer> rest(TokenDataSetIterator iterator) {
        List<Integer> images = new ArrayList<>();
        while (iterator.hasNext()) {
            MultiDataSet batch = iterator.next();
            INDArray tokens = batch.getFeatures(0);
            INDArray classes = batch.getFeatures(1);
            assertEquals(tokens, batch.getLabels(0));
            assertNotSame(tokens, batch.getLabels(0));
            assertEquals(DataType.INT32, tokens.dataType());
            assertEquals(DataType.INT32, classes.dataType());
            assertArrayEquals(new long[] {tokens.size(0), 1}, classes.shape());
            assertEquals(3, tokens.size(1));
            for (int b = 0; b < tokens.size(0); b++) {
                int image = tokens.getInt(b, 0);
                assertEquals(image + 100, tokens.getInt(b, 1));
                assertEquals(image + 200, tokens.getInt(b, 2));
                assertEquals(image % 5, classes.getInt(b, 0));
                images.add(image);
            }
        }
        return images;
    }

    @Test
    void everyEpochHoldsEveryImageOnceInANewOrder() {
        TokenDataSetIterator iterator = iterator(4, true, 7);
        assertEquals(6, iterator.batchesPerEpoch());
        Set<List<Integer>> orders = new HashSet<>();
        for (int epoch = 0; epoch < 5; epoch++) {
            assertEquals(epoch, iterator.getEpoch());
            List<Integer> images = rest(iterator);
            assertEquals(IMAGES, new HashSet<>(images).size());
            assertEquals(IMAGES, images.size());
            orders.add(images);
            iterator.reset();
        }
        assertEquals(5, orders.size());
        assertNotEquals(rest(iterator(4, true, 7)), rest(iterator(4, true, 8)));
    }

    @Test
    void theLastShortBatchCanBeDropped() {
        TokenDataSetIterator iterator = iterator(4, false, 7);
        assertEquals(5, iterator.batchesPerEpoch());
        assertEquals(rest(iterator(4, true, 7)).subList(0, 20), rest(iterator));
        assertThrows(NoSuchElementException.class, iterator::next);
        iterator.reset();
        assertEquals(1, iterator.getEpoch());
        assertEquals(1, iterator(23, false, 7).batchesPerEpoch());
    }

    @Test
    void theOrderDependsOnSeedAndEpochAlone() {
        TokenDataSetIterator straight = iterator(4, true, 3);
        rest(straight);
        straight.reset();
        rest(straight);
        straight.reset();
        List<Integer> third = rest(straight);

        TokenDataSetIterator resumed = iterator(4, true, 3);
        resumed.setEpoch(2);
        assertEquals(third, rest(resumed));
        resumed.seek(2, 4);
        assertEquals(third.subList(16, IMAGES), rest(resumed));
        assertEquals(2, resumed.getEpoch());
        resumed.seek(2, 6);
        assertFalse(resumed.hasNext());
        // Another batch size keeps the order.
        TokenDataSetIterator other = iterator(5, true, 3);
        other.setEpoch(2);
        assertEquals(third, rest(other));
    }

    @Test
    void resetBeforeTheFirstBatchStays() {
        TokenDataSetIterator iterator = iterator(4, true, 3);
        iterator.reset();
        assertEquals(0, iterator.getEpoch());
        iterator.setEpoch(5);
        iterator.reset();
        assertEquals(5, iterator.getEpoch());
        iterator.next();
        iterator.reset();
        assertEquals(6, iterator.getEpoch());
        assertTrue(iterator.resetSupported());
        assertFalse(iterator.asyncSupported());
    }

    @Test
    void batchesOfOtherSizesAndPreProcessors() {
        TokenDataSetIterator iterator = iterator(4, true, 3);
        assertEquals(20, iterator.next(20).getFeatures(0).size(0));
        iterator.setPreProcessor(batch -> batch.getLabels(0).addi(1));
        MultiDataSet batch = iterator.next(20);
        assertEquals(3, batch.getFeatures(0).size(0));
        assertEquals(batch.getFeatures(0).add(1), batch.getLabels(0));
    }

    @Test
    void stockEmbeddingLayersTakeTheBatches() {
        var graph = new ComputationGraph(new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("tokens", "classes")
                .addLayer(
                        "tokenEmbedding",
                        new EmbeddingSequenceLayer.Builder()
                                .nIn(300)
                                .nOut(4)
                                .inputLength(3)
                                .outputDataFormat(RNNFormat.NWC)
                                .build(),
                        "tokens")
                .addLayer(
                        "classEmbedding",
                        new EmbeddingLayer.Builder()
                                .nIn(5)
                                .nOut(4)
                                .activation(Activation.IDENTITY)
                                .build(),
                        "classes")
                .setOutputs("tokenEmbedding", "classEmbedding")
                .setInputTypes(InputType.recurrent(300, 3, RNNFormat.NWC), InputType.feedForward(5))
                .build());
        graph.init();
        MultiDataSet batch = iterator(4, true, 3).next();
        INDArray[] out = graph.output(batch.getFeatures(0), batch.getFeatures(1));
        assertArrayEquals(new long[] {4, 3, 4}, out[0].shape());
        assertArrayEquals(new long[] {4, 4}, out[1].shape());
        INDArray table = graph.getLayer("tokenEmbedding").getParam("W");
        assertEquals(
                table.getRow(batch.getFeatures(0).getInt(2, 1)), out[0].slice(2).getRow(1));
        assertEquals(
                Nd4j.createFromArray(new int[] {batch.getFeatures(0).getInt(0, 0) % 5})
                        .getInt(0),
                batch.getFeatures(1).getInt(0, 0));
    }

    @Test
    void wrongArguments() {
        int[][] two = {{1, 2}, {3, 4}};
        assertMessage("2 rows of tokens but 3 classes", () -> new TokenDataSetIterator(two, new int[3], 1, true, 0));
        assertMessage(
                "Row 1 has 1 tokens, row 0 has 2",
                () -> new TokenDataSetIterator(new int[][] {{1, 2}, {3}}, new int[2], 1, true, 0));
        assertMessage("no tokens", () -> new TokenDataSetIterator(new int[0][], new int[0], 1, true, 0));
        assertMessage(
                "Row 0 has a negative", () -> new TokenDataSetIterator(new int[][] {{1, -2}}, new int[1], 1, true, 0));
        assertMessage("Batch size 0", () -> new TokenDataSetIterator(two, new int[2], 0, true, 0));
        assertMessage("Batch size 3", () -> new TokenDataSetIterator(two, new int[2], 3, false, 0));
        assertMessage("no batch 7 of epoch 0", () -> iterator(4, true, 0).seek(0, 7));
        assertMessage("epoch -1", () -> iterator(4, true, 0).setEpoch(-1));
    }

    private static void assertMessage(String part, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }
}
