package org.npp4j.llamagen.images;

import java.awt.image.Raster;
import java.io.EOFException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.zip.CRC32;

/**
 * A PNG picture as red, green and blue.
 *
 * <p>The JDK's reader decodes the values. It is given the chunks with pixels alone: it refuses pictures for errors in others,
 * and turns values into something else where a colour is transparent. What the values stand for is decided here.
 */
final class PngImage {
    private static final byte[] SIGNATURE = {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    private static final int IHDR = 0x49484452;
    private static final int PLTE = 0x504c5445;
    private static final int IDAT = 0x49444154;
    private static final byte[] END = {0, 0, 0, 0, 'I', 'E', 'N', 'D', (byte) 0xae, 0x42, 0x60, (byte) 0x82};
    /** Length and type before a chunk's data, checksum behind it. */
    private static final int AROUND_DATA = 12;

    /** Where it is in every file: in the first chunk. */
    private static final int COLOUR_TYPE = SIGNATURE.length + 8 + 9;

    private static final int GREY = 0;
    private static final int COLOUR = 2;
    private static final int PALETTE = 3;
    private static final int GREY_ALPHA = 4;
    private static final int COLOUR_ALPHA = 6;

    private final ByteBuffer file;
    /** The chunks with pixels. */
    private final ByteBuffer clean;

    private int width;
    private int height;
    private int bits;
    private int colourType;
    private byte[] palette;

    private PngImage(byte[] file) {
        this.file = ByteBuffer.wrap(file);
        this.clean = ByteBuffer.allocate(file.length + END.length);
    }

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
        PngImage image = new PngImage(file);
        image.readChunks();
        return image.decode();
    }

    /** Whether a picture has one channel, no palette and no alpha; it must have been read. */
    static boolean isGrey(byte[] file) {
        return file[COLOUR_TYPE] == GREY;
    }

    /** Reads up to the last chunk of pixels. What follows does not matter, not even if it is missing. */
    private void readChunks() throws IOException {
        clean.put(SIGNATURE);
        int at = SIGNATURE.length;
        boolean pixels = false;
        while (file.limit() - at >= AROUND_DATA || !pixels) {
            if (file.limit() - at < AROUND_DATA) {
                throw new EOFException();
            }
            int length = file.getInt(at);
            int type = file.getInt(at + 4);
            if (pixels && type != IDAT) {
                break;
            }
            if (length < 0) {
                throw damaged("a part announces " + Integer.toUnsignedString(length) + " bytes");
            }
            if (length > file.limit() - at - AROUND_DATA) {
                throw new EOFException();
            }
            requireChecksum(at, length);
            if (at == SIGNATURE.length) {
                readHeader(at + 8, type, length);
            } else if (type == PLTE) {
                palette = Arrays.copyOfRange(file.array(), at + 8, at + 8 + length);
            }
            if (type == IHDR || type == PLTE || type == IDAT) {
                clean.put(file.array(), at, length + AROUND_DATA);
            }
            pixels = type == IDAT;
            at += length + AROUND_DATA;
        }
        clean.put(END);
    }

    private void requireChecksum(int at, int length) throws IOException {
        CRC32 checksum = new CRC32();
        checksum.update(file.array(), at + 4, length + 4);
        if ((int) checksum.getValue() != file.getInt(at + 8 + length)) {
            String type = new String(file.array(), at + 4, 4, StandardCharsets.ISO_8859_1);
            throw damaged("the checksum of its part " + type.replaceAll("[^A-Za-z]", "?") + " is wrong");
        }
    }

    private void readHeader(int at, int type, int length) throws IOException {
        if (type != IHDR || length != 13) {
            throw damaged("it does not start with its size");
        }
        width = file.getInt(at);
        height = file.getInt(at + 4);
        bits = file.get(at + 8);
        colourType = file.get(at + 9);
        DecodedSize.require(width, height, 3 + bands() * (bits > 8 ? 2 : 1));
    }

    private int bands() throws IOException {
        switch (colourType) {
            case GREY, PALETTE:
                return 1;
            case GREY_ALPHA:
                return 2;
            case COLOUR:
                return 3;
            case COLOUR_ALPHA:
                return 4;
            default:
                throw damaged("there is no colour type " + colourType);
        }
    }

    private PixelImages decode() throws IOException {
        byte[][] levels = levels();
        Raster raster = JdkReaders.readPng(clean.array(), clean.position());
        boolean colour = colourType == COLOUR || colourType == COLOUR_ALPHA;
        int pixels = width * height;
        byte[] rgb = new byte[3 * pixels];
        int[] row = new int[width];
        for (int c = 0; c < 3; c++) {
            for (int y = 0; y < height; y++) {
                raster.getSamples(0, y, width, 1, colour ? c : 0, row);
                int out = c * pixels + y * width;
                for (int x = 0; x < width; x++) {
                    rgb[out + x] = levels[c][row[x]];
                }
            }
        }
        return new PixelImages(1, 3, height, width, rgb);
    }

    /** What each stored value becomes, by channel. */
    private byte[][] levels() throws IOException {
        if (bits < 1 || bits > 16) {
            throw damaged("there are no pixels of " + bits + " bits");
        }
        int values = 1 << bits;
        byte[][] levels = new byte[3][values];
        if (colourType == PALETTE) {
            if (palette == null) {
                throw damaged("its palette is missing");
            }
            // colours that the palette lacks are black
            for (int i = 0; i < Math.min(values, palette.length / 3) * 3; i++) {
                levels[i % 3][i / 3] = palette[i];
            }
            return levels;
        }
        for (int i = 0; i < values; i++) {
            levels[0][i] = (byte) level(i);
        }
        return new byte[][] {levels[0], levels[0], levels[0]};
    }

    private int level(int value) {
        if (bits < 8) {
            return value * 255 / ((1 << bits) - 1);
        }
        if (bits == 8) {
            return value;
        }
        // Pillow takes the high byte, but clips the values of grey pictures without alpha
        return colourType == GREY ? Math.min(255, value) : value >> 8;
    }

    private static IOException damaged(String what) {
        return new IOException("it is damaged: " + what + ". Get it again");
    }
}
