package org.npp4j.layers;

import java.io.Serializable;
import java.util.Arrays;
import java.util.Objects;
import java.util.stream.IntStream;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Which positions of a sequence a position sees: one run of them, from {@link #from} to before {@link #to}. Immutable.
 *
 * <ul>
 *   <li>{@link #CAUSAL}: itself and all before it
 *   <li>{@link #blockCausal}: its own block of positions as a whole, and all blocks before
 *   <li>{@link #withinBlocks}: its own block as a whole, and nothing else
 * </ul>
 */
public final class AttentionMask implements Serializable {
    private static final long serialVersionUID = 1L;

    /** What a position sees. */
    public enum Kind {
        /** Itself and all before it. */
        CAUSAL,
        /** Its block, and all blocks before. */
        BLOCK_CAUSAL,
        /** Its block alone. */
        WITHIN_BLOCKS
    }

    /** A position sees itself and all before it. For sequences of any length. */
    public static final AttentionMask CAUSAL = new AttentionMask(Kind.CAUSAL);

    private final Kind kind;
    private final int[] blockLengths;
    /** For each position, where its block begins and ends; null if causal. */
    private final transient int[] blockStarts;

    private final transient int[] blockEnds;

    private AttentionMask(Kind kind, int... blockLengths) {
        this.kind = kind;
        this.blockLengths = blockLengths;
        if (kind == Kind.CAUSAL) {
            blockStarts = null;
            blockEnds = null;
            return;
        }
        if (blockLengths.length == 0 || Arrays.stream(blockLengths).anyMatch(length -> length < 1)) {
            throw new IllegalArgumentException(
                    "Attention in blocks needs at least one block, each of at least one position, got "
                            + Arrays.toString(blockLengths));
        }
        if (Arrays.stream(blockLengths).asLongStream().sum() > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("All blocks together hold at most " + Integer.MAX_VALUE
                    + " positions, got " + Arrays.toString(blockLengths));
        }
        int positions = IntStream.of(blockLengths).sum();
        blockStarts = new int[positions];
        blockEnds = new int[positions];
        int start = 0;
        for (int length : blockLengths) {
            Arrays.fill(blockStarts, start, start + length, start);
            Arrays.fill(blockEnds, start, start + length, start + length);
            start += length;
        }
    }

    /**
     * A position sees the whole of its block, and all blocks before. A sequence has all blocks, or the first of them.
     *
     * @param blockLengths positions of each block, at least 1
     * @return the mask
     * @throws IllegalArgumentException if there is no block, or an empty one
     */
    public static AttentionMask blockCausal(int... blockLengths) {
        return new AttentionMask(Kind.BLOCK_CAUSAL, blockLengths.clone());
    }

    /**
     * A position sees the whole of its block, and nothing else. A sequence has all blocks, or a single one, whichever has
     * its length.
     *
     * @param blockLengths positions of each block, at least 1
     * @return the mask
     * @throws IllegalArgumentException if there is no block, or an empty one
     */
    public static AttentionMask withinBlocks(int... blockLengths) {
        return new AttentionMask(Kind.WITHIN_BLOCKS, blockLengths.clone());
    }

    @JsonCreator
    static AttentionMask of(@JsonProperty("kind") Kind kind, @JsonProperty("blockLengths") int[] blockLengths) {
        Objects.requireNonNull(kind, "An attention mask needs its kind");
        return kind == Kind.CAUSAL ? CAUSAL : new AttentionMask(kind, blockLengths.clone());
    }

    /** {@return what a position sees} */
    public Kind getKind() {
        return kind;
    }

    /** {@return positions of each block, a copy; empty if causal} */
    public int[] getBlockLengths() {
        return blockLengths.clone();
    }

    /** {@return whether it is causal, for sequences of any length} */
    public boolean causal() {
        return kind == Kind.CAUSAL;
    }

    /** {@return positions of all blocks together; -1 if causal} */
    public int positions() {
        return causal() ? -1 : blockEnds.length;
    }

    /**
     * The first position that is seen.
     *
     * @param position that looks
     * @return the first one
     */
    public int from(int position) {
        return kind == Kind.WITHIN_BLOCKS ? blockStarts[position] : 0;
    }

    /**
     * The end of what is seen.
     *
     * @param position that looks
     * @return behind the last one
     */
    public int to(int position) {
        return causal() ? position + 1 : blockEnds[position];
    }

    /**
     * The mask of a sequence of this length.
     *
     * @param length positions, at least 1
     * @return a mask whose first positions are those of the sequence
     * @throws IllegalArgumentException if the blocks make no such sequence
     */
    public AttentionMask over(long length) {
        if (causal() || length == blockEnds.length) {
            return this;
        }
        if (kind == Kind.BLOCK_CAUSAL
                && length > 0
                && length < blockEnds.length
                && blockEnds[(int) length - 1] == length) {
            return this;
        }
        if (kind == Kind.WITHIN_BLOCKS && Arrays.stream(blockLengths).anyMatch(block -> block == length)) {
            return withinBlocks((int) length);
        }
        throw new IllegalArgumentException("Attention in blocks of " + Arrays.toString(blockLengths)
                + " positions takes sequences of all blocks"
                + (kind == Kind.BLOCK_CAUSAL ? ", or of the first of them" : ", or of one of them") + ", got " + length
                + " positions");
    }

    /**
     * Pairs of positions that are multiplied with each other; causal attention counts those that are masked too.
     *
     * @param length positions of the sequence
     * @return pairs
     */
    double pairs(long length) {
        if (causal()) {
            return (double) length * length;
        }
        AttentionMask mask = over(length);
        return IntStream.range(0, (int) length)
                .mapToDouble(position -> mask.to(position) - mask.from(position))
                .sum();
    }

    private Object readResolve() {
        return of(kind, blockLengths);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof AttentionMask
                && ((AttentionMask) other).kind == kind
                && Arrays.equals(((AttentionMask) other).blockLengths, blockLengths);
    }

    @Override
    public int hashCode() {
        return 31 * kind.name().hashCode() + Arrays.hashCode(blockLengths);
    }

    @Override
    public String toString() {
        return kind + (causal() ? "" : " " + Arrays.toString(blockLengths));
    }
}
