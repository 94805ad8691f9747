package org.npp4j.layers.kernel;

/**
 * The sizes of one attention.
 *
 * @param batch B
 * @param positions T
 * @param heads H
 * @param keyValueHeads G, a divisor of H: heads g H/G .. (g + 1) H/G - 1 share key and value head g
 * @param headWidth E
 */
public record AttentionShape(long batch, long positions, int heads, int keyValueHeads, int headWidth) {
    /** {@return heads that share one key and value head} */
    public int headsPerGroup() {
        return heads / keyValueHeads;
    }
}
