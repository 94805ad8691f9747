package org.npp4j.layers;

import java.util.Arrays;
import java.util.Objects;
import org.deeplearning4j.nn.api.MaskState;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.api.shape.Shape;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * Averages each patch of neighbouring token embeddings into one: the first half of Next Patch Prediction.
 *
 * <p>out[b, k, :] = mean over the tokens n of patch k of in[b, n, :]. Patches are those of a {@link TokenGrid}.
 *
 * <ul>
 *   <li>input: [B, N, D] (NWC) or [B, D, N] (NCW), N = tokens of the grid
 *   <li>output: [B, K, D] or [B, D, K], K = N / (p x p), or N / p for a one-dimensional sequence
 *   <li>mask: [B, N] to [B, K]; a patch counts if any of its tokens does. Masked tokens take part in the average: give
 *       them an embedding that is zero if they must not
 * </ul>
 *
 * <p>With p = 1 the input passes unchanged. p may change while the network lives (see {@code StageScheduler}): the
 * network uses this very object, so {@link #setPatchSide} takes effect in the next iteration. The output type has no
 * fixed length, so that one configuration serves every stage. p is saved with the network.
 *
 * <p>Attach it to a layer of a ComputationGraph or MultiLayerNetwork as its preprocessor, or use it in a
 * PreprocessorVertex.
 *
 * <p>Source: Pang et al., "Next Patch Prediction for Autoregressive Visual Generation" (arXiv 2412.15321), section 3.
 */
public class PatchAverage implements InputPreProcessor {
    private static final long serialVersionUID = 1L;

    private final TokenGrid grid;
    private volatile int patchSide;
    private RNNFormat format;

    /**
     * The data format is that of the network's input types, NCW if it has none.
     *
     * @param grid the token grid
     * @param patchSide p, which must divide the grid
     * @throws IllegalArgumentException if p does not divide the grid
     */
    public PatchAverage(TokenGrid grid, int patchSide) {
        this(grid, patchSide, null);
    }

    /**
     * A preprocessor with a fixed data format.
     *
     * @param grid the token grid
     * @param patchSide p, which must divide the grid
     * @param format order of the axes, or null for that of the network's input types
     * @throws IllegalArgumentException if p does not divide the grid
     */
    @JsonCreator
    public PatchAverage(
            @JsonProperty("grid") TokenGrid grid,
            @JsonProperty("patchSide") int patchSide,
            @JsonProperty("format") RNNFormat format) {
        this.grid = Objects.requireNonNull(grid, "PatchAverage needs a token grid: TokenGrid.of(height, width)");
        this.format = format;
        setPatchSide(patchSide);
    }

    /** {@return the token grid} */
    public TokenGrid getGrid() {
        return grid;
    }

    /** {@return the patch side p} */
    public int getPatchSide() {
        return patchSide;
    }

    /**
     * Changes p from the next iteration on. Not to be called between the forward and the loss of one iteration.
     *
     * @param patchSide p
     * @throws IllegalArgumentException if p does not divide the grid
     */
    public final void setPatchSide(int patchSide) {
        this.patchSide = grid.requireDividedBy(patchSide);
    }

    /** {@return the order of the axes} */
    public RNNFormat getFormat() {
        return format;
    }

    private boolean channelsLast() {
        return format == RNNFormat.NWC;
    }

    @Override
    public INDArray preProcess(INDArray input, int miniBatchSize, LayerWorkspaceMgr workspaceMgr) {
        requireTokens(input);
        int p = patchSide;
        if (p == 1) {
            return workspaceMgr.leverageTo(ArrayType.ACTIVATIONS, input);
        }
        INDArray tokens = contiguous(input);
        long patches = grid.tokens() / grid.tokensPerPatch(p);
        long[] shape = input.shape().clone();
        shape[positionAxis()] = patches;
        INDArray patchesOut = workspaceMgr.createUninitialized(ArrayType.ACTIVATIONS, input.dataType(), shape, 'c');
        // [.., N, ..] as [outer, patch rows, p, patch columns, p, inner]: the two p axes are averaged
        tokens.reshape('c', tiles(shape, p)).mean(patchesOut.reshape('c', tileMeans(shape, p)), 2, 4);
        return patchesOut;
    }

    @Override
    public INDArray backprop(INDArray epsilon, int miniBatchSize, LayerWorkspaceMgr workspaceMgr) {
        if (epsilon == null) {
            return null;
        }
        // The length says which p the forward pass ran with, whatever has been set since.
        int p = grid.patchSideFor(epsilon.size(positionAxis()));
        if (p == 1) {
            return workspaceMgr.leverageTo(ArrayType.ACTIVATION_GRAD, epsilon);
        }
        long[] shape = epsilon.shape().clone();
        INDArray share = contiguous(epsilon).div(grid.tokensPerPatch(p)).reshape('c', tileMeans(shape, p));
        shape[positionAxis()] = grid.tokens();
        INDArray tokens = workspaceMgr.createUninitialized(ArrayType.ACTIVATION_GRAD, epsilon.dataType(), shape, 'c');
        INDArray tiles = tokens.reshape('c', tiles(shape, p));
        INDArrayIndex all = NDArrayIndex.all();
        for (int y = 0; y < grid.patchRows(p); y++) {
            for (int x = 0; x < p; x++) {
                tiles.get(all, all, NDArrayIndex.point(y), all, NDArrayIndex.point(x), all)
                        .assign(share);
            }
        }
        return tokens;
    }

    /** [outer, patch rows, p, patch columns, p, inner], where outer x inner is B x D in either format. */
    private long[] tiles(long[] shape, int p) {
        TokenGrid patches = grid.ofPatches(p);
        return new long[] {outer(shape), patches.getHeight(), grid.patchRows(p), patches.getWidth(), p, inner(shape)};
    }

    private long[] tileMeans(long[] shape, int p) {
        TokenGrid patches = grid.ofPatches(p);
        return new long[] {outer(shape), patches.getHeight(), patches.getWidth(), inner(shape)};
    }

    private long outer(long[] shape) {
        return channelsLast() ? shape[0] : shape[0] * shape[1];
    }

    private long inner(long[] shape) {
        return channelsLast() ? shape[2] : 1;
    }

    private int positionAxis() {
        return channelsLast() ? 1 : 2;
    }

    private static INDArray contiguous(INDArray array) {
        return array.ordering() == 'c' && Shape.hasDefaultStridesForShape(array) ? array : array.dup('c');
    }

    private void requireTokens(INDArray input) {
        if (input.rank() != 3 || input.size(positionAxis()) != grid.tokens()) {
            throw new IllegalArgumentException("PatchAverage expects the embeddings of a " + grid + " as "
                    + (channelsLast()
                            ? "[batch, " + grid.tokens() + ", width]"
                            : "[batch, width, " + grid.tokens() + "]")
                    + ", got " + Arrays.toString(input.shape())
                    + ". Check the grid and the data format (NWC or NCW) of the layer before it");
        }
    }

    @Override
    public InputType getOutputType(InputType inputType) {
        if (!(inputType instanceof InputType.InputTypeRecurrent)) {
            throw new IllegalArgumentException("PatchAverage needs a sequence of embeddings (InputType.recurrent), got "
                    + inputType + ". Put it behind an embedding or recurrent layer");
        }
        InputType.InputTypeRecurrent sequence = (InputType.InputTypeRecurrent) inputType;
        long length = sequence.getTimeSeriesLength();
        if (length > 0 && length != grid.tokens()) {
            throw new IllegalArgumentException(
                    "PatchAverage is set up for a " + grid + ", but the layer before it gives " + length
                            + " positions. Make the grid's height x width equal to the sequence length; behind an"
                            + " EmbeddingSequenceLayer set inputLength(" + grid.tokens() + ")");
        }
        if (format == null) {
            format = sequence.getFormat();
        }
        if (format != sequence.getFormat()) {
            throw new IllegalArgumentException("PatchAverage is set up for " + format
                    + ", but the layer before it gives " + sequence.getFormat()
                    + ". Leave the format out or make them equal");
        }
        // -1: the length depends on the stage
        return InputType.recurrent(sequence.getSize(), -1, sequence.getFormat());
    }

    @Override
    public Pair<INDArray, MaskState> feedForwardMaskArray(
            INDArray maskArray, MaskState currentMaskState, int minibatchSize) {
        int p = patchSide;
        if (maskArray == null || p == 1) {
            return new Pair<>(maskArray, currentMaskState);
        }
        if (maskArray.rank() != 2 || maskArray.size(1) != grid.tokens()) {
            throw new IllegalArgumentException("PatchAverage expects one mask value for each token: [batch, "
                    + grid.tokens() + "], got " + Arrays.toString(maskArray.shape()));
        }
        TokenGrid patches = grid.ofPatches(p);
        long batch = maskArray.size(0);
        INDArray tiles =
                maskArray.dup('c').reshape('c', batch, patches.getHeight(), grid.patchRows(p), patches.getWidth(), p);
        return new Pair<>(tiles.max(2, 4).reshape('c', batch, patches.tokens()), currentMaskState);
    }

    @Override
    public PatchAverage clone() {
        return new PatchAverage(grid, patchSide, format);
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof PatchAverage)) {
            return false;
        }
        PatchAverage that = (PatchAverage) other;
        return patchSide == that.patchSide && grid.equals(that.grid) && format == that.format;
    }

    /** Without p, which may change while the object lives in a hash table. */
    @Override
    public int hashCode() {
        return grid.hashCode();
    }

    @Override
    public String toString() {
        return "PatchAverage(patchSide=" + patchSide + ", " + grid + ", format=" + format + ")";
    }
}
