package org.npp4j.llamagen.images;

import java.awt.image.DataBufferByte;
import java.awt.image.Raster;
import java.io.EOFException;
import java.io.IOException;
import java.util.Arrays;

/**
 * A JPEG picture as red, green and blue.
 *
 * <p>The JDK's reader decodes the components; it takes libjpeg for it, as Pillow does. What it would make of markers of
 * applications (profiles, previews, EXIF) is kept from it: it refuses pictures for errors in them. Which colours the components
 * stand for is decided here by libjpeg's rules, from which the JDK's differ.
 */
final class JpegImage {
    private static final int SOF0 = 0xc0;
    private static final int SOF2 = 0xc2;
    private static final int SOF3 = 0xc3;
    private static final int SOF15 = 0xcf;
    private static final int DHT = 0xc4;
    private static final int JPG = 0xc8;
    private static final int DAC = 0xcc;
    private static final int RST0 = 0xd0;
    private static final int SOI = 0xd8;
    private static final int EOI = 0xd9;
    private static final int SOS = 0xda;
    private static final int APP0 = 0xe0;
    private static final int APP14 = 0xee;
    private static final int APP15 = 0xef;
    private static final int COM = 0xfe;
    private static final int TEM = 0x01;

    private final byte[] file;
    /** The file without markers of applications. */
    private final byte[] clean;

    private int cleanLength;
    private int width;
    private int height;
    private byte[] componentIds = {};
    private boolean jfif;
    /** The transform that an Adobe marker names, or -1. */
    private int adobe = -1;

    private JpegImage(byte[] file) {
        this.file = file;
        this.clean = new byte[file.length];
    }

    static boolean starts(byte[] file) {
        return file.length >= 3 && (file[0] & 0xff) == 0xff && (file[1] & 0xff) == SOI && (file[2] & 0xff) == 0xff;
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
        JpegImage image = new JpegImage(file);
        image.readHeader();
        DecodedSize.require(image.width, image.height, 3 + image.componentIds.length);
        return image.decode();
    }

    /** Whether a picture has one channel; its header must be readable. */
    static boolean isGrey(byte[] file) throws IOException {
        JpegImage image = new JpegImage(file);
        image.readHeader();
        return image.componentIds.length == 1;
    }

    /** Reads the segments up to the first scan and copies those that concern the pixels. */
    private void readHeader() throws IOException {
        keep(0, 2);
        int at = 2;
        while (true) {
            // bytes between segments are skipped, as libjpeg does
            while (byteAt(at) != 0xff) {
                at++;
            }
            while (byteAt(at) == 0xff) {
                at++;
            }
            int marker = byteAt(at++);
            if (marker == 0 || marker == TEM || marker >= RST0 && marker < SOI) {
                continue;
            }
            if (marker == EOI || marker == SOI) {
                throw new IOException("it has no picture between its start and end. Get it again, or remove the file");
            }
            int length = byteAt(at) << 8 | byteAt(at + 1);
            if (length < 2) {
                throw new IOException("it is damaged: a segment has the length " + length + ". Get it again");
            }
            byteAt(at + length - 1);
            if (marker == SOS) {
                if (componentIds.length == 0) {
                    throw new IOException("it is damaged: its pixels come before its size. Get it again");
                }
                keep(at - 2, file.length);
                return;
            }
            readSegment(marker, at + 2, length - 2);
            if ((marker < APP0 || marker > APP15) && marker != COM) {
                keep(at - 2, at + length);
            }
            at += length;
        }
    }

    private void readSegment(int marker, int at, int length) throws IOException {
        if (marker == APP0 && length >= 12 && startsWith(at, "JFIF\0")) {
            jfif = true;
        } else if (marker == APP14 && length >= 12 && startsWith(at, "Adobe")) {
            adobe = byteAt(at + 11);
        } else if (marker >= SOF0 && marker <= SOF15 && marker != DHT && marker != JPG && marker != DAC) {
            readFrame(marker, at, length);
        }
    }

    private boolean startsWith(int at, String text) {
        for (int i = 0; i < text.length(); i++) {
            if (file[at + i] != text.charAt(i)) {
                return false;
            }
        }
        return true;
    }

    private void readFrame(int marker, int at, int length) throws IOException {
        if (marker > SOF2) {
            throw new IOException("it is a JPEG of a rare kind (" + kind(marker)
                    + "); baseline and progressive ones can be read. Convert it");
        }
        if (length < 6 || length < 6 + 3 * byteAt(at + 5)) {
            throw new IOException("it is damaged: the description of its size is too short. Get it again");
        }
        if (byteAt(at) != 8) {
            throw new IOException("it is a JPEG of " + byteAt(at) + " bits a channel; 8 can be read. Convert it");
        }
        height = byteAt(at + 1) << 8 | byteAt(at + 2);
        width = byteAt(at + 3) << 8 | byteAt(at + 4);
        componentIds = new byte[byteAt(at + 5)];
        if (componentIds.length != 1 && componentIds.length != 3 && componentIds.length != 4) {
            throw new IOException("it is a JPEG of " + componentIds.length
                    + " channels; 1 (grey), 3 (colour) and 4 (CMYK) can be read. Convert it");
        }
        for (int c = 0; c < componentIds.length; c++) {
            componentIds[c] = file[at + 6 + 3 * c];
        }
    }

    private static String kind(int marker) {
        return marker > JPG ? "arithmetic-coded" : marker == SOF3 ? "lossless" : "hierarchical";
    }

    private int byteAt(int at) throws EOFException {
        if (at >= file.length) {
            throw new EOFException();
        }
        return file[at] & 0xff;
    }

    private void keep(int from, int to) {
        System.arraycopy(file, from, clean, cleanLength, to - from);
        cleanLength += to - from;
    }

    private PixelImages decode() throws IOException {
        Raster raster = JdkReaders.readJpeg(clean, cleanLength);
        int channels = componentIds.length;
        if (raster.getWidth() != width || raster.getHeight() != height || raster.getNumBands() != channels) {
            throw new IOException("it is damaged: it announces its size more than once. Get it again");
        }
        byte[] values = ((DataBufferByte) raster.getDataBuffer()).getData();
        int pixels = width * height;
        byte[] rgb = new byte[3 * pixels];
        if (channels == 1) {
            System.arraycopy(values, 0, rgb, 0, pixels);
            System.arraycopy(values, 0, rgb, pixels, pixels);
            System.arraycopy(values, 0, rgb, 2 * pixels, pixels);
            return new PixelImages(1, 3, height, width, rgb);
        }
        if (isYcc()) {
            Ycc.toRgb(values, channels);
        }
        if (channels == 3) {
            for (int i = 0, in = 0; i < pixels; i++) {
                rgb[i] = values[in++];
                rgb[pixels + i] = values[in++];
                rgb[2 * pixels + i] = values[in++];
            }
        } else {
            fromInks(values, isYcc(), rgb, pixels);
        }
        return new PixelImages(1, 3, height, width, rgb);
    }

    /** libjpeg's rules. */
    private boolean isYcc() {
        if (componentIds.length == 4) {
            return adobe > 0;
        }
        if (jfif) {
            return true;
        }
        if (adobe >= 0) {
            return adobe > 0;
        }
        return !Arrays.equals(componentIds, new byte[] {'R', 'G', 'B'});
    }

    /** Inks are stored inverted: 255 is none. Those of YCCK are not, once YCC is undone; its black is. */
    private static void fromInks(byte[] values, boolean ycc, byte[] rgb, int pixels) {
        int none = ycc ? 0 : 255;
        for (int i = 0, in = 0; i < pixels; i++, in += 4) {
            int light = values[in + 3] & 0xff;
            for (int c = 0; c < 3; c++) {
                // ink x light / 255, rounded
                int product = (none ^ values[in + c] & 0xff) * light + 128;
                rgb[c * pixels + i] = (byte) (light - (product + (product >> 8) >> 8));
            }
        }
    }

    /** The colour transform of JFIF in libjpeg's integers: multiples of 2^-16, rounded once a channel. */
    private static final class Ycc {
        private static final int BITS = 16;
        private static final int HALF = 1 << BITS - 1;
        private static final int[] RED_OF_CR = new int[256];
        private static final int[] BLUE_OF_CB = new int[256];
        private static final int[] GREEN_OF_CR = new int[256];
        private static final int[] GREEN_OF_CB = new int[256];

        static {
            for (int i = 0; i < 256; i++) {
                int chroma = i - 128;
                RED_OF_CR[i] = fixed(1.402) * chroma + HALF >> BITS;
                BLUE_OF_CB[i] = fixed(1.772) * chroma + HALF >> BITS;
                GREEN_OF_CR[i] = -fixed(0.71414) * chroma;
                GREEN_OF_CB[i] = -fixed(0.34414) * chroma + HALF;
            }
        }

        private static int fixed(double x) {
            return (int) (x * (1 << BITS) + 0.5);
        }

        /** Replaces the first three of every {@code channels} values. */
        static void toRgb(byte[] values, int channels) {
            for (int i = 0; i < values.length; i += channels) {
                int y = values[i] & 0xff;
                int cb = values[i + 1] & 0xff;
                int cr = values[i + 2] & 0xff;
                values[i] = clamp(y + RED_OF_CR[cr]);
                values[i + 1] = clamp(y + (GREEN_OF_CB[cb] + GREEN_OF_CR[cr] >> BITS));
                values[i + 2] = clamp(y + BLUE_OF_CB[cb]);
            }
        }

        private static byte clamp(int value) {
            return (byte) Math.max(0, Math.min(255, value));
        }
    }
}
