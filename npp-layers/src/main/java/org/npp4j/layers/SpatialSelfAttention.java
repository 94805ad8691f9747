package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.SpatialSelfAttentionImpl;

/**
 * Attention of every pixel to all pixels of its image, with one head, as in image autoencoders: y = x + (softmax(q k^T /
 * sqrt(C)) v) Wo + bo, q = n Wq + bq, k = n Wk + bk, v = n Wv + bv, n = norm(x).
 *
 * <ul>
 *   <li>input and output: [B, Y, X, C], NHWC, images of any size
 *   <li>norm: as {@link GroupNorm}, without swish. {@value #NORM_GAIN}, {@value #NORM_BIAS}: [C]
 *   <li>{@value #QUERY_WEIGHT}, {@value #KEY_WEIGHT}, {@value #VALUE_WEIGHT}, {@value #OUT_WEIGHT}: [C, C] in 'f' order, the
 *       bytes of PyTorch's [out, in, 1, 1]; {@value #QUERY_BIAS}, {@value #KEY_BIAS}, {@value #VALUE_BIAS}, {@value
 *       #OUT_BIAS}: [C]
 * </ul>
 *
 * <p>Time grows with the square of the number of pixels, memory in proportion to it: scores exist for some of the pixels at a
 * time.
 *
 * <p>Source: Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (arXiv 2012.09841).
 */
public class SpatialSelfAttention extends ImageLayer {
    /** Key of the norm's gain. */
    public static final String NORM_GAIN = "normGain";
    /** Key of the norm's bias. */
    public static final String NORM_BIAS = "normBias";
    /** Key of the query weights. */
    public static final String QUERY_WEIGHT = "Wq";
    /** Key of the query bias. */
    public static final String QUERY_BIAS = "bq";
    /** Key of the key weights. */
    public static final String KEY_WEIGHT = "Wk";
    /** Key of the key bias. */
    public static final String KEY_BIAS = "bk";
    /** Key of the value weights. */
    public static final String VALUE_WEIGHT = "Wv";
    /** Key of the value bias. */
    public static final String VALUE_BIAS = "bv";
    /** Key of the output weights. */
    public static final String OUT_WEIGHT = "Wo";
    /** Key of the output bias. */
    public static final String OUT_BIAS = "bo";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int groups;

    @JsonProperty
    private double epsilon;

    private SpatialSelfAttention() {}

    private SpatialSelfAttention(Builder builder) {
        super(builder);
        groups = builder.groups;
        epsilon = builder.epsilon;
        nOut = nIn;
        if (nIn > 0) {
            validate();
        }
        initializeConstraints(builder);
    }

    /** {@return the number of groups of the norm} */
    public int getGroups() {
        return groups;
    }

    /** {@return the number that the norm adds to the variance} */
    public double getEpsilon() {
        return epsilon;
    }

    @Override
    void validate() {
        requireChannels();
        requireGroups(groups, nIn);
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(NORM_GAIN, LayerParameter.Kind.GAIN, nIn),
                new LayerParameter(NORM_BIAS, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(QUERY_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nIn),
                new LayerParameter(QUERY_BIAS, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(KEY_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nIn),
                new LayerParameter(KEY_BIAS, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(VALUE_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nIn),
                new LayerParameter(VALUE_BIAS, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(OUT_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nIn),
                new LayerParameter(OUT_BIAS, LayerParameter.Kind.BIAS, nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new SpatialSelfAttentionImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof SpatialSelfAttention) || !super.equals(other)) {
            return false;
        }
        SpatialSelfAttention attention = (SpatialSelfAttention) other;
        return groups == attention.groups && epsilon == attention.epsilon;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), groups, epsilon);
    }

    /** Builds a {@link SpatialSelfAttention}; the channels come from the input if they are not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int groups;
        private double epsilon = 1e-6;

        /**
         * A layer with epsilon 1e-6.
         *
         * @param groups of the norm, a divisor of the channels
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder(int groups) {
            this.groups = requireGroups(groups);
        }

        /**
         * The number that the norm adds to the variance.
         *
         * @param epsilon above 0
         * @return this
         * @throws IllegalArgumentException if it is not above 0
         */
        public Builder epsilon(double epsilon) {
            this.epsilon = requireEpsilon(epsilon);
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new SpatialSelfAttention(this);
        }
    }
}
