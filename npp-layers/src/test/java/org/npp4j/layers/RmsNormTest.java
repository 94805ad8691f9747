package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.gradient.Gradient;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

class RmsNormTest {

    private static double scale(double[] x, double epsilon) {
        double squares = 0;
        for (double value : x) {
            squares += value * value;
        }
        return 1 / Math.sqrt(squares / x.length + epsilon);
    }

    private static double largestScale(double[][][] x, double epsilon) {
        double largest = 1;
        for (double[][] example : x) {
            for (double[] row : example) {
                largest = Math.max(largest, scale(row, epsilon));
            }
        }
        return largest;
    }

    private static double[][][] naiveForward(double[][][] x, INDArray gain, double epsilon) {
        double[][][] y = new double[x.length][x[0].length][x[0][0].length];
        for (int b = 0; b < x.length; b++) {
            for (int t = 0; t < x[b].length; t++) {
                for (int d = 0; d < x[b][t].length; d++) {
                    y[b][t][d] = x[b][t][d] * scale(x[b][t], epsilon) * gain.getDouble(d);
                }
            }
        }
        return y;
    }

    /** The sum over outputs i of dy_i times the derivative of y_i by x_d, term by term. */
    private static double[][][] naiveBackward(
            double[][][] dy, double[][][] x, INDArray gain, double epsilon, double[] dGain) {
        double[][][] dx = new double[x.length][x[0].length][x[0][0].length];
        int width = dGain.length;
        for (int b = 0; b < x.length; b++) {
            for (int t = 0; t < x[b].length; t++) {
                double[] row = x[b][t];
                double s = scale(row, epsilon);
                for (int i = 0; i < width; i++) {
                    dGain[i] += dy[b][t][i] * row[i] * s;
                    for (int d = 0; d < width; d++) {
                        double derivative = (i == d ? s : 0) - row[i] * row[d] * s * s * s / width;
                        dx[b][t][d] += dy[b][t][i] * gain.getDouble(i) * derivative;
                    }
                }
            }
        }
        return dx;
    }

    @RepeatedTest(20)
    void matchesLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int batch = 1 + random.nextInt(3);
        int positions = 1 + random.nextInt(5);
        int width = 1 + random.nextInt(9);
        double epsilon = random.nextBoolean() ? 1e-5 : 0.3;
        double[][][] x = SingleLayer.values(random, batch, positions, width);
        double[][][] dy = SingleLayer.values(random, batch, positions, width);
        for (DataType type : new DataType[] {DataType.FLOAT, DataType.DOUBLE}) {
            // gradients grow with the largest scale
            double tolerance = (type == DataType.DOUBLE ? 1e-12 : 2e-5) * largestScale(x, epsilon);
            Layer layer = SingleLayer.of(
                    new RmsNorm.Builder().nIn(width).epsilon(epsilon).build(), type, repetition.getCurrentRepetition());
            INDArray gain = layer.getParam(RmsNorm.GAIN);
            double[] dGain = new double[width];
            double[][][] dx = naiveBackward(dy, x, gain, epsilon, dGain);
            for (char order : new char[] {'c', 'f'}) {
                INDArray input = Nd4j.createFromArray(x).castTo(type).dup(order);
                INDArray out = SingleLayer.forward(layer, input, true);
                assertEquals(0, SingleLayer.largestDifference(naiveForward(x, gain, epsilon), out), tolerance);
                INDArray gradient = Nd4j.createFromArray(dy).castTo(type).dup(order);
                Pair<Gradient, INDArray> back = layer.backpropGradient(gradient, SingleLayer.NO_WORKSPACES);
                assertEquals(0, SingleLayer.largestDifference(dx, back.getSecond()), tolerance);
                INDArray actual = back.getFirst().getGradientFor(RmsNorm.GAIN);
                for (int d = 0; d < width; d++) {
                    assertEquals(dGain[d], actual.getDouble(d), 10 * tolerance);
                }
                assertEquals(Nd4j.createFromArray(x).castTo(type), input, "the input changed");
                assertEquals(Nd4j.createFromArray(dy).castTo(type), gradient, "the gradient changed");
            }
        }
    }

    @Test
    void aViewIsReadCorrectly() {
        Layer layer = SingleLayer.of(new RmsNorm.Builder().nIn(4).build(), DataType.DOUBLE, 1);
        INDArray wide = Nd4j.randn(DataType.DOUBLE, 2, 6, 8);
        INDArray view = wide.get(NDArrayIndex.all(), NDArrayIndex.interval(1, 4), NDArrayIndex.interval(2, 6));
        INDArray expected = SingleLayer.forward(layer, view.dup('c'), false).dup();
        assertEquals(expected, SingleLayer.forward(layer, view, false));
    }

    @Test
    void zerosStayZeros() {
        Layer layer = SingleLayer.of(new RmsNorm.Builder().nIn(4).build(), DataType.FLOAT, 1);
        INDArray zeros = Nd4j.zeros(DataType.FLOAT, 2, 3, 4);
        assertEquals(zeros, SingleLayer.forward(layer, zeros.dup(), true));
        INDArray back = layer.backpropGradient(Nd4j.ones(DataType.FLOAT, 2, 3, 4), SingleLayer.NO_WORKSPACES)
                .getSecond();
        assertTrue(Double.isFinite(back.sumNumber().doubleValue()));
    }

    @Test
    void gainStartsAtOneAndIsNotDecayed() {
        RmsNorm.Builder builder = new RmsNorm.Builder().nIn(3);
        builder.weightDecay(0.1, true);
        RmsNorm norm = builder.build();
        assertEquals(3, norm.initializer().numParams(norm));
        assertEquals(List.of("gain"), norm.initializer().paramKeys(norm));
        assertTrue(norm.initializer().weightKeys(norm).isEmpty());
        assertTrue(norm.initializer().biasKeys(norm).isEmpty());
        NeuralNetConfiguration configuration =
                new NeuralNetConfiguration.Builder().layer(norm).build();
        Layer layer = norm.instantiate(configuration, null, 0, Nd4j.create(DataType.FLOAT, 1, 3), true, DataType.FLOAT);
        assertEquals(Nd4j.ones(DataType.FLOAT, 3), layer.getParam(RmsNorm.GAIN));
        assertTrue(norm.getRegularizationByParam(RmsNorm.GAIN) == null
                || norm.getRegularizationByParam(RmsNorm.GAIN).isEmpty());
    }

    @Test
    void widthComesFromTheInput() {
        RmsNorm norm = new RmsNorm.Builder().build();
        InputType type = InputType.recurrent(6, -1, RNNFormat.NWC);
        norm.setNIn(type, true);
        assertEquals(6, norm.getNIn());
        assertEquals(6, norm.getNOut());
        assertEquals(type, norm.getOutputType(0, type));
    }

    @Test
    void refusesWhatDoesNotFit() {
        assertEquals("RmsNorm's epsilon must be above 0, got 0.0", Refusal.ofArgument(() -> new RmsNorm.Builder()
                .epsilon(0)));
        assertEquals("RmsNorm's epsilon must be above 0, got NaN", Refusal.ofArgument(() -> new RmsNorm.Builder()
                .epsilon(Double.NaN)));
        assertEquals(
                "RmsNorm needs its width: set nIn(width) or the network's input types, got 0",
                Refusal.ofArgument(() -> SingleLayer.of(new RmsNorm.Builder().build(), DataType.FLOAT, 1)));
        RmsNorm norm = new RmsNorm.Builder().name("last").nIn(4).build();
        assertEquals(
                "RmsNorm \"last\" is set up for width 4, but the layer before it gives 6. Leave nIn out or make them"
                        + " equal",
                Refusal.ofArgument(() -> norm.setNIn(InputType.recurrent(6, 2, RNNFormat.NWC), false)));
        String message = Refusal.ofArgument(() -> norm.setNIn(InputType.recurrent(4, 2, RNNFormat.NCW), false));
        assertTrue(message.startsWith("RmsNorm \"last\" works on sequences [batch, positions, width]"), message);
        assertTrue(message.endsWith("Set the data format of the layer before it to RNNFormat.NWC"), message);
        message = Refusal.ofArgument(() -> norm.getOutputType(0, InputType.feedForward(4)));
        assertTrue(message.contains("InputType.recurrent(width, length, RNNFormat.NWC)"), message);
        Layer layer = SingleLayer.of(new RmsNorm.Builder().nIn(4).build(), DataType.FLOAT, 1);
        message = Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.create(DataType.FLOAT, 2, 4, 3), false));
        assertTrue(message.startsWith("Expected a sequence [batch, positions, 4], got [2, 4, 3]"), message);
        message = Refusal.ofArgument(() -> SingleLayer.forward(layer, Nd4j.create(DataType.FLOAT, 2, 4), false));
        assertTrue(message.startsWith("Expected a sequence [batch, positions, 4], got [2, 4]"), message);
    }

    @Test
    void equalsAndJson() throws Exception {
        RmsNorm norm = new RmsNorm.Builder().nIn(4).epsilon(0.25).build();
        assertEquals(0.25, norm.getEpsilon());
        assertEquals(norm, norm.clone());
        assertEquals(norm.hashCode(), norm.clone().hashCode());
        assertNotEquals(norm, new RmsNorm.Builder().nIn(4).build());
        assertNotEquals(norm, new RmsNorm.Builder().nIn(5).epsilon(0.25).build());
        String json = NeuralNetConfiguration.mapper().writeValueAsString(norm);
        assertEquals(
                norm, NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.layers.Layer.class));
    }
}
