package org.npp4j.llamagen.images;

import java.util.Arrays;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Images of one size as 8-bit pixels [B, C, H, W]: the form in which images are read, tokenized and written.
 *
 * <p>C is 1 for grey and 3 for red, green, blue. Networks want float arrays: {@link #toSignedUnit()} and
 * {@link #fromSignedUnit(INDArray)} convert as the published pipeline does, and a round trip changes no pixel. Immutable.
 */
public final class PixelImages {
    private static final int COLOURS = 3;

    private final int count;
    private final int channels;
    private final int height;
    private final int width;
    private final byte[] pixels;

    /**
     * Images over an array of pixels. The array is not copied: it must not be changed afterwards.
     *
     * @param count B, may be 0
     * @param channels C, at least 1
     * @param height H, at least 1
     * @param width W, at least 1
     * @param pixels B x C x H x W unsigned bytes in this order
     * @throws IllegalArgumentException if the sizes are out of range or do not fit the array
     */
    public PixelImages(int count, int channels, int height, int width, byte[] pixels) {
        if (count < 0 || channels < 1 || height < 1 || width < 1) {
            throw new IllegalArgumentException("Images need at least one channel, row and column, got "
                    + shape(count, channels, height, width) + " (count x channels x height x width)");
        }
        long plane = (long) height * width;
        if (plane > pixels.length / channels && count > 0 || plane * channels * count != pixels.length) {
            throw new IllegalArgumentException("Images of " + shape(count, channels, height, width)
                    + " (count x channels x height x width) do not fit an array of " + pixels.length
                    + " pixels; its length must be the product of the sizes");
        }
        this.count = count;
        this.channels = channels;
        this.height = height;
        this.width = width;
        this.pixels = pixels;
    }

    /** {@return B, the number of images} */
    public int count() {
        return count;
    }

    /** {@return C, the number of channels} */
    public int channels() {
        return channels;
    }

    /** {@return H, the rows of an image} */
    public int height() {
        return height;
    }

    /** {@return W, the columns of an image} */
    public int width() {
        return width;
    }

    /** {@return C x H x W, the bytes of one image} */
    public int bytesPerImage() {
        return channels * height * width;
    }

    /**
     * One value.
     *
     * @param image index of the image
     * @param channel index of the channel
     * @param y row
     * @param x column
     * @return 0 to 255
     */
    public int pixel(int image, int channel, int y, int x) {
        return pixels[((image * channels + channel) * height + y) * width + x] & 0xff;
    }

    /** {@return the array itself, which nobody may change} */
    byte[] array() {
        return pixels;
    }

    /** {@return a copy of all pixels as unsigned bytes, [B, C, H, W]} */
    public byte[] toBytes() {
        return pixels.clone();
    }

    /** {@return a copy of all pixels as unsigned bytes with the channels of a pixel together, [B, H, W, C]} */
    public byte[] toInterleavedBytes() {
        byte[] interleaved = new byte[pixels.length];
        int plane = height * width;
        for (int i = 0, in = 0; i < count; i++) {
            for (int c = 0; c < channels; c++) {
                int out = i * bytesPerImage() + c;
                for (int p = 0; p < plane; p++) {
                    interleaved[out] = pixels[in++];
                    out += channels;
                }
            }
        }
        return interleaved;
    }

    /**
     * Grey images, as Pillow's {@code convert("L")} makes them: (19595 R + 38470 G + 7471 B + 2^15) / 2^16, rounded down.
     *
     * @return [B, 1, H, W]; this, if there is one channel already
     * @throws IllegalStateException if there are neither 1 nor 3 channels
     */
    public PixelImages toGrey() {
        if (channels == 1) {
            return this;
        }
        requireColours();
        int plane = height * width;
        byte[] grey = new byte[count * plane];
        for (int i = 0; i < grey.length; i++) {
            int red = i / plane * COLOURS * plane + i % plane;
            grey[i] = (byte) (19595 * (pixels[red] & 0xff)
                            + 38470 * (pixels[red + plane] & 0xff)
                            + 7471 * (pixels[red + 2 * plane] & 0xff)
                            + (1 << 15)
                    >> 16);
        }
        return new PixelImages(count, 1, height, width, grey);
    }

    /**
     * Colour images.
     *
     * @return [B, 3, H, W]: of one channel three equal ones; this, if there are three already
     * @throws IllegalStateException if there are neither 1 nor 3 channels
     */
    public PixelImages toColour() {
        if (channels != 1) {
            requireColours();
            return this;
        }
        int plane = height * width;
        byte[] colours = new byte[Math.multiplyExact(COLOURS, pixels.length)];
        for (int i = 0; i < count * COLOURS; i++) {
            System.arraycopy(pixels, i / COLOURS * plane, colours, i * plane, plane);
        }
        return new PixelImages(count, COLOURS, height, width, colours);
    }

    private void requireColours() {
        if (channels != COLOURS) {
            throw new IllegalStateException("Only images of 1 or 3 channels have colours, not " + this);
        }
    }

    /**
     * Some of the images, in the given order.
     *
     * @param images their indices; an image may occur more than once
     * @return a copy of them
     * @throws IllegalArgumentException if there is no such image
     */
    public PixelImages select(int... images) {
        int size = bytesPerImage();
        byte[] selected = new byte[Math.multiplyExact(images.length, size)];
        for (int i = 0; i < images.length; i++) {
            if (images[i] < 0 || images[i] >= count) {
                throw new IllegalArgumentException(
                        "There is no image " + images[i] + ": indices run from 0 to " + (count - 1));
            }
            System.arraycopy(pixels, images[i] * size, selected, i * size, size);
        }
        return new PixelImages(images.length, channels, height, width, selected);
    }

    /**
     * Consecutive images.
     *
     * @param from index of the first
     * @param to index after the last
     * @return a copy of them
     * @throws IllegalArgumentException if the range is not within the images
     */
    public PixelImages range(int from, int to) {
        if (from < 0 || to < from || to > count) {
            throw new IllegalArgumentException(
                    "Images " + from + " to " + to + " (exclusive) are not a range of the " + count + " images");
        }
        int size = bytesPerImage();
        return new PixelImages(to - from, channels, height, width, Arrays.copyOfRange(pixels, from * size, to * size));
    }

    /** {@return the images as floats [B, C, H, W] in [-1, 1]: (v / 255 - 0.5) / 0.5, in float arithmetic} */
    public INDArray toSignedUnit() {
        float[] values = new float[pixels.length];
        for (int i = 0; i < values.length; i++) {
            values[i] = toSignedUnit(pixels[i] & 0xff);
        }
        return Nd4j.createFromArray(values).reshape('c', count, channels, height, width);
    }

    /** One value of {@link #toSignedUnit()}. */
    static float toSignedUnit(int value) {
        return (value / 255f - 0.5f) / 0.5f;
    }

    /**
     * Pixels of a network's output: trunc(clamp(127.5 v + 128, 0, 255)).
     *
     * @param images [B, C, H, W], nominally in [-1, 1]; values outside are clamped
     * @return the images
     * @throws IllegalArgumentException if the array is not of rank 4 or holds a value that is not a number
     */
    public static PixelImages fromSignedUnit(INDArray images) {
        return fromFloats(images, 127.5f, 128f);
    }

    /**
     * Pixels of values in [0, 1]: the nearest of 255 v.
     *
     * @param images [B, C, H, W], nominally in [0, 1]; values outside are clamped
     * @return the images
     * @throws IllegalArgumentException if the array is not of rank 4 or holds a value that is not a number
     */
    public static PixelImages fromUnit(INDArray images) {
        return fromFloats(images, 255f, 0.5f);
    }

    private static PixelImages fromFloats(INDArray images, float scale, float shift) {
        if (images.rank() != 4) {
            throw new IllegalArgumentException("Images must have the shape [count, channels, height, width], got "
                    + Arrays.toString(images.shape()));
        }
        float[] values =
                images.castTo(DataType.FLOAT).dup('c').reshape(images.length()).toFloatVector();
        byte[] pixels = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            if (Float.isNaN(values[i])) {
                throw new IllegalArgumentException("Value " + i + " of the images is not a number (NaN)");
            }
            pixels[i] = (byte) (int) Math.min(255f, Math.max(0f, scale * values[i] + shift));
        }
        return new PixelImages(
                (int) images.size(0), (int) images.size(1), (int) images.size(2), (int) images.size(3), pixels);
    }

    @Override
    public boolean equals(Object other) {
        if (!(other instanceof PixelImages)) {
            return false;
        }
        PixelImages o = (PixelImages) other;
        return count == o.count
                && channels == o.channels
                && height == o.height
                && width == o.width
                && Arrays.equals(pixels, o.pixels);
    }

    @Override
    public int hashCode() {
        return 31 * (31 * (31 * channels + height) + width) + Arrays.hashCode(pixels);
    }

    /** The sizes in words, for messages. */
    @Override
    public String toString() {
        return shape(count, channels, height, width) + " images (count x channels x height x width)";
    }

    private static String shape(int count, int channels, int height, int width) {
        return count + " x " + channels + " x " + height + " x " + width;
    }
}
