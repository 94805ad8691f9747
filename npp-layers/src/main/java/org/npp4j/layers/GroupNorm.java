package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.GroupNormImpl;

/**
 * Normalisation of each group of neighbouring channels of an image: y = (x - mean) / sqrt(variance + epsilon) * gain + bias,
 * mean and (biased) variance over all pixels and all channels of the group; with {@link Builder#swish}, y sigmoid(y).
 *
 * <ul>
 *   <li>input and output: [B, Y, X, C], NHWC, images of any size
 *   <li>parameters {@value #GAIN}, initially 1, and {@value #BIAS}, initially 0: [C], without weight decay
 * </ul>
 *
 * <p>Source: Wu and He, "Group Normalization" (arXiv 1803.08494).
 */
public class GroupNorm extends ImageLayer {
    /** Key of the gain. */
    public static final String GAIN = "gain";
    /** Key of the bias. */
    public static final String BIAS = "b";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int groups;

    @JsonProperty
    private double epsilon;

    @JsonProperty
    private boolean swish;

    private GroupNorm() {}

    private GroupNorm(Builder builder) {
        super(builder);
        groups = builder.groups;
        epsilon = builder.epsilon;
        swish = builder.swish;
        nOut = nIn;
        if (nIn > 0) {
            validate();
        }
        initializeConstraints(builder);
    }

    /** {@return the number of groups} */
    public int getGroups() {
        return groups;
    }

    /** {@return the number added to the variance} */
    public double getEpsilon() {
        return epsilon;
    }

    /** {@return whether y sigmoid(y) follows} */
    public boolean isSwish() {
        return swish;
    }

    @Override
    void validate() {
        requireChannels();
        requireGroups(groups, nIn);
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(GAIN, LayerParameter.Kind.GAIN, nIn),
                new LayerParameter(BIAS, LayerParameter.Kind.BIAS, nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new GroupNormImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof GroupNorm) || !super.equals(other)) {
            return false;
        }
        GroupNorm norm = (GroupNorm) other;
        return groups == norm.groups && epsilon == norm.epsilon && swish == norm.swish;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), groups, epsilon, swish);
    }

    /** Builds a {@link GroupNorm}; the channels come from the input if they are not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int groups;
        private double epsilon = 1e-6;
        private boolean swish;

        /**
         * A norm with epsilon 1e-6 and without swish.
         *
         * @param groups a divisor of the channels
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder(int groups) {
            this.groups = requireGroups(groups);
        }

        /**
         * The number added to the variance.
         *
         * @param epsilon above 0
         * @return this
         * @throws IllegalArgumentException if it is not above 0
         */
        public Builder epsilon(double epsilon) {
            this.epsilon = requireEpsilon(epsilon);
            return this;
        }

        /**
         * Whether y sigmoid(y) follows, in the same pass.
         *
         * @param swish false by default
         * @return this
         */
        public Builder swish(boolean swish) {
            this.swish = swish;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new GroupNorm(this);
        }
    }
}
