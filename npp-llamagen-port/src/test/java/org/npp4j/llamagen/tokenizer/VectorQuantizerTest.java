package org.npp4j.llamagen.tokenizer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.CnnLossLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Sgd;

class VectorQuantizerTest {
    private static final int V = 6;
    private static final int D = 3;
    private static final double STEP = 1e-6;

    /** Latents [2, 2, 3, D] and what the layer is to give. */
    private final INDArray input = Nd4j.rand(DataType.DOUBLE, 2, 2, 3, D).subi(0.5);

    private static VectorQuantizer.Builder builder() {
        return new VectorQuantizer.Builder(V, D);
    }

    private static ComputationGraph network(VectorQuantizer quantizer, DataType type) {
        ComputationGraph network = new ComputationGraph(configuration(quantizer, type));
        network.init();
        return network;
    }

    private static ComputationGraphConfiguration configuration(VectorQuantizer quantizer, DataType type) {
        return new NeuralNetConfiguration.Builder()
                .seed(3)
                .dataType(type)
                .updater(new Sgd(1))
                .graphBuilder()
                .addInputs("in")
                .setInputTypes(InputType.convolutional(2, 3, D, CNN2DFormat.NHWC))
                .addLayer("q", quantizer, "in")
                .addLayer(
                        "loss",
                        new CnnLossLayer.Builder(new ImageSquaredError(2 * 3 * D))
                                .format(CNN2DFormat.NHWC)
                                .activation(Activation.IDENTITY)
                                .build(),
                        "q")
                .setOutputs("loss")
                .build();
    }

    @Test
    void givesTheNearestCode() {
        ComputationGraph network = network(builder().build(), DataType.DOUBLE);
        INDArray output = network.outputSingle(input).reshape(12, D);
        INDArray codes = network.getParam("q_codes");
        for (int row = 0; row < 12; row++) {
            INDArray z = input.reshape(12, D).getRow(row);
            double best = Double.NEGATIVE_INFINITY;
            INDArray nearest = null;
            for (int v = 0; v < V; v++) {
                INDArray code = codes.getRow(v).div(codes.getRow(v).norm2Number());
                double product = code.mul(z).sumNumber().doubleValue();
                if (product > best) {
                    best = product;
                    nearest = code;
                }
            }
            assertArrayEquals(nearest.toDoubleVector(), output.getRow(row).toDoubleVector(), 1e-12);
        }
        assertEquals(12, ((VectorQuantizerImpl) network.getLayer("q")).chosen().length);
    }

    /** Where one term is left out, the other's gradient is exact: the choice of codes does not change in a small step. */
    @ParameterizedTest
    @CsvSource({"0.7, 0, true", "0, 0.4, false"})
    void gradientsOfBothTerms(double codebookWeight, double commitment, boolean ofCodes) {
        VectorQuantizer quantizer = builder()
                .codebookWeight(codebookWeight)
                .commitment(commitment)
                .weight(1.7)
                .build();
        ComputationGraph network = network(quantizer, DataType.DOUBLE);
        VectorQuantizerImpl layer = (VectorQuantizerImpl) network.getLayer("q");
        layer.setBackpropGradientsViewArray(Nd4j.zeros(DataType.DOUBLE, 1, V * D));
        LayerWorkspaceMgr none = LayerWorkspaceMgr.noWorkspaces();
        layer.setInput(input, none);
        layer.activate(true, none);
        var gradients = layer.backpropGradient(Nd4j.zeros(DataType.DOUBLE, 2, 2, 3, D), none);
        INDArray exact = ofCodes ? gradients.getFirst().getGradientFor("codes") : gradients.getSecond();
        INDArray other = ofCodes ? gradients.getSecond() : gradients.getFirst().getGradientFor("codes");
        assertEquals(0, other.amaxNumber().doubleValue(), 0);
        INDArray moved = ofCodes ? layer.getParam("codes") : input;
        assertTrue(exact.amaxNumber().doubleValue() > 1e-3);
        for (long i = 0; i < moved.length(); i++) {
            double at = moved.getDouble(i);
            double up = loss(layer, moved, i, at + STEP);
            double down = loss(layer, moved, i, at - STEP);
            moved.putScalar(i, at);
            // the gradient is that of the sum over the 2 images, the score their mean
            assertEquals(2 * (up - down) / (2 * STEP), exact.getDouble(i), 1e-7, "element " + i);
        }
    }

    private double loss(VectorQuantizerImpl layer, INDArray moved, long element, double value) {
        moved.putScalar(element, value);
        layer.setInput(input, LayerWorkspaceMgr.noWorkspaces());
        layer.activate(true, LayerWorkspaceMgr.noWorkspaces());
        return layer.calcRegularizationScore(true);
    }

    /** With its own loss at weight 0 the gradient at y reaches z as that of z / |z| would. */
    @Test
    void passesTheGradientStraightThrough() {
        ComputationGraph network = network(builder().weight(0).build(), DataType.DOUBLE);
        VectorQuantizerImpl layer = (VectorQuantizerImpl) network.getLayer("q");
        layer.setBackpropGradientsViewArray(Nd4j.zeros(DataType.DOUBLE, 1, V * D));
        LayerWorkspaceMgr none = LayerWorkspaceMgr.noWorkspaces();
        layer.setInput(input, none);
        layer.activate(true, none);
        INDArray epsilon = Nd4j.rand(DataType.DOUBLE, 2, 2, 3, D);
        INDArray gradient = layer.backpropGradient(epsilon, none).getSecond();
        for (int i = 0; i < input.length(); i++) {
            double at = input.getDouble(i);
            double up = productWithUnit(epsilon, i, at + STEP);
            double down = productWithUnit(epsilon, i, at - STEP);
            input.putScalar(i, at);
            assertEquals((up - down) / (2 * STEP), gradient.getDouble(i), 1e-7, "element " + i);
        }
    }

    private double productWithUnit(INDArray epsilon, int element, double value) {
        input.putScalar(element, value);
        INDArray z = input.reshape(12, D).getRow(element / D);
        return z.div(z.norm2Number())
                .mul(epsilon.reshape(12, D).getRow(element / D))
                .sumNumber()
                .doubleValue();
    }

    @Test
    void theScoreHoldsBothLosses() {
        VectorQuantizer quantizer = builder().commitment(0.5).weight(2).build();
        ComputationGraph network = network(quantizer, DataType.DOUBLE);
        INDArray images = Nd4j.rand(DataType.DOUBLE, 2, 2, 3, D);
        MultiDataSet batch = new MultiDataSet(new INDArray[] {input}, new INDArray[] {images});
        network.fit(batch);
        ComputationGraph same = network(quantizer, DataType.DOUBLE);
        INDArray output = same.outputSingle(input);
        INDArray lengths = input.reshape(12, D).norm2(true, 1);
        INDArray unit = input.reshape(12, D).divColumnVector(lengths).reshape(2, 2, 3, D);
        double error = output.sub(images).norm2Number().doubleValue();
        double quantization = output.sub(unit).norm2Number().doubleValue();
        double expected = error * error / (2 * 18) + 2 * 1.5 * quantization * quantization / (2 * 18);
        assertEquals(expected, network.score(), 1e-12);
        // and fit has moved the codes
        assertNotEquals(same.getParam("q_codes"), network.getParam("q_codes"));
    }

    @Test
    void survivesJsonAndClone() {
        VectorQuantizer quantizer =
                builder().commitment(0.5).codebookWeight(3).weight(2).build();
        ComputationGraphConfiguration configuration = configuration(quantizer, DataType.FLOAT);
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(configuration.toJson()));
        assertEquals(quantizer, quantizer.clone());
        assertNotEquals(quantizer, builder().build());
        assertEquals(new ImageSquaredError(7), new ImageSquaredError(7));
    }

    @Test
    void refusesBadSettings() {
        assertTrue(refused(() -> new VectorQuantizer.Builder(0, 3)).contains("got 0 codes of 3"));
        assertTrue(refused(() -> builder().commitment(-1)).contains("commitment must be a finite number"));
        assertTrue(refused(() -> builder().weight(Double.NaN)).contains("weight must be"));
        assertTrue(refused(() -> new ImageSquaredError(0)).contains("at least 1 value"));
        assertTrue(refused(() -> configuration(new VectorQuantizer.Builder(V, D + 1).build(), DataType.FLOAT))
                .contains("works on latents [batch, height, width, 4]"));
    }

    private static String refused(org.junit.jupiter.api.function.Executable call) {
        return assertThrows(IllegalArgumentException.class, call).getMessage();
    }
}
