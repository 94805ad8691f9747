package org.npp4j.layers;

import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;

/** What the layers on [B, T, D] sequences of any length share: how they are wired into a network. */
abstract class SequenceLayer extends ParameterLayer {
    private static final long serialVersionUID = 1L;

    SequenceLayer() {}

    SequenceLayer(FeedForwardLayer.Builder<?> builder) {
        super(builder);
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        InputType.InputTypeRecurrent sequence = requireSequence(inputType);
        return InputType.recurrent(nOut, sequence.getTimeSeriesLength(), RNNFormat.NWC);
    }

    /** The layers here keep the width, so the input alone decides it. */
    @Override
    public void setNIn(InputType inputType, boolean override) {
        long width = requireSequence(inputType).getSize();
        if (nIn <= 0 || override) {
            nIn = width;
        }
        nOut = nIn;
        if (nIn != width) {
            throw new IllegalArgumentException(named() + " is set up for width " + nIn
                    + ", but the layer before it gives " + width + ". Leave nIn out or make them equal");
        }
        validate();
    }

    /** Takes nIn from the input, for layers whose output has a width of its own. */
    void setInputWidth(InputType inputType, boolean override) {
        long width = requireSequence(inputType).getSize();
        if (nIn <= 0 || override) {
            nIn = width;
        }
        if (nIn != width) {
            throw new IllegalArgumentException(named() + " is set up for inputs of width " + nIn
                    + ", but the layer before it gives " + width + ". Leave nIn out or make them equal");
        }
    }

    void requireInputWidth() {
        if (nIn < 1) {
            throw new IllegalArgumentException(
                    named() + " needs its input width: set nIn(width) or the network's input types, got " + nIn);
        }
    }

    InputType.InputTypeRecurrent requireSequence(InputType inputType) {
        if (!(inputType instanceof InputType.InputTypeRecurrent)
                || ((InputType.InputTypeRecurrent) inputType).getFormat() != RNNFormat.NWC) {
            throw new IllegalArgumentException(named() + " works on sequences [batch, positions, width]"
                    + " (InputType.recurrent(width, length, RNNFormat.NWC)), got " + inputType
                    + ". Set the data format of the layer before it to RNNFormat.NWC");
        }
        return (InputType.InputTypeRecurrent) inputType;
    }

    static double requireProbability(double probability, String what) {
        if (!(probability >= 0 && probability < 1)) {
            throw new IllegalArgumentException(
                    what + " is the probability of dropping, at least 0 and below 1, got " + probability);
        }
        return probability;
    }
}
