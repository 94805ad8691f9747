package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;

/** The whole model against PyTorch, for every patch side. */
class LlamaGenGoldenTest {

    static Stream<Arguments> cases() {
        List<Arguments> cases = new ArrayList<>();
        for (String name : new String[] {"gpt-tiny", "gpt-gqa"}) {
            GoldenGpt golden = new GoldenGpt(name);
            golden.info().get("patch_sides").forEach(p -> cases.add(Arguments.of(name, golden, p.asInt())));
        }
        return cases.stream();
    }

    @ParameterizedTest(name = "{0}, p = {2}")
    @MethodSource("cases")
    void logitsLossAndGradientsInFloat(String name, GoldenGpt golden, int p) {
        ComputationGraph network = golden.network(LlamaGen.of(golden.spec()).patchSide(p), DataType.FLOAT);
        MultiDataSet data = data(golden);
        INDArray logits = network.output(data.getFeatures())[0];
        assertClose("logits", golden.array("p" + p + ".logits"), logits, 1e-4);
        assertEquals(golden.array("p" + p + ".loss").getDouble(0), network.score(data), 1e-5);

        network.setInputs(data.getFeatures());
        network.setLabels(data.getLabels());
        network.computeGradientAndScore();
        golden.parameterNames().forEach((parameter, published) -> {
            INDArray expected = golden.inOurShape(parameter, golden.array("p" + p + ".grad." + published));
            // Deeplearning4j's gradients are sums over the examples until the updater divides them
            INDArray gradient = network.gradient().getGradientFor(parameter).div(3);
            assertClose(parameter, expected, gradient.reshape(expected.shape()), 1e-4);
        });
    }

    @ParameterizedTest(name = "{0}, p = {2}")
    @MethodSource("cases")
    void logitsInDouble(String name, GoldenGpt golden, int p) {
        ComputationGraph network = golden.network(LlamaGen.of(golden.spec()).patchSide(p), DataType.DOUBLE);
        INDArray logits = network.output(data(golden).getFeatures())[0];
        assertClose("logits", golden.array("p" + p + ".logits_f64"), logits, 1e-9);
    }

    private static MultiDataSet data(GoldenGpt golden) {
        INDArray tokens = golden.array("tokens").castTo(DataType.INT32);
        INDArray classes = golden.array("classes").castTo(DataType.INT32).reshape(3, 1);
        return new MultiDataSet(new INDArray[] {tokens, classes}, new INDArray[] {tokens});
    }

    private static void assertClose(String what, INDArray expected, INDArray actual, double tolerance) {
        double difference = GoldenGpt.relativeDifference(expected, actual);
        assertTrue(difference <= tolerance, what + " differs by " + difference + " of its largest value");
    }
}
