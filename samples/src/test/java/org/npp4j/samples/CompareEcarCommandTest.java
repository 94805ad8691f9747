package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
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
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.llamagen.images.IdxFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.samples.report.FlowComparison;

class CompareEcarCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");
    private static final String ECAR = "{\"channels\": 16, \"grid\": 8, \"stages\": 2, \"dim\": 8, \"n_layer\": 1,"
            + " \"n_head\": 2, \"head\": \"transformer\", \"head_width\": 8, \"head_blocks\": 1, \"head_heads\": 1}";
    private static final String DIT = "{\"channels\": 16, \"grid\": 8, \"patch\": 2, \"dim\": 8, \"n_layer\": 1,"
            + " \"n_head\": 1, \"num_classes\": 10, \"class_dropout\": 0.1}";

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int npp(String... more) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        List<String> args = new ArrayList<>(List.of(
                "compare-ecar",
                "--out",
                folder.resolve("out").toString(),
                "--num-samples",
                "30",
                "--draw-batch",
                "20",
                "--ecar-steps",
                "1,2",
                "--dit-steps",
                "1,3"));
        args.addAll(List.of(more));
        return Npp.run(
                List.of(new CompareEcarCommand(() -> BACKEND)),
                new PrintWriter(out),
                new PrintWriter(err),
                args.toArray(String[]::new));
    }

    @Test
    void trainsDrawsAndCompares() throws IOException {
        Path ecar = Files.writeString(folder.resolve("ecar.json"), ECAR);
        Path dit = Files.writeString(folder.resolve("dit.json"), DIT);
        assertEquals(
                0,
                npp(
                        "--per-class", "3",
                        "--batch-size", "8",
                        "--tflop", "0.0003",
                        "--ecar-config", ecar.toString(),
                        "--dit-config", dit.toString()),
                err::toString);
        Path to = folder.resolve("out");
        JsonNode json =
                new ObjectMapper().readTree(to.resolve("comparison.json").toFile());
        JsonNode models = json.get("models");
        assertEquals(2, models.size());
        assertEquals(
                "ECAR, 2 stages, transformer head", models.get(0).get("name").asText());
        assertEquals("DiT, 1 layers of 8", models.get(1).get("name").asText());
        for (JsonNode model : models) {
            // as near to the operations asked for as whole steps come
            JsonNode training = model.get("training");
            double step = 8 * model.get("gflopTrainingImage").asDouble() / 1000;
            assertEquals(0.0003, training.get("teraflop").asDouble(), step);
            assertTrue(training.get("loss").asDouble() > 0);
            assertEquals(2, model.get("points").size());
            for (JsonNode point : model.get("points")) {
                assertTrue(point.get("fid").asDouble() > 0);
                assertTrue(point.get("seconds").asDouble() > 0);
            }
        }
        // of 1 and 2 steps, and of the best: ECAR's two points and the DiT's two
        assertEquals(5, json.get("ratios").size());
        String page = Files.readString(to.resolve("comparison.html"));
        assertTrue(page.contains("<svg") && page.contains("FID(cnn-fashion-mnist)"), page);
        assertTrue(!page.contains("{{"), "something of the template is left");
        assertEquals(
                10 * 28 * 2, ImageIO.read(to.resolve("samples-1.png").toFile()).getHeight(), 20 * 2);
        assertTrue(out.toString().contains("comparison.json, comparison.html and sheets in"), out::toString);

        // the trained models again, which gives the same figures
        assertEquals(
                0,
                npp(
                        "--ecar", to.resolve("ecar.pt").toString(),
                        "--dit", to.resolve("dit.pt").toString()),
                err::toString);
        JsonNode again =
                new ObjectMapper().readTree(to.resolve("comparison.json").toFile());
        assertTrue(again.get("models").get(0).get("training").isNull());
        for (int m = 0; m < 2; m++) {
            for (int p = 0; p < 2; p++) {
                assertEquals(
                        models.get(m).get("points").get(p).get("fid").asDouble(),
                        again.get("models")
                                .get(m)
                                .get("points")
                                .get(p)
                                .get("fid")
                                .asDouble(),
                        1e-3);
            }
        }
    }

    @Test
    void wrongUsageIsOneLineAndTwo() throws IOException {
        fails(2, "--num-samples must be at least 20", "--num-samples", "3");
        fails(2, "must be at least 1", "--batch-size", "0");
        fails(2, "must be at least 1, but one is 0", "--ecar-steps", "3,0");
        fails(2, "numbers above 0", "--tflop", "0");
        fails(2, "--cfg-scale must be", "--cfg-scale", "-1");
        fails(1, "Take a smaller --batch-size", "--per-class", "1");
        Path data = Files.createDirectory(folder.resolve("data"));
        byte[] pixels = new byte[20 * 28 * 28];
        new Random(1).nextBytes(pixels);
        int[] labels = new int[20];
        Arrays.setAll(labels, i -> i % 10);
        IdxFile.writeImages(data.resolve("t10k-images-idx3-ubyte"), new PixelImages(20, 1, 28, 28, pixels));
        IdxFile.writeLabels(data.resolve("t10k-labels-idx1-ubyte"), labels);
        fails(1, "does not know these", "--data", data.toString());
    }

    private void fails(int code, String message, String... args) {
        List<String> all = new ArrayList<>(
                List.of("compare-ecar", "--out", folder.resolve("none").toString()));
        all.addAll(List.of(args));
        err.getBuffer().setLength(0);
        assertEquals(
                code,
                Npp.run(
                        List.of(new CompareEcarCommand(() -> BACKEND)),
                        new PrintWriter(out),
                        new PrintWriter(err),
                        all.toArray(String[]::new)));
        assertTrue(err.toString().contains(message), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    @Test
    void ratiosAreThoseOfTheCheapestThatReachAQuality() {
        FlowComparison.Model ecar = new FlowComparison.Model(
                "E",
                1,
                1,
                null,
                List.of(new FlowComparison.Point(1, 1, 0.1, 30, 0.5), new FlowComparison.Point(2, 2, 0.2, 20, 0.6)));
        FlowComparison.Model dit = new FlowComparison.Model(
                "D",
                1,
                1,
                null,
                List.of(new FlowComparison.Point(5, 5, 0.5, 28, 0.5), new FlowComparison.Point(10, 10, 1.2, 18, 0.6)));
        List<FlowComparison.Ratio> ratios = FlowComparison.ratios(ecar, dit);
        assertEquals(
                new FlowComparison.Ratio("E", "the best that both reach", 20, 2, 10, 5.0, 1.2 / 0.2), ratios.get(0));
        assertEquals(new FlowComparison.Ratio("E", "E, 1 steps", 30, 1, 5, 5.0, 5.0), ratios.get(1));
        assertEquals(new FlowComparison.Ratio("E", "D, 5 steps", 28, 2, 5, 2.5, 2.5), ratios.get(3));
        assertEquals(new FlowComparison.Ratio("E", "D, 10 steps", 18, null, 10, null, null), ratios.get(4));
    }

    /** DiT-XL/2: 118.6 billion multiply-adds a pass in its paper, 250 steps, twice with guidance. */
    @Test
    void costsOfPublishedSizes() {
        List<FlowComparison.Published> costs = PublishedCosts.all();
        assertEquals(2 * 118.6e9 * 250 / 1e12, costs.get(0).teraflop(), 0.05);
        assertEquals(2 * costs.get(0).teraflop(), costs.get(6).teraflop(), 1e-9);
        assertEquals(675e6, costs.get(0).parameters(), 1e6);
        for (FlowComparison.Published cost : costs) {
            assertEquals(675e6, cost.parameters(), 0.02 * 675e6);
        }
        // as many steps in all as the DiT
        FlowComparison.Published third = costs.get(4);
        assertEquals(83, third.steps());
        assertEquals(10.8, third.ratio(), 0.1);
    }
}
