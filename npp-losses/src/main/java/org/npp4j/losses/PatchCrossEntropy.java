package org.npp4j.losses;

import java.util.Arrays;
import java.util.Objects;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.activations.IActivation;
import org.nd4j.linalg.activations.impl.ActivationIdentity;
import org.nd4j.linalg.activations.impl.ActivationSoftmax;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.lossfunctions.ILossFunction;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.TokenGrid;
import org.npp4j.losses.impl.PatchLosses;
import org.npp4j.losses.impl.PatchTargets;
import org.npp4j.losses.impl.RowOrder;

/**
 * Cross-entropy of one logit vector against every token of a patch: the second half of Next Patch Prediction, for a stock
 * {@code OutputLayer}.
 *
 * <p>loss = mean over all tokens that count of logsumexp(z) - z[token], in nats per token, where z is the logit vector of
 * the token's patch. Its gradient is (softmax(z) - counts / (tokens per patch)) / (B x K). With one token per patch it is
 * the ordinary cross-entropy. The softmax is part of the loss: the activation is IDENTITY or SOFTMAX, with the same
 * result.
 *
 * <ul>
 *   <li>labels: token ids [B, N] or [B, 1, N] of any numeric type, or one-hot [B, V, N] (also [B, N, V] when it can only
 *       be that). They are the same at every patch side: p follows from the shapes
 *   <li>logits: [B x K, V], rows time-major (row = t x B + s), as {@code RnnToFeedForwardPreProcessor} makes them
 *   <li>mask: 0/1 for each token [B, N], or for each position [B, K] or [B x K, 1]. The loss is the mean over the
 *       tokens that count; labels of the others are not looked at. If none counts, loss and gradient are 0. A stock
 *       {@code OutputLayer} itself refuses masks other than [B x K, 1]; {@link PatchOutputLayer} takes all of them
 * </ul>
 *
 * <p>Scaling: {@code OutputLayer} divides the sum by the B x K rows and the updater divides gradients by B, so
 * {@link #computeScore} with average = false gives B x K times the mean and {@link #computeGradient} B times the gradient
 * of the mean; {@code net.score()} and the update are those of the mean.
 *
 * <p>Memory: one copy of the logits for the gradient, and blocks of rows for the score. Nothing grows with the tokens per
 * patch. {@link PatchOutputLayer} needs neither the copy nor a second product for the score.
 *
 * <p>Source: Pang et al., "Next Patch Prediction for Autoregressive Visual Generation" (arXiv 2412.15321), section 3.
 */
public class PatchCrossEntropy implements ILossFunction {
    private static final long serialVersionUID = 1L;

    private final TokenGrid grid;

    /** Patches are runs of consecutive tokens, as in text. */
    public PatchCrossEntropy() {
        this(null);
    }

    /**
     * Patches are those of a grid. A 2-D grid groups tokens otherwise than a sequence of the same length does.
     *
     * @param grid the token grid, or null for runs of consecutive tokens
     */
    @JsonCreator
    public PatchCrossEntropy(@JsonProperty("grid") TokenGrid grid) {
        this.grid = grid;
    }

    /** {@return the token grid, or null for runs of consecutive tokens} */
    public TokenGrid getGrid() {
        return grid;
    }

    @Override
    public double computeScore(
            INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask, boolean average) {
        PatchLosses losses = targets(labels, preOutput, activationFn, mask).losses(preOutput);
        return average ? losses.mean() : preOutput.size(0) * losses.mean();
    }

    /** The mean over the counted tokens of each row, [B x K, 1], rows as in the logits. */
    @Override
    public INDArray computeScoreArray(INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask) {
        double[] rows =
                targets(labels, preOutput, activationFn, mask).losses(preOutput).ofRows();
        return Nd4j.createFromArray(rows).castTo(preOutput.dataType()).reshape(rows.length, 1);
    }

    @Override
    public INDArray computeGradient(INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask) {
        return gradient(targets(labels, preOutput, activationFn, mask), preOutput)
                .getSecond();
    }

    @Override
    public Pair<Double, INDArray> computeGradientAndScore(
            INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask, boolean average) {
        Pair<PatchLosses, INDArray> both = gradient(targets(labels, preOutput, activationFn, mask), preOutput);
        double mean = both.getFirst().mean();
        return new Pair<>(average ? mean : preOutput.size(0) * mean, both.getSecond());
    }

    private static Pair<PatchLosses, INDArray> gradient(PatchTargets targets, INDArray preOutput) {
        // The caller's logits stay: OutputLayer may look at them again.
        INDArray gradient = preOutput.dup('c');
        PatchLosses losses = targets.replaceByGradient(gradient);
        return new Pair<>(losses, gradient.muli(targets.gradientScale()));
    }

    private PatchTargets targets(INDArray labels, INDArray preOutput, IActivation activationFn, INDArray mask) {
        requireSoftmaxOrIdentity(activationFn);
        if (preOutput.rank() != 2) {
            throw new IllegalArgumentException("PatchCrossEntropy expects logits [batch x positions, vocabulary], got "
                    + Arrays.toString(preOutput.shape())
                    + ". Use it with OutputLayer behind RnnToFeedForwardPreProcessor, or use PatchOutputLayer");
        }
        return new PatchTargets(labels, mask, grid, preOutput.size(0), preOutput.size(1), RowOrder.TIME_MAJOR);
    }

    /** Refuses an activation that would stand between the logits and the softmax in the loss. */
    static void requireSoftmaxOrIdentity(IActivation activation) {
        if (!(activation instanceof ActivationIdentity || activation instanceof ActivationSoftmax)) {
            throw new IllegalArgumentException("The patch cross-entropy holds the softmax, so the activation must be"
                    + " IDENTITY (the layer gives logits) or SOFTMAX (the layer gives probabilities), got " + activation
                    + ". Set .activation(Activation.IDENTITY)");
        }
    }

    @Override
    public String name() {
        return toString();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PatchCrossEntropy && Objects.equals(grid, ((PatchCrossEntropy) other).grid);
    }

    @Override
    public int hashCode() {
        return Objects.hashCode(grid);
    }

    @Override
    public String toString() {
        return "PatchCrossEntropy(" + (grid == null ? "consecutive tokens" : grid) + ")";
    }
}
