package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.CodebookUsage;
import org.npp4j.llamagen.tokenizer.KlConfig;
import org.npp4j.llamagen.tokenizer.KlDescription;
import org.npp4j.llamagen.tokenizer.KlTraining;
import org.npp4j.llamagen.tokenizer.ReconstructionError;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import org.npp4j.schedule.WeightAverage;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp train-tokenizer}: learns a VQ tokenizer or a KL autoencoder from images. */
@Command(
        name = "train-tokenizer",
        description = {
            "Learns a VQ tokenizer from images: squared error of the reconstruction, codebook and commitment loss, Adam."
                    + " Writes vq.pt in the published layout, which --vq-ckpt takes.",
            "With --kl: a KL autoencoder of continuous latents, for ecar-train: squared error and divergence, Adam. Writes"
                    + " kl.pt in latent-diffusion's layout, which --kl-ckpt takes."
        },
        footer = {
            "",
            "The folder of --out holds vq.pt and vq.json (the tokenizer; kl.pt and kl.json with --kl), metrics.csv, sheet.png (test images, each row"
                    + " above its reconstructions) and state.zip, from which --resume goes on. Each is whole at any time."
        },
        sortOptions = false)
final class TrainTokenizerCommand implements Callable<Integer> {
    /**
     * A model that learns small images on a processor: downsampling 4, one residual block a level, the fewest channels that
     * the 32 groups of the norms allow.
     */
    private static final VqConfig SMALL = new VqConfig(List.of(1, 2, 2), 32, 64, 256, 8, 1);

    /** The same for a KL autoencoder: 8 x 8 latents of 4 channels for images of CIFAR-10. */
    private static final KlConfig SMALL_KL = new KlConfig.Builder()
            .channels(32)
            .channelMultipliers(1, 2, 2)
            .residualBlocks(1)
            .latentChannels(4)
            .build();

    private static final int COMPARED_ITERATIONS = 20;
    private static final int COMPARED_BLOCKS = 100_000;
    private static final int BLOCK_VALUES = 256;
    /** Test images whose latents' deviation is reported. */
    private static final int MEASURED = 256;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = {"--data", "--data-path"},
            required = true,
            paramLabel = "DIR",
            description = "Images: pictures in class folders or not, the four IDX files of (Fashion-)MNIST, or binary"
                    + " files of CIFAR-10. Of pictures every 20th is a test image.")
    private Path data;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "JSON that describes the tokenizer: channel_mult, channels, z_channels, codebook_size,"
                    + " codebook_dim, num_res_blocks; with --kl in the words of latent-diffusion or diffusers. Default: a"
                    + " small one with a downsampling of 4.")
    private Path config;

    @Option(names = "--kl", description = "Learn a KL autoencoder of continuous latents instead of a VQ tokenizer.")
    private boolean kl;

    @Option(
            names = "--kl-weight",
            paramLabel = "W",
            description =
                    "Weight of the divergence, summed over a latent, beside the squared error, summed over an image."
                            + " Default: 1e-6.")
    private Double klWeight;

    @Option(
            names = "--kl-ckpt",
            paramLabel = "FILE",
            description = "Start from this KL autoencoder of the same sizes instead of random weights.")
    private Path klStart;

    @Option(names = "--vq-model", paramLabel = "NAME", description = "A published one instead: VQ-16 or VQ-8.")
    private String model;

    @Option(
            names = "--codebook-size",
            paramLabel = "V",
            description = "Codes. Default: the model's, 256 of the small one.")
    private Integer codebookSize;

    @Option(
            names = "--codebook-embed-dim",
            paramLabel = "D",
            description = "Values of a code. Default: the model's, 8 of all named here.")
    private Integer codebookDim;

    @Option(
            names = "--image-size",
            paramLabel = "N",
            description = "Images are resized and cropped to N x N pixels. Default: as they are; pictures need it.")
    private Integer imageSize;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            defaultValue = "20",
            description = "How often every image is seen. Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Option(
            names = {"--batch-size", "--global-batch-size"},
            paramLabel = "B",
            defaultValue = "32",
            description = "Images of a step. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--lr",
            paramLabel = "RATE",
            defaultValue = "1e-3",
            description = "Learning rate. Default: ${DEFAULT-VALUE}.")
    private double learningRate;

    @Option(
            names = "--end-lr",
            paramLabel = "RATE",
            defaultValue = "2e-5",
            description = "Learning rate at the end. Default: ${DEFAULT-VALUE}.")
    private double endLearningRate;

    @Option(
            names = "--warmup-steps",
            paramLabel = "N",
            defaultValue = "100",
            description = "Steps in which the rate rises from 0. Default: ${DEFAULT-VALUE}.")
    private int warmup;

    @Option(
            names = "--decay-ratio",
            paramLabel = "R",
            defaultValue = "0.4",
            description = "Share of the steps in which the rate falls. Default: ${DEFAULT-VALUE}.")
    private double decayRatio;

    @Option(
            names = "--commit-loss-beta",
            paramLabel = "B",
            defaultValue = "0.25",
            description = "Weight of the commitment beside the codebook loss. Default: ${DEFAULT-VALUE}.")
    private double commitment;

    @Option(
            names = "--codebook-weight",
            paramLabel = "W",
            defaultValue = "1.0",
            description = "Weight of both beside the squared error. Default: ${DEFAULT-VALUE}.")
    private double quantizerWeight;

    @Option(names = "--no-mirror", description = "Do not mirror half of the images from left to right.")
    private boolean noMirror;

    @Option(names = "--no-restart", description = "Leave codes that are hardly chosen where they are.")
    private boolean noRestart;

    @Option(names = "--ema", description = "Keep a moving average of the weights, too: vq-ema.pt beside vq.pt.")
    private boolean average;

    @Option(
            names = "--ema-decay",
            paramLabel = "D",
            defaultValue = "" + WeightAverage.DEFAULT_DECAY,
            description = "Of the average. Default: ${DEFAULT-VALUE}, the published one, for many thousand steps.")
    private double averageDecay;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Stop early, after so many steps in all. The learning rate stays that of the whole training,"
                    + " and --resume goes on.")
    private Integer stopAfter;

    @Option(
            names = "--sheet-every",
            paramLabel = "N",
            defaultValue = "500",
            description = "Steps between two sheets and tests. Default: ${DEFAULT-VALUE}.")
    private int sheetEvery;

    @Option(
            names = "--ckpt-every",
            paramLabel = "N",
            defaultValue = "500",
            description = "Steps between two checkpoints. Default: ${DEFAULT-VALUE}.")
    private int checkpointEvery;

    @Option(
            names = "--vq-ckpt",
            paramLabel = "FILE",
            description = "Start from this tokenizer of the same sizes instead of random weights.")
    private Path start;

    @Option(names = "--resume", description = "Go on from the checkpoint in --out, if there is one.")
    private boolean resume;

    @Option(names = "--compare", description = "At the end, test a k-means codebook of as many tokens and codes too.")
    private boolean compare;

    @Option(
            names = {"--seed", "--global-seed"},
            paramLabel = "S",
            defaultValue = "0",
            description = "Seed of weights, order and mirroring. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/tokenizer",
            description = "Folder for the files. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Mixin
    private StandardOptions standardOptions;

    TrainTokenizerCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        requireOneKind();
        VqConfig vqSizes = kl ? null : sizes();
        KlConfig klSizes = kl ? klSizes() : null;
        TokenizerTraining.Settings settings = settings();
        AutoencoderLearner.Factory factory = kl ? klFactory(klSizes) : vqFactory(vqSizes);
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--out must be a folder, but " + out + " is a file");
        }
        if (imageSize != null && imageSize < 1) {
            throw usage("--image-size must be at least 1, but is " + imageSize);
        }
        Backend started = backend.get();
        PrintWriter err = spec.commandLine().getErr();
        err.println(started);
        TokenizerImages images = TokenizerImages.load(
                data, imageSize, message -> err.println("npp: skipped: " + Failure.oneLine(message)));
        requireFits(kl ? klSizes::grid : vqSizes::grid, images.train());
        err.println("A " + (kl ? klSizes : vqSizes) + ", " + images.train().count() + " training and "
                + images.test().count() + " test images of " + images.train().height() + " x "
                + images.train().width() + " pixels");
        String json = kl ? new KlDescription(klSizes, null).toJson() : vqSizes.toJson();
        AtomicFile.writeText(out.resolve(kl ? "kl.json" : "vq.json"), json + "\n");
        try (PeakMemory memory = new PeakMemory()) {
            TokenizerTraining training = new TokenizerTraining(factory, images, settings, out);
            AutoencoderLearner.Learnt learnt = training.run(kl ? klStart : start, resume);
            report(learnt, images.test(), training, memory);
            if (compare && learnt instanceof VqLearner.Tokenizer vq) {
                compare(vq.tokenizer(), images);
            }
        }
        return 0;
    }

    private void requireOneKind() {
        if (kl && (model != null || codebookSize != null || codebookDim != null || start != null || compare)) {
            throw usage(
                    "--vq-model, --codebook-size, --codebook-embed-dim, --vq-ckpt and --compare are of VQ tokenizers,"
                            + " but --kl asks for a KL autoencoder");
        }
        if (!kl && (klWeight != null || klStart != null)) {
            throw usage("--kl-weight and --kl-ckpt need --kl");
        }
        if (klWeight != null && !(klWeight >= 0 && klWeight < Double.POSITIVE_INFINITY)) {
            throw usage("--kl-weight must be 0 or above, but is " + klWeight);
        }
    }

    private KlConfig klSizes() throws IOException {
        try {
            return config == null ? SMALL_KL : KlDescription.read(config).config();
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private AutoencoderLearner.Factory klFactory(KlConfig sizes) {
        double weight = klWeight == null ? KlTraining.DEFAULT_WEIGHT : klWeight;
        return (height, width, steps, updater) -> new KlLearner(sizes, weight, seed, height, width, updater);
    }

    private AutoencoderLearner.Factory vqFactory(VqConfig sizes) {
        try {
            VqLearner.Settings settings = new VqLearner.Settings(commitment, quantizerWeight, !noRestart, seed);
            return (height, width, steps, updater) -> new VqLearner(sizes, settings, height, width, steps, updater);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private void report(
            AutoencoderLearner.Learnt learnt, PixelImages test, TokenizerTraining training, PeakMemory memory) {
        PrintWriter result = spec.commandLine().getOut();
        result.printf(
                Locale.ROOT,
                "%d steps in %.0f s, peak memory %.2f GiB: %s%n",
                training.stepsDone(),
                training.seconds(),
                memory.gib(),
                training.file());
        if (learnt instanceof VqLearner.Tokenizer vq) {
            report(result, vq.tokenizer(), test);
        } else if (learnt instanceof KlLearner.Autoencoder autoencoder) {
            report(result, autoencoder, test);
        }
        if (training.hasAverage()) {
            result.printf(
                    Locale.ROOT,
                    "With the moving average of the weights, %s: mean squared error %.5f%n",
                    training.averageFile(),
                    ReconstructionError.of(training.averaged()::reconstruct, test));
        }
        result.flush();
    }

    private static void report(PrintWriter result, VqTokenizer tokenizer, PixelImages test) {
        CodebookUsage usage = new CodebookUsage(tokenizer.vocabulary());
        double error = ReconstructionError.of(tokenizer, test, usage);
        result.printf(
                Locale.ROOT,
                "%d test images, %d tokens each: mean squared error %.5f (pixels in [0, 1]), %.0f%% of %d codes used,"
                        + " perplexity %.0f%n",
                test.count(),
                tokenizer.grid().tokens(),
                error,
                100 * usage.used(),
                tokenizer.vocabulary(),
                usage.perplexity());
    }

    private static void report(PrintWriter result, KlLearner.Autoencoder autoencoder, PixelImages test) {
        double error = ReconstructionError.of(autoencoder::reconstruct, test);
        INDArray latents = autoencoder.latents(test.range(0, Math.min(MEASURED, test.count())));
        result.printf(
                Locale.ROOT,
                "%d test images, latents of %d channels on %d x %d with a deviation of %.3f: mean squared error %.5f"
                        + " (pixels in [0, 1]), PSNR %.2f dB%n",
                test.count(),
                latents.size(1),
                latents.size(2),
                latents.size(3),
                latents.stdNumber(false).doubleValue(),
                error,
                -10 * Math.log10(error));
    }

    private void compare(VqTokenizer tokenizer, TokenizerImages images) {
        int f = tokenizer.config().downsampling();
        if (images.train().channels() * f * f > BLOCK_VALUES) {
            spec.commandLine()
                    .getErr()
                    .println("npp: note: blocks of " + f + " x " + f + " pixels are too large for k-means");
            return;
        }
        int blocks = Math.max(COMPARED_BLOCKS, tokenizer.vocabulary());
        BlockCodebook codebook = BlockCodebook.train(
                images.train(),
                BlockCodebook.Settings.defaults()
                        .withBlocks(tokenizer.grid(), f)
                        .withCodes(tokenizer.vocabulary())
                        .withEffort(COMPARED_ITERATIONS, blocks)
                        .withSeed(seed));
        PrintWriter result = spec.commandLine().getOut();
        result.printf(
                Locale.ROOT,
                "k-means codebook of %d blocks of %d x %d pixels: mean squared error %.5f%n",
                codebook.vocabulary(),
                f,
                f,
                codebook.reconstructionError(images.test()));
        result.flush();
    }

    private VqConfig sizes() throws IOException {
        if (config != null && model != null) {
            throw usage("--config and --vq-model exclude each other");
        }
        try {
            VqConfig sizes = config != null ? VqConfig.read(config) : model != null ? VqConfig.named(model) : SMALL;
            return sizes.withCodebook(
                    codebookSize == null ? sizes.codebookSize() : codebookSize,
                    codebookDim == null ? sizes.codebookDim() : codebookDim);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private TokenizerTraining.Settings settings() {
        try {
            if (stopAfter != null && stopAfter < 1) {
                throw usage("--steps must be at least 1, but is " + stopAfter);
            }
            return new TokenizerTraining.Settings(
                    epochs,
                    batchSize,
                    learningRate,
                    endLearningRate,
                    warmup,
                    decayRatio,
                    !noMirror,
                    sheetEvery,
                    checkpointEvery,
                    seed,
                    average ? averageDecay : 0,
                    stopAfter == null ? 0 : stopAfter);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private void requireFits(BiFunction<Integer, Integer, TokenGrid> grid, PixelImages images) {
        try {
            grid.apply(images.height(), images.width());
        } catch (IllegalArgumentException e) {
            throw new AppException(e.getMessage() + ", here with --image-size", e);
        }
        if (images.count() < batchSize) {
            throw usage("--batch-size must be at most the " + images.count() + " training images, but is " + batchSize);
        }
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
