package org.npp4j.layers.kernel.vector;

import java.lang.ref.Reference;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.stream.IntStream;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShuffle;
import jdk.incubator.vector.VectorSpecies;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.AttentionMask;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.RotaryTable;
import org.npp4j.layers.kernel.TransformerKernel;

/**
 * {@link TransformerKernel#attention} in one pass over tiles that stay in the caches of one core.
 *
 * <p>Weights exist for a few queries at a time. For the gradient are kept the turned queries (with the scale of the scores)
 * and keys, the values, and for each query and head the logarithm of the sum of its exponentials, from which the weights are
 * computed again. One thread takes a key/value head of one example with all the heads that share it, so that every sum has
 * one order, whatever the number of threads.
 *
 * <p>Letters: W is the head width E rounded up to whole vectors; numbers behind E are 0.
 *
 * <p>Source: Dao et al., "FlashAttention" (arXiv 2205.14135), for what is kept.
 */
final class VectorAttention {
    private static final VectorSpecies<Float> SPECIES = Lanes.FLOATS;
    private static final int LANES = Lanes.COUNT;
    private static final int ROWS = TileProducts.ROWS;
    private static final int COLUMNS = TileProducts.COLUMNS;

    /** Swaps the units of each pair. */
    private static final VectorShuffle<Float> SWAP = VectorShuffle.fromOp(SPECIES, lane -> lane ^ 1);

    private static final int THREADS = Runtime.getRuntime().availableProcessors();

    /** Queries that are attended together in the forward pass, over all the keys that they see. */
    private static final int FORWARD_QUERIES = 4 * ROWS;

    /** Queries and keys of a tile of the gradient: keys are both rows and columns there. */
    private static final int GRADIENT_QUERIES = 8 * ROWS;

    private static final int GRADIENT_KEYS = Math.max(96, ROWS / 2 * COLUMNS);

    private VectorAttention() {}

    /** {@link AttentionShape} as ints, with W. */
    private record Sizes(int b, int t, int h, int g, int e, int w, float scale, AttentionMask mask) {
        static Sizes of(AttentionShape shape) {
            return new Sizes(
                    (int) shape.batch(),
                    (int) shape.positions(),
                    shape.heads(),
                    shape.keyValueHeads(),
                    shape.headWidth(),
                    TileProducts.roundUp(shape.headWidth(), LANES),
                    (float) (1 / Math.sqrt(shape.headWidth())),
                    shape.mask());
        }

        int headsPerGroup() {
            return h / g;
        }

        /** How many keys the queries before one see. */
        int keysOf(int queryEnd) {
            return mask.to(queryEnd - 1);
        }

        /**
         * How many keys the rows that are computed together with row r of a block of queries see. In blocks of positions
         * that is what the last query of the block sees: few rows see less.
         */
        int seenBy(int start, int r, int end) {
            return mask.causal() ? Math.min(end, start + r / ROWS * ROWS + ROWS) : keysOf(end);
        }

        /** The first row of a block of queries that is computed for keys from one on, a multiple of {@link #ROWS}. */
        int firstSeeing(int firstKey, int start) {
            return mask.causal() ? Math.max(0, firstKey - start) / ROWS * ROWS : 0;
        }

        /** Where a head's numbers of a position begin in [R, heads x E]. */
        int row(int example, int position, int head, int heads) {
            return ((example * t + position) * heads + head) * e;
        }

        /** Where a head begins in [B, heads, T]; times W in [B, heads, T, W]. */
        int head(int example, int head, int heads) {
            return (example * heads + head) * t;
        }
    }

    /** Whether every array of the attention has room in a Java buffer. */
    static boolean takes(AttentionShape shape) {
        long width = TileProducts.roundUp(shape.headWidth(), LANES);
        return shape.batch() * shape.positions() * shape.heads() * width <= Integer.MAX_VALUE / Float.BYTES;
    }

    /** As {@link TransformerKernel#attention}. */
    static INDArray[] attention(
            AttentionShape shape,
            INDArray q,
            INDArray k,
            INDArray v,
            INDArray seen,
            RotaryTable rotary,
            Allocator kept,
            INDArray out) {
        Sizes sizes = Sizes.of(shape);
        long positions = shape.batch() * shape.positions();
        INDArray qh = kept.create(positions * sizes.h * sizes.w);
        INDArray kh = kept.create(positions * sizes.g * sizes.w);
        INDArray vh = kept.create(positions * sizes.g * sizes.w);
        INDArray logSums = kept.create(positions * sizes.h);
        Forward forward = new Forward(
                sizes,
                Floats.of(q),
                Floats.of(k),
                Floats.of(v),
                hidden(seen, sizes.b),
                rotary.turns(sizes.w),
                Floats.of(qh),
                Floats.of(kh),
                Floats.of(vh),
                Floats.of(logSums),
                Floats.of(out));
        Workers.run(forward.parts(), forward::part);
        for (INDArray array : new INDArray[] {q, k, v, out}) {
            Reference.reachabilityFence(array);
        }
        return new INDArray[] {qh, kh, vh, out, seen, logSums};
    }

    /** As {@link TransformerKernel#attentionGradient}. */
    static void gradient(
            AttentionShape shape,
            INDArray[] forward,
            RotaryTable rotary,
            INDArray dOut,
            INDArray dq,
            INDArray dk,
            INDArray dv) {
        Sizes sizes = Sizes.of(shape);
        Gradient gradient = new Gradient(
                sizes,
                Floats.of(forward[0]),
                Floats.of(forward[1]),
                Floats.of(forward[2]),
                Floats.of(forward[3]),
                hidden(forward[4], sizes.b),
                Floats.of(forward[5]),
                rotary.turns(sizes.w),
                Floats.of(dOut),
                Floats.of(dq),
                Floats.of(dk),
                Floats.of(dv));
        Workers.run(sizes.b * sizes.g, gradient::part);
        for (INDArray array : new INDArray[] {dOut, dq, dk, dv}) {
            Reference.reachabilityFence(array);
        }
        Reference.reachabilityFence(forward);
    }

    /** For each example the positions that only they themselves see. */
    private static int[][] hidden(INDArray seen, int batch) {
        int[][] hidden = new int[batch][0];
        for (int b = 0; seen != null && b < batch; b++) {
            int example = b;
            hidden[b] = IntStream.range(0, (int) seen.size(1))
                    .filter(c -> seen.getDouble(example, c) == 0)
                    .toArray();
        }
        return hidden;
    }

    private record Forward(
            Sizes s,
            FloatBuffer q,
            FloatBuffer k,
            FloatBuffer v,
            int[][] hidden,
            RotaryTable.Turns turns,
            FloatBuffer qh,
            FloatBuffer kh,
            FloatBuffer vh,
            FloatBuffer logSums,
            FloatBuffer out) {

        int parts() {
            return s.b * s.g * chunks();
        }

        /** Where there are few heads, their queries are divided; each part then turns the keys that it needs. */
        private int chunks() {
            int most = 1 + s.t / (4 * FORWARD_QUERIES);
            int wanted = (2 * THREADS + s.b * s.g - 1) / (s.b * s.g);
            return Math.min(most, wanted);
        }

        /** Chunks of about the same work: a query's grows with its position. */
        private int chunkStart(int chunk) {
            if (chunk == chunks()) {
                return s.t;
            }
            int queries = (int) (s.t * Math.sqrt((double) chunk / chunks()));
            return queries / FORWARD_QUERIES * FORWARD_QUERIES;
        }

        void part(int part) {
            int chunk = chunks() - 1 - part / (s.b * s.g);
            int b = part % (s.b * s.g) / s.g;
            int g = part % s.g;
            int from = chunkStart(chunk);
            int to = chunkStart(chunk + 1);
            if (from == to) {
                return;
            }
            int keyEnd = s.keysOf(to);
            Scratch scratch = Scratch.get();
            float[] keyPanels = scratch.array(0, TileProducts.roundUp(keyEnd, COLUMNS) * s.e);
            float[] values = scratch.array(1, keyEnd * s.w);
            float[] keys = scratch.array(2, COLUMNS * s.w);
            int head = s.head(b, g, s.g) * s.w;
            for (int panel = 0; panel < keyEnd; panel += COLUMNS) {
                int present = Math.min(COLUMNS, keyEnd - panel);
                load(s, k, b, panel, present, g, s.g, keys, 0);
                turn(keys, present * s.w, turns, panel * s.w, 1, 1);
                transpose(keys, 0, present, s, keyPanels, panel * s.e);
                load(s, v, b, panel, present, g, s.g, values, panel * s.w);
                if (to == s.t) {
                    kh.put(head + panel * s.w, keys, 0, present * s.w);
                    vh.put(head + panel * s.w, values, panel * s.w, present * s.w);
                }
            }
            for (int h = g * s.headsPerGroup(); h < (g + 1) * s.headsPerGroup(); h++) {
                for (int start = from; start < to; start += FORWARD_QUERIES) {
                    block(scratch, b, h, start, Math.min(to, start + FORWARD_QUERIES), keyPanels, values);
                }
            }
        }

        /** Some queries of one head, over all keys that they see. */
        private void block(Scratch scratch, int b, int h, int start, int end, float[] keyPanels, float[] values) {
            int queries = end - start;
            int keyEnd = s.keysOf(end);
            int rowsWidth = FORWARD_QUERIES * s.w;
            float[] rows = scratch.array(3, rowsWidth);
            int scoreRow = TileProducts.roundUp(keyEnd, COLUMNS) + LANES;
            float[] scores = scratch.array(4, FORWARD_QUERIES * scoreRow);
            float[] mixed = scratch.array(5, rowsWidth);
            float[] logs = scratch.array(6, FORWARD_QUERIES);
            float[] factors = scratch.array(7, FORWARD_QUERIES);
            float[] lanes = scratch.array(8, LANES);
            load(s, q, b, start, queries, h, s.h, rows, 0);
            turn(rows, queries * s.w, turns, start * s.w, s.scale, 1);
            qh.put((s.head(b, h, s.h) + start) * s.w, rows, 0, queries * s.w);
            Arrays.fill(rows, queries * s.w, rowsWidth, 0);

            for (int panel = 0; panel < keyEnd; panel += COLUMNS) {
                for (int r = s.firstSeeing(panel, start); r < queries; r += ROWS) {
                    // [6, E] x [E, panel]
                    TileProducts.tile(
                            rows,
                            r * s.w,
                            s.w,
                            1,
                            keyPanels,
                            panel * s.e,
                            COLUMNS,
                            scores,
                            r * scoreRow + panel,
                            scoreRow,
                            s.e,
                            false);
                }
            }
            for (int r = 0; r < queries; r++) {
                int whole = TileProducts.roundUp(s.seenBy(start, r, end), LANES);
                int at = r * scoreRow;
                mask(s.mask, scores, at, start + r, 0, whole, hidden[b]);
                float largest = largest(scores, at, whole);
                Lanes.exp(scores, 1, -largest, scores, at, at + whole, lanes);
                double sum = Lanes.sum(lanes);
                logs[r] = (float) (largest + Math.log(sum));
                factors[r] = (float) (1 / sum);
            }
            for (int r = 0; r < queries; r += ROWS) {
                // [6, keys] x [keys, W]
                TileProducts.rows(
                        scores,
                        r * scoreRow,
                        scoreRow,
                        1,
                        values,
                        0,
                        s.w,
                        mixed,
                        r * s.w,
                        s.w,
                        s.w,
                        s.seenBy(start, r, end),
                        false);
            }
            for (int r = 0; r < queries; r++) {
                scale(mixed, r * s.w, s.w, factors[r]);
                out.put(s.row(b, start + r, h, s.h), mixed, r * s.w, s.e);
            }
            logSums.put(s.head(b, h, s.h) + start, logs, 0, queries);
        }
    }

    private record Gradient(
            Sizes s,
            FloatBuffer qh,
            FloatBuffer kh,
            FloatBuffer vh,
            FloatBuffer out,
            int[][] hidden,
            FloatBuffer logSums,
            RotaryTable.Turns turns,
            FloatBuffer dOut,
            FloatBuffer dq,
            FloatBuffer dk,
            FloatBuffer dv) {

        /** All the heads that share one key/value head. */
        void part(int part) {
            int b = part / s.g;
            int g = part % s.g;
            Scratch scratch = Scratch.get();
            int whole = TileProducts.roundUp(s.t, GRADIENT_KEYS);
            float[] keys = scratch.array(0, whole * s.w);
            float[] keyPanels = scratch.array(1, whole * s.e);
            float[] valuePanels = scratch.array(2, whole * s.e);
            float[] dKeys = scratch.array(3, whole * s.w);
            float[] dValues = scratch.array(4, whole * s.w);
            int head = s.head(b, g, s.g) * s.w;
            for (int panel = 0; panel < s.t; panel += COLUMNS) {
                int present = Math.min(COLUMNS, s.t - panel);
                int at = panel * s.w;
                vh.get(head + at, keys, at, present * s.w);
                transpose(keys, at, present, s, valuePanels, panel * s.e);
                kh.get(head + at, keys, at, present * s.w);
                transpose(keys, at, present, s, keyPanels, panel * s.e);
            }
            Arrays.fill(dKeys, 0, whole * s.w, 0);
            Arrays.fill(dValues, 0, whole * s.w, 0);
            for (int h = g * s.headsPerGroup(); h < (g + 1) * s.headsPerGroup(); h++) {
                for (int start = 0; start < s.t; start += GRADIENT_QUERIES) {
                    block(scratch, b, h, start, Math.min(s.t, start + GRADIENT_QUERIES));
                }
            }
            turn(dKeys, s.t * s.w, turns, 0, 1, -1);
            store(s, dKeys, b, 0, s.t, g, s.g, dk);
            store(s, dValues, b, 0, s.t, g, s.g, dv);
        }

        /** Some queries of one head: their gradient, and what they add to those of keys and values. */
        private void block(Scratch scratch, int b, int h, int start, int end) {
            int queries = end - start;
            int rowsWidth = GRADIENT_QUERIES * s.w;
            float[] rows = scratch.array(5, rowsWidth);
            float[] dMixed = scratch.array(6, rowsWidth);
            float[] dRows = scratch.array(7, rowsWidth);
            float[] logs = scratch.array(8, GRADIENT_QUERIES);
            float[] sums = scratch.array(9, GRADIENT_QUERIES);
            float[] lanes = scratch.array(12, LANES);
            // the sum over keys of w * dw is that over E of out * dOut
            load(s, out, b, start, queries, h, s.h, rows, 0);
            load(s, dOut, b, start, queries, h, s.h, dMixed, 0);
            for (int r = 0; r < queries; r++) {
                dot(rows, dMixed, r * s.w, s.w, lanes);
                sums[r] = (float) Lanes.sum(lanes);
            }
            qh.get((s.head(b, h, s.h) + start) * s.w, rows, 0, queries * s.w);
            Arrays.fill(rows, queries * s.w, rowsWidth, 0);
            Arrays.fill(dMixed, queries * s.w, rowsWidth, 0);
            logSums.get(s.head(b, h, s.h) + start, logs, 0, queries);
            for (int firstKey = 0; firstKey < s.keysOf(end); firstKey += GRADIENT_KEYS) {
                tile(scratch, b, start, end, firstKey);
            }
            turn(dRows, queries * s.w, turns, start * s.w, s.scale, -1);
            store(s, dRows, b, start, queries, h, s.h, dq);
        }

        /** The same over some of the keys that they see. */
        private void tile(Scratch scratch, int b, int start, int end, int firstKey) {
            float[] keys = scratch.array(0, 0);
            float[] keyPanels = scratch.array(1, 0);
            float[] valuePanels = scratch.array(2, 0);
            float[] dKeys = scratch.array(3, 0);
            float[] dValues = scratch.array(4, 0);
            float[] rows = scratch.array(5, 0);
            float[] dMixed = scratch.array(6, 0);
            float[] dRows = scratch.array(7, 0);
            float[] logs = scratch.array(8, 0);
            float[] sums = scratch.array(9, 0);
            float[] lanes = scratch.array(12, LANES);
            float[] weights = scratch.array(10, GRADIENT_QUERIES * GRADIENT_KEYS);
            float[] dScores = scratch.array(11, GRADIENT_QUERIES * GRADIENT_KEYS);
            int queries = end - start;
            int keyEnd = Math.min(s.keysOf(end), firstKey + GRADIENT_KEYS);
            for (int panel = firstKey; panel < keyEnd; panel += COLUMNS) {
                for (int r = s.firstSeeing(panel, start); r < queries; r += ROWS) {
                    int at = r * GRADIENT_KEYS + panel - firstKey;
                    // [6, E] x [E, panel]: scores
                    TileProducts.tile(
                            rows,
                            r * s.w,
                            s.w,
                            1,
                            keyPanels,
                            panel * s.e,
                            COLUMNS,
                            weights,
                            at,
                            GRADIENT_KEYS,
                            s.e,
                            false);
                    // [6, E] x [E, panel]: the gradient of the weights
                    TileProducts.tile(
                            dMixed,
                            r * s.w,
                            s.w,
                            1,
                            valuePanels,
                            panel * s.e,
                            COLUMNS,
                            dScores,
                            at,
                            GRADIENT_KEYS,
                            s.e,
                            false);
                }
            }
            for (int r = s.firstSeeing(firstKey, start); r < queries; r++) {
                int limit = TileProducts.roundUp(Math.min(keyEnd, s.seenBy(start, r, end)) - firstKey, COLUMNS);
                int at = r * GRADIENT_KEYS;
                mask(s.mask, weights, at, start + r, firstKey, limit, hidden[b]);
                Lanes.exp(weights, 1, -logs[r], weights, at, at + limit, lanes);
                softmaxGradient(weights, dScores, at, limit, sums[r]);
                // keys are taken in groups of six, which may reach behind the last whole vector
                int groups = TileProducts.roundUp(keyEnd - firstKey, ROWS);
                if (groups > limit) {
                    Arrays.fill(weights, at + limit, at + groups, 0);
                    Arrays.fill(dScores, at + limit, at + groups, 0);
                }
            }
            for (int key = firstKey; key < keyEnd; key += ROWS) {
                int first = s.mask.causal() ? Math.max(0, key - start) : 0;
                int at = first * GRADIENT_KEYS + key - firstKey;
                // [queries, 6]^T x [queries, W]
                TileProducts.rows(
                        weights,
                        at,
                        1,
                        GRADIENT_KEYS,
                        dMixed,
                        first * s.w,
                        s.w,
                        dValues,
                        key * s.w,
                        s.w,
                        s.w,
                        queries - first,
                        true);
                // [queries, 6]^T x [queries, W]; the kept queries carry the scale
                TileProducts.rows(
                        dScores,
                        at,
                        1,
                        GRADIENT_KEYS,
                        rows,
                        first * s.w,
                        s.w,
                        dKeys,
                        key * s.w,
                        s.w,
                        s.w,
                        queries - first,
                        true);
            }
            for (int r = s.firstSeeing(firstKey, start); r < queries; r += ROWS) {
                // [6, keys] x [keys, W]
                TileProducts.rows(
                        dScores,
                        r * GRADIENT_KEYS,
                        GRADIENT_KEYS,
                        1,
                        keys,
                        firstKey * s.w,
                        s.w,
                        dRows,
                        r * s.w,
                        s.w,
                        s.w,
                        Math.min(keyEnd, s.seenBy(start, r, end)) - firstKey,
                        firstKey > 0);
            }
        }
    }

    /** Rows of [R, heads x E] for one head into [rows, W]. */
    private static void load(
            Sizes s, FloatBuffer from, int example, int start, int rows, int head, int heads, float[] to, int at) {
        for (int r = 0; r < rows; r++) {
            int row = at + r * s.w;
            from.get(s.row(example, start + r, head, heads), to, row, s.e);
            for (int i = s.e; i < s.w; i++) {
                to[row + i] = 0;
            }
        }
    }

    /** The way back. */
    private static void store(
            Sizes s, float[] from, int example, int start, int rows, int head, int heads, FloatBuffer to) {
        for (int r = 0; r < rows; r++) {
            to.put(s.row(example, start + r, head, heads), from, r * s.w, s.e);
        }
    }

    /** x = scale (x * cos + direction swapped(x) * sin), of rows one behind the other. */
    private static void turn(
            float[] x, int length, RotaryTable.Turns turns, int tableFrom, float scale, float direction) {
        float[] cos = turns.cosines();
        float[] sin = turns.sines();
        for (int i = 0; i < length; i += LANES) {
            FloatVector straight = FloatVector.fromArray(SPECIES, x, i);
            FloatVector swapped = straight.rearrange(SWAP).mul(direction);
            swapped.mul(FloatVector.fromArray(SPECIES, sin, tableFrom + i))
                    .add(straight.mul(FloatVector.fromArray(SPECIES, cos, tableFrom + i)))
                    .mul(scale)
                    .intoArray(x, i);
        }
    }

    /** Up to {@link #COLUMNS} rows of [keys, W] transposed to a panel [E, COLUMNS], 0 behind the last. */
    private static void transpose(float[] rows, int from, int keys, Sizes s, float[] panels, int to) {
        int e = s.e;
        int w = s.w;
        for (int j = 0; j < keys; j++) {
            for (int i = 0; i < e; i++) {
                panels[to + j + i * COLUMNS] = rows[from + j * w + i];
            }
        }
        for (int i = 0; keys < COLUMNS && i < e; i++) {
            Arrays.fill(panels, to + keys + i * COLUMNS, to + (i + 1) * COLUMNS, 0);
        }
    }

    /** Gives the scores of keys that a query must not see the weight 0: those of the mask, and hidden ones but itself. */
    private static void mask(
            AttentionMask mask, float[] scores, int at, int query, int firstKey, int limit, int[] hidden) {
        int visible = Math.max(0, Math.min(limit, mask.to(query) - firstKey));
        Arrays.fill(
                scores, at, at + Math.max(0, Math.min(visible, mask.from(query) - firstKey)), Float.NEGATIVE_INFINITY);
        Arrays.fill(scores, at + visible, at + limit, Float.NEGATIVE_INFINITY);
        for (int key : hidden) {
            if (key >= firstKey && key < firstKey + visible && key != query) {
                scores[at + key - firstKey] = Float.NEGATIVE_INFINITY;
            }
        }
    }

    private static float largest(float[] scores, int at, int length) {
        FloatVector largest = FloatVector.fromArray(SPECIES, scores, at);
        for (int i = LANES; i < length; i += LANES) {
            largest = largest.max(FloatVector.fromArray(SPECIES, scores, at + i));
        }
        return largest.reduceLanes(VectorOperators.MAX);
    }

    /** The gradients of weights, dw, to those of scores: w (dw - sum). */
    private static void softmaxGradient(float[] weights, float[] dWeights, int at, int length, float sum) {
        for (int i = at; i < at + length; i += LANES) {
            FloatVector weight = FloatVector.fromArray(SPECIES, weights, i);
            FloatVector.fromArray(SPECIES, dWeights, i).sub(sum).mul(weight).intoArray(dWeights, i);
        }
    }

    private static void scale(float[] x, int from, int length, float factor) {
        for (int i = from; i < from + length; i += LANES) {
            FloatVector.fromArray(SPECIES, x, i).mul(factor).intoArray(x, i);
        }
    }

    /** The sum of products, lane by lane. */
    private static void dot(float[] x, float[] y, int from, int length, float[] lanes) {
        FloatVector sum = FloatVector.zero(SPECIES);
        for (int i = from; i < from + length; i += LANES) {
            sum = FloatVector.fromArray(SPECIES, x, i).fma(FloatVector.fromArray(SPECIES, y, i), sum);
        }
        sum.intoArray(lanes, 0);
    }
}
