package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.TokenizerFile;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.llamagen.training.TrainingEvaluation;
import org.npp4j.samples.report.RunEnvironment;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.TrainingCost;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp train}: trains a GPT on codes. */
@Command(
        name = "train",
        description = {
            "Trains a GPT on stored codes, or on small images that a tokenizer turns into codes, with Next Patch Prediction."
        },
        footer = {
            "",
            "The folder of --out holds settings.yaml, checkpoints/ (from which --resume DIR goes on to the bit),"
                    + " metrics.jsonl, report.html, sheets/ and, at the end, model.pt in the published layout. Ctrl-C saves a"
                    + " checkpoint. Every checkpoint is a model that npp sample and npp convert take."
        },
        sortOptions = false)
final class TrainCommand implements Callable<Integer> {
    private static final String SETTINGS = "settings.yaml";
    private static final String CHECKPOINTS = "checkpoints";
    private static final int PUBLISHED_CLASSES = 1000;
    private static final int PUBLISHED_VOCABULARY = 16384;
    private static final int TEST_BATCH = 64;
    private static final long SECONDS_TO_STOP = 300;

    /** What is of one start of a run, not of the run. */
    private static final Set<String> OF_ONE_START = Set.of(
            "--config", "--resume", "--allow-changes", "--steps", "--init-from", "--gpt-ckpt", "--out");

    private static final Set<String> RELATIVE_FILES = Set.of("--gpt-config");

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Mixin
    private TrainOptions given;

    @Mixin
    private StandardOptions standardOptions;

    TrainCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        TrainOptions options = new TrainOptions();
        CommandLine effective = effective(options);
        requireUsable(options);
        Path folder = options.resume == null ? options.out : options.resume;
        TrainingCheckpoint checkpoint = checkpoint(options, folder);
        try (PeakMemory memory = new PeakMemory();
                RunLog log = RunLog.open(folder.resolve("run.log"), options.resume != null)) {
            try {
                run(options, effective, folder, checkpoint, memory);
            } catch (IOException | RuntimeException | Error e) {
                log.failed(e);
                throw e;
            }
        }
        return 0;
    }

    // Settings

    /** Settings of the run that goes on, then of the config file, then of the command line: the last one wins. */
    private CommandLine effective(TrainOptions options) throws IOException {
        CommandLine command = command(options);
        List<String> arguments = new ArrayList<>();
        if (given.resume != null) {
            Path saved = given.resume.resolve(SETTINGS);
            if (!Files.exists(saved)) {
                throw usage("--resume: " + given.resume + " is no folder of a run, it has no " + SETTINGS);
            }
            arguments.addAll(ConfigFile.read(saved, command, Set.of()));
        }
        if (given.config != null) {
            arguments.addAll(ConfigFile.read(given.config, command, RELATIVE_FILES));
        }
        arguments.addAll(ConfigFile.given(spec.commandLine().getParseResult(), command));
        try {
            command.parseArgs(arguments.toArray(String[]::new));
        } catch (ParameterException e) {
            throw usage(e.getMessage());
        }
        return command;
    }

    static CommandLine command(TrainOptions options) {
        return new CommandLine(options)
                .setOverwrittenOptionsAllowed(true)
                .setCaseInsensitiveEnumValuesAllowed(true);
    }

    private void requireUsable(TrainOptions options) {
        if ((options.codePath == null) == (options.data == null)) {
            throw usage("Give either --code-path or --data" + (options.data == null ? "" : ", not both"));
        }
        if (options.data != null && options.tokenizer == null) {
            throw usage("--data needs a tokenizer: --vq-ckpt FILE");
        }
        if (options.classTokens != 1) {
            throw usage("--cls-token-num must be 1: models of captions cannot be trained here, got " + options.classTokens);
        }
        if (options.mixedPrecision == TrainOptions.MixedPrecision.fp16) {
            throw usage("--mixed-precision fp16 is not there: products of half precision would need loss scaling, which"
                    + " Deeplearning4j has not. Use bf16, which needs none, or none");
        }
        if (options.resume != null && (options.initFrom != null || options.gptCheckpoint != null)) {
            throw usage("--resume goes on with all of a run: --init-from and --gpt-ckpt do not go with it");
        }
        if (options.initFrom != null && options.gptCheckpoint != null) {
            throw usage("--init-from and --gpt-ckpt exclude each other: weights alone, or the whole state");
        }
        if (options.logEvery < 1) {
            throw usage("--log-every must be at least 1, but is " + options.logEvery);
        }
        if (options.steps != null && options.steps < 1) {
            throw usage("--steps must be at least 1, but is " + options.steps);
        }
        if (options.sampleEvery < 0 || options.exportEvery < 0 || options.checkpointSteps < 0
                || !(options.checkpointMinutes >= 0)) {
            throw usage("--sample-every, --export-every, --ckpt-every and --ckpt-minutes must be at least 0");
        }
        if (Files.exists(options.out) && !Files.isDirectory(options.out)) {
            throw usage("--out must be a folder, but " + options.out + " is a file");
        }
    }

    private TrainingCheckpoint checkpoint(TrainOptions options, Path folder) throws IOException {
        Path checkpoints = folder.resolve(CHECKPOINTS);
        if (options.resume == null) {
            if (!TrainingCheckpoint.list(checkpoints).isEmpty()) {
                throw usage(folder + " holds a run already. Go on with it: --resume " + folder
                        + ", or choose another folder with --out");
            }
            Files.createDirectories(folder);
            return null;
        }
        return TrainingCheckpoint.newest(checkpoints)
                .orElseThrow(() -> new AppException(
                        "There is no checkpoint to go on from in " + checkpoints + ". Start the run anew in another folder"));
    }

    private GptSpec model(TrainOptions options, TrainingData data) throws IOException {
        GptSpec.Builder sizes;
        try {
            sizes = options.gptConfig != null
                    ? GptSpec.read(options.gptConfig).toBuilder()
                    : GptSize.named(options.model).spec();
        } catch (IllegalArgumentException e) {
            throw usage((options.gptConfig != null ? "--gpt-config: " : "--gpt-model: ") + e.getMessage());
        }
        return sizes.grid(grid(options, data))
                .vocabulary(number("--vocab-size", options.vocabulary, data.vocabulary(), PUBLISHED_VOCABULARY))
                .classes(number("--num-classes", options.classes, data.classes(), PUBLISHED_CLASSES))
                .noClassRow(options.classDropout > 0)
                .build();
    }

    /** More codes or classes than there are in the data do no harm. */
    private int number(String option, Integer set, OptionalInt known, int otherwise) {
        if (set != null && known.isPresent() && set < known.getAsInt()) {
            throw usage(option + " is " + set + ", but the data have " + known.getAsInt());
        }
        return set != null ? set : known.orElse(otherwise);
    }

    private TokenGrid grid(TrainOptions options, TrainingData data) {
        if (options.downsampleSize < 1 || options.imageSize < 1 || options.imageSize % options.downsampleSize != 0) {
            throw usage("--downsample-size must divide --image-size, got " + options.downsampleSize + " and "
                    + options.imageSize);
        }
        int side = options.imageSize / options.downsampleSize;
        return data.grid() == null ? TokenGrid.of(side, side) : data.grid();
    }

    private TrainingPlan plan(TrainOptions options, GptSpec model, String data) {
        try {
            PatchStages stages = options.stages != null
                    ? options.stages
                    : PatchStages.ofEpochs(options.epochs, options.epochRate, options.patchLevel);
            TrainingPlan.Builder plan = TrainingPlan.of(model, stages)
                    .optimizer(new TrainingPlan.Optimizer(
                            options.beta1, options.beta2, 1e-8, options.weightDecay, options.maxGradientNorm))
                    .dropouts(TrainingPlan.Dropouts.published(
                            options.classDropout, options.tokenDropout, options.dropout, options.dropPath))
                    .globalBatch(options.globalBatch)
                    .microBatch(microBatch(options))
                    .averageDecay(options.ema ? options.emaDecay : 0)
                    .precision(
                            options.mixedPrecision == TrainOptions.MixedPrecision.bf16
                                    ? Precision.BF16
                                    : Precision.FLOAT)
                    .recompute(options.recompute)
                    .seed(options.seed)
                    .data(data);
            if (options.scheduler) {
                plan.learningRate(new TrainingPlan.LearningRate(
                        options.learningRate,
                        options.scheduleStages == null ? stages : options.scheduleStages,
                        options.endLearningRate,
                        options.warmup,
                        options.decayRatio));
            } else {
                if (options.scheduleStages != null) {
                    throw usage("--schedule-stages needs --scheduler");
                }
                plan.learningRate(TrainingPlan.LearningRate.constant(options.learningRate));
            }
            return plan.build();
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private int microBatch(TrainOptions options) {
        int parts = options.accumulationSteps;
        if (parts < 1 || options.globalBatch % parts != 0) {
            throw usage("--gradient-accumulation-steps must divide --global-batch-size, got " + parts + " and "
                    + options.globalBatch);
        }
        if (options.microBatch != null && parts > 1 && options.microBatch != options.globalBatch / parts) {
            throw usage("--micro-batch " + options.microBatch + " and --gradient-accumulation-steps " + parts
                    + " contradict each other with --global-batch-size " + options.globalBatch + ". Give one of them");
        }
        return options.microBatch == null
                ? options.globalBatch / parts
                : Math.min(options.microBatch, options.globalBatch);
    }

    // The run

    private void run(
            TrainOptions options, CommandLine effective, Path folder, TrainingCheckpoint checkpoint, PeakMemory memory)
            throws IOException {
        Instant started = Instant.now();
        Backend machine = backend.get();
        ImageTokenizer tokenizer = null;
        if (options.tokenizer != null && options.data != null) {
            tokenizer = TokenizerFile.load(options.tokenizer, null, imageGrid(options));
        }
        try (TrainingData data = options.codePath != null
                ? TrainingData.ofCodes(options.codePath, options.testData)
                : TrainingData.ofImages(options.data, options.testData, tokenizer)) {
            GptSpec model = model(options, data);
            if (options.tokenizer != null && tokenizer == null) {
                tokenizer = TokenizerFile.load(options.tokenizer, null, model.grid());
            }
            if (tokenizer != null
                    && (!tokenizer.grid().equals(model.grid()) || tokenizer.vocabulary() < model.vocabulary())) {
                throw usage("The model learns " + model.vocabulary() + " codes on a " + model.grid()
                        + ", the tokenizer of --vq-ckpt has " + tokenizer.vocabulary() + " codes on a "
                        + tokenizer.grid());
            }
            TrainingPlan plan = plan(options, model, data.identity());
            Map<String, Object> settings = ConfigFile.values(effective, OF_ONE_START);
            EpochDataSetIterator batches = batches(data, plan);
            // what trains is told of it once it is there
            TrainingWatch[] watch = new TrainingWatch[1];
            try (Trainer trainer = trainer(options, folder, checkpoint, data, plan, batches, () -> watch[0])) {
                AtomicFile.writeText(folder.resolve(SETTINGS), ConfigFile.write(settings));
                long imagesPerUnit = (long) plan.globalBatch()
                        * (plan.stages().unit() == PatchStages.Unit.EPOCHS ? batches.batchesPerEpoch() : 1);
                TrainingCost cost = TrainingCost.of(trainer.network(), plan.stages(), imagesPerUnit);
                List<Map.Entry<String, String>> summary = TrainingSummary.of(
                        plan, cost, data.summary(), batches.batchesPerEpoch(), trainer, machine);
                PrintWriter err = spec.commandLine().getErr();
                summary.forEach(line -> err.printf("%-18s %s%n", line.getKey(), line.getValue()));
                err.flush();
                watch[0] = new TrainingWatch(
                        folder,
                        trainer,
                        imagesPerUnit,
                        cost,
                        new TrainingWatch.Intervals(
                                options.logEvery, options.sampleEvery, options.sampleScale, options.exportEvery),
                        tokenizer,
                        environment(machine, started),
                        settings,
                        summary,
                        memory,
                        line -> {
                            err.println(line);
                            err.flush();
                        });
                try (TrainingWatch open = watch[0]) {
                    train(trainer, open, folder, memory);
                }
            }
        }
    }

    /** The grid of a tokenizer that takes images of several sizes; null to leave it to the tokenizer. */
    private static TokenGrid imageGrid(TrainOptions options) {
        int side = options.imageSize / Math.max(1, options.downsampleSize);
        return side < 1 ? null : TokenGrid.of(side, side);
    }

    private EpochDataSetIterator batches(TrainingData data, TrainingPlan plan) {
        try {
            return data.batches(plan.model(), plan.globalBatch(), plan.seed());
        } catch (IllegalArgumentException e) {
            throw new AppException(e.getMessage() + ", here with --global-batch-size", e);
        }
    }

    private Trainer trainer(
            TrainOptions options,
            Path folder,
            TrainingCheckpoint checkpoint,
            TrainingData data,
            TrainingPlan plan,
            EpochDataSetIterator batches,
            Supplier<TrainingObserver> watch)
            throws IOException {
        return Trainer.of(plan, batches)
                .folder(folder.resolve(CHECKPOINTS))
                .checkpointEvery(options.checkpointSteps)
                .checkpointEvery(
                        options.checkpointMinutes > 0
                                ? Duration.ofMillis(Math.max(1, Math.round(60e3 * options.checkpointMinutes)))
                                : null)
                .keep(options.keep)
                .testData(data.testBatches(plan.model(), Math.min(TEST_BATCH, plan.microBatch())))
                .stopAfter(options.steps == null ? 0 : options.steps)
                .initialWeights(options.initFrom)
                .publishedCheckpoint(options.gptCheckpoint)
                .resume(checkpoint)
                .allowChanges(options.allowChanges)
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer trainer, TrainingStep step) throws IOException {
                        watch.get().onStep(trainer, step);
                    }

                    @Override
                    public void onEvaluation(Trainer trainer, TrainingEvaluation evaluation) throws IOException {
                        watch.get().onEvaluation(trainer, evaluation);
                    }

                    @Override
                    public void onCheckpoint(Trainer trainer, Path file) throws IOException {
                        watch.get().onCheckpoint(trainer, file);
                    }
                })
                .build();
    }

    private void train(Trainer trainer, TrainingWatch watch, Path folder, PeakMemory memory) throws IOException {
        CountDownLatch ended = new CountDownLatch(1);
        Thread hook = new Thread(() -> {
            trainer.stop();
            try {
                ended.await(SECONDS_TO_STOP, TimeUnit.SECONDS);
            } catch (InterruptedException e) {
                // the checkpoint is whole or not there
            }
        });
        Runtime.getRuntime().addShutdownHook(hook);
        Trainer.Result result;
        try {
            result = trainer.train();
            watch.end(trainer);
        } finally {
            ended.countDown();
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // it runs: the user has stopped the program
            }
        }
        PrintWriter out = spec.commandLine().getOut();
        out.printf(
                Locale.ROOT,
                "%d of %d steps, %.0f s of training, peak memory %.2f GiB%s: %s%n",
                result.step(),
                trainer.totalSteps(),
                trainer.position().seconds(),
                memory.gib(),
                result.best() == null
                        ? ""
                        : String.format(
                                Locale.ROOT,
                                ", best %.4f nats per token at step %d",
                                result.best().crossEntropy(),
                                result.best().step()),
                folder.resolve("model.pt"));
        out.printf("Report: %s%n", folder.resolve("report.html"));
        if (!result.finished()) {
            out.printf("Go on with: npp train --resume %s%n", folder);
        }
        out.flush();
    }

    private RunEnvironment environment(Backend machine, Instant started) {
        Map<String, String> versions = new LinkedHashMap<>(Versions.all());
        versions.put("products", Products.description());
        return new RunEnvironment(
                started.truncatedTo(ChronoUnit.SECONDS).toString(),
                "npp "
                        + String.join(
                                " ", spec.root().commandLine().getParseResult().originalArgs()),
                versions,
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"),
                Runtime.getRuntime().availableProcessors(),
                Runtime.getRuntime().maxMemory() / (double) (1L << 30),
                machine.name(),
                machine.blas(),
                machine.threads(),
                machine.blasThreads(),
                machine.devices());
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
