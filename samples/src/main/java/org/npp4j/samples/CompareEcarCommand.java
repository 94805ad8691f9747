package org.npp4j.samples;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.ecar.Ecar;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarCost;
import org.npp4j.ecar.LatentDataSetIterator;
import org.npp4j.ecar.baseline.Dit;
import org.npp4j.ecar.baseline.DitCheckpoint;
import org.npp4j.ecar.baseline.DitConfig;
import org.npp4j.ecar.baseline.DitCost;
import org.npp4j.ecar.baseline.DitDataSetIterator;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.samples.report.DrawnScores;
import org.npp4j.samples.report.FlowComparison;
import org.npp4j.samples.report.FlowComparisonPage;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.schedule.FusedUpdater;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
import org.npp4j.schedule.TorchAdam;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp compare-ecar}: ECAR's claim in small, against a diffusion transformer. */
@Command(
        name = "compare-ecar",
        description = {
            "Compares ECAR with a diffusion transformer (DiT) on the same latents: operations and seconds of an image, FID"
                    + " and agreement of the classifier that comes along, at several numbers of steps, and the ratio at"
                    + " equal quality. Trains what is not given, both with the same data, batches, learning rate and number"
                    + " of operations. Writes comparison.json, comparison.html, a sheet of each model, and the trained ones."
        },
        footer = {
            "",
            "The DiT has the network of its paper (adaLN-Zero), but learns and follows the straight flow that ECAR's stages"
                    + " have too, with Euler steps: what differs is the stages. The sizes of ECAR are a reconstruction.",
            "",
            "Seconds are the median of the batches but the first, without decoding; time on a quiet machine."
        },
        sortOptions = false)
final class CompareEcarCommand implements Callable<Integer> {
    /** Small models, which train in minutes: three layers of 96, heads of about as many operations. */
    private static final String SMALL_ECAR =
            "{\"channels\": 16, \"grid\": 8, \"stages\": 3, \"dim\": 96, \"n_layer\": 3,"
                    + " \"n_head\": 4, \"head\": \"transformer\", \"head_width\": 104, \"head_blocks\": 3, \"head_heads\": 2}";

    private static final String SMALL_DIT = "{\"channels\": 16, \"grid\": 8, \"patch\": 1, \"dim\": 96, \"n_layer\": 5,"
            + " \"n_head\": 4, \"num_classes\": 10, \"class_dropout\": 0.1}";

    private static final int SHEET_PER_CLASS = 10;
    private static final double CLIP_NORM = 1;
    private static final int WARMUP_STEPS = 50;
    private static final double DECAY_RATIO = 0.5;
    private static final double END_RATE_SHARE = 0.05;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description =
                    "Folder with images and labels in IDX files. Default: the Fashion-MNIST subset that comes along.")
    private Path data;

    @Option(
            names = "--per-class",
            paramLabel = "N",
            description = "Train on the first N images of each class. Default: on all.")
    private Integer perClass;

    @Option(
            names = "--ecar",
            split = ",",
            paramLabel = "FILE",
            description = "Trained ECARs, of ecar-train. Default: train one.")
    private List<Path> ecars = List.of();

    @Option(names = "--dit", paramLabel = "FILE", description = "A trained DiT, of this command. Default: train one.")
    private Path dit;

    @Option(
            names = "--ecar-config",
            paramLabel = "FILE",
            description = "JSON that describes the ECAR to train. Default: 3 stages, 3 layers of width 96, transformer"
                    + " head.")
    private Path ecarConfig;

    @Option(
            names = "--dit-config",
            paramLabel = "FILE",
            description =
                    "JSON that describes the DiT to train. Default: 5 layers of width 96, tokens of one position.")
    private Path ditConfig;

    @Mixin
    private CodecOptions codecOptions;

    @Option(
            names = "--tflop",
            paramLabel = "X",
            defaultValue = "20",
            description = "Operations of each training in 10^12. Default: ${DEFAULT-VALUE}.")
    private double teraflop;

    @Option(
            names = "--batch-size",
            paramLabel = "B",
            defaultValue = "64",
            description = "Images of a training step. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--lr",
            paramLabel = "R",
            defaultValue = "1e-3",
            description = "Learning rate, behind a warm-up and before a decay. Default: ${DEFAULT-VALUE}.")
    private double learningRate;

    @Option(
            names = "--num-samples",
            paramLabel = "N",
            defaultValue = "1000",
            description = "Images to draw at each number of steps. Default: ${DEFAULT-VALUE}.")
    private int samples;

    @Option(
            names = "--ecar-steps",
            split = ",",
            paramLabel = "N",
            defaultValue = "1,2,3,5,10",
            description = "Steps of each stage of ECAR. Default: ${DEFAULT-VALUE}.")
    private int[] ecarSteps;

    @Option(
            names = "--dit-steps",
            split = ",",
            paramLabel = "N",
            defaultValue = "2,4,6,10,20,40",
            description = "Steps of the DiT. Default: ${DEFAULT-VALUE}.")
    private int[] ditSteps;

    @Option(
            names = "--cfg-scale",
            paramLabel = "S",
            defaultValue = "2",
            description = "Classifier-free guidance of both; 1 for none. Default: ${DEFAULT-VALUE}.")
    private double scale;

    @Option(
            names = "--draw-batch",
            paramLabel = "B",
            defaultValue = "50",
            description = "Images drawn at a time. Default: ${DEFAULT-VALUE}.")
    private int drawBatch;

    @Option(names = "--seed", paramLabel = "S", defaultValue = "0", description = "Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/compare-ecar",
            description = "Folder for the files. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Mixin
    private StandardOptions standardOptions;

    CompareEcarCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    /** A model and what was done to train it; null if nothing. */
    private record Trained(FlowModel model, FlowComparison.Training training) {}

    @Override
    public Integer call() throws IOException {
        Instant started = Instant.now();
        requireUsable();
        Backend machine = backend.get();
        LabelledImages test = images(LabelledImages.Split.TEST);
        DrawnImagesJudge judge = DrawnImagesJudge.of(test)
                .orElseThrow(() -> new AppException("The classifier that comes along judges pictures like those of"
                        + " Fashion-MNIST alone, and does not know these"));
        List<Trained> all = models();
        LatentCodec codec = codec(all);
        List<FlowComparison.Model> models = new ArrayList<>();
        List<SampleSheet> sheets = new ArrayList<>();
        DrawnScores scores = null;
        for (int i = 0; i < all.size(); i++) {
            FlowModel model = all.get(i).model();
            List<FlowComparison.Point> points = new ArrayList<>();
            byte[] sheet = null;
            for (int steps : model instanceof FlowModel.Dit ? ditSteps : ecarSteps) {
                int[] classes = classes(test.classes());
                double[] seconds = new double[1];
                PixelImages drawn = draw(model, codec, classes, steps, seconds);
                scores = judge.score(drawn, classes);
                points.add(new FlowComparison.Point(
                        steps,
                        model.operations(steps, scale) / 1e9,
                        seconds[0],
                        scores.fid(),
                        scores.classifierAgreement()));
                report(model, points.get(points.size() - 1));
                sheet = sheet(drawn, test.classes());
            }
            String file = "samples-" + i + ".png";
            AtomicFile.write(out.resolve(file), sheet);
            sheets.add(new SampleSheet(
                    model.name(), file, "Images that " + model.name() + " drew, a row for each class", sheet));
            models.add(new FlowComparison.Model(
                    model.name(),
                    model.parameters(),
                    model.trainingOperations() / 1e9,
                    all.get(i).training(),
                    points));
        }
        List<FlowComparison.Ratio> ratios = new ArrayList<>();
        FlowComparison.Model baseline = models.get(models.size() - 1);
        for (FlowComparison.Model model : models.subList(0, models.size() - 1)) {
            ratios.addAll(FlowComparison.ratios(model, baseline));
        }
        write(
                new FlowComparison(
                        data == null ? "the Fashion-MNIST subset that comes along" : data.toString(),
                        scores.network(),
                        samples,
                        scores.referenceImages(),
                        scores.referenceAgreement(),
                        scale,
                        seed,
                        models,
                        ratios,
                        PublishedCosts.all(),
                        machine.environment(started, spec)),
                sheets);
        return 0;
    }

    private LabelledImages images(LabelledImages.Split split) throws IOException {
        return data == null ? ShippedImages.load(split) : LabelledImages.load(data, split);
    }

    /** The ECARs, then the baseline. */
    private List<Trained> models() throws IOException {
        List<Trained> all = new ArrayList<>();
        for (Path file : ecars) {
            all.add(new Trained(new FlowModel.Ecar(EcarCheckpoint.read(file, false, codecOptions.checkpoint())), null));
        }
        DitCheckpoint.Model given = dit == null ? null : DitCheckpoint.read(dit, codecOptions.checkpoint());
        if (!all.isEmpty() && given != null) {
            all.add(new Trained(new FlowModel.Dit(given), null));
            return all;
        }
        LabelledImages every = images(LabelledImages.Split.TRAIN);
        LabelledImages train = perClass == null ? every : every.firstOfEachClass(perClass);
        if (train.count() < batchSize) {
            throw new AppException("There are " + train.count() + " images, but a batch has " + batchSize
                    + ". Take a smaller --batch-size");
        }
        LatentCodec codec = !all.isEmpty()
                ? codec(all)
                : given != null
                        ? codec(List.of(new Trained(new FlowModel.Dit(given), null)))
                        : newCodec(train.images());
        EcarConfig ecarSizes =
                EcarConfig.parse(ecarConfig == null ? withLatents(SMALL_ECAR, codec) : Files.readString(ecarConfig));
        DitConfig ditSizes =
                DitConfig.parse(ditConfig == null ? withLatents(SMALL_DIT, codec) : Files.readString(ditConfig));
        requireLatents("ECAR", ecarSizes.channels(), ecarSizes.grid(), codec);
        requireLatents("DiT", ditSizes.channels(), ditSizes.grid(), codec);
        INDArray latents = codec.encode(train.images());
        if (all.isEmpty()) {
            ComputationGraph network = Ecar.of(ecarSizes)
                    .updater(updater(EcarCost.of(ecarSizes).ofTrainingStep()))
                    .seed(seed)
                    .init();
            FlowComparison.Training training = train(
                    "ecar",
                    network,
                    new LatentDataSetIterator(ecarSizes, latents, train.labels(), batchSize, seed),
                    EcarCost.of(ecarSizes).ofTrainingStep());
            EcarCheckpoint.Model model = new EcarCheckpoint.Model(ecarSizes, network, codec);
            EcarCheckpoint.write(out.resolve("ecar.pt"), model);
            all.add(new Trained(new FlowModel.Ecar(model), training));
        }
        FlowComparison.Training training = null;
        if (given == null) {
            ComputationGraph network = Dit.of(ditSizes)
                    .updater(updater(DitCost.of(ditSizes).ofTrainingStep()))
                    .seed(seed)
                    .init();
            training = train(
                    "dit",
                    network,
                    new DitDataSetIterator(ditSizes, latents, train.labels(), batchSize, seed),
                    DitCost.of(ditSizes).ofTrainingStep());
            given = new DitCheckpoint.Model(ditSizes, network, codec);
            DitCheckpoint.write(out.resolve("dit.pt"), given);
        }
        all.add(new Trained(new FlowModel.Dit(given), training));
        return all;
    }

    /** Steps of so many operations in all. */
    private int steps(double operationsOfImage) {
        return (int) Math.max(1, Math.round(teraflop * 1e12 / operationsOfImage / batchSize));
    }

    private IUpdater updater(double operationsOfImage) {
        int steps = steps(operationsOfImage);
        StageLearningRate rate = new StageLearningRate.Builder(
                        PatchStages.iterations().stage(1, steps).build())
                .learningRate(learningRate)
                .endLearningRate(END_RATE_SHARE * learningRate)
                .warmup(Math.min(WARMUP_STEPS, 0.5 * steps))
                .decayRatio(DECAY_RATIO)
                .build();
        return new TorchAdam.Builder().learningRate(rate).beta2(0.95).build();
    }

    private FlowComparison.Training train(
            String task, ComputationGraph network, EpochDataSetIterator batches, double operationsOfImage) {
        int steps = steps(operationsOfImage);
        FusedUpdater.attachTo(network);
        network.addListeners(new GlobalNormClipping(CLIP_NORM));
        long start = System.nanoTime();
        double sum = 0;
        int counted = 0;
        try (TrainingProgress progress =
                new TrainingProgress(task, List.of(new TrainingProgress.Stage(1, (long) steps * batchSize, 1)))) {
            for (int step = 0; step < steps; step++) {
                if (!batches.hasNext()) {
                    batches.reset();
                }
                network.fit(batches.next());
                double loss = network.score();
                if (!Double.isFinite(loss)) {
                    throw new AppException(
                            "The loss of " + task + " is " + loss + " at step " + step + ": take a smaller --lr");
                }
                if (step >= steps - Math.max(1, steps / 10)) {
                    sum += loss;
                    counted++;
                }
                progress.update((step + 1L) * batchSize, loss);
            }
        }
        long images = (long) steps * batchSize;
        return new FlowComparison.Training(
                images, images * operationsOfImage / 1e12, (System.nanoTime() - start) / 1e9, sum / counted);
    }

    private LatentCodec newCodec(PixelImages images) throws IOException {
        EcarConfig sizes = EcarConfig.parse(ecarConfig == null ? SMALL_ECAR : Files.readString(ecarConfig));
        try {
            return codecOptions.codec(images, ecarConfig == null ? null : sizes.grid(), 1 << sizes.stages() - 1);
        } catch (IllegalArgumentException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
    }

    /** A description of one of the small models with the latents of a codec. */
    private static String withLatents(String json, LatentCodec codec) throws IOException {
        ObjectNode sizes = new ObjectMapper().readValue(json, ObjectNode.class);
        return sizes.put("channels", codec.channels()).put("grid", codec.grid()).toString();
    }

    private static void requireLatents(String name, int channels, int grid, LatentCodec codec) {
        if (channels != codec.channels() || grid != codec.grid()) {
            throw new AppException("The latents have " + codec.channels() + " channels on a grid of " + codec.grid()
                    + " x " + codec.grid() + ", but the " + name + " " + channels + " on " + grid + " x " + grid
                    + ". Change its configuration, or --block or --kl-ckpt");
        }
    }

    /** The codec of all models. */
    private static LatentCodec codec(List<Trained> models) {
        List<LatentCodec> codecs = models.stream()
                .map(trained -> trained.model() instanceof FlowModel.Ecar ecar
                        ? ecar.model().codec()
                        : ((FlowModel.Dit) trained.model()).model().codec())
                .distinct()
                .toList();
        if (codecs.size() != 1 || codecs.get(0) == null) {
            throw new AppException("The models must have the same latents, but their files name "
                    + codecs.stream()
                            .map(c -> c == null ? "none" : "different ones")
                            .distinct()
                            .toList());
        }
        return codecs.get(0);
    }

    /** Equally many of each class, class by class. */
    private int[] classes(int count) {
        return IntStream.range(0, samples)
                .map(i -> (int) ((long) i * count / samples))
                .toArray();
    }

    /** Seconds of an image are the median of all whole batches but the first, which warms up, if there are others. */
    private PixelImages draw(FlowModel model, LatentCodec codec, int[] classes, int steps, double[] seconds) {
        byte[] pixels = null;
        PixelImages part = null;
        int size = 0;
        List<Double> times = new ArrayList<>();
        try (FlowModel.Drawing drawing = model.drawing()) {
            for (int first = 0; first < classes.length; first += drawBatch) {
                int[] batch = Arrays.copyOfRange(classes, first, Math.min(classes.length, first + drawBatch));
                long start = System.nanoTime();
                INDArray latents = drawing.draw(batch, first, seed, steps, scale);
                double ofImage = (System.nanoTime() - start) / 1e9 / batch.length;
                if (times.isEmpty() || batch.length == drawBatch) {
                    times.add(ofImage);
                }
                part = codec.decode(latents);
                size = part.channels() * part.height() * part.width();
                if (pixels == null) {
                    pixels = new byte[Math.multiplyExact(classes.length, size)];
                }
                System.arraycopy(part.toBytes(), 0, pixels, first * size, batch.length * size);
            }
        }
        double[] counted = times.stream()
                .skip(times.size() > 1 ? 1 : 0)
                .mapToDouble(Double::doubleValue)
                .sorted()
                .toArray();
        seconds[0] = counted[counted.length / 2];
        return new PixelImages(classes.length, part.channels(), part.height(), part.width(), pixels);
    }

    private byte[] sheet(PixelImages drawn, int classes) throws IOException {
        int perClass = Math.min(SHEET_PER_CLASS, samples / classes);
        int[] shown = IntStream.range(0, classes * perClass)
                .map(i -> (int) ((long) (i / perClass) * samples / classes) + i % perClass)
                .toArray();
        return new PngSheet.Builder().columns(perClass).gap(2).scale(2).build().toPng(drawn.select(shown));
    }

    private void report(FlowModel model, FlowComparison.Point point) {
        print(
                "%-36s %3d steps %8.3f GFLOP %7.2f ms  FID %7.2f  agreement %5.1f %%%n",
                model.name(),
                point.steps(),
                point.gflop(),
                1000 * point.seconds(),
                point.fid(),
                100 * point.agreement());
    }

    private void write(FlowComparison comparison, List<SampleSheet> sheets) throws IOException {
        AtomicFile.writeText(
                out.resolve("comparison.json"),
                new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT).writeValueAsString(comparison));
        AtomicFile.writeText(out.resolve("comparison.html"), FlowComparisonPage.render(comparison, sheets));
        for (FlowComparison.Ratio ratio : comparison.ratios()) {
            if (ratio.operations() != null) {
                print(
                        "At the FID of %s (%.2f): DiT %d steps, %s %d; DiT takes %.2f times the operations, %.2f times"
                                + " the seconds%n",
                        ratio.quality(),
                        ratio.fid(),
                        ratio.baselineSteps(),
                        ratio.model(),
                        ratio.steps(),
                        ratio.operations(),
                        ratio.seconds());
            } else {
                print(
                        "At the FID of %s (%.2f): %s does not reach it%n",
                        ratio.quality(), ratio.fid(), ratio.steps() == null ? ratio.model() : "DiT");
            }
        }
        for (FlowComparison.Published cost : comparison.published()) {
            print(
                    "Published size: %s, %,d parameters, %d steps: %.2f TFLOP an image, DiT-XL/2 at %d takes %.1f times"
                            + " as many%n",
                    cost.name(),
                    cost.parameters(),
                    cost.steps(),
                    cost.teraflop(),
                    PublishedCosts.DIT_STEPS,
                    cost.ratio());
        }
        print("comparison.json, comparison.html and sheets in %s%n", out);
    }

    private void print(String format, Object... values) {
        PrintWriter to = spec.commandLine().getOut();
        to.printf(Locale.ROOT, format, values);
        to.flush();
    }

    private void requireUsable() {
        if (batchSize < 1 || drawBatch < 1 || perClass != null && perClass < 1) {
            throw usage("--batch-size, --draw-batch and --per-class must be at least 1");
        }
        if (samples < 20) {
            throw usage("--num-samples must be at least 20, but is " + samples);
        }
        for (int steps : IntStream.concat(Arrays.stream(ecarSteps), Arrays.stream(ditSteps))
                .toArray()) {
            if (steps < 1) {
                throw usage("--ecar-steps and --dit-steps must be at least 1, but one is " + steps);
            }
        }
        if (!(learningRate > 0 && learningRate < Double.POSITIVE_INFINITY)
                || !(teraflop > 0 && teraflop < Double.POSITIVE_INFINITY)) {
            throw usage("--lr and --tflop must be numbers above 0");
        }
        if (!(scale >= 0 && scale < Double.POSITIVE_INFINITY)) {
            throw usage("--cfg-scale must be a finite number, at least 0 (1 = none), but is " + scale);
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
