package org.npp4j.samples;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.evaluation.Dl4jNetwork;
import org.npp4j.llamagen.evaluation.Evaluation;
import org.npp4j.llamagen.evaluation.Evaluation.Score;
import org.npp4j.llamagen.evaluation.Evaluation.Scores;
import org.npp4j.llamagen.evaluation.FeatureNetwork;
import org.npp4j.llamagen.evaluation.FeatureStatistics;
import org.npp4j.llamagen.evaluation.Features;
import org.npp4j.llamagen.evaluation.InceptionNetwork;
import org.npp4j.llamagen.evaluation.PrecisionRecall;
import org.npp4j.llamagen.evaluation.SameDiffNetwork;
import org.npp4j.llamagen.evaluation.SeenImages;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.NpyFile;
import org.npp4j.llamagen.files.NpyRows;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.files.Sha256;
import org.npp4j.llamagen.images.ImageSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp evaluate}: scores samples against a reference. */
@Command(
        name = "evaluate",
        description = {
            "Scores samples against a reference: Frechet distance (FID, sFID), Inception score, precision, recall. With"
                    + " --features, of features that were computed elsewhere."
        },
        footer = {
            "",
            "Scores compare only with scores of the same network, the same reference and as many images; all of that is"
                    + " written beside the samples: SAMPLES.json, and SAMPLES.txt as the published evaluator does."
        },
        sortOptions = false)
final class EvaluateCommand implements Callable<Integer> {
    private static final int ROWS = 2048;
    private static final String MEAN = "mu";
    private static final String COVARIANCE = "sigma";
    private static final String SPATIAL = "_s";

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Parameters(
            index = "0",
            paramLabel = "REFERENCE",
            description =
                    "Images: .npz (arr_0, uint8 [N, H, W, C]), .npy, or a folder of PNG and JPEG files. Or statistics:"
                            + " .npz with mu and sigma, also mu_s and sigma_s. With --features: .npy [images, features].")
    private Path reference;

    @Parameters(
            index = "1",
            paramLabel = "SAMPLES",
            description = "Images to score. With --features: .npy [images, features].")
    private Path samples;

    @Option(
            names = "--inception",
            paramLabel = "FILE",
            description = "See with the Inception network of published scores: classify_image_graph_def.pb of 2015.")
    private Path inception;

    @Option(
            names = "--network",
            paramLabel = "NAME",
            description = "See with " + ShippedClassifier.NAME + ", which comes along, for pictures like those of"
                    + " Fashion-MNIST; or with the network in this file, of Deeplearning4j (.zip) or SameDiff.")
    private String network;

    @Option(names = "--features", description = "The files hold features, not images.")
    private boolean features;

    @Option(
            names = "--probs",
            paramLabel = "FILE",
            description =
                    "With --features: class probabilities of the samples, .npy [images, classes], for the Inception"
                            + " score.")
    private Path probabilities;

    @Option(
            names = "--splits",
            paramLabel = "N",
            defaultValue = "5000",
            description = "Images of a split of the Inception score. Default: ${DEFAULT-VALUE}.")
    private int split;

    @Option(
            names = "--bootstrap",
            paramLabel = "N",
            defaultValue = "0",
            description = "Draw N sets from the samples, for 95 %% intervals of FID, Inception score and precision."
                    + " Default: none.")
    private int resamplings;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "0",
            description = "Seed of these draws. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--batch-size",
            paramLabel = "B",
            defaultValue = "64",
            description = "Images the network looks at at a time. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            description =
                    "Name of the files to write, without .json and .txt. Default: that of SAMPLES; with --features"
                            + " none are written.")
    private Path out;

    @Option(names = "--json", description = "Print JSON.")
    private boolean json;

    @Mixin
    private StandardOptions standardOptions;

    EvaluateCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        requireUsable();
        Evaluation.Settings settings = new Evaluation.Settings(split, PrecisionRecall.NEIGHBOURS, resamplings, seed);
        backend.get();
        if (features) {
            scoreFeatures(settings);
        } else {
            scoreImages(settings);
        }
        return 0;
    }

    private void requireUsable() {
        if (split < 1) {
            throw usage("--splits must be at least 1, but is " + split);
        }
        if (resamplings < 0 || resamplings == 1) {
            throw usage("--bootstrap must be 0 or at least 2, but is " + resamplings);
        }
        if (batchSize < 1) {
            throw usage("--batch-size must be at least 1, but is " + batchSize);
        }
        if (features && (inception != null || network != null)) {
            throw usage("--features needs no network: leave out --inception and --network");
        }
        if (!features && probabilities != null) {
            throw usage("--probs goes with --features; a network gives the probabilities of images");
        }
        if (!features && inception == null && network == null) {
            throw usage("Which network shall look at the images? --inception FILE, --network FILE or --network "
                    + ShippedClassifier.NAME);
        }
        if (inception != null && network != null) {
            throw usage("--inception and --network exclude each other");
        }
    }

    private void scoreFeatures(Evaluation.Settings settings) throws IOException {
        try (Features from = read(reference);
                SeenImages sample = SeenImages.of(read(samples), probabilities == null ? null : read(probabilities))) {
            requireTwo(reference, from.images());
            requireTwo(samples, sample.features().images());
            sample.probabilities()
                    .filter(given -> given.images() != sample.features().images())
                    .ifPresent(given -> spec.commandLine()
                            .getErr()
                            .println("npp: note: " + probabilities + " is of " + given.images() + " images, " + samples
                                    + " of " + sample.features().images()));
            Scores scores;
            try (WorkProgress progress = new WorkProgress("neighbours")) {
                scores = Evaluation.score(
                        new Evaluation.Reference(FeatureStatistics.of(from), null, from),
                        sample,
                        settings,
                        progress::update);
            }
            Map<String, Object> values = values(scores);
            values.remove("sfid");
            if (out != null) {
                AtomicFile.writeText(suffixed(out, ".json"), toJson(values) + "\n");
                AtomicFile.writeText(suffixed(out, ".txt"), text(scores));
            }
            print(values, scores, "features given");
        }
    }

    private static void requireTwo(Path file, int images) {
        if (images < 2) {
            throw new AppException(file + " has 1 image; a covariance needs at least 2, and precision and recall "
                    + (PrecisionRecall.NEIGHBOURS + 1));
        }
    }

    private static Features read(Path file) throws IOException {
        try (NpyRows rows = NpyFile.rows(file)) {
            if (rows.shape().length != 2 || rows.remaining() == 0) {
                throw new AppException(file + " must hold [images, features] with at least one of each, but holds "
                        + Arrays.toString(rows.shape()));
            }
            Features all = Features.empty(rows.shape()[1], rows.dataType());
            for (INDArray some = rows.next(ROWS); some != null; some = rows.next(ROWS)) {
                all.add(some);
                some.close();
            }
            return all;
        } catch (IllegalArgumentException e) {
            throw new AppException(file + ": " + e.getMessage(), e);
        }
    }

    private void scoreImages(Evaluation.Settings settings) throws IOException {
        Instant started = Instant.now();
        FeatureNetwork eyes = network();
        Map<String, Object> report = new LinkedHashMap<>();
        Path name = out != null ? out : withoutEnding(samples);
        Scores scores;
        try (PeakMemory memory = new PeakMemory();
                SeenImages seen = look(eyes, samples, "samples");
                Compared compared = compared(eyes, seen)) {
            requireTwo(samples, seen.features().images());
            try (WorkProgress progress = new WorkProgress("neighbours")) {
                scores = Evaluation.score(compared.reference(), seen, settings, progress::update);
            }
            report.putAll(values(scores));
            Map<String, Object> labels = new LinkedHashMap<>();
            labels.put("fid", "FID(" + eyes.name() + ")");
            labels.put("sfid", "sFID(" + eyes.name() + ")");
            labels.put("inception_score", "Inception score(" + eyes.name() + ")");
            labels.put("precision", "Precision(" + eyes.name() + ")");
            labels.put("recall", "Recall(" + eyes.name() + ")");
            report.put("labels", labels);
            Map<String, Object> network = new LinkedHashMap<>();
            network.put("name", eyes.name());
            network.put("sha256", eyes.sha256());
            network.put("features", seen.features().width());
            report.put("network", network);
            report.put("resize", eyes.preparation());
            report.put("reference", compared.description());
            report.put("samples", described(samples, seen.features().images()));
            Map<String, Object> how = new LinkedHashMap<>();
            how.put("images_per_split", settings.split());
            how.put("neighbours", settings.neighbours());
            how.put("bootstrap", settings.resamplings());
            how.put("seed", settings.seed());
            how.put("batch_size", batchSize);
            report.put("settings", how);
            report.put("seconds", Duration.between(started, Instant.now()).toMillis() / 1e3);
            report.put("peak_memory_gib", memory.gib());
            report.put("versions", Versions.all());
        }
        AtomicFile.writeText(suffixed(name, ".json"), toJson(report) + "\n");
        AtomicFile.writeText(suffixed(name, ".txt"), text(scores));
        print(report, scores, eyes.name());
        if (!json) {
            PrintWriter to = spec.commandLine().getOut();
            to.println("Written: " + suffixed(name, ".json") + ", " + suffixed(name, ".txt"));
            to.flush();
        }
    }

    private FeatureNetwork network() throws IOException {
        if (inception != null) {
            return InceptionNetwork.load(inception);
        }
        if (network.equals(ShippedClassifier.NAME)) {
            return ShippedClassifier.load();
        }
        Path file = Path.of(network);
        if (!Files.isRegularFile(file)) {
            throw usage("--network: there is no file " + network + ", and the only network that comes along is "
                    + ShippedClassifier.NAME);
        }
        String name = withoutEnding(file.getFileName()).toString();
        return Dl4jNetwork.isNetwork(file) ? Dl4jNetwork.load(file, name) : SameDiffNetwork.load(file, name);
    }

    private SeenImages look(FeatureNetwork eyes, Path path, String what) throws IOException {
        try (ImageSource images = ImageSource.open(path);
                WorkProgress progress = new WorkProgress(what)) {
            return SeenImages.of(eyes, images, batchSize, seen -> progress.update(seen / (double) images.count()));
        } catch (IllegalArgumentException e) {
            throw new AppException(path + ": " + e.getMessage(), e);
        }
    }

    /** The reference, and how it is described. */
    private record Compared(Evaluation.Reference reference, SeenImages images, Map<String, Object> description)
            implements AutoCloseable {
        @Override
        public void close() {
            if (images != null) {
                images.close();
            }
        }
    }

    /**
     * Statistics in the file count if they are of this network, as the published evaluator takes them; images in it give the
     * rest.
     */
    private Compared compared(FeatureNetwork eyes, SeenImages seen) throws IOException {
        FeatureStatistics statistics = null;
        FeatureStatistics spatial = null;
        boolean hasImages = true;
        if (!Files.isDirectory(reference) && !reference.toString().endsWith(".npy")) {
            try (NpzFile npz = NpzFile.open(reference)) {
                hasImages = npz.contains(ImageSource.MEMBER);
                boolean isStatistics = npz.contains(MEAN) && npz.contains(COVARIANCE);
                if (isStatistics && (!hasImages || eyes.name().equals(InceptionNetwork.NAME))) {
                    statistics = FeatureStatistics.of(npz.array(MEAN), npz.array(COVARIANCE));
                    spatial = npz.contains(MEAN + SPATIAL) && npz.contains(COVARIANCE + SPATIAL)
                            ? FeatureStatistics.of(npz.array(MEAN + SPATIAL), npz.array(COVARIANCE + SPATIAL))
                            : null;
                }
                if (!isStatistics && !hasImages) {
                    throw new AppException(reference + " holds neither images (" + ImageSource.MEMBER
                            + ") nor statistics (" + MEAN + " and " + COVARIANCE + "), but " + npz.names());
                }
            }
        }
        SeenImages images = hasImages ? look(eyes, reference, "reference") : null;
        if (images != null) {
            requireTwo(reference, images.features().images());
        }
        Map<String, Object> description =
                described(reference, images == null ? null : images.features().images());
        description.put("statistics_from_file", statistics != null);
        Evaluation.Reference all;
        if (statistics == null) {
            all = Evaluation.Reference.of(images);
        } else {
            all = new Evaluation.Reference(statistics, spatial, images == null ? null : images.features());
        }
        if (all.statistics().width() != seen.features().width()) {
            throw new AppException(reference + " has statistics of "
                    + all.statistics().width() + " features, but " + eyes.name() + " gives "
                    + seen.features().width() + ". Take the network that the statistics were made with");
        }
        return new Compared(all, images, description);
    }

    private static Map<String, Object> described(Path path, Integer images) throws IOException {
        Map<String, Object> description = new LinkedHashMap<>();
        description.put("path", path.toString());
        if (Files.isDirectory(path)) {
            try (ImageSource source = ImageSource.open(path)) {
                description.put("sha256", source.sha256());
            }
        } else {
            description.put("sha256", Sha256.of(path));
        }
        description.put("images", images);
        return description;
    }

    private static Map<String, Object> values(Scores scores) {
        Map<String, Object> values = new LinkedHashMap<>();
        Map<String, Object> intervals = new LinkedHashMap<>();
        put("fid", scores.fid(), values, intervals);
        put("sfid", scores.sfid(), values, intervals);
        put("inception_score", scores.inceptionScore(), values, intervals);
        put("precision", scores.precision(), values, intervals);
        put("recall", scores.recall(), values, intervals);
        if (!intervals.isEmpty()) {
            values.put("intervals_95", intervals);
        }
        return values;
    }

    private static void put(String name, Score score, Map<String, Object> values, Map<String, Object> intervals) {
        values.put(name, score == null ? null : score.value());
        if (score != null && !Double.isNaN(score.margin())) {
            intervals.put(name, new double[] {score.value() - score.margin(), score.value() + score.margin()});
        }
    }

    private void print(Map<String, Object> report, Scores scores, String name) throws JsonProcessingException {
        PrintWriter to = spec.commandLine().getOut();
        if (json) {
            to.println(toJson(report));
        } else {
            line(to, "FID(" + name + ")", scores.fid());
            line(to, "sFID(" + name + ")", scores.sfid());
            line(to, "Inception score", scores.inceptionScore());
            line(to, "Precision", scores.precision());
            line(to, "Recall", scores.recall());
        }
        to.flush();
    }

    private static void line(PrintWriter to, String label, Score score) {
        if (score != null) {
            to.printf(
                    Locale.ROOT,
                    "%-28s %.6g%s%n",
                    label,
                    score.value(),
                    Double.isNaN(score.margin()) ? "" : String.format(Locale.ROOT, " +- %.2g", score.margin()));
        }
    }

    /** As the published evaluator writes it. */
    private static String text(Scores scores) {
        StringBuilder text = new StringBuilder();
        append(text, "Inception Score", scores.inceptionScore());
        append(text, "FID", scores.fid());
        append(text, "sFID", scores.sfid());
        append(text, "Precision", scores.precision());
        append(text, "Recall", scores.recall());
        return text.toString();
    }

    private static void append(StringBuilder text, String label, Score score) {
        if (score != null) {
            text.append(label).append(": ").append(score.value()).append('\n');
        }
    }

    private static String toJson(Map<String, Object> report) throws JsonProcessingException {
        return new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(report);
    }

    private static Path withoutEnding(Path file) {
        String name = file.getFileName().toString();
        int dot = name.lastIndexOf('.');
        return Files.isDirectory(file) || dot <= 0 ? file : file.resolveSibling(name.substring(0, dot));
    }

    private static Path suffixed(Path file, String ending) {
        return file.resolveSibling(file.getFileName() + ending);
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
