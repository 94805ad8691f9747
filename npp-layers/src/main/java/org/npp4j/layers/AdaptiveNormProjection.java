package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.impl.AdaptiveNormProjectionImpl;

/**
 * The output behind {@link AdaptiveNormBlock}s. The condition c is the first position of the sequence: with norm(x) = (x - mean)
 * / sqrt(variance + 1e-6) and [shift | scale] = silu(c) Wmod + bmod, out = (norm(x) (1 + scale) + shift) Wout + bout.
 *
 * <ul>
 *   <li>input: [B, 1 + T, D], output: [B, T, out], NWC
 *   <li>{@value #MODULATION_WEIGHT} [D, 2 D], {@value #OUT_WEIGHT} [D, out], both initially 0, and their biases
 * </ul>
 *
 * <p>Source: Peebles and Xie, "Scalable Diffusion Models with Transformers" (arXiv 2212.09748).
 */
public class AdaptiveNormProjection extends SequenceLayer implements OperationCount {
    /** Key of the modulation's weights. */
    public static final String MODULATION_WEIGHT = "Wmod";
    /** Key of the modulation's bias. */
    public static final String MODULATION_BIAS = "bmod";
    /** Key of the output's weights. */
    public static final String OUT_WEIGHT = "Wout";
    /** Key of the output's bias. */
    public static final String OUT_BIAS = "bout";

    private static final long serialVersionUID = 1L;

    private AdaptiveNormProjection() {}

    private AdaptiveNormProjection(Builder builder) {
        super(builder);
        if (nOut < 1) {
            throw new IllegalArgumentException(
                    "AdaptiveNormProjection needs an output width of at least 1, got " + nOut);
        }
        initializeConstraints(builder);
    }

    @Override
    void validate() {
        requireInputWidth();
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        setInputWidth(inputType, override);
        validate();
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        long length = requireSequence(inputType).getTimeSeriesLength();
        return InputType.recurrent(nOut, length > 0 ? length - 1 : length, RNNFormat.NWC);
    }

    /**
     * 2 T D out for T tokens, and 4 D D for the modulation.
     *
     * @param positions 1 + T
     */
    @Override
    public double forwardOperations(long positions) {
        return 2.0 * (positions - 1) * nIn * nOut + 4.0 * nIn * nIn;
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(MODULATION_WEIGHT, LayerParameter.Kind.ZERO_WEIGHT, nIn, 2 * nIn),
                new LayerParameter(MODULATION_BIAS, LayerParameter.Kind.BIAS, 2 * nIn),
                new LayerParameter(OUT_WEIGHT, LayerParameter.Kind.ZERO_WEIGHT, nIn, nOut),
                new LayerParameter(OUT_BIAS, LayerParameter.Kind.BIAS, nOut));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new AdaptiveNormProjectionImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof AdaptiveNormProjection && super.equals(other);
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), AdaptiveNormProjection.class.getName());
    }

    /** Builds an {@link AdaptiveNormProjection}; the input's width comes from the input if it is not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        /**
         * A projection.
         *
         * @param width of the output
         */
        public Builder(long width) {
            nOut(width);
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new AdaptiveNormProjection(this);
        }
    }
}
