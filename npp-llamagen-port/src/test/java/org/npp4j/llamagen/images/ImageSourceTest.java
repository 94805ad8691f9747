package org.npp4j.llamagen.images;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.Random;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.files.Sha256;

class ImageSourceTest {
    @TempDir
    private Path folder;

    private static byte[] npy(String type, String shape, byte[] values) throws IOException {
        String header = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (" + shape + "), }\n";
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        out.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
        out.write(ByteBuffer.allocate(2)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putShort((short) header.length())
                .array());
        out.write(header.getBytes(StandardCharsets.US_ASCII));
        out.write(values);
        return out.toByteArray();
    }

    private static byte[] random(int length) {
        byte[] values = new byte[length];
        new Random(2).nextBytes(values);
        return values;
    }

    private Path npz(String member, byte[] npy) throws IOException {
        Path file = folder.resolve("images.npz");
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            zip.putNextEntry(new ZipEntry(member + ".npy"));
            zip.write(npy);
        }
        return file;
    }

    @Test
    void channelsLastOfAnNpzFileAreReadFirst() throws IOException {
        byte[] values = random(5 * 2 * 4 * 3);
        Path file = npz("arr_0", npy("|u1", "5, 2, 4, 3", values));
        try (ImageSource images = ImageSource.open(file)) {
            assertEquals(5, images.count());
            assertEquals(Sha256.of(file), images.sha256());
            int image = 0;
            for (int expected : new int[] {2, 2, 1}) {
                PixelImages some = images.next(2);
                assertEquals(expected, some.count());
                for (int i = 0; i < expected; i++, image++) {
                    for (int c = 0; c < 3; c++) {
                        for (int y = 0; y < 2; y++) {
                            for (int x = 0; x < 4; x++) {
                                assertEquals(values[((image * 2 + y) * 4 + x) * 3 + c] & 0xff, some.pixel(i, c, y, x));
                            }
                        }
                    }
                }
            }
            assertNull(images.next(2));
        }
    }

    @Test
    void aFolderSortedByPathWithFoldersWithin() throws IOException {
        PngSheet sheet = new PngSheet.Builder().columns(1).gap(0).build();
        byte[] values = random(3 * 3 * 4 * 5);
        PixelImages all = new PixelImages(3, 3, 4, 5, values);
        Path pictures = folder.resolve("pictures");
        Files.createDirectories(pictures.resolve("b"));
        sheet.write(pictures.resolve("b/0.png"), all.select(1));
        sheet.write(pictures.resolve("a.PNG"), all.select(0));
        sheet.write(pictures.resolve("c.png"), all.select(2));
        Files.writeString(pictures.resolve("notes.txt"), "no image");
        try (ImageSource images = ImageSource.open(pictures)) {
            assertEquals(3, images.count());
            assertEquals(all, images.next(10));
            assertNull(images.next(10));
            assertEquals(
                    Sha256.of(pictures.resolve("a.PNG"), pictures.resolve("b/0.png"), pictures.resolve("c.png")),
                    images.sha256());
        }
    }

    @Test
    void greyPicturesKeepTheirValues() throws IOException {
        PixelImages grey = new PixelImages(1, 1, 8, 8, random(64));
        Path pictures = Files.createDirectories(folder.resolve("grey"));
        new PngSheet.Builder().columns(1).gap(0).build().write(pictures.resolve("0.png"), grey);
        BufferedImage jpeg = new BufferedImage(8, 8, BufferedImage.TYPE_BYTE_GRAY);
        for (int i = 0; i < 64; i++) {
            jpeg.getRaster().setSample(i % 8, i / 8, 0, 77);
        }
        ImageIO.write(jpeg, "jpg", pictures.resolve("1.jpeg").toFile());
        try (ImageSource images = ImageSource.open(pictures)) {
            assertEquals(grey, images.next(1));
            PixelImages flat = images.next(1);
            assertEquals(1, flat.channels());
            assertEquals(77, flat.pixel(0, 0, 3, 4), 1);
        }
        // behind one in colour they have three channels; the pixels are those of every other reader
        PixelImages colours = new PixelImages(1, 3, 8, 8, random(192));
        new PngSheet.Builder().columns(1).gap(0).build().write(pictures.resolve("-.png"), colours);
        try (ImageSource images = ImageSource.open(pictures)) {
            PixelImages all = images.next(9);
            assertEquals(colours, all.select(0));
            assertEquals(grey.toColour(), all.select(1));
            assertEquals(ImageFile.read(pictures.resolve("1.jpeg")), all.select(2));
        }
    }

    @Test
    void refusesWhatIsNoSetOfImages() throws IOException {
        assertThrows(NoSuchFileException.class, () -> ImageSource.open(folder.resolve("none.npz")));
        Path empty = Files.createDirectories(folder.resolve("empty"));
        assertReason("the folder holds no images", empty);
        assertReason("no array \"arr_0\"", npz("other", npy("|u1", "1, 2, 2, 3", new byte[12])));
        assertReason("not FLOAT [1, 1, 1, 3]", npz("arr_0", npy("<f4", "1, 1, 1, 3", new byte[12])));
        assertReason("not UBYTE [0, 2, 2, 3]", npz("arr_0", npy("|u1", "0, 2, 2, 3", new byte[0])));
        assertReason("not UBYTE [4, 3]", npz("arr_0", npy("|u1", "4, 3", new byte[12])));
        PngSheet sheet = new PngSheet.Builder().columns(1).gap(0).build();
        Path mixed = Files.createDirectories(folder.resolve("mixed"));
        sheet.write(mixed.resolve("0.png"), new PixelImages(1, 1, 4, 4, new byte[16]));
        sheet.write(mixed.resolve("1.png"), new PixelImages(1, 1, 4, 6, new byte[24]));
        try (ImageSource images = ImageSource.open(mixed)) {
            String reason = assertThrows(FileSystemException.class, () -> images.next(2))
                    .getReason();
            assertTrue(reason.contains("the image is 6 x 4 in grey, but 0.png is 4 x 4 in grey"), reason);
        }
        Files.writeString(mixed.resolve("0.png"), "no picture");
        try (ImageSource images = ImageSource.open(mixed)) {
            assertTrue(assertThrows(FileSystemException.class, () -> images.next(1))
                    .getReason()
                    .contains("no picture of a known kind"));
        }
    }

    private static void assertReason(String part, Path path) {
        String reason = assertThrows(FileSystemException.class, () -> ImageSource.open(path))
                .getReason();
        assertTrue(reason.contains(part), reason);
    }
}
