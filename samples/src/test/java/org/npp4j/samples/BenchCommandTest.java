package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.samples.bench.BenchSettings;
import org.npp4j.samples.bench.Comparison;
import org.npp4j.samples.bench.Job;
import org.npp4j.samples.bench.ModelSizes;
import org.npp4j.samples.bench.OwnJvm;
import org.npp4j.samples.bench.RunResult;
import org.npp4j.samples.bench.Timings;

class BenchCommandTest {
    private static final Path SHELL = Path.of("/bin/sh");

    @TempDir
    private Path folder;

    /** Stands for this program in a comparison; null for the program itself. */
    private Path own;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    /** The program that a comparison starts: the command with small models. */
    public static void main(String[] args) {
        System.exit(Npp.run(
                List.of(new BenchCommand(Backend::start, BenchCommandTest::small, List::of)),
                new PrintWriter(System.out, true),
                new PrintWriter(System.err, true),
                args));
    }

    private List<String> own() {
        return own == null ? OwnJvm.command(BenchCommandTest.class) : List.of(own.toString());
    }

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new BenchCommand(Backend::start, BenchCommandTest::small, this::own)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }

    private static ModelSizes small(BenchSettings settings) {
        if (settings.sizes().gpt() == null) {
            return ModelSizes.of(new VqConfig(List.of(1, 1), 32, 8, 16, 4, 1));
        }
        return ModelSizes.of(GptSpec.of(Math.max(1, settings.layers()), 2, 16)
                .feedForwardMultiple(16)
                .vocabulary(32)
                .classes(4)
                .grid(TokenGrid.of(settings.grid(), settings.grid()))
                .build());
    }

    @ParameterizedTest
    @EnumSource
    void printsOneLineOfJson(Job job) throws Exception {
        assertEquals(
                0,
                npp(
                        "bench",
                        job.toString(),
                        "--layers",
                        "2",
                        "--batch",
                        "3",
                        "--patch",
                        "2",
                        "--grid",
                        "4",
                        "--tokens",
                        "9"),
                err::toString);
        assertEquals(1, out.toString().lines().count(), out.toString());
        JsonNode json = new ObjectMapper().readTree(out.toString());
        List<String> names = new ArrayList<>();
        json.fieldNames().forEachRemaining(names::add);
        String rate =
                switch (job) {
                    case TRAIN, ENCODE, DECODE -> "images_per_s";
                    case SAMPLE -> "tokens_per_s";
                    case LOSS -> "rows_per_s";
                };
        List<String> expected = new ArrayList<>(List.of(
                "peer",
                "job",
                "model",
                "layers",
                "batch",
                "patch",
                "grid",
                "steps",
                "tokens",
                "cfg",
                "bf16",
                "loss",
                "threads",
                "median_s",
                "min_s",
                rate,
                "peak_rss_gib"));
        if (job == Job.LOSS) {
            expected.addAll(List.of("read_write_s", "times_read_write"));
            assertTrue(json.get("read_write_s").asDouble() > 0, json.toString());
            assertTrue(json.get("times_read_write").asDouble() > 0, json.toString());
        }
        assertEquals(expected, names);
        assertTrue(
                json.get("peer")
                        .asText()
                        .matches("npp4j \\S+ nd4j-native, (OpenBLAS|oneDNN \\S+), (Nd4j|Vector)Kernel"),
                json.toString());
        assertEquals(job.toString(), json.get("job").asText());
        assertEquals(job.model(), json.get("model").asText());
        assertEquals(2, json.get("layers").asInt());
        assertEquals(3, json.get("batch").asInt());
        assertEquals(2, json.get("patch").asInt());
        assertEquals(4, json.get("grid").asInt());
        assertEquals(job == Job.LOSS ? 50 : 4, json.get("steps").asInt());
        assertEquals(9, json.get("tokens").asInt());
        assertEquals(2.0, json.get("cfg").asDouble());
        assertFalse(json.get("bf16").asBoolean(true));
        assertEquals("sparse", json.get("loss").asText());
        assertTrue(json.get("threads").asInt() > 0);
        assertTrue(json.get("min_s").asDouble() <= json.get("median_s").asDouble());
        assertTrue(json.get(rate).asDouble() > 0);
        assertTrue(json.get("peak_rss_gib").asDouble() > 0);
        assertTrue(err.toString().contains("Making "), err.toString());
    }

    @Test
    void countsLikeThePeer() {
        BenchSettings settings = settings(Job.TRAIN, 3, 5, 2);
        ModelSizes spec = small(settings);
        List<String> steps = new ArrayList<>();
        Timings train = Job.TRAIN.benchmark().run(spec, settings, steps::add);
        assertEquals(3, train.seconds().length);
        assertEquals(2, train.perRepetition());
        assertEquals(4, steps.stream().filter(line -> line.startsWith("Step")).count(), steps::toString);
        // tokens + 1 positions, of which the first two do not count
        for (double cfg : new double[] {1, 2}) {
            Timings sample = Job.SAMPLE.benchmark().run(spec, settings(Job.SAMPLE, 3, 5, cfg), line -> {});
            assertEquals(4, sample.seconds().length);
            assertTrue(Arrays.stream(sample.seconds()).allMatch(s -> s > 0));
            assertEquals("tokens", sample.unit());
        }
        Timings loss = Job.LOSS.benchmark().run(spec, settings(Job.LOSS, 3, 5, 1), line -> {});
        assertEquals(3, loss.seconds().length);
        assertEquals(2 * 4, loss.perRepetition()); // 2 images, 4 x 4 tokens, p = 2
        Timings known = new Timings(new double[] {4, 1, 2, 5}, "tokens", 6);
        assertEquals(3, known.median());
        assertEquals(1, known.least());
        assertEquals(2, known.perSecond());
        assertEquals(2, new Timings(new double[] {4, 1, 2}, "tokens", 6).median());
    }

    private static BenchSettings settings(Job job, int steps, int tokens, double cfg) {
        return new BenchSettings(job, "GPT-B", 1, 2, 2, 4, steps, tokens, cfg, false);
    }

    @Test
    void buildsEveryPublishedSize() {
        for (GptSize size : GptSize.values()) {
            GptSpec spec = published(size, 0, 16).spec();
            assertArrayEquals(new int[] {size.layers(), size.heads(), size.width(), 16384, 1000, 256}, new int[] {
                spec.layers(),
                spec.heads(),
                spec.width(),
                spec.vocabulary(),
                spec.classes(),
                spec.grid().tokens()
            });
            assertFalse(spec.textConditional());
            assertEquals(3, published(size, 3, 16).spec().layers());
            assertEquals(TokenGrid.of(24, 24), published(size, 0, 24).spec().grid());
        }
    }

    private static BenchSettings published(GptSize size, int layers, int grid) {
        return new BenchSettings(Job.TRAIN, size.label(), layers, 4, 1, grid, 4, 64, 2, false);
    }

    @Test
    void comparesWithAPeerInTurn() throws Exception {
        Path python = peer("torch 9", "4", "100");
        String[] job = {"bench", "--peer", "train", "--layers", "1", "--batch", "2", "--grid", "4", "--steps", "1"};
        assertEquals(0, npp(with(job, "--rounds", "2", "--python", python.toString())), err::toString);
        JsonNode json = new ObjectMapper().readTree(out.toString());
        assertTrue(json.get("ours").asText().startsWith("npp4j "), json::toString);
        assertEquals("torch 9", json.get("peer").asText());
        assertEquals("train", json.get("job").asText());
        assertEquals(2, json.get("rounds").asInt());
        assertEquals(2, json.get("ours_s").size());
        assertEquals("[4.0,4.0]", json.get("peer_s").toString());
        assertEquals(4, json.get("peer_median_s").asDouble());
        assertEquals(100, json.get("peer_peak_rss_gib").asDouble());
        double ours = json.get("ours_median_s").asDouble();
        assertTrue(ours > 0, json::toString);
        assertEquals(ours / 4, json.get("time_ratio").asDouble(), 1e-3);
        assertEquals(
                json.get("ours_peak_rss_gib").asDouble() / 100,
                json.get("memory_ratio").asDouble(),
                1e-3);
        assertEquals(
                List.of("Round 1 of 2, ours", "Round 1 of 2, peer", "Round 2 of 2, ours", "Round 2 of 2, peer"),
                err.toString()
                        .lines()
                        .filter(line -> line.startsWith("Round"))
                        .map(line -> line.replaceFirst(": .*", ""))
                        .toList());
        assertTrue(err.toString().contains("working"), err::toString);
        List<String> calls = calls(python);
        assertEquals("-c import torch", calls.get(0));
        assertEquals(3, calls.size());
        for (String call : calls.subList(1, 3)) {
            assertTrue(
                    call.endsWith("/peer_bench.py train --model GPT-B --layers 1 --batch 2 --patch 1 --steps 1"
                            + " --tokens 64 --cfg 2.0 --grid 4"),
                    call);
        }
    }

    @Test
    void withoutAJobItComparesTraining1And2AndSampling() throws Exception {
        own = peer("npp", "3", "2");
        Path python = peer("torch", "6", "4");
        Path script = Files.createFile(folder.resolve("my script.py"));
        String[] options = {"--peer", "--rounds", "1", "--mixed-precision", "bf16", "--peer-script", script.toString()};
        assertEquals(0, npp(with(with(new String[] {"bench"}, options), "--python", python.toString())), err::toString);
        List<String> lines = out.toString().lines().toList();
        assertEquals(3, lines.size());
        List<String> jobs = new ArrayList<>();
        for (String line : lines) {
            JsonNode json = new ObjectMapper().readTree(line);
            assertEquals(0.5, json.get("time_ratio").asDouble());
            assertEquals(0.5, json.get("memory_ratio").asDouble());
            assertTrue(json.get("bf16").asBoolean());
            jobs.add(json.get("job").asText() + " " + json.get("patch").asInt());
        }
        assertEquals(List.of("train 1", "train 2", "sample 1"), jobs);
        String training = "train --model GPT-B --layers 0 --batch 4 --patch 2 --steps 4 --tokens 64 --cfg 2.0";
        assertEquals("bench " + training + " --mixed-precision bf16", calls(own).get(1));
        assertEquals(script + " " + training + " --bf16", calls(python).get(2));
    }

    @Test
    void figuresOfAComparisonAreMedians() {
        List<RunResult> ours = List.of(run(1, 1), run(2, 2), run(12, 12));
        List<RunResult> peers = List.of(run(2, 4), run(20, 2), run(4, 1));
        Comparison comparison = new Comparison(ours, peers);
        assertEquals(0.5, comparison.timeRatio()); // of 0.5, 0.1, 3
        assertEquals(1, comparison.memoryRatio()); // of 0.25, 1, 12
        assertEquals(4, Comparison.median(peers, RunResult::medianSeconds));
    }

    private static RunResult run(double seconds, double gib) {
        return new RunResult("somebody", seconds, gib);
    }

    @Test
    void saysWhatAComparisonLacks() throws Exception {
        isRefused(2, "--rounds must be at least 1, but is 0", "bench", "--peer", "--rounds", "0");
        isRefused(2, "--peer-script: there is no file no.py", "bench", "--peer", "--peer-script", "no.py");
        isRefused(
                1,
                "--peer needs Python with PyTorch, but the program no-python cannot be started. Install Python 3",
                "bench",
                "--peer",
                "--python",
                "no-python");
        isRefused(
                1,
                "has no PyTorch (ModuleNotFoundError: No module named 'torch'). Install it",
                "bench",
                "--peer",
                "--python",
                script("echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1")
                        .toString());
        own = peer("npp", "3", "2");
        isRefused(
                1,
                "ended with exit code 3: no memory",
                "bench",
                "--peer",
                "--python",
                script("[ \"$1\" = -c ] && exit", "echo no memory >&2", "exit 3")
                        .toString());
        isRefused(
                1,
                "must end with a line of JSON with peer, median_s and peak_rss_gib, but ended with \"{}\"",
                "bench",
                "--peer",
                "--python",
                script("[ \"$1\" = -c ] && exit", "echo {}").toString());
    }

    /** A program that writes down how it was called and reports these figures. */
    private Path peer(String name, String seconds, String gib) throws IOException {
        String json = "{\"peer\":\"" + name + "\",\"median_s\":" + seconds + ",\"peak_rss_gib\":" + gib + "}";
        return script(
                "echo \"$@\" >>\"$0.calls\"",
                "[ \"$1\" = -c ] && exit",
                "[ \"$1\" = bench ] || [ -f \"$1\" ] || exit 9",
                "echo working >&2",
                "echo '" + json + "'");
    }

    private static List<String> calls(Path program) throws IOException {
        return Files.readAllLines(Path.of(program + ".calls"));
    }

    private Path script(String... lines) throws IOException {
        assumeTrue(Files.isExecutable(SHELL), "needs a POSIX shell");
        Path script = Files.createTempFile(folder, "program", "");
        Files.writeString(script, "#!" + SHELL + "\n" + String.join("\n", lines) + "\n");
        Files.setPosixFilePermissions(script, PosixFilePermissions.fromString("rwx------"));
        return script;
    }

    private static String[] with(String[] args, String... more) {
        return Stream.concat(Arrays.stream(args), Arrays.stream(more)).toArray(String[]::new);
    }

    @Test
    void refusesBadSettings() {
        isRefused(2, "Which job? One of [train, sample, loss, encode, decode]", "bench");
        isRefused(2, "fly", "bench", "fly");
        isRefused(
                2, "no published tokenizer \"GPT-B\"; there are VQ-16 and VQ-8", "bench", "encode", "--model", "GPT-B");
        isRefused(2, "encode is in single precision", "bench", "encode", "--mixed-precision", "bf16");
        isRefused(2, "no published size \"GPT-Z\". Choose one of GPT-B, GPT-L", "bench", "train", "--model", "GPT-Z");
        isRefused(2, "--layers (0: as many as the model has) must be at least 0", "bench", "train", "--layers", "-1");
        isRefused(2, "--batch must be at least 1, but is 0", "bench", "train", "--batch", "0");
        isRefused(2, "--patch must be at least 1, but is 0", "bench", "train", "--patch", "0");
        isRefused(2, "--grid must be at least 1, but is 0", "bench", "train", "--grid", "0");
        isRefused(2, "--steps must be at least 1, but is 0", "bench", "train", "--steps", "0");
        isRefused(2, "--tokens must be at least 2, but is 1", "bench", "sample", "--tokens", "1");
        isRefused(2, "--cfg must be a finite number, at least 1", "bench", "sample", "--cfg", "0.5");
        isRefused(2, "--mixed-precision", "bench", "train", "--mixed-precision", "int8");
        isRefused(1, "3", "bench", "train", "--patch", "3");
        isRefused(1, "3", "bench", "loss", "--patch", "3");
        isRefused(1, "--tokens must be at most 15", "bench", "sample", "--grid", "4", "--tokens", "16");
    }

    private void isRefused(int code, String message, String... args) {
        assertEquals(code, npp(args), err::toString);
        assertEquals("", out.toString());
        String last = err.toString().lines().reduce((a, b) -> b).orElse("");
        assertTrue(last.startsWith("npp: ") && last.contains(message), err.toString());
    }
}
