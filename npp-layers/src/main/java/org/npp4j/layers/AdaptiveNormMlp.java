package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.AdaptiveNormMlpImpl;

/**
 * A flow head that takes each token for itself: an MLP whose norms the time and the condition modulate. With h and y of
 * {@link FlowLayer} and norm(x) = (x - mean) / sqrt(variance + 1e-6), for each block
 *
 * <p>[shift | scale | gate] = silu(y) Wmod + bmod, h = h + gate * (silu((norm(h) (1 + scale) + shift) W1 + b1) W2 + b2)
 *
 * <p>and at last [shift | scale] = silu(y) Wmod + bmod, out = (norm(h) (1 + scale) + shift) Wout + bout.
 *
 * <ul>
 *   <li>input: [B, T, C + 1 + D]: state, time and condition side by side
 *   <li>output: [B, T, C], the velocity of each token
 *   <li>parameters: those of {@link FlowLayer}; {@link #modulationWeight} [W, 3 W], {@link #inWeight} [W, W], {@link
 *       #outWeight} [W, W] and their biases for each block; {@value #MODULATION_WEIGHT} [W, 2 W], {@value #OUT_WEIGHT} [W, C]
 *       and their biases. Modulations and the output are initially 0
 * </ul>
 *
 * <p>Source: the diffusion head of Li et al., "Autoregressive Image Generation without Vector Quantization" (arXiv
 * 2406.11838). That a stage-wise flow uses it is a reconstruction.
 */
public class AdaptiveNormMlp extends FlowLayer {
    /** Key of the last modulation's weights. */
    public static final String MODULATION_WEIGHT = "Wmod";
    /** Key of the last modulation's bias. */
    public static final String MODULATION_BIAS = "bmod";
    /** Key of the output's weights. */
    public static final String OUT_WEIGHT = "Wout";
    /** Key of the output's bias. */
    public static final String OUT_BIAS = "bout";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int blocks;

    private AdaptiveNormMlp() {}

    private AdaptiveNormMlp(Builder builder) {
        super(builder);
        blocks = builder.blocks;
        initializeConstraints(builder);
    }

    /** {@return how many blocks} */
    public int getBlocks() {
        return blocks;
    }

    /**
     * Key of a block's modulation.
     *
     * @param block from 0
     * @return key of [W, 3 W], columns shift | scale | gate
     */
    public static String modulationWeight(int block) {
        return MODULATION_WEIGHT + block;
    }

    /**
     * Key of a block's modulation.
     *
     * @param block from 0
     * @return key of [3 W]
     */
    public static String modulationBias(int block) {
        return MODULATION_BIAS + block;
    }

    /**
     * Key of the first map of a block.
     *
     * @param block from 0
     * @return key of [W, W]
     */
    public static String inWeight(int block) {
        return "WblockIn" + block;
    }

    /**
     * Key of the first map of a block.
     *
     * @param block from 0
     * @return key of [W]
     */
    public static String inBias(int block) {
        return "bblockIn" + block;
    }

    /**
     * Key of the second map of a block.
     *
     * @param block from 0
     * @return key of [W, W]
     */
    public static String outWeight(int block) {
        return "WblockOut" + block;
    }

    /**
     * Key of the second map of a block.
     *
     * @param block from 0
     * @return key of [W]
     */
    public static String outBias(int block) {
        return "bblockOut" + block;
    }

    @Override
    long outputWidth() {
        return getChannels();
    }

    @Override
    List<LayerParameter> parameters() {
        List<LayerParameter> all = super.parameters();
        long w = getWidth();
        for (int block = 0; block < blocks; block++) {
            all.add(zeroWeight(modulationWeight(block), w, 3 * w));
            all.add(bias(modulationBias(block), 3 * w));
            all.add(weight(inWeight(block), w, w));
            all.add(bias(inBias(block), w));
            all.add(weight(outWeight(block), w, w));
            all.add(bias(outBias(block), w));
        }
        all.add(zeroWeight(MODULATION_WEIGHT, w, 2 * w));
        all.add(bias(MODULATION_BIAS, 2 * w));
        all.add(zeroWeight(OUT_WEIGHT, w, getChannels()));
        all.add(bias(OUT_BIAS, getChannels()));
        return all;
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new AdaptiveNormMlpImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof AdaptiveNormMlp && super.equals(other) && blocks == ((AdaptiveNormMlp) other).blocks;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), blocks);
    }

    /** Builds an {@link AdaptiveNormMlp}; the condition's width comes from the input. */
    public static class Builder extends FlowLayer.Builder<Builder> {
        private final int blocks;

        /**
         * A head.
         *
         * @param stages positions of each stage
         * @param channels C, at least 1
         * @param width W, at least 1
         * @param blocks how many, at least 0
         */
        public Builder(StageLengths stages, int channels, int width, int blocks) {
            super(stages, channels, width);
            if (blocks < 0) {
                throw new IllegalArgumentException("AdaptiveNormMlp needs at least 0 blocks, got " + blocks);
            }
            this.blocks = blocks;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new AdaptiveNormMlp(this);
        }
    }
}
