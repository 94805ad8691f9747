package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.samples.bench.BenchSettings;
import org.npp4j.samples.bench.Job;
import org.npp4j.samples.bench.Timings;

class BenchCommandTest {
    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int npp(String... args) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        return Npp.run(
                List.of(new BenchCommand(Backend::start, BenchCommandTest::small)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args);
    }

    private static GptSpec small(BenchSettings settings) {
        return GptSpec.of(Math.max(1, settings.layers()), 2, 16)
                .feedForwardMultiple(16)
                .vocabulary(32)
                .classes(4)
                .grid(TokenGrid.of(4, 4))
                .build();
    }

    @ParameterizedTest
    @EnumSource
    void printsOneLineOfJson(Job job) throws Exception {
        assertEquals(
                0,
                npp("bench", job.toString(), "--layers", "2", "--batch", "3", "--patch", "2", "--tokens", "9"),
                err::toString);
        assertEquals(1, out.toString().lines().count(), out.toString());
        JsonNode json = new ObjectMapper().readTree(out.toString());
        List<String> names = new ArrayList<>();
        json.fieldNames().forEachRemaining(names::add);
        String rate = job == Job.TRAIN ? "images_per_s" : "tokens_per_s";
        assertEquals(
                List.of(
                        "peer",
                        "job",
                        "model",
                        "layers",
                        "batch",
                        "patch",
                        "steps",
                        "tokens",
                        "cfg",
                        "bf16",
                        "loss",
                        "threads",
                        "median_s",
                        "min_s",
                        rate,
                        "peak_rss_gib"),
                names);
        assertTrue(json.get("peer").asText().matches("npp4j \\S+ nd4j-native OpenBLAS"), json.toString());
        assertEquals(job.toString(), json.get("job").asText());
        assertEquals("GPT-B", json.get("model").asText());
        assertEquals(2, json.get("layers").asInt());
        assertEquals(3, json.get("batch").asInt());
        assertEquals(2, json.get("patch").asInt());
        assertEquals(4, json.get("steps").asInt());
        assertEquals(9, json.get("tokens").asInt());
        assertEquals(2.0, json.get("cfg").asDouble());
        assertFalse(json.get("bf16").asBoolean(true));
        assertEquals("sparse", json.get("loss").asText());
        assertTrue(json.get("threads").asInt() > 0);
        assertTrue(json.get("min_s").asDouble() <= json.get("median_s").asDouble());
        assertTrue(json.get(rate).asDouble() > 0);
        assertTrue(json.get("peak_rss_gib").asDouble() > 0);
        assertTrue(err.toString().contains("million parameters"), err.toString());
    }

    @Test
    void countsLikeThePeer() {
        GptSpec spec = small(settings(3, 5, 2.0));
        List<String> steps = new ArrayList<>();
        Timings train = Job.TRAIN.benchmark().run(spec, settings(3, 5, 2.0), steps::add);
        assertEquals(3, train.seconds().length);
        assertEquals(2, train.perRepetition());
        assertEquals(4, steps.stream().filter(line -> line.startsWith("Step")).count(), steps::toString);
        // tokens + 1 positions, of which the first two do not count
        for (double cfg : new double[] {1, 2}) {
            Timings sample = Job.SAMPLE.benchmark().run(spec, settings(3, 5, cfg), line -> {});
            assertEquals(4, sample.seconds().length);
            assertTrue(Arrays.stream(sample.seconds()).allMatch(s -> s > 0));
            assertEquals("tokens", sample.unit());
        }
        Timings known = new Timings(new double[] {4, 1, 2, 5}, "tokens", 6);
        assertEquals(3, known.median());
        assertEquals(1, known.least());
        assertEquals(2, known.perSecond());
        assertEquals(2, new Timings(new double[] {4, 1, 2}, "tokens", 6).median());
    }

    private static BenchSettings settings(int steps, int tokens, double cfg) {
        return new BenchSettings("GPT-B", 1, 2, 2, steps, tokens, cfg);
    }

    @Test
    void buildsEveryPublishedSize() {
        for (GptSize size : GptSize.values()) {
            GptSpec spec = new BenchSettings(size.label(), 0, 4, 1, 4, 64, 2).spec();
            assertArrayEquals(
                    new int[] {size.layers(), size.heads(), size.width(), 16384, 1000},
                    new int[] {spec.layers(), spec.heads(), spec.width(), spec.vocabulary(), spec.classes()});
            assertFalse(spec.textConditional());
            assertEquals(
                    3, new BenchSettings(size.label(), 3, 4, 1, 4, 64, 2).spec().layers());
        }
    }

    @Test
    void refusesBadSettings() {
        isRefused(2, "JOB", "bench");
        isRefused(2, "fly", "bench", "fly");
        isRefused(2, "no published size \"GPT-Z\". Choose one of GPT-B, GPT-L", "bench", "train", "--model", "GPT-Z");
        isRefused(2, "--layers (0: as many as the model has) must be at least 0", "bench", "train", "--layers", "-1");
        isRefused(2, "--batch must be at least 1, but is 0", "bench", "train", "--batch", "0");
        isRefused(2, "--patch must be at least 1, but is 0", "bench", "train", "--patch", "0");
        isRefused(2, "--steps must be at least 1, but is 0", "bench", "train", "--steps", "0");
        isRefused(2, "--tokens must be at least 2, but is 1", "bench", "sample", "--tokens", "1");
        isRefused(2, "--cfg must be a finite number, at least 1", "bench", "sample", "--cfg", "0.5");
        isRefused(1, "3", "bench", "train", "--patch", "3");
        isRefused(1, "--tokens must be at most 15", "bench", "sample", "--tokens", "16");
    }

    private void isRefused(int code, String message, String... args) {
        assertEquals(code, npp(args), err::toString);
        assertEquals("", out.toString());
        String last = err.toString().lines().reduce((a, b) -> b).orElse("");
        assertTrue(last.startsWith("npp: ") && last.contains(message), err.toString());
    }
}
