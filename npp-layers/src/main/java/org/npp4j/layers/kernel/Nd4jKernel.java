package org.npp4j.layers.kernel;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.CustomOp;
import org.nd4j.linalg.api.ops.DynamicCustomOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastAddOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastMulOp;
import org.nd4j.linalg.api.ops.impl.broadcast.BroadcastSubOp;
import org.nd4j.linalg.api.ops.impl.reduce.floating.SquaredNorm;
import org.nd4j.linalg.api.ops.impl.transforms.custom.SoftMax;
import org.nd4j.linalg.api.ops.impl.transforms.pairwise.arithmetic.Axpy;
import org.nd4j.linalg.api.ops.impl.transforms.pairwise.arithmetic.MulOp;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Sigmoid;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Swish;
import org.nd4j.linalg.api.ops.impl.transforms.strict.Tanh;
import org.nd4j.linalg.api.ops.impl.updaters.AdamUpdater;
import org.nd4j.linalg.api.ops.random.impl.BernoulliDistribution;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.ops.transforms.Transforms;
import org.npp4j.layers.AttentionMask;

/**
 * {@link TransformerKernel} in ND4J operations: runs on every backend, and is what faster forms are tested against.
 *
 * <p>The memory of attention grows linearly with batch and positions: weights exist for {@value #QUERY_BLOCK} queries at a
 * time.
 */
public final class Nd4jKernel implements TransformerKernel {
    /** The only instance; it has no state but cached masks. */
    public static final Nd4jKernel INSTANCE = new Nd4jKernel();

    /** Added to the scores of positions that must not be seen: large enough that their weight is exactly 0. */
    private static final double UNSEEN = -1e9;

    /** Up to so many rows, as in one step of generation, MulOp starts several times faster than BroadcastMulOp. */
    private static final int FEW_ROWS = 64;

    /** Numbers whose squares are summed in their own precision: single precision loses digits in long sums. */
    private static final long SHORT_SUM = 4096;

    private static final double GELU_SCALE = Math.sqrt(2 / Math.PI);
    private static final double GELU_CUBIC = 0.044715;

    /**
     * Queries that are attended together. Of more, the weights are computed again in the backward pass, and no query of a
     * block is multiplied with the keys behind the block: at 256 positions the one costs what the other saves.
     */
    private static final int QUERY_BLOCK = 128;

    private record MaskKey(DataType dataType, AttentionMask mask, long start, long queries, long keys) {}

    private final ConcurrentMap<MaskKey, INDArray> masks = new ConcurrentHashMap<>();

    private final int queryBlock;

    private Nd4jKernel() {
        this(QUERY_BLOCK);
    }

    /**
     * A kernel for tests.
     *
     * @param queryBlock queries that are attended together
     */
    Nd4jKernel(int queryBlock) {
        this.queryBlock = queryBlock;
    }

    @Override
    public void rmsScale(INDArray x, double epsilon, INDArray scale) {
        if (x.size(1) == 1) {
            scale.assign(x.mul(x).reshape(x.size(0))); // SquaredNorm over one element does not square it
        } else {
            Nd4j.exec(new SquaredNorm(x, scale, false, 1));
        }
        scale.divi(x.size(1)).addi(epsilon);
        Transforms.sqrt(scale, false);
        scale.rdivi(1.0);
    }

    @Override
    public void rmsNorm(INDArray x, INDArray gain, double epsilon, INDArray scale, INDArray y) {
        rmsScale(x, epsilon, scale);
        if (x.size(0) <= FEW_ROWS) {
            Nd4j.exec(new MulOp(x, scale.reshape(scale.length(), 1), y));
            Nd4j.exec(new MulOp(y, gain.reshape(1, gain.length()), y));
        } else {
            Nd4j.exec(new BroadcastMulOp(x, scale, y, 0));
            Nd4j.exec(new BroadcastMulOp(y, gain, y, 1));
        }
    }

    @Override
    public void rmsNormGradient(
            INDArray dy, INDArray x, INDArray gain, INDArray scale, INDArray residual, INDArray dGain, INDArray dx) {
        long width = x.size(1);
        INDArray normed = Nd4j.createUninitialized(x.dataType(), x.shape(), 'c');
        Nd4j.exec(new BroadcastMulOp(x, scale, normed, 0));
        INDArray product = Nd4j.createUninitialized(x.dataType(), x.shape(), 'c');
        dy.muli(normed, product);
        product.sum(dGain.reshape(width), 0);
        // dx = scale * (g - normed * mean(g * normed)), g = dy * gain
        INDArray mean = product.mmul(gain.reshape(width, 1)).reshape(x.size(0)).divi(width);
        Nd4j.exec(new BroadcastMulOp(dy, gain, dx, 1));
        Nd4j.exec(new BroadcastMulOp(normed, mean, normed, 0));
        dx.subi(normed);
        Nd4j.exec(new BroadcastMulOp(dx, scale, dx, 0));
        if (residual != null) {
            dx.addi(residual);
        }
    }

    @Override
    public BranchGradient addBranch(
            INDArray branch,
            INDArray x,
            long batch,
            double unitDropout,
            double pathDropout,
            Allocator kept,
            INDArray y) {
        INDArray units = unitDropout > 0 ? keepFactors(unitDropout, kept.create(branch.shape())) : null;
        INDArray paths = pathDropout > 0 ? keepFactors(pathDropout, kept.create(batch)) : null;
        drop(branch, units, paths);
        branch.addi(x, y);
        return units == null && paths == null
                ? BranchGradient.SAME
                : (dy, scratch) -> drop(scratch.create(dy.shape()).assign(dy), units, paths);
    }

    /** 0 with the probability of dropping, else 1 / (1 - probability). */
    private static INDArray keepFactors(double probability, INDArray result) {
        double keep = 1 - probability;
        Nd4j.getExecutioner().exec(new BernoulliDistribution(result, keep));
        return result.divi(keep);
    }

    /** Multiplies [R, D] by factors of its units and of its examples; null for none. */
    private static INDArray drop(INDArray branch, INDArray units, INDArray paths) {
        if (units != null) {
            branch.muli(units);
        }
        if (paths != null) {
            INDArray perExample = branch.reshape(paths.length(), branch.length() / paths.length());
            Nd4j.exec(new BroadcastMulOp(perExample, paths, perExample, 0));
        }
        return branch;
    }

    @Override
    public void swiGlu(INDArray a, INDArray b, INDArray y) {
        Nd4j.exec(new Swish(a, y));
        y.muli(b);
    }

    @Override
    public void swiGluGradient(INDArray dy, INDArray a, INDArray b, INDArray da, INDArray db) {
        // silu'(a) = sigmoid(a) (1 + a) - sigmoid(a) silu(a) = sigmoid(a) (1 + a - silu(a))
        Nd4j.exec(new Sigmoid(a, da));
        a.muli(da, db);
        INDArray slope = a.sub(db).addi(1).muli(da);
        db.muli(dy);
        dy.muli(b).muli(slope, da);
    }

    @Override
    public void gelu(INDArray x, INDArray y) {
        geluTanh(x, y);
        y.addi(1).muli(x).muli(0.5);
    }

    @Override
    public void geluGradient(INDArray dy, INDArray x, INDArray dx) {
        // gelu'(x) = (1 + t) / 2 + x (1 - t^2) u' / 2, t = tanh(u), u' = GELU_SCALE (1 + 3 GELU_CUBIC x^2)
        INDArray t = Nd4j.createUninitialized(x.dataType(), x.shape(), 'c');
        geluTanh(x, t);
        INDArray slope = x.mul(x).muli(3 * GELU_CUBIC).addi(1).muli(x).muli(GELU_SCALE);
        INDArray rest = t.mul(t).rsubi(1);
        slope.muli(rest).addi(t).addi(1).muli(0.5);
        dy.muli(slope, dx);
    }

    /** y = tanh(GELU_SCALE (x + GELU_CUBIC x^3)). */
    private static void geluTanh(INDArray x, INDArray y) {
        x.muli(x, y);
        y.muli(GELU_CUBIC).addi(1).muli(x).muli(GELU_SCALE);
        Nd4j.exec(new Tanh(y, y));
    }

    @Override
    public INDArray[] attention(
            AttentionShape shape,
            INDArray q,
            INDArray k,
            INDArray v,
            INDArray seen,
            RotaryTable rotary,
            Allocator kept,
            Allocator scratch,
            INDArray out) {
        rotate(q, shape, shape.heads(), rotary, 0, false, scratch);
        rotate(k, shape, shape.keyValueHeads(), rotary, 0, false, scratch);
        q.muli(scoreScale(shape));
        INDArray qh = kept.create(q.length());
        INDArray kh = toHeads(k, shape, shape.keyValueHeads(), kept);
        INDArray vh = toHeads(v, shape, shape.keyValueHeads(), kept);
        List<QueryBlock> blocks = QueryBlock.of(shape, queryBlock);
        INDArray weights = (blocks.size() == 1 ? kept : scratch).create(largestWeights(shape, blocks));
        INDArray mixed = scratch.create(q.length());
        for (QueryBlock block : blocks) {
            INDArray queries = block.ofQueries(qh).assign(block.rows(q));
            INDArray w = block.ofWeights(weights);
            attentionWeights(shape, block, queries, kh, seen, w);
            // [B, H, Q, S] x [B, G, S, E] -> [B, H, Q, E]
            INDArray m = block.ofQueries(mixed);
            Nd4j.matmul(grouped(w, shape), block.seenBy(vh), grouped(m, shape), false, false, false);
            block.rows(out).assign(m);
        }
        return new INDArray[] {qh, kh, vh, out, seen, blocks.size() == 1 ? weights : null};
    }

    /** softmax(q k^T + mask) for the queries [B, H, Q, E] of a block, into [B, H, Q, S]. */
    private void attentionWeights(
            AttentionShape shape, QueryBlock block, INDArray queries, INDArray kh, INDArray seen, INDArray weights) {
        // [B, H, Q, E] x [B, G, S, E]^T -> [B, H, Q, S]
        Nd4j.matmul(grouped(queries, shape), block.seenBy(kh), grouped(weights, shape), false, true, false);
        INDArray mask = mask(weights.dataType(), shape.mask(), block.start(), block.queries(), block.keys());
        Nd4j.exec(new BroadcastAddOp(weights, mask, weights, 2, 3));
        hide(weights, seen, block.start());
        Nd4j.exec(new SoftMax(weights, weights, -1));
    }

    @Override
    public void attentionGradient(
            AttentionShape shape,
            INDArray[] forward,
            RotaryTable rotary,
            INDArray dOut,
            Allocator scratch,
            INDArray dq,
            INDArray dk,
            INDArray dv) {
        INDArray qh = forward[0];
        INDArray kh = forward[1];
        INDArray vh = forward[2];
        INDArray out = forward[3];
        INDArray seen = forward[4];
        List<QueryBlock> blocks = QueryBlock.of(shape, queryBlock);
        INDArray weights = forward[5] == null ? scratch.create(largestWeights(shape, blocks)) : forward[5];
        INDArray dScores = scratch.create(weights.length());
        INDArray dMixed = scratch.create(qh.length());
        INDArray dkh = scratch.create(kh.shape());
        INDArray dvh = scratch.create(vh.shape());
        INDArray part = scratch.create(kh.length());
        // sum over the keys of w * dw, [R x H]: equal to the sum over E of out * dOut
        INDArray product = scratch.create(out.shape());
        out.muli(dOut, product);
        INDArray sums = product.reshape(out.length() / shape.headWidth(), shape.headWidth())
                .sum(1)
                .reshape(out.size(0), shape.heads());
        INDArray sumsOfBlocks = scratch.create(sums.length());
        // backwards: the last block sees every key and fills the gradients of keys and values, the others add to them
        for (int i = blocks.size() - 1; i >= 0; i--) {
            QueryBlock block = blocks.get(i);
            INDArray queries = block.ofQueries(qh);
            INDArray w = block.ofWeights(weights);
            if (forward[5] == null) {
                attentionWeights(shape, block, queries, kh, seen, w);
            }
            INDArray dm = block.ofQueries(dMixed).assign(block.rows(dOut));
            // [B, H, Q, S]^T x [B, H, Q, E] -> [B, G, S, E]
            addProduct(grouped(w, shape), grouped(dm, shape), block, part, dvh);
            // through the softmax: dS = w * (dw - sum(w * dw))
            INDArray ds = block.ofWeights(dScores);
            Nd4j.matmul(grouped(dm, shape), block.seenBy(vh), grouped(ds, shape), false, true, false);
            long rows = shape.batch() * shape.heads() * block.queries();
            INDArray flat = ds.reshape(rows, block.keys());
            INDArray blockSums = block.ofSums(sumsOfBlocks).assign(block.sums(sums));
            Nd4j.exec(new BroadcastSubOp(flat, blockSums.reshape(rows), flat, 0));
            ds.muli(w);
            // [B, H, Q, S]^T x [B, H, Q, E] -> [B, G, S, E]; the kept queries carry the scale, so dk needs none
            addProduct(grouped(ds, shape), grouped(queries, shape), block, part, dkh);
            // [B, H, Q, S] x [B, G, S, E] -> [B, H, Q, E]
            Nd4j.matmul(grouped(ds, shape), block.seenBy(kh), grouped(dm, shape), false, false, false);
            block.rows(dq).assign(dm);
        }
        dq.muli(scoreScale(shape));
        toRows(dkh, dk);
        toRows(dvh, dv);
        rotate(dq, shape, shape.heads(), rotary, 0, true, scratch);
        rotate(dk, shape, shape.keyValueHeads(), rotary, 0, true, scratch);
    }

    /** The gradient of the keys or values that a block sees, a^T b, into result [B, G, T, E] or added to it. */
    private static void addProduct(INDArray a, INDArray b, QueryBlock block, INDArray buffer, INDArray result) {
        if (block.end() == block.shape().positions()) {
            Nd4j.matmul(a, b, result, true, false, false);
        } else {
            INDArray seen = block.seenBy(result);
            INDArray part = first(buffer, seen.shape());
            Nd4j.matmul(a, b, part, true, false, false);
            seen.addi(part);
        }
    }

    private static long largestWeights(AttentionShape shape, List<QueryBlock> blocks) {
        return blocks.stream()
                .mapToLong(block -> shape.batch() * shape.heads() * block.queries() * block.keys())
                .max()
                .orElseThrow();
    }

    /** The first numbers of a buffer as an array of this shape: a view. */
    private static INDArray first(INDArray buffer, long... shape) {
        long length = Arrays.stream(shape).reduce(1, (x, y) -> x * y);
        return part(buffer, 0, length).reshape('c', shape);
    }

    private static INDArray part(INDArray buffer, long from, long length) {
        INDArray flat = buffer.rank() == 1 ? buffer : buffer.reshape(buffer.length());
        return from == 0 && length == flat.length() ? flat : flat.get(NDArrayIndex.interval(from, from + length));
    }

    /**
     * Queries that are attended together, Q of them: the scores of all would take memory that grows with the square of T.
     * They see S of the keys. Arrays over all queries hold the blocks one behind the other.
     */
    private record QueryBlock(AttentionShape shape, long start, long end) {
        static List<QueryBlock> of(AttentionShape shape, int size) {
            List<QueryBlock> blocks = new ArrayList<>();
            for (long start = 0; start < shape.positions(); start += size) {
                blocks.add(new QueryBlock(shape, start, Math.min(shape.positions(), start + size)));
            }
            return blocks;
        }

        long queries() {
            return end - start;
        }

        /** S: what the last query sees, and so no less than what any of them does. */
        long keys() {
            return shape.mask().to((int) end - 1);
        }

        /** Of numbers for each query and head: [B, H, Q, E]. */
        INDArray ofQueries(INDArray all) {
            long perPosition = shape.batch() * shape.heads() * shape.headWidth();
            return part(all, start * perPosition, queries() * perPosition)
                    .reshape('c', shape.batch(), shape.heads(), queries(), shape.headWidth());
        }

        /** Of one number for each query and head: [B, H, Q]. */
        INDArray ofSums(INDArray all) {
            long perPosition = shape.batch() * shape.heads();
            return part(all, start * perPosition, queries() * perPosition)
                    .reshape('c', shape.batch(), shape.heads(), queries());
        }

        /** Of a buffer that the blocks share: [B, H, Q, S]. */
        INDArray ofWeights(INDArray buffer) {
            return first(buffer, shape.batch(), shape.heads(), queries(), keys());
        }

        /** Of [R, H x E], as [B, H, Q, E]. */
        INDArray rows(INDArray rows) {
            return between(rows.reshape(shape.batch(), shape.positions(), shape.heads(), shape.headWidth()), 1)
                    .permute(0, 2, 1, 3);
        }

        /** Of [R, H], as [B, H, Q]. */
        INDArray sums(INDArray rows) {
            return between(rows.reshape(shape.batch(), shape.positions(), shape.heads()), 1)
                    .permute(0, 2, 1);
        }

        private INDArray between(INDArray array, int axis) {
            if (queries() == array.size(axis)) {
                return array;
            }
            return array.get(NDArrayIndex.all(), NDArrayIndex.interval(start, end));
        }

        /** Keys or values [B, G, T, E] that the block sees: [B, G, S, E]. */
        INDArray seenBy(INDArray keys) {
            return keys() == keys.size(2)
                    ? keys
                    : keys.get(NDArrayIndex.all(), NDArrayIndex.all(), NDArrayIndex.interval(0, keys()));
        }
    }

    @Override
    public void cachedAttention(
            AttentionShape shape,
            INDArray qkv,
            RotaryTable rotary,
            KeyValueCache cache,
            Allocator scratch,
            INDArray out) {
        long past = cache.length();
        long t = shape.positions();
        int h = shape.heads();
        int g = shape.keyValueHeads();
        rotate(qkv, shape, rotary.ofQueriesKeysValues(shape, past, scoreScale(shape)), rotary.quarterTurn(), scratch);
        // [R, (H + 2 G) E] as [B, H + 2 G, T, E]
        INDArray heads = headsView(qkv, shape, h + 2 * g);
        cache.append(headRange(heads, h, h + g), headRange(heads, h + g, h + 2 * g));
        INDArray qh = scratch.create(shape.batch(), h, t, shape.headWidth()).assign(headRange(heads, 0, h));
        INDArray weights = scratch.create(shape.batch(), h, t, past + t);
        Nd4j.matmul(grouped(qh, shape), cache.keys(), grouped(weights, shape), false, true, false);
        if (t > 1 || !shape.mask().causal()) {
            INDArray mask = mask(qkv.dataType(), shape.mask(), past, t, past + t);
            Nd4j.exec(new BroadcastAddOp(weights, mask, weights, 2, 3));
        }
        hide(weights, cache.seen(), past);
        Nd4j.exec(new SoftMax(weights, weights, -1));
        // rows of one position are [B, H, 1, E] already
        INDArray mixed = t == 1 ? out.reshape(qh.shape()) : scratch.create(qh.shape());
        Nd4j.matmul(grouped(weights, shape), cache.values(), grouped(mixed, shape), false, false, false);
        if (t > 1) {
            toRows(mixed, out);
        }
    }

    private static INDArray headRange(INDArray heads, int from, int to) {
        return heads.get(NDArrayIndex.all(), NDArrayIndex.interval(from, to), NDArrayIndex.all(), NDArrayIndex.all());
    }

    /**
     * Adds {@link #UNSEEN} to the scores [B, H, T, keys] of hidden keys; the queries are T of them from start on. A hidden
     * position sees itself, so that every row of scores has one that is not UNSEEN: ND4J's softmax in double needs it.
     */
    private static void hide(INDArray scores, INDArray seen, long start) {
        if (seen == null) {
            return;
        }
        int t = (int) scores.size(2);
        int keys = (int) scores.size(3);
        double[][] mask = seen.castTo(DataType.DOUBLE).toDoubleMatrix();
        // Example by example, [H, T x keys]: ND4J broadcasts wrongly along axes that are no neighbours.
        INDArray examples = scores.reshape(mask.length, scores.size(1), (long) t * keys);
        for (int b = 0; b < mask.length; b++) {
            float[] bias = new float[t * keys];
            boolean any = false;
            for (int key = 0; key < Math.min(keys, mask[b].length); key++) {
                if (mask[b][key] == 0) {
                    for (int query = 0; query < t; query++) {
                        bias[query * keys + key] = key == start + query ? 0 : (float) UNSEEN;
                    }
                    any = true;
                }
            }
            if (any) {
                INDArray example = examples.slice(b).reshape(scores.size(1), (long) t * keys);
                INDArray added = Nd4j.createFromArray(bias).castTo(scores.dataType());
                Nd4j.exec(new BroadcastAddOp(example, added, example, 1));
            }
        }
    }

    private static double scoreScale(AttentionShape shape) {
        return 1 / Math.sqrt(shape.headWidth());
    }

    /** x = x * cos + (x * sin) turned by 90 degrees (backwards for the gradient); x is [R, heads x E]. */
    private static void rotate(
            INDArray x,
            AttentionShape shape,
            int heads,
            RotaryTable rotary,
            long from,
            boolean backwards,
            Allocator scratch) {
        if (rotary.isNone()) {
            return;
        }
        long to = from + shape.positions();
        INDArray[] turns = {rotary.cosines(heads, from, to), rotary.sines(heads, from, to)};
        INDArray quarterTurn = rotary.quarterTurn();
        rotate(x, shape, turns, backwards ? quarterTurn.transpose() : quarterTurn, scratch);
    }

    /** The same with given cosines and sines [T x heads x E]. */
    private static void rotate(
            INDArray x, AttentionShape shape, INDArray[] turns, INDArray quarterTurn, Allocator scratch) {
        INDArray turned = scratch.create(x.shape());
        // [R, heads x E] as [B, T x heads x E]: the turns repeat for every example
        INDArray perExample = x.reshape(shape.batch(), x.length() / shape.batch());
        Nd4j.exec(new BroadcastMulOp(perExample, turns[1], turned.reshape(perExample.shape()), 1));
        Nd4j.exec(new BroadcastMulOp(perExample, turns[0], perExample, 1));
        // [R x heads, E] x [E, E], added
        long[] pairs = {x.length() / shape.headWidth(), shape.headWidth()};
        Nd4j.gemm(quarterTurn, turned.reshape(pairs), x.reshape(pairs).transpose(), true, true, 1, 1);
    }

    /** [R, heads x E] as a [B, heads, T, E] view. */
    private static INDArray headsView(INDArray rows, AttentionShape shape, int heads) {
        return rows.reshape(shape.batch(), shape.positions(), heads, shape.headWidth())
                .permute(0, 2, 1, 3);
    }

    private static INDArray toHeads(INDArray rows, AttentionShape shape, int heads, Allocator allocator) {
        INDArray result = allocator.create(shape.batch(), heads, shape.positions(), shape.headWidth());
        return result.assign(headsView(rows, shape, heads));
    }

    /** [B, heads, T, E] into [R, heads x E]. */
    private static void toRows(INDArray heads, INDArray rows) {
        rows.reshape(heads.size(0), heads.size(2), heads.size(1), heads.size(3)).assign(heads.permute(0, 2, 1, 3));
    }

    /** [B, H, T, x] as [B, G, H/G x T, x]: the heads of a group are stacked, so that its keys need no copies. */
    private static INDArray grouped(INDArray heads, AttentionShape shape) {
        if (shape.headsPerGroup() == 1) {
            return heads;
        }
        return heads.reshape(
                heads.size(0), shape.keyValueHeads(), shape.headsPerGroup() * heads.size(2), heads.size(3));
    }

    /** [queries, keys]: 0 where the queries from start on may look, else {@link #UNSEEN}. */
    private INDArray mask(DataType dataType, AttentionMask mask, long start, long queries, long keys) {
        return masks.computeIfAbsent(new MaskKey(dataType, mask, start, queries, keys), key -> {
            float[][] added = new float[(int) queries][(int) keys];
            for (int i = 0; i < queries; i++) {
                int query = (int) start + i;
                for (int j = 0; j < keys; j++) {
                    added[i][j] = j >= mask.from(query) && j < mask.to(query) ? 0 : (float) UNSEEN;
                }
            }
            try (MemoryWorkspace outside = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
                return Nd4j.createFromArray(added).castTo(dataType);
            }
        });
    }

    @Override
    public void crossEntropy(
            INDArray z,
            int[] firstOfRow,
            int[] idOfTarget,
            double[] weightOfRow,
            double[] weightOfTarget,
            double[] nats) {
        INDArray targets = places(firstOfRow, idOfTarget);
        INDArray largest = onePlaceARow(z.argMax(1).toIntVector());
        double[] targetLogit = targets == null ? new double[0] : gather(z, targets);
        double[] largestLogit = gather(z, largest);
        Nd4j.exec((CustomOp) new SoftMax(z, z, 1));
        double[] largestProbability = gather(z, largest);
        for (int row = 0; row + 1 < firstOfRow.length; row++) {
            double logSumExp = largestLogit[row] - Math.log(largestProbability[row]);
            for (int i = firstOfRow[row]; i < firstOfRow[row + 1]; i++) {
                nats[i] = logSumExp - targetLogit[i];
            }
        }
        if (weightOfRow != null) {
            if (Arrays.stream(weightOfRow).anyMatch(weight -> weight != 1)) {
                INDArray weights = Nd4j.createFromArray(weightOfRow).castTo(z.dataType());
                z.muliColumnVector(weights.reshape(weights.length(), 1));
            }
            if (targets != null) {
                Nd4j.exec(DynamicCustomOp.builder("scatter_nd_sub")
                        .addInputs(
                                z, targets, Nd4j.createFromArray(weightOfTarget).castTo(z.dataType()))
                        .addOutputs(z)
                        .callInplace(true)
                        .build());
            }
        }
    }

    /** (row, id) for each target, [targets, 2], or null if there are none. */
    private static INDArray places(int[] firstOfRow, int[] idOfTarget) {
        int[] places = new int[2 * idOfTarget.length];
        for (int row = 0; row + 1 < firstOfRow.length; row++) {
            for (int i = firstOfRow[row]; i < firstOfRow[row + 1]; i++) {
                places[2 * i] = row;
                places[2 * i + 1] = idOfTarget[i];
            }
        }
        return places.length == 0 ? null : Nd4j.createFromArray(places).reshape('c', idOfTarget.length, 2);
    }

    /** (0, column[0]), (1, column[1]), .., [rows, 2]. */
    private static INDArray onePlaceARow(int[] column) {
        int[] places = new int[2 * column.length];
        for (int row = 0; row < column.length; row++) {
            places[2 * row] = row;
            places[2 * row + 1] = column[row];
        }
        return Nd4j.createFromArray(places).reshape('c', column.length, 2);
    }

    private static double[] gather(INDArray z, INDArray places) {
        return Nd4j.exec(
                DynamicCustomOp.builder("gather_nd").addInputs(z, places).build())[0].toDoubleVector();
    }

    @Override
    public void adam(INDArray gradient, INDArray m, INDArray v, AdamStep step) {
        // ND4J's operation divides by sqrt(v) + epsilon and corrects both biases by a factor in front:
        // a / (sqrt(v) / c + epsilon) = c a / (sqrt(v) + c epsilon) with c = sqrt(1 - beta2^t)
        double scaledEpsilon = step.epsilon() / step.rootFactor();
        Nd4j.exec(new AdamUpdater(gradient, v, m, step.rate(), step.beta1(), step.beta2(), scaledEpsilon, step.step()));
        if (step.rate() == 0) {
            // the operation takes epsilon for a rate of 0
            gradient.assign(0);
        }
    }

    @Override
    public void adamW(
            INDArray parameters, INDArray gradient, INDArray m, INDArray v, double scale, AdamStep step, double decay) {
        if (scale != 1) {
            gradient.muli(scale);
        }
        adam(gradient, m, v, step);
        if (decay != 0) {
            Nd4j.exec(new Axpy(parameters, gradient, gradient, decay));
        }
        parameters.subi(gradient);
    }

    @Override
    public double sumOfSquares(INDArray values) {
        long length = values.length();
        // [any shape] -> [length]: a view where the numbers have no gaps
        INDArray flat = values.reshape(values.ordering(), new long[] {length});
        long rows = length / SHORT_SUM;
        double squares = 0;
        if (rows > 0) {
            // [length] -> [rows, SHORT_SUM] -> [rows]: a short sum for each row, in the numbers' own precision
            INDArray norms = flat.get(NDArrayIndex.interval(0, rows * SHORT_SUM))
                    .reshape('c', new long[] {rows, SHORT_SUM})
                    .norm2(1)
                    .castTo(DataType.DOUBLE);
            squares += norms.muli(norms).sumNumber().doubleValue();
        }
        if (rows * SHORT_SUM < length) {
            double rest = flat.get(NDArrayIndex.interval(rows * SHORT_SUM, length))
                    .norm2Number()
                    .doubleValue();
            squares += rest * rest;
        }
        return squares;
    }
}
