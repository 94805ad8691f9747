package org.npp4j.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.spark.SparkConf;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.training.StepMaker;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.samples.Npp;

/** Spark in this process, with two tasks at a time. */
class SparkTrainTest {
    private static final int CLASSES = 3;
    private static final int VOCABULARY = 9;

    /** 48 images of 16 tokens; batches of 8, so 6 steps an epoch, 12 in all, the first 6 with 2 x 2 patches. */
    private static final List<String> SETTINGS = List.of(
            "--gpt-config",
            "{\"dim\": 16, \"n_layer\": 2, \"n_head\": 2}",
            "--image-size",
            "64",
            "--vocab-size",
            "" + VOCABULARY,
            "--num-classes",
            "" + CLASSES,
            "--epochs",
            "2",
            "--global-batch-size",
            "8",
            "--lr",
            "1e-2",
            "--ema",
            "--ema-decay",
            "0.9",
            "--log-every",
            "1");

    private static final Pattern LOSS = Pattern.compile("\"loss\":([-0-9.E]+)");

    @TempDir
    static Path data;

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    /** Images of a class are alike, so that there is something to learn. */
    @BeforeAll
    static void writeCodes() throws IOException {
        writeCodes(data.resolve("train"), 48, 5);
        writeCodes(data.resolve("test"), 12, 6);
    }

    private static void writeCodes(Path set, int images, long seed) throws IOException {
        Path codes = Files.createDirectories(set.resolve("imagenet64_codes"));
        Path labels = Files.createDirectories(set.resolve("imagenet64_labels"));
        Random random = new Random(seed);
        for (int image = 0; image < images; image++) {
            int label = image % CLASSES;
            int[] tokens = new int[16];
            Arrays.setAll(tokens, i -> (label * 3 + i / 4 + random.nextInt(2)) % VOCABULARY);
            NpyFile.writeInt64(codes.resolve(image + ".npy"), tokens, 1, 1, 16);
            NpyFile.writeInt64(labels.resolve(image + ".npy"), new int[] {label});
        }
    }

    @Test
    void reachesTheLossOfOneWorkerAndGoesOn() throws IOException {
        assertEquals(0, alone("alone"), err::toString);
        assertEquals(0, spark("whole", "--workers", "2", "--ckpt-every", "5"), err::toString);
        assertEquals(0, spark("parts", "--workers", "2", "--steps", "7"), err::toString);
        Path parts = folder.resolve("parts");
        assertEquals(0, SparkTrain.run(local(), writer(out), writer(err), "--resume", parts.toString()), err::toString);

        TrainingCheckpoint one = last("alone");
        TrainingCheckpoint two = last("whole");
        TrainingCheckpoint resumed = last("parts");
        assertEquals(12, two.step());
        assertEquals(2, two.epoch());
        assertEquals(96, two.images());
        // the draws of dropout differ; an untrained model is at ln 9 = 2.197
        assertTrue(one.testLoss().orElseThrow() < 1.9, one::toString);
        assertEquals(one.testLoss().orElseThrow(), two.testLoss().orElseThrow(), 0.1);
        assertEquals(one.averageTestLoss().orElseThrow(), two.averageTestLoss().orElseThrow(), 0.1);
        INDArray weights = two.loadNetwork().params();
        INDArray others = resumed.loadNetwork().params();
        assertEquals(
                0,
                weights.castTo(DataType.DOUBLE)
                        .sub(others.castTo(DataType.DOUBLE))
                        .amaxNumber()
                        .doubleValue(),
                "two shares have one sum");
        assertEquals(12, two.loadNetwork().getIterationCount());

        List<String> metrics = Files.readAllLines(folder.resolve("whole/metrics.jsonl"));
        List<String> steps = metrics.stream()
                .filter(line -> line.contains("\"event\":\"steps\""))
                .toList();
        assertEquals(12, steps.size());
        for (int i = 0; i < steps.size(); i++) {
            assertTrue(steps.get(i).contains("\"patch_side\":" + (i < 6 ? 2 : 1)), steps.get(i));
            assertFalse(steps.get(i).contains("NaN"), steps.get(i));
        }
        assertTrue(Files.exists(folder.resolve("whole/0000012.pt")));
        assertTrue(Files.exists(folder.resolve("whole/report.html")));
    }

    /** The batch, its gradient clipped, a learning rate for each step; without dropout nothing is drawn. */
    @ParameterizedTest
    @ValueSource(ints = {1, 4})
    void makesTheStepsOfThisMachine(int workers) throws IOException {
        String[] plain = {
            "--dropout-p", "0", "--token-dropout-p", "0", "--class-dropout-p", "0", "--scheduler", "--steps", "14"
        };
        assertEquals(0, alone("alone", plain), err::toString);
        String[] shared = Arrays.copyOf(plain, plain.length + 2);
        shared[plain.length] = "--workers";
        shared[plain.length + 1] = "" + workers;
        assertEquals(0, spark("one", shared), err::toString);
        double[] expected =
                losses("alone").stream().mapToDouble(Double::doubleValue).toArray();
        double[] actual =
                losses("one").stream().mapToDouble(Double::doubleValue).toArray();
        assertEquals(12, expected.length);
        assertArrayEquals(expected, actual, 1e-5, () -> Arrays.toString(expected) + Arrays.toString(actual));
        assertEquals(
                last("alone").averageTestLoss().orElseThrow(),
                last("one").averageTestLoss().orElseThrow(),
                1e-5);
    }

    private List<Double> losses(String run) throws IOException {
        List<Double> losses = new ArrayList<>();
        for (String line : Files.readAllLines(folder.resolve(run).resolve("metrics.jsonl"))) {
            Matcher loss = LOSS.matcher(line);
            if (line.contains("\"event\":\"steps\"") && loss.find()) {
                losses.add(Double.parseDouble(loss.group(1)));
            }
        }
        return losses;
    }

    @Test
    void wrongUsageStartsNoCluster() {
        assertEquals(2, spark("usage", "--workers", "3"));
        assertTrue(err.toString().contains("--workers is 3, but must divide"), err::toString);
        assertEquals(0, SparkTrain.run(new SparkConf(false).setMaster("none"), writer(out), writer(err), "--help"));
        assertTrue(out.toString().contains("--workers"), out::toString);
    }

    @Test
    void aShareIsComputedAtOnce() {
        assertEquals(1, spark("parts", "--workers", "2", "--micro-batch", "2"));
        assertTrue(err.toString().contains("computes its share of a batch at once, 4 images here"), err::toString);
    }

    private TrainingCheckpoint last(String run) throws IOException {
        return TrainingCheckpoint.latest(folder.resolve(run).resolve("checkpoints"))
                .orElseThrow();
    }

    private int alone(String run, String... further) {
        return Npp.train(StepMaker.LOCAL, writer(out), writer(err), arguments(run, further));
    }

    private int spark(String run, String... further) {
        return SparkTrain.run(local(), writer(out), writer(err), arguments(run, further));
    }

    private static SparkConf local() {
        return new SparkConf(false)
                .setMaster("local[2]")
                .set("spark.ui.enabled", "false")
                // as a cluster's defaults may have it
                .set("spark.serializer", "org.apache.spark.serializer.KryoSerializer");
    }

    private static PrintWriter writer(StringWriter text) {
        text.getBuffer().setLength(0);
        return new PrintWriter(text, true);
    }

    private String[] arguments(String run, String... further) {
        List<String> arguments = new ArrayList<>(List.of(
                "--code-path",
                data.resolve("train").toString(),
                "--test-code-path",
                data.resolve("test").toString(),
                "--out",
                folder.resolve(run).toString()));
        arguments.addAll(SETTINGS);
        arguments.addAll(List.of(further));
        return arguments.toArray(String[]::new);
    }
}
