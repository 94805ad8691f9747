package org.npp4j.llamagen.codes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.CropPlan;
import org.npp4j.llamagen.images.ImageFile;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.ReconstructionError;
import org.npp4j.llamagen.tokenizer.TokenizerFile;

class CodeCheckTest {
    private static final CropPlan TEN = CropPlan.tenCrops(MadeUpPictures.SIZE, 1.5);

    @TempDir
    private Path folder;

    private Path data;
    private Path book;
    private Path codes;

    @BeforeEach
    void write() throws IOException {
        data = MadeUpPictures.write(folder.resolve("data"), 12, 11, 13);
        book = MadeUpPictures.tokenizer(folder.resolve("book.json"), 1);
        codes = folder.resolve("codes");
    }

    private void extract(boolean packed) throws IOException {
        new CodeExtraction.Builder(ImageFolder.list(data), TEN, TokenizerFile.load(book), book)
                .packed(packed)
                .build()
                .run(codes);
    }

    private CodeCheck.Result check(Path pictures, int samples, long seed) throws IOException {
        try (CodeStore store = CodeStore.open(codes)) {
            return CodeCheck.run(
                    store,
                    TokenizerFile.load(book),
                    book,
                    pictures == null ? null : ImageFolder.list(pictures),
                    pictures == null ? null : TEN,
                    samples,
                    seed);
        }
    }

    @Test
    void codesOfThePicturesPass() throws IOException {
        MadeUpPictures.truncate(data.resolve("class 0/000.png"));
        MadeUpPictures.truncate(data.resolve("class 2/001.jpg"));
        extract(true);
        CodeCheck.Result result = check(data, 100, 0);
        assertEquals(List.of(), result.warnings());
        assertEquals(34, result.samples());
        assertEquals(68, result.sheet().count());
        assertEquals(List.of(11, 11, 12), result.classImages());
        assertEquals(1, result.sameCodes().orElseThrow());
        assertEquals(result.encodedAgainError(), result.error());
        assertEquals(34 * 10 * 16, result.usageTokens());
        // the sheet and the error, by hand
        BlockCodebook tokenizer = BlockCodebook.load(book);
        double error = 0;
        for (int i = 0; i < 34; i++) {
            PixelImages original = result.sheet().select(2 * i);
            assertEquals(
                    tokenizer.decode(tokenizer.encode(original)), result.sheet().select(2 * i + 1));
            error += ReconstructionError.of(tokenizer, original) / 34;
        }
        assertEquals(error, result.error().orElseThrow(), 1e-12);
        PixelImages first = TEN.cut(ImageFile.read(data.resolve("class 0/001.jpg")));
        assertTrue(Arrays.stream(new int[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
                .anyMatch(crop -> first.select(crop).equals(result.sheet().select(0))));
        // by another seed other images
        assertArrayEquals(
                check(data, 5, 3).sheet().toBytes(), check(data, 5, 3).sheet().toBytes());
        assertEquals(10, check(data, 5, 3).sheet().count());
        assertTrue(!check(data, 5, 3).sheet().equals(check(data, 5, 4).sheet()));
    }

    @Test
    void withoutPicturesTheSheetHoldsTheDecodedCropsAlone() throws IOException {
        extract(false);
        CodeCheck.Result result = check(null, 7, 0);
        assertEquals(List.of(), result.warnings());
        assertEquals(7, result.sheet().count());
        assertTrue(result.error().isEmpty());
        assertTrue(result.sameCodes().isEmpty());
    }

    @Test
    void anotherTokenizerIsNoticed() throws IOException {
        extract(true);
        MadeUpPictures.tokenizer(book, 2);
        CodeCheck.Result result = check(data, 20, 0);
        warns(result, "The codes were made with another tokenizer file (book.json, SHA-256 ");
        warns(result, "Encoding the originals again gives other codes in 100.0 %");
        warns(result, "The decoded codes differ from the originals with an error of ");
        assertEquals(3, result.warnings().size(), result.warnings()::toString);
    }

    @Test
    void otherPicturesAreNoticed() throws IOException {
        extract(true);
        Path others = folder.resolve("others");
        MadeUpPictures.write(others, 12, 11, 13);
        for (int i = 1; i < 11; i++) {
            MadeUpPictures.picture(
                    others.resolve(String.format("class 1/%03d.%s", i, i % 2 == 0 ? "png" : "jpg")),
                    20,
                    20,
                    new Random(i));
        }
        CodeCheck.Result result = check(others, 36, 0);
        warns(
                result,
                "The pictures are not those that the codes were made of: the paths or sizes of the 36 pictures of ");
        warns(result, "Encoding the originals again gives other codes in ");
        // fewer of them, without a word about which
        Files.delete(codes.resolve(CodeSetDescription.FILE));
        Files.delete(others.resolve("class 1/001.jpg"));
        result = check(others, 36, 0);
        warns(result, "There are 36 images and 35 pictures, and nothing says which picture an image is of");
        assertEquals(36, result.sheet().count());
    }

    /** Too few to change any mean. */
    @Test
    void twoImagesThatChangedPlacesAreNoticed() throws IOException {
        extract(false);
        Path one = codes.resolve("imagenet8_codes/1.npy");
        Path other = codes.resolve("imagenet8_codes/30.npy");
        Path between = folder.resolve("between");
        Files.move(one, between);
        Files.move(other, one);
        Files.move(between, other);
        warns(check(data, 36, 0), "Encoding the originals again gives other codes in 5.");
        assertTrue(check(data, 36, 0).warnings().toString().contains("mostly other ones in 2 of 36 samples"));
    }

    @Test
    void labelsThatDoNotFitTheFoldersAreNoticed() throws IOException {
        extract(false);
        for (int i = 0; i < 3; i++) {
            NpyFile.writeInt64(codes.resolve("imagenet8_labels/" + i + ".npy"), new int[] {1});
        }
        CodeCheck.Result result = check(data, 2, 0);
        assertEquals(List.of(9, 14, 13), result.classImages());
        warns(
                result,
                "3 of 36 images have another class than their picture; the first is that of "
                        + codes.resolve("imagenet8_codes/0.npy"));
        warns(result, "The classes are not balanced as the folders are: class 0 9 of 12, class 1 14 of 11");
        NpyFile.writeInt64(codes.resolve("imagenet8_labels/7.npy"), new int[] {3});
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> check(data, 2, 0));
        assertTrue(e.getMessage().contains("7.npy is 3, but there are 3 classes"), e::getMessage);
    }

    @Test
    void aClassWhosePicturesWereSkippedIsNoticed() throws IOException {
        for (int i = 0; i < 11; i += 2) {
            Files.writeString(data.resolve(String.format("class 1/%03d.png", i)), "no picture");
        }
        extract(true);
        warns(check(null, 2, 0), "The classes are not balanced as the folders are: class 1 5 of 11");
    }

    @Test
    void aTokenizerThatDoesNotKnowSuchPicturesIsNoticed() throws IOException {
        BlockCodebook whole = BlockCodebook.load(book);
        byte[] noise = new byte[whole.codes().length];
        Random random = new Random(3);
        for (int i = 0; i < noise.length; i++) {
            noise[i] = (byte) (random.nextBoolean() ? 255 : 0);
        }
        new BlockCodebook(
                        whole.grid(),
                        whole.blockSide(),
                        whole.channels(),
                        whole.imageHeight(),
                        whole.imageWidth(),
                        whole.background(),
                        noise)
                .save(book);
        extract(false);
        warns(check(data, 6, 0), "The tokenizer gives the originals back with an error of");
    }

    @Test
    void lowUsageIsNoticed() throws IOException {
        Path flat = folder.resolve("flat");
        for (int i = 0; i < 60; i++) {
            Path file = Files.createDirectories(flat.resolve("class " + i % 2)).resolve(i + ".png");
            ImageIO.write(new BufferedImage(20, 20, BufferedImage.TYPE_3BYTE_BGR), "png", file.toFile());
        }
        data = flat;
        extract(true);
        CodeCheck.Result result = check(data, 4, 0);
        assertEquals(1.0 / MadeUpPictures.VOCABULARY, result.used(), 1e-9);
        assertEquals(1, result.perplexity(), 1e-9);
        warns(result, "Only 0.3 % of the codes are used; even draws of as many tokens would use 100.0 %");
    }

    @Test
    void incompleteCodesAreNoticed() throws IOException {
        extract(true);
        CodeSetDescription d = CodeSetDescription.find(codes).orElseThrow();
        new CodeSetDescription(
                        d.format(),
                        d.name(),
                        d.packed(),
                        false,
                        0,
                        d.crops(),
                        d.gridHeight(),
                        d.gridWidth(),
                        d.vocabulary(),
                        d.tokenizer(),
                        d.data(),
                        d.classNames(),
                        List.of(),
                        null,
                        List.of())
                .write(codes);
        warns(check(null, 1, 0), "The codes are not complete");
    }

    @Test
    void aPictureThatIsGoneIsLeftOut() throws IOException {
        extract(true);
        long size = Files.size(data.resolve("class 0/000.png"));
        Files.write(data.resolve("class 0/000.png"), new byte[(int) size]);
        CodeCheck.Result result = check(data, 36, 0);
        warns(result, "An original cannot be shown, " + data.resolve("class 0/000.png"));
        assertEquals(72, result.sheet().count());
        assertEquals(1, result.sameCodes().orElseThrow());
    }

    @Test
    void whatCannotBeDecodedIsAnError() throws IOException {
        extract(false);
        new BlockCodebook(TokenGrid.of(2, 2), 4, 3, 8, 8, 0, new byte[48 * 4]).save(book);
        says("crops of 16 tokens, the tokenizer makes a 2 x 2 token grid", () -> check(null, 1, 0));
        new BlockCodebook(TokenGrid.of(4, 4), 2, 3, 8, 8, 0, new byte[12 * 4]).save(book);
        says("but the tokenizer's codebook has 4. Give the tokenizer that made the codes", () -> check(null, 1, 0));
        MadeUpPictures.tokenizer(book, 1);
        says("At least 1 sample", () -> check(null, 0, 0));
        try (CodeStore store = CodeStore.open(codes)) {
            says(
                    "holds 10 crops of each image, not 2",
                    () -> CodeCheck.run(
                            store,
                            TokenizerFile.load(book),
                            book,
                            ImageFolder.list(data),
                            CropPlan.centreAndMirror(8),
                            1,
                            0));
        }
    }

    private static void warns(CodeCheck.Result result, String start) {
        List<String> found = new ArrayList<>(result.warnings());
        found.removeIf(warning -> !warning.startsWith(start));
        assertEquals(1, found.size(), () -> start + " not in " + result.warnings());
    }

    private static void says(String part, Executable call) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
        assertTrue(e.getMessage().contains(part), e::getMessage);
    }
}
