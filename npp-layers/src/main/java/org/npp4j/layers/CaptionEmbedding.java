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
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.CaptionEmbeddingImpl;

/**
 * Turns the C vectors of a caption, as a text encoder gives them, into C condition tokens: out = gelu(x W1) W2, with
 * gelu(a) = a (1 + tanh(sqrt(2 / pi) (a + 0.044715 a^3))) / 2.
 *
 * <ul>
 *   <li>input: captions [B, C, S], NWC; S is the encoder's width
 *   <li>output: [B, C, D], NWC, the first input of a {@link ClassPrefix}
 *   <li>{@value #IN_WEIGHT}: [S, D], {@value #OUT_WEIGHT}: [D, D]; no biases. They are [in, out] in 'f' order, the bytes of
 *       PyTorch's [out, in]
 *   <li>{@value #UNCONDITIONAL}: [C, S] in 'c' order, drawn from N(0, 1 / S): the caption that stands for "no caption"
 *   <li>mask [B, C]: vectors that are masked count as zero, and so do their outputs. The unconditional caption has no mask
 * </ul>
 *
 * <p>For classifier-free guidance, {@link Builder#dropout} replaces a whole caption by the unconditional one, at random,
 * in training. An example runs without a caption if the unconditional one is its input: {@link
 * CaptionEmbeddingImpl#unconditionalCaptions}.
 *
 * <p>The published code keeps the unconditional caption as a buffer, which no optimizer touches: it stays as drawn. So it
 * does here: its gradient is 0 and it takes no weight decay, unless {@link Builder#learnUnconditional} makes it a
 * parameter like the others.
 *
 * <p>Source: Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525).
 */
public class CaptionEmbedding extends SequenceLayer implements OperationCount {
    /** Key of the weights from the caption's width to D. */
    public static final String IN_WEIGHT = "W1";
    /** Key of the weights from D to D. */
    public static final String OUT_WEIGHT = "W2";
    /** Key of the unconditional caption. */
    public static final String UNCONDITIONAL = "unconditional";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private int tokens;

    @JsonProperty
    private double dropout;

    @JsonProperty
    private boolean learnUnconditional;

    private CaptionEmbedding() {}

    private CaptionEmbedding(Builder builder) {
        super(builder);
        tokens = builder.tokens;
        dropout = builder.dropout;
        learnUnconditional = builder.learnUnconditional;
        validate();
        initializeConstraints(builder);
    }

    /** {@return C, the vectors of a caption} */
    public int getTokens() {
        return tokens;
    }

    /** {@return the probability of replacing a caption in training} */
    public double getDropout() {
        return dropout;
    }

    /** {@return whether the unconditional caption is trained} */
    public boolean isLearnUnconditional() {
        return learnUnconditional;
    }

    @Override
    void validate() {
        if (tokens < 1 || nIn < 1 || nOut < 1) {
            throw new IllegalArgumentException(
                    named() + " needs captions of at least 1 vector, and widths of at least 1," + " got " + tokens
                            + " vectors, caption width " + nIn + " and width " + nOut);
        }
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        requireCaptions(inputType);
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        requireCaptions(inputType);
        return InputType.recurrent(nOut, tokens, RNNFormat.NWC);
    }

    private void requireCaptions(InputType inputType) {
        InputType.InputTypeRecurrent captions = requireSequence(inputType);
        long length = captions.getTimeSeriesLength();
        if (captions.getSize() != nIn || length > 0 && length != tokens) {
            throw new IllegalArgumentException(named() + " takes captions [batch, " + tokens + ", " + nIn + "],"
                    + " InputType.recurrent(" + nIn + ", " + tokens + ", RNNFormat.NWC), got " + inputType);
        }
    }

    /** 2 C (S D + D D), whatever the number of positions behind the caption. */
    @Override
    public double forwardOperations(long positions) {
        return 2.0 * tokens * (nIn + nOut) * nOut;
    }

    @Override
    List<LayerParameter> parameters() {
        LayerParameter.Kind unconditional =
                learnUnconditional ? LayerParameter.Kind.UNIT_TABLE : LayerParameter.Kind.FIXED_UNIT_TABLE;
        return List.of(
                new LayerParameter(IN_WEIGHT, LayerParameter.Kind.WEIGHT, nIn, nOut),
                new LayerParameter(OUT_WEIGHT, LayerParameter.Kind.WEIGHT, nOut, nOut),
                new LayerParameter(UNCONDITIONAL, unconditional, tokens, nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new CaptionEmbeddingImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof CaptionEmbedding
                && super.equals(other)
                && tokens == ((CaptionEmbedding) other).tokens
                && dropout == ((CaptionEmbedding) other).dropout
                && learnUnconditional == ((CaptionEmbedding) other).learnUnconditional;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), tokens, dropout, learnUnconditional);
    }

    /** Builds a {@link CaptionEmbedding}. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final int tokens;
        private double dropout;
        private boolean learnUnconditional;

        /**
         * An embedding that never replaces a caption.
         *
         * @param tokens C, the vectors of a caption
         * @param captionWidth S, the width of such a vector
         * @param width D
         */
        public Builder(int tokens, long captionWidth, long width) {
            this.tokens = tokens;
            nIn(captionWidth);
            nOut(width);
        }

        /**
         * Replaces captions at random in training.
         *
         * @param probability for each example, in [0, 1); 0.1 as published
         * @return this
         */
        public Builder dropout(double probability) {
            dropout = requireProbability(probability, "CaptionEmbedding's dropout");
            return this;
        }

        /**
         * Whether the unconditional caption is trained and decayed like a weight matrix, by the examples whose caption it
         * replaces. False, as published, leaves it as it was drawn or loaded.
         *
         * @param learn whether it is trained
         * @return this
         */
        public Builder learnUnconditional(boolean learn) {
            learnUnconditional = learn;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new CaptionEmbedding(this);
        }
    }
}
