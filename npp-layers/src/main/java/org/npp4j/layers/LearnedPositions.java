package org.npp4j.layers;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.impl.LearnedPositionsImpl;

/**
 * Adds what is learned of each position and of its stage: out[b, t, :] = x[b, t, :] + position[t, :] + stage[stage of t, :].
 *
 * <ul>
 *   <li>input and output: [B, T, D], NWC; T = all positions, or those of one stage ({@link StageLengths})
 *   <li>parameter {@value #POSITION}: [all positions, D] in 'c' order; rows of a stage are the bytes of a PyTorch [n, D]
 *   <li>parameter {@value #STAGE}: [stages, D] in 'c' order
 * </ul>
 */
public class LearnedPositions extends SequenceLayer {
    /** Key of the table of positions. */
    public static final String POSITION = "position";
    /** Key of the table of stages. */
    public static final String STAGE = "stage";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private StageLengths stages;

    private LearnedPositions() {}

    private LearnedPositions(Builder builder) {
        super(builder);
        stages = builder.stages;
        nOut = nIn;
        initializeConstraints(builder);
    }

    /** {@return the stages} */
    public StageLengths getStages() {
        return stages;
    }

    @Override
    void validate() {
        if (nIn < 1) {
            throw new IllegalArgumentException(
                    named() + " needs its width: set nIn(width) or the network's input types, got " + nIn);
        }
    }

    /** Refuses a length that the stages do not have, where it is known. */
    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        long length = requireSequence(inputType).getTimeSeriesLength();
        if (length > 0) {
            stages.over(length);
        }
        return super.getOutputType(layerIndex, inputType);
    }

    @Override
    List<LayerParameter> parameters() {
        return List.of(
                new LayerParameter(POSITION, LayerParameter.Kind.TABLE, stages.positions(), nIn),
                new LayerParameter(STAGE, LayerParameter.Kind.TABLE, stages.count(), nIn));
    }

    @Override
    BaseLayer<?> newRuntime(NeuralNetConfiguration conf, DataType dataType) {
        return new LearnedPositionsImpl(conf, dataType);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof LearnedPositions
                && super.equals(other)
                && stages.equals(((LearnedPositions) other).stages);
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), stages);
    }

    /** Builds {@link LearnedPositions}; the width comes from the input if it is not set. */
    public static class Builder extends FeedForwardLayer.Builder<Builder> {
        private final StageLengths stages;

        /**
         * Tables for these stages.
         *
         * @param stages positions of each stage
         */
        public Builder(StageLengths stages) {
            this.stages = Objects.requireNonNull(stages, "LearnedPositions need stages: StageLengths.of(4, 16, 64)");
        }

        @Override
        @SuppressWarnings("unchecked")
        public <E extends Layer> E build() {
            return (E) new LearnedPositions(this);
        }
    }
}
