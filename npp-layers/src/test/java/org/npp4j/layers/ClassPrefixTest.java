package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.inputs.InvalidInputTypeException;
import org.deeplearning4j.nn.conf.memory.MemoryReport;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.GraphVertex;
import org.deeplearning4j.nn.graph.vertex.VertexIndices;
import org.junit.jupiter.api.RepeatedTest;
import org.junit.jupiter.api.RepetitionInfo;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

class ClassPrefixTest {

    private static GraphVertex vertex(INDArray condition, INDArray sequence) {
        GraphVertex vertex = new ClassPrefix().instantiate(null, "sequence", 2, null, true, sequence.dataType());
        vertex.setInputVertices(new VertexIndices[] {new VertexIndices(0, 0), new VertexIndices(1, 0)});
        vertex.setInput(0, condition, SingleLayer.NO_WORKSPACES);
        vertex.setInput(1, sequence, SingleLayer.NO_WORKSPACES);
        return vertex;
    }

    private static double[][][] naiveForward(double[][][] condition, double[][][] sequence) {
        int c = condition[0].length;
        int k = sequence[0].length;
        double[][][] out = new double[sequence.length][c + k - 1][];
        for (int b = 0; b < sequence.length; b++) {
            for (int t = 0; t < out[b].length; t++) {
                out[b][t] = t < c ? condition[b][t] : sequence[b][t - c];
            }
        }
        return out;
    }

    @RepeatedTest(20)
    void matchesLoops(RepetitionInfo repetition) {
        Random random = new Random(repetition.getCurrentRepetition());
        int batch = 1 + random.nextInt(3);
        int c = 1 + random.nextInt(3);
        int k = 1 + random.nextInt(4);
        int width = 1 + random.nextInt(4);
        double[][][] condition = SingleLayer.values(random, batch, c, width);
        double[][][] sequence = SingleLayer.values(random, batch, k, width);
        double[][][] epsilon = SingleLayer.values(random, batch, c + k - 1, width);
        for (char order : new char[] {'c', 'f'}) {
            INDArray conditionArray = Nd4j.createFromArray(condition).dup(order);
            INDArray sequenceArray = Nd4j.createFromArray(sequence).dup(order);
            GraphVertex vertex = vertex(conditionArray, sequenceArray);
            INDArray out = vertex.doForward(true, SingleLayer.NO_WORKSPACES);
            assertEquals(0, SingleLayer.largestDifference(naiveForward(condition, sequence), out));
            vertex.setEpsilon(Nd4j.createFromArray(epsilon).dup(order));
            INDArray[] gradients =
                    vertex.doBackward(false, SingleLayer.NO_WORKSPACES).getSecond();
            for (int b = 0; b < batch; b++) {
                for (int d = 0; d < width; d++) {
                    for (int t = 0; t < c; t++) {
                        assertEquals(epsilon[b][t][d], gradients[0].getDouble(b, t, d));
                    }
                    for (int t = 0; t < k - 1; t++) {
                        assertEquals(epsilon[b][c + t][d], gradients[1].getDouble(b, t, d));
                    }
                    assertEquals(0, gradients[1].getDouble(b, k - 1, d), "the last position is dropped");
                }
            }
            assertTrue(gradients[0].equalShapes(conditionArray));
            assertTrue(gradients[1].equalShapes(sequenceArray));
        }
    }

    @Test
    void aConditionWithoutPositionAxisIsOneToken() {
        Random random = new Random(1);
        double[][][] condition = SingleLayer.values(random, 2, 1, 3);
        double[][][] sequence = SingleLayer.values(random, 2, 4, 3);
        INDArray flat = Nd4j.createFromArray(condition).reshape(2, 3);
        GraphVertex vertex = vertex(flat, Nd4j.createFromArray(sequence));
        INDArray out = vertex.doForward(true, SingleLayer.NO_WORKSPACES);
        assertEquals(0, SingleLayer.largestDifference(naiveForward(condition, sequence), out));
        INDArray epsilon = Nd4j.rand(DataType.DOUBLE, 2, 4, 3);
        vertex.setEpsilon(epsilon);
        INDArray[] gradients =
                vertex.doBackward(false, SingleLayer.NO_WORKSPACES).getSecond();
        assertTrue(gradients[0].equalShapes(flat));
        assertEquals(epsilon.getDouble(1, 0, 2), gradients[0].getDouble(1, 2));
    }

    @Test
    void masksFollow() {
        INDArray mask = Nd4j.createFromArray(new float[][] {{1, 0, 1}, {0, 1, 0}});
        for (int c : new int[] {1, 3}) {
            GraphVertex vertex = vertex(Nd4j.zeros(DataType.FLOAT, 2, c, 2), Nd4j.zeros(DataType.FLOAT, 2, 3, 2));
            INDArray passed = vertex.feedForwardMaskArrays(new INDArray[] {null, mask}, MaskState.Active, 2)
                    .getFirst();
            float[][] expected = new float[2][c + 2];
            for (int b = 0; b < 2; b++) {
                for (int t = 0; t < c + 2; t++) {
                    expected[b][t] = t < c ? 1 : mask.getFloat(b, t - c);
                }
            }
            assertEquals(Nd4j.createFromArray(expected), passed);
            assertNull(vertex.feedForwardMaskArrays(null, MaskState.Active, 2).getFirst());
            assertNull(vertex.feedForwardMaskArrays(new INDArray[2], MaskState.Active, 2)
                    .getFirst());
            // one patch: only the condition is left
            assertEquals(
                    Nd4j.ones(DataType.FLOAT, 2, c),
                    vertex.feedForwardMaskArrays(
                                    new INDArray[] {null, Nd4j.zeros(DataType.FLOAT, 2, 1)}, MaskState.Active, 2)
                            .getFirst());
        }
    }

    @Test
    void masksOfTheConditionFollowToo() {
        INDArray condition = Nd4j.createFromArray(new float[][] {{0, 0, 1}, {0, 1, 1}});
        INDArray sequence = Nd4j.createFromArray(new double[][] {{1, 0}, {0, 1}});
        GraphVertex vertex = vertex(Nd4j.zeros(DataType.FLOAT, 2, 3, 2), Nd4j.zeros(DataType.FLOAT, 2, 2, 2));
        assertEquals(
                Nd4j.createFromArray(new double[][] {{0, 0, 1, 1}, {0, 1, 1, 0}}),
                vertex.feedForwardMaskArrays(new INDArray[] {condition, sequence}, MaskState.Active, 2)
                        .getFirst());
        assertEquals(
                condition,
                vertex.feedForwardMaskArrays(new INDArray[] {condition, null}, MaskState.Active, 2)
                        .getFirst());
        GraphVertex single = vertex(Nd4j.zeros(DataType.FLOAT, 2, 1, 2), Nd4j.zeros(DataType.FLOAT, 2, 2, 2));
        assertNull(single.feedForwardMaskArrays(
                        new INDArray[] {Nd4j.zeros(DataType.FLOAT, 2, 1), null}, MaskState.Active, 2)
                .getFirst());
    }

    /** Deeplearning4j passes masks before activations, so the vertex must know C before its first forward pass. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void masksFollowBeforeTheFirstForwardPass(int c) {
        ComputationGraphConfiguration configuration = new NeuralNetConfiguration.Builder()
                .graphBuilder()
                .addInputs("condition", "tokens")
                .setInputTypes(InputType.recurrent(4, c, RNNFormat.NWC), InputType.feedForward(3))
                .addLayer("embedding", new TokenEmbedding.Builder(5, 4).build(), "tokens")
                .addVertex("sequence", new ClassPrefix(), "condition", "embedding")
                .addLayer("norm", new RmsNorm.Builder().build(), "sequence")
                .setOutputs("norm")
                .build();
        for (ComputationGraphConfiguration each : new ComputationGraphConfiguration[] {
            configuration, ComputationGraphConfiguration.fromJson(configuration.toJson())
        }) {
            ComputationGraph graph = new ComputationGraph(each);
            graph.init();
            graph.setLayerMaskArrays(
                    new INDArray[] {null, Nd4j.createFromArray(new float[][] {{1, 1, 0}, {0, 1, 1}})}, null);
            INDArray mask = graph.getLayer("norm").getMaskArray();
            assertEquals(c + 2, mask.size(1));
            assertEquals(0, mask.getInt(1, c));
            assertEquals(1, mask.getInt(1, c - 1));
        }
    }

    @Test
    void outputTypes() {
        ClassPrefix prefix = new ClassPrefix();
        InputType sequence = InputType.recurrent(8, 16, RNNFormat.NWC);
        assertEquals(
                InputType.recurrent(8, 16, RNNFormat.NWC),
                prefix.getOutputType(0, InputType.recurrent(8, 1, RNNFormat.NWC), sequence));
        assertEquals(
                InputType.recurrent(8, 18, RNNFormat.NWC),
                prefix.getOutputType(0, InputType.recurrent(8, 3, RNNFormat.NWC), sequence));
        assertEquals(
                InputType.recurrent(8, 16, RNNFormat.NWC), prefix.getOutputType(0, InputType.feedForward(8), sequence));
        assertEquals(
                InputType.recurrent(8, -1, RNNFormat.NWC),
                prefix.getOutputType(0, InputType.feedForward(8), InputType.recurrent(8, -1, RNNFormat.NWC)));
        assertEquals(
                InputType.recurrent(8, -1, RNNFormat.NWC),
                prefix.getOutputType(0, InputType.recurrent(8, -1, RNNFormat.NWC), sequence));
    }

    @Test
    void refusesInputTypesThatDoNotFit() {
        InputType nwc = InputType.recurrent(8, 16, RNNFormat.NWC);
        String start = "ClassPrefix takes two inputs, the condition's embeddings and a sequence"
                + " [batch, positions, width] (RNNFormat.NWC), got [";
        InputType ncw = InputType.recurrent(8, 16, RNNFormat.NCW);
        assertTrue(refused(nwc).startsWith(start));
        assertTrue(refused(nwc, ncw).startsWith(start));
        assertTrue(refused(ncw, nwc).startsWith(start));
        assertTrue(refused(nwc, InputType.feedForward(8)).startsWith(start));
        assertEquals(
                "ClassPrefix needs inputs of equal width, got a condition of width 6 and a sequence of width 8",
                refused(InputType.feedForward(6), nwc));
    }

    private static String refused(InputType... types) {
        return assertThrows(InvalidInputTypeException.class, () -> new ClassPrefix().getOutputType(0, types))
                .getMessage();
    }

    @Test
    void refusesInputsThatDoNotFit() {
        INDArray sequence = Nd4j.zeros(DataType.FLOAT, 2, 4, 3);
        String start = "ClassPrefix \"sequence\" takes a condition [batch, tokens, width] and a sequence"
                + " [batch, positions, width], got ";
        assertEquals(start + "[2, 1, 5] and [2, 4, 3]", refused(Nd4j.zeros(DataType.FLOAT, 2, 1, 5), sequence));
        assertEquals(start + "[1, 1, 3] and [2, 4, 3]", refused(Nd4j.zeros(DataType.FLOAT, 1, 1, 3), sequence));
        assertEquals(
                start + "[2, 1, 3] and [2, 3]",
                refused(Nd4j.zeros(DataType.FLOAT, 2, 1, 3), Nd4j.zeros(DataType.FLOAT, 2, 3)));
    }

    private static String refused(INDArray condition, INDArray sequence) {
        GraphVertex vertex = vertex(condition, sequence);
        return Refusal.ofArgument(() -> vertex.doForward(true, SingleLayer.NO_WORKSPACES));
    }

    @Test
    void hasNoParameters() {
        assertEquals(0, new ClassPrefix().numParams(true));
        GraphVertex vertex = vertex(Nd4j.zeros(DataType.FLOAT, 2, 1, 2), Nd4j.zeros(DataType.FLOAT, 2, 3, 2));
        vertex.setBackpropGradientsViewArray(null);
        assertEquals(
                "ClassPrefix \"sequence\" has no parameters",
                Refusal.ofArgument(() -> vertex.setBackpropGradientsViewArray(Nd4j.zeros(1))));
        assertEquals("ClassPrefix(name=sequence)", vertex.toString());
        assertNull(vertex.getLayer());
        InputType type = InputType.recurrent(8, 16, RNNFormat.NWC);
        MemoryReport report = new ClassPrefix().getMemoryReport(InputType.feedForward(8), type);
        assertEquals(ClassPrefix.class, report.getReportClass());
    }

    @Test
    void equalsAndJson() throws Exception {
        ClassPrefix prefix = new ClassPrefix();
        assertEquals(prefix, new ClassPrefix());
        assertEquals(prefix, prefix.clone());
        assertEquals(prefix.hashCode(), prefix.clone().hashCode());
        assertNotEquals(null, prefix);
        assertEquals(2, prefix.minVertexInputs());
        assertEquals(2, prefix.maxVertexInputs());
        String json = NeuralNetConfiguration.mapper().writeValueAsString(prefix);
        assertEquals(
                prefix,
                NeuralNetConfiguration.mapper().readValue(json, org.deeplearning4j.nn.conf.graph.GraphVertex.class));
    }
}
