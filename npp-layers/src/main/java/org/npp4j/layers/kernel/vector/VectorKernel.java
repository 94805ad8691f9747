package org.npp4j.layers.kernel.vector;

import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.AdamStep;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.AttentionShape;
import org.npp4j.layers.kernel.BlockParameters;
import org.npp4j.layers.kernel.KeyValueCache;
import org.npp4j.layers.kernel.Nd4jKernel;
import org.npp4j.layers.kernel.RotaryTable;
import org.npp4j.layers.kernel.TransformerKernel;

/** {@link TransformerKernel} in fused passes over floats; what it cannot take it leaves to {@link Nd4jKernel}. */
public final class VectorKernel implements TransformerKernel {
    private final TransformerKernel general = Nd4jKernel.INSTANCE;

    @Override
    public void rmsScale(INDArray x, double epsilon, INDArray scale) {
        if (VectorNorms.takes(x, scale)) {
            VectorNorms.scale(x, epsilon, scale);
        } else {
            general.rmsScale(x, epsilon, scale);
        }
    }

    @Override
    public void rmsNorm(INDArray x, INDArray gain, double epsilon, INDArray scale, INDArray y) {
        if (VectorNorms.takes(x, scale, gain) && Floats.rows(x, y)) {
            VectorNorms.norm(x, gain, epsilon, scale, y);
        } else {
            general.rmsNorm(x, gain, epsilon, scale, y);
        }
    }

    @Override
    public void rmsNormGradient(
            INDArray dy, INDArray x, INDArray gain, INDArray scale, INDArray residual, INDArray dGain, INDArray dx) {
        if (VectorNorms.takes(x, scale, gain, dGain) && Floats.rows(x, dy, dx, residual == null ? x : residual)) {
            VectorNorms.gradient(dy, x, gain, scale, residual, dGain, dx);
        } else {
            general.rmsNormGradient(dy, x, gain, scale, residual, dGain, dx);
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
        return Floats.alike(branch, x, y) && Floats.rows(y)
                ? VectorBranch.add(branch, x, batch, unitDropout, pathDropout, y)
                : general.addBranch(branch, x, batch, unitDropout, pathDropout, kept, y);
    }

    @Override
    public void swiGlu(INDArray a, INDArray b, INDArray y) {
        if (Floats.alike(a, b, y)) {
            VectorActivations.swiGlu(a, b, y);
        } else {
            general.swiGlu(a, b, y);
        }
    }

    @Override
    public void swiGluGradient(INDArray dy, INDArray a, INDArray b, INDArray da, INDArray db) {
        if (Floats.alike(dy, a, b, da, db)) {
            VectorActivations.swiGluGradient(dy, a, b, da, db);
        } else {
            general.swiGluGradient(dy, a, b, da, db);
        }
    }

    @Override
    public void gelu(INDArray x, INDArray y) {
        if (Floats.alike(x, y)) {
            VectorActivations.gelu(x, y);
        } else {
            general.gelu(x, y);
        }
    }

    @Override
    public void geluGradient(INDArray dy, INDArray x, INDArray dx) {
        if (Floats.alike(dy, x, dx)) {
            VectorActivations.geluGradient(dy, x, dx);
        } else {
            general.geluGradient(dy, x, dx);
        }
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
        if (q.dataType() != DataType.FLOAT || !VectorAttention.takes(shape)) {
            return general.attention(shape, q, k, v, seen, rotary, kept, scratch, out);
        }
        return VectorAttention.attention(shape, q, k, v, seen, rotary, kept, out);
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
        if (dOut.dataType() != DataType.FLOAT || !VectorAttention.takes(shape)) {
            general.attentionGradient(shape, forward, rotary, dOut, scratch, dq, dk, dv);
        } else {
            VectorAttention.gradient(shape, forward, rotary, dOut, dq, dk, dv);
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
        if (VectorCachedAttention.takes(cache) && Floats.plainRows(qkv) && Floats.plainRows(out)) {
            float[] rows = new float[(int) qkv.length()];
            float[] mixed = new float[(int) out.length()];
            Floats.of(qkv).get(0, rows);
            VectorCachedAttention.run(shape, rows, rotary, cache, mixed);
            Floats.of(out).put(0, mixed);
        } else {
            general.cachedAttention(shape, qkv, rotary, cache, scratch, out);
        }
    }

    @Override
    public void decode(
            BlockParameters block,
            AttentionShape shape,
            INDArray x,
            RotaryTable rotary,
            KeyValueCache cache,
            Allocator scratch,
            INDArray out) {
        if (VectorDecode.takes(block, x, cache, out)) {
            VectorDecode.ofThread().decode(block, shape, x, rotary, cache, out);
        } else {
            TransformerKernel.super.decode(block, shape, x, rotary, cache, scratch, out);
        }
    }

    @Override
    public void linearOfFewRows(INDArray x, INDArray w, INDArray y) {
        if (VectorDecode.takes(x, w, y)) {
            VectorDecode.ofThread().linear(x, w, y);
        } else {
            general.linearOfFewRows(x, w, y);
        }
    }

    @Override
    public void crossEntropy(
            INDArray z,
            int[] firstOfRow,
            int[] idOfTarget,
            double[] weightOfRow,
            double[] weightOfTarget,
            double[] nats) {
        if (VectorCrossEntropy.takes(z)) {
            VectorCrossEntropy.losses(z, firstOfRow, idOfTarget, weightOfRow, weightOfTarget, nats);
        } else {
            general.crossEntropy(z, firstOfRow, idOfTarget, weightOfRow, weightOfTarget, nats);
        }
    }

    @Override
    public void adam(INDArray gradient, INDArray m, INDArray v, AdamStep step) {
        if (Floats.alike(gradient, m, v)) {
            VectorAdam.adam(gradient, m, v, step);
        } else {
            general.adam(gradient, m, v, step);
        }
    }

    @Override
    public void adamW(
            INDArray parameters, INDArray gradient, INDArray m, INDArray v, double scale, AdamStep step, double decay) {
        if (Floats.alike(parameters, gradient, m, v)) {
            VectorAdam.adamW(parameters, gradient, m, v, scale, step, decay);
        } else {
            general.adamW(parameters, gradient, m, v, scale, step, decay);
        }
    }

    @Override
    public double sumOfSquares(INDArray values) {
        return Floats.alike(values) ? VectorAdam.sumOfSquares(values) : general.sumOfSquares(values);
    }
}
