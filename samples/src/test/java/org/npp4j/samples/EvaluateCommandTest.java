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
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.evaluation.Evaluation;
import org.npp4j.llamagen.evaluation.FeatureStatistics;
import org.npp4j.llamagen.evaluation.Features;
import org.npp4j.llamagen.evaluation.InceptionNetwork;
import org.npp4j.llamagen.evaluation.PrecisionRecall;
import org.npp4j.llamagen.evaluation.SeenImages;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.ImageSource;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PillowResampling;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;

class EvaluateCommandTest {
    private static final Backend BACKEND = new Backend("CPU", "OPENBLAS", 2, 1, "");

    @TempDir
    private Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();
    private Path reference;
    private Path sample;

    @BeforeEach
    void saveFeatures() throws IOException {
        reference = features("reference.npy", Nd4j.randn(DataType.FLOAT, 60, 5));
        sample = features("sample.npy", Nd4j.randn(DataType.FLOAT, 40, 5).muli(1.2));
    }

    private Path features(String name, INDArray array) throws IOException {
        Path file = folder.resolve(name);
        Nd4j.writeAsNumpy(array, file.toFile());
        return file;
    }

    @Test
    void givenFeaturesAsJson() throws IOException {
        INDArray odds = Nd4j.rand(DataType.FLOAT, 40, 3);
        Path probs = features("probs.npy", odds.divColumnVector(odds.sum(1)));
        assertEquals(
                0,
                evaluate(
                        "--features",
                        path(reference),
                        path(sample),
                        "--probs",
                        path(probs),
                        "--splits",
                        "15",
                        "--json"),
                err::toString);
        JsonNode scores = new ObjectMapper().readTree(out.toString());
        List<String> names = new ArrayList<>();
        scores.fieldNames().forEachRemaining(names::add);
        assertEquals(List.of("fid", "inception_score", "precision", "recall"), names);
        try (Features a = Features.of(array(reference));
                SeenImages b = SeenImages.of(Features.of(array(sample)), Features.of(array(probs)))) {
            Evaluation.Scores expected = Evaluation.score(
                    new Evaluation.Reference(FeatureStatistics.of(a), null, a),
                    b,
                    new Evaluation.Settings(15, 3, 0, 0),
                    done -> {});
            assertEquals(expected.fid().value(), scores.get("fid").asDouble(), 1e-9);
            assertEquals(
                    expected.inceptionScore().value(),
                    scores.get("inception_score").asDouble(),
                    1e-9);
            assertEquals(
                    PrecisionRecall.of(a, b.features()).precision(),
                    scores.get("precision").asDouble());
            assertEquals(
                    PrecisionRecall.of(a, b.features()).recall(),
                    scores.get("recall").asDouble());
        }
    }

    private static INDArray array(Path file) throws IOException {
        return NpyFile.read(file);
    }

    private static String path(Path path) {
        return path.toString();
    }

    @Test
    void givenFeaturesAsText() {
        assertEquals(0, evaluate("--features", path(reference), path(sample), "--bootstrap", "5"), err::toString);
        assertTrue(
                out.toString().matches("(?s)FID\\(features given\\) +[0-9.]+ \\+- [0-9.]+\\R.*Recall +[0-9.]+\\R"),
                out::toString);
        assertFalse(out.toString().contains("Inception"), out::toString);
    }

    @Test
    void imagesSeenByANetwork() throws IOException {
        LabelledImages test = ShippedImages.load(LabelledImages.Split.TEST).firstOfEachClass(4);
        Path real = folder.resolve("real");
        Path drawn = folder.resolve("drawn.d");
        pictures(real, test.images());
        PixelImages others = ShippedImages.load(LabelledImages.Split.TRAIN)
                .firstOfEachClass(3)
                .images();
        pictures(drawn, others);
        assertEquals(
                0,
                evaluate(path(real), path(drawn), "--network", "cnn-fashion-mnist", "--bootstrap", "3"),
                err::toString);
        assertTrue(out.toString().startsWith("FID(cnn-fashion-mnist)"), out::toString);
        JsonNode report =
                new ObjectMapper().readTree(folder.resolve("drawn.d.json").toFile());
        assertEquals("FID(cnn-fashion-mnist)", report.get("labels").get("fid").asText());
        assertEquals("cnn-fashion-mnist", report.get("network").get("name").asText());
        assertEquals(64, report.get("network").get("sha256").asText().length());
        assertEquals(40, report.get("reference").get("images").asInt());
        assertEquals(30, report.get("samples").get("images").asInt());
        try (ImageSource source = ImageSource.open(drawn)) {
            assertEquals(source.sha256(), report.get("samples").get("sha256").asText());
        }
        assertEquals(
                "to grey and 28 x 28 where they are not (Pillow: convert(\"L\"), bicubic), then: none, pixels v / 255",
                report.get("resize").asText());
        assertEquals(5000, report.get("settings").get("images_per_split").asInt());
        assertTrue(report.get("sfid").isNull());
        assertTrue(report.get("intervals_95").has("fid"));
        List<String> lines = Files.readAllLines(folder.resolve("drawn.d.txt"));
        assertEquals("Inception Score: " + report.get("inception_score").asText(), lines.get(0));
        assertEquals("FID: " + report.get("fid").asText(), lines.get(1));
        assertEquals("Precision: " + report.get("precision").asText(), lines.get(2));
        assertEquals("Recall: " + report.get("recall").asText(), lines.get(3));
        assertEquals(4, lines.size());
        // a set has no distance to itself
        assertEquals(0, evaluate(path(real), path(real), "--network", "cnn-fashion-mnist", "--json"), err::toString);
        JsonNode same = new ObjectMapper().readTree(out.toString());
        assertEquals(0, same.get("fid").asDouble(), 1e-6);
        assertEquals(1, same.get("precision").asDouble());
        assertEquals(Sha256.of(files(real)), same.get("samples").get("sha256").asText());
    }

    @Test
    void imagesSeenByTheInceptionGraph() throws IOException {
        Path graph = Path.of("src/test/resources/golden/inception-like.pb");
        PixelImages real = ShippedImages.load(LabelledImages.Split.TEST)
                .firstOfEachClass(2)
                .images()
                .toColour();
        PixelImages drawn = ShippedImages.load(LabelledImages.Split.TRAIN)
                .firstOfEachClass(1)
                .images()
                .toColour();
        Path images = folder.resolve("images.npz");
        npz(images, real);
        Path samples = folder.resolve("samples.npz");
        npz(samples, drawn);
        assertEquals(0, evaluate(path(images), path(samples), "--inception", path(graph), "--json"), err::toString);
        JsonNode report = new ObjectMapper().readTree(out.toString());
        assertEquals("FID(inception-2015)", report.get("labels").get("fid").asText());
        assertEquals("inception-2015", report.get("network").get("name").asText());
        assertEquals(Sha256.of(graph), report.get("network").get("sha256").asText());
        assertEquals(9, report.get("network").get("features").asInt());
        assertEquals(20, report.get("reference").get("images").asInt());
        assertEquals(10, report.get("samples").get("images").asInt());
        assertEquals(Sha256.of(samples), report.get("samples").get("sha256").asText());
        assertTrue(report.get("resize").asText().startsWith("bilinear to 299 x 299 inside the graph"));
        try (ImageSource a = ImageSource.open(images);
                ImageSource b = ImageSource.open(samples);
                SeenImages seen = SeenImages.of(InceptionNetwork.load(graph), a, 20, done -> {});
                SeenImages sampled = SeenImages.of(InceptionNetwork.load(graph), b, 20, done -> {})) {
            Evaluation.Scores expected = Evaluation.score(
                    Evaluation.Reference.of(seen), sampled, new Evaluation.Settings(5000, 3, 0, 0), done -> {});
            double fid = expected.fid().value();
            assertEquals(fid, report.get("fid").asDouble(), 1e-3 * fid);
            double sfid = expected.sfid().value();
            assertEquals(sfid, report.get("sfid").asDouble(), 1e-3 * sfid);
            assertEquals(
                    expected.inceptionScore().value(),
                    report.get("inception_score").asDouble(),
                    1e-4);
            assertEquals(expected.precision().value(), report.get("precision").asDouble());
        }
        // a folder of the same pictures has the same scores
        Path pictures = folder.resolve("pictures");
        pictures(pictures, drawn);
        assertEquals(0, evaluate(path(images), path(pictures), "--inception", path(graph), "--json"), err::toString);
        assertEquals(
                report.get("fid").asDouble(),
                new ObjectMapper().readTree(out.toString()).get("fid").asDouble());
        Path none = Files.writeString(folder.resolve("none.pb"), "no graph");
        assertEquals(1, evaluate(path(images), path(samples), "--inception", path(none)));
        assertTrue(err.toString().contains("it is no frozen TensorFlow graph"), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    @Test
    void imagesOfOtherSizesAreResizedForTheShippedNetwork() throws IOException {
        PixelImages real = ShippedImages.load(LabelledImages.Split.TEST)
                .firstOfEachClass(2)
                .images();
        Path images = folder.resolve("images.npz");
        npz(images, real);
        double ofColours = fidOfShippedNetwork(images, real.toColour());
        assertEquals(0, ofColours, 1e-6);
        double ofLarger = fidOfShippedNetwork(images, PillowResampling.BICUBIC.resize(real, 56, 56));
        double ofOthers = fidOfShippedNetwork(
                images,
                ShippedImages.load(LabelledImages.Split.TRAIN)
                        .firstOfEachClass(2)
                        .images());
        assertTrue(0 < ofLarger && ofLarger < ofOthers / 2, ofLarger + " " + ofOthers);
    }

    private double fidOfShippedNetwork(Path images, PixelImages others) throws IOException {
        Path samples = folder.resolve("others.npz");
        npz(samples, others);
        assertEquals(
                0, evaluate(path(images), path(samples), "--network", "cnn-fashion-mnist", "--json"), err::toString);
        return new ObjectMapper().readTree(out.toString()).get("fid").asDouble();
    }

    private static void npz(Path file, PixelImages images) throws IOException {
        NpzFile.writeUint8(
                file,
                ImageSource.MEMBER,
                new long[] {images.count(), images.height(), images.width(), images.channels()},
                to -> to.write(images.toInterleavedBytes()));
    }

    @Test
    void referenceStatisticsFromAFile() throws IOException {
        LabelledImages test = ShippedImages.load(LabelledImages.Split.TEST).firstOfEachClass(4);
        Path real = folder.resolve("real");
        Path drawn = folder.resolve("drawn");
        pictures(real, test.images());
        pictures(
                drawn,
                ShippedImages.load(LabelledImages.Split.TRAIN)
                        .firstOfEachClass(3)
                        .images());
        FeatureStatistics statistics;
        try (ImageSource source = ImageSource.open(real);
                SeenImages seen = SeenImages.of(ShippedClassifier.load(), source, 7, done -> {})) {
            statistics = FeatureStatistics.of(seen.features());
        }
        Path file = folder.resolve("reference.npz");
        npz(file, Map.of("mu", statistics.mean(), "sigma", statistics.covariance()));
        assertEquals(0, evaluate(path(file), path(drawn), "--network", "cnn-fashion-mnist", "--json"), err::toString);
        JsonNode fromFile = new ObjectMapper().readTree(out.toString());
        assertTrue(fromFile.get("reference").get("statistics_from_file").asBoolean());
        assertTrue(fromFile.get("precision").isNull());
        assertEquals(0, evaluate(path(real), path(drawn), "--network", "cnn-fashion-mnist", "--json"), err::toString);
        double fid = new ObjectMapper().readTree(out.toString()).get("fid").asDouble();
        assertEquals(fid, fromFile.get("fid").asDouble(), 1e-6 * fid);
        npz(file, Map.of("mu", Nd4j.zeros(DataType.DOUBLE, 3), "sigma", Nd4j.eye(3)));
        assertEquals(1, evaluate(path(file), path(drawn), "--network", "cnn-fashion-mnist"));
        assertTrue(
                err.toString().contains("has statistics of 3 features, but cnn-fashion-mnist gives 64"), err::toString);
        npz(file, Map.of("other", Nd4j.eye(3)));
        assertEquals(1, evaluate(path(file), path(drawn), "--network", "cnn-fashion-mnist"));
        assertTrue(err.toString().contains("neither images (arr_0) nor statistics"), err::toString);
    }

    private static void npz(Path file, Map<String, INDArray> arrays) throws IOException {
        try (OutputStream out = Files.newOutputStream(file);
                ZipOutputStream zip = new ZipOutputStream(out)) {
            for (Map.Entry<String, INDArray> array : arrays.entrySet()) {
                zip.putNextEntry(new ZipEntry(array.getKey() + ".npy"));
                zip.write(Nd4j.toNpyByteArray(array.getValue().dup('c')));
            }
        }
    }

    private static Path[] files(Path folder) throws IOException {
        try (var files = Files.list(folder)) {
            return files.sorted().toArray(Path[]::new);
        }
    }

    private static void pictures(Path folder, PixelImages images) throws IOException {
        Files.createDirectories(folder);
        PngSheet sheet = new PngSheet.Builder().columns(1).gap(0).build();
        for (int i = 0; i < images.count(); i++) {
            sheet.write(folder.resolve(String.format("%06d.png", i)), images.select(i));
        }
    }

    @Test
    void wrongUsageIsOneLine() {
        Map<String, String> messages = Map.of(
                "a b", "Which network shall look at the images? --inception FILE, --network FILE or --network cnn-",
                "a b --network x --inception y", "--inception and --network exclude each other",
                "a b --network x", "--network: there is no file x, and the only network that comes along is cnn-",
                "--features a b --network x", "--features needs no network",
                "a b --network x --probs p", "--probs goes with --features",
                "--features a b --splits 0", "--splits must be at least 1, but is 0",
                "--features a b --bootstrap 1", "--bootstrap must be 0 or at least 2, but is 1",
                "--features a b --batch-size 0", "--batch-size must be at least 1, but is 0",
                "--features a", "SAMPLES");
        messages.forEach((options, message) -> {
            assertEquals(2, evaluate(options.split(" ")), () -> out + " " + err);
            assertTrue(err.toString().contains(message), err::toString);
            assertEquals(1, err.toString().lines().count(), err::toString);
        });
    }

    @Test
    void whatCannotBeScoredIsNamed() throws IOException {
        INDArray bad = array(sample);
        bad.putScalar(new int[] {7, 2}, Float.NaN);
        isFailure("nan.npy: Feature 2 of image 7 is not a number", reference, features("nan.npy", bad));
        isFailure(
                "one.npy has 1 image; a covariance needs at least 2",
                reference,
                features("one.npy", Nd4j.rand(DataType.FLOAT, 1, 5)));
        isFailure(
                "has 5 features an image, the sample 6",
                reference,
                features("wide.npy", Nd4j.rand(DataType.FLOAT, 9, 6)));
        isFailure("must hold [images, features]", reference, features("flat.npy", Nd4j.rand(DataType.FLOAT, 9)));
        isFailure("There is no", reference, folder.resolve("none.npy"));
        Path empty = Files.createDirectories(folder.resolve("empty"));
        assertEquals(1, evaluate(path(empty), path(empty), "--network", "cnn-fashion-mnist"));
        assertTrue(err.toString().contains("the folder holds no images"), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    private void isFailure(String message, Path reference, Path sample) {
        assertEquals(1, evaluate("--features", path(reference), path(sample)), () -> out + " " + err);
        assertTrue(err.toString().contains(message), err::toString);
        assertEquals(1, err.toString().lines().count(), err::toString);
    }

    private int evaluate(String... options) {
        out.getBuffer().setLength(0);
        err.getBuffer().setLength(0);
        List<String> args = new ArrayList<>(List.of("evaluate"));
        args.addAll(Arrays.asList(options));
        return Npp.run(
                List.of(new EvaluateCommand(() -> BACKEND)),
                new PrintWriter(out, true),
                new PrintWriter(err, true),
                args.toArray(String[]::new));
    }
}
