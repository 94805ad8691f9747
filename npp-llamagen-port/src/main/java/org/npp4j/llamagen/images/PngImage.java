package org.npp4j.llamagen.images;

import java.awt.image.Raster;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Arrays;

/** A PNG picture as red, green and blue. The JDK's reader decodes the values; what they stand for is decided here. */
final class PngImage {
    private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    private static final int IHDR = 0x49484452;
    private static final int PLTE = 0x504c5445;
    private static final int IDAT = 0x49444154;

    private static final int GREY = 0;
    private static final int COLOUR = 2;
    private static final int PALETTE = 3;
    private static final int GREY_ALPHA = 4;
    private static final int COLOUR_ALPHA = 6;

    private PngImage() {}

    static boolean starts(byte[] file) {
        return file.length >= SIGNATURE.length && Arrays.equals(Arrays.copyOf(file, SIGNATURE.length), SIGNATURE);
    }

    /**
     * Decodes a picture.
     *
     * @param file the bytes, which {@link #starts} holds for
     * @return [1, 3, H, W]
     * @throws EOFException if the file ends too early
     * @throws IOException if it cannot be decoded; the message says why
     */
    static PixelImages read(byte[] file) throws IOException {
        ByteBuffer in = ByteBuffer.wrap(file);
        if (file.length < 33) {
            throw new EOFException();
        }
        if (in.getInt(12) != IHDR) {
            throw new IOException("it is damaged: it does not start with its size. Get it again");
        }
        int width = in.getInt(16);
        int height = in.getInt(20);
        int bits = file[24];
        int type = file[25];
        DecodedSize.require(width, height, 3 + bands(type) * (bits > 8 ? 2 : 1));
        Raster raster = JdkReaders.readPng(file, file.length);
        int pixels = width * height;
        byte[] rgb = new byte[3 * pixels];
        byte[] palette = type == PALETTE ? palette(in) : null;
        int[] row = new int[width];
        int shift = Math.max(0, bits - 8);
        int scale = bits < 8 ? 255 / ((1 << bits) - 1) : 1;
        for (int c = 0; c < 3; c++) {
            int band = type == COLOUR || type == COLOUR_ALPHA ? c : 0;
            for (int y = 0; y < height; y++) {
                raster.getSamples(0, y, width, 1, band, row);
                int out = c * pixels + y * width;
                for (int x = 0; x < width; x++) {
                    rgb[out + x] = palette == null ? (byte) ((row[x] >> shift) * scale) : palette[3 * row[x] + c];
                }
            }
        }
        return new PixelImages(1, 3, height, width, rgb);
    }

    private static int bands(int type) throws IOException {
        switch (type) {
            case GREY, PALETTE:
                return 1;
            case GREY_ALPHA:
                return 2;
            case COLOUR:
                return 3;
            case COLOUR_ALPHA:
                return 4;
            default:
                throw new IOException("it is damaged: there is no colour type " + type + ". Get it again");
        }
    }

    private static byte[] palette(ByteBuffer in) throws IOException {
        int at = SIGNATURE.length;
        while (at <= in.limit() - 8) {
            int length = in.getInt(at);
            int type = in.getInt(at + 4);
            if (length < 0 || length > in.limit() - at - 12 || type == IDAT) {
                break;
            }
            if (type == PLTE) {
                return Arrays.copyOf(Arrays.copyOfRange(in.array(), at + 8, at + 8 + length), 3 * 256);
            }
            at += length + 12;
        }
        throw new IOException("it is damaged: it has no palette. Get it again");
    }
}
