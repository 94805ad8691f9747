package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.CodebookUsage;
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

/** {@code npp train-tokenizer}: learns a VQ tokenizer from images. */
@Command(
        name = "train-tokenizer",
        description = {
            "Learns a VQ tokenizer from images: squared error of the reconstruction, codebook and commitment loss, Adam."
                    + " Writes vq.pt in the published layout, which --vq-ckpt takes."
        },
        footer = {
            "",
            "The folder of --out holds vq.pt and vq.json (the tokenizer), metrics.csv, sheet.png (test images, each row"
                    + " above its reconstructions) and state.zip, from which --resume goes on. Each is whole at any time."
        },
        sortOptions = false)
final class TrainTokenizerCommand implements Callable<Integer> {
    /**
     * A model that learns small images on a processor: downsampling 4, one residual block a level, the fewest channels that
     * the 32 groups of the norms allow.
     */
    private static final VqConfig SMALL = new VqConfig(List.of(1, 2, 2), 32, 64, 256, 8, 1);

    private static final int COMPARED_ITERATIONS = 20;
    private static final int COMPARED_BLOCKS = 100_000;
    private static final int BLOCK_VALUES = 256;

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
                    + " codebook_dim, num_res_blocks. Default: a small one with a downsampling of 4.")
    private Path config;

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
        VqConfig sizes = sizes();
        TokenizerTraining.Settings settings = settings();
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
        requireFits(sizes, images.train());
        err.println("A " + sizes + ", " + images.train().count() + " training and "
                + images.test().count() + " test images of " + images.train().height() + " x "
                + images.train().width() + " pixels");
        AtomicFile.writeText(out.resolve("vq.json"), sizes.toJson() + "\n");
        try (PeakMemory memory = new PeakMemory()) {
            TokenizerTraining training = new TokenizerTraining(sizes, images, settings, out);
            VqTokenizer tokenizer = training.run(start, resume);
            report(tokenizer, images.test(), training, memory);
            if (compare) {
                compare(tokenizer, images);
            }
        }
        return 0;
    }

    private void report(VqTokenizer tokenizer, PixelImages test, TokenizerTraining training, PeakMemory memory) {
        CodebookUsage usage = new CodebookUsage(tokenizer.vocabulary());
        double error = ReconstructionError.of(tokenizer, test, usage);
        PrintWriter result = spec.commandLine().getOut();
        result.printf(
                Locale.ROOT,
                "%d steps in %.0f s, peak memory %.2f GiB: %s%n",
                training.stepsDone(),
                training.seconds(),
                memory.gib(),
                out.resolve(TokenizerTraining.TOKENIZER));
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
        if (training.hasAverage()) {
            result.printf(
                    Locale.ROOT,
                    "With the moving average of the weights, %s: mean squared error %.5f%n",
                    out.resolve(TokenizerTraining.AVERAGED),
                    ReconstructionError.of(training.averaged(), test));
        }
        result.flush();
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
                    commitment,
                    quantizerWeight,
                    !noMirror,
                    !noRestart,
                    sheetEvery,
                    checkpointEvery,
                    seed,
                    average ? averageDecay : 0,
                    stopAfter == null ? 0 : stopAfter);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private void requireFits(VqConfig sizes, PixelImages images) {
        try {
            sizes.grid(images.height(), images.width());
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
