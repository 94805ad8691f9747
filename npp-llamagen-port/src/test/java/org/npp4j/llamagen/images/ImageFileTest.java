package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.zip.CRC32;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.files.NpzFile;

class ImageFileTest {
    private static final String EXPECTED = "expected.npz";
    private static final String UNSMOOTHED = " unsmoothed";

    @TempDir
    private Path folder;

    @Test
    void everyKindIsPillowsToThePixel() throws IOException {
        int pictures = 0;
        try (NpzFile expected = NpzFile.open(GoldenImages.file(EXPECTED))) {
            for (String name : expected.names()) {
                if (!name.endsWith(UNSMOOTHED)) {
                    PixelImages read = ImageFile.read(GoldenImages.file(name));
                    PixelImages pillow = GoldenImages.planar(expected.array(name));
                    // only the JDK's own libjpeg may differ, and only so
                    if (!read.equals(pillow)) {
                        assertTrue(expected.contains(name + UNSMOOTHED), name);
                        assertEquals(GoldenImages.planar(expected.array(name + UNSMOOTHED)), read, name);
                    }
                    pictures++;
                }
            }
        }
        assertEquals(61, pictures);
    }

    @Test
    void theNameDoesNotMatter() throws IOException {
        Path png = GoldenImages.file("png-colour-8.png");
        Path named = Files.copy(png, folder.resolve("picture.JPEG"));
        assertEquals(ImageFile.read(png), ImageFile.read(named));
    }

    @Test
    void manyThreadsReadAtOnce() {
        List<Path> files = List.of(
                GoldenImages.file("jpeg-420.jpg"),
                GoldenImages.file("jpeg-progressive.jpg"),
                GoldenImages.file("png-palette-4.png"));
        List<PixelImages> alone = files.stream().map(ImageFileTest::read).toList();
        IntStream.range(0, 300).parallel().forEach(i -> assertEquals(alone.get(i % 3), read(files.get(i % 3))));
    }

    private static PixelImages read(Path file) {
        try {
            return ImageFile.read(file);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** Also where the decoder would have filled up with grey, and where nothing but the end marker is missing. */
    @Test
    void aTruncatedJpegIsAnErrorWhereverItEnds() throws IOException {
        for (String name : List.of("jpeg-420.jpg", "jpeg-progressive.jpg", "jpeg-restart.jpg", "jpeg-cmyk.jpg")) {
            byte[] whole = Files.readAllBytes(GoldenImages.file(name));
            for (int length = 3; length < whole.length; length += length < whole.length - 30 ? 23 : 1) {
                fails("truncated", Arrays.copyOf(whole, length));
            }
        }
    }

    @Test
    void aTruncatedPngIsAnErrorWhereverItsPixelsEnd() throws IOException {
        for (String name : List.of("png-colour-8.png", "png-palette-4-interlaced.png")) {
            byte[] whole = Files.readAllBytes(GoldenImages.file(name));
            int end = whole.length - 12;
            for (int length = 8; length < end; length += length < 40 || length > end - 20 ? 1 : 5) {
                fails(length, Arrays.copyOf(whole, length));
            }
            Path file = Files.write(folder.resolve("end.png"), Arrays.copyOf(whole, end));
            assertEquals(ImageFile.read(GoldenImages.file(name)), ImageFile.read(file));
        }
    }

    /** A PNG that ends between two chunks of pixels has a checksum for each. */
    private void fails(int length, byte[] bytes) throws IOException {
        FileSystemException e = assertThrows(FileSystemException.class, () -> ImageFile.read(write(bytes)));
        assertTrue(e.getReason().contains("truncated"), length + ": " + e.getReason());
    }

    @Test
    void aFlippedBitInAPngIsAnErrorOrHarmless() throws IOException {
        byte[] whole = Files.readAllBytes(GoldenImages.file("png-colour-8.png"));
        PixelImages pixels = ImageFile.read(GoldenImages.file("png-colour-8.png"));
        for (int bit = 64; bit < 8 * whole.length; bit += 11) {
            byte[] flipped = whole.clone();
            flipped[bit / 8] ^= (byte) (1 << bit % 8);
            try {
                assertEquals(pixels, ImageFile.read(write(flipped)), "bit " + bit);
            } catch (FileSystemException e) {
                assertTrue(e.getReason().startsWith("it "), e.getReason());
            }
        }
    }

    /** Whatever is in a file, the answer is a picture or an exception that names the file. */
    @Test
    void damageNeverEndsInAnythingElse() throws IOException {
        Random random = new Random(3);
        for (String name : List.of("jpeg-420.jpg", "jpeg-progressive.jpg", "jpeg-ycck.jpg", "png-palette-8.png")) {
            byte[] whole = Files.readAllBytes(GoldenImages.file(name));
            for (int trial = 0; trial < 80; trial++) {
                byte[] damaged = whole.clone();
                for (int i = 0; i <= trial % 4; i++) {
                    damaged[3 + random.nextInt(whole.length - 3)] = (byte) random.nextInt();
                }
                Path file = write(damaged);
                try {
                    ImageFile.read(file);
                } catch (FileSystemException e) {
                    assertEquals(file.toString(), e.getFile());
                    assertTrue(e.getReason().contains("."), e.getReason());
                }
            }
        }
    }

    @Test
    void badFilesAreNamedWithTheReason() throws IOException {
        fails("it is empty", new byte[0]);
        fails("no picture of a known kind; PNG and JPEG", "hello".getBytes(StandardCharsets.US_ASCII));
        fails("a GIF picture; PNG and JPEG", "GIF89a......".getBytes(StandardCharsets.US_ASCII));
        fails("a BMP picture", "BM..........".getBytes(StandardCharsets.US_ASCII));
        fails("a WebP picture", "RIFF....WEBPVP8 ".getBytes(StandardCharsets.US_ASCII));
        fails("a TIFF picture", "II*\0........".getBytes(StandardCharsets.US_ASCII));
        fails("a PNM picture", "P6 1 1 255\nabc".getBytes(StandardCharsets.US_ASCII));
        NoSuchFileException missing =
                assertThrows(NoSuchFileException.class, () -> ImageFile.read(folder.resolve("none.jpg")));
        assertTrue(missing.getMessage().contains("none.jpg"));
        FileSystemException directory = assertThrows(FileSystemException.class, () -> ImageFile.read(folder));
        assertTrue(directory.getMessage().contains("it is a folder"), directory.getMessage());
    }

    @Test
    void aDecompressionBombIsRefusedBeforeMemoryIsTaken() throws IOException {
        byte[] jpeg = Files.readAllBytes(GoldenImages.file("jpeg-444.jpg"));
        int size = frame(jpeg) + 5;
        Arrays.fill(jpeg, size, size + 4, (byte) 0xff);
        fails("65535 x 65535 pixels (width x height), at most 178956970 in all", jpeg);

        byte[] png = Files.readAllBytes(GoldenImages.file("png-colour-8.png"));
        Arrays.fill(png, 16, 24, (byte) 0x7f);
        fails("at most 178956970", withChecksum(png));
        // 178,596,496 pixels: allowed, but not in the heap of the tests
        png[24] = 16;
        png[16] = png[17] = png[20] = png[21] = 0;
        png[18] = png[19] = (byte) 0x34;
        png[22] = png[23] = (byte) 0x34;
        assumeTrue(Runtime.getRuntime().maxMemory() < 9L * 0x3434 * 0x3434, "needs a heap of less than 1.5 GiB");
        fails("more than three quarters of the Java heap", withChecksum(png));
    }

    @Test
    void jpegsOfRareKindsAreRefused() throws IOException {
        byte[] jpeg = Files.readAllBytes(GoldenImages.file("jpeg-444.jpg"));
        int frame = frame(jpeg);
        fails("12 bits a channel; 8 can be read", with(jpeg, frame + 4, 12));
        fails("(arithmetic-coded); baseline and progressive", with(jpeg, frame + 1, 0xc9));
        fails("(lossless)", with(jpeg, frame + 1, 0xc3));
        fails("(hierarchical)", with(jpeg, frame + 1, 0xc5));
        fails("2 channels; 1 (grey), 3 (colour) and 4 (CMYK)", with(jpeg, frame + 9, 2));
        fails("both sides must be at least 1", with(with(jpeg, frame + 5, 0), frame + 6, 0));
        fails("no picture between its start and end", new byte[] {-1, (byte) 0xd8, -1, (byte) 0xd9});
    }

    @Test
    void damagedPngsAreRefused() throws IOException {
        byte[] png = Files.readAllBytes(GoldenImages.file("png-palette-8.png"));
        fails("checksum of its part IHDR is wrong", with(png, 19, 12));
        fails("there is no colour type 5", withChecksum(with(png, 25, 5)));
        fails("no pixels of 17 bits", withChecksum(with(png, 24, 17)));
        fails("does not start with its size", with(withType(png, 12, "IHDX"), 0, png[0]));
        byte[] noPalette = withType(png, 37, "abCd");
        fails("its palette is missing", noPalette);
    }

    @Test
    void photosAndTheirCropsAreThoseOfPillow() throws Exception {
        Path photos = GoldenImages.shared("data/photos/large");
        assumeTrue(Files.isDirectory(photos), "needs the photos in " + photos);
        List<String> digests = Files.readAllLines(GoldenImages.file("photos.sha256"));
        ImageFolder list = ImageFolder.list(photos);
        assertEquals(digests.size(), list.size());
        CropPlan plan = CropPlan.tenCrops(256, 1.1);
        for (int i = 0; i < list.size(); i++) {
            byte[] crops = plan.cut(ImageFile.read(list.file(i))).toBytes();
            String digest = HexFormat.of()
                    .formatHex(MessageDigest.getInstance("SHA-256").digest(crops));
            String name =
                    list.classNames().get(list.label(i)) + "/" + list.file(i).getFileName();
            assertEquals(digests.get(i), digest + "  " + name);
        }
    }

    /** Where the segment starts that holds the size. */
    private static int frame(byte[] jpeg) {
        for (int i = 2; ; i++) {
            if (jpeg[i] == -1 && jpeg[i + 1] == (byte) 0xc0) {
                return i;
            }
        }
    }

    private static byte[] with(byte[] bytes, int at, int value) {
        byte[] changed = bytes.clone();
        changed[at] = (byte) value;
        return changed;
    }

    /** Repairs the checksum of the header. */
    private static byte[] withChecksum(byte[] png) {
        return checksum(png.clone(), 8);
    }

    private static byte[] withType(byte[] png, int at, String type) {
        byte[] changed = png.clone();
        System.arraycopy(type.getBytes(StandardCharsets.US_ASCII), 0, changed, at, 4);
        return checksum(changed, at - 4);
    }

    private static byte[] checksum(byte[] png, int chunk) {
        ByteBuffer buffer = ByteBuffer.wrap(png);
        int length = buffer.getInt(chunk);
        CRC32 checksum = new CRC32();
        checksum.update(png, chunk + 4, length + 4);
        assertNotEquals(0, checksum.getValue());
        buffer.putInt(chunk + 8 + length, (int) checksum.getValue());
        return png;
    }

    private Path write(byte[] bytes) throws IOException {
        return Files.write(folder.resolve("picture"), bytes);
    }

    private void fails(String reason, byte[] bytes) throws IOException {
        Path file = write(bytes);
        FileSystemException e = assertThrows(FileSystemException.class, () -> ImageFile.read(file));
        assertEquals(file.toString(), e.getFile());
        assertTrue(e.getReason().contains(reason), e.getReason());
    }
}
