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
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.images.IdxFile;
import org.npp4j.llamagen.images.PixelImages;

class EcarCommandsTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");
    private static final int IMAGES = 24;
    private static final int SIDE = 7;
    private static final int CLASSES = 3;
    private static final String CONFIG = "{\"channels\": 4, \"grid\": 4, \"stages\": 2, \"dim\": 8, \"n_layer\": 1,"
            + " \"n_head\": 2, \"head\": \"transformer\", \"head_width\": 8, \"head_blocks\": 1, \"head_heads\": 1,"
            + " \"num_classes\": 3}";

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private Path data;
    private Path config;
    private Path to;

    @BeforeEach
    void writeImages() throws IOException {
        data = Files.createDirectory(folder.resolve("data"));
        byte[] pixels = new byte[IMAGES * SIDE * SIDE];
        new Random(1).nextBytes(pixels);
        int[] labels = new int[IMAGES];
        Arrays.setAll(labels, i -> i % CLASSES);
        IdxFile.writeImages(data.resolve("train-images-idx3-ubyte"), new PixelImages(IMAGES, 1, SIDE, SIDE, pixels));
        IdxFile.writeLabels(data.resolve("train-labels-idx1-ubyte"), labels);
        config = Files.writeString(folder.resolve("config.json"), CONFIG);
        to = folder.resolve("out");
    }

    @Test
    void trainsAndSamples() throws IOException {
        assertEquals(0, train("--config", config.toString()), err::toString);
        assertTrue(
                out.toString()
                        .matches(
                                "[0-9]+ parameters, [0-9.]+ GFLOP an image drawn, 2 epochs in [0-9.]+ s, velocity loss [0-9.]+, peak memory [0-9.]+ GiB:"
                                        + " ecar\\.pt, losses\\.csv, samples\\.png in .*out\\R"),
                out::toString);
        List<String> losses = Files.readAllLines(to.resolve("losses.csv"));
        assertEquals("epoch,loss,seconds", losses.get(0));
        assertTrue(losses.get(2).matches("2,[0-9.]+,[0-9.]+"), losses.get(2));
        // ten images of each class, two times their size and apart
        BufferedImage sheet = ImageIO.read(to.resolve("samples.png").toFile());
        assertTrue(sheet.getWidth() > 10 * 2 * SIDE && sheet.getWidth() < 11 * 2 * SIDE + 10, sheet::toString);
        Path model = to.resolve("ecar.pt");
        assertEquals(4, EcarCheckpoint.read(model).codec().channels());

        to = folder.resolve("drawn");
        assertEquals(
                0,
                npp(
                        "ecar-sample",
                        "--checkpoint",
                        model.toString(),
                        "--classes",
                        "2,0",
                        "--num-samples",
                        "5",
                        "--steps",
                        "2",
                        "--out",
                        to.toString()),
                err::toString);
        assertArrayEquals(
                new int[] {2, 0, 2, 0, 2},
                NpyFile.read(to.resolve("classes.npy")).toIntVector());
        assertTrue(out.toString().startsWith("5 images in "), out::toString);
        Path other = folder.resolve("one by one");
        assertEquals(
                0,
                npp(
                        "ecar-sample",
                        "--checkpoint",
                        model.toString(),
                        "--classes",
                        "2,0",
                        "--num-samples",
                        "5",
                        "--steps",
                        "2",
                        "--batch-size",
                        "1",
                        "--out",
                        other.toString()),
                err::toString);
        for (int i = 0; i < 5; i++) {
            int[] together = pixels(to, i);
            assertEquals(SIDE * SIDE, together.length);
            int[] alone = pixels(other, i);
            for (int p = 0; p < together.length; p++) {
                assertEquals(together[p], alone[p], 1);
            }
        }
    }

    private static int[] pixels(Path folder, int image) throws IOException {
        BufferedImage picture =
                ImageIO.read(folder.resolve("00000" + image + ".png").toFile());
        return picture.getRaster().getSamples(0, 0, picture.getWidth(), picture.getHeight(), 0, (int[]) null);
    }

    /** The same seed gives the same model. */
    @Test
    void trainingRepeats() throws IOException {
        assertEquals(0, train("--config", config.toString(), "--seed", "3"), err::toString);
        byte[] first = Files.readAllBytes(to.resolve("samples.png"));
        assertEquals(0, train("--config", config.toString(), "--seed", "3"), err::toString);
        assertArrayEquals(first, Files.readAllBytes(to.resolve("samples.png")));
        assertEquals(0, train("--config", config.toString(), "--seed", "4"), err::toString);
        assertFalse(Arrays.equals(first, Files.readAllBytes(to.resolve("samples.png"))));
    }

    @Test
    void wrongUsageIsOneLineAndTwo() throws IOException {
        fails(2, "--head must be mlp or transformer, but is cnn", trainArguments("--head", "cnn"));
        fails(2, "exclude each other", trainArguments("--head", "mlp", "--config", config.toString()));
        fails(2, "at least 1", trainArguments("--epochs", "0"));
        fails(2, "--lr must be", trainArguments("--lr", "0"));
        fails(2, "Guidance scales", trainArguments("--cfg-scale", "-1"));
        fails(2, "change --block", trainArguments("--config", config.toString(), "--block", "3"));
        fails(1, "do not cover images of 7 x 7", trainArguments("--config", config.toString(), "--block", "1"));
        fails(1, "Take a smaller --batch-size", trainArguments("--per-class", "1"));
        Files.writeString(config, CONFIG.replace("\"num_classes\": 3", "\"num_classes\": 2"));
        fails(2, "3 classes, but the model 2", trainArguments("--config", config.toString()));
        fails(2, "there is no file", "ecar-sample", "--checkpoint", "none.pt");
        Path golden = Path.of("../npp-ecar/src/test/resources/golden/ecar-s2.pt");
        fails(1, "does not say which ECAR it is of", "ecar-sample", "--checkpoint", golden.toString());
        fails(2, "at least 1", "ecar-sample", "--checkpoint", golden.toString(), "--num-samples", "0");
        fails(2, "at least one step", "ecar-sample", "--checkpoint", golden.toString(), "--steps", "0");
    }

    @Test
    void parityOfAGoldenModel() {
        String golden = Path.of("../npp-ecar/src/test/resources/golden/ecar-s2").toString();
        assertEquals(
                0,
                npp(
                        "parity",
                        "--checkpoint",
                        golden + ".pt",
                        "--config",
                        golden + ".json",
                        "--golden",
                        golden + ".npz"),
                () -> out + "" + err);
        for (String group :
                List.of("ends of stages", "conditions", "velocities", "loss", "gradients", "generated latents")) {
            assertTrue(out.toString().contains(group), out::toString);
        }
    }

    private int train(String... more) {
        return npp(trainArguments(more));
    }

    private String[] trainArguments(String... more) {
        String[] args = {
            "ecar-train",
            "--data",
            data.toString(),
            "--epochs",
            "2",
            "--batch-size",
            "8",
            "--block",
            "2",
            "--steps",
            "2",
            "--out",
            to.toString()
        };
        // an option that is given again replaces the one here
        Map<String, String> options = new LinkedHashMap<>();
        for (String[] part : new String[][] {Arrays.copyOfRange(args, 1, args.length), more}) {
            for (int i = 0; i < part.length; i += 2) {
                options.put(part[i], part[i + 1]);
            }
        }
        List<String> all = new ArrayList<>(List.of(args[0]));
        options.forEach((name, value) -> all.addAll(List.of(name, value)));
        return all.toArray(String[]::new);
    }

    private void fails(int code, String message, String... args) {
        assertEquals(code, npp(args), () -> out + "" + err);
        assertTrue(err.toString().contains(message), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(
                        new EcarTrainCommand(() -> BACKEND),
                        new EcarSampleCommand(() -> BACKEND),
                        new ParityCommand(() -> BACKEND)),
                new PrintWriter(out),
                new PrintWriter(err),
                args);
    }
}
