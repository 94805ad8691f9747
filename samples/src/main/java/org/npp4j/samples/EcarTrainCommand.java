package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.npp4j.ecar.Ecar;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarCost;
import org.npp4j.ecar.EcarSampler;
import org.npp4j.ecar.FlowHead;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.ecar.LatentDataSetIterator;
import org.npp4j.ecar.StageNoise;
import org.npp4j.ecar.latents.BlockTransform;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.schedule.DivergenceGuard;
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

/** {@code npp ecar-train}: trains a stage-wise model of continuous tokens on small images. */
@Command(
        name = "ecar-train",
        description = {
            "Trains an ECAR, which generates continuous tokens stage by stage with a multistage flow, on the latents of a"
                    + " block transform. Writes ecar.pt, samples.png and losses.csv. What the paper's abstract does not say"
                    + " is a reconstruction: all sizes and settings here."
        },
        sortOptions = false)
final class EcarTrainCommand implements Callable<Integer> {
    private static final int SHEET_PER_CLASS = 10;
    private static final double CLIP_NORM = 1;
    private static final double WARMUP_EPOCHS = 0.3;
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
            names = "--config",
            paramLabel = "FILE",
            description = "JSON that describes the model. Default: 4 layers of width 128, 3 stages.")
    private Path configFile;

    @Option(
            names = "--head",
            paramLabel = "KIND",
            description =
                    "Flow head without --config: mlp (each token for itself) or transformer (the tokens of a stage"
                            + " see each other). Default: mlp.")
    private String head;

    @Option(
            names = "--block",
            paramLabel = "B",
            defaultValue = "4",
            description = "Side of the blocks of pixels that are a token. Default: ${DEFAULT-VALUE}.")
    private int block;

    @Option(names = "--epochs", paramLabel = "N", defaultValue = "7", description = "Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Option(
            names = "--batch-size",
            paramLabel = "B",
            defaultValue = "64",
            description = "Images of a step. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--lr",
            paramLabel = "R",
            defaultValue = "1e-3",
            description = "Learning rate, behind a warm-up and before a decay. Default: ${DEFAULT-VALUE}.")
    private double learningRate;

    @Option(
            names = "--cfg-scale",
            paramLabel = "S",
            defaultValue = "2",
            description = "Guidance of samples.png. Default: ${DEFAULT-VALUE}.")
    private double scale;

    @Option(
            names = "--steps",
            paramLabel = "N",
            defaultValue = "10",
            description = "Steps of each stage of samples.png. Default: ${DEFAULT-VALUE}.")
    private int steps;

    @Option(names = "--seed", paramLabel = "S", defaultValue = "0", description = "Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/ecar",
            description = "Folder for the files. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Mixin
    private StandardOptions standardOptions;

    EcarTrainCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        requireUsable();
        FlowSampling sampling = sampling();
        backend.get();
        LabelledImages all = data == null
                ? ShippedImages.load(LabelledImages.Split.TRAIN)
                : LabelledImages.load(data, LabelledImages.Split.TRAIN);
        LabelledImages images = perClass == null ? all : all.firstOfEachClass(perClass);
        if (images.count() < batchSize) {
            throw new AppException("There are " + images.count() + " images, but a batch has " + batchSize
                    + ". Take a smaller --batch-size");
        }
        EcarConfig config = config(images);
        LatentCodec codec = BlockTransform.fit(images.images(), block, config.grid());
        if (codec.channels() != config.channels()) {
            throw usage("The blocks make latents of " + codec.channels() + " channels, but the model has "
                    + config.channels() + ": change --block or \"channels\"");
        }
        LatentDataSetIterator batches =
                new LatentDataSetIterator(config, codec.encode(images.images()), images.labels(), batchSize, seed);
        try (PeakMemory memory = new PeakMemory()) {
            train(config, codec, batches, memory, sampling);
        }
        return 0;
    }

    private void train(
            EcarConfig config,
            LatentCodec codec,
            LatentDataSetIterator batches,
            PeakMemory memory,
            FlowSampling sampling)
            throws IOException {
        StageLearningRate rate = new StageLearningRate.Builder(
                        PatchStages.epochs().stage(1, epochs).build())
                .learningRate(learningRate)
                .endLearningRate(END_RATE_SHARE * learningRate)
                .warmup(Math.min(WARMUP_EPOCHS, 0.5 * epochs))
                .decayRatio(DECAY_RATIO)
                .stepsPerEpoch(batches.batchesPerEpoch())
                .build();
        ComputationGraph network = Ecar.of(config)
                .updater(new TorchAdam.Builder().learningRate(rate).beta2(0.95).build())
                .seed(seed)
                .init();
        EcarCheckpoint.Model model = new EcarCheckpoint.Model(config, network, codec);
        Path file = out.resolve("ecar.pt");
        AtomicReference<Path> saved = new AtomicReference<>();
        StringBuilder losses = new StringBuilder("epoch,loss,seconds\n");
        long start = System.nanoTime();
        long imagesPerEpoch = (long) batches.batchesPerEpoch() * batchSize;
        Losses meter = new Losses(imagesPerEpoch * epochs, batchSize);
        network.addListeners(new GlobalNormClipping(CLIP_NORM), new DivergenceGuard(saved::get), meter);
        try {
            for (int epoch = 0; epoch < epochs; epoch++) {
                network.fit(batches);
                EcarCheckpoint.write(file, model);
                saved.set(file);
                losses.append(String.format(
                        Locale.ROOT, "%d,%.5f,%.1f%n", epoch + 1, meter.takeMean(), (System.nanoTime() - start) / 1e9));
                AtomicFile.writeText(out.resolve("losses.csv"), losses.toString());
            }
        } finally {
            meter.close();
        }
        double trained = (System.nanoTime() - start) / 1e9;
        PixelImages samples = sheet(model, sampling);
        new PngSheet.Builder()
                .columns(SHEET_PER_CLASS)
                .gap(2)
                .scale(2)
                .build()
                .write(out.resolve("samples.png"), samples);
        spec.commandLine()
                .getOut()
                .printf(
                        Locale.ROOT,
                        "%d parameters, %.3f GFLOP an image drawn, %d epochs in %.1f s, velocity loss %.4f, peak memory"
                                + " %.2f GiB: ecar.pt, losses.csv, samples.png in %s%n",
                        config.parameters(),
                        EcarCost.of(config).ofImage(sampling) / 1e9,
                        epochs,
                        trained,
                        meter.lastMean(),
                        memory.gib(),
                        out);
        spec.commandLine().getOut().flush();
    }

    private PixelImages sheet(EcarCheckpoint.Model model, FlowSampling sampling) {
        int[] classes = IntStream.range(0, model.config().classes() * SHEET_PER_CLASS)
                .map(i -> i / SHEET_PER_CLASS)
                .toArray();
        try (EcarSampler sampler = new EcarSampler(model.config(), model.network())) {
            return model.codec()
                    .decode(sampler.generate(
                            classes,
                            sampling,
                            StageNoise.of(model.config(), seed, 0, classes.length, EcarSampleCommand.NOISE)));
        }
    }

    private EcarConfig config(LabelledImages images) throws IOException {
        if (configFile != null) {
            EcarConfig config = EcarConfig.read(configFile);
            if (config.classes() < images.classes()) {
                throw usage("The images have " + images.classes() + " classes, but the model " + config.classes());
            }
            return config;
        }
        EcarConfig defaults = EcarConfig.defaults();
        int side = Math.max(images.images().height(), images.images().width());
        int multiple = 1 << defaults.stages() - 1;
        int blocks = (side + block - 1) / block;
        return new EcarConfig(
                images.images().channels() * block * block,
                (blocks + multiple - 1) / multiple * multiple,
                defaults.stages(),
                defaults.width(),
                defaults.layers(),
                defaults.heads(),
                images.classes(),
                defaults.classDropout(),
                defaults.dropout(),
                head());
    }

    /** Heads of about the same number of operations. */
    private FlowHead head() {
        return switch (head == null ? "mlp" : head.toLowerCase(Locale.ROOT)) {
            case "mlp" -> new FlowHead.Mlp(256, 3);
            case "transformer" -> new FlowHead.Grid(160, 3, 5);
            default -> throw usage("--head must be mlp or transformer, but is " + head);
        };
    }

    private FlowSampling sampling() {
        try {
            return FlowSampling.of(steps, scale);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private void requireUsable() {
        if (epochs < 1 || batchSize < 1 || block < 1 || perClass != null && perClass < 1) {
            throw usage("--epochs, --batch-size, --block and --per-class must be at least 1");
        }
        if (!(learningRate > 0 && learningRate < Double.POSITIVE_INFINITY)) {
            throw usage("--lr must be a number above 0, but is " + learningRate);
        }
        if (configFile != null && head != null) {
            throw usage("--config and --head exclude each other: the file says which head");
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
        if (configFile == null) {
            head();
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    /** Loss of every step, for the progress and the mean of an epoch. */
    private static final class Losses extends BaseTrainingListener implements AutoCloseable {
        private final TrainingProgress progress;
        private final int batch;
        private long images;
        private double sum;
        private int count;
        private double mean = Double.NaN;

        Losses(long images, int batch) {
            this.batch = batch;
            progress = new TrainingProgress("ecar", List.of(new TrainingProgress.Stage(1, images, 1)));
        }

        @Override
        public void iterationDone(Model network, int iteration, int epoch) {
            images += batch;
            sum += network.score();
            count++;
            progress.update(images, network.score());
        }

        double takeMean() {
            mean = sum / count;
            sum = 0;
            count = 0;
            return mean;
        }

        double lastMean() {
            return mean;
        }

        @Override
        public void close() {
            progress.close();
        }
    }
}
