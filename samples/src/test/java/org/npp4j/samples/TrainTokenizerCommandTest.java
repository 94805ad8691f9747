package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.KlAutoencoder;
import org.npp4j.llamagen.tokenizer.KlDescription;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;

class TrainTokenizerCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");
    private static final VqConfig TINY = new VqConfig(List.of(1, 1), 32, 8, 16, 4, 1);
    private static final int CIFAR_RECORD = 3073;

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private Path data;
    private Path config;
    private Path to;

    @BeforeEach
    void makeImages() throws IOException {
        data = Files.createDirectory(folder.resolve("data"));
        Files.write(data.resolve("train.bin"), cifar(24, 1));
        Files.write(data.resolve("test.bin"), cifar(3, 2));
        config = Files.writeString(folder.resolve("tiny.json"), TINY.toJson());
        to = folder.resolve("out");
    }

    /** Images of one colour each, darker towards one side. */
    private static byte[] cifar(int count, long seed) {
        byte[] file = new byte[count * CIFAR_RECORD];
        Random random = new Random(seed);
        for (int i = 0; i < count; i++) {
            file[i * CIFAR_RECORD] = (byte) (i % 10);
            for (int c = 0; c < 3; c++) {
                int level = random.nextInt(256);
                for (int p = 0; p < 1024; p++) {
                    file[i * CIFAR_RECORD + 1 + c * 1024 + p] = (byte) (level * (p % 32 + 32) / 64);
                }
            }
        }
        return file;
    }

    @Test
    void learnsATokenizer() throws IOException {
        assertEquals(
                0, train("--epochs", "8", "--warmup-steps", "4", "--sheet-every", "12", "--compare"), err::toString);
        assertTrue(
                out.toString()
                        .matches("(?s)24 steps in \\d+ s, peak memory [0-9.]+ GiB: .*vq\\.pt\\R3 test images, 64 tokens"
                                + " each: mean squared error 0\\.\\d+ \\(pixels in \\[0, 1\\]\\), \\d+% of 16 codes used,"
                                + " perplexity \\d+\\Rk-means codebook of 16 blocks of 2 x 2 pixels: .*"),
                out::toString);
        VqTokenizer tokenizer = VqTokenizer.load(to.resolve("vq.pt"), VqConfig.read(to.resolve("vq.json")), 8, 8);
        assertEquals(TINY, tokenizer.config());
        List<String> metrics = Files.readAllLines(to.resolve("metrics.csv"));
        assertEquals(3, metrics.size(), metrics::toString);
        assertEquals(metrics.get(0).split(",").length, metrics.get(2).split(",", -1).length);
        assertTrue(error(metrics.get(2)) < error(metrics.get(1)), metrics::toString);
        BufferedImage sheet = ImageIO.read(to.resolve("sheet.png").toFile());
        assertTrue(sheet.getWidth() > 3 * 8 && sheet.getHeight() > 2 * 8);
        try (var files = Files.list(to)) {
            assertEquals(5, files.count()); // nothing temporary is left
        }
    }

    private static double error(String line) {
        return Double.parseDouble(line.split(",")[2]);
    }

    /** Restarts, learning rate, optimizer and moving average go on: nothing shows that the run was stopped. */
    @Test
    void stoppedAnywhereItEndsInTheSameFiles() throws IOException {
        // 24 steps, restarts until 16; more codes than colours: some are never chosen
        String[] options = {
            "--epochs", "8", "--warmup-steps", "4", "--ema", "--ema-decay", "0.9", "--codebook-size", "64"
        };
        assertEquals(0, train(options), err::toString);
        assertTrue(out.toString().contains("With the moving average of the weights, "), out::toString);
        Path whole = to;
        String last = last(whole);
        assertTrue(Integer.parseInt(last.split(",")[6]) > 0, "codes were moved: " + last);
        to = folder.resolve("in three");
        assertEquals(0, train(with(options, "--steps", "7", "--ckpt-every", "4")), err::toString);
        assertTrue(out.toString().startsWith("7 steps in "), out::toString);
        assertEquals(0, train(with(options, "--steps", "13", "--resume")), err::toString);
        assertTrue(out.toString().startsWith("6 steps in "), out::toString);
        assertEquals(0, train(with(options, "--resume")), err::toString);
        assertTrue(out.toString().startsWith("11 steps in "), out::toString);
        for (String file : List.of("vq.pt", "vq-ema.pt")) {
            assertArrayEquals(Files.readAllBytes(whole.resolve(file)), Files.readAllBytes(to.resolve(file)), file);
        }
        assertFalse(
                Arrays.equals(Files.readAllBytes(to.resolve("vq.pt")), Files.readAllBytes(to.resolve("vq-ema.pt"))));
        assertEquals(last.split(",")[6], last(to).split(",")[6]);
        assertEquals(last.split(",")[9], last(to).split(",")[9]);
        fails(1, "has a moving average of the weights: give --ema", "--resume", "--codebook-size", "64");
        // and it starts from a tokenizer
        Path first = to.resolve("vq.pt");
        to = folder.resolve("from another");
        assertEquals(
                0,
                train("--epochs", "1", "--steps", "1", "--codebook-size", "64", "--vq-ckpt", first.toString()),
                err::toString);
    }

    private static String last(Path run) throws IOException {
        List<String> lines = Files.readAllLines(run.resolve("metrics.csv"));
        return lines.get(lines.size() - 1);
    }

    @Test
    void readsEveryKindOfData() throws IOException {
        List<String> skipped = new ArrayList<>();
        TokenizerImages cifar = TokenizerImages.load(data, null, skipped::add);
        assertEquals(24, cifar.train().count());
        assertEquals(3, cifar.test().count());
        assertEquals(32, cifar.test().width());
        assertEquals(16, TokenizerImages.load(data, 16, skipped::add).train().height());

        Path flat = Files.createDirectory(folder.resolve("flat"));
        Path classes = folder.resolve("classes");
        for (int i = 0; i < 41; i++) {
            BufferedImage picture = new BufferedImage(20, 30, BufferedImage.TYPE_INT_RGB);
            picture.setRGB(3, 3, 0x123456 * i);
            ImageIO.write(
                    picture, "png", flat.resolve(String.format("%02d.png", i)).toFile());
            Path of = Files.createDirectories(classes.resolve("class" + i % 2));
            ImageIO.write(
                    picture, "png", of.resolve(String.format("%02d.png", i)).toFile());
        }
        Files.writeString(flat.resolve("05.png"), "no picture");
        TokenizerImages pictures = TokenizerImages.load(flat, 8, skipped::add);
        assertEquals(1, skipped.size(), skipped::toString);
        assertTrue(skipped.get(0).contains("05.png"), skipped::toString);
        assertEquals(38, pictures.train().count());
        assertEquals(2, pictures.test().count());
        assertEquals(3, pictures.train().channels());
        assertEquals(
                41,
                TokenizerImages.load(classes, 8, skipped::add).train().count()
                        + TokenizerImages.load(classes, 8, skipped::add).test().count());
    }

    @Test
    void trainsOnGreyImages() throws IOException {
        // the shipped subset of Fashion-MNIST has 28 x 28 pixels
        LabelledImages grey = ShippedImages.load(LabelledImages.Split.TEST);
        TokenizerTraining.Settings settings =
                new TokenizerTraining.Settings(1, 4, 1e-3, 0, 1, 0.4, true, 9, 9, 0, 0, 0);
        PixelImages few = grey.images().range(0, 8);
        VqLearner.Settings vq = new VqLearner.Settings(0.25, 1, true, 0);
        AutoencoderLearner.Learnt learnt = new TokenizerTraining(
                        (height, width, steps, updater) -> new VqLearner(TINY, vq, height, width, steps, updater),
                        new TokenizerImages(few, few.range(0, 3)),
                        settings,
                        Files.createDirectory(to))
                .run(null, false);
        assertEquals(14, ((VqLearner.Tokenizer) learnt).tokenizer().grid().getWidth());
        assertTrue(Files.exists(to.resolve("sheet.png")));
    }

    private static final String TINY_KL = "{\"ch\": 32, \"ch_mult\": [1, 1], \"num_res_blocks\": 1, \"embed_dim\": 3}";

    @Test
    void learnsAnAutoencoder() throws IOException {
        Files.writeString(config, TINY_KL);
        assertEquals(0, train("--kl", "--epochs", "8", "--warmup-steps", "4", "--sheet-every", "12"), err::toString);
        assertTrue(
                out.toString()
                        .matches(
                                "(?s)24 steps in \\d+ s, peak memory [0-9.]+ GiB: .*kl\\.pt\\R3 test images, latents of 3"
                                        + " channels on 8 x 8 with a deviation of [0-9.]+: mean squared error 0\\.\\d+ \\(pixels in"
                                        + " \\[0, 1\\]\\), PSNR [0-9.]+ dB\\R"),
                out::toString);
        KlAutoencoder autoencoder = KlAutoencoder.load(to.resolve("kl.pt"), null);
        assertEquals(KlDescription.read(to.resolve("kl.json")), new KlDescription(autoencoder.config(), null));
        List<String> metrics = Files.readAllLines(to.resolve("metrics.csv"));
        assertEquals(
                "step,images,mean_squared_error,divergence,learning_rate,test_error,ema_test_error", metrics.get(0));
        assertEquals(3, metrics.size(), metrics::toString);
        assertTrue(error(metrics.get(2)) < error(metrics.get(1)), metrics::toString);
        assertTrue(Files.exists(to.resolve("sheet.png")));
        // and it starts from one
        Path learnt = to.resolve("kl.pt");
        to = folder.resolve("again");
        assertEquals(0, train("--kl", "--epochs", "1", "--kl-ckpt", learnt.toString()), err::toString);
    }

    /** The noise goes on where it was, too. */
    @Test
    void anAutoencoderStoppedAnywhereEndsInTheSameFiles() throws IOException {
        Files.writeString(config, TINY_KL);
        String[] options = {"--kl", "--epochs", "3", "--warmup-steps", "2", "--ema", "--ema-decay", "0.9"};
        assertEquals(0, train(options), err::toString);
        Path whole = to;
        to = folder.resolve("in two");
        assertEquals(0, train(with(options, "--steps", "4")), err::toString);
        assertEquals(0, train(with(options, "--resume")), err::toString);
        for (String file : List.of("kl.pt", "kl-ema.pt")) {
            assertArrayEquals(Files.readAllBytes(whole.resolve(file)), Files.readAllBytes(to.resolve(file)), file);
        }
        assertEquals(last(whole).split(",")[5], last(to).split(",")[5]);
        assertEquals(last(whole).split(",")[6], last(to).split(",")[6]);
    }

    @Test
    void explainsItselfInALine() throws IOException {
        fails(2, "are of VQ tokenizers, but --kl asks for a KL autoencoder", "--kl", "--codebook-size", "9");
        fails(2, "are of VQ tokenizers", "--kl", "--compare");
        fails(2, "Unknown keys channel_mult, channels, codebook_dim", "--kl");
        fails(2, "--kl-weight and --kl-ckpt need --kl", "--kl-weight", "1");
        fails(2, "--kl-weight must be 0 or above, but is -1.0", "--kl", "--kl-weight", "-1");
        fails(2, "--epochs must be at least 1", "--epochs", "0");
        fails(2, "--lr must be above 0", "--lr", "0");
        fails(2, "--steps must be at least 1, but is 0", "--steps", "0");
        fails(2, "--ema-decay must be 0 to below 1", "--ema", "--ema-decay", "1");
        fails(2, "--end-lr must be 0 to --lr", "--end-lr", "1");
        fails(2, "--image-size must be at least 1", "--image-size", "-3");
        fails(2, "--config and --vq-model exclude each other", "--vq-model", "VQ-8");
        fails(2, "codebook_size must be 1 to", "--codebook-size", "0");
        fails(2, "--batch-size must be at most the 24 training images", "--batch-size", "25");
        fails(1, "images whose sides are multiples of it, got 7 x 7 pixels", "--image-size", "7");
        Files.write(data.resolve("train.bin"), new byte[5]);
        fails(1, "is no binary file of CIFAR-10: it has 5 bytes");
        Files.delete(data.resolve("train.bin"));
        fails(1, "only test files of CIFAR-10");
        Files.delete(data.resolve("test.bin"));
        fails(1, "no ");
        data = folder.resolve("none");
        fails(1, "none does not exist");
    }

    @Test
    void refusesTheStateOfAnotherTokenizer() throws IOException {
        assertEquals(0, train("--epochs", "1"), err::toString);
        fails(1, "is of another tokenizer", "--resume", "--codebook-size", "20");
    }

    private static String[] with(String[] options, String... more) {
        List<String> all = new ArrayList<>(List.of(options));
        all.addAll(List.of(more));
        return all.toArray(String[]::new);
    }

    private void fails(int code, String message, String... options) {
        assertEquals(code, train(options), () -> out + " " + err);
        String last = err.toString().lines().reduce((a, b) -> b).orElse("");
        assertTrue(last.startsWith("npp: ") && last.contains(message), err::toString);
    }

    private int train(String... options) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        List<String> args = new ArrayList<>(List.of(
                "train-tokenizer", "--data", data.toString(), "--config", config.toString(), "--out", to.toString()));
        List<String> given = List.of(options);
        if (!given.contains("--image-size")) {
            args.addAll(List.of("--image-size", "16"));
        }
        if (!given.contains("--batch-size")) {
            args.addAll(List.of("--batch-size", "8"));
        }
        args.addAll(given);
        return Npp.run(
                List.of(new TrainTokenizerCommand(() -> BACKEND)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args.toArray(String[]::new));
    }
}
