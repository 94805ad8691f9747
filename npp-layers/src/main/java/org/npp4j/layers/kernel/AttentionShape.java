package org.npp4j.layers.kernel;

import org.npp4j.layers.AttentionMask;

/**
 * The sizes of one attention, and who sees whom.
 *
 * @param batch B
 * @param positions T
 * @param heads H
 * @param keyValueHeads G, a divisor of H: heads g H/G .. (g + 1) H/G - 1 share key and value head g
 * @param headWidth E
 * @param mask which positions a position sees; for all positions of the sequence, those of a cache included
 */
public record AttentionShape(
        long batch, long positions, int heads, int keyValueHeads, int headWidth, AttentionMask mask) {
    /**
     * Causal attention.
     *
     * @param batch B
     * @param positions T
     * @param heads H
     * @param keyValueHeads G, a divisor of H
     * @param headWidth E
     */
    public AttentionShape(long batch, long positions, int heads, int keyValueHeads, int headWidth) {
        this(batch, positions, heads, keyValueHeads, headWidth, AttentionMask.CAUSAL);
    }

    /** {@return heads that share one key and value head} */
    public int headsPerGroup() {
        return heads / keyValueHeads;
    }
}
