package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.function.Supplier;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.GptCheckpoint;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.checkpoint.TensorFile;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingPlan;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
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
    /** Folder of the checkpoints in that of a run. */
    static final String CHECKPOINTS = "checkpoints";

    /** The settings of a run. */
    static final String CONFIG = "config.yaml";

    /** Who gives one option of a row on the command line does not mean those of another in a file. */
    private static final List<List<Set<String>>> EXCLUSIVE = List.of(
            List.of(Set.of("--patch-stages"), Set.of("--epochs", "--epoch-rate", "--patch-level")),
            List.of(Set.of("--gpt-model"), Set.of("--gpt-config")),
            List.of(Set.of("--micro-batch"), Set.of("--gradient-accumulation-steps")),
            List.of(Set.of("--code-path", "--test-code-path"), Set.of("--data")),
            List.of(Set.of("--init-from"), Set.of("--gpt-ckpt")));

    private static final int TEST_BATCH = 64;

    private final Supplier<Backend> backend;

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

    @Mixin
    private StandardOptions standardOptions;

    TrainCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        try {
            TrainCommand resolved = resolved();
            resolved.train(run.resume() == null ? null : runFolder(run.resume()), spec);
        } catch (UsageException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
        return 0;
    }

    /** {@return this command with the options of its files, checked} */
    TrainCommand resolved() {
        List<ConfigFile> files = new ArrayList<>();
        if (run.resume() != null) {
            files.add(ConfigFile.read(runFolder(run.resume()).resolve(CONFIG), spec));
        }
        if (config != null) {
            files.add(ConfigFile.read(config, spec));
        }
        TrainCommand merged = files.isEmpty() ? this : merge(files);
        merged.requireUsable();
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

    /** {@return what a run of these options on some data will be} */
    TrainSummary summary(TrainingData images, int batchesPerEpoch) throws IOException {
        return TrainSummary.of(model.label(), plan(images), images, batchesPerEpoch, run.recompute());
    }

    /** Wrong options, in words. */
    private static final class UsageException extends IllegalArgumentException {
        private static final long serialVersionUID = 1L;

        UsageException(IllegalArgumentException cause) {
            super(cause.getMessage(), cause);
        }
    }

    private static Path runFolder(Path given) {
        Path absolute = given.toAbsolutePath().normalize();
        Path folder = TrainingCheckpoint.isCheckpoint(absolute)
                ? absolute.getParent().getParent()
                : absolute.endsWith(CHECKPOINTS) ? absolute.getParent() : absolute;
        if (!Files.isRegularFile(folder.resolve(CONFIG))) {
            throw new AppException("--resume: " + given
                    + " is no folder of a run, nor of a checkpoint in one: there is no " + folder.resolve(CONFIG));
        }
        return folder;
    }

    /** The command that these files and then the command line describe. */
    private TrainCommand merge(List<ConfigFile> files) {
        Set<String> given = new LinkedHashSet<>();
        spec.commandLine()
                .getParseResult()
                .matchedOptions()
                .forEach(option -> Collections.addAll(given, option.names()));
        List<String> arguments = new ArrayList<>();
        for (ConfigFile file : files) {
            List<String> ofFile = new ArrayList<>();
            file.arguments().forEach((name, argument) -> {
                if (!isReplaced(name, given)) {
                    ofFile.add(argument);
                }
            });
            try {
                parse(ofFile);
            } catch (ParameterException e) {
                throw new AppException(file.file() + ": " + e.getMessage(), e);
            }
            arguments.addAll(ofFile);
        }
        ParseResult parsed = spec.commandLine().getParseResult();
        List<String> all = parsed.originalArgs();
        arguments.addAll(all.subList(all.indexOf(spec.name()) + 1, all.size()));
        return parse(arguments);
    }

    private static boolean isReplaced(String name, Set<String> given) {
        for (List<Set<String>> row : EXCLUSIVE) {
            for (Set<String> one : row) {
                boolean anotherIsGiven = row.stream()
                        .anyMatch(other -> other != one && other.stream().anyMatch(given::contains));
                if (one.contains(name) && anotherIsGiven && one.stream().noneMatch(given::contains)) {
                    return true;
                }
            }
        }
        return false;
    }

    private TrainCommand parse(List<String> arguments) {
        TrainCommand command = new TrainCommand(backend);
        new CommandLine(command)
                .setOverwrittenOptionsAllowed(true)
                .setOut(spec.commandLine().getOut())
                .setErr(spec.commandLine().getErr())
                .parseArgs(arguments.toArray(String[]::new));
        return command;
    }

    private void requireUsable() {
        Set<String> given = new LinkedHashSet<>();
        spec.commandLine().getParseResult().matchedOptions().forEach(option -> given.add(option.longestName()));
        for (List<Set<String>> row : EXCLUSIVE) {
            List<String> found = new ArrayList<>();
            for (Set<String> one : row) {
                one.stream().filter(given::contains).sorted().findFirst().ifPresent(found::add);
            }
            if (found.size() > 1) {
                throw new UsageException(
                        new IllegalArgumentException(String.join(" and ", found) + " exclude each other"));
            }
        }
        try {
            run.requireUsable();
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
    }

    private void train(Path resumed, CommandSpec called) throws IOException {
        Path folder = resumed != null ? resumed : run.out();
        Path checkpointFolder = folder.resolve(CHECKPOINTS);
        if (Files.exists(folder) && !Files.isDirectory(folder)) {
            throw new UsageException(
                    new IllegalArgumentException("--out must be a folder, but " + folder + " is a file"));
        }
        if (resumed == null && Files.exists(folder.resolve(CONFIG))) {
            throw new AppException(folder + " holds a run already. Go on with it: --resume " + folder
                    + "; or choose another folder: --out");
        }
        Files.createDirectories(folder);
        try (RunLog log = RunLog.open(folder.resolve("run.log"), resumed != null);
                PeakMemory memory = new PeakMemory()) {
            try {
                Backend machine = backend.get();
                try (TrainingData images = openData(folder)) {
                    train(folder, checkpoint(resumed, checkpointFolder), images, machine, memory, called);
                }
            } catch (IOException | RuntimeException | Error e) {
                log.failed(e);
                throw e;
            }
        }
    }

    private TrainingData openData(Path folder) throws IOException {
        try {
            return data.open(folder);
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
    }

    /** The checkpoint that was named, or else the newest that is whole; null to start. */
    private TrainingCheckpoint checkpoint(Path resumed, Path folder) throws IOException {
        if (resumed == null) {
            return null;
        }
        if (TrainingCheckpoint.isCheckpoint(run.resume())) {
            return TrainingCheckpoint.read(run.resume());
        }
        List<TrainingCheckpoint> all = TrainingCheckpoint.list(folder);
        for (int i = all.size() - 1; i >= 0; i--) {
            try {
                all.get(i).requireWhole();
                return all.get(i);
            } catch (CheckpointException e) {
                if (i == 0) {
                    throw e;
                }
                log().warn(
                                "{}. Going on from {} instead",
                                e.getMessage(),
                                all.get(i - 1).folder());
            }
        }
        log().info("{} has no checkpoint yet: starting from step 0", resumed);
        return null;
    }

    private void train(
            Path folder,
            TrainingCheckpoint checkpoint,
            TrainingData images,
            Backend machine,
            PeakMemory memory,
            CommandSpec called)
            throws IOException {
        Instant started = Instant.now();
        TrainingPlan plan = plan(images);
        EpochDataSetIterator batches;
        try {
            batches = images.batches(plan.model(), plan.batchSize(), plan.seed());
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
        if (checkpoint != null) {
            requireSame(checkpoint, plan, images, batches);
        }
        usePrecision(plan);
        TrainSummary summary = TrainSummary.of(model.label(), plan, images, batches.batchesPerEpoch(), run.recompute());
        summary.lines(Arithmetic.describe(machine)).forEach(line -> log().info("{}", line));
        ImageTokenizer tokenizer = images.tokenizer();
        SampleSheets sheets = tokenizer == null
                ? null
                : new SampleSheets(
                        folder.resolve("samples"),
                        tokenizer,
                        plan.model().classes(),
                        run.samples(),
                        Guidance.of(run.guidance()),
                        plan.seed());
        try (TrainMonitor monitor =
                new TrainMonitor(folder, summary, machine.environment(started, called), sheets, run, memory)) {
            Trainer.Builder builder = new Trainer.Builder(plan, batches)
                    .dataDescription(images.description())
                    .testData(images.test(plan.model(), Math.min(TEST_BATCH, plan.microBatch())))
                    .checkpoints(run.checkpoints(folder))
                    .versions(Versions.all())
                    .recomputeBlocks(run.recompute())
                    .observer(monitor);
            if (run.uiPort() != null) {
                builder.listeners(TrainingUi.start(run.uiPort(), run.logEvery()));
                log().info("Training UI: http://localhost:{}/train", run.uiPort());
            }
            if (run.steps() != null) {
                builder.stopAfter(run.steps());
            }
            Trainer trainer = build(builder, checkpoint);
            if (checkpoint != null) {
                log().info("Going on after step {}", trainer.step());
            }
            // only now: what failed before can be called again
            AtomicFile.writeText(
                    folder.resolve(CONFIG), "# Settings of this run, for --resume\n" + ConfigFile.yaml(spec));
            try (StopAtExit ignored = new StopAtExit(trainer)) {
                trainer.run();
                monitor.close();
                say(trainer, folder, monitor, called.commandLine().getOut());
            }
        }
    }

    private static void say(Trainer trainer, Path folder, TrainMonitor monitor, PrintWriter out) throws IOException {
        if (trainer.step() < trainer.lastStep()) {
            out.println("Stopped after step " + trainer.step() + ". Go on: ./npp train --resume " + folder);
        } else {
            out.println("Model: " + monitor.savePublished(trainer));
        }
        out.println("Report: " + folder.resolve(TrainMonitor.REPORT));
        out.flush();
    }

    private void requireSame(
            TrainingCheckpoint checkpoint, TrainingPlan plan, TrainingData images, EpochDataSetIterator batches) {
        List<String> differences = checkpoint.differences(plan, images.description(), batches.batchesPerEpoch());
        if (differences.isEmpty()) {
            return;
        }
        String all = String.join("; ", differences);
        if (!run.allowChanges()) {
            throw new AppException("The settings differ from those of " + checkpoint.folder() + ": " + all
                    + ". Leave the options out that differ, or go on with the new ones: --allow-changes");
        }
        log().warn("Going on with other settings: {}", all);
    }

    private static void usePrecision(TrainingPlan plan) {
        try {
            Products.setPrecision(plan.precision());
        } catch (IllegalStateException e) {
            throw new AppException(e.getMessage() + ". Or train in single precision: --mixed-precision none", e);
        }
    }

    private Trainer build(Trainer.Builder builder, TrainingCheckpoint checkpoint) throws IOException {
        if (checkpoint != null) {
            return builder.resume(checkpoint).build();
        }
        if (run.published() != null) {
            requireFile("--gpt-ckpt", run.published());
            try (TensorFile file = TensorFile.open(run.published())) {
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

    /** Who ends the program, by Ctrl-C for example, waits for the step at hand, its checkpoint and the last words. */
    private static final class StopAtExit implements AutoCloseable {
        private final CountDownLatch ended = new CountDownLatch(1);
        private final Thread hook;

        StopAtExit(Trainer trainer) {
            hook = new Thread(
                    () -> {
                        trainer.stop();
                        try {
                            ended.await();
                        } catch (InterruptedException e) {
                            Thread.currentThread().interrupt();
                        }
                    },
                    "stop-training");
            Runtime.getRuntime().addShutdownHook(hook);
        }

        @Override
        public void close() {
            ended.countDown();
            try {
                Runtime.getRuntime().removeShutdownHook(hook);
            } catch (IllegalStateException e) {
                // it runs: the program is about to end
                log().debug("The program is ending", e);
            }
        }
    }

    /** Not a constant: the help, which loads this class too, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(TrainCommand.class);
    }
}
