package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.samples.ReproductionStep.Prediction;
import org.npp4j.samples.reproduce.Ingredients;

class ReproduceCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");
    private static final Path GOLDEN = Path.of("src/test/resources/golden");
    private static final ToyReproduction.Settings TINY =
            new ToyReproduction.Settings(2, new VqConfig(List.of(1, 1, 1), 32, 32, 16, 4, 1), 1, 1, 32, 2, 6);
    /** 10^12 operations a second of everything. */
    private static final DeviceSpeed SPEED =
            new DeviceSpeed("imagined", Map.of(1, 1e12, 2, 1e12), 1e12, 1e12, 1e12, true);

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private final List<List<String>> called = new ArrayList<>();
    private DeviceSpeed speed = SPEED;
    private int exitCode;

    @Test
    void withNothingAtHandTheChainRunsAtToyScale() throws IOException {
        NppRunner inThisProcess = (arguments, lines) -> {
            called.add(arguments);
            StringWriter output = new StringWriter();
            PrintWriter to = new PrintWriter(output, true);
            int code = Npp.run(
                    List.of(
                            new TrainTokenizerCommand(() -> BACKEND),
                            new ExtractCodesCommand(() -> BACKEND),
                            new TrainCommand(() -> BACKEND),
                            new SampleCommand(() -> BACKEND),
                            new EvaluateCommand(() -> BACKEND)),
                    to,
                    to,
                    arguments.toArray(String[]::new));
            output.toString().lines().forEach(lines);
            return code;
        };
        assertEquals(0, reproduce(inThisProcess, "b"), () -> out + "" + err);
        List<String> lines = out.toString().lines().toList();
        int toy = 0;
        while (!lines.get(toy).startsWith("[toy]")) {
            toy++;
        }
        lines.subList(toy, lines.size()).forEach(line -> assertTrue(line.startsWith("[toy] "), line));
        assertTrue(lines.get(toy + 1).contains("None of the figures that follow says anything"), out::toString);
        assertEquals(
                List.of("train-tokenizer", "extract-codes", "train", "sample", "evaluate"),
                called.stream().map(arguments -> arguments.get(0)).toList());
        JsonNode report = report();
        assertEquals(6, report.get("toy").get("samples").asInt());
        assertTrue(report.get("toy").get("fid").asDouble() >= 0);
        assertEquals(5, report.get("toy").get("steps").size());
        for (JsonNode ingredient : report.get("ingredients")) {
            assertEquals("missing", ingredient.get("state").asText());
        }
        // what it left does not count as something at hand
        called.clear();
        assertEquals(0, reproduce(this::record, "xl", "--json", "--no-measure", "--no-toy"), () -> out + "" + err);
        assertEquals(List.of(), called);
        JsonNode printed = new ObjectMapper().readTree(out.toString());
        assertEquals("GPT-XL", printed.get("published").get("model").asText());
        assertTrue(printed.get("steps").get(1).get("prediction").get("seconds").isNull());
        assertEquals(report.get("ingredients"), printed.get("ingredients"));
    }

    @ParameterizedTest
    @CsvSource({
        "b, 4.47, 2.0, b-256.yaml, is published.",
        "GPT-L, 2.76, 1.75, l-256.yaml, that of GPT-B is assumed.",
        "xl, 2.65, 1.7, xl-256.yaml, that of GPT-B is assumed.",
        "XXL, 2.55, 1.65, xxl-256.yaml, that of GPT-B is assumed."
    })
    void publishedSettingsAndPredictions(String size, String fid, String guidance, String preset, String note)
            throws IOException {
        assertEquals(0, reproduce(this::record, size, "--have", empty(), "--no-toy"), () -> out + "" + err);
        assertTrue(out.toString().contains("FID " + fid + " with a guidance of"), out::toString);
        assertTrue(out.toString().contains(note), out::toString);
        JsonNode steps = report().get("steps");
        assertEquals(4, steps.size());
        for (JsonNode step : steps) {
            assertEquals("waits", step.get("state").asText());
            assertTrue(step.get("prediction").get("seconds").asDouble() > 0);
        }
        String train = steps.get(1).get("command").asText();
        assertTrue(train.contains("presets/" + preset) && !train.contains("--mixed-precision"), train);
        String sample = steps.get(2).get("command").asText();
        assertTrue(
                sample.contains("--cfg-scale " + guidance + " ") && sample.contains("--num-fid-samples 50000"), sample);
        assertTrue(sample.contains("--top-k 0 --top-p 1.0") && sample.contains("--npz"), sample);
        assertTrue(steps.get(3).get("command").asText().contains("--inception classify_image_graph_def.pb"));
        // 300 epochs, 5004 steps of 256 images: half of them of 64 positions
        JsonNode prediction = steps.get(1).get("prediction");
        assertEquals(
                prediction.get("operations").asDouble() / 1e12,
                prediction.get("seconds").asDouble(),
                1);
    }

    @Test
    void aProcessorWithoutBf16TrainsInSinglePrecision() throws IOException {
        speed = new DeviceSpeed("imagined", Map.of(1, 1e12, 2, 1e12), 1e12, 1e12, 1e12, false);
        assertEquals(0, reproduce(this::record, "b", "--have", empty(), "--no-toy"), err::toString);
        String train = report().get("steps").get(1).get("command").asText();
        assertTrue(train.endsWith("--mixed-precision none"), train);
    }

    private String empty() throws IOException {
        return Files.createDirectories(folder.resolve("empty")).toString();
    }

    @Test
    void whatIsThereIsCheckedAndUsed() throws IOException {
        Path have = Files.createDirectories(folder.resolve("have/weights")).getParent();
        Path gpt = Files.copy(GOLDEN.resolve("gpt-b-shapes.pt"), have.resolve("weights/mine.pt"));
        Files.copy(GOLDEN.resolve("gpt-l-shapes.pt"), have.resolve("weights/larger.pt"));
        Path vq = Files.copy(GOLDEN.resolve("vq16-shapes.pt"), have.resolve("vq_ds16_c2i.pt"));
        reference(have, 2048);
        Files.writeString(
                have.resolve(Ingredients.SUMS), Sha256.of(vq) + "  vq_ds16_c2i.pt\n" + "0".repeat(64) + "  other\n");
        assertEquals(0, reproduce(this::record, "b", "--have", have.toString()), err::toString);
        String said = out.toString();
        assertTrue(said.contains("found    VQ tokenizer: " + vq), said);
        assertTrue(said.contains("SHA-256 " + Sha256.of(vq)), said);
        assertTrue(said.contains("Its SHA-256 is that of "), said);
        assertTrue(said.contains("found    trained GPT (GPT-B): " + gpt), said);
        assertTrue(said.contains("It has seen 1501200 steps."), said);
        assertTrue(said.contains("larger.pt: It is a GPT of 24 layers, width 1024 (GPT-L), not the GPT-B"), said);
        assertTrue(said.contains("found    reference of the evaluator"), said);
        assertTrue(said.contains("It has 2 images, the published one 10000"), said);
        assertTrue(said.contains("3. draw 50,000 samples (can run)"), said);
        assertTrue(said.contains("--gpt-ckpt " + gpt), said);
        assertTrue(said.contains("4. evaluate (waits for: Inception graph of 2015, samples)"), said);
        assertTrue(said.contains("Nothing of this was started; --run runs what can run."), said);
        assertEquals(List.of(), called);

        assertEquals(0, reproduce(this::record, "b", "--have", have.toString(), "--run"), err::toString);
        assertEquals(List.of("sample"), called.stream().map(one -> one.get(0)).toList());
        exitCode = 3;
        assertEquals(3, reproduce(this::record, "b", "--have", have.toString(), "--run"), err::toString);
        assertTrue(out.toString().contains("draw 50,000 samples ended with exit code 3"), out::toString);
        assertEquals(3, report().get("ran").get(0).get("exit_code").asInt());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "gpt-l-shapes.pt | c2i_B_256.pt | It is a GPT of 24 layers, width 1024 (GPT-L), not the GPT-B",
                "gpt-b-without-norm.pt | c2i_B_256.pt | does not fit the model: 1 missing",
                "vq16-shapes.pt | c2i_B_256.pt | holds no LlamaGen GPT",
                "gpt-b-shapes.pt | vq_ds16_c2i.pt | holds no VQ tokenizer",
                "vq8-shapes.pt | vq_ds16_c2i.pt | not the published VQ-16",
                "README.md | vq_ds16_c2i.pt | ",
                "README.md | VIRTUAL_imagenet256_labeled.npz | this is no .npz file",
                "small.npz | VIRTUAL_imagenet256_labeled.npz | It has no array mu",
                "README.md | classify_image_graph_def.pb | it is no frozen TensorFlow graph",
                "inception-like.pb | classify_image_graph_def.pb | It has 9 features, the published graph 2048"
            })
    void wrongFilesAreNamed(String content, String name, String reason) throws IOException {
        Path have = Files.createDirectories(folder.resolve("have"));
        Files.copy(GOLDEN.resolve(content), have.resolve(name));
        assertEquals(
                0, reproduce(this::record, "b", "--have", have.toString(), "--no-measure", "--json"), err::toString);
        JsonNode report = new ObjectMapper().readTree(out.toString());
        JsonNode wrong = null;
        for (JsonNode ingredient : report.get("ingredients")) {
            if (ingredient.get("state").asText().equals("wrong")) {
                wrong = ingredient;
            } else {
                assertEquals("missing", ingredient.get("state").asText());
            }
        }
        assertEquals(have.resolve(name).toString(), wrong.get("path").asText());
        assertEquals(Sha256.of(have.resolve(name)), wrong.get("sha256").asText());
        String note = wrong.get("notes").get(0).asText();
        assertTrue(note.contains(reason == null ? "" : reason), note);
    }

    @Test
    void aWrongHashAReferenceOfOtherFeaturesAndOtherCodes() throws IOException {
        Path have = Files.createDirectories(folder.resolve("have"));
        Files.copy(GOLDEN.resolve("vq16-shapes.pt"), have.resolve("vq_ds16_c2i.pt"));
        Files.writeString(have.resolve(Ingredients.SUMS), "0".repeat(64) + " *vq_ds16_c2i.pt\n");
        reference(have, 100);
        for (int i = 0; i < 2; i++) {
            NpyFile.writeInt64(have.resolve("codes/imagenet256_codes/" + i + ".npy"), new int[20], 1, 2, 10);
            NpyFile.writeInt64(have.resolve("codes/imagenet256_labels/" + i + ".npy"), new int[] {1});
        }
        Files.createDirectories(have.resolve("train/n01440764"));
        Files.writeString(have.resolve("train/n01440764/1.JPEG"), "x");
        assertEquals(0, reproduce(this::record, "b", "--have", have.toString(), "--no-measure"), err::toString);
        String said = out.toString();
        assertTrue(said.contains("wrong    VQ tokenizer"), said);
        assertTrue(said.contains("SHA256SUMS wants 0000"), said);
        assertTrue(said.contains("Its array mu must be [2048], but is [100]."), said);
        assertTrue(said.contains("wrong    codes of ImageNet"), said);
        assertTrue(said.contains("They have 10 tokens an image; images of 256 pixels have 256."), said);
        assertTrue(said.contains("They are of 2 images, the published training set has 1,281,167."), said);
        assertTrue(said.contains("wrong    ImageNet training images"), said);
        assertTrue(said.contains("It has 1 class folders, ImageNet 1000."), said);
    }

    /** A reference of zeros: only its shapes are looked at. */
    private static void reference(Path folder, int features) throws IOException {
        try (OutputStream file = Files.newOutputStream(folder.resolve("VIRTUAL_imagenet256_labeled.npz"));
                ZipOutputStream zip = new ZipOutputStream(file)) {
            array(zip, "mu", "<f8", 8, features);
            array(zip, "sigma", "<f8", 8, features, features);
            array(zip, "mu_s", "<f8", 8, 20);
            array(zip, "sigma_s", "<f8", 8, 20, 20);
            array(zip, "arr_0", "|u1", 1, 2, 256, 256, 3);
        }
    }

    private static void array(ZipOutputStream zip, String name, String type, int bytes, int... shape)
            throws IOException {
        String sides = Arrays.toString(shape).replace("[", "(").replace("]", shape.length == 1 ? ",)" : ")");
        String text = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + sides + ", }";
        byte[] header = ("\u0093NUMPY\u0001\0v\0" + text + " ".repeat(117 - text.length()) + "\n")
                .getBytes(StandardCharsets.ISO_8859_1);
        zip.putNextEntry(new ZipEntry(name + ".npy"));
        zip.write(header);
        zip.write(new byte[bytes * Arrays.stream(shape).reduce(1, (a, b) -> a * b)]);
    }

    @Test
    void wrongUsageIsOneLine() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "x");
        Map<List<String>, String> messages = Map.of(
                List.of("m"), "Results are published for b, l, xl and xxl, not for \"m\"",
                List.of("b", "--have", folder + "/none"), "--have must be a folder, but " + folder + "/none does not",
                List.of("b", "--have", file.toString()), "--have must be a folder, but " + file + " is a file",
                List.of("b", "--out", file.toString()), "--out must be a folder, but " + file + " is a file");
        messages.forEach((options, message) -> {
            assertEquals(2, reproduce(this::record, options.toArray(String[]::new)), () -> out + " " + err);
            assertTrue(err.toString().contains(message), err::toString);
            assertEquals(1, err.toString().lines().count(), err::toString);
        });
        assertEquals(List.of(), called);
    }

    @Test
    void aStepThatFailsEndsTheToy() throws IOException {
        exitCode = 1;
        assertEquals(1, reproduce(this::record, "b"));
        assertTrue(err.toString().contains("npp: [toy] train a tokenizer ended with exit code 1: told"), err::toString);
        assertFalse(Files.exists(folder.resolve("out/reproduce.json")));
    }

    @Test
    void timesInWords() {
        assertEquals("about 12 s", Prediction.words(12.3));
        assertEquals("about 5 minutes", Prediction.words(300));
        assertEquals("about 3 hours", Prediction.words(3 * 3600));
        assertEquals("about 1,200 days", Prediction.words(1200 * 86400.0));
        assertEquals("./npp sample --out 'a b'", NppRunner.shown(List.of("sample", "--out", "a b")));
    }

    @Test
    void aProcessOfItsOwn() throws IOException {
        List<String> lines = new ArrayList<>();
        assertEquals(2, NppRunner.ofProcesses().run(List.of("reproduce", "--nonsense"), lines::add));
        assertEquals(1, lines.size(), lines::toString);
        assertTrue(lines.get(0).startsWith("npp: "), lines::toString);
    }

    private int record(List<String> arguments, Consumer<String> lines) {
        called.add(arguments);
        lines.accept("told");
        return exitCode;
    }

    private JsonNode report() throws IOException {
        return new ObjectMapper().readTree(folder.resolve("out/reproduce.json").toFile());
    }

    private int reproduce(NppRunner runner, String... options) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        List<String> args = new ArrayList<>(List.of("reproduce"));
        if (!List.of(options).contains("--out")) {
            args.addAll(List.of("--out", folder.resolve("out").toString()));
        }
        args.addAll(List.of(options));
        return Npp.run(
                List.of(new ReproduceCommand(
                        () -> BACKEND, runner, (size, plan, progress) -> speed, TINY, Path.of("presets"))),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args.toArray(String[]::new));
    }
}
