package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.impl.TimeEmbeddingImpl;

/**
 * Embeds a time of diffusion or of a flow: out = silu(f W0 + b0) W2 + b2, f = [cos(1000 t w_i) | sin(1000 t w_i)], w_i =
 * 10000^(-i / {@value FlowLayer#FREQUENCIES}), i = 0 .. {@value FlowLayer#FREQUENCIES} - 1.
 *
 * <ul>
 *   <li>input: times in 0 .. 1, [B, T, 1], output: [B, T, D], NWC
 *   <li>parameters {@value #IN_WEIGHT} [256, D], {@value #OUT_WEIGHT} [D, D] and their biases
 * </ul>
 *
 * <p>Source: Peebles and Xie, "Scalable Diffusion Models with Transformers" (arXiv 2212.09748); its times are 0 .. 999.
 */
public class TimeEmbedding extends SequenceLayer implements OperationCount {
    /** Key of the first weights. */
    public static final String IN_WEIGHT = "W0";
    /** Key of the first bias. */
    public static final String IN_BIAS = "b0";
    /** Key of the second weights. */
    public static final String OUT_WEIGHT = "W2";
    /** Key of the second bias. */
    public static final String OUT_BIAS = "b2";

    private static final long serialVersionUID = 1L;

    private TimeEmbedding() {}

    private TimeEmbedding(Builder builder) {
        super(builder);
        nIn = 1;
        if (nOut < 1) {
            throw new IllegalArgumentException("TimeEmbedding needs a width of at least 1, got " + nOut);
        }
        initializeConstraints(builder);
    }

    @Override
    void validate() {
        if (nIn != 1) {
            throw new IllegalArgumentException(named() + " takes one time at each position, got " + nIn);
        }
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        nIn = requireSequence(inputType).getSize();
        validate();
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(IN_WEIGHT, LayerParameter.Kind.WEIGHT, 2L * FlowLayer.FREQUENCIES, nOut),
                new LayerParameter(IN_BIAS, LayerParameter.Kind.BIAS, nOut),
                new LayerParameter(OUT_WEIGHT, LayerParameter.Kind.WEIGHT, nOut, nOut),
                new LayerParameter(OUT_BIAS, LayerParameter.Kind.BIAS, nOut));
    }

    /** 2 T (256 D + D D). */
    @Override
    public double forwardOperations(long positions) {
        return 2.0 * positions * (2L * FlowLayer.FREQUENCIES * nOut + nOut * nOut);
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new TimeEmbeddingImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TimeEmbedding && super.equals(other);
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), TimeEmbedding.class.getName());
    }

    /** Builds a {@link TimeEmbedding}. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        /**
         * An embedding.
         *
         * @param width D
         */
        public Builder(long width) {
            nOut(width);
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new TimeEmbedding(this);
        }
    }
}
