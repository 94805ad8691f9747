package org.npp4j.layers;

import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.impl.FlowEmbeddingImpl;

/**
 * The input of a flow head whose tokens see each other: out = h + y of {@link FlowLayer}, to be followed by transformer
 * blocks with {@link AttentionMask#withinBlocks}.
 *
 * <ul>
 *   <li>input: [B, T, C + 1 + D]: state, time and condition side by side
 *   <li>output: [B, T, W]
 * </ul>
 */
public class FlowEmbedding extends FlowLayer {
    private static final long serialVersionUID = 1L;

    private FlowEmbedding() {}

    private FlowEmbedding(Builder builder) {
        super(builder);
        initializeConstraints(builder);
    }

    @Override
    long outputWidth() {
        return getWidth();
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new FlowEmbeddingImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof FlowEmbedding && super.equals(other);
    }

    @Override
    public int hashCode() {
        return 31 * super.hashCode() + FlowEmbedding.class.getName().hashCode();
    }

    /** Builds a {@link FlowEmbedding}; the condition's width comes from the input. */
    public static class Builder extends FlowLayer.Builder<Builder> {
        /**
         * An embedding.
         *
         * @param stages positions of each stage
         * @param channels C, at least 1
         * @param width W, at least 1
         */
        public Builder(StageLengths stages, int channels, int width) {
            super(stages, channels, width);
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new FlowEmbedding(this);
        }
    }
}
