package org.npp4j.llamagen.codes;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.npp4j.llamagen.codes.CodeSetDescription.Skipped;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.CropPlan;
import org.npp4j.llamagen.images.ImageFile;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.TokenizerFile;

class CodeExtractionTest {
    private static final CropPlan TEN = CropPlan.tenCrops(MadeUpPictures.SIZE, 1.5);

    @TempDir
    private Path folder;

    private Path data;
    private Path book;

    @BeforeEach
    void write() throws IOException {
        data = MadeUpPictures.write(folder.resolve("data"), 4, 1, 6);
        book = MadeUpPictures.tokenizer(folder.resolve("book.json"), 1);
    }

    private CodeExtraction.Builder extraction(CropPlan plan) throws IOException {
        return new CodeExtraction.Builder(ImageFolder.list(data), plan, TokenizerFile.load(book), book).threads(2);
    }

    private CodeExtraction.Builder extraction(boolean packed) throws IOException {
        return extraction(TEN).packed(packed);
    }

    /** Every file of a set, whatever its layout. */
    private static Map<String, String> content(Path codes) throws IOException {
        Map<String, String> content = new TreeMap<>();
        try (Stream<Path> files = Files.walk(codes)) {
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                content.put(codes.relativize(file).toString(), Arrays.toString(Files.readAllBytes(file)));
            }
        }
        return content;
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void storesWhatTheTokenizerSeesOfEveryPicture(boolean packed) throws IOException {
        for (CropPlan plan : List.of(TEN, CropPlan.centreAndMirror(MadeUpPictures.SIZE))) {
            Path to = folder.resolve("codes" + plan.crops());
            CodeSetDescription made = extraction(plan).packed(packed).build().run(to);
            assertTrue(made.complete());
            assertEquals(11, made.images());
            assertEquals(List.of(4, 1, 6), made.classImages());
            assertEquals(List.of("class 0", "class 1", "class 2"), made.classNames());
            assertEquals("imagenet8", made.name());
            assertEquals(List.of(), made.skipped());
            assertEquals(plan, made.crops().plan());
            assertEquals(Sha256.of(book), made.tokenizer().sha256());
            assertFalse(Files.exists(to.resolve(CodeSetWriter.SKIPPED)));
            ImageFolder pictures = ImageFolder.list(data);
            ImageTokenizer tokenizer = TokenizerFile.load(book);
            try (CodeStore store = CodeStore.open(to)) {
                assertEquals(made, store.description().orElseThrow());
                assertEquals(MadeUpPictures.VOCABULARY, store.vocabulary().orElseThrow());
                assertEquals(3, store.classes().orElseThrow());
                assertEquals(11, store.images());
                assertEquals(plan.crops(), store.crops());
                for (int i = 0; i < 11; i++) {
                    int[][] expected = tokenizer.encode(plan.cut(ImageFile.read(pictures.file(i))));
                    for (int c = 0; c < expected.length; c++) {
                        assertArrayEquals(expected[c], store.codes(i, c));
                    }
                    assertEquals(pictures.label(i), store.label(i));
                }
            }
        }
    }

    @Test
    void batchesThreadsAndLayoutsChangeNothing() throws IOException {
        MadeUpPictures.truncate(data.resolve("class 2/001.jpg"));
        String hash = null;
        for (boolean packed : new boolean[] {false, true}) {
            for (int batch : new int[] {1, 3, 50}) {
                for (int threads : new int[] {1, 7}) {
                    CodeSetDescription made = extraction(packed)
                            .batch(batch)
                            .threads(threads)
                            .build()
                            .run(folder.resolve("to " + packed + batch + threads));
                    assertEquals(10, made.images());
                    hash = hash == null ? made.codesSha256() : hash;
                    assertEquals(hash, made.codesSha256());
                }
            }
        }
        MadeUpPictures.picture(data.resolve("class 2/000.png"), 9, 9, new Random(5));
        assertNotEquals(
                hash, extraction(true).build().run(folder.resolve("other")).codesSha256());
    }

    /** The first and the last picture, two behind each other, and every kind of damage. */
    private List<Skipped> damage() throws IOException {
        MadeUpPictures.truncate(data.resolve("class 0/000.png"));
        Files.write(data.resolve("class 0/003.jpg"), new byte[0]);
        Files.writeString(data.resolve("class 2/000.png"), "no picture");
        MadeUpPictures.truncate(data.resolve("class 2/001.jpg"));
        Files.delete(data.resolve("class 2/005.jpg"));
        Files.createSymbolicLink(data.resolve("class 2/005.jpg"), folder.resolve("nothing"));
        List<Skipped> skipped = new ArrayList<>();
        Object[][] expected = {
            {0, "class 0/000.png", "it is truncated"},
            {3, "class 0/003.jpg", "it is empty"},
            {5, "class 2/000.png", "it is no picture of a known kind"},
            {6, "class 2/001.jpg", "it is truncated"},
            {10, "class 2/005.jpg", "there is no such file"}
        };
        for (Object[] picture : expected) {
            skipped.add(new Skipped(
                    (int) picture[0], data.resolve((String) picture[1]).toString(), (String) picture[2]));
        }
        return skipped;
    }

    private static void assertSkipped(List<Skipped> expected, List<Skipped> actual) {
        assertEquals(
                expected.stream().map(Skipped::file).toList(),
                actual.stream().map(Skipped::file).toList());
        for (int i = 0; i < expected.size(); i++) {
            assertEquals(expected.get(i).picture(), actual.get(i).picture());
            assertTrue(actual.get(i).reason().startsWith(expected.get(i).reason()), actual.get(i)::reason);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void brokenPicturesAreSkippedAndTheRestMovesUp(boolean packed) throws IOException {
        List<Skipped> expected = damage();
        List<Skipped> told = new ArrayList<>();
        CodeSetDescription made = extraction(packed)
                .batch(2)
                .observer(new ExtractionObserver() {
                    @Override
                    public void onSkip(Skipped picture) {
                        told.add(picture);
                    }
                })
                .build()
                .run(folder.resolve("codes"));
        assertSkipped(expected, made.skipped());
        assertEquals(told, made.skipped());
        assertEquals(6, made.images());
        assertEquals(List.of(2, 1, 3), made.classImages());
        assertEquals(List.of(4, 1, 6), made.data().classPictures());
        ImageTokenizer tokenizer = TokenizerFile.load(book);
        ImageFolder pictures = ImageFolder.list(data);
        int[] pictureOf = {1, 2, 4, 7, 8, 9};
        try (CodeStore store = CodeStore.open(folder.resolve("codes"))) {
            for (int i = 0; i < 6; i++) {
                assertEquals(pictures.label(pictureOf[i]), store.label(i));
                assertArrayEquals(
                        tokenizer.encode(TEN.cut(ImageFile.read(pictures.file(pictureOf[i]))))[7], store.codes(i, 7));
            }
        }
        assertEquals(
                5,
                Files.readAllLines(folder.resolve("codes").resolve(CodeSetWriter.SKIPPED))
                        .size());
    }

    @Test
    void strictStopsAtABrokenPicture() throws IOException {
        MadeUpPictures.truncate(data.resolve("class 2/001.jpg"));
        Path to = folder.resolve("codes");
        FileSystemException e = assertThrows(
                FileSystemException.class,
                () -> extraction(true).strict(true).batch(4).build().run(to));
        assertEquals(data.resolve("class 2/001.jpg").toString(), e.getFile());
        assertTrue(e.getReason().startsWith("it is truncated"), e::getReason);
        try (CodeStore store = CodeStore.open(to)) {
            assertEquals(6, store.images());
            assertFalse(store.description().orElseThrow().complete());
        }
        // not strict, it goes on; strict again, what was skipped before counts
        assertEquals(10, extraction(true).build().run(to).images());
        e = assertThrows(
                FileSystemException.class,
                () -> extraction(true).strict(true).build().run(to));
        assertEquals(data.resolve("class 2/001.jpg").toString(), e.getFile());
    }

    /** A disk that is full after so many images, in the middle of one. */
    private static CodeSetWriter.Writers full(int images) {
        return (to, description) -> {
            CodeWriter whole = CodeSetWriter.layout(to, description);
            return new CodeWriter() {
                private int added;

                @Override
                public int images() {
                    return whole.images();
                }

                @Override
                public void add(int[][] codes, int label) throws IOException {
                    if (added++ == images) {
                        Path half = to.resolve(
                                description.packed()
                                        ? description.name() + PackedCodes.ENDING
                                        : description.name() + "_codes/" + whole.images() + ".npy");
                        if (description.packed()) {
                            try (RandomAccessFile file = new RandomAccessFile(half.toFile(), "rw")) {
                                file.seek(file.length());
                                file.write(new byte[] {1, 2, 3});
                            }
                        } else {
                            // codes without a label, and the temporary file of a process that was killed
                            Files.writeString(half, "half");
                            Files.writeString(half.resolveSibling(".x.npy.1.tmp"), "half");
                        }
                        throw new FileSystemException(half.toString(), null, "No space left on device");
                    }
                    whole.add(codes, label);
                }

                @Override
                public void force() throws IOException {
                    whole.force();
                }

                @Override
                public void close() throws IOException {
                    whole.close();
                }
            };
        };
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void aFullDiskAtAnyImageLosesNothing(boolean packed) throws IOException {
        damage();
        Path straight = folder.resolve("straight");
        extraction(packed).build().run(straight);
        for (int images = 0; images < 6; images++) {
            int batch = 1 + images % 3;
            Path to = folder.resolve("full " + images + " " + batch);
            CodeExtraction failing =
                    extraction(packed).batch(batch).writers(full(images)).build();
            FileSystemException e = assertThrows(FileSystemException.class, () -> failing.run(to));
            assertTrue(e.getMessage().contains("No space left on device"), e::getMessage);
            if (images > 0) {
                try (CodeStore store = CodeStore.open(to)) {
                    assertEquals(images, store.images());
                }
            }
            int[] done = new int[2];
            CodeSetDescription made = extraction(packed)
                    .observer(new ExtractionObserver() {
                        @Override
                        public void onStart(int pictures, int alreadyDone, int skipped) {
                            done[0] = alreadyDone;
                            done[1] = skipped;
                        }
                    })
                    .build()
                    .run(to);
            assertEquals(images, done[0] - done[1]);
            assertEquals(6, made.images());
            assertEquals(content(straight), content(to));
        }
    }

    @Test
    void aPowerCutThatTookImagesTakesWhatWasSkippedBehindThem() throws IOException {
        List<Skipped> expected = damage();
        Path straight = folder.resolve("straight");
        extraction(true).build().run(straight);
        Path codes = straight.resolve("imagenet8.codes");
        byte[] all = Files.readAllBytes(codes);
        int record = 10 * 16 * 2 + 8;
        Map<String, String> whole = content(straight);
        for (int images = 0; images < 6; images++) {
            Path to = Files.createDirectory(folder.resolve("cut " + images));
            extraction(true).build().description().write(to);
            // the count was never written; the list of skipped pictures is whole, or ends within a line
            byte[] cut = Arrays.copyOf(all, 64 + images * record);
            Arrays.fill(cut, 32, 40, (byte) 0);
            Files.write(to.resolve("imagenet8.codes"), cut);
            byte[] list = Files.readAllBytes(straight.resolve(CodeSetWriter.SKIPPED));
            Files.write(to.resolve(CodeSetWriter.SKIPPED), Arrays.copyOf(list, list.length - 7 * (images % 2)));
            assertSkipped(expected, extraction(true).build().run(to).skipped());
            assertEquals(whole, content(to));
        }
    }

    @Test
    void aDamagedListOfSkippedPicturesIsAnError() throws IOException {
        damage();
        Path to = folder.resolve("codes");
        assertThrows(
                IOException.class,
                () -> extraction(true).writers(full(4)).build().run(to));
        Path list = to.resolve(CodeSetWriter.SKIPPED);
        List<String> lines = Files.readAllLines(list);
        Files.write(list, List.of(lines.get(1), lines.get(0)));
        fails(() -> extraction(true).build().run(to), list, "nobody knows which pictures the images are");
        Files.write(list, List.of("{}"));
        fails(() -> extraction(true).build().run(to), list, "it is damaged");
    }

    @Test
    void otherSettingsAreListed() throws IOException {
        Path to = folder.resolve("codes");
        extraction(true).build().run(to);
        int[] done = new int[2];
        CodeSetDescription again = extraction(true)
                .observer(new ExtractionObserver() {
                    @Override
                    public void onStart(int pictures, int alreadyDone, int skipped) {
                        done[0]++;
                        done[1] = alreadyDone;
                    }
                })
                .build()
                .run(to);
        assertArrayEquals(new int[] {1, 11}, done);
        assertEquals(11, again.images());

        CodeExtraction other = extraction(CropPlan.centreAndMirror(MadeUpPictures.SIZE))
                .dataSet("photos")
                .build();
        says(
                () -> other.run(to),
                "holds codes that were made in another way (name: imagenet8, here photos8; packed: true, here false;"
                        + " ten crops: true, here false; centre crop: 12, here 8)");
        MadeUpPictures.tokenizer(book, 2);
        says(() -> extraction(true).build().run(to), "SHA-256 of the tokenizer: ");
        MadeUpPictures.tokenizer(book, 1);
        Files.copy(data.resolve("class 1/000.png"), data.resolve("class 1/111.png"));
        says(
                () -> extraction(true).build().run(to),
                "(pictures: 11, here 12; SHA-256 of the pictures' paths and sizes: ");
        Files.delete(data.resolve("class 1/111.png"));
        Files.move(data.resolve("class 1/000.png"), data.resolve("class 1/111.png"));
        says(() -> extraction(true).build().run(to), "(SHA-256 of the pictures' paths and sizes: ");
    }

    @Test
    void whatIsInTheWayIsNamed() throws IOException {
        Path to = folder.resolve("codes");
        CodeSetDescription description = extraction(true).build().description();
        try (CodeSetWriter held = CodeSetWriter.open(to, description, CodeSetWriter::layout)) {
            assertEquals(0, held.nextPicture());
            says(() -> extraction(true).build().run(to), "Another process is writing codes to " + to);
        }
        extraction(true).build().run(to);
        Files.delete(to.resolve(CodeSetDescription.FILE));
        says(() -> extraction(true).build().run(to), "holds imagenet8.codes, but no dataset.json");
        // codes that something else changed are not declared whole
        Path changed = folder.resolve("changed");
        assertThrows(
                IOException.class,
                () -> extraction(false).writers(full(3)).build().run(changed));
        Files.copy(changed.resolve("imagenet8_labels/1.npy"), changed.resolve("imagenet8_labels/7.npy"));
        NpyFile.writeInt64(changed.resolve("imagenet8_labels/1.npy"), new int[] {2});
        fails(() -> extraction(false).build().run(changed), changed, "is not of the class of its picture");
    }

    @Test
    void picturesOfWhichNoneCanBeUsed() throws IOException {
        for (Path file : pictures()) {
            Files.writeString(file, "no picture");
        }
        fails(
                () -> extraction(true).build().run(folder.resolve("codes")),
                data,
                "none of its 11 pictures can be used. The first, " + data.resolve("class 0/000.png")
                        + ": it is no picture of a known kind");
    }

    /** A drive that goes away is not a set of broken pictures. */
    @Test
    void aFolderThatGoesAwayIsAnError() throws IOException {
        Path to = folder.resolve("codes");
        Path away = folder.resolve("away");
        CodeExtraction extraction = extraction(true)
                .threads(1)
                .observer(new ExtractionObserver() {
                    @Override
                    public void onProgress(int done, int skipped) {
                        try {
                            if (Files.exists(data)) {
                                Files.move(data, away);
                            }
                        } catch (IOException e) {
                            throw new UncheckedIOException(e);
                        }
                    }
                })
                .build();
        fails(() -> extraction.run(to), data, "the folder of the pictures is gone");
        Files.move(away, data);
        assertEquals(11, extraction(true).build().run(to).images());
    }

    @Test
    void smallPicturesAreEnlargedAndCounted() throws IOException {
        MadeUpPictures.picture(data.resolve("class 1/000.png"), 3, 40, new Random(1));
        List<Integer> enlarged = new ArrayList<>();
        extraction(CropPlan.centreAndMirror(MadeUpPictures.SIZE))
                .observer(new ExtractionObserver() {
                    @Override
                    public void onEnlarged(int picture) {
                        enlarged.add(picture);
                    }
                })
                .build()
                .run(folder.resolve("codes"));
        assertEquals(List.of(4), enlarged);
    }

    @Test
    void wrongSettingsAreNamed() throws IOException {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> extraction(CropPlan.centreAndMirror(9))
                        .build());
        assertTrue(
                e.getMessage().startsWith("The tokenizer does not take colour images of 9 x 9 pixels: "),
                e::getMessage);
        assertThrows(
                IllegalArgumentException.class, () -> extraction(true).batch(0).build());
        assertThrows(
                IllegalArgumentException.class,
                () -> extraction(true).threads(0).build());
        e = assertThrows(
                IllegalArgumentException.class,
                () -> extraction(true).dataSet("../x").build());
        assertTrue(e.getMessage().contains("got '../x'"), e::getMessage);
    }

    private List<Path> pictures() throws IOException {
        try (Stream<Path> files = Files.walk(data)) {
            return files.filter(Files::isRegularFile)
                    .sorted(Comparator.naturalOrder())
                    .toList();
        }
    }

    private static void fails(Executable call, Path file, String reason) {
        FileSystemException e = assertThrows(FileSystemException.class, call);
        assertEquals(file.toString(), e.getFile());
        assertTrue(e.getMessage().contains(reason), e::getMessage);
    }

    private static void says(Executable call, String part) {
        IllegalStateException e = assertThrows(IllegalStateException.class, call);
        assertTrue(e.getMessage().contains(part), e::getMessage);
    }
}
