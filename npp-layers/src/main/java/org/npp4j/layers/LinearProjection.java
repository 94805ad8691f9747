package org.npp4j.layers;

import java.util.List;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.impl.LinearProjectionImpl;

/**
 * The same linear map at every position: out[b, t, :] = x[b, t, :] W + b.
 *
 * <ul>
 *   <li>input: [B, T, in], output: [B, T, out], NWC
 *   <li>parameter {@value #WEIGHT}: [in, out] in 'f' order, the bytes of PyTorch's Linear.weight
 *   <li>parameter {@value #BIAS}: [out], without weight decay
 * </ul>
 */
public class LinearProjection extends SequenceLayer {
    /** Key of the weights. */
    public static final String WEIGHT = "W";
    /** Key of the bias. */
    public static final String BIAS = "b";

    private static final long serialVersionUID = 1L;

    private LinearProjection() {}

    private LinearProjection(Builder builder) {
        super(builder);
        if (nOut < 1) {
            throw new IllegalArgumentException("LinearProjection needs an output width of at least 1, got " + nOut);
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
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nOut),
                new LayerParameter(BIAS, LayerParameter.Kind.BIAS, nOut));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new LinearProjectionImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof LinearProjection && super.equals(other);
    }

    @Override
    public int hashCode() {
        return 31 * super.hashCode() + LinearProjection.class.getName().hashCode();
    }

    /** Builds a {@link LinearProjection}; the input's width comes from the input if it is not set. */
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
            return (E) new LinearProjection(this);
        }
    }
}
