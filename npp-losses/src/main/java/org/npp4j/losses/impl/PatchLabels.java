package org.npp4j.losses.impl;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.TokenGrid;

/**
 * Reads the labels and masks that a network is fed with: token ids [B, N], which of them count, and the patches that
 * they make. Everything that can be wrong with them is refused here.
 */
final class PatchLabels {
    /** The id of a token that does not count. Its label is not looked at. */
    static final int MASKED = -1;

    private final int batch;
    private final int tokens;
    private final int positions;
    private final int patchSide;
    private final int[] patchOfToken;
    private final int[] ids;

    /**
     * Token ids and the patches they make.
     *
     * @param labels ids [B, N] or [B, 1, N], or one-hot [B, V, N] or [B, N, V]
     * @param mask null, or 0/1 of shape [B, N] (tokens), [B, K] or [R, 1] (positions)
     * @param grid the token grid, or null for patches of consecutive tokens
     * @param rows R, rows of the logits
     * @param vocabulary V, columns of the logits
     * @param order order of the rows
     */
    PatchLabels(INDArray labels, INDArray mask, TokenGrid grid, long rows, long vocabulary, RowOrder order) {
        if (labels == null) {
            throw new IllegalArgumentException("Labels are missing: give token ids as [batch, tokens]");
        }
        INDArray tokenIds = asIds(labels, grid, vocabulary);
        batch = Math.toIntExact(tokenIds.size(0));
        tokens = Math.toIntExact(tokenIds.size(1));
        positions = positions(rows, labels);
        if (grid == null) {
            if (tokens % positions != 0) {
                throw new IllegalArgumentException("The logits have " + positions
                        + " positions an example, which do not divide the " + tokens + " tokens of the labels "
                        + shape(labels) + ". Check the label length and the patch side of PatchAverage");
            }
            patchSide = tokens / positions;
            patchOfToken = TokenGrid.sequence(tokens).patchOfToken(patchSide);
        } else {
            if (grid.tokens() != tokens) {
                throw new IllegalArgumentException("The labels " + shape(labels) + " hold " + tokens
                        + " tokens an example, but the " + grid + " has " + grid.tokens()
                        + ". Make height x width of the grid equal to the label length");
            }
            patchSide = grid.patchSideFor(positions);
            patchOfToken = grid.patchOfToken(patchSide);
        }
        ids = read(tokenIds, vocabulary, counted(mask, labels, rows, order), labels);
    }

    int batch() {
        return batch;
    }

    int tokens() {
        return tokens;
    }

    int positions() {
        return positions;
    }

    int patchSide() {
        return patchSide;
    }

    /** The patch of token n of any example. */
    int patch(int token) {
        return patchOfToken[token];
    }

    /** The id of token n of example s, or {@link #MASKED}. */
    int id(int example, int token) {
        return ids[example * tokens + token];
    }

    /** Any of the accepted shapes as [B, N]: ids, or for one-hot labels [B, V, N] or [B, N, V] the array itself. */
    private static INDArray asIds(INDArray labels, TokenGrid grid, long vocabulary) {
        if (labels.isEmpty() || labels.length() == 0) {
            throw new IllegalArgumentException(
                    "The batch is empty: labels of shape " + shape(labels) + ". Give at least one example");
        }
        if (labels.rank() == 2) {
            return labels;
        }
        if (labels.rank() != 3) {
            throw new IllegalArgumentException("Labels of rank " + labels.rank() + " " + shape(labels)
                    + ": give token ids as [batch, tokens] or [batch, 1, tokens], or one-hot labels as [batch, "
                    + vocabulary + ", tokens]");
        }
        long b = labels.size(0);
        if (labels.size(1) == 1) {
            return labels.reshape(b, labels.size(2));
        }
        boolean channelsFirst = labels.size(1) == vocabulary;
        if (channelsFirst || labels.size(2) == vocabulary) {
            return idsOfOneHot(labels, channelsFirst ? 1 : 2);
        }
        throw new IllegalArgumentException("Labels of shape " + shape(labels)
                + " are neither token ids nor one-hot for a vocabulary of " + vocabulary
                + ": give [batch, tokens], [batch, 1, tokens] or [batch, " + vocabulary + ", tokens]"
                + (grid == null ? "" : " with " + grid.tokens() + " tokens"));
    }

    /** [B, V, N] or [B, N, V] to [B, N]; NaN where a token's vector is not one-hot. */
    private static INDArray idsOfOneHot(INDArray labels, int vocabularyAxis) {
        INDArray oneHot = labels.dataType().isFPType() ? labels : labels.castTo(DataType.FLOAT);
        // Largest entry 1 and sum of magnitudes 1: nothing else is left for the other entries.
        double[] largest = vector(oneHot.max(vocabularyAxis));
        double[] sum = vector(oneHot.norm1(vocabularyAxis));
        double[] ids = vector(oneHot.argMax(vocabularyAxis));
        for (int i = 0; i < ids.length; i++) {
            if (largest[i] != 1 || sum[i] != 1) {
                ids[i] = NOT_ONE_HOT;
            }
        }
        long n = labels.length() / labels.size(0) / labels.size(vocabularyAxis);
        return Nd4j.createFromArray(ids).reshape('c', labels.size(0), n);
    }

    /** Stands for a vector that is not one-hot until it is known whether its token counts. */
    private static final double NOT_ONE_HOT = Double.NEGATIVE_INFINITY;

    private int positions(long rows, INDArray labels) {
        if (rows < 1 || rows % batch != 0) {
            throw new IllegalArgumentException("The logits have " + rows + " rows, which is no multiple of the "
                    + batch + " examples of the labels " + shape(labels)
                    + ". Logits need one row for each patch of each example");
        }
        return Math.toIntExact(rows / batch);
    }

    /** For every token of every example whether it counts, or null if all do. */
    private boolean[] counted(INDArray mask, INDArray labels, long rows, RowOrder order) {
        if (mask == null) {
            return null;
        }
        boolean matrix = mask.rank() == 2;
        boolean byToken = matrix && mask.size(0) == batch && mask.size(1) == tokens;
        boolean byPosition = matrix && mask.size(0) == batch && mask.size(1) == positions;
        boolean byRow = matrix && mask.size(0) == rows && mask.size(1) == 1;
        if (!byToken && !byPosition && !byRow) {
            throw new IllegalArgumentException("A mask of shape " + shape(mask) + " does not fit the labels "
                    + shape(labels) + ": give [" + batch + ", " + tokens + "] (tokens) or [" + batch + ", " + positions
                    + "] or [" + rows + ", 1] (positions)");
        }
        double[] values = vector(mask);
        for (double value : values) {
            if (value != 0 && value != 1) {
                throw new IllegalArgumentException("A mask holds 0 (does not count) or 1 (counts), got " + value
                        + " in a mask of shape " + shape(mask));
            }
        }
        boolean[] counted = new boolean[batch * tokens];
        for (int s = 0; s < batch; s++) {
            for (int n = 0; n < tokens; n++) {
                int at = byToken
                        ? s * tokens + n
                        : byPosition
                                ? s * positions + patchOfToken[n]
                                : order.row(s, patchOfToken[n], batch, positions);
                counted[s * tokens + n] = values[at] == 1;
            }
        }
        return counted;
    }

    private int[] read(INDArray tokenIds, long vocabulary, boolean[] counted, INDArray labels) {
        double[] values = vector(tokenIds);
        int[] read = new int[values.length];
        for (int i = 0; i < values.length; i++) {
            if (counted != null && !counted[i]) {
                read[i] = MASKED;
                continue;
            }
            double id = values[i];
            if (!(id >= 0 && id < vocabulary && id == Math.rint(id))) {
                throw new IllegalArgumentException(badId(id, i, vocabulary, labels));
            }
            read[i] = (int) id;
        }
        return read;
    }

    private String badId(double id, int index, long vocabulary, INDArray labels) {
        String where =
                " of example " + index / tokens + " at token " + index % tokens + " of the labels " + shape(labels);
        if (id == NOT_ONE_HOT) {
            return "The vector" + where
                    + " is not one-hot. Give one 1 and otherwise 0, or token ids as [batch, tokens]";
        }
        if (Double.isNaN(id)) {
            return "The token id" + where + " is NaN. Look for the fault in the data, or mask the token";
        }
        if (id != Math.rint(id)) {
            return "The token id " + id + where + " is not an integer. Labels are token ids";
        }
        return "The token id " + (Math.abs(id) < 1e15 ? Long.toString((long) id) : Double.toString(id)) + where
                + " is outside the vocabulary [0, " + vocabulary
                + "). Compare the size of the tokenizer's codebook with nOut, or mask the token";
    }

    /** Any array in row order. In one go: ND4J's toDoubleVector takes 0.1 ms for a thousand numbers. */
    private static double[] vector(INDArray array) {
        double[] values = new double[Math.toIntExact(array.length())];
        array.castTo(DataType.DOUBLE).dup('c').data().asNioDouble().get(values);
        return values;
    }

    private static String shape(INDArray array) {
        return Arrays.toString(array.shape());
    }
}
