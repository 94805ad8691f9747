package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
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
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.latents.KlCodec;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.IdxFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.KlAutoencoder;
import org.npp4j.llamagen.tokenizer.KlConfig;

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
        write("train", IMAGES, 1);
        write("t10k", 7, 2);
        config = Files.writeString(folder.resolve("config.json"), CONFIG);
        to = folder.resolve("out");
    }

    private void write(String prefix, int count, long seed) throws IOException {
        byte[] pixels = new byte[count * SIDE * SIDE];
        new Random(seed).nextBytes(pixels);
        int[] labels = new int[count];
        Arrays.setAll(labels, i -> i % CLASSES);
        IdxFile.writeImages(data.resolve(prefix + "-images-idx3-ubyte"), new PixelImages(count, 1, SIDE, SIDE, pixels));
        IdxFile.writeLabels(data.resolve(prefix + "-labels-idx1-ubyte"), labels);
    }

    @Test
    void trainsAndSamples() throws IOException {
        assertEquals(
                0,
                train(
                        "--ecar-config",
                        config.toString(),
                        "--ema",
                        "--ckpt-every",
                        "4",
                        "--log-every",
                        "2",
                        "--save-pt"),
                err::toString);
        Path model = to.resolve("ecar.pt");
        assertEquals("Model: " + model + "\nReport: " + to.resolve("report.html") + "\n", out.toString());
        List<JsonNode> lines = metrics(to);
        assertEquals(
                List.of(2, 4, 4, 6, 6),
                lines.stream().map(line -> line.get("step").asInt()).toList());
        assertTrue(lines.get(0).get("loss").asDouble() > 0 && !lines.get(0).has("perplexity"), lines::toString);
        assertTrue(lines.get(4).get("test_loss").asDouble() > 0);
        assertTrue(lines.get(4).get("average_test_loss").asDouble() > 0);
        String page = Files.readString(to.resolve("report.html"));
        for (String text : List.of(
                "<h1>ECAR: <strong>done</strong></h1>",
                "Mean squared error of the velocities",
                "A reconstruction:",
                "data:image/png;base64,",
                "<th scope=\"col\">Noise at its start</th>")) {
            assertTrue(page.contains(text), text);
        }
        assertFalse(
                page.contains("erplexity") || page.contains("(p = 1)") || page.contains("Cross-entropy"),
                "words of GPTs");
        for (String name : List.of("step-000000006.png", "step-000000006-ema.png")) {
            BufferedImage sheet =
                    ImageIO.read(to.resolve("samples").resolve(name).toFile());
            // eight in a row, enlarged to 56 pixels and apart
            assertTrue(sheet.getWidth() > 8 * 8 * SIDE && sheet.getWidth() < 8 * 8 * SIDE + 100, sheet::toString);
        }
        assertEquals(4, EcarCheckpoint.read(model).codec().channels());
        assertTrue(Files.exists(to.resolve("ecar-0000004.pt")));
        INDArray weights = EcarCheckpoint.read(model).network().params();
        INDArray average = EcarCheckpoint.read(model, true).network().params();
        assertFalse(weights.equalsWithEps(average, 1e-6));

        Path last = to.resolve("checkpoints/step-000000006");
        for (boolean ema : new boolean[] {false, true}) {
            List<byte[]> drawn = new ArrayList<>();
            for (Path from : List.of(model, last)) {
                to = folder.resolve("drawn-" + ema + drawn.size());
                List<String> sample = new ArrayList<>(List.of(
                        "ecar-sample", "--checkpoint", from.toString(), "--steps", "2", "--out", to.toString()));
                if (ema) {
                    sample.add("--ema");
                }
                assertEquals(0, npp(sample.toArray(String[]::new)), err::toString);
                drawn.add(Files.readAllBytes(to.resolve("000000.png")));
            }
            assertArrayEquals(drawn.get(0), drawn.get(1), "the same from both kinds of files");
        }

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

    private static List<JsonNode> metrics(Path run) throws IOException {
        List<JsonNode> lines = new ArrayList<>();
        for (String line : Files.readAllLines(run.resolve("metrics.jsonl"))) {
            lines.add(new ObjectMapper().readTree(line));
        }
        return lines;
    }

    /** The same seed gives the same model. */
    @Test
    void trainingRepeats() throws IOException {
        List<INDArray> models = new ArrayList<>();
        for (String seed : List.of("3", "3", "4")) {
            to = folder.resolve("run" + models.size());
            assertEquals(0, train("--ecar-config", config.toString(), "--seed", seed), err::toString);
            models.add(EcarCheckpoint.read(to.resolve("ecar.pt")).network().params());
        }
        assertEquals(models.get(0), models.get(1));
        assertNotEquals(models.get(0), models.get(2));
    }

    @Test
    void goesOnToTheBit() throws IOException {
        assertEquals(0, train("--ecar-config", config.toString(), "--ema"), err::toString);
        JsonNode whole = lastFiles();
        to = folder.resolve("parts");
        Path preset = folder.resolve("preset.yaml");
        Files.writeString(preset, "ecar-config: " + CONFIG + "\nema: true\nblock: 2\n");
        assertEquals(0, train("--config", preset.toString(), "--steps", "4"), err::toString);
        assertTrue(out.toString().startsWith("Stopped after step")
                || out.toString().startsWith("Model:"));
        assertEquals(0, npp("ecar-train", "--resume", to.toString()), err::toString);
        assertEquals(whole, lastFiles());

        // settings that differ are listed, and need consent
        assertEquals(1, npp("ecar-train", "--resume", to.toString(), "--lr", "2e-3", "--dropout-p", "0.1"));
        assertTrue(err.toString().contains("ecar.dropout: 0.0 -> 0.1; lr: 0.001 -> 0.002"), err::toString);
        assertTrue(err.toString().contains("--allow-changes"), err::toString);
        assertEquals(
                0, npp("ecar-train", "--resume", to.toString(), "--epochs", "3", "--allow-changes"), err::toString);
        assertEquals(1, train("--ecar-config", config.toString()));
        assertTrue(err.toString().contains("holds a run already. Go on with it: --resume"), err::toString);
        assertEquals(1, npp("ecar-train", "--resume", folder.toString()));
        assertTrue(err.toString().contains("is no folder of a run"), err::toString);
    }

    private JsonNode lastFiles() throws IOException {
        Path last = to.resolve("checkpoints/step-000000006");
        return new ObjectMapper().readTree(last.resolve("state.json").toFile()).get("files");
    }

    @Test
    void startsFromWeights() throws IOException {
        assertEquals(0, train("--ecar-config", config.toString()), err::toString);
        for (Path from : List.of(to.resolve("ecar.pt"), to.resolve("checkpoints/step-000000006"))) {
            Path first = to;
            to = folder.resolve("from-" + from.getFileName());
            assertEquals(
                    0,
                    train("--ecar-config", config.toString(), "--init-from", from.toString(), "--steps", "1"),
                    err::toString);
            to = first;
        }
        fails(
                1,
                "holds no moving average",
                "ecar-sample",
                "--checkpoint",
                to.resolve("ecar.pt").toString(),
                "--ema");
        Path last = to.resolve("checkpoints/step-000000006");
        fails(2, "holds no moving average", "ecar-sample", "--checkpoint", last.toString(), "--ema");
        to = folder.resolve("missing");
        fails(
                1,
                "--init-from: there is no file",
                trainArguments("--ecar-config", config.toString(), "--init-from", "no"));
    }

    /** The run and the model remember the autoencoder, and know it where it is moved to. */
    @Test
    void worksOnLatentsOfAnAutoencoder() throws IOException {
        Path kl = folder.resolve("kl.pt");
        KlConfig sizes = new KlConfig.Builder()
                .channels(32)
                .channelMultipliers(1, 1)
                .residualBlocks(1)
                .latentChannels(4)
                .build();
        KlAutoencoder.random(sizes, 3).save(kl);
        String[] options = {"--ecar-config", config.toString(), "--kl-ckpt", kl.toString(), "--kl-scale", "0.5"};
        assertEquals(0, npp(without("--block", trainArguments(options))), err::toString);
        Path model = to.resolve("ecar.pt");
        KlCodec codec = (KlCodec) EcarCheckpoint.read(model).codec();
        assertEquals(0.5, codec.scale());
        assertEquals(Sha256.of(kl), codec.sha256());
        assertEquals(codec, LatentCodec.parse(Files.readString(to.resolve("codec.json"))));
        String page = Files.readString(to.resolve("report.html"));
        assertTrue(page.contains(codec.sha256()), "the report names the autoencoder");
        assertEquals(
                0, npp("ecar-train", "--resume", to.toString(), "--epochs", "3", "--allow-changes"), err::toString);

        Path moved = Files.move(kl, folder.resolve("moved.pt"));
        Path last = to.resolve("checkpoints/step-000000009");
        for (Path from : List.of(model, last)) {
            String[] sample = {
                "ecar-sample",
                "--checkpoint",
                from.toString(),
                "--steps",
                "1",
                "--out",
                folder.resolve("drawn").toString()
            };
            fails(1, "there is no file " + kl, sample);
            List<String> known = new ArrayList<>(List.of(sample));
            known.addAll(List.of("--kl-ckpt", moved.toString()));
            assertEquals(0, npp(known.toArray(String[]::new)), err::toString);
        }
        assertEquals(SIDE * SIDE, pixels(folder.resolve("drawn"), 0).length);
        // another file of the same name is refused
        KlAutoencoder.random(sizes, 4).save(kl);
        fails(1, "is not the KL autoencoder whose latents these are", "ecar-sample", "--checkpoint", model.toString());
        // and a run does not go on with it
        assertEquals(1, npp("ecar-train", "--resume", to.toString()));
        assertTrue(err.toString().contains("SHA-256 of the KL autoencoder"), err::toString);
    }

    private static String[] without(String option, String... args) {
        List<String> left = new ArrayList<>(List.of(args));
        int at = left.indexOf(option);
        left.remove(at);
        left.remove(at);
        return left.toArray(String[]::new);
    }

    @Test
    void refusesAutoencodersThatDoNotFit() throws IOException {
        Path kl = folder.resolve("kl.pt");
        KlAutoencoder.random(
                        new KlConfig.Builder()
                                .channels(32)
                                .channelMultipliers(1, 1)
                                .residualBlocks(1)
                                .latentChannels(3)
                                .build(),
                        3)
                .save(kl);
        fails(2, "--block and --kl-ckpt exclude each other", trainArguments("--kl-ckpt", kl.toString()));
        fails(2, "--kl-config and --kl-scale need --kl-ckpt", without("--block", trainArguments("--kl-scale", "1")));
        fails(2, "--kl-ckpt: there is no file none.pt", klArguments("none.pt"));
        fails(2, "--kl-config: there is no file none.json", klArguments(kl.toString(), "--kl-config", "none.json"));
        fails(
                2,
                "--kl-scale must be a finite number above 0, but is -1.0",
                klArguments(kl.toString(), "--kl-scale", "-1"));
        Path wrong = Files.writeString(folder.resolve("wrong.json"), "{\"depth\": 3}");
        fails(2, "Unknown key depth", klArguments(kl.toString(), "--kl-config", wrong.toString()));
        fails(
                2,
                "The latents have 3 channels on a grid of 4 x 4, but the model 4 on 4 x 4",
                klArguments(kl.toString(), "--ecar-config", config.toString(), "--kl-scale", "1"));
        Path other = folder.resolve("other.pt");
        Files.copy(Path.of("../npp-ecar/src/test/resources/golden/ecar-s2.pt"), other);
        fails(1, "holds no KL autoencoder", klArguments(other.toString()));
        fails(
                2,
                "--kl-ckpt: there is no file none.pt",
                "ecar-sample",
                "--checkpoint",
                kl.toString(),
                "--kl-ckpt",
                "none.pt");
    }

    private String[] klArguments(String kl, String... more) {
        List<String> args = new ArrayList<>(List.of(more));
        args.addAll(List.of("--kl-ckpt", kl));
        return without("--block", trainArguments(args.toArray(String[]::new)));
    }

    @Test
    void wrongUsageIsOneLineAndTwo() throws IOException {
        fails(2, "--head must be mlp or transformer, but is cnn", trainArguments("--head", "cnn"));
        fails(2, "exclude each other", trainArguments("--head", "mlp", "--ecar-config", config.toString()));
        fails(2, "epochs must be at least 1", trainArguments("--epochs", "0"));
        fails(2, "learningRate must be", trainArguments("--lr", "0"));
        fails(2, "--cfg-scale must be at least 1", trainArguments("--cfg-scale", "0"));
        fails(2, "at least one step", trainArguments("--sample-steps", "0"));
        fails(2, "change --block", trainArguments("--ecar-config", config.toString(), "--block", "3"));
        fails(2, "--block must be at least 1", trainArguments("--block", "0"));
        fails(2, "do not cover images of 7 x 7", trainArguments("--ecar-config", config.toString(), "--block", "1"));
        fails(2, "Batch size 8 is not possible with 3 images", trainArguments("--per-class", "1"));
        fails(2, "--per-class must be at least 1", trainArguments("--per-class", "0"));
        fails(2, "there is no file none.json", trainArguments("--ecar-config", "none.json"));
        fails(2, "\"depth\" is no key", trainArguments("--ecar-config", "{\"depth\": 3}"));
        fails(2, "is not JSON", trainArguments("--ecar-config", "{"));
        fails(2, "--workers is 3, but must divide", trainArguments("--workers", "3"));
        fails(
                1,
                "does not exist",
                trainArguments("--data", folder.resolve("nowhere").toString()));
        Path preset = Files.writeString(folder.resolve("preset.yaml"), "epoch: 3\n");
        fails(
                1,
                "has the unknown key \"epoch\". Did you mean \"epochs\"?",
                trainArguments("--config", preset.toString()));
        Files.writeString(config, CONFIG.replace("\"num_classes\": 3", "\"num_classes\": 2"));
        fails(2, "3 classes, but the model 2", trainArguments("--ecar-config", config.toString()));
        fails(2, "there is no file", "ecar-sample", "--checkpoint", "none.pt");
        Path golden = Path.of("../npp-ecar/src/test/resources/golden/ecar-s2.pt");
        fails(1, "does not say which ECAR it is of", "ecar-sample", "--checkpoint", golden.toString());
        fails(1, "does not say which ECAR it is of", "ecar-sample", "--checkpoint", golden.toString(), "--ema");
        fails(1, "is no checkpoint of a training run", "ecar-sample", "--checkpoint", folder.toString());
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
            "--sample-steps",
            "2",
            "--num-samples",
            "9",
            "--out",
            to.toString()
        };
        // an option that is given again replaces the one here
        Map<String, String> options = new LinkedHashMap<>();
        for (String[] part : new String[][] {Arrays.copyOfRange(args, 1, args.length), more}) {
            for (int i = 0; i < part.length; i++) {
                boolean hasValue = i + 1 < part.length && !part[i + 1].startsWith("--");
                options.put(part[i], hasValue ? part[i + 1] : "");
                i += hasValue ? 1 : 0;
            }
        }
        List<String> all = new ArrayList<>(List.of(args[0]));
        options.forEach((name, value) -> all.addAll(value.isEmpty() ? List.of(name) : List.of(name, value)));
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
