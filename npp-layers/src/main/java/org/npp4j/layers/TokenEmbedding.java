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
import org.npp4j.layers.impl.TokenEmbeddingImpl;

/**
 * Looks token ids up in a table: out[b, t, :] = table[ids[b, t], :].
 *
 * <ul>
 *   <li>input: ids [B, T] or [B, 1, T] of any number type
 *   <li>output: [B, T, D], NWC; zero where a mask [B, T] is 0
 *   <li>parameter {@value #TABLE}: [V, D] in 'c' order, the bytes of PyTorch's Embedding.weight
 * </ul>
 *
 * <p>An id outside 0 .. V - 1 is an error that names it. For class labels with classifier-free guidance, {@link
 * Builder#dropout} replaces ids at random while training by {@link Builder#replacement}, the id that stands for "no class".
 * Deeplearning4j's own {@code dropOut}, which would act on the ids, is ignored.
 */
public class TokenEmbedding extends SequenceLayer {
    /** Key of the table. */
    public static final String TABLE = "table";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private double dropout;

    @JsonProperty
    private long replacement;

    private TokenEmbedding() {}

    private TokenEmbedding(Builder builder) {
        super(builder);
        dropout = builder.dropout;
        replacement = builder.replacement;
        validate();
        initializeConstraints(builder);
    }

    /**
     * The embedding of class labels with classifier-free guidance: class ids 0 .. classes - 1 and one more row, id {@code
     * classes}, for "no class", which replaces a label with the given probability in training.
     *
     * @param classes number of classes
     * @param width D
     * @param classDropout probability of "no class", in [0, 1)
     * @return a builder with V = classes + 1
     */
    public static Builder ofClasses(int classes, int width, double classDropout) {
        if (classes < 1) {
            throw new IllegalArgumentException("There must be at least one class, got " + classes);
        }
        return new Builder(classes + 1, width).dropout(classDropout).replacement(classes);
    }

    /** {@return the probability of replacing an id in training} */
    public double getDropout() {
        return dropout;
    }

    /** {@return the id that replaces a dropped one, -1 if there is none} */
    public long getReplacement() {
        return replacement;
    }

    @Override
    void validate() {
        if (nIn < 1 || nOut < 1) {
            throw new IllegalArgumentException(
                    "TokenEmbedding needs a vocabulary and a width of at least 1, got " + nIn + " and " + nOut);
        }
        if (dropout > 0 && (replacement < 0 || replacement >= nIn)) {
            throw new IllegalArgumentException("The replacement of dropped ids must be in the vocabulary, 0 .. "
                    + (nIn - 1) + ", got " + replacement);
        }
    }

    /** The input is ids, so its type says nothing about the vocabulary. */
    @Override
    public void setNIn(InputType inputType, boolean override) {}

    /** Takes ids as feedForward(T), or as a recurrent type of length T. */
    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        long length;
        if (inputType instanceof InputType.InputTypeFeedForward) {
            length = ((InputType.InputTypeFeedForward) inputType).getSize();
        } else if (inputType instanceof InputType.InputTypeRecurrent) {
            length = ((InputType.InputTypeRecurrent) inputType).getTimeSeriesLength();
        } else {
            throw new IllegalArgumentException(named()
                    + " takes token ids [batch, positions], InputType.feedForward(positions), got " + inputType);
        }
        return InputType.recurrent(nOut, length, RNNFormat.NWC);
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(new LayerParameter(TABLE, LayerParameter.Kind.TABLE, nIn, nOut));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new TokenEmbeddingImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TokenEmbedding
                && super.equals(other)
                && dropout == ((TokenEmbedding) other).dropout
                && replacement == ((TokenEmbedding) other).replacement;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), dropout, replacement);
    }

    /** Builds a {@link TokenEmbedding}. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private double dropout;
        private long replacement = -1;

        /**
         * A table.
         *
         * @param vocabulary V, rows of the table
         * @param width D
         */
        public Builder(long vocabulary, long width) {
            nIn(vocabulary);
            nOut(width);
        }

        /**
         * Replaces ids at random in training.
         *
         * @param probability for each id, in [0, 1)
         * @return this
         */
        public Builder dropout(double probability) {
            dropout = requireProbability(probability, "TokenEmbedding's dropout");
            return this;
        }

        /**
         * What a dropped id becomes.
         *
         * @param id in the vocabulary
         * @return this
         */
        public Builder replacement(long id) {
            replacement = id;
            return this;
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new TokenEmbedding(this);
        }
    }
}
