package org.npp4j.layers.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

/** Attention in blocks of queries gives what it gives in one piece. */
class Nd4jKernelTest {
    private static final TokenGrid GRID = TokenGrid.of(4, 6);
    private static final int POSITIONS = GRID.tokens();

    /** Forward result, then dq, dk, dv. */
    private static List<INDArray> attention(Nd4jKernel kernel, AttentionShape shape, boolean masked, Allocator kept) {
        Nd4j.getRandom().setSeed(7);
        long rows = shape.batch() * shape.positions();
        long queryWidth = (long) shape.heads() * shape.headWidth();
        long keyWidth = (long) shape.keyValueHeads() * shape.headWidth();
        INDArray q = Nd4j.randn(DataType.DOUBLE, rows, queryWidth);
        INDArray k = Nd4j.randn(DataType.DOUBLE, rows, keyWidth);
        INDArray v = Nd4j.randn(DataType.DOUBLE, rows, keyWidth);
        INDArray dOut = Nd4j.randn(DataType.DOUBLE, rows, queryWidth);
        INDArray seen = masked ? Nd4j.createFromArray(new double[][] {{1, 0, 1, 0, 0}, {1, 1, 1, 0, 1}}) : null;
        RotaryTable rotary = new RotaryTable(GRID, 1, shape.headWidth(), 10000, DataType.DOUBLE);
        Allocator scratch = sizes -> Nd4j.valueArrayOf(sizes, Double.NaN, DataType.DOUBLE);
        INDArray out = scratch.create(rows, queryWidth);
        INDArray[] forward = kernel.attention(shape, q, k, v, seen, rotary, kept, scratch, out);
        INDArray dq = scratch.create(rows, queryWidth);
        INDArray dk = scratch.create(rows, keyWidth);
        INDArray dv = scratch.create(rows, keyWidth);
        INDArray result = out.dup();
        kernel.attentionGradient(shape, forward, rotary, dOut, scratch, dq, dk, dv);
        return List.of(result, dq, dk, dv);
    }

    @ParameterizedTest
    @CsvSource({"1, 2, false", "5, 2, false", "5, 4, true", "7, 1, true", "8, 2, true", "23, 2, false"})
    void blocksChangeNothing(int block, int keyValueHeads, boolean masked) {
        AttentionShape shape = new AttentionShape(2, POSITIONS, 4, keyValueHeads, 8);
        Allocator kept = sizes -> Nd4j.create(DataType.DOUBLE, sizes);
        List<INDArray> whole = attention(new Nd4jKernel(POSITIONS), shape, masked, kept);
        List<INDArray> parts = attention(new Nd4jKernel(block), shape, masked, kept);
        for (int i = 0; i < whole.size(); i++) {
            double difference = whole.get(i).sub(parts.get(i)).amaxNumber().doubleValue();
            assertTrue(difference < 1e-12, "array " + i + " differs by " + difference);
        }
    }

    /** What is kept for the gradient grows with the positions, not with their square. */
    @Test
    void keepsNoWeightsOfManyBlocks() {
        List<Long> kept = new ArrayList<>();
        AttentionShape shape = new AttentionShape(2, POSITIONS, 4, 2, 8);
        attention(new Nd4jKernel(6), shape, false, sizes -> {
            INDArray array = Nd4j.create(DataType.DOUBLE, sizes);
            kept.add(array.length());
            return array;
        });
        long queries = 2L * POSITIONS * 4 * 8;
        assertEquals(List.of(queries, queries / 2, queries / 2), kept);
    }
}
