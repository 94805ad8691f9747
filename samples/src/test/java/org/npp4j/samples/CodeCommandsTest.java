package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.codes.CodeSetDescription;
import org.npp4j.llamagen.codes.CodeStore;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import org.npp4j.samples.bench.OwnJvm;

class CodeCommandsTest {
    static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private Path data;
    private Path book;
    private Path to;

    @BeforeEach
    void write() throws IOException {
        data = folder.resolve("pictures");
        Random random = new Random(3);
        for (int c = 0; c < 3; c++) {
            for (int i = 0; i < 5; i++) {
                picture(String.format("%c/%d.%s", 'a' + c, i, i % 2 == 0 ? "png" : "jpg"), 20, 24, random);
            }
        }
        book = folder.resolve("codebook.json");
        byte[] codes = new byte[64 * 12];
        random.nextBytes(codes);
        new BlockCodebook(TokenGrid.of(4, 4), 2, 3, 8, 8, 0, codes).save(book);
        to = folder.resolve("codes");
    }

    private void picture(String name, int height, int width, Random random) throws IOException {
        Path file = data.resolve(name);
        Files.createDirectories(file.getParent());
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_3BYTE_BGR);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                image.setRGB(x, y, random.nextInt(1 << 24));
            }
        }
        ImageIO.write(image, name.substring(name.length() - 3), file.toFile());
    }

    private void truncate(String name) throws IOException {
        byte[] bytes = Files.readAllBytes(data.resolve(name));
        Files.write(data.resolve(name), Arrays.copyOf(bytes, bytes.length / 2));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void picturesBecomeCodesThatPassTheCheck(boolean packed) throws IOException {
        truncate("b/1.jpg");
        picture("c/4.png", 7, 40, new Random(1));
        List<String> options = new ArrayList<>(List.of(
                "--image-size", "8", "--ten-crop", "--crop-range", "1.25", "--batch", "2", "--codebook-size", "64"));
        if (packed) {
            options.add("--packed");
        }
        assertEquals(0, extract(options.toArray(String[]::new)), err::toString);
        List<String> lines = out.toString().lines().toList();
        assertTrue(
                lines.get(0)
                        .matches("14 images of 10 crops of 16 tokens, 3 classes, in [0-9.]+ s, [0-9.]+ images/s, peak"
                                + " memory [0-9.]+ GiB: "
                                + (packed ? "imagenet8\\.codes" : "imagenet8_codes and imagenet8_labels")
                                + " in .*codes"),
                out::toString);
        assertEquals(
                "1 pictures were smaller than the centre crop of 10 pixels and were enlarged, as in the published pipeline.",
                lines.get(1));
        assertEquals("1 pictures were skipped:", lines.get(2));
        assertTrue(lines.get(3).startsWith("  " + data.resolve("b/1.jpg") + ": it is truncated"), lines.get(3));
        CodeSetDescription made = CodeSetDescription.find(to).orElseThrow();
        assertEquals(List.of(5, 4, 5), made.classImages());
        assertEquals(data.resolve("b/1.jpg").toString(), made.skipped().get(0).file());

        assertEquals(0, extract(options.toArray(String[]::new)), err::toString);
        assertTrue(out.toString().contains("(nothing was left to do)"), out::toString);

        Path sheet = folder.resolve("sheet.png");
        assertEquals(
                0,
                check("--data-path", data.toString(), "--samples", "6", "--out", sheet.toString()),
                () -> out + " " + err);
        lines = out.toString().lines().toList();
        assertTrue(
                lines.get(0).endsWith(": 14 images of 10 crops of 16 tokens, 3 classes of 4 to 5 images"),
                lines.get(0));
        assertTrue(
                lines.get(1).matches("codebook: [0-9.]+ % of 64 codes used, perplexity [0-9.]+, among 2240 tokens"),
                lines.get(1));
        assertTrue(
                lines.get(2)
                        .matches(
                                "reconstruction: mean squared error 0\\.[0-9]+ \\(PSNR [0-9.]+ dB\\) of 6 crops, encoded"
                                        + " again 0\\.[0-9]+; 100\\.0 % of the codes are the same when encoded again"),
                lines.get(2));
        assertEquals("sheet: " + sheet + ", originals each before what was decoded", lines.get(3));
        assertEquals("warning: The classes are not balanced as the folders are: b 4 of 5", lines.get(4));
        BufferedImage picture = ImageIO.read(sheet.toFile());
        assertEquals(8 * 64 + 7 * 2, picture.getWidth());
        assertEquals(2 * 64 + 2, picture.getHeight());

        assertEquals(0, check("--out", sheet.toString()), err::toString);
        assertTrue(out.toString().contains("sheet: " + sheet + System.lineSeparator()), out::toString);
    }

    /** The published file layout through any tokenizer. */
    @Test
    void vqTokenizersExtractToo() throws IOException {
        Path vq = folder.resolve("vq.pt");
        VqConfig config = new VqConfig(List.of(1, 1), 32, 16, 50, 4, 1);
        VqTokenizer.random(config, 16, 16, 5).save(vq);
        book = vq;
        assertEquals(
                0, extract("--image-size", "16", "--codebook-size", "50", "--codebook-embed-dim", "4"), err::toString);
        try (CodeStore store = CodeStore.open(to)) {
            assertEquals(2, store.crops());
            assertEquals(TokenGrid.of(8, 8), store.grid());
            assertEquals(15, store.images());
        }
        assertEquals(0, check("--data-path", data.toString(), "--out", folder + "/s.png"), err::toString);
        assertTrue(out.toString().contains("100.0 % of the codes are the same"), out::toString);
        isUsageError(
                "--codebook-embed-dim is 8, but the codes of " + vq + " have 4 numbers",
                extract("--codebook-embed-dim", "8"));
        isUsageError("--codebook-size is 16384, but " + vq + " has 50 codes", extract("--codebook-size", "16384"));
        isUsageError("--vq-model is VQ-16, but " + vq + " is a VQ tokenizer of ", extract("--vq-model", "VQ-16"));
        isUsageError("--vq-model: ", extract("--vq-model", "VQ-17"));
        isUsageError("--image-size: ", extract("--image-size", "17"));
    }

    @Test
    void warningsAreSaidAndCanCount() throws IOException {
        assertEquals(0, extract(), err::toString);
        NpyFile.writeInt64(to.resolve("imagenet8_labels/0.npy"), new int[] {2});
        String[] options = {"--data-path", data.toString(), "--out", folder + "/s.png"};
        assertEquals(0, check(options), err::toString);
        assertTrue(
                out.toString().contains("warning: 1 of 15 images have another class than their picture"),
                out::toString);
        List<String> strict = new ArrayList<>(List.of(options));
        strict.add("--strict");
        assertEquals(1, check(strict.toArray(String[]::new)), err::toString);
        // codes of others: two crops are the centre and its mirror image
        Files.delete(to.resolve(CodeSetDescription.FILE));
        NpyFile.writeInt64(to.resolve("imagenet8_labels/0.npy"), new int[] {0});
        out.getBuffer().setLength(0);
        assertEquals(0, check(options), err::toString);
        assertTrue(out.toString().contains("100.0 % of the codes are the same"), out::toString);
        // the codebook's blocks are random
        assertEquals(2, out.toString().split("warning: ", -1).length, out::toString);
        assertTrue(out.toString().contains("warning: The tokenizer gives the originals back"), out::toString);
    }

    @Test
    void badInputIsOneLine() throws IOException {
        Path empty = Files.createDirectories(folder.resolve("empty"));
        Path pictures = data;
        data = empty;
        fails("Cannot use " + empty + ": ", extract());
        data = pictures.resolve("a/0.png");
        isUsageError("--data-path must be a folder of class folders, but " + data + " is a file", extract());
        data = pictures.resolve("nowhere");
        isUsageError("--data-path must be a folder of class folders, but " + data + " does not exist", extract());
        data = pictures;
        Path here = to;
        to = data.resolve("codes");
        isUsageError("where every folder is a class. Choose a folder elsewhere", extract());
        to = book;
        isUsageError("--code-path must be a folder, but " + book + " is a file", extract());
        to = here;
        isUsageError("--batch must be at least 1, but is 0", extract("--batch", "0"));
        isUsageError("--threads must be at least 1, but is -1", extract("--threads", "-1"));
        isUsageError("The crop range is 0.9; it must be at least 1", extract("--ten-crop", "--crop-range", "0.9"));
        isUsageError("--vq-model and --codebook-embed-dim describe VQ tokenizers", extract("--vq-model", "VQ-16"));
        fails("The tokenizer does not take colour images of 256 x 256 pixels", extract("--image-size", "256"));
        Files.createDirectories(data.resolve("d"));
        fails("no pictures for 1 of its 4 classes: d", extract());
        Files.delete(data.resolve("d"));
        assertFalse(Files.exists(to));

        truncate("a/2.png");
        fails("Cannot use " + data.resolve("a/2.png") + ": it is truncated", extract("--strict"));
        assertTrue(
                err.toString().contains(". 2 or more images are stored whole; the same command goes on behind them"),
                err::toString);
        assertEquals(0, extract("--global-seed", "0", "--num-workers", "0", "--debug"), err::toString);
        assertTrue(out.toString().contains("14 images of 2 crops"), out::toString);
        assertTrue(out.toString().contains("(2 pictures were done already)"), out::toString);
        fails(
                "holds codes that were made in another way (ten crops: false, here true)",
                extract("--ten-crop", "--crop-range", "1"));

        isUsageError(
                "There are no codes " + folder.resolve("none"),
                npp("check-codes", folder + "/none", "--vq-ckpt", book.toString()));
        isUsageError("--samples must be at least 1, but is 0", check("--samples", "0"));
        isUsageError("its name must end in .png", check("--out", "sheet.jpg"));
        Files.delete(to.resolve("imagenet8_codes/3.npy"));
        fails("1 of 14 files are missing, the first is 3.npy", check());
        NpyFile.writeInt64(to.resolve("imagenet8_codes/3.npy"), new int[32], 1, 2, 16);
        NpyFile.writeInt64(to.resolve("imagenet8_codes/5.npy"), filled(64), 1, 2, 16);
        fails(to.resolve("imagenet8_codes/5.npy") + " holds the code 64, but the tokenizer's codebook has 64", check());
        book = folder.resolve("none.pt");
        isUsageError("--vq-ckpt: there is no file", check());
    }

    private static int[] filled(int code) {
        int[] codes = new int[32];
        Arrays.fill(codes, code);
        return codes;
    }

    @Test
    void oneClassIsAllowed() throws IOException {
        for (String name : List.of("b", "c")) {
            try (Stream<Path> files = Files.list(data.resolve(name))) {
                for (Path file : files.toList()) {
                    Files.delete(file);
                }
            }
            Files.delete(data.resolve(name));
        }
        assertEquals(0, extract(), err::toString);
        assertTrue(out.toString().startsWith("5 images of 2 crops of 16 tokens, 1 classes"), out::toString);
    }

    @Test
    void aFileWithoutPermissionIsSkipped() throws IOException {
        Path file = data.resolve("a/0.png");
        assumeTrue(Files.getFileStore(file).supportsFileAttributeView("posix"), "needs a system with permissions");
        Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("---------"));
        assumeFalse(Files.isReadable(file), "this user reads files without permission");
        assertEquals(0, extract(), err::toString);
        assertTrue(out.toString().contains(file + ": no permission to read it"), out::toString);
    }

    @Test
    void aFullDiskSaysWhatStays() {
        ExtractCodesCommand.Watcher watcher = new ExtractCodesCommand.Watcher(to);
        watcher.onStart(10, 4, 1);
        IOException full = new FileSystemException("x.npy", null, "No space left on device");
        assertEquals(
                "The disk is full: cannot write to " + to
                        + ". Free some space. 3 or more images are stored whole; the same"
                        + " command goes on behind them",
                watcher.explained(full).getMessage());
        assertEquals(
                "Cannot use x.npy: odd. 3 or more images are stored whole; the same command goes on behind them",
                watcher.explained(new FileSystemException("x.npy", null, "odd")).getMessage());
        watcher.close();
    }

    /** Processes that really die, without a chance to tidy up, at many points; the last one ends. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void killedAtAnyMomentItGoesOn(boolean packed) throws Exception {
        Random random = new Random(packed ? 1 : 2);
        for (int i = 5; i < 90; i++) {
            picture(String.format("%c/%d.png", 'a' + i % 3, i), 12, 12, random);
        }
        for (int i = 6; i < 90; i += 9) {
            truncate(String.format("%c/%d.png", 'a' + i % 3, i));
        }
        List<String> options = new ArrayList<>(
                List.of("extract-codes", "--vq-ckpt", book.toString(), "--data-path", data.toString(), "--ten-crop"));
        if (packed) {
            options.add("--packed");
        }
        Path straight = folder.resolve("straight");
        assertEquals(0, npp(with(options, straight)), err::toString);

        int kills = 0;
        int stored = 0;
        while (kills < 4) {
            List<String> command = OwnJvm.command(ExtractionProcess.class);
            command.addAll(List.of(with(options, to)));
            Process process = new ProcessBuilder(command)
                    .redirectErrorStream(true)
                    .redirectOutput(folder.resolve("log").toFile())
                    .start();
            // some images later, wherever it then is
            int target = stored + random.nextInt(20);
            while (stored(packed) <= target && !process.waitFor(5, TimeUnit.MILLISECONDS)) {
                assertTrue(stored(packed) >= stored, "nothing is lost");
            }
            // SIGKILL
            process.destroyForcibly().waitFor();
            int now = stored(packed);
            assertTrue(now >= stored, "nothing is lost");
            stored = now;
            kills++;
        }
        assertEquals(0, npp(with(options, to)), err::toString);
        assertEquals(content(straight), content(to));
    }

    private int stored(boolean packed) {
        Path codes = to.resolve("imagenet8.codes");
        if (packed) {
            return (int) (codes.toFile().length() / (10 * 16 * 2 + 8));
        }
        String[] labels = to.resolve("imagenet8_labels").toFile().list((at, name) -> name.endsWith(".npy"));
        return labels == null ? 0 : labels.length;
    }

    /** Every file of a set. */
    private static Map<String, String> content(Path codes) throws IOException {
        Map<String, String> content = new TreeMap<>();
        try (Stream<Path> files = Files.walk(codes)) {
            for (Path file : (Iterable<Path>) files.filter(Files::isRegularFile)::iterator) {
                content.put(codes.relativize(file).toString(), Arrays.toString(Files.readAllBytes(file)));
            }
        }
        return content;
    }

    private static String[] with(List<String> options, Path codes) {
        List<String> all = new ArrayList<>(options);
        all.addAll(List.of("--code-path", codes.toString()));
        return all.toArray(String[]::new);
    }

    private void fails(String message, int code) {
        assertEquals(1, code, () -> out + " " + err);
        assertTrue(err.toString().contains(message), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    private void isUsageError(String message, int code) {
        assertEquals(2, code, () -> out + " " + err);
        assertTrue(err.toString().contains(message), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    private int extract(String... options) {
        List<String> args = new ArrayList<>(List.of(
                "extract-codes",
                "--vq-ckpt",
                book.toString(),
                "--data-path",
                data.toString(),
                "--code-path",
                to.toString()));
        args.addAll(List.of(options));
        return npp(args.toArray(String[]::new));
    }

    private int check(String... options) {
        List<String> args = new ArrayList<>(List.of("check-codes", to.toString(), "--vq-ckpt", book.toString()));
        args.addAll(List.of(options));
        return npp(args.toArray(String[]::new));
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return run(new PrintWriter(out, true), new PrintWriter(err, true), args);
    }

    static int run(PrintWriter out, PrintWriter err, String... args) {
        return Npp.run(
                List.of(new ExtractCodesCommand(() -> BACKEND), new CheckCodesCommand(() -> BACKEND)), out, err, args);
    }
}
