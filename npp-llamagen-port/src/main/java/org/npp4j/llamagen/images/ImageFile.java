package org.npp4j.llamagen.images;

import java.io.EOFException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Reads PNG and JPEG pictures as Pillow's {@code Image.open(file).convert("RGB")} does, to the pixel.
 *
 * <table>
 * <caption>What becomes of each kind</caption>
 * <tr><th>kind</th><th>becomes</th></tr>
 * <tr><td>grey of 1, 2, 4, 8 bits</td><td>three equal channels; the largest value becomes 255</td></tr>
 * <tr><td>grey PNG of 16 bits without alpha</td><td>min(v, 255): nearly white. Convert it to 8 bits first</td></tr>
 * <tr><td>other PNG of 16 bits a channel</td><td>the high byte of each value</td></tr>
 * <tr><td>palette</td><td>its colours; those that it lacks are black</td></tr>
 * <tr><td>alpha channel, transparent colour or palette entry</td><td>dropped: the colour beneath shows</td></tr>
 * <tr><td>CMYK and YCCK JPEG</td><td>with the stored values c and k, 255 for no ink: k - (255 - c) k / 255</td></tr>
 * <tr><td>EXIF orientation</td><td>ignored: the picture is not rotated</td></tr>
 * <tr><td>colour profiles, gamma</td><td>ignored</td></tr>
 * <tr><td>several pictures in a JPEG</td><td>the first</td></tr>
 * </table>
 *
 * <p>The kind is told by the content, not by the name. Truncated files are errors, also where decoders fill what is missing
 * with grey. PNG files with a wrong checksum are errors, some of which Pillow overlooks. Damage within a JPEG that libjpeg
 * repairs is none, as in Pillow. Pictures of more than {@link #MAX_PIXELS} pixels are refused before memory is taken for them.
 *
 * <p>JPEG is decoded by the libjpeg that the JDK brings or finds. Where that is libjpeg-turbo, as in the JDKs of Linux
 * distributions, every pixel equals Pillow's. JDKs with the older libjpeg 6b enlarge the colours of one rare kind, 4:4:0
 * (halved in height alone), without smoothing between rows.
 *
 * <p>Safe for use by many threads.
 */
public final class ImageFile {
    /** The largest picture that is read: where Pillow suspects a decompression bomb and refuses too. */
    public static final long MAX_PIXELS = 178_956_970;

    private static final int MIB = 1 << 20;

    private ImageFile() {}

    /**
     * Reads a picture.
     *
     * @param file a PNG or JPEG file
     * @return [1, 3, H, W]: red, green, blue. Reading takes 6 bytes of heap for each pixel, of unusual kinds up to 11
     * @throws NoSuchFileException if there is no such file
     * @throws FileSystemException if it is empty, truncated, damaged, too large, or neither PNG nor JPEG; it names the file,
     *     and its reason says which
     * @throws IOException if the file cannot be read
     */
    public static PixelImages read(Path file) throws IOException {
        return decode(file, bytes(file));
    }

    /**
     * Reads a picture, of a grey one the one channel that it has.
     *
     * @param file a PNG or JPEG file
     * @return [1, 1, H, W] of a file of grey without alpha and palette: the channel that {@link #read} gives three times;
     *     else what {@link #read} gives
     * @throws IOException see {@link #read}
     */
    public static PixelImages readGreyOrColour(Path file) throws IOException {
        byte[] bytes = bytes(file);
        PixelImages colours = decode(file, bytes);
        boolean grey = JpegImage.starts(bytes) ? JpegImage.isGrey(bytes) : PngImage.isGrey(bytes);
        return grey
                ? new PixelImages(
                        1,
                        1,
                        colours.height(),
                        colours.width(),
                        Arrays.copyOf(colours.array(), colours.height() * colours.width()))
                : colours;
    }

    private static byte[] bytes(Path file) throws IOException {
        if (Files.isDirectory(file)) {
            throw failure(file, "it is a folder, not a picture", null);
        }
        long most = Runtime.getRuntime().maxMemory() / 4;
        if (Files.size(file) > most) {
            throw failure(
                    file,
                    "it has " + Files.size(file) / MIB + " MiB; files of up to " + most / MIB
                            + " MiB, a quarter of the Java heap, are read. Make the picture smaller, or raise the heap"
                            + " with -Xmx",
                    null);
        }
        byte[] bytes = Files.readAllBytes(file);
        if (bytes.length == 0) {
            throw failure(file, "it is empty. Get it again, or remove it", null);
        }
        return bytes;
    }

    private static PixelImages decode(Path file, byte[] bytes) throws IOException {
        try {
            if (JpegImage.starts(bytes)) {
                return JpegImage.read(bytes);
            }
            if (PngImage.starts(bytes)) {
                return PngImage.read(bytes);
            }
        } catch (EOFException e) {
            throw failure(file, "it is truncated: it ends before the picture does. Get it again, or remove it", e);
        } catch (IOException e) {
            throw failure(file, e.getMessage(), e);
        }
        throw failure(file, "it is " + kind(bytes) + "; PNG and JPEG can be read. Convert it, or remove it", null);
    }

    /** What a file is that is neither PNG nor JPEG. */
    private static String kind(byte[] bytes) {
        String start = new String(bytes, 0, Math.min(bytes.length, 12), StandardCharsets.ISO_8859_1);
        if (start.startsWith("GIF8")) {
            return "a GIF picture";
        }
        if (start.startsWith("BM")) {
            return "a BMP picture";
        }
        if (start.startsWith("RIFF") && start.endsWith("WEBP")) {
            return "a WebP picture";
        }
        if (start.startsWith("II*\0") || start.startsWith("MM\0*")) {
            return "a TIFF picture";
        }
        if (start.matches("(?s)P[1-6]\\s.*")) {
            return "a PNM picture";
        }
        return "no picture of a known kind";
    }

    private static FileSystemException failure(Path file, String reason, Throwable cause) {
        FileSystemException failure = new FileSystemException(file.toString(), null, reason);
        failure.initCause(cause);
        return failure;
    }
}
