package org.npp4j.layers;

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * What the layers at the beginning of a flow head share: they take at every position the state of a token, the time in its
 * stage, and a condition, side by side, and embed them as
 *
 * <p>h = state Win + bin, y = time + condition Wcond + bcond + stage[stage of t, :], time = silu(f Wtime0 + btime0) Wtime2 +
 * btime2, f = [cos(1000 t w_i) | sin(1000 t w_i)], w_i = 10000^(-i / {@value #FREQUENCIES}), i = 0 .. {@value #FREQUENCIES} - 1.
 *
 * <p>Input: [B, T, C + 1 + D], C units of state, the time in 0 .. 1, D units of condition. All positions of a stage have one
 * time: that of its first position counts. Letters here: W is the head's width.
 */
public abstract class FlowLayer extends SequenceLayer implements OperationCount {
    /** Frequencies of the time's cosines and sines. */
    public static final int FREQUENCIES = 128;

    /** Key of the state's weights [C, W]. */
    public static final String STATE_WEIGHT = "Win";
    /** Key of the state's bias. */
    public static final String STATE_BIAS = "bin";
    /** Key of the condition's weights [D, W]. */
    public static final String CONDITION_WEIGHT = "Wcond";
    /** Key of the condition's bias. */
    public static final String CONDITION_BIAS = "bcond";
    /** Key of the table of stages [stages, W]. */
    public static final String STAGE = "stage";
    /** Key of the first weights of the time [2 x {@value #FREQUENCIES}, W]. */
    public static final String TIME_IN_WEIGHT = "Wtime0";
    /** Key of the first bias of the time. */
    public static final String TIME_IN_BIAS = "btime0";
    /** Key of the second weights of the time [W, W]. */
    public static final String TIME_OUT_WEIGHT = "Wtime2";
    /** Key of the second bias of the time. */
    public static final String TIME_OUT_BIAS = "btime2";

    private static final long serialVersionUID = 1L;

    @JsonProperty
    private StageLengths stages;

    @JsonProperty
    private int channels;

    @JsonProperty
    private int width;

    FlowLayer() {}

    FlowLayer(Builder<?> builder) {
        super(builder);
        stages = builder.stages;
        channels = builder.channels;
        width = builder.width;
        if (channels < 1 || width < 1) {
            throw new IllegalArgumentException(named() + " needs at least one channel and a width of at least 1, got "
                    + channels + " channels and width " + width);
        }
        nOut = outputWidth();
    }

    /** The width of the output. */
    abstract long outputWidth();

    /** {@return the stages} */
    public StageLengths getStages() {
        return stages;
    }

    /** {@return C, units of state} */
    public int getChannels() {
        return channels;
    }

    /** {@return W, the head's width} */
    public int getWidth() {
        return width;
    }

    /** {@return D, units of condition} */
    public long conditionWidth() {
        return nIn - channels - 1;
    }

    @Override
    void validate() {
        if (conditionWidth() < 1) {
            throw new IllegalArgumentException(named() + " takes " + channels
                    + " units of state, the time and at least one unit of condition side by side, got an input of width "
                    + nIn);
        }
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        setInputWidth(inputType, override);
        nOut = outputWidth();
        validate();
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
        return new ArrayList<>(List.of(
                weight(STATE_WEIGHT, channels, width),
                bias(STATE_BIAS, width),
                weight(CONDITION_WEIGHT, conditionWidth(), width),
                bias(CONDITION_BIAS, width),
                new LayerParameter(STAGE, LayerParameter.Kind.TABLE, stages.count(), width),
                weight(TIME_IN_WEIGHT, 2L * FREQUENCIES, width),
                bias(TIME_IN_BIAS, width),
                weight(TIME_OUT_WEIGHT, width, width),
                bias(TIME_OUT_BIAS, width)));
    }

    /** Twice the weights for each position, but those of the time for each stage. */
    @Override
    public double forwardOperations(long positions) {
        double perPosition = 0;
        double perStage = 0;
        for (LayerParameter parameter : parameters()) {
            boolean weight = parameter.decayed() && !parameter.name().equals(STAGE);
            boolean ofTime =
                    parameter.name().equals(TIME_IN_WEIGHT) || parameter.name().equals(TIME_OUT_WEIGHT);
            perStage += weight && ofTime ? parameter.length() : 0;
            perPosition += weight && !ofTime ? parameter.length() : 0;
        }
        return 2 * (positions * perPosition + stages.over(positions).count() * perStage);
    }

    static LayerParameter weight(String name, long in, long out) {
        return new LayerParameter(name, LayerParameter.Kind.WEIGHT, in, out);
    }

    static LayerParameter zeroWeight(String name, long in, long out) {
        return new LayerParameter(name, LayerParameter.Kind.ZERO_WEIGHT, in, out);
    }

    static LayerParameter bias(String name, long out) {
        return new LayerParameter(name, LayerParameter.Kind.BIAS, out);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof FlowLayer
                && super.equals(other)
                && stages.equals(((FlowLayer) other).stages)
                && channels == ((FlowLayer) other).channels
                && width == ((FlowLayer) other).width;
    }

    @Override
    public int hashCode() {
        return Objects.hash(super.hashCode(), stages, channels, width);
    }

    /**
     * What the builders share.
     *
     * @param <T> the builder
     */
    public abstract static class Builder<T extends Builder<T>> extends FeedForwardLayer.Builder<T> {
        private final StageLengths stages;
        private final int channels;
        private final int width;

        Builder(StageLengths stages, int channels, int width) {
            this.stages = Objects.requireNonNull(stages, "A flow head needs stages: StageLengths.of(4, 16, 64)");
            this.channels = channels;
            this.width = width;
        }
    }
}
