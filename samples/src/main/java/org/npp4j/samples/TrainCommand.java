package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.training.StepMaker;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingPlan;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp train}: trains a GPT. */
@Command(
        name = "train",
        description = {
            "Trains a GPT by Next Patch Prediction, or next-token prediction (--patch-level 1), on codes of images.",
            "Options and defaults are the published ones, but for --mixed-precision."
        },
        footer = {
            "",
            "The folder of --out holds report.html and metrics.jsonl, which grow as it runs, run.log, config.yaml,"
                    + " checkpoints/, samples/, and at the end the model in the published layout, NNNNNNN.pt. Ctrl-C ends"
                    + " a run after the step at hand, with a checkpoint. After that, a crash or a kill:"
                    + " ./npp train --resume DIR; it ends in the same weights, to the bit.",
            "A checkpoint's network.zip is a model for npp sample and npp convert."
        },
        sortOptions = false)
final class TrainCommand implements Callable<Integer> {
    /** Who gives one option of a row on the command line does not mean those of another in a file. */
    private static final OptionFiles FILES = new OptionFiles(List.of(
            List.of(Set.of("--patch-stages"), Set.of("--epochs", "--epoch-rate", "--patch-level")),
            List.of(Set.of("--gpt-model"), Set.of("--gpt-config")),
            List.of(Set.of("--micro-batch"), Set.of("--gradient-accumulation-steps")),
            List.of(Set.of("--code-path", "--test-code-path"), Set.of("--data")),
            List.of(Set.of("--init-from"), Set.of("--gpt-ckpt"))));

    static final int TEST_BATCH = 64;

    private final Supplier<Backend> backend;
    private final StepMaker.Factory stepMaker;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "YAML with options, such as those in samples/presets. The command line wins.")
    private Path config;

    @Mixin
    private TrainDataOptions data;

    @Mixin
    private TrainModelOptions model;

    @Mixin
    private TrainRecipeOptions recipe;

    @Mixin
    private TrainRunOptions run;

    @Option(
            names = "--gpt-ckpt",
            paramLabel = "FILE.pt",
            description = "Go on from a PyTorch checkpoint: weights, optimizer, average, steps. The schedule goes on at"
                    + " the saved step.")
    private Path published;

    @Mixin
    private StandardOptions standardOptions;

    TrainCommand(Supplier<Backend> backend) {
        this(backend, StepMaker.LOCAL);
    }

    /** A command whose steps are made elsewhere. */
    TrainCommand(Supplier<Backend> backend, StepMaker.Factory stepMaker) {
        this.backend = backend;
        this.stepMaker = stepMaker;
    }

    @Override
    public Integer call() throws IOException {
        try {
            TrainCommand resolved = resolved();
            resolved.train(run.resume() == null ? null : TrainingRun.folderOf(run.resume()), spec);
        } catch (UsageException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
        return 0;
    }

    /** {@return this command with the options of its files, checked} */
    TrainCommand resolved() {
        List<ConfigFile> files = new ArrayList<>();
        if (run.resume() != null) {
            files.add(ConfigFile.read(TrainingRun.folderOf(run.resume()).resolve(TrainingRun.CONFIG), spec));
        }
        if (config != null) {
            files.add(ConfigFile.read(config, spec));
        }
        TrainCommand merged =
                files.isEmpty() ? this : FILES.merge(spec, files, () -> new TrainCommand(backend, stepMaker));
        FILES.requireExclusive(merged.spec);
        try {
            merged.run.requireUsable();
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
        return merged;
    }

    /** {@return the plan of these options for some data} */
    TrainingPlan plan(TrainingData images) throws IOException {
        try {
            return recipe.plan(model.spec(images));
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
    }

    /** {@return the folder of a small image set, if the data are one} */
    Optional<Path> imageFolder() {
        return data.imageFolder();
    }

    /** {@return the options that were given, as YAML that --config reads} */
    String settings() {
        return ConfigFile.yaml(spec);
    }

    /** {@return the options that were given, by their longest names} */
    Set<String> given() {
        return spec.commandLine().getParseResult().matchedOptions().stream()
                .map(OptionSpec::longestName)
                .collect(Collectors.toSet());
    }

    /** {@return what a run of these options on some data will be} */
    TrainSummary summary(TrainingData images, int batchesPerEpoch) throws IOException {
        return TrainSummary.of(model.label(), plan(images), images, batchesPerEpoch, run.workers(), run.recompute());
    }

    private void train(Path resumed, CommandSpec called) throws IOException {
        TrainingRun training = new TrainingRun("train", run, TrainingPlan::parse);
        training.open(resumed, backend, (folder, checkpoint, machine, memory) -> {
            try (TrainingData images = openData(folder)) {
                train(training, folder, checkpoint, images, machine, memory, called);
            }
        });
    }

    /** {@return the data of these options; what is made for them goes into the folder} */
    TrainingData openData(Path folder) throws IOException {
        try {
            return data.open(folder);
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
    }

    private void train(
            TrainingRun training,
            Path folder,
            TrainingCheckpoint checkpoint,
            TrainingData images,
            Backend machine,
            PeakMemory memory,
            CommandSpec called)
            throws IOException {
        Instant started = Instant.now();
        TrainingPlan plan = plan(images);
        training.prepare(plan);
        EpochDataSetIterator batches;
        try {
            batches = images.batches(plan.model(), plan.batchSize(), plan.seed());
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
        training.requireSame(checkpoint, plan, images.description(), batches.batchesPerEpoch());
        TrainSummary summary =
                TrainSummary.of(model.label(), plan, images, batches.batchesPerEpoch(), run.workers(), run.recompute());
        summary.lines(Arithmetic.describe(machine)).forEach(line -> log().info("{}", line));
        ImageTokenizer tokenizer = images.tokenizer();
        SampleSheets sheets = tokenizer == null
                ? null
                : new SampleSheets(
                        folder.resolve("samples"),
                        SampleSheets.spread(run.samples(), plan.model().classes()),
                        "guidance " + run.guidance(),
                        (network, classes) -> draw(network, tokenizer, classes, plan.seed()));
        try (TrainMonitor monitor = new TrainMonitor(
                folder, summary, machine.environment(started, called), sheets, TrainCommand::save, run, memory)) {
            Trainer.Builder builder = new Trainer.Builder(plan, batches)
                    .dataDescription(images.description())
                    .testData(images.test(plan.model(), Math.min(TEST_BATCH, plan.microBatch())))
                    .stepMaker(stepMaker)
                    .observer(monitor);
            training.configure(builder, folder);
            training.run(build(builder, checkpoint), folder, monitor, spec, called);
        }
    }

    private PixelImages draw(ComputationGraph network, ImageTokenizer tokenizer, int[] classes, long seed) {
        try (GptDecoder decoder = new GptDecoder(network)) {
            return tokenizer.decode(decoder.generate(
                    classes,
                    decoder.guidable() ? Guidance.of(run.guidance()) : Guidance.NONE,
                    TokenSamplers.random(1, 0, 1, seed)));
        }
    }

    /** The model in the published layout, named as published. */
    private static Path save(Path folder, Trainer trainer) throws IOException {
        Path file = folder.resolve(String.format("%07d.pt", trainer.step()));
        if (trainer.average().isPresent()) {
            GptCheckpoint.write(file, trainer.network(), trainer.average().get());
        } else {
            GptCheckpoint.write(file, trainer.network());
        }
        return file;
    }

    private Trainer build(Trainer.Builder builder, TrainingCheckpoint checkpoint) throws IOException {
        if (checkpoint != null) {
            return builder.resume(checkpoint).build();
        }
        if (published != null) {
            requireFile("--gpt-ckpt", published);
            try (TensorFile file = TensorFile.open(published)) {
                return builder.resume(GptCheckpoint.of(file)).build();
            }
        }
        if (run.initFrom() != null) {
            Path file = TrainingCheckpoint.isCheckpoint(run.initFrom())
                    ? run.initFrom().resolve(TrainingCheckpoint.NETWORK)
                    : run.initFrom();
            requireFile("--init-from", file);
            return builder.weights(network -> loadWeights(file, network)).build();
        }
        return builder.build();
    }

    private static void requireFile(String option, Path file) {
        if (!Files.isRegularFile(file)) {
            throw new AppException(option + ": there is no file " + file);
        }
    }

    private static void loadWeights(Path file, ComputationGraph network) throws IOException {
        if (NetworkZip.isNetwork(file)) {
            ComputationGraph stored = NetworkZip.load(file, false);
            try (INDArray parameters = stored.params()) {
                GptSpec theirs = LlamaGen.specOf(stored.getConfiguration());
                GptSpec ours = LlamaGen.specOf(network.getConfiguration());
                if (!theirs.equals(ours)) {
                    throw new CheckpointException(file, "is of another model: " + theirs + ", not " + ours);
                }
                network.params().assign(parameters);
            }
            return;
        }
        try (TensorFile tensors = TensorFile.open(file)) {
            GptCheckpoint.of(tensors).loadInto(network);
        }
    }

    /** Not a constant: the help, which loads this class too, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(TrainCommand.class);
    }
}
