package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/** The operations of a transformer block that are more than one matrix product. Arrays named d.. are gradients. */
public interface TransformerKernel {

    /**
     * scale = 1 / sqrt(mean over D of x^2 + epsilon).
     *
     * @param x [R, D]
     * @param epsilon added to the mean square
     * @param scale [R], written
     */
    void rmsScale(INDArray x, double epsilon, INDArray scale);

    /**
     * y = x * scale * gain, with the scale of {@link #rmsScale}.
     *
     * @param x [R, D]
     * @param gain [D]
     * @param epsilon added to the mean square
     * @param scale [R], written
     * @param y [R, D], written
     */
    void rmsNorm(INDArray x, INDArray gain, double epsilon, INDArray scale, INDArray y);

    /**
     * The gradients of {@link #rmsNorm}.
     *
     * @param dy [R, D]
     * @param x [R, D], the forward input
     * @param gain [D]
     * @param scale [R], of the forward pass
     * @param dGain [D], written
     * @param dx [R, D], written; may be dy itself
     */
    void rmsNormGradient(INDArray dy, INDArray x, INDArray gain, INDArray scale, INDArray dGain, INDArray dx);

    /**
     * y = silu(a) * b, silu(a) = a / (1 + exp(-a)).
     *
     * @param a [R, F]
     * @param b [R, F]
     * @param y [R, F], written
     */
    void swiGlu(INDArray a, INDArray b, INDArray y);

    /**
     * The gradients of {@link #swiGlu}.
     *
     * @param dy [R, F]; its content is lost
     * @param a [R, F], the forward input
     * @param b [R, F], the forward input
     * @param da [R, F], written
     * @param db [R, F], written
     */
    void swiGluGradient(INDArray dy, INDArray a, INDArray b, INDArray da, INDArray db);

    /**
     * y = gelu(x) in the form with tanh: x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2.
     *
     * @param x [R, F]
     * @param y [R, F], written
     */
    void gelu(INDArray x, INDArray y);

    /**
     * The gradient of {@link #gelu}.
     *
     * @param dy [R, F]
     * @param x [R, F], the forward input
     * @param dx [R, F], written; may be dy itself
     */
    void geluGradient(INDArray dy, INDArray x, INDArray dx);

    /**
     * Causal multi-head attention with rotary positions: softmax(rotate(q) rotate(k)^T / sqrt(E) + mask) v, for each
     * head, where a position sees itself and earlier ones, unless they are hidden.
     *
     * @param shape the sizes
     * @param q [R, H x E]; its content is lost
     * @param k [R, G x E]; its content is lost
     * @param v [R, G x E]
     * @param seen [B, C], C at most T: 0 hides one of the first positions from all others, 1 does not;
     *     null hides none
     * @param rotary positions
     * @param kept for what the gradient needs
     * @param scratch for what it does not
     * @param out [R, H x E], written; must stay as it is until the gradient has been taken
     * @return what {@link #attentionGradient} needs
     */
    INDArray[] attention(
            AttentionShape shape,
            INDArray q,
            INDArray k,
            INDArray v,
            INDArray seen,
            RotaryTable rotary,
            Allocator kept,
            Allocator scratch,
            INDArray out);

    /**
     * The gradients of {@link #attention}.
     *
     * @param shape the sizes
     * @param forward what the forward pass returned
     * @param rotary positions
     * @param dOut [R, H x E]
     * @param scratch for intermediate arrays
     * @param dq [R, H x E], written
     * @param dk [R, G x E], written
     * @param dv [R, G x E], written
     */
    void attentionGradient(
            AttentionShape shape,
            INDArray[] forward,
            RotaryTable rotary,
            INDArray dOut,
            Allocator scratch,
            INDArray dq,
            INDArray dk,
            INDArray dv);

    /**
     * Attention of new positions to themselves and to everything in a cache, which grows by them.
     *
     * @param shape the sizes; positions are the new ones
     * @param qkv [R, (H + 2 G) E], 'c' order: query, key and value side by side; its content is lost
     * @param rotary positions, of the whole sequence
     * @param cache keys and values of the positions before
     * @param scratch for intermediate arrays
     * @param out [R, H x E], 'c' order, written
     */
    void cachedAttention(
            AttentionShape shape,
            INDArray qkv,
            RotaryTable rotary,
            KeyValueCache cache,
            Allocator scratch,
            INDArray out);
}
