package org.npp4j.llamagen.evaluation;

import org.npp4j.llamagen.images.PillowResampling;
import org.npp4j.llamagen.images.PixelImages;

/**
 * A network that takes images of one size, in front of which images of any other size are brought to it: colours become grey
 * if it takes grey ones, and then Pillow's bicubic filter resizes, both as Pillow does to the pixel. Images of its own size
 * go in as they are.
 */
public final class ResizingNetwork implements FeatureNetwork {
    private final FeatureNetwork network;
    private final int channels;
    private final int height;
    private final int width;

    /**
     * A network behind a resize.
     *
     * @param network takes images [n, channels, height, width]
     * @param channels 1 or 3; grey images become three equal channels
     * @param height of its images in pixels, at least 1
     * @param width of its images in pixels, at least 1
     * @throws IllegalArgumentException if a number is out of its range
     */
    public ResizingNetwork(FeatureNetwork network, int channels, int height, int width) {
        if (channels != 1 && channels != 3 || height < 1 || width < 1) {
            throw new IllegalArgumentException(
                    "A network's images must have 1 or 3 channels and sides of at least 1, got " + channels + " x "
                            + height + " x " + width + " (channels x height x width)");
        }
        this.network = network;
        this.channels = channels;
        this.height = height;
        this.width = width;
    }

    @Override
    public String name() {
        return network.name();
    }

    @Override
    public String sha256() {
        return network.sha256();
    }

    @Override
    public String preparation() {
        return "to " + (channels == 1 ? "grey and " : "") + height + " x " + width
                + " where they are not (Pillow: convert(\"" + (channels == 1 ? "L" : "RGB")
                + "\"), bicubic), then: " + network.preparation();
    }

    @Override
    public Seen look(PixelImages images) {
        PixelImages fitting = images;
        if (channels == 1 && images.channels() == 3) {
            fitting = images.toGrey();
        } else if (channels == 3 && images.channels() == 1) {
            fitting = images.toColour();
        }
        if (images.height() != height || images.width() != width) {
            fitting = PillowResampling.BICUBIC.resize(fitting, height, width);
        }
        return network.look(fitting);
    }
}
