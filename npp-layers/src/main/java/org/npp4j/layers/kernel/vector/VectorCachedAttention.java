package org.npp4j.layers.kernel.vector;

import java.nio.FloatBuffer;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.layers.kernel.RotaryTable;

/**
 * Attention of new positions to a cache, in one pass for each example and key/value head: turn, append, scores, softmax,
 * mix.
 *
 * <p>In the memory of one example and key/value head, [positions, E], keys lie in blocks of a vector's lanes: positions of a
 * block [E, lanes], so that the scores of a block are sums of whole vectors. Values are [positions, E].
 */
final class VectorCachedAttention {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final int MIXED_VECTORS = 4;

    /** Numbers of keys or values that are worked on at a time: half of a small first-level cache. */
    private static final int TILE = 4096;

    private static final ThreadLocal<Scratch> SCRATCH = ThreadLocal.withInitial(Scratch::new);

    private final AttentionShape shape;
    private final int width;
    private final int past;
    private final int slots;
    private final int tilePositions;
    private final RotaryTable.Turns turns;
    private final KeyValueCache cache;
    private final FloatBuffer keys;
    private final FloatBuffer values;
    private final float[] qkv;
    private final float[] out;

    private VectorCachedAttention(
            AttentionShape shape, float[] qkv, RotaryTable rotary, KeyValueCache cache, float[] out) {
        this.shape = shape;
        this.cache = cache;
        this.qkv = qkv;
        this.out = out;
        width = shape.headWidth();
        past = cache.length();
        slots = cache.slots();
        tilePositions = Math.max(1, TILE / (width * LANES)) * LANES;
        turns = rotary.turns(width);
        keys = Floats.of(cache.keyMemory());
        values = Floats.of(cache.valueMemory());
    }

    /** What a thread works on. */
    private static final class Scratch {
        private float[] tile = new float[0];
        private float[] queries = new float[0];
        private float[] scores = new float[0];
        private float[] mixed = new float[0];
        private final float[] lanes = new float[LANES];

        private void reserve(int tileSize, int queriesSize, int scoresSize) {
            if (tile.length < tileSize) {
                tile = new float[tileSize];
            }
            if (queries.length < queriesSize) {
                queries = new float[queriesSize];
                mixed = new float[queriesSize];
            }
            if (scores.length < scoresSize) {
                scores = new float[scoresSize];
            }
        }
    }

    /** Whether {@link #run} takes a cache. */
    static boolean takes(KeyValueCache cache) {
        return cache.slots() % LANES == 0 && Floats.plainRows(cache.keyMemory());
    }

    /**
     * As {@link org.npp4j.layers.kernel.TransformerKernel#cachedAttention}.
     *
     * @param shape the sizes
     * @param qkv [R x (H + 2 G) E]
     * @param rotary positions
     * @param cache that {@link #takes} says yes to
     * @param out [R x H x E], written
     */
    static void run(AttentionShape shape, float[] qkv, RotaryTable rotary, KeyValueCache cache, float[] out) {
        cache.requireRoom(shape.batch(), shape.positions());
        VectorCachedAttention attention = new VectorCachedAttention(shape, qkv, rotary, cache, out);
        int groups = shape.keyValueHeads();
        Workers.run((int) shape.batch() * groups, part -> attention.attend(part / groups, part % groups));
        cache.grow((int) shape.positions());
    }

    private void attend(int example, int group) {
        int heads = shape.headsPerGroup();
        Scratch s = SCRATCH.get();
        s.reserve(tilePositions * width, heads * width, heads * slots);
        int base = (example * shape.keyValueHeads() + group) * slots * width;
        int rowWidth = (shape.heads() + 2 * shape.keyValueHeads()) * width;
        int t = (int) shape.positions();
        for (int i = 0; i < t; i++) {
            int k = (example * t + i) * rowWidth + (shape.heads() + group) * width;
            append(base, past + i, k, k + shape.keyValueHeads() * width, s.mixed);
        }
        for (int i = 0; i < t; i++) {
            int row = example * t + i;
            int position = past + i;
            int seen = shape.mask().to(position);
            int q = row * rowWidth + group * heads * width;
            for (int head = 0; head < heads; head++) {
                turn(q + head * width, position, 1 / Math.sqrt(width), s.queries, head * width);
            }
            score(base, seen, heads, s);
            for (int head = 0; head < heads; head++) {
                hide(example, position, s.scores, head * slots);
                softmax(s.scores, head * slots, seen, s.lanes);
            }
            mix(base, seen, heads, s);
            System.arraycopy(s.mixed, 0, out, (row * shape.heads() + group * heads) * width, heads * width);
        }
    }

    private void append(int base, int position, int k, int v, float[] turned) {
        turn(k, position, 1, turned, 0);
        int at = base + position / LANES * LANES * width + position % LANES;
        for (int e = 0; e < width; e++) {
            keys.put(at + e * LANES, turned[e]);
        }
        values.put(base + position * width, qkv, v, width);
    }

    private void turn(int from, int position, double scale, float[] to, int start) {
        int table = position * width;
        float factor = (float) scale;
        for (int e = 0; e < width; e += 2) {
            float a = qkv[from + e];
            float b = qkv[from + e + 1];
            to[start + e] = (a * turns.cosines()[table + e] + b * turns.sines()[table + e]) * factor;
            to[start + e + 1] = (b * turns.cosines()[table + e + 1] + a * turns.sines()[table + e + 1]) * factor;
        }
    }

    /** scores [heads, slots] of the first positions; what is behind them in their last block is unspecified. */
    private void score(int base, int positions, int heads, Scratch s) {
        int end = (positions + LANES - 1) / LANES * LANES;
        for (int from = 0; from < end; from += tilePositions) {
            int tileEnd = Math.min(end, from + tilePositions);
            keys.get(base + from * width, s.tile, 0, (tileEnd - from) * width);
            for (int head = 0; head < heads; head++) {
                for (int block = from; block < tileEnd; block += LANES) {
                    scoreBlock(
                            s.queries,
                            head * width,
                            s.tile,
                            (block - from) * width,
                            width,
                            s.scores,
                            head * slots + block);
                }
            }
        }
    }

    /** Four sums at a time, since each waits for its last addition. */
    private static void scoreBlock(float[] q, int q0, float[] k, int k0, int width, float[] scores, int to) {
        FloatVector a = FloatVector.zero(SPECIES);
        FloatVector b = a;
        FloatVector c = a;
        FloatVector d = a;
        for (int e = 0; e < width; e += 4) {
            int at = k0 + e * LANES;
            a = FloatVector.fromArray(SPECIES, k, at).fma(FloatVector.broadcast(SPECIES, q[q0 + e]), a);
            b = FloatVector.fromArray(SPECIES, k, at + LANES).fma(FloatVector.broadcast(SPECIES, q[q0 + e + 1]), b);
            c = FloatVector.fromArray(SPECIES, k, at + 2 * LANES).fma(FloatVector.broadcast(SPECIES, q[q0 + e + 2]), c);
            d = FloatVector.fromArray(SPECIES, k, at + 3 * LANES).fma(FloatVector.broadcast(SPECIES, q[q0 + e + 3]), d);
        }
        a.add(b).add(c.add(d)).intoArray(scores, to);
    }

    /** What the mask hides at the front; and a hidden condition token is seen by itself alone. */
    private void hide(int example, int position, float[] scores, int start) {
        Arrays.fill(scores, start, start + shape.mask().from(position), Float.NEGATIVE_INFINITY);
        boolean[] hidden = cache.hidden(example);
        if (hidden != null) {
            for (int i = 0; i < Math.min(shape.mask().to(position), hidden.length); i++) {
                if (hidden[i] && i != position) {
                    scores[start + i] = Float.NEGATIVE_INFINITY;
                }
            }
        }
    }

    /** Weights in place of scores. */
    private static void softmax(float[] scores, int start, int n, float[] lanes) {
        int end = (n + LANES - 1) / LANES * LANES;
        for (int i = n; i < end; i++) {
            scores[start + i] = Float.NEGATIVE_INFINITY;
        }
        FloatVector largest = FloatVector.broadcast(SPECIES, Float.NEGATIVE_INFINITY);
        for (int i = 0; i < end; i += LANES) {
            largest = largest.max(FloatVector.fromArray(SPECIES, scores, start + i));
        }
        float max = largest.reduceLanes(VectorOperators.MAX);
        Lanes.exp(scores, 1, -max, scores, start, start + end, lanes);
        float sum = (float) Lanes.sum(lanes);
        float factor = 1 / sum;
        for (int i = 0; i < end; i += LANES) {
            FloatVector.fromArray(SPECIES, scores, start + i).mul(factor).intoArray(scores, start + i);
        }
    }

    /** mixed [heads, E] = weights x values. */
    private void mix(int base, int positions, int heads, Scratch s) {
        for (int i = 0; i < heads * width; i++) {
            s.mixed[i] = 0;
        }
        for (int from = 0; from < positions; from += tilePositions) {
            int n = Math.min(tilePositions, positions - from);
            values.get(base + from * width, s.tile, 0, n * width);
            for (int head = 0; head < heads; head++) {
                mixTile(s.scores, head * slots + from, n, s.tile, s.mixed, head * width);
            }
        }
    }

    private void mixTile(float[] weights, int w0, int n, float[] v, float[] mixed, int to) {
        int e = 0;
        for (; e <= width - MIXED_VECTORS * LANES; e += MIXED_VECTORS * LANES) {
            mixFour(weights, w0, n, v, e, width, mixed, to + e);
        }
        for (; e <= width - LANES; e += LANES) {
            mixOne(weights, w0, n, v, e, width, mixed, to + e);
        }
        for (; e < width; e++) {
            float sum = mixed[to + e];
            for (int i = 0; i < n; i++) {
                sum += weights[w0 + i] * v[i * width + e];
            }
            mixed[to + e] = sum;
        }
    }

    private static void mixFour(float[] weights, int w0, int n, float[] v, int v0, int step, float[] mixed, int to) {
        FloatVector a = FloatVector.fromArray(SPECIES, mixed, to);
        FloatVector b = FloatVector.fromArray(SPECIES, mixed, to + LANES);
        FloatVector c = FloatVector.fromArray(SPECIES, mixed, to + 2 * LANES);
        FloatVector d = FloatVector.fromArray(SPECIES, mixed, to + 3 * LANES);
        for (int i = 0; i < n; i++) {
            FloatVector w = FloatVector.broadcast(SPECIES, weights[w0 + i]);
            int at = v0 + i * step;
            a = FloatVector.fromArray(SPECIES, v, at).fma(w, a);
            b = FloatVector.fromArray(SPECIES, v, at + LANES).fma(w, b);
            c = FloatVector.fromArray(SPECIES, v, at + 2 * LANES).fma(w, c);
            d = FloatVector.fromArray(SPECIES, v, at + 3 * LANES).fma(w, d);
        }
        a.intoArray(mixed, to);
        b.intoArray(mixed, to + LANES);
        c.intoArray(mixed, to + 2 * LANES);
        d.intoArray(mixed, to + 3 * LANES);
    }

    private static void mixOne(float[] weights, int w0, int n, float[] v, int v0, int step, float[] mixed, int to) {
        FloatVector a = FloatVector.fromArray(SPECIES, mixed, to);
        for (int i = 0; i < n; i++) {
            FloatVector w = FloatVector.broadcast(SPECIES, weights[w0 + i]);
            a = FloatVector.fromArray(SPECIES, v, v0 + i * step).fma(w, a);
        }
        a.intoArray(mixed, to);
    }
}
