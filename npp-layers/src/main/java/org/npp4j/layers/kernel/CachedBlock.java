package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/** {@link TransformerKernel#decode} as one operation of a kernel after the other. */
final class CachedBlock {
    private CachedBlock() {}

    static void decode(
            TransformerKernel kernel,
            BlockParameters block,
            AttentionShape shape,
            INDArray x,
            RotaryTable rotary,
            KeyValueCache cache,
            Allocator scratch,
            INDArray out) {
        long rows = x.rows();
        INDArray scale = scratch.create(rows);
        INDArray normed = scratch.create(x.shape());
        kernel.rmsNorm(x, block.attentionGain(), block.epsilon(), scale, normed);
        INDArray qkv = scratch.create(rows, block.queriesKeysValues().columns())
                .assign(product(normed, block.queriesKeysValues(), scratch));
        INDArray mixed = scratch.create(rows, block.attentionOut().rows());
        kernel.cachedAttention(shape, qkv, rotary, cache, scratch, mixed);
        INDArray h = scratch.create(x.shape());
        x.addi(product(mixed, block.attentionOut(), scratch), h);

        kernel.rmsNorm(h, block.feedForwardGain(), block.epsilon(), scale, normed);
        INDArray gate = product(normed, block.gate(), scratch);
        INDArray up = product(normed, block.up(), scratch);
        INDArray activated = scratch.create(gate.columns(), rows).transpose(); // in the order of gate and up
        kernel.swiGlu(gate, up, activated);
        h.addi(product(activated, block.down(), scratch), out);
    }

    /** [R, in] x [in, out] -> [R, out] in 'f' order. */
    private static INDArray product(INDArray x, INDArray weight, Allocator scratch) {
        INDArray y = scratch.create(weight.columns(), x.rows()).transpose();
        Products.linearOfFewRows(x, weight, y);
        return y;
    }
}
