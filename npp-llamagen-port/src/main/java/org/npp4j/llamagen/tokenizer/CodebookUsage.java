package org.npp4j.llamagen.tokenizer;

import java.util.Arrays;

/** How often each code of a codebook is chosen. */
public final class CodebookUsage {
    private final long[] counts;

    /**
     * Counts nothing yet.
     *
     * @param vocabulary V
     * @throws IllegalArgumentException if it is below 1
     */
    public CodebookUsage(int vocabulary) {
        if (vocabulary < 1) {
            throw new IllegalArgumentException("A codebook has at least one code, got " + vocabulary);
        }
        counts = new long[vocabulary];
    }

    /**
     * Counts ids.
     *
     * @param ids each from 0 to V - 1
     */
    public void add(int... ids) {
        for (int id : ids) {
            counts[id]++;
        }
    }

    /**
     * Counts the ids of images.
     *
     * @param ids [B][N]
     */
    public void add(int[][] ids) {
        for (int[] image : ids) {
            add(image);
        }
    }

    /** {@return how many ids were counted} */
    public long total() {
        return Arrays.stream(counts).sum();
    }

    /** {@return the share of codes that were chosen at least once, 0 to 1} */
    public double used() {
        return (double) Arrays.stream(counts).filter(count -> count > 0).count() / counts.length;
    }

    /**
     * e to the entropy of the choices: as many codes, chosen equally often, would be as hard to predict.
     *
     * @return 1 to V; 0 if nothing was counted
     */
    public double perplexity() {
        double total = total();
        double entropy = 0;
        for (long count : counts) {
            if (count > 0) {
                entropy -= count / total * Math.log(count / total);
            }
        }
        return total == 0 ? 0 : Math.exp(entropy);
    }
}
