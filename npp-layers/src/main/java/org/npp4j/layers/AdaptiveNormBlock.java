package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.AdaptiveNormBlockImpl;

/**
 * A transformer block whose norms and branches a condition of the whole sequence modulates (adaLN-Zero). The condition c is
 * the first position of the sequence and passes through unchanged; every token sees every token. With norm(x) = (x - mean) /
 * sqrt(variance + 1e-6) and [s1 | k1 | g1 | s2 | k2 | g2] = silu(c) Wmod + bmod,
 *
 * <p>h = x + g1 * (attention((norm(x) (1 + k1) + s1) Wqkv + bqkv) Wo + bo), out = h + g2 * (gelu((norm(h) (1 + k2) + s2) W1 +
 * b1) W2 + b2), gelu in the form with tanh.
 *
 * <ul>
 *   <li>input and output: [B, 1 + T, D], NWC: the condition, then T tokens
 *   <li>{@value #QKV_WEIGHT} [D, 3 D], columns query | key | value; {@value #OUT_WEIGHT} [D, D]; {@value #UP_WEIGHT} [D, F];
 *       {@value #DOWN_WEIGHT} [F, D]; {@value #MODULATION_WEIGHT} [D, 6 D], initially 0; and their biases
 * </ul>
 *
 * <p>A new block changes nothing. Source: Peebles and Xie, "Scalable Diffusion Models with Transformers" (arXiv 2212.09748).
 */
public class AdaptiveNormBlock extends SequenceLayer implements OperationCount {
    /** Key of the query, key and value weights. */
    public static final String QKV_WEIGHT = "Wqkv";
    /** Key of their bias. */
    public static final String QKV_BIAS = "bqkv";
    /** Key of the attention's output weights. */
    public static final String OUT_WEIGHT = "Wo";
    /** Key of their bias. */
    public static final String OUT_BIAS = "bo";
    /** Key of the weights into the feed-forward part. */
    public static final String UP_WEIGHT = "W1";
    /** Key of their bias. */
    public static final String UP_BIAS = "b1";
    /** Key of the weights out of the feed-forward part. */
    public static final String DOWN_WEIGHT = "W2";
    /** Key of their bias. */
    public static final String DOWN_BIAS = "b2";
    /** Key of the modulation's weights. */
    public static final String MODULATION_WEIGHT = "Wmod";
    /** Key of the modulation's bias. */
    public static final String MODULATION_BIAS = "bmod";

    private static final long serialVersionUID = 1L;
    private static final int MODULATIONS = 6;

    @JsonProperty
    private int heads;

    @JsonProperty
    private int feedForwardWidth;

    private AdaptiveNormBlock() {}

    private AdaptiveNormBlock(Builder builder) {
        super(builder);
        nOut = nIn;
        heads = builder.heads;
        feedForwardWidth = builder.feedForwardWidth;
        if (heads < 1 || feedForwardWidth < 1) {
            throw new IllegalArgumentException("AdaptiveNormBlock needs at least one head and a feedForwardWidth of at"
                    + " least 1, got " + heads + " heads and " + feedForwardWidth);
        }
        if (nIn > 0) {
            validate();
        }
        initializeConstraints(builder);
    }

    @Override
    void validate() {
        if (nIn < 1 || nIn % (4L * heads) != 0) {
            throw new IllegalArgumentException(named() + ": the width must be a multiple of 4 x heads, got width " + nIn
                    + " and " + heads + " heads");
        }
    }

    /** {@return H, the heads} */
    public int getHeads() {
        return heads;
    }

    /** {@return F, the width of the feed-forward part} */
    public int getFeedForwardWidth() {
        return feedForwardWidth;
    }

    /**
     * 2 T D (4 D + 2 F) + 4 T T D for T tokens, and 12 D D for the modulations.
     *
     * @param positions 1 + T
     */
    @Override
    public double forwardOperations(long positions) {
        double tokens = positions - 1;
        return 2 * tokens * nIn * (4 * nIn + 2.0 * feedForwardWidth)
                + 4 * tokens * tokens * nIn
                + 2.0 * MODULATIONS * nIn * nIn;
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(QKV_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, 3 * nIn),
                new LayerParameter(QKV_BIAS, LayerParameter.Kind.BIAS, 3 * nIn),
                new LayerParameter(OUT_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nIn),
                new LayerParameter(OUT_BIAS, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(UP_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, feedForwardWidth),
                new LayerParameter(UP_BIAS, LayerParameter.Kind.BIAS, feedForwardWidth),
                new LayerParameter(DOWN_WEIGHT, LayerParameter.Kind.WEIGHT, feedForwardWidth, nIn),
                new LayerParameter(DOWN_BIAS, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(MODULATION_WEIGHT, LayerParameter.Kind.ZERO_WEIGHT, nIn, MODULATIONS * nIn),
                new LayerParameter(MODULATION_BIAS, LayerParameter.Kind.BIAS, MODULATIONS * nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new AdaptiveNormBlockImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof AdaptiveNormBlock
                && super.equals(other)
                && heads == ((AdaptiveNormBlock) other).heads
                && feedForwardWidth == ((AdaptiveNormBlock) other).feedForwardWidth;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), heads, feedForwardWidth);
    }

    /** Builds an {@link AdaptiveNormBlock}; the width comes from the input if it is not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int heads;
        private final int feedForwardWidth;

        /**
         * A block.
         *
         * @param heads H, at least 1; the width is a multiple of 4 H
         * @param feedForwardWidth F, at least 1
         */
        public Builder(int heads, int feedForwardWidth) {
            this.heads = heads;
            this.feedForwardWidth = feedForwardWidth;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new AdaptiveNormBlock(this);
        }
    }
}
