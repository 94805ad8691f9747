package org.npp4j.losses.impl;

import java.util.Arrays;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.ops.DynamicCustomOp;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Kernels;
import org.npp4j.layers.kernel.TransformerKernel;

/**
 * What every row of the logits is scored against, and the arithmetic of the patch cross-entropy: its only home.
 *
 * <p>Row r stands for one patch of one example. It holds c<sub>r</sub> tokens that count, and id v occurs
 * m<sub>rv</sub> times among them. With z the logits [R, V] and C the sum of all c<sub>r</sub>,
 *
 * <pre>
 * loss          = 1/C sum_r sum_v m_rv (logsumexp(z_r) - z_rv)                    nats per token
 * dloss/dz_r    = 1/C (c_r softmax(z_r) - m_r)
 * </pre>
 *
 * <p>Targets are sparse: each row lists its distinct ids with their multiplicities, so that no array of the size R x V x
 * (tokens per patch) exists, and no two updates of a scatter meet in one element (the result does not depend on the
 * order of threads). logsumexp is taken as z_a - log(softmax(z_r)_a) at the row's largest logit a, where the softmax is
 * at least 1/V: no overflow and no underflow however far the logits are apart.
 */
public final class PatchTargets {
    /** Elements of a block of rows when the logits must survive: small enough for a processor's cache. */
    private static final long BLOCK = 1 << 20;

    private final RowOrder order;
    private final int batch;
    private final int positions;
    private final int patchSide;
    private final int tokensPerPatch;
    private final long vocabulary;
    private final int[] countedOfRow;
    private final long counted;
    private final boolean even;
    /** The targets of row r are those from firstOfRow[r] up to firstOfRow[r + 1]. */
    private final int[] firstOfRow;

    private final int[] idOfTarget;
    private final int[] countOfTarget;

    /**
     * The targets of a minibatch.
     *
     * @param labels token ids [B, N] or [B, 1, N] of any numeric type, or one-hot [B, V, N], or [B, N, V] when it can
     *     only be that
     * @param mask null, or 0/1: one value a token [B, N], or one a position [B, K], or [R, 1] in the order of the rows
     * @param grid the token grid, or null if a patch is a run of consecutive tokens
     * @param rows R = B x K, rows of the logits; says how large the patches are
     * @param vocabulary V, columns of the logits
     * @param order order of the rows
     * @throws IllegalArgumentException if labels, mask, grid and rows do not fit together, or a counted label is no id
     *     in [0, V); the message says which
     */
    public PatchTargets(INDArray labels, INDArray mask, TokenGrid grid, long rows, long vocabulary, RowOrder order) {
        PatchLabels tokens = new PatchLabels(labels, mask, grid, rows, vocabulary, order);
        this.order = order;
        this.vocabulary = vocabulary;
        batch = tokens.batch();
        positions = tokens.positions();
        patchSide = tokens.patchSide();
        tokensPerPatch = tokens.tokens() / positions;

        // Sort the tokens by row: count, sum up, fill.
        int r = batch * positions;
        countedOfRow = new int[r];
        forEachToken(tokens, (row, id) -> countedOfRow[row]++);
        int[] next = new int[r];
        for (int row = 1; row < r; row++) {
            next[row] = next[row - 1] + countedOfRow[row - 1];
        }
        int total = next[r - 1] + countedOfRow[r - 1];
        int[] sorted = new int[total];
        forEachToken(tokens, (row, id) -> sorted[next[row]++] = id);

        // Merge what occurs more than once in a row.
        firstOfRow = new int[r + 1];
        int[] ids = new int[total];
        int[] counts = new int[total];
        int targets = 0;
        for (int row = 0; row < r; row++) {
            int to = next[row];
            int from = to - countedOfRow[row];
            Arrays.sort(sorted, from, to);
            for (int i = from; i < to; i++) {
                if (i > from && sorted[i] == sorted[i - 1]) {
                    counts[targets - 1]++;
                } else {
                    ids[targets] = sorted[i];
                    counts[targets++] = 1;
                }
            }
            firstOfRow[row + 1] = targets;
        }
        idOfTarget = Arrays.copyOf(ids, targets);
        countOfTarget = Arrays.copyOf(counts, targets);
        counted = total;
        even = total == r * tokensPerPatch;
    }

    private interface TokenVisitor {
        void visit(int row, int id);
    }

    private void forEachToken(PatchLabels tokens, TokenVisitor visitor) {
        for (int s = 0; s < batch; s++) {
            for (int n = 0; n < tokens.tokens(); n++) {
                int id = tokens.id(s, n);
                if (id != PatchLabels.MASKED) {
                    visitor.visit(order.row(s, tokens.patch(n), batch, positions), id);
                }
            }
        }
    }

    /** {@return the number of examples B} */
    public int batch() {
        return batch;
    }

    /** {@return the number of positions of an example, K} */
    public int positions() {
        return positions;
    }

    /** {@return the number of rows, R = B x K} */
    public int rows() {
        return batch * positions;
    }

    /** {@return the patch side p; for sequences the tokens of a patch} */
    public int patchSide() {
        return patchSide;
    }

    /** {@return the number of tokens that count} */
    public long counted() {
        return counted;
    }

    /**
     * Tokens of a row that count.
     *
     * @param row the row
     * @return 0 up to the tokens of a patch
     */
    public int counted(int row) {
        return countedOfRow[row];
    }

    /**
     * How often an id occurs among the counted tokens of a row.
     *
     * @param row the row
     * @param id the token id
     * @return the multiplicity, 0 if it does not occur
     */
    public int count(int row, int id) {
        int at = Arrays.binarySearch(idOfTarget, firstOfRow[row], firstOfRow[row + 1], id);
        return at < 0 ? 0 : countOfTarget[at];
    }

    /**
     * The loss of logits that stay as they are. Copies them block by block.
     *
     * @param logits z [R, V] in any order of elements
     * @return the losses
     */
    public PatchLosses losses(INDArray logits) {
        requireRows(logits);
        double[] nats = new double[idOfTarget.length];
        forEachBlock(logits, (block, from) -> {
            int to = from + (int) block.size(0);
            int first = firstOfRow[from];
            int[] firstInBlock = Arrays.stream(firstOfRow, from, to + 1)
                    .map(target -> target - first)
                    .toArray();
            int[] ids = Arrays.copyOfRange(idOfTarget, first, firstOfRow[to]);
            double[] ofBlock = new double[ids.length];
            kernel(block).crossEntropy(block, firstInBlock, ids, null, null, ofBlock);
            System.arraycopy(ofBlock, 0, nats, first, ofBlock.length);
        });
        return new PatchLosses(this, nats);
    }

    /**
     * The loss of logits that may be lost. Saves the copy that {@link #losses} makes; what the array holds afterwards is
     * of no use.
     *
     * @param logits z [R, V]
     * @return the losses
     */
    public PatchLosses lossesInPlace(INDArray logits) {
        requireRows(logits);
        double[] nats = new double[idOfTarget.length];
        if (counted > 0) {
            kernel(logits).crossEntropy(logits, firstOfRow, idOfTarget, null, null, nats);
        }
        return new PatchLosses(this, nats);
    }

    private static TransformerKernel kernel(INDArray logits) {
        return Kernels.of(logits.dataType());
    }

    /**
     * The loss of predictions that are probabilities already. Those below the smallest normal float count as that: a
     * softmax in float cannot tell them from 0.
     *
     * @param probabilities [R, V]
     * @return the losses
     */
    public PatchLosses lossesOfProbabilities(INDArray probabilities) {
        requireRows(probabilities);
        double[] nats = new double[idOfTarget.length];
        if (counted > 0) {
            double[] probability = gather(probabilities, places(0, rows()));
            Arrays.setAll(nats, i -> -Math.log(Math.max(probability[i], Float.MIN_NORMAL)));
        }
        return new PatchLosses(this, nats);
    }

    /**
     * The ids with the largest predictions of each row, the largest first; of equal ones the smaller id first.
     *
     * @param predictions logits or probabilities [R, V]; they stay as they are
     * @param howMany at least 1; no more than V are given
     * @return ids [R][howMany]
     */
    public int[][] best(INDArray predictions, int howMany) {
        requireRows(predictions);
        int[][] best = new int[rows()][(int) Math.min(howMany, vocabulary)];
        forEachBlock(predictions, (block, from) -> {
            for (int rank = 0; rank < best[from].length; rank++) {
                int[] largest = block.argMax(1).toIntVector();
                for (int row = 0; row < largest.length; row++) {
                    best[from + row][rank] = largest[row];
                }
                INDArray lowest =
                        Nd4j.valueArrayOf(new long[] {largest.length}, Double.NEGATIVE_INFINITY, block.dataType());
                Nd4j.exec(DynamicCustomOp.builder("scatter_nd_update")
                        .addInputs(block, onePlaceARow(largest), lowest)
                        .addOutputs(block)
                        .callInplace(true)
                        .build());
            }
        });
        return best;
    }

    /**
     * The loss, and its gradient in place of the logits up to {@link #gradientScale()}, a factor that a product takes
     * along for nothing: dloss/dz x B = gradientScale x what the array holds afterwards.
     *
     * @param logits z [R, V], overwritten with (c_r softmax(z_r) - m_r) / (tokens per patch)
     * @return the losses
     */
    public PatchLosses replaceByGradient(INDArray logits) {
        requireRows(logits);
        double[] nats = new double[idOfTarget.length];
        if (counted == 0) {
            logits.assign(0);
            return new PatchLosses(this, nats);
        }
        double[] weightOfRow = new double[rows()];
        Arrays.setAll(weightOfRow, row -> (double) countedOfRow[row] / tokensPerPatch);
        double[] weightOfTarget = new double[idOfTarget.length];
        Arrays.setAll(weightOfTarget, i -> (double) countOfTarget[i] / tokensPerPatch);
        kernel(logits).crossEntropy(logits, firstOfRow, idOfTarget, weightOfRow, weightOfTarget, nats);
        return new PatchLosses(this, nats);
    }

    /**
     * The factor that {@link #replaceByGradient} leaves out. It holds the batch size, by which Deeplearning4j's updater
     * divides: without masks it is 1 / K.
     *
     * @return B x (tokens per patch) / C, or 0 if no token counts
     */
    public double gradientScale() {
        return counted == 0 ? 0 : (double) batch * tokensPerPatch / counted;
    }

    int firstTarget(int row) {
        return firstOfRow[row];
    }

    int countOfTarget(int target) {
        return countOfTarget[target];
    }

    int row(int example, int position) {
        return order.row(example, position, batch, positions);
    }

    private interface BlockVisitor {
        void visit(INDArray block, int from);
    }

    /** Visits the rows block by block, as copies in 'c' order that the visitor may write to. */
    private void forEachBlock(INDArray rows, BlockVisitor visitor) {
        int step = (int) Math.max(1, Math.min(rows(), BLOCK / vocabulary));
        // One buffer for all blocks: inside a workspace every new array would stay until the layer is done.
        INDArray buffer = Nd4j.createUninitialized(rows.dataType(), new long[] {step, vocabulary}, 'c');
        for (int from = 0; from < rows(); from += step) {
            int to = Math.min(rows(), from + step);
            INDArray block = buffer.get(NDArrayIndex.interval(0, to - from), NDArrayIndex.all());
            block.assign(rows.get(NDArrayIndex.interval(from, to), NDArrayIndex.all()));
            visitor.visit(block, from);
        }
    }

    /** (row - from, id) for each target of the rows from .. to - 1, [targets, 2], or null if there are none. */
    private INDArray places(int from, int to) {
        int first = firstOfRow[from];
        int targets = firstOfRow[to] - first;
        if (targets == 0) {
            return null;
        }
        int[] places = new int[2 * targets];
        for (int row = from; row < to; row++) {
            for (int i = firstOfRow[row]; i < firstOfRow[row + 1]; i++) {
                places[2 * (i - first)] = row - from;
                places[2 * (i - first) + 1] = idOfTarget[i];
            }
        }
        return Nd4j.createFromArray(places).reshape('c', targets, 2);
    }

    /** (0, column[0]), (1, column[1]), .., [rows, 2]. */
    private static INDArray onePlaceARow(int[] column) {
        int[] places = new int[2 * column.length];
        for (int row = 0; row < column.length; row++) {
            places[2 * row] = row;
            places[2 * row + 1] = column[row];
        }
        return Nd4j.createFromArray(places).reshape('c', column.length, 2);
    }

    private static double[] gather(INDArray z, INDArray places) {
        return Nd4j.exec(
                DynamicCustomOp.builder("gather_nd").addInputs(z, places).build())[0].toDoubleVector();
    }

    private void requireRows(INDArray logits) {
        if (logits.rank() != 2 || logits.size(0) != rows() || logits.size(1) != vocabulary) {
            throw new IllegalArgumentException("Targets were made for logits [" + rows() + ", " + vocabulary + "], got "
                    + Arrays.toString(logits.shape()));
        }
    }
}
