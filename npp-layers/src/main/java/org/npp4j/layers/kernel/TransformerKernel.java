package org.npp4j.layers.kernel;

import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The operations of a transformer and its training that are more than one matrix product. Arrays named d.. are gradients.
 * {@link Kernels} chooses an implementation.
 */
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
     * The gradients of {@link #rmsNorm}, and what reaches x past the norm added to that of x.
     *
     * @param dy [R, D]
     * @param x [R, D], the forward input
     * @param gain [D]
     * @param scale [R], of the forward pass
     * @param residual [R, D], added to dx; null for none
     * @param dGain [D], written
     * @param dx [R, D], written; may be dy itself
     */
    void rmsNormGradient(
            INDArray dy, INDArray x, INDArray gain, INDArray scale, INDArray residual, INDArray dGain, INDArray dx);

    /**
     * y = x + drop(branch). Each unit of the branch is 0 with the probability of unit dropout, the whole branch of an
     * example with that of path dropout; what stays is divided by the probability of staying. Random numbers are drawn
     * from ND4J's generator.
     *
     * @param branch [R, D]; its content may be lost
     * @param x [R, D]
     * @param batch B, a divisor of R: rows of an example follow each other
     * @param unitDropout from 0 to below 1
     * @param pathDropout from 0 to below 1
     * @param kept for what the gradient needs
     * @param y [R, D], written; may be the branch itself
     * @return how the gradient of y becomes that of the branch
     */
    BranchGradient addBranch(
            INDArray branch,
            INDArray x,
            long batch,
            double unitDropout,
            double pathDropout,
            Allocator kept,
            INDArray y);

    /** How the gradient of {@link #addBranch}'s sum becomes that of its branch. */
    @FunctionalInterface
    interface BranchGradient {
        /** Nothing was dropped. */
        BranchGradient SAME = (dy, scratch) -> dy;

        /**
         * The gradient of the branch.
         *
         * @param dy [R, D]; stays as it is
         * @param scratch for the result
         * @return [R, D]: dy itself where nothing was dropped
         */
        INDArray of(INDArray dy, Allocator scratch);
    }

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
     * Multi-head attention with rotary positions: softmax(rotate(q) rotate(k)^T / sqrt(E) + mask) v, for each head, where
     * a position sees what the mask of the shape says, unless it is hidden.
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
     * Attention of new positions to themselves and to the positions in a cache, which grows by them. Where positions see
     * later ones of their block, the new positions are whole blocks.
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

    /**
     * The output of a whole transformer block (without dropout) at new positions, given the cached ones before.
     *
     * @param block the parameters
     * @param shape the sizes; positions are the new ones
     * @param x [R, D]
     * @param rotary positions, of the whole sequence
     * @param cache keys and values of the positions before; grows by the new ones
     * @param scratch for intermediate arrays
     * @param out [R, D], 'c' order, written
     */
    default void decode(
            BlockParameters block,
            AttentionShape shape,
            INDArray x,
            RotaryTable rotary,
            KeyValueCache cache,
            Allocator scratch,
            INDArray out) {
        CachedBlock.decode(this, block, shape, x, rotary, cache, scratch, out);
    }

    /**
     * y = x W of a few rows, as when the logits of a position are computed.
     *
     * @param x [R, in]
     * @param w [in, out], 'f' order
     * @param y [R, out], written
     */
    default void linearOfFewRows(INDArray x, INDArray w, INDArray y) {
        Products.linear(x, w, y);
    }

    /**
     * The losses of some tokens of each row, and the gradient: logsumexp(z_r) - z_rv for each target v of row r, and dz_r =
     * w_r softmax(z_r), less u at each target.
     *
     * @param z [R, V]; overwritten with dz if there are weights, otherwise its content may be lost
     * @param firstOfRow [R + 1], the first target of each row, and behind the last
     * @param idOfTarget [targets], columns of z, different from each other within a row
     * @param weightOfRow w [R], or null for the losses alone
     * @param weightOfTarget u [targets], or null
     * @param nats [targets], written
     */
    void crossEntropy(
            INDArray z,
            int[] firstOfRow,
            int[] idOfTarget,
            double[] weightOfRow,
            double[] weightOfTarget,
            double[] nats);

    /**
     * A step of Adam: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2, and in place of g what is to be subtracted from the
     * parameters, rate / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon).
     *
     * @param gradient g, any shape, contiguous; overwritten
     * @param m its shape and order, updated
     * @param v its shape and order, updated
     * @param step t, rate, b1, b2 and epsilon
     */
    void adam(INDArray gradient, INDArray m, INDArray v, AdamStep step);

    /**
     * A step of AdamW from the sum of gradients to the moved parameters: {@link #adam} of scale x g gives u, and
     * p = p - (u + decay x p).
     *
     * @param parameters p, any shape, contiguous, updated
     * @param gradient g, its shape and order; its content may be lost
     * @param m its shape and order, updated
     * @param v its shape and order, updated
     * @param scale what the gradient is multiplied by first
     * @param step t, rate, b1, b2 and epsilon
     * @param decay share of p that is subtracted; the rate is not applied to it
     */
    void adamW(
            INDArray parameters, INDArray gradient, INDArray m, INDArray v, double scale, AdamStep step, double decay);

    /**
     * The sum of squares, to many digits however many numbers there are.
     *
     * @param values any shape
     * @return the sum; NaN or infinite if a number is
     */
    double sumOfSquares(INDArray values);
}
