package org.npp4j.layers;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.ResidualBlockImpl;

/**
 * The residual block of image autoencoders: y = shortcut(x) + conv2(swish(norm2(conv1(swish(norm1(x)))))).
 *
 * <ul>
 *   <li>input: [B, Y, X, in], output: [B, Y, X, out], NHWC, images of any size
 *   <li>conv1 and conv2: 3 x 3 with a padding of 1. {@value #WEIGHT_1}: [9 in, out], {@value #WEIGHT_2}: [9 out, out], {@value
 *       #BIAS_1}, {@value #BIAS_2}: [out], as in {@link ImageConvolution}
 *   <li>norm1 and norm2: as {@link GroupNorm}. {@value #NORM_GAIN_1}, {@value #NORM_BIAS_1}: [in]; {@value #NORM_GAIN_2},
 *       {@value #NORM_BIAS_2}: [out]
 *   <li>shortcut: x itself if in = out, else a 1 x 1 convolution, {@value #SHORTCUT_WEIGHT}: [in, out], {@value
 *       #SHORTCUT_BIAS}: [out]
 * </ul>
 *
 * <p>Source: Esser et al., "Taming Transformers for High-Resolution Image Synthesis" (arXiv 2012.09841).
 */
public class ResidualBlock extends ImageLayer {
    /** Key of the first norm's gain. */
    public static final String NORM_GAIN_1 = "normGain1";
    /** Key of the first norm's bias. */
    public static final String NORM_BIAS_1 = "normBias1";
    /** Key of the first convolution's weights. */
    public static final String WEIGHT_1 = "W1";
    /** Key of the first convolution's bias. */
    public static final String BIAS_1 = "b1";
    /** Key of the second norm's gain. */
    public static final String NORM_GAIN_2 = "normGain2";
    /** Key of the second norm's bias. */
    public static final String NORM_BIAS_2 = "normBias2";
    /** Key of the second convolution's weights. */
    public static final String WEIGHT_2 = "W2";
    /** Key of the second convolution's bias. */
    public static final String BIAS_2 = "b2";
    /** Key of the shortcut's weights, if the channels change. */
    public static final String SHORTCUT_WEIGHT = "Wshortcut";
    /** Key of the shortcut's bias, if the channels change. */
    public static final String SHORTCUT_BIAS = "bshortcut";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int groups;

    @JsonProperty
    private double epsilon;

    private ResidualBlock() {}

    private ResidualBlock(Builder builder) {
        super(builder);
        groups = builder.groups;
        epsilon = builder.epsilon;
        if (nIn > 0) {
            completeWidths();
            validate();
        }
        initializeConstraints(builder);
    }

    /** {@return the number of groups of both norms} */
    public int getGroups() {
        return groups;
    }

    /** {@return the number that both norms add to the variance} */
    public double getEpsilon() {
        return epsilon;
    }

    /** {@return whether the shortcut is a convolution, because the channels change} */
    public boolean convolvesShortcut() {
        return nIn != nOut;
    }

    @Override
    void completeWidths() {
        if (nOut <= 0) {
            nOut = nIn;
        }
    }

    @Override
    void validate() {
        requireChannels();
        completeWidths();
        requireGroups(groups, nIn);
        requireGroups(groups, nOut);
    }

    @Override
    List<LayerParameter> parameters() {
        List<LayerParameter> parameters = new ArrayList<>(List.of(
                new LayerParameter(NORM_GAIN_1, LayerParameter.Kind.GAIN, nIn),
                new LayerParameter(NORM_BIAS_1, LayerParameter.Kind.BIAS, nIn),
                new LayerParameter(WEIGHT_1, LayerParameter.Kind.WEIGHT, 9 * nIn, nOut),
                new LayerParameter(BIAS_1, LayerParameter.Kind.BIAS, nOut),
                new LayerParameter(NORM_GAIN_2, LayerParameter.Kind.GAIN, nOut),
                new LayerParameter(NORM_BIAS_2, LayerParameter.Kind.BIAS, nOut),
                new LayerParameter(WEIGHT_2, LayerParameter.Kind.WEIGHT, 9 * nOut, nOut),
                new LayerParameter(BIAS_2, LayerParameter.Kind.BIAS, nOut)));
        if (convolvesShortcut()) {
            parameters.add(new LayerParameter(SHORTCUT_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nOut));
            parameters.add(new LayerParameter(SHORTCUT_BIAS, LayerParameter.Kind.BIAS, nOut));
        }
        return parameters;
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new ResidualBlockImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof ResidualBlock) || !super.equals(other)) {
            return false;
        }
        ResidualBlock block = (ResidualBlock) other;
        return groups == block.groups && epsilon == block.epsilon;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), groups, epsilon);
    }

    /** Builds a {@link ResidualBlock}; channels that are not set are those of the input. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int groups;
        private double epsilon = 1e-6;

        /**
         * A block with epsilon 1e-6.
         *
         * @param groups of both norms, a divisor of the input's and the output's channels
         * @throws IllegalArgumentException if it is below 1
         */
        public Builder(int groups) {
            this.groups = requireGroups(groups);
        }

        /**
         * The number that both norms add to the variance.
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
            return (E) new ResidualBlock(this);
        }
    }
}
