package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;

/**
 * Compares the gradients of a graph in double precision with central differences, at a few elements of every parameter
 * array: GradientCheckUtil visits all of them, which takes minutes for a transformer.
 */
final class NumericalGradients {
    private static final double STEP = 1e-6;
    private static final double RELATIVE = 1e-5;
    private static final double ABSOLUTE = 1e-9;

    private NumericalGradients() {}

    /**
     * @param elements how many elements of each parameter array
     * @param beforeEachPass sets the random seed where dropout is on
     */
    static void check(ComputationGraph graph, MultiDataSet data, int elements, Runnable beforeEachPass) {
        graph.setInputs(data.getFeatures());
        graph.setLabels(data.getLabels());
        graph.setLayerMaskArrays(data.getFeaturesMaskArrays(), data.getLabelsMaskArrays());
        beforeEachPass.run();
        graph.computeGradientAndScore();
        // the updater divides by the batch size
        double batch = data.getFeatures(0).size(0);
        Map<String, INDArray> gradients = new LinkedHashMap<>();
        graph.gradient().gradientForVariable().forEach((key, gradient) -> gradients.put(key, gradient.dup()));
        graph.clearLayerMaskArrays();
        Random random = new Random(1);
        boolean anyNonZero = false;
        for (Map.Entry<String, INDArray> parameter : graph.paramTable().entrySet()) {
            INDArray values = parameter.getValue();
            INDArray gradient = gradients.get(parameter.getKey());
            for (int i = 0; i < elements; i++) {
                long[] at = new long[values.rank()];
                for (int axis = 0; axis < at.length; axis++) {
                    at[axis] = random.nextInt((int) values.size(axis));
                }
                double value = values.getDouble(at);
                double above = score(graph, data, values, at, value + STEP, beforeEachPass);
                double below = score(graph, data, values, at, value - STEP, beforeEachPass);
                values.putScalar(at, value);
                double numerical = (above - below) / (2 * STEP);
                double analytic = gradient.getDouble(at) / batch;
                double difference = Math.abs(numerical - analytic);
                anyNonZero |= Math.abs(analytic) > 1e-6;
                assertTrue(
                        difference <= ABSOLUTE || difference <= RELATIVE * (Math.abs(numerical) + Math.abs(analytic)),
                        () -> parameter.getKey() + Arrays.toString(at) + ": gradient " + analytic
                                + ", central difference " + numerical);
            }
        }
        assertTrue(anyNonZero, "every gradient is zero");
    }

    private static double score(
            ComputationGraph graph,
            MultiDataSet data,
            INDArray values,
            long[] at,
            double value,
            Runnable beforeEachPass) {
        values.putScalar(at, value);
        beforeEachPass.run();
        return graph.score(data, true);
    }
}
