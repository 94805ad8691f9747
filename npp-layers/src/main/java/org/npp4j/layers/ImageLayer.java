package org.npp4j.layers;

import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;

/** What the layers on [B, Y, X, C] images of any size share: how they are wired into a network. */
abstract class ImageLayer extends ParameterLayer {
    private static final long serialVersionUID = 1L;

    ImageLayer() {}

    ImageLayer(FeedForwardLayer.Builder<?> builder) {
        super(builder);
    }

    @Override
    public InputType getOutputType(int layerIndex, InputType inputType) {
        InputType.InputTypeConvolutional image = requireImages(inputType);
        return InputType.convolutional(image.getHeight(), image.getWidth(), nOut, CNN2DFormat.NHWC);
    }

    @Override
    public void setNIn(InputType inputType, boolean override) {
        long channels = requireImages(inputType).getChannels();
        if (nIn <= 0 || override) {
            nIn = channels;
        }
        if (nIn != channels) {
            throw new IllegalArgumentException(named() + " is set up for " + nIn
                    + " channels, but the layer before it gives " + channels + ". Leave nIn out or make them equal");
        }
        completeWidths();
        validate();
    }

    /** Called when the input's channels are known: layers that keep them set the output's. */
    void completeWidths() {
        nOut = nIn;
    }

    InputType.InputTypeConvolutional requireImages(InputType inputType) {
        if (!(inputType instanceof InputType.InputTypeConvolutional)
                || ((InputType.InputTypeConvolutional) inputType).getFormat() != CNN2DFormat.NHWC) {
            throw new IllegalArgumentException(named() + " works on images [batch, height, width, channels]"
                    + " (InputType.convolutional(height, width, channels, CNN2DFormat.NHWC)), got " + inputType
                    + ". Set the data format of the layer before it to CNN2DFormat.NHWC");
        }
        return (InputType.InputTypeConvolutional) inputType;
    }

    void requireChannels() {
        if (nIn < 1) {
            throw new IllegalArgumentException(
                    named() + " needs its channels: set nIn(channels) or the network's input types, got " + nIn);
        }
    }

    void requireGroups(int groups, long channels) {
        if (channels % groups != 0) {
            throw new IllegalArgumentException(named() + ": " + groups + " groups do not divide " + channels
                    + " channels. Set groups(n) with an n that does");
        }
    }

    static int requireGroups(int groups) {
        if (groups < 1) {
            throw new IllegalArgumentException("Groups must be at least 1, got " + groups);
        }
        return groups;
    }

    static double requireEpsilon(double epsilon) {
        if (!(epsilon > 0)) {
            throw new IllegalArgumentException("The epsilon of a group norm must be above 0, got " + epsilon);
        }
        return epsilon;
    }
}
