package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingPlan;

class TrainCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");
    private static final int SIDE = RandomImageFiles.SIDE;
    private static final int CLASSES = RandomImageFiles.CLASSES;

    /** 32 images of 16 tokens; batches of 8, so 4 steps an epoch, 12 in all. */
    private static final List<String> SETTINGS = List.of(
            "--gpt-config",
            "{\"dim\": 16, \"n_layer\": 2, \"n_head\": 2}",
            "--epochs",
            "3",
            "--epoch-rate",
            "0.4",
            "--global-batch-size",
            "8",
            "--scheduler",
            "--lr",
            "1e-2",
            "--num-samples",
            "4");

    @TempDir
    static Path shared;

    private static Path data;
    private static Path codebook;

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    @BeforeAll
    static void writeImages() throws IOException {
        RandomImageFiles images = RandomImageFiles.write(shared, 32, 6);
        data = images.folder();
        codebook = images.codebook();
    }

    @Test
    void trainsReportsAndExports() throws IOException {
        assertEquals(0, train("run", "--ema", "--ckpt-every", "5", "--log-every", "2", "--save-pt"), err::toString);
        Path run = folder.resolve("run");
        List<JsonNode> lines = metrics(run);
        List<Integer> steps = new ArrayList<>();
        List<Integer> checkpoints = new ArrayList<>();
        for (JsonNode line : lines) {
            (line.get("event").asText().equals("steps") ? steps : checkpoints)
                    .add(line.get("step").asInt());
        }
        // the stage ends after step 4 (1 of 3 epochs)
        assertEquals(List.of(2, 4, 6, 8, 10, 12), steps);
        assertEquals(List.of(5, 10, 12), checkpoints);
        JsonNode first = lines.get(0);
        assertEquals(2, first.get("patch_side").asInt());
        assertEquals(16, first.get("images").asInt());
        assertTrue(first.get("gflop").asDouble() > 0);
        assertTrue(first.get("gradient_norm").asDouble() > 0);
        assertTrue(first.get("images_per_second").asDouble() > 0);
        assertTrue(first.get("memory_gib").asDouble() > 0);
        assertEquals(
                Math.exp(first.get("loss").asDouble()), first.get("perplexity").asDouble(), 1e-9);
        assertTrue(lines.get(lines.size() - 1).get("test_loss").asDouble() > 0);

        String page = Files.readString(run.resolve("report.html"));
        assertTrue(page.contains("<h1>GPT: <strong>done</strong></h1>"), "title");
        assertTrue(page.contains("data:image/png;base64,"), "sheets");
        for (String file : List.of("step-000000012.png", "step-000000012-ema.png")) {
            assertTrue(Files.exists(run.resolve("samples").resolve(file)), file);
        }
        for (String name : List.of("0000005.pt", "0000010.pt", "0000012.pt")) {
            try (TensorFile file = TensorFile.open(run.resolve(name))) {
                GptCheckpoint stored = GptCheckpoint.of(file);
                assertTrue(stored.average().isPresent(), name);
                assertEquals(2, stored.spec().layers());
            }
        }
        assertTrue(out.toString().contains("Model: " + run.resolve("0000012.pt")), out::toString);
    }

    @Test
    void goesOnToTheBitWithoutItsLostSteps() throws IOException {
        assertEquals(0, train("whole", "--log-every", "1"), err::toString);
        assertEquals(0, train("parts", "--log-every", "1", "--ckpt-every", "3", "--steps", "7"), err::toString);
        Path parts = folder.resolve("parts");
        // as if it had been killed after step 7, before the checkpoint at the end
        delete(parts.resolve("checkpoints").resolve("step-000000007"));
        assertEquals(
                7, metrics(parts).stream().filter(TrainCommandTest::isSteps).count());
        assertEquals(0, npp("train", "--resume", parts.toString()), err::toString);
        assertEquals(
                12, metrics(parts).stream().filter(TrainCommandTest::isSteps).count());
        assertEquals(lastNetwork(folder.resolve("whole")), lastNetwork(parts));

        // one of its checkpoints, by name, and a damaged newest one
        Path older = parts.resolve("checkpoints").resolve("step-000000012");
        assertEquals(0, npp("train", "--resume", older.toString()), err::toString);
        Files.write(older.resolve("network.zip"), new byte[] {1});
        assertEquals(0, npp("train", "--resume", parts.toString()), err::toString);
        assertEquals(lastNetwork(folder.resolve("whole")), lastNetwork(parts));
    }

    /** Reports, checkpoints, the average and a resume, with two workers; the loss is that of one. */
    @Test
    void workersShareTheBatch() throws IOException {
        List<String> plain = List.of("--dropout-p", "0", "--token-dropout-p", "0", "--class-dropout-p", "0", "--ema");
        assertEquals(0, train("one", plain.toArray(String[]::new)), err::toString);
        List<String> two = new ArrayList<>(plain);
        two.addAll(List.of("--workers", "2", "--ckpt-every", "3", "--log-every", "1"));
        assertEquals(0, train("whole", two.toArray(String[]::new)), err::toString);
        assertTrue(Files.readString(folder.resolve("whole/report.html")).contains("8 shared by 2 workers"));
        two.addAll(List.of("--steps", "7"));
        assertEquals(0, train("two", two.toArray(String[]::new)), err::toString);
        Path run = folder.resolve("two");
        assertEquals(0, npp("train", "--resume", run.toString(), "--steps", "12"), err::toString);
        assertEquals(12, metrics(run).stream().filter(TrainCommandTest::isSteps).count());
        assertEquals(lastNetwork(folder.resolve("whole")), lastNetwork(run));
        TrainingCheckpoint alone = last("one");
        TrainingCheckpoint together = last("two");
        assertEquals(alone.testLoss().orElseThrow(), together.testLoss().orElseThrow(), 1e-4);
        assertEquals(
                alone.averageTestLoss().orElseThrow(),
                together.averageTestLoss().orElseThrow(),
                1e-4);
        assertTrue(Files.exists(run.resolve("0000012.pt")));
    }

    private TrainingCheckpoint last(String name) throws IOException {
        return TrainingCheckpoint.latest(folder.resolve(name).resolve("checkpoints"))
                .orElseThrow();
    }

    private static boolean isSteps(JsonNode line) {
        return line.get("event").asText().equals("steps");
    }

    private static JsonNode lastNetwork(Path run) throws IOException {
        TrainingCheckpoint last =
                TrainingCheckpoint.latest(run.resolve("checkpoints")).orElseThrow();
        assertEquals(12, last.step());
        return new ObjectMapper()
                .readTree(last.folder().resolve("state.json").toFile())
                .get("files")
                .get("network.zip");
    }

    @Test
    void changedSettingsAreListedAndNeedConsent() throws IOException {
        assertEquals(0, train("run", "--steps", "2"), err::toString);
        Path run = folder.resolve("run");
        assertEquals(1, npp("train", "--resume", run.toString(), "--lr", "2e-2", "--global-batch-size", "4"));
        assertTrue(err.toString().contains("global_batch_size: 8 -> 4; lr: 0.01 -> 0.02"), err::toString);
        assertTrue(err.toString().contains("steps of an epoch: 4 -> 8"), err::toString);
        assertTrue(err.toString().contains("--allow-changes"), err::toString);
        assertEquals(
                0,
                npp("train", "--resume", run.toString(), "--lr", "2e-2", "--allow-changes", "--steps", "3"),
                err::toString);
        assertEquals(1, train("run"));
        assertTrue(err.toString().contains("holds a run already. Go on with it: --resume"), err::toString);
        assertEquals(1, npp("train", "--resume", folder.toString()));
        assertTrue(err.toString().contains("is no folder of a run"), err::toString);
    }

    @Test
    void theCommandLineWinsOverTheFile() throws IOException {
        Path file = folder.resolve("settings.yaml");
        Files.writeString(
                file,
                """
                # two stages
                gpt-config: {dim: 16, n_layer: 1, n_head: 2}
                patch_stages: 4:1,1:2
                lr: 1e-3
                ema: true
                scheduler: false
                global-batch-size: 16
                data: %s
                vq-ckpt: %s
                """
                        .formatted(data, codebook));
        assertEquals(
                0,
                npp(
                        "train",
                        "--config",
                        file.toString(),
                        "--lr",
                        "2e-3",
                        "--no-ema",
                        "--epochs=2",
                        "--out",
                        folder.resolve("run").toString()),
                err::toString);
        TrainingCheckpoint last =
                TrainingCheckpoint.latest(folder.resolve("run/checkpoints")).orElseThrow();
        TrainingPlan plan = (TrainingPlan) last.plan();
        assertEquals(2e-3, plan.learningRate().base());
        assertEquals(0, plan.averageDecay());
        assertEquals(16, plan.batchSize());
        assertEquals("2:1,1:2", plan.stages().toString(), "--epochs takes the place of patch_stages");
        assertEquals(1, plan.model().layers());
    }

    @Test
    void startsFromCheckpoints() throws IOException {
        assertEquals(0, train("first", "--steps", "5"), err::toString);
        Path first = folder.resolve("first");
        Path pt = first.resolve("0000005.pt");
        Path zip = first.resolve("checkpoints/step-000000005/network.zip");
        for (Path from : List.of(pt, zip, zip.getParent())) {
            String name = "from-" + from.getFileName();
            assertEquals(0, train(name, "--init-from", from.toString(), "--steps", "1"), err::toString);
            assertEquals(
                    1,
                    TrainingCheckpoint.latest(folder.resolve(name).resolve("checkpoints"))
                            .orElseThrow()
                            .step());
        }
        assertEquals(0, train("resumed", "--gpt-ckpt", pt.toString()), err::toString);
        assertEquals(0, train("whole"), err::toString);
        assertEquals(lastNetwork(folder.resolve("whole")), lastNetwork(folder.resolve("resumed")));

        Path weights = folder.resolve("weights.pt");
        ComputationGraph other = LlamaGen.of(
                        ((TrainingPlan) TrainingCheckpoint.read(zip.getParent()).plan()).model())
                .init(Nd4j.create(
                        DataType.FLOAT,
                        1,
                        ((TrainingPlan) TrainingCheckpoint.read(zip.getParent()).plan())
                                .model()
                                .parameters()));
        GptCheckpoint.write(weights, other);
        assertEquals(1, train("without", "--gpt-ckpt", weights.toString()));
        assertTrue(err.toString().contains("has no state of the optimizer"), err::toString);
        assertEquals(1, train("missing", "--init-from", folder.resolve("no.pt").toString()));
        assertTrue(err.toString().contains("--init-from: there is no file"), err::toString);
    }

    /** It is loaded for images of 256 x 256 pixels, whatever the data is. */
    @Test
    void aVqTokenizerTakesTheSizeOfTheImages() throws IOException {
        Path vq = folder.resolve("vq.pt");
        VqTokenizer.random(new VqConfig(List.of(1, 1), 32, 8, 9, 4, 1), SIDE, SIDE, 1)
                .save(vq);
        List<String> arguments = new ArrayList<>(List.of(
                "train", "--data", data.toString(), "--vq-ckpt", vq.toString(), "--steps", "1", "--out", "of-images"));
        arguments.addAll(SETTINGS);
        arguments.set(arguments.indexOf("of-images"), folder.resolve("images").toString());
        assertEquals(0, npp(arguments.toArray(String[]::new)), err::toString);
        assertTrue(Files.exists(folder.resolve("images/samples/step-000000001.png")));

        Path codes = folder.resolve("codes");
        writeCodes(codes, 24, 3, 9);
        arguments.set(arguments.indexOf("--data"), "--code-path");
        arguments.set(arguments.indexOf(data.toString()), codes.toString());
        arguments.set(
                arguments.indexOf(folder.resolve("images").toString()),
                folder.resolve("stored").toString());
        arguments.addAll(List.of("--image-size", "64", "--vocab-size", "9", "--num-classes", "3"));
        assertEquals(0, npp(arguments.toArray(String[]::new)), err::toString);
        assertTrue(Files.exists(folder.resolve("stored/samples/step-000000001.png")));
    }

    /** Published layout: an array of crops and a label for each image. */
    @Test
    void trainsOnStoredCodes() throws IOException {
        Path codes = folder.resolve("ten_crop");
        writeCodes(codes, 24, 3, 9);
        writeCodes(folder.resolve("ten_crop_105"), 24, 3, 9);
        writeCodes(folder.resolve("test"), 6, 1, 9);
        List<String> arguments = new ArrayList<>(List.of(
                "train",
                "--code-path",
                codes.toString(),
                "--test-code-path",
                folder.resolve("test").toString(),
                "--image-size",
                "64",
                "--vocab-size",
                "9",
                "--num-classes",
                "3",
                "--vq-ckpt",
                codebook.toString()));
        arguments.addAll(SETTINGS);
        arguments.addAll(List.of("--out", folder.resolve("run").toString()));
        assertEquals(0, npp(arguments.toArray(String[]::new)), err::toString);
        TrainingCheckpoint last = TrainingCheckpoint.latest(
                        folder.resolve("run").resolve("checkpoints"))
                .orElseThrow();
        assertEquals(9, last.step());
        assertEquals("24", last.data().get("images"));
        assertEquals("24", last.data().get("other crops, images"));
        assertTrue(last.testLoss().isPresent());
        assertTrue(Files.exists(folder.resolve("run/samples/step-000000009.png")));

        // the same codes, but one is outside the vocabulary
        writeCodes(codes, 24, 3, 9, 13);
        arguments.set(
                arguments.indexOf(folder.resolve("run").toString()),
                folder.resolve("damaged").toString());
        assertEquals(1, npp(arguments.toArray(String[]::new)));
        assertTrue(err.toString().contains("13.npy holds the code 9"), err::toString);
        arguments.set(arguments.indexOf("64"), "128");
        arguments.set(
                arguments.indexOf(folder.resolve("damaged").toString()),
                folder.resolve("other").toString());
        assertEquals(2, npp(arguments.toArray(String[]::new)));
        assertTrue(err.toString().contains("holds 16 tokens an image, but"), err::toString);
    }

    /** The given images have the code "vocabulary", which is one too large. */
    private static void writeCodes(Path set, int images, int crops, int vocabulary, int... damaged) throws IOException {
        Path codes = Files.createDirectories(set.resolve("imagenet64_codes"));
        Path labels = Files.createDirectories(set.resolve("imagenet64_labels"));
        Random random = new Random(5);
        for (int image = 0; image < images; image++) {
            int[] rows = random.ints(crops * 16L, 0, vocabulary).toArray();
            for (int each : damaged) {
                if (each == image) {
                    Arrays.fill(rows, vocabulary);
                }
            }
            NpyFile.writeInt64(codes.resolve(image + ".npy"), rows, 1, crops, 16);
            NpyFile.writeInt64(labels.resolve(image + ".npy"), new int[] {image % CLASSES});
        }
    }

    @Test
    void wrongUsageIsOneLine() {
        assertUsage(
                "--code-path DIR (codes), or --data DIR",
                "train",
                "--out",
                folder.resolve("x").toString());
        assertUsage("--code-path and --data exclude each other", "train", "--code-path", "a", "--data", "b");
        assertUsage(
                "--patch-stages and --patch-level exclude each other",
                "train",
                "--patch-stages",
                "1:2",
                "--patch-level",
                "1",
                "--data",
                "b");
        assertUsage("--mixed-precision fp16 is missing here", data("--mixed-precision", "fp16"));
        assertUsage("must divide --global-batch-size", data("--gradient-accumulation-steps", "3"));
        assertUsage("micro_batch must be 1 to global_batch_size", data("--micro-batch", "9"));
        assertUsage("--workers is 3, but must divide --global-batch-size, which is 8", data("--workers", "3"));
        assertUsage("--workers must be at least 1", data("--workers", "0"));
        assertUsage("--log-every must be at least 1", data("--log-every", "0"));
        assertUsage("--vocab-size is 7, but the data have 9", data("--vocab-size", "7"));
        assertUsage("give a 16 x 16", data("--image-size", "256"));
        assertUsage("--gpt-type must be c2i", data("--gpt-type", "t2i"));
        assertUsage("does not divide", data("--patch-stages", "3:5"));
        assertUsage("Batch size 99 is not possible", data("--global-batch-size", "99"));
        assertUsage("--keep-last must be at least 1", data("--keep-last", "0"));
        assertUsage("--ui is a port", data("--ui", "0"));
    }

    /** The UI is no dependency of the tests. */
    @Test
    void theUiIsOptional() {
        assertEquals(1, train("run", "--ui"));
        assertTrue(err.toString().contains("--ui needs Deeplearning4j's training UI on the class path"), err::toString);
    }

    private String[] data(String... further) {
        List<String> arguments = new ArrayList<>(List.of(
                "train",
                "--data",
                data.toString(),
                "--vq-ckpt",
                codebook.toString(),
                "--global-batch-size",
                "8",
                "--gpt-config",
                "{\"dim\": 16, \"n_layer\": 1, \"n_head\": 2}",
                "--out",
                folder.resolve("usage").toString()));
        if (further[0].equals("--global-batch-size")) {
            arguments.subList(5, 7).clear();
        }
        arguments.addAll(List.of(further));
        return arguments.toArray(String[]::new);
    }

    private void assertUsage(String part, String... arguments) {
        assertEquals(2, npp(arguments), err::toString);
        assertTrue(err.toString().contains(part), err::toString);
        assertEquals(
                1,
                err.toString().lines().filter(line -> line.startsWith("npp:")).count(),
                err::toString);
        assertFalse(Files.exists(folder.resolve("usage").resolve("config.yaml")), "nothing to resume from");
    }

    private int train(String name, String... further) {
        List<String> arguments =
                new ArrayList<>(List.of("train", "--data", data.toString(), "--vq-ckpt", codebook.toString()));
        arguments.addAll(SETTINGS);
        arguments.addAll(List.of("--out", folder.resolve(name).toString()));
        arguments.addAll(List.of(further));
        return npp(arguments.toArray(String[]::new));
    }

    private int npp(String... arguments) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new TrainCommand(() -> BACKEND)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                arguments);
    }

    private static List<JsonNode> metrics(Path run) throws IOException {
        List<JsonNode> lines = new ArrayList<>();
        for (String line : Files.readAllLines(run.resolve("metrics.jsonl"))) {
            lines.add(new ObjectMapper().readTree(line));
        }
        return lines;
    }

    private static void delete(Path checkpoint) throws IOException {
        try (var files = Files.list(checkpoint)) {
            for (Path file : files.toList()) {
                Files.delete(file);
            }
        }
        Files.delete(checkpoint);
    }
}
