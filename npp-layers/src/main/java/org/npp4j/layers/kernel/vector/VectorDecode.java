package org.npp4j.layers.kernel.vector;

import java.nio.FloatBuffer;
import java.nio.LongBuffer;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorSpecies;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.BlockParameters;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.layers.kernel.RotaryTable;

/**
 * A transformer block for a few new rows. Between reading the input and writing the output the rows stay in small arrays on
 * the heap; only the weights and the cache come from ND4J's memory.
 */
final class VectorDecode {
    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    private static final VectorMask<Float> ODD = VectorMask.fromLong(SPECIES, 0xAAAA_AAAA_AAAA_AAAAL);

    /** Of more rows, a product is bound by arithmetic, and BLAS as fast. */
    private static final int MOST_ROWS = 128;

    private static final ThreadLocal<VectorDecode> OF_THREAD = ThreadLocal.withInitial(VectorDecode::new);

    private final PackedRows residual = new PackedRows();
    private final PackedRows normed = new PackedRows();
    private final PackedRows mixed = new PackedRows();
    private final PackedRows activated = new PackedRows();
    private float[] rows = new float[0];
    private float[] heads = new float[0];
    private float[] gain = new float[0];
    private final float[] sums = new float[2 * LANES];

    private VectorDecode() {}

    static VectorDecode ofThread() {
        return OF_THREAD.get();
    }

    /** Whether {@link #linear} takes these. */
    static boolean takes(INDArray x, INDArray w, INDArray y) {
        return x.rows() <= MOST_ROWS && Floats.plainRows(x) && Floats.plainRows(y) && Floats.plainWeight(w);
    }

    /** Whether {@link #decode} takes these. */
    static boolean takes(BlockParameters block, INDArray x, KeyValueCache cache, INDArray out) {
        return takes(x, block.queriesKeysValues(), out)
                && Floats.plainWeight(block.attentionOut())
                && Floats.plainWeight(block.gate())
                && Floats.plainWeight(block.up())
                && Floats.plainWeight(block.down())
                && VectorCachedAttention.takes(cache);
    }

    /** As {@link org.npp4j.layers.kernel.TransformerKernel#decode}. */
    void decode(
            BlockParameters block,
            AttentionShape shape,
            INDArray x,
            RotaryTable rotary,
            KeyValueCache cache,
            INDArray out) {
        int r = x.rows();
        int width = x.columns();
        int qkvWidth = block.queriesKeysValues().columns();
        int headsWidth = shape.heads() * shape.headWidth();
        residual.reshape(r, width);
        rows = atLeast(rows, r * Math.max(width, qkvWidth));
        heads = atLeast(heads, r * headsWidth);
        Floats.of(x).get(0, rows, 0, r * width);
        residual.pack(rows);

        norm(block.attentionGain(), block.epsilon());
        float[] qkv = rows;
        FewRows.product(
                normed,
                Floats.ofWeight(block.queriesKeysValues()),
                qkvWidth,
                (unit, units, panel, results) -> toRows(results, unit, units, panel, qkvWidth, r, qkv));
        VectorCachedAttention.run(shape, qkv, rotary, cache, heads);
        mixed.reshape(r, headsWidth).pack(heads);
        addProduct(mixed, Floats.ofWeight(block.attentionOut()));

        norm(block.feedForwardGain(), block.epsilon());
        activated.reshape(r, block.gate().columns());
        FewRows.swiGlu(normed, Floats.ofWeight(block.gate()), Floats.ofWeight(block.up()), activated);
        addProduct(activated, Floats.ofWeight(block.down()));
        residual.unpack(rows);
        Floats.of(out).put(0, rows, 0, r * width);
    }

    /** As {@link org.npp4j.layers.kernel.TransformerKernel#linearOfFewRows}. */
    void linear(INDArray x, INDArray w, INDArray y) {
        int r = x.rows();
        int in = x.columns();
        int out = y.columns();
        rows = atLeast(rows, r * in);
        Floats.of(x).get(0, rows, 0, r * in);
        normed.reshape(r, in).pack(rows);
        FloatBuffer to = Floats.of(y);
        int panelRows = normed.panelRows();
        FewRows.product(normed, Floats.ofWeight(w), out, (unit, units, panel, results) -> {
            int first = panel * panelRows;
            for (int i = 0; i < Math.min(panelRows, r - first); i++) {
                for (int u = 0; u < units; u++) {
                    to.put((first + i) * out + unit + u, results[at(u, i, panelRows)]);
                }
            }
        });
    }

    private static float[] atLeast(float[] array, int size) {
        return array.length < size ? new float[size] : array;
    }

    /** Where a tile of results has a unit's number of a row. */
    private static int at(int unit, int row, int panelRows) {
        return ((unit >> 1) * panelRows + row) * 2 + (unit & 1);
    }

    private void toRows(float[] results, int unit, int units, int panel, int width, int r, float[] to) {
        int panelRows = normed.panelRows();
        int first = panel * panelRows;
        for (int i = 0; i < Math.min(panelRows, r - first); i++) {
            for (int u = 0; u < units; u++) {
                to[(first + i) * width + unit + u] = results[at(u, i, panelRows)];
            }
        }
    }

    /** residual += x W. */
    private void addProduct(PackedRows x, LongBuffer w) {
        FewRows.product(
                x,
                w,
                residual.width(),
                (unit, units, panel, results) ->
                        add(results, residual.values(), residual.offset(panel, unit), units * residual.panelRows()));
    }

    /** n a multiple of a vector. */
    private static void add(float[] results, float[] to, int start, int n) {
        for (int i = 0; i < n; i += LANES) {
            FloatVector.fromArray(SPECIES, to, start + i)
                    .add(FloatVector.fromArray(SPECIES, results, i))
                    .intoArray(to, start + i);
        }
    }

    /** normed = residual / sqrt(mean of its squares + epsilon) * gain. */
    private void norm(INDArray gains, double epsilon) {
        int width = residual.width();
        int step = 2 * residual.panelRows();
        normed.reshape(residual.rows(), width);
        gain = atLeast(gain, width);
        Floats.of(gains).get(0, gain, 0, width);
        for (int panel = 0; panel < residual.panels(); panel++) {
            int start = residual.offset(panel, 0);
            for (int v = 0; v < step; v += LANES) {
                squares(residual.values(), start + v, step, width / 2, sums, v);
            }
            for (int i = 0; i < step; i += 2) {
                double mean = ((double) sums[i] + sums[i + 1]) / width;
                sums[i] = (float) (1 / Math.sqrt(mean + epsilon));
                sums[i + 1] = sums[i];
            }
            for (int v = 0; v < step; v += LANES) {
                scale(residual.values(), start + v, step, width / 2, sums, v, gain, normed.values());
            }
        }
    }

    private static void squares(float[] x, int start, int step, int pairs, float[] sums, int to) {
        FloatVector a = FloatVector.zero(SPECIES);
        FloatVector b = a;
        int k = 0;
        for (; k < pairs - 1; k += 2) {
            FloatVector u = FloatVector.fromArray(SPECIES, x, start + k * step);
            FloatVector v = FloatVector.fromArray(SPECIES, x, start + (k + 1) * step);
            a = u.fma(u, a);
            b = v.fma(v, b);
        }
        if (k < pairs) {
            FloatVector u = FloatVector.fromArray(SPECIES, x, start + k * step);
            a = u.fma(u, a);
        }
        a.add(b).intoArray(sums, to);
    }

    private static void scale(
            float[] x, int start, int step, int pairs, float[] scales, int from, float[] gain, float[] y) {
        FloatVector s = FloatVector.fromArray(SPECIES, scales, from);
        for (int k = 0; k < pairs; k++) {
            int at = start + k * step;
            FloatVector even = FloatVector.broadcast(SPECIES, gain[2 * k]);
            FloatVector odd = FloatVector.broadcast(SPECIES, gain[2 * k + 1]);
            FloatVector.fromArray(SPECIES, x, at)
                    .mul(s)
                    .mul(even.blend(odd, ODD))
                    .intoArray(y, at);
        }
    }
}
