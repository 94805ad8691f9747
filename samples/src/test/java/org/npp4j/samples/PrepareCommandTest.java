package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.ImageCrops;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;

/** {@code npp prepare}. */
class PrepareCommandTest {
    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private PixelImages picture;
    private Path png;
    private Path npy;

    @BeforeEach
    void picture() throws IOException {
        byte[] pixels = new byte[3 * 20 * 30];
        new Random(1).nextBytes(pixels);
        picture = new PixelImages(1, 3, 20, 30, pixels);
        png = folder.resolve("picture.png");
        npy = folder.resolve("crops.npy");
        new PngSheet.Builder().build().write(png, picture);
    }

    @Test
    void writesTheCentreCrop() throws IOException {
        assertEquals(0, npp(png.toString(), "--crop", "12", "--out", npy.toString()), err::toString);
        assertEquals(
                png + " (30 x 20) -> " + npy + ": uint8 [12, 12, 3]",
                out.toString().strip());
        PixelImages crop = ImageCrops.centreCrop(picture, 12);
        INDArray written = NpyFile.read(npy);
        assertEquals(DataType.UINT8, written.dataType());
        assertArrayEquals(new long[] {12, 12, 3}, written.shape());
        for (int y = 0; y < 12; y++) {
            for (int x = 0; x < 12; x++) {
                for (int c = 0; c < 3; c++) {
                    assertEquals(crop.pixel(0, c, y, x), written.getInt(y, x, c));
                }
            }
        }
    }

    @Test
    void writesTenCropsAlsoOfASmallerPicture() throws IOException {
        assertEquals(
                0, npp(png.toString(), "--crop", "28", "--ten-crop", "25", "--out", npy.toString()), err::toString);
        PixelImages crops = ImageCrops.tenCrops(ImageCrops.centreCrop(picture, 28), 25);
        INDArray written = NpyFile.read(npy);
        assertArrayEquals(new long[] {10, 25, 25, 3}, written.shape());
        assertArrayEquals(
                crops.toInterleavedBytes(), Arrays.copyOfRange(Files.readAllBytes(npy), 128, 128 + 10 * 25 * 25 * 3));
    }

    @Test
    void explainsItselfInALine() throws IOException {
        String to = npy.toString();
        fails(2, "'--out=FILE'", png.toString(), "--crop", "12");
        fails(2, "'--crop=SIZE'", png.toString(), "--out", to);
        fails(2, "'IMAGE'", "--crop", "12", "--out", to);
        fails(2, "must end in .npy", png.toString(), "--crop", "12", "--out", "a.png");
        fails(2, "--crop is 0; it must be at least 1", png.toString(), "--crop", "0", "--out", to);
        fails(2, "--ten-crop is 13", png.toString(), "--crop", "12", "--ten-crop", "13", "--out", to);
        fails(2, "--ten-crop is 0", png.toString(), "--crop", "12", "--ten-crop", "0", "--out", to);
        fails(1, "There is no ", folder.resolve("none.png").toString(), "--crop", "12", "--out", to);
        fails(1, "it is a folder", folder.toString(), "--crop", "12", "--out", to);
        fails(1, "choose a smaller size", png.toString(), "--crop", "100000", "--out", to);
        Path cut = Files.write(folder.resolve("cut.png"), Arrays.copyOf(Files.readAllBytes(png), 900));
        fails(1, "Cannot use " + cut + ": it is truncated", cut.toString(), "--crop", "12", "--out", to);
        Path text = Files.writeString(folder.resolve("text.jpg"), "text");
        fails(1, "PNG and JPEG can be read", text.toString(), "--crop", "12", "--out", to);
        assertFalse(Files.exists(npy));
    }

    private void fails(int code, String message, String... args) {
        assertEquals(code, npp(args), err::toString);
        assertEquals(1, err.toString().lines().count(), err.toString());
        assertTrue(err.toString().contains(message), err.toString());
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        String[] all = new String[args.length + 1];
        all[0] = "prepare";
        System.arraycopy(args, 0, all, 1, args.length);
        return Npp.run(List.of(new PrepareCommand()), new PrintWriter(out, true), new PrintWriter(err, true), all);
    }
}
