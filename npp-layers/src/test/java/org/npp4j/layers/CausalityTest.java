package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * No position sees a later token: changing a token leaves everything before its patch exactly as it was, bit for bit,
 * with dropout off and, at the same seed, with every dropout on.
 */
class CausalityTest {
    private static final int CONDITION = 2;

    private static INDArray position(INDArray sequence, int position) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.point(position), NDArrayIndex.all());
    }

    /** Positions at which two sequences differ in the given example, and no other example differs. */
    private static List<Integer> differences(INDArray before, INDArray after, int example) {
        List<Integer> positions = new ArrayList<>();
        for (int t = 0; t < before.size(1); t++) {
            for (int b = 0; b < before.size(0); b++) {
                boolean equal = position(before, t)
                        .getRow(b)
                        .dup()
                        .equals(position(after, t).getRow(b).dup());
                if (!equal) {
                    assertEquals(example, b, "another example changed");
                    positions.add(t);
                }
            }
        }
        return positions;
    }

    private static List<Integer> range(int from, int to) {
        return IntStream.range(from, to).boxed().toList();
    }

    private static void assertNoneBefore(int first, List<Integer> positions, String what) {
        assertTrue(positions.stream().allMatch(t -> t >= first), () -> what + " changed " + positions);
    }

    private static TransformerBlock.Builder block(TokenGrid grid, boolean dropouts) {
        TransformerBlock.Builder builder = new TransformerBlock.Builder(grid, 4, 12)
                .nIn(16)
                .keyValueHeads(2)
                .conditionTokens(CONDITION);
        if (dropouts) {
            builder.residualDropout(0.2).feedForwardDropout(0.2).pathDropout(0.2);
            builder.dropOut(0.9);
        }
        return builder;
    }

    /** Position, not token: what a block or a norm may see. */
    @ParameterizedTest
    @CsvSource({"false, FLOAT", "false, DOUBLE", "true, FLOAT", "true, DOUBLE"})
    void aBlockLooksBackOnly(boolean dropouts, DataType type) {
        TokenGrid grid = TokenGrid.of(4, 4);
        for (int p : grid.patchSides()) {
            int positions = CONDITION + grid.ofPatches(p).tokens() - 1;
            Layer layer = SingleLayer.of(block(grid, dropouts).build(), type, 1);
            INDArray x = Nd4j.randn(type, 3, positions, 16);
            INDArray before = seeded(layer, x, dropouts);
            for (int j = 0; j < positions; j++) {
                INDArray changed = x.dup();
                position(changed, j).getRow(1).addi(Nd4j.randn(type, 16).addi(1));
                INDArray after = seeded(layer, changed, dropouts);
                List<Integer> differences = differences(before, after, 1);
                assertNoneBefore(j, differences, "position " + j);
                if (!dropouts) {
                    assertEquals(range(j, positions), differences);
                }
            }
        }
    }

    private static INDArray seeded(Layer layer, INDArray x, boolean training) {
        Nd4j.getRandom().setSeed(3);
        return SingleLayer.forward(layer, x, training).dup();
    }

    /** The gradient at position i is that of inputs up to i alone. */
    @ParameterizedTest
    @CsvSource({"false", "true"})
    void gradientsFlowBackOnly(boolean dropouts) {
        TokenGrid grid = TokenGrid.of(4, 4);
        for (int p : new int[] {1, 2}) {
            int positions = CONDITION + grid.ofPatches(p).tokens() - 1;
            Layer layer = SingleLayer.of(block(grid, dropouts).build(), DataType.FLOAT, 1);
            INDArray x = Nd4j.randn(DataType.FLOAT, 2, positions, 16);
            for (int i = 0; i < positions; i++) {
                SingleLayer.forward(layer, x, true);
                INDArray epsilon = Nd4j.zeros(DataType.FLOAT, 2, positions, 16);
                position(epsilon, i).assign(Nd4j.randn(DataType.FLOAT, 2, 16));
                INDArray dx = layer.backpropGradient(epsilon, SingleLayer.NO_WORKSPACES)
                        .getSecond();
                for (int t = 0; t < positions; t++) {
                    double largest = position(dx, t).amaxNumber().doubleValue();
                    assertTrue(t <= i || largest == 0, "gradient of position " + i + " reaches " + t);
                    assertTrue(t > i || dropouts || largest > 0, "no gradient of position " + i + " reaches " + t);
                }
            }
        }
    }

    @ParameterizedTest
    @EnumSource(
            value = DataType.class,
            names = {"FLOAT", "DOUBLE"})
    void aNormSeesItsOwnPositionOnly(DataType type) {
        Layer layer = SingleLayer.of(new RmsNorm.Builder().nIn(16).build(), type, 1);
        INDArray x = Nd4j.randn(type, 3, 5, 16);
        INDArray before = SingleLayer.forward(layer, x, true).dup();
        for (int j = 0; j < 5; j++) {
            INDArray changed = x.dup();
            position(changed, j).getRow(1).addi(Nd4j.randn(type, 16));
            assertEquals(List.of(j), differences(before, SingleLayer.forward(layer, changed, true), 1));
        }
    }

    /** From token ids to the last norm, layer by layer, for every patch side. */
    @ParameterizedTest(name = "{0} x {1}, dropouts {2}, {3}")
    @CsvSource({
        "4, 4, false, FLOAT",
        "4, 4, true, FLOAT",
        "2, 6, false, DOUBLE",
        "2, 6, true, DOUBLE",
        "1, 8, true, FLOAT"
    })
    void noLayerSeesALaterToken(int height, int width, boolean dropouts, DataType type) {
        TokenGrid grid = TokenGrid.of(height, width);
        PatchAverage average = new PatchAverage(grid, 1);
        ComputationGraph graph = TransformerGraphs.of(average, block(grid, dropouts), block(grid, dropouts))
                .type(type)
                .conditionTokens(CONDITION)
                .classDropout(dropouts ? 0.3 : 0)
                .pooled();
        Random random = new Random(5);
        for (int p : grid.patchSides()) {
            average.setPatchSide(p);
            int[] patchOfToken = grid.patchOfToken(p);
            int patches = grid.ofPatches(p).tokens();
            int positions = CONDITION + patches - 1;
            INDArray[] inputs = TransformerGraphs.inputs(3, grid, CONDITION, type, 9);
            Map<String, INDArray> before = activations(graph, inputs, dropouts);
            for (int n = 0; n < grid.tokens(); n++) {
                INDArray tokens = inputs[0].dup();
                int other = (tokens.getInt(1, n) + 1 + random.nextInt(TransformerGraphs.VOCABULARY - 1))
                        % TransformerGraphs.VOCABULARY;
                tokens.putScalar(1, n, other);
                Map<String, INDArray> after = activations(graph, new INDArray[] {tokens, inputs[1]}, dropouts);
                int k = patchOfToken[n];
                String what = "p = " + p + ", token " + n;
                assertEquals(List.of(n), changed("tokenEmbedding", before, after), what);
                assertEquals(List.of(k), changed("patches", before, after), what);
                assertEquals(List.of(), changed("classEmbedding", before, after), what);
                // patch k is at position C + k; the last patch is in no position
                assertEquals(
                        k == patches - 1 ? List.of() : List.of(CONDITION + k),
                        changed("sequence", before, after),
                        what);
                for (String layer : List.of("block0", "block1", "norm")) {
                    List<Integer> positionsChanged = changed(layer, before, after);
                    if (dropouts) {
                        assertNoneBefore(CONDITION + k, positionsChanged, what);
                    } else {
                        assertEquals(range(Math.min(positions, CONDITION + k), positions), positionsChanged, what);
                    }
                }
            }
            // a class changes everything from its own position on
            INDArray classes = inputs[1].dup();
            classes.putScalar(1, 1, (classes.getInt(1, 1) + 1) % TransformerGraphs.CLASSES);
            Map<String, INDArray> after = activations(graph, new INDArray[] {inputs[0], classes}, dropouts);
            List<Integer> positionsChanged = changed("norm", before, after);
            assertNoneBefore(1, positionsChanged, "class");
            assertTrue(dropouts || positionsChanged.equals(range(1, positions)), () -> "" + positionsChanged);
        }
    }

    private static Map<String, INDArray> activations(ComputationGraph graph, INDArray[] inputs, boolean training) {
        Nd4j.getRandom().setSeed(3);
        return graph.feedForward(inputs, training);
    }

    private static List<Integer> changed(String name, Map<String, INDArray> before, Map<String, INDArray> after) {
        return differences(before.get(name), after.get(name), 1);
    }
}
