package org.npp4j.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.impl.TransformerBlockImpl;
import org.npp4j.layers.kernel.KeyValueCache;

/** Attention in blocks of positions, in a transformer block without rotary positions. */
class AttentionMaskTest {
    private static final int WIDTH = 8;
    private static final AttentionMask MASK = AttentionMask.blockCausal(2, 3, 5);

    private static TransformerBlock block(AttentionMask mask) {
        return new TransformerBlock.Builder(2, 6).mask(mask).build();
    }

    private static TransformerBlockImpl runtime(AttentionMask mask, int length) {
        ComputationGraph graph = StageGraphs.of(DataType.FLOAT, length, WIDTH, block(mask));
        return (TransformerBlockImpl) graph.getLayer("layer0");
    }

    private static INDArray positions(INDArray sequence, int from, int to) {
        return sequence.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all());
    }

    @Test
    void saysWhatIsSeen() {
        assertArrayEquals(new int[] {0, 3}, new int[] {AttentionMask.CAUSAL.from(2), AttentionMask.CAUSAL.to(2)});
        assertArrayEquals(new int[] {0, 5}, new int[] {MASK.from(2), MASK.to(2)});
        AttentionMask within = AttentionMask.withinBlocks(2, 3, 5);
        assertArrayEquals(new int[] {2, 5}, new int[] {within.from(4), within.to(4)});
        assertEquals(10, MASK.positions());
        assertSame(MASK, MASK.over(5));
        assertEquals(AttentionMask.withinBlocks(3), within.over(3));
        assertEquals(2 * 2 + 3 * 5 + 5 * 10, MASK.pairs(10));
        assertEquals(4 + 9 + 25, within.pairs(10));
        assertNotEquals(MASK, within);
    }

    @Test
    void refusesOtherLengths() {
        assertEquals(
                "Attention in blocks of [2, 3, 5] positions takes sequences of all blocks, or of the first of them, got 4"
                        + " positions",
                Refusal.ofArgument(() -> MASK.over(4)));
        assertEquals(
                "Attention in blocks of [2, 3] positions takes sequences of all blocks, or of one of them, got 4 positions",
                Refusal.ofArgument(() -> AttentionMask.withinBlocks(2, 3).over(4)));
        assertTrue(Refusal.ofArgument(() -> AttentionMask.blockCausal(2, 0)).contains("[2, 0]"));
        assertTrue(Refusal.ofArgument(() -> AttentionMask.blockCausal()).contains("at least one block"));
        assertTrue(Refusal.ofArgument(() -> StageGraphs.of(DataType.DOUBLE, 7, WIDTH, block(MASK)))
                .contains("got 7 positions"));
    }

    /** A change of one position changes what sees it, and nothing else. */
    @Test
    void noBlockSeesALaterOne() {
        for (AttentionMask mask : new AttentionMask[] {MASK, AttentionMask.withinBlocks(2, 3, 5)}) {
            TransformerBlockImpl layer = runtime(mask, 10);
            INDArray x = Nd4j.randn(DataType.FLOAT, 3, 10, WIDTH);
            INDArray before = SingleLayer.forward(layer, x, false).dup();
            for (int changed = 0; changed < 10; changed++) {
                INDArray other = x.dup();
                positions(other, changed, changed + 1).addi(1);
                INDArray difference = SingleLayer.forward(layer, other, false).sub(before);
                for (int t = 0; t < 10; t++) {
                    boolean sees = changed >= mask.from(t) && changed < mask.to(t);
                    double largest =
                            positions(difference, t, t + 1).amaxNumber().doubleValue();
                    assertEquals(sees, largest != 0, mask + ", position " + t + " and a change at " + changed);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {10, 5, 2})
    void gradientsMatchNumericalOnes(int length) {
        Nd4j.setDefaultDataTypes(DataType.DOUBLE, DataType.DOUBLE);
        try {
            NumericalGradients.check(
                    StageGraphs.of(DataType.DOUBLE, length, WIDTH, block(MASK), block(MASK)),
                    StageGraphs.data(DataType.DOUBLE, length, WIDTH, WIDTH),
                    6,
                    () -> {});
        } finally {
            Nd4j.setDefaultDataTypes(DataType.FLOAT, DataType.FLOAT);
        }
    }

    /** Blocks that are generated one after the other give what all of them give together, few rows at a time or many. */
    @ParameterizedTest
    @ValueSource(ints = {1, 3, 60})
    void decodesBlockByBlock(int batch) {
        TransformerBlockImpl layer = runtime(MASK, 10);
        INDArray x = Nd4j.randn(DataType.FLOAT, batch, 10, WIDTH);
        INDArray all = SingleLayer.forward(layer, x, false).dup();
        int[] ends = {2, 5, 10};
        try (KeyValueCache cache = layer.newCache(batch)) {
            int from = 0;
            for (int to : ends) {
                INDArray next = positions(x, from, to).dup('c');
                INDArray out = layer.decode(next, cache, LayerWorkspaceMgr.noWorkspaces());
                assertTrue(out.sub(positions(all, from, to)).amaxNumber().doubleValue() < 1e-5);
                from = to;
            }
            cache.clear();
            assertTrue(Refusal.ofArgument(
                            () -> layer.decode(positions(x, 0, 3).dup('c'), cache, LayerWorkspaceMgr.noWorkspaces()))
                    .contains("got 3 positions"));
        }
        TransformerBlockImpl within = runtime(AttentionMask.withinBlocks(2, 3), 5);
        assertTrue(Refusal.ofState(() -> within.newCache(1)).contains("only if its mask is AttentionMask.blockCausal"));
    }

    @Test
    void isKeptInJson() {
        ComputationGraphConfiguration configuration =
                StageGraphs.of(DataType.FLOAT, 10, WIDTH, block(MASK)).getConfiguration();
        String json = configuration.toJson();
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(json));
        assertNotEquals(block(MASK), block(AttentionMask.CAUSAL));
        assertEquals(block(MASK), block(MASK).clone());
    }

    /** A network of a release that knew causal attention alone. */
    @Test
    void isCausalWhereJsonDoesNotSay() {
        TransformerBlock old = new TransformerBlock.Builder(TokenGrid.of(2, 2), 2, 6)
                .nIn(WIDTH)
                .build();
        ComputationGraphConfiguration configuration =
                StageGraphs.of(DataType.FLOAT, 4, WIDTH, old).getConfiguration();
        String json = configuration.toJson().replaceAll("\"mask\" : \\{[^}]*\\},", "");
        assertTrue(!json.contains("\"mask\""));
        assertEquals(configuration, ComputationGraphConfiguration.fromJson(json));
    }
}
