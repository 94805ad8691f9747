package org.npp4j.llamagen.tokenizer;

import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.images.PixelImages;

/**
 * Where the pixel blocks of an image lie: the image in the middle of a canvas of (grid height x S) x (grid width x S)
 * pixels, background around it, cut into S x S blocks in raster order. A block's D values run channel by channel, row by
 * row.
 */
record PixelBlocks(TokenGrid grid, int side, int channels, int height, int width, int background) {

    /** D, the values of one block. */
    int values() {
        return channels * side * side;
    }

    /** Refuses images of another shape. */
    void requireShape(PixelImages images) {
        if (images.channels() != channels || images.height() != height || images.width() != width) {
            throw new IllegalArgumentException("This codebook is for images of " + channels + " x " + height + " x "
                    + width + " (channels x height x width), got " + images
                    + ". Resize the images, or train a codebook on images of this size");
        }
    }

    /** Rows of background above an image; of an odd rest the larger half is below. */
    private int top() {
        return (grid.getHeight() * side - height) / 2;
    }

    /** Columns of background left of an image; of an odd rest the larger half is on the right. */
    private int left() {
        return (grid.getWidth() * side - width) / 2;
    }

    /** Copies one block: image, block in raster order -> D bytes from the offset. */
    void cut(PixelImages images, int image, int block, byte[] target, int offset) {
        int y0 = block / grid.getWidth() * side - top();
        int x0 = block % grid.getWidth() * side - left();
        for (int c = 0; c < channels; c++) {
            for (int y = y0; y < y0 + side; y++) {
                for (int x = x0; x < x0 + side; x++) {
                    boolean inside = y >= 0 && y < height && x >= 0 && x < width;
                    target[offset++] = (byte) (inside ? images.pixel(image, c, y, x) : background);
                }
            }
        }
    }

    /** Puts images together: codes [V x D], ids [B][N] -> [B, C, H, W]; what falls on the background is dropped. */
    PixelImages paste(byte[] codes, int[][] ids) {
        int size = channels * height * width;
        byte[] pixels = new byte[Math.multiplyExact(ids.length, size)];
        for (int image = 0; image < ids.length; image++) {
            for (int c = 0; c < channels; c++) {
                for (int y = 0; y < height; y++) {
                    int canvasY = y + top();
                    for (int x = 0; x < width; x++) {
                        int canvasX = x + left();
                        int id = ids[image][canvasY / side * grid.getWidth() + canvasX / side];
                        pixels[image * size + (c * height + y) * width + x] =
                                codes[id * values() + (c * side + canvasY % side) * side + canvasX % side];
                    }
                }
            }
        }
        return new PixelImages(ids.length, channels, height, width, pixels);
    }

    /** All blocks of some images: [images x N, D]. */
    byte[] cutAll(PixelImages images, int from, int to) {
        byte[] blocks = new byte[Math.multiplyExact(to - from, Math.multiplyExact(grid.tokens(), values()))];
        for (int image = from, offset = 0; image < to; image++) {
            for (int block = 0; block < grid.tokens(); block++, offset += values()) {
                cut(images, image, block, blocks, offset);
            }
        }
        return blocks;
    }
}
