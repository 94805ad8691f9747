package org.npp4j.layers;

import java.util.List;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.RmsNormImpl;

/**
 * Root-mean-square normalisation of every position: y = x / sqrt(mean(x^2) + epsilon) * gain.
 *
 * <ul>
 *   <li>input and output: [B, T, D], NWC
 *   <li>parameter {@value #GAIN}: [D], initially 1, without weight decay
 * </ul>
 *
 * <p>Source: Zhang and Sennrich, "Root Mean Square Layer Normalization" (arXiv 1910.07467).
 */
public class RmsNorm extends SequenceLayer {
    /** Key of the gain. */
    public static final String GAIN = "gain";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private double epsilon;

    private RmsNorm() {}

    private RmsNorm(Builder builder) {
        super(builder);
        epsilon = builder.epsilon;
        nOut = nIn;
        initializeConstraints(builder);
    }

    /** {@return the number added to the mean square} */
    public double getEpsilon() {
        return epsilon;
    }

    @Override
    void validate() {
        if (nIn < 1) {
            throw new IllegalArgumentException(
                    named() + " needs its width: set nIn(width) or the network's input types, got " + nIn);
        }
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(new LayerParameter(GAIN, LayerParameter.Kind.GAIN, nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new RmsNormImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof RmsNorm && super.equals(other) && epsilon == ((RmsNorm) other).epsilon;
    }

    @Override
    public int hashCode() {
        return 31 * super.hashCode() + Double.hashCode(epsilon);
    }

    /** Builds an {@link RmsNorm}; the width comes from the input if it is not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private double epsilon = 1e-5;

        /** A layer with epsilon 1e-5. */
        public Builder() {}

        /**
         * The number added to the mean square.
         *
         * @param epsilon above 0
         * @return this
         * @throws IllegalArgumentException if it is not above 0
         */
        public Builder epsilon(double epsilon) {
            if (!(epsilon > 0)) {
                throw new IllegalArgumentException("RmsNorm's epsilon must be above 0, got " + epsilon);
            }
            this.epsilon = epsilon;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new RmsNorm(this);
        }
    }
}
