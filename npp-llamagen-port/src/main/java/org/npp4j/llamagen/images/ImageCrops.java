package org.npp4j.llamagen.images;

/**
 * The square crops that tokenizers are given, as the published pipeline cuts them, to the pixel.
 *
 * <p>Sizes that are no whole numbers are rounded half to even.
 */
public final class ImageCrops {
    private ImageCrops() {}

    /**
     * The centre of an image whose short side was resized to {@code size}.
     *
     * <p>While the short side is at least {@code 2 size}, both sides are halved (rounding down) with {@link PillowResampling#BOX};
     * then the short side becomes {@code size} with {@link PillowResampling#BICUBIC}, which enlarges smaller images. The first
     * row and column of the crop are half of what is too much, rounded down.
     *
     * @param images [B, C, H, W]
     * @param size S, side of the crop, at least 1
     * @return [B, C, S, S]
     * @throws IllegalArgumentException if {@code size} is below 1 or the resized image would have a side above 2^31 - 1
     */
    public static PixelImages centreCrop(PixelImages images, int size) {
        requireSize(size);
        PixelImages halved = images;
        while (Math.min(halved.height(), halved.width()) >= 2L * size) {
            halved = PillowResampling.BOX.resize(halved, halved.height() / 2, halved.width() / 2);
        }
        double scale = (double) size / Math.min(halved.height(), halved.width());
        int height = resized(halved.height(), scale, images);
        int width = resized(halved.width(), scale, images);
        return PillowResampling.BICUBIC.resize(
                halved, height, width, (height - size) / 2, (width - size) / 2, size, size);
    }

    private static int resized(int side, double scale, PixelImages images) {
        double resized = Math.rint(side * scale);
        if (resized > Integer.MAX_VALUE) {
            throw new IllegalArgumentException(
                    "The crop enlarges " + images + " to a side of more than " + Integer.MAX_VALUE + " pixels");
        }
        return (int) resized;
    }

    /**
     * Ten crops: top left, top right, bottom left, bottom right, centre, then these five of the mirror image.
     *
     * @param image [1, C, H, W], such as a {@link #centreCrop}
     * @param size S, side of the crops, 1 to the shorter side
     * @return [10, C, S, S]
     * @throws IllegalArgumentException if there is not one image or it is smaller than the crops
     */
    public static PixelImages tenCrops(PixelImages image, int size) {
        requireSize(size);
        requireOne(image);
        if (size > Math.min(image.height(), image.width())) {
            throw new IllegalArgumentException("Crops of " + size + " x " + size + " pixels do not fit into "
                    + image.height() + " x " + image.width() + " (height x width); cut them from a larger centre crop");
        }
        int bottom = image.height() - size;
        int right = image.width() - size;
        int middle = (int) Math.rint(bottom / 2.0);
        int centre = (int) Math.rint(right / 2.0);
        int[][] corners = {{0, 0}, {0, right}, {bottom, 0}, {bottom, right}, {middle, centre}};
        if (size > Math.sqrt(Integer.MAX_VALUE / 10.0 / image.channels())) {
            throw new IllegalArgumentException("Ten crops of " + size + " x " + size
                    + " pixels take more than 2^31 - 1 bytes; choose a smaller size");
        }
        byte[] crops = new byte[10 * image.channels() * size * size];
        for (int i = 0; i < 5; i++) {
            copy(image, corners[i][0], corners[i][1], size, false, crops, i);
            copy(image, corners[i][0], corners[i][1], size, true, crops, i + 5);
        }
        return new PixelImages(10, image.channels(), size, size, crops);
    }

    /**
     * An image and its mirror image.
     *
     * @param image [1, C, S, S], such as a {@link #centreCrop}
     * @return [2, C, S, S]
     * @throws IllegalArgumentException if there is not one square image
     */
    public static PixelImages withMirror(PixelImages image) {
        requireOne(image);
        if (image.height() != image.width()) {
            throw new IllegalArgumentException("A crop must be square, got " + image);
        }
        int size = image.height();
        byte[] crops = new byte[Math.multiplyExact(2, image.bytesPerImage())];
        copy(image, 0, 0, size, false, crops, 0);
        copy(image, 0, 0, size, true, crops, 1);
        return new PixelImages(2, image.channels(), size, size, crops);
    }

    /** Column x of the mirror image is column W - 1 - x. */
    private static void copy(PixelImages image, int top, int left, int size, boolean mirror, byte[] crops, int crop) {
        byte[] in = image.array();
        for (int c = 0; c < image.channels(); c++) {
            for (int y = 0; y < size; y++) {
                int row = (c * image.height() + top + y) * image.width();
                int out = ((crop * image.channels() + c) * size + y) * size;
                if (mirror) {
                    int last = row + image.width() - 1 - left;
                    for (int x = 0; x < size; x++) {
                        crops[out + x] = in[last - x];
                    }
                } else {
                    System.arraycopy(in, row + left, crops, out, size);
                }
            }
        }
    }

    private static void requireSize(int size) {
        if (size < 1) {
            throw new IllegalArgumentException("A crop needs a side of at least 1 pixel, got " + size);
        }
    }

    private static void requireOne(PixelImages image) {
        if (image.count() != 1) {
            throw new IllegalArgumentException("Crops are cut from one image, got " + image);
        }
    }
}
