package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

class SkipPositionsTest {

    @RepeatedTest(15)
    void matchesLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int batch = 1 + random.nextInt(3);
        int count = 1 + random.nextInt(4);
        int kept = 1 + random.nextInt(4);
        int width = 1 + random.nextInt(3);
        double[][][] x = SingleLayer.values(random, batch, count + kept, width);
        double[][][] epsilon = SingleLayer.values(random, batch, kept, width);
        double[][][] out = new double[batch][kept][];
        double[][][] gradient = new double[batch][count + kept][width];
        for (int b = 0; b < batch; b++) {
            for (int t = 0; t < kept; t++) {
                out[b][t] = x[b][count + t];
                gradient[b][count + t] = epsilon[b][t];
            }
        }
        SkipPositions skip = new SkipPositions(count);
        for (char order : new char[] {'c', 'f'}) {
            INDArray actual = skip.preProcess(Nd4j.createFromArray(x).dup(order), batch, SingleLayer.NO_WORKSPACES);
            assertEquals(0, SingleLayer.largestDifference(out, actual));
            INDArray back = skip.backprop(Nd4j.createFromArray(epsilon).dup(order), batch, SingleLayer.NO_WORKSPACES);
            assertEquals(0, SingleLayer.largestDifference(gradient, back));
        }
    }

    @Test
    void masks() {
        SkipPositions skip = new SkipPositions(2);
        INDArray mask = Nd4j.createFromArray(new float[][] {{0, 1, 1, 0}, {1, 0, 0, 1}});
        assertEquals(
                Nd4j.createFromArray(new float[][] {{1, 0}, {0, 1}}),
                skip.feedForwardMaskArray(mask, MaskState.Active, 2).getFirst());
        assertNull(skip.feedForwardMaskArray(null, MaskState.Active, 2).getFirst());
        assertNull(
                skip.feedForwardMaskArray(Nd4j.zeros(DataType.FLOAT, 2, 3), MaskState.Active, 2)
                        .getFirst(),
                "the mask of the condition alone");
        assertNull(skip.backprop(null, 2, SingleLayer.NO_WORKSPACES));
    }

    @Test
    void types() {
        SkipPositions skip = new SkipPositions(2);
        assertEquals(
                InputType.recurrent(8, 3, RNNFormat.NWC), skip.getOutputType(InputType.recurrent(8, 5, RNNFormat.NWC)));
        assertEquals(
                InputType.recurrent(8, -1, RNNFormat.NWC),
                skip.getOutputType(InputType.recurrent(8, -1, RNNFormat.NWC)));
    }

    @Test
    void refusesWhatCannotWork() {
        assertEquals("SkipPositions drops at least 1 position, got 0", Refusal.ofArgument(() -> new SkipPositions(0)));
        SkipPositions skip = new SkipPositions(2);
        assertEquals(
                "SkipPositions drops 2 positions, but the layer before it gives only 2. Drop fewer",
                Refusal.ofArgument(() -> skip.getOutputType(InputType.recurrent(8, 2, RNNFormat.NWC))));
        assertTrue(Refusal.ofArgument(() -> skip.getOutputType(InputType.recurrent(8, 5, RNNFormat.NCW)))
                .startsWith("SkipPositions works on sequences [batch, positions, width]"));
        assertEquals(
                "SkipPositions drops the first 2 positions of a longer sequence [batch, positions, width], got [1, 2, 3]",
                Refusal.ofArgument(
                        () -> skip.preProcess(Nd4j.zeros(DataType.FLOAT, 1, 2, 3), 1, SingleLayer.NO_WORKSPACES)));
    }

    @Test
    void equalsAndJson() throws Exception {
        SkipPositions skip = new SkipPositions(7);
        assertEquals(7, skip.getCount());
        assertEquals(skip, skip.clone());
        assertEquals(skip.hashCode(), skip.clone().hashCode());
        assertNotEquals(skip, new SkipPositions(6));
        assertEquals("SkipPositions(7)", skip.toString());
        String json = NeuralNetConfiguration.mapper().writeValueAsString(skip);
        assertEquals(skip, NeuralNetConfiguration.mapper().readValue(json, InputPreProcessor.class));
    }
}
