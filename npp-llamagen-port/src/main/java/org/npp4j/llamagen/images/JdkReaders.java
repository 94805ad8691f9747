package org.npp4j.llamagen.images;

import java.awt.image.Raster;
import java.io.EOFException;
import java.io.IOException;
import java.util.Iterator;
import javax.imageio.ImageIO;
import javax.imageio.ImageReader;
import javax.imageio.stream.ImageInputStreamImpl;

/** The JDK's own readers of pictures, whatever others are on the class path. */
final class JdkReaders {
    private static final String PACKAGE = "com.sun.imageio.";

    private JdkReaders() {}

    /** {@return the components of a JPEG as they are stored, without a conversion of colours} */
    static Raster readJpeg(byte[] bytes, int length) throws IOException {
        return read("jpeg", bytes, length, reader -> reader.readRaster(0, null));
    }

    /** {@return the values of a PNG as they are stored; palettes are not looked up} */
    static Raster readPng(byte[] bytes, int length) throws IOException {
        return read("png", bytes, length, reader -> reader.read(0).getRaster());
    }

    private interface Decoding {
        Raster decode(ImageReader reader) throws IOException;
    }

    private static Raster read(String format, byte[] bytes, int length, Decoding decoding) throws IOException {
        ImageReader reader = reader(format);
        Bytes in = new Bytes(bytes, length);
        try {
            reader.setInput(in, true, true);
            Raster raster = decoding.decode(reader);
            // the reader of JPEG fills what is missing with grey and goes on
            if (in.endPassed) {
                throw new EOFException();
            }
            return raster;
        } catch (IOException | RuntimeException e) {
            if (in.endPassed || endsEarly(e)) {
                throw (EOFException) new EOFException().initCause(e);
            }
            String reason = e.getMessage() == null ? e.getClass().getSimpleName() : e.getMessage();
            throw new IOException("it is damaged: " + reason + ". Get it again", e);
        } finally {
            reader.dispose();
        }
    }

    /** The compressed data may end before the file does. */
    private static boolean endsEarly(Throwable thrown) {
        return thrown instanceof EOFException || thrown.getCause() != null && endsEarly(thrown.getCause());
    }

    private static ImageReader reader(String format) throws IOException {
        Iterator<ImageReader> readers = ImageIO.getImageReadersByFormatName(format);
        while (readers.hasNext()) {
            ImageReader reader = readers.next();
            if (reader.getClass().getName().startsWith(PACKAGE)) {
                return reader;
            }
        }
        throw new IOException("this Java has no reader for " + format + ". Take a JDK with the module java.desktop");
    }

    /** Bytes in memory that remember whether more were asked for than there are. */
    private static final class Bytes extends ImageInputStreamImpl {
        private final byte[] bytes;
        private final int length;
        boolean endPassed;

        Bytes(byte[] bytes, int length) {
            this.bytes = bytes;
            this.length = length;
        }

        @Override
        public int read() {
            bitOffset = 0;
            if (streamPos >= length) {
                endPassed = true;
                return -1;
            }
            return bytes[(int) streamPos++] & 0xff;
        }

        @Override
        public int read(byte[] into, int from, int wanted) {
            bitOffset = 0;
            if (wanted == 0) {
                return 0;
            }
            if (streamPos >= length) {
                endPassed = true;
                return -1;
            }
            int count = (int) Math.min(wanted, length - streamPos);
            System.arraycopy(bytes, (int) streamPos, into, from, count);
            streamPos += count;
            return count;
        }

        @Override
        public long length() {
            return length;
        }
    }
}
