package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.TransformerBlockImpl;

/**
 * A pre-norm Llama block, with causal attention and two-dimensional rotary positions unless it is told otherwise:
 *
 * <p>h = x + drop(attention(rmsnorm(x)) Wo), out = h + drop((silu(n W1) * (n W3)) W2) with n = rmsnorm(h).
 *
 * <ul>
 *   <li>input and output: [B, T, D], NWC. T = C + K - 1: C condition tokens, then all but the last of the K patches of the
 *       grid. The patch side, and with it the rotary table, follows from T. A block without a grid has no rotary positions
 *       and takes any T that its {@link AttentionMask} takes
 *   <li>{@value #QKV_WEIGHT}: [D, (H + 2 G) E], columns query | key | value; E = D / H
 *   <li>{@value #OUT_WEIGHT}: [D, D]
 *   <li>{@value #GATE_WEIGHT}, {@value #UP_WEIGHT}: [D, F]; {@value #DOWN_WEIGHT}: [F, D]
 *   <li>{@value #ATTENTION_GAIN}, {@value #FEED_FORWARD_GAIN}: [D], initially 1, without weight decay
 * </ul>
 *
 * <p>No biases. Weights are [in, out] in 'f' order, the bytes of PyTorch's [out, in].
 *
 * <p>Dropouts are probabilities of dropping and act in training only: {@link Builder#residualDropout} on the output of the
 * attention, {@link Builder#feedForwardDropout} on that of the feed-forward part. Deeplearning4j's own {@code dropOut}
 * (a probability of KEEPING) acts on the block's input; on the first block it is the dropout of the input sequence. {@link
 * Builder#pathDropout} drops a whole branch of an example (stochastic depth).
 *
 * <p>A mask hides condition tokens, such as the padding of a caption, from the attention of all other positions if there are
 * several (C &gt; 1): the first C of its columns, [B, C] or [B, T], count. Put the padding first, because the last condition
 * token predicts the first of the image. Masks pass through unchanged and hide nothing else: mask padded positions behind
 * the condition in the labels, and put them last.
 *
 * <p>Source: Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525).
 */
public class TransformerBlock extends SequenceLayer implements OperationCount {
    /** Key of the query, key and value weights. */
    public static final String QKV_WEIGHT = "Wqkv";
    /** Key of the attention's output weights. */
    public static final String OUT_WEIGHT = "Wo";
    /** Key of the feed-forward weights that go through silu. */
    public static final String GATE_WEIGHT = "W1";
    /** Key of the feed-forward weights that are multiplied by the gate. */
    public static final String UP_WEIGHT = "W3";
    /** Key of the feed-forward output weights. */
    public static final String DOWN_WEIGHT = "W2";
    /** Key of the gain of the norm before the attention. */
    public static final String ATTENTION_GAIN = "attentionGain";
    /** Key of the gain of the norm before the feed-forward part. */
    public static final String FEED_FORWARD_GAIN = "feedForwardGain";

    private static final long serialVersionUID = 1L;

    /** Null for no rotary positions. */
    @JsonProperty
    private TokenGrid grid;

    @JsonProperty
    private AttentionMask mask = AttentionMask.CAUSAL;

    @JsonProperty
    private int conditionTokens;

    @JsonProperty
    private int heads;

    @JsonProperty
    private int keyValueHeads;

    @JsonProperty
    private int feedForwardWidth;

    @JsonProperty
    private double rotaryBase;

    @JsonProperty
    private double epsilon;

    @JsonProperty
    private double residualDropout;

    @JsonProperty
    private double feedForwardDropout;

    @JsonProperty
    private double pathDropout;

    @JsonProperty
    private boolean recompute;

    private TransformerBlock() {}

    private TransformerBlock(Builder builder) {
        super(builder);
        nOut = nIn;
        grid = builder.grid;
        mask = builder.mask;
        conditionTokens = builder.conditionTokens;
        heads = builder.heads;
        keyValueHeads = builder.keyValueHeads == 0 ? builder.heads : builder.keyValueHeads;
        feedForwardWidth = builder.feedForwardWidth;
        rotaryBase = builder.rotaryBase;
        epsilon = builder.epsilon;
        residualDropout = builder.residualDropout;
        feedForwardDropout = builder.feedForwardDropout;
        pathDropout = builder.pathDropout;
        recompute = builder.recompute;
        if (heads < 1 || keyValueHeads < 1 || heads % keyValueHeads != 0) {
            throw new IllegalArgumentException("The key/value heads must divide the heads, got " + heads + " heads and "
                    + keyValueHeads + " key/value heads");
        }
        if (feedForwardWidth < 1) {
            throw new IllegalArgumentException("TransformerBlock needs a feedForwardWidth of at least 1, got "
                    + feedForwardWidth + "; LlamaGen takes 8/3 of the width, rounded up to a multiple of 256");
        }
        if (nIn > 0) {
            validate();
        }
        initializeConstraints(builder);
    }

    @Override
    void validate() {
        if (nIn < 1 || nIn % heads != 0 || (nIn / heads) % 4 != 0) {
            throw new IllegalArgumentException(named() + ": the width must be a multiple of 4 x heads (two-dimensional"
                    + " rotary positions turn pairs by row and by column), got width " + nIn + " and " + heads
                    + " heads");
        }
    }

    /** Refuses a length that no patch side gives, where it is known. */
    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        long length = requireSequence(inputType).getTimeSeriesLength();
        if (length > 0) {
            mask.over(length);
            if (grid != null) {
                grid.patchSideFor(length - conditionTokens + 1);
            }
        }
        return super.getOutputType(layerIndex, inputType);
    }

    /** {@return the token grid; null for a block without rotary positions} */
    public TokenGrid getGrid() {
        return grid;
    }

    /** {@return which positions a position sees} */
    public AttentionMask getMask() {
        return mask;
    }

    /** {@return C, the condition tokens before the grid} */
    public int getConditionTokens() {
        return conditionTokens;
    }

    /** {@return H, the heads} */
    public int getHeads() {
        return heads;
    }

    /** {@return G, the key/value heads} */
    public int getKeyValueHeads() {
        return keyValueHeads;
    }

    /** {@return E, the width of a head} */
    public int headWidth() {
        return (int) nIn / heads;
    }

    /** {@return F, the width of the feed-forward part} */
    public int getFeedForwardWidth() {
        return feedForwardWidth;
    }

    /** {@return the base of the rotary frequencies} */
    public double getRotaryBase() {
        return rotaryBase;
    }

    /** {@return the number added to mean squares} */
    public double getEpsilon() {
        return epsilon;
    }

    /** {@return the probability of dropping a unit of the attention's output} */
    public double getResidualDropout() {
        return residualDropout;
    }

    /** {@return the probability of dropping a unit of the feed-forward output} */
    public double getFeedForwardDropout() {
        return feedForwardDropout;
    }

    /** {@return the probability of dropping a branch of an example} */
    public double getPathDropout() {
        return pathDropout;
    }

    /** {@return whether the backward pass computes most of the forward pass again} */
    public boolean isRecompute() {
        return recompute;
    }

    /**
     * 2 T D ((H + 2 G) E + D + 3 F) for the weights and 4 D for each pair of positions in the attention, T T of them if it
     * is causal.
     */
    @Override
    public double forwardOperations(long positions) {
        double weights = parameters().stream()
                .filter(parameter -> parameter.kind() == LayerParameter.Kind.WEIGHT)
                .mapToDouble(LayerParameter::length)
                .sum();
        return 2 * positions * weights + 4 * mask.pairs(positions) * nIn;
    }

    @Override
    List<LayerParameter> parameters() {
        long qkv = (long) (heads + 2 * keyValueHeads) * headWidth();
        return List.of(
                new LayerParameter(QKV_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, qkv),
                new LayerParameter(OUT_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nIn),
                new LayerParameter(GATE_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, feedForwardWidth),
                new LayerParameter(UP_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, feedForwardWidth),
                new LayerParameter(DOWN_WEIGHT, LayerParameter.Kind.WEIGHT, feedForwardWidth, nIn),
                new LayerParameter(ATTENTION_GAIN, LayerParameter.Kind.GAIN, nIn),
                new LayerParameter(FEED_FORWARD_GAIN, LayerParameter.Kind.GAIN, nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new TransformerBlockImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof TransformerBlock) || !super.equals(other)) {
            return false;
        }
        TransformerBlock that = (TransformerBlock) other;
        return Objects.equals(grid, that.grid)
                && mask.equals(that.mask)
                && conditionTokens == that.conditionTokens
                && heads == that.heads
                && keyValueHeads == that.keyValueHeads
                && feedForwardWidth == that.feedForwardWidth
                && rotaryBase == that.rotaryBase
                && epsilon == that.epsilon
                && residualDropout == that.residualDropout
                && feedForwardDropout == that.feedForwardDropout
                && pathDropout == that.pathDropout
                && recompute == that.recompute;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), grid, conditionTokens, heads, keyValueHeads, feedForwardWidth);
    }

    /** Builds a {@link TransformerBlock}; the width comes from the input if it is not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final TokenGrid grid;
        private final int heads;
        private AttentionMask mask = AttentionMask.CAUSAL;
        private int keyValueHeads;
        private int conditionTokens = 1;
        private int feedForwardWidth;
        private double rotaryBase = 10000;
        private double epsilon = 1e-5;
        private double residualDropout;
        private double feedForwardDropout;
        private double pathDropout;
        private boolean recompute;

        /**
         * A block with one condition token, as many key/value heads as heads, and no dropout.
         *
         * @param grid the token grid (at p = 1; patches follow from the length)
         * @param heads H, at least 1
         * @param feedForwardWidth F, at least 1
         */
        public Builder(TokenGrid grid, int heads, int feedForwardWidth) {
            this.grid =
                    Objects.requireNonNull(grid, "TransformerBlock needs a token grid: TokenGrid.of(height, width)");
            this.heads = heads;
            this.feedForwardWidth = feedForwardWidth;
        }

        /**
         * A block without rotary positions, for sequences that carry their positions themselves ({@link LearnedPositions}).
         *
         * @param heads H, at least 1
         * @param feedForwardWidth F, at least 1
         */
        public Builder(int heads, int feedForwardWidth) {
            grid = null;
            this.heads = heads;
            this.feedForwardWidth = feedForwardWidth;
        }

        /**
         * Which positions a position sees.
         *
         * @param mask causal by default
         * @return this
         */
        public Builder mask(AttentionMask mask) {
            this.mask = Objects.requireNonNull(mask, "A block without a mask of its own has AttentionMask.CAUSAL");
            return this;
        }

        /**
         * Grouped queries: fewer key/value heads than heads.
         *
         * @param keyValueHeads G, a divisor of the heads
         * @return this
         */
        public Builder keyValueHeads(int keyValueHeads) {
            if (keyValueHeads < 1) {
                throw new IllegalArgumentException("There must be at least one key/value head, got " + keyValueHeads);
            }
            this.keyValueHeads = keyValueHeads;
            return this;
        }

        /**
         * Positions before the grid.
         *
         * @param conditionTokens C, at least 1
         * @return this
         */
        public Builder conditionTokens(int conditionTokens) {
            if (conditionTokens < 1) {
                throw new IllegalArgumentException(
                        "There must be at least one condition token, got " + conditionTokens);
            }
            this.conditionTokens = conditionTokens;
            return this;
        }

        /**
         * The base of the rotary frequencies.
         *
         * @param rotaryBase above 0
         * @return this
         */
        public Builder rotaryBase(double rotaryBase) {
            if (!(rotaryBase > 0)) {
                throw new IllegalArgumentException(
                        "The base of the rotary frequencies must be above 0, got " + rotaryBase);
            }
            this.rotaryBase = rotaryBase;
            return this;
        }

        /**
         * The number added to mean squares in the norms.
         *
         * @param epsilon above 0
         * @return this
         */
        public Builder epsilon(double epsilon) {
            if (!(epsilon > 0)) {
                throw new IllegalArgumentException("The norms' epsilon must be above 0, got " + epsilon);
            }
            this.epsilon = epsilon;
            return this;
        }

        /**
         * Dropout on the output of the attention.
         *
         * @param probability of dropping, in [0, 1)
         * @return this
         */
        public Builder residualDropout(double probability) {
            residualDropout = requireProbability(probability, "residualDropout");
            return this;
        }

        /**
         * Dropout on the output of the feed-forward part.
         *
         * @param probability of dropping, in [0, 1)
         * @return this
         */
        public Builder feedForwardDropout(double probability) {
            feedForwardDropout = requireProbability(probability, "feedForwardDropout");
            return this;
        }

        /**
         * Stochastic depth: drops a whole branch of an example; branches that stay are divided by the probability of
         * staying.
         *
         * @param probability of dropping, in [0, 1)
         * @return this
         */
        public Builder pathDropout(double probability) {
            pathDropout = requireProbability(probability, "pathDropout");
            return this;
        }

        /**
         * Less memory for more operations (gradient checkpointing): two arrays of the input's size are kept for the backward
         * pass instead of about eleven, and two thirds of the forward pass are computed again. Results are the same.
         *
         * @param recompute whether to
         * @return this
         */
        public Builder recompute(boolean recompute) {
            this.recompute = recompute;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new TransformerBlock(this);
        }
    }
}
