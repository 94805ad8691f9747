package org.npp4j.llamagen.images;

import java.awt.image.BufferedImage;
import java.awt.image.WritableRaster;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import javax.imageio.ImageIO;
import javax.imageio.ImageWriter;
import javax.imageio.stream.ImageOutputStream;
import javax.imageio.stream.MemoryCacheImageOutputStream;
import org.npp4j.llamagen.files.AtomicFile;

/**
 * Images side by side on one PNG picture: row by row, with gaps between them, enlarged by whole pixels.
 *
 * <p>Grey images make an 8-bit grey picture, images of three channels an RGB picture; pixel values are kept exactly. No
 * text is drawn, so it works on a headless Java without fonts.
 */
public final class PngSheet {
    private final int columns;
    private final int gap;
    private final int scale;
    private final int background;

    private PngSheet(Builder builder) {
        this.columns = builder.columns;
        this.gap = builder.gap;
        this.scale = builder.scale;
        this.background = builder.background;
    }

    /** How a sheet looks: 10 columns, gaps of 2 pixels, no enlargement, white between the images. */
    public static final class Builder {
        private int columns = 10;
        private int gap = 2;
        private int scale = 1;
        private int background = 255;

        /** The default look. */
        public Builder() {}

        /**
         * Sets the images in a row.
         *
         * @param columns at least 1
         * @return this
         */
        public Builder columns(int columns) {
            this.columns = columns;
            return this;
        }

        /**
         * Sets the space between images.
         *
         * @param gap pixels of the picture, at least 0
         * @return this
         */
        public Builder gap(int gap) {
            this.gap = gap;
            return this;
        }

        /**
         * Sets the enlargement.
         *
         * @param scale side of the square that each pixel becomes, at least 1
         * @return this
         */
        public Builder scale(int scale) {
            this.scale = scale;
            return this;
        }

        /**
         * Sets what lies between the images and where the last row has none.
         *
         * @param background grey level, 0 to 255
         * @return this
         */
        public Builder background(int background) {
            this.background = background;
            return this;
        }

        /**
         * The finished look.
         *
         * @return the sheet
         * @throws IllegalArgumentException if a setting is out of range
         */
        public PngSheet build() {
            if (columns < 1 || gap < 0 || scale < 1 || background < 0 || background > 255) {
                throw new IllegalArgumentException("A sheet needs columns >= 1, gap >= 0, scale >= 1 and a background"
                        + " of 0 to 255, got columns " + columns + ", gap " + gap + ", scale " + scale
                        + ", background " + background);
            }
            return new PngSheet(this);
        }
    }

    /**
     * The picture as a PNG file's bytes.
     *
     * @param images at least one image of 1 or 3 channels
     * @return the bytes
     * @throws IllegalArgumentException if there are no images, they have another number of channels, or the picture would
     *     be too large
     */
    public byte[] toPng(PixelImages images) {
        BufferedImage picture = draw(images);
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try {
            encode(picture, bytes);
        } catch (IOException e) {
            throw new UncheckedIOException("Writing to memory failed", e);
        }
        return bytes.toByteArray();
    }

    /**
     * Writes the picture.
     *
     * @param file the PNG file; one that exists is replaced
     * @param images at least one image of 1 or 3 channels
     * @throws IllegalArgumentException as {@link #toPng}
     * @throws IOException if the file cannot be written; no part of it is left behind
     */
    public void write(Path file, PixelImages images) throws IOException {
        BufferedImage picture = draw(images);
        AtomicFile.write(file, out -> encode(picture, out));
    }

    private BufferedImage draw(PixelImages images) {
        int channels = images.channels();
        if (channels != 1 && channels != 3) {
            throw new IllegalArgumentException(
                    "A PNG sheet shows grey (1 channel) or RGB images (3 channels), got " + images);
        }
        if (images.count() == 0) {
            throw new IllegalArgumentException("A PNG sheet needs at least one image");
        }
        int across = Math.min(columns, images.count());
        int down = (images.count() + across - 1) / across;
        int width = side(across, images.width());
        int height = side(down, images.height());
        if ((long) width * height * channels > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("A picture of " + width + " x " + height
                    + " pixels (width x height) is too large; use fewer images or a smaller scale");
        }
        // Raster values, not setRGB: that would convert grey levels through a colour profile.
        BufferedImage picture = new BufferedImage(
                width, height, channels == 1 ? BufferedImage.TYPE_BYTE_GRAY : BufferedImage.TYPE_3BYTE_BGR);
        WritableRaster raster = picture.getRaster();
        int[] row = new int[width];
        for (int c = 0; c < channels; c++) {
            for (int y = 0; y < height; y++) {
                int gridRow = y / (images.height() * scale + gap);
                int imageY = y % (images.height() * scale + gap) / scale;
                for (int x = 0; x < width; x++) {
                    int gridColumn = x / (images.width() * scale + gap);
                    int imageX = x % (images.width() * scale + gap) / scale;
                    int image = gridRow * across + gridColumn;
                    boolean inside = imageY < images.height() && imageX < images.width() && image < images.count();
                    row[x] = inside ? images.pixel(image, c, imageY, imageX) : background;
                }
                raster.setSamples(0, y, width, 1, c, row);
            }
        }
        return picture;
    }

    /** Pixels along one side of the picture. */
    private int side(int images, int imageSide) {
        long side = (long) images * imageSide * scale + (long) (images - 1) * gap;
        if (side > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("A picture with a side of " + side
                    + " pixels is too large; use fewer images, a smaller scale or a smaller gap");
        }
        return (int) side;
    }

    private static void encode(BufferedImage picture, OutputStream out) throws IOException {
        ImageWriter writer = ImageIO.getImageWritersByFormatName("png").next();
        // In memory: the default would put a cache file into the temporary folder.
        try (ImageOutputStream stream = new MemoryCacheImageOutputStream(out)) {
            writer.setOutput(stream);
            writer.write(picture);
        } finally {
            writer.dispose();
        }
    }
}
