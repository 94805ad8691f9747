package org.npp4j.layers.kernel;

import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.TokenGrid;

/**
 * Two-dimensional rotary positions of a grid behind its condition tokens.
 *
 * <p>The E units of a head form pairs (2i, 2i + 1), i = 0 .. E/2 - 1. The first half of the pairs turns with the row of the
 * grid, the second with the column: pair i by the angle (row or column) x base^(-2 (i mod E/4) / (E/2)). For condition
 * tokens cosine AND sine are 0, so that their queries and keys vanish; published checkpoints were trained so.
 *
 * <p>Source: Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525),
 * after Su et al., "RoFormer" (arXiv 2104.09864).
 */
public final class RotaryTable {
    private final TokenGrid grid;
    private final int conditionTokens;
    private final int headWidth;
    private final double base;
    private final DataType dataType;
    private final INDArray quarterTurn;
    private final Map<Integer, INDArray[]> tables = new HashMap<>();
    private final Map<Integer, Turns> turns = new ConcurrentHashMap<>();

    /**
     * Factors as Java arrays: x turned is x * cosines + y * sines, where y is x with the units of each pair swapped. The
     * sines of even units have the opposite sign for that.
     *
     * @param cosines rows of at least E, one for each position
     * @param sines the same shape
     */
    public record Turns(float[] cosines, float[] sines) {}

    /**
     * The table of one grid.
     *
     * @param grid the grid of positions: tokens, or patches while training on patches
     * @param conditionTokens C, positions before the grid
     * @param headWidth E, a multiple of 4
     * @param base of the frequencies, 10000 as published
     * @param dataType of the table; angles are computed in double
     * @throws IllegalArgumentException if the head width is not a multiple of 4 or the base not above 0
     */
    public RotaryTable(TokenGrid grid, int conditionTokens, int headWidth, double base, DataType dataType) {
        if (headWidth < 4 || headWidth % 4 != 0) {
            throw new IllegalArgumentException(
                    "Two-dimensional rotary positions need a head width that is a multiple of 4, got " + headWidth);
        }
        if (!(base > 0)) {
            throw new IllegalArgumentException("The base of the rotary frequencies must be above 0, got " + base);
        }
        this.grid = grid;
        this.conditionTokens = conditionTokens;
        this.headWidth = headWidth;
        this.base = base;
        this.dataType = dataType;
        double[][] turn = new double[headWidth][headWidth];
        for (int i = 0; i < headWidth; i += 2) {
            turn[i + 1][i] = -1;
            turn[i][i + 1] = 1;
        }
        try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            quarterTurn = Nd4j.createFromArray(turn).castTo(dataType).dup('f');
        }
    }

    /**
     * Nothing turns: for sequences that carry their positions themselves.
     *
     * @param positions of the sequence
     * @param headWidth E, a multiple of 4
     * @param dataType of the table
     * @return a table of cosines 1 and sines 0
     */
    public static RotaryTable none(int positions, int headWidth, DataType dataType) {
        return new RotaryTable(TokenGrid.sequence(positions), 0, headWidth, Double.POSITIVE_INFINITY, dataType);
    }

    /** {@return whether nothing turns} */
    boolean isNone() {
        return base == Double.POSITIVE_INFINITY;
    }

    /** {@return positions in the table: C + tokens of the grid} */
    public int positions() {
        return conditionTokens + grid.tokens();
    }

    /** {@return [E, E] in 'f' order: x times it turns every pair (a, b) into (-b, a)} */
    INDArray quarterTurn() {
        return quarterTurn;
    }

    /**
     * Cosines of a run of positions, each repeated for every head.
     *
     * @param heads how many heads
     * @param from first position
     * @param to end, exclusive
     * @return [(to - from) x heads x E]
     */
    INDArray cosines(int heads, long from, long to) {
        return run(table(heads)[0], heads, from, to);
    }

    /**
     * Sines of a run of positions, as {@link #cosines}.
     *
     * @param heads how many heads
     * @param from first position
     * @param to end, exclusive
     * @return [(to - from) x heads x E]
     */
    INDArray sines(int heads, long from, long to) {
        return run(table(heads)[1], heads, from, to);
    }

    /**
     * Factors for a run of positions over whole rows of query, key and value, [H x E | G x E | G x E]: those of queries
     * are multiplied by a scale, values are left as they are.
     *
     * @param shape the sizes; its positions are the run's
     * @param from first position
     * @param queryScale what queries are multiplied by
     * @return cosines and sines, each [positions x (H + 2 G) E]
     */
    INDArray[] ofQueriesKeysValues(AttentionShape shape, long from, double queryScale) {
        int queries = shape.heads() * headWidth;
        int turning = queries + shape.keyValueHeads() * headWidth;
        int width = turning + shape.keyValueHeads() * headWidth;
        double[] cos = new double[(int) shape.positions() * width];
        double[] sin = new double[cos.length];
        double[] cosOfHead = new double[headWidth];
        double[] sinOfHead = new double[headWidth];
        for (int p = 0; p < shape.positions(); p++) {
            ofPosition(Math.toIntExact(from) + p, cosOfHead, sinOfHead);
            int row = p * width;
            for (int i = 0; i < turning; i++) {
                double scale = i < queries ? queryScale : 1;
                cos[row + i] = scale * cosOfHead[i % headWidth];
                sin[row + i] = scale * sinOfHead[i % headWidth];
            }
            Arrays.fill(cos, row + turning, row + width, 1);
        }
        return new INDArray[] {
            Nd4j.createFromArray(cos).castTo(dataType),
            Nd4j.createFromArray(sin).castTo(dataType)
        };
    }

    /**
     * The whole table in single precision.
     *
     * @param rowWidth numbers from one position to the next, at least E; the rest of a row is 0
     * @return the same arrays at every call, not to be written to
     */
    public Turns turns(int rowWidth) {
        return turns.computeIfAbsent(rowWidth, this::computeTurns);
    }

    private Turns computeTurns(int rowWidth) {
        float[] cos = new float[positions() * rowWidth];
        float[] sin = new float[cos.length];
        double[] cosOfHead = new double[headWidth];
        double[] sinOfHead = new double[headWidth];
        for (int position = 0; position < positions(); position++) {
            ofPosition(position, cosOfHead, sinOfHead);
            for (int i = 0; i < headWidth; i++) {
                cos[position * rowWidth + i] = (float) cosOfHead[i];
                sin[position * rowWidth + i] = (float) (i % 2 == 0 ? -sinOfHead[i] : sinOfHead[i]);
            }
        }
        return new Turns(cos, sin);
    }

    /** Cosines and sines of one position, each [E]: 0 for condition tokens. */
    private void ofPosition(int position, double[] cos, double[] sin) {
        if (isNone()) {
            Arrays.fill(cos, 1);
            Arrays.fill(sin, 0);
            return;
        }
        int token = position - conditionTokens;
        int row = token / grid.getWidth();
        int column = token % grid.getWidth();
        int quarter = headWidth / 4;
        for (int pair = 0; pair < headWidth / 2; pair++) {
            double frequency = Math.pow(base, -2.0 * (pair % quarter) / (headWidth / 2.0));
            double angle = (pair < quarter ? row : column) * frequency;
            cos[2 * pair] = cos[2 * pair + 1] = token < 0 ? 0 : Math.cos(angle);
            sin[2 * pair] = sin[2 * pair + 1] = token < 0 ? 0 : Math.sin(angle);
        }
    }

    private INDArray run(INDArray table, int heads, long from, long to) {
        long width = (long) heads * headWidth;
        return table.get(NDArrayIndex.interval(from * width, to * width));
    }

    private synchronized INDArray[] table(int heads) {
        return tables.computeIfAbsent(heads, this::compute);
    }

    private INDArray[] compute(int heads) {
        double[] cos = new double[positions() * heads * headWidth];
        double[] sin = new double[cos.length];
        double[] cosOfHead = new double[headWidth];
        double[] sinOfHead = new double[headWidth];
        for (int position = 0; position < positions(); position++) {
            ofPosition(position, cosOfHead, sinOfHead);
            for (int head = 0; head < heads; head++) {
                int at = (position * heads + head) * headWidth;
                System.arraycopy(cosOfHead, 0, cos, at, headWidth);
                System.arraycopy(sinOfHead, 0, sin, at, headWidth);
            }
        }
        try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
            return new INDArray[] {
                Nd4j.createFromArray(cos).castTo(dataType),
                Nd4j.createFromArray(sin).castTo(dataType)
            };
        }
    }
}
