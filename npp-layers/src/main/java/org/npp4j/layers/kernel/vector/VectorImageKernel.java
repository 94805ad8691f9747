package org.npp4j.layers.kernel.vector;

import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.Allocator;
import org.npp4j.layers.kernel.ImageKernel;
import org.npp4j.layers.kernel.Nd4jImageKernel;

/** {@link ImageKernel} in fused passes over floats; what it cannot take it leaves to {@link Nd4jImageKernel}. */
public final class VectorImageKernel implements ImageKernel {
    private final ImageKernel general = Nd4jImageKernel.INSTANCE;

    @Override
    public void groupNorm(INDArray x, Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y) {
        if (VectorGroupNorm.takes(norm, gain, bias, statistics, x, y)) {
            VectorGroupNorm.statistics(x, norm, statistics);
            VectorGroupNorm.normalize(x, norm, gain, bias, statistics, y);
        } else {
            general.groupNorm(x, norm, gain, bias, statistics, y);
        }
    }

    @Override
    public void normalize(INDArray x, Norm norm, INDArray gain, INDArray bias, INDArray statistics, INDArray y) {
        if (VectorGroupNorm.takes(norm, gain, bias, statistics, x, y)) {
            VectorGroupNorm.normalize(x, norm, gain, bias, statistics, y);
        } else {
            general.normalize(x, norm, gain, bias, statistics, y);
        }
    }

    @Override
    public void groupNormGradient(
            INDArray dy,
            INDArray x,
            Norm norm,
            INDArray gain,
            INDArray bias,
            INDArray statistics,
            INDArray residual,
            Allocator scratch,
            INDArray dGain,
            INDArray dBias,
            INDArray dx) {
        if (VectorGroupNorm.takes(norm, gain, bias, statistics, x, dy, dx, residual == null ? x : residual)
                && Floats.vector(dGain, gain.length())
                && Floats.vector(dBias, gain.length())) {
            VectorGroupNorm.gradient(dy, x, norm, gain, bias, statistics, residual, dGain, dBias, dx);
        } else {
            general.groupNormGradient(dy, x, norm, gain, bias, statistics, residual, scratch, dGain, dBias, dx);
        }
    }

    @Override
    public void attention(INDArray q, INDArray k, INDArray v, Allocator scratch, INDArray y) {
        general.attention(q, k, v, scratch, y);
    }

    @Override
    public void attentionGradient(
            INDArray dy, INDArray q, INDArray k, INDArray v, Allocator scratch, INDArray dq, INDArray dk, INDArray dv) {
        general.attentionGradient(dy, q, k, v, scratch, dq, dk, dv);
    }
}
