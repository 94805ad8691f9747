package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.llamagen.images.IdxFile;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.TokenDataSetIterator;
import org.npp4j.schedule.StageScheduler;

/** The whole quickstart on a small part of the shipped images. */
class QuickstartTrainingTest {
    @TempDir
    static Path folder;

    private static Path data;

    @BeforeAll
    static void writeSmallData() throws IOException, URISyntaxException {
        Path shipped =
                Path.of(QuickstartTraining.class.getResource("fashion-mnist").toURI());
        data = Files.createDirectories(folder.resolve("data"));
        write(LabelledImages.load(shipped, LabelledImages.Split.TRAIN).firstOfEachClass(20), "train");
        write(LabelledImages.load(shipped, LabelledImages.Split.TEST).firstOfEachClass(10), "t10k");
    }

    private static void write(LabelledImages images, String prefix) throws IOException {
        IdxFile.writeImages(data.resolve(prefix + "-images-idx3-ubyte.gz"), images.images());
        IdxFile.writeLabels(data.resolve(prefix + "-labels-idx1-ubyte.gz"), images.labels());
    }

    @Test
    void trainsDrawsReportsAndRepeatsItself() throws IOException {
        JsonNode first = quickstart("first", 3);
        for (String model : new String[] {"ntp", "npp"}) {
            for (String figure : new String[] {"train_seconds", "train_gflop", "test_nll_per_token"}) {
                assertTrue(first.get(model).get(figure).asDouble() > 0, model + "." + figure);
            }
            JsonNode drawn = first.get(model).get("drawn");
            assertEquals("cnn-fashion-mnist", drawn.get("network").asText());
            assertEquals(500, drawn.get("images").asInt());
            assertTrue(drawn.get("fid").asDouble() > 0);
            assertTrue(drawn.get("reference_agreement").asDouble() > 0.8);
        }
        assertTrue(first.get("ratio").get("train_gflop").asDouble() < 1);
        assertTrue(first.get("ratio").get("train_seconds").asDouble() > 0);
        assertTrue(first.get("peak_rss_gib").asDouble() > 0);
        assertTrue(first.get("total_seconds").asDouble() > 0);
        assertEquals(2, first.get("npp").get("stages").get(0).get("patch_side").asInt());
        assertEquals(1, first.get("npp").get("stages").get(1).get("patch_side").asInt());
        assertEquals("class 0", first.get("data").get("class_names").get(0).asText());
        for (String file : new String[] {"report.html", "real.png", "ntp.png", "npp.png", "ntp.zip", "npp.zip"}) {
            assertTrue(Files.size(folder.resolve("first").resolve(file)) > 0, file);
        }

        JsonNode second = quickstart("second", 3);
        assertEquals(withoutTimes(first), withoutTimes(second));
        for (String picture : new String[] {"ntp.png", "npp.png"}) {
            assertTrue(Arrays.equals(
                    Files.readAllBytes(folder.resolve("first").resolve(picture)),
                    Files.readAllBytes(folder.resolve("second").resolve(picture))));
        }
        assertNotEquals(withoutTimes(first), withoutTimes(quickstart("third", 4)));
    }

    @Test
    void savedModelsRestoreAndContinue() throws IOException {
        JsonNode ecar = quickstart("models", 0, "--ecar", "--ecar-epochs", "1").get("ecar");
        assertEquals(3 * 64, ecar.get("train_images").asInt());
        assertTrue(ecar.get("average_test_loss").asDouble() > 0);
        assertEquals(500, ecar.get("drawn").get("images").asInt());
        assertTrue(ecar.get("nature").asText().contains("reconstruction"));
        assertFalse(ecar.has("sheet"), "pictures are files");
        assertTrue(Files.size(folder.resolve("models/ecar.png")) > 0);
        assertTrue(Files.readString(folder.resolve("models/report.html")).contains("id=\"h-ecar\""));
        assertEquals(
                3,
                EcarCheckpoint.read(folder.resolve("models/ecar.pt"), true)
                        .config()
                        .stages());
        for (String model : new String[] {"ntp.zip", "npp.zip"}) {
            ComputationGraph network = ModelSerializer.restoreComputationGraph(
                    folder.resolve("models").resolve(model).toFile(), true);
            assertEquals(2, network.getConfiguration().getEpochCount());
            assertEquals(1, StageScheduler.patchAveragesOf(network).get(0).getPatchSide());
            TokenDataSetIterator batches = new TokenDataSetIterator(new int[8][64], new int[8], 8, true, 0);
            double before = network.score(batches.next());
            batches.reset();
            for (int i = 0; i < 5; i++) {
                network.fit(batches.next());
                batches.reset();
            }
            assertTrue(Double.isFinite(before) && Double.isFinite(network.score()), model);
        }
    }

    @Test
    void refusesDataThatCannotMakeAReport() throws IOException {
        Path few = Files.createDirectories(folder.resolve("few"));
        Files.copy(data.resolve("train-images-idx3-ubyte.gz"), few.resolve("train-images-idx3-ubyte.gz"));
        Files.copy(data.resolve("train-labels-idx1-ubyte.gz"), few.resolve("train-labels-idx1-ubyte.gz"));
        assertTrue(failure(few).contains("t10k-images-idx3-ubyte"), failure(few));

        LabelledImages test =
                LabelledImages.load(data, LabelledImages.Split.TEST).firstOfEachClass(3);
        IdxFile.writeImages(few.resolve("t10k-images-idx3-ubyte.gz"), test.images());
        IdxFile.writeLabels(few.resolve("t10k-labels-idx1-ubyte.gz"), test.labels());
        assertTrue(failure(few).contains("has 3 test images of class 0"), failure(few));

        byte[] whole = Files.readAllBytes(few.resolve("train-images-idx3-ubyte.gz"));
        Files.write(few.resolve("train-images-idx3-ubyte.gz"), Arrays.copyOf(whole, whole.length / 2));
        assertTrue(failure(few).contains("train-images-idx3-ubyte.gz"), failure(few));
    }

    private static JsonNode quickstart(String out, long seed, String... further) throws IOException {
        StringWriter err = new StringWriter();
        int code = run(err, data, folder.resolve(out), seed, further);
        assertEquals(0, code, err.toString());
        return new ObjectMapper()
                .readTree(folder.resolve(out).resolve("report.json").toFile());
    }

    private static String failure(Path badData) {
        StringWriter err = new StringWriter();
        assertEquals(1, run(err, badData, folder.resolve("failed"), 0));
        return err.toString();
    }

    private static int run(StringWriter err, Path dataFolder, Path out, long seed, String... further) {
        List<String> arguments = new ArrayList<>(List.of(
                "quickstart",
                "--data",
                dataFolder.toString(),
                "--out",
                out.toString(),
                "--epochs",
                "2",
                "--seed",
                Long.toString(seed)));
        arguments.addAll(List.of(further));
        return Npp.run(
                List.of(new QuickstartCommand(new QuickstartTraining(), Backend::start)),
                new PrintWriter(new StringWriter()),
                new PrintWriter(err, true),
                arguments.toArray(String[]::new));
    }

    /** What must repeat: everything but times, memory and what names the run. */
    private static JsonNode withoutTimes(JsonNode report) {
        ObjectNode copy = report.deepCopy();
        copy.remove(List.of("environment", "total_seconds", "peak_rss_gib", "ratio"));
        strip(copy);
        return copy;
    }

    private static void strip(JsonNode node) {
        if (node.isObject()) {
            ((ObjectNode) node).remove(Set.of("train_seconds", "seconds", "images_per_second"));
        }
        node.forEach(QuickstartTrainingTest::strip);
    }
}
