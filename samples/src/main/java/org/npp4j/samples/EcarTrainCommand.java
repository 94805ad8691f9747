package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarPlan;
import org.npp4j.ecar.EcarSampler;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.ecar.LatentDataSetIterator;
import org.npp4j.ecar.StageNoise;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.checkpoint.NetworkZip;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
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
            "Trains an ECAR, which generates continuous tokens stage by stage with a multistage flow, on the latents of"
                    + " images. What the paper's abstract does not say is a reconstruction: all sizes and settings here."
        },
        footer = {
            "",
            "The folder of --out holds report.html and metrics.jsonl, which grow as it runs, run.log, config.yaml,"
                    + " codec.json, checkpoints/, samples/, and at the end the model, ecar.pt. Ctrl-C ends a run after the"
                    + " step at hand, with a checkpoint. After that, a crash or a kill: ./npp ecar-train --resume DIR; it"
                    + " ends in the same weights, to the bit.",
            "ecar.pt and the folder of a checkpoint are models for npp ecar-sample."
        },
        defaultValueProvider = EcarDefaults.class,
        sortOptions = false)
final class EcarTrainCommand implements Callable<Integer> {
    /** How latents become images, in the folder of a run. */
    static final String CODEC = "codec.json";

    private static final String MODEL = "ecar.pt";

    /** Who gives one option of a row on the command line does not mean those of another in a file. */
    private static final OptionFiles FILES = new OptionFiles(List.of(
            List.of(Set.of("--ecar-config"), Set.of("--head")),
            List.of(Set.of("--micro-batch"), Set.of("--gradient-accumulation-steps"))));

    private static final int TEST_BATCH = 250;
    /** Images of a sheet that are drawn at a time. */
    private static final int DRAWN = 50;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Option(
            names = "--config",
            paramLabel = "FILE",
            description = "YAML with options, such as samples/presets/ecar-fashion-mnist.yaml. The command line wins.")
    private Path config;

    @Mixin
    private LatentOptions data;

    @Mixin
    private EcarModelOptions model;

    @Option(
            names = "--epochs",
            paramLabel = "E",
            defaultValue = "7",
            description = "How often every image is seen. Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Mixin
    private OptimizerOptions optimizer;

    @Mixin
    private TrainRunOptions run;

    @Option(
            names = "--sample-steps",
            paramLabel = "N",
            defaultValue = "10",
            description = "Euler steps of each stage of the sheets. Default: ${DEFAULT-VALUE}.")
    private int sampleSteps;

    @Mixin
    private StandardOptions standardOptions;

    EcarTrainCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        try {
            EcarTrainCommand resolved = resolved();
            resolved.train(run.resume() == null ? null : TrainingRun.folderOf(run.resume()), spec);
        } catch (UsageException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
        return 0;
    }

    /** {@return this command with the options of its files, checked} */
    EcarTrainCommand resolved() {
        List<ConfigFile> files = new ArrayList<>();
        if (run.resume() != null) {
            files.add(ConfigFile.read(TrainingRun.folderOf(run.resume()).resolve(TrainingRun.CONFIG), spec));
        }
        if (config != null) {
            files.add(ConfigFile.read(config, spec));
        }
        EcarTrainCommand merged =
                files.isEmpty() ? this : FILES.merge(spec, files, () -> new EcarTrainCommand(backend));
        FILES.requireExclusive(merged.spec);
        try {
            merged.run.requireUsable();
            merged.sampling();
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
        return merged;
    }

    private FlowSampling sampling() {
        return FlowSampling.of(sampleSteps, run.guidance());
    }

    /** {@return the plan of these options for latents of a codec} */
    EcarPlan plan(LatentCodec codec, int classes) throws IOException {
        EcarConfig sizes = model.model(codec, classes);
        try {
            return EcarPlan.of(sizes)
                    .epochs(epochs)
                    .settings(optimizer.settings())
                    .build();
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
    }

    private void train(Path resumed, CommandSpec called) throws IOException {
        TrainingRun training = new TrainingRun("ecar-train", run, EcarPlan::parse);
        training.open(
                resumed,
                backend,
                (folder, checkpoint, machine, memory) -> train(training, folder, checkpoint, machine, memory, called));
    }

    private void train(
            TrainingRun training,
            Path folder,
            TrainingCheckpoint checkpoint,
            Backend machine,
            PeakMemory memory,
            CommandSpec called)
            throws IOException {
        Instant started = Instant.now();
        SmallImageSet images = data.images();
        LatentCodec codec = codec(images);
        EcarPlan plan = plan(codec, images.train().classes());
        training.prepare(plan);
        LatentImages latents = new LatentImages(images, codec);
        LatentDataSetIterator batches;
        try {
            batches = latents.batches(plan.model(), plan.batchSize(), plan.seed());
        } catch (IllegalArgumentException e) {
            throw new UsageException(e.getMessage() + ": --global-batch-size");
        }
        training.requireSame(checkpoint, plan, latents.description(), batches.batchesPerEpoch());
        EcarSummary summary =
                new EcarSummary(plan, latents, batches.batchesPerEpoch(), sampling(), run.workers(), run.recompute());
        summary.lines(Arithmetic.describe(machine)).forEach(line -> log().info("{}", line));
        SampleSheets sheets = new SampleSheets(
                folder.resolve("samples"),
                SampleSheets.spread(run.samples(), plan.model().classes()),
                "guidance " + run.guidance() + ", " + sampleSteps + " steps a stage",
                (network, classes) ->
                        draw(new EcarCheckpoint.Model(plan.model(), network, codec), classes, sampling(), plan.seed()));
        try (TrainMonitor monitor = new TrainMonitor(
                folder,
                summary,
                machine.environment(started, called),
                sheets,
                (to, trainer) -> save(to, trainer, plan.model(), codec),
                run,
                memory)) {
            Trainer.Builder builder = new Trainer.Builder(plan, batches)
                    .dataDescription(latents.description())
                    .testData(latents.test(plan.model(), Math.min(TEST_BATCH, plan.batchSize())))
                    .observer(monitor);
            training.configure(builder, folder);
            Trainer trainer = build(builder, checkpoint, plan);
            AtomicFile.writeText(folder.resolve(CODEC), codec.toJson());
            training.run(trainer, folder, monitor, spec, called);
        }
    }

    private LatentCodec codec(SmallImageSet images) throws IOException {
        try {
            return data.codec(images.train().images(), model.grid(), model.gridMultiple());
        } catch (IllegalArgumentException e) {
            throw new UsageException(e);
        }
    }

    private Trainer build(Trainer.Builder builder, TrainingCheckpoint checkpoint, EcarPlan plan) throws IOException {
        if (checkpoint != null) {
            return builder.resume(checkpoint).build();
        }
        if (run.initFrom() != null) {
            Path file = TrainingCheckpoint.isCheckpoint(run.initFrom())
                    ? run.initFrom().resolve(TrainingCheckpoint.NETWORK)
                    : run.initFrom();
            if (!Files.isRegularFile(file)) {
                throw new AppException("--init-from: there is no file " + file);
            }
            return builder.weights(network -> loadWeights(file, plan.model(), network))
                    .build();
        }
        return builder.build();
    }

    private static void loadWeights(Path file, EcarConfig model, ComputationGraph network) throws IOException {
        if (!NetworkZip.isNetwork(file)) {
            EcarCheckpoint.load(file, model, network);
            return;
        }
        ComputationGraph stored = NetworkZip.load(file, false);
        try (INDArray parameters = stored.params()) {
            if (!stored.paramTable().keySet().equals(network.paramTable().keySet())
                    || parameters.length() != network.params().length()) {
                throw new CheckpointException(file, "is of another model");
            }
            network.params().assign(parameters);
        }
    }

    /** {@return the same images for the same seed, classes and settings, up to rounding} */
    static PixelImages draw(EcarCheckpoint.Model model, int[] classes, FlowSampling sampling, long seed) {
        List<PixelImages> parts = new ArrayList<>();
        try (EcarSampler sampler = new EcarSampler(model.config(), model.network())) {
            for (int from = 0; from < classes.length; from += DRAWN) {
                int[] part = Arrays.copyOfRange(classes, from, Math.min(classes.length, from + DRAWN));
                parts.add(model.codec()
                        .decode(sampler.generate(
                                part,
                                sampling,
                                StageNoise.of(model.config(), seed, from, part.length, EcarSampleCommand.NOISE))));
            }
        }
        return TokenizerImages.concatenated(parts);
    }

    /** The model at the end, or at a checkpoint on the way. */
    private static Path save(Path folder, Trainer trainer, EcarConfig config, LatentCodec codec) throws IOException {
        String name = trainer.step() == trainer.lastStep()
                ? MODEL
                : String.format(Locale.ROOT, "ecar-%07d.pt", trainer.step());
        Path file = folder.resolve(name);
        EcarCheckpoint.write(
                file,
                new EcarCheckpoint.Model(config, trainer.network(), codec),
                trainer.average().orElse(null));
        return file;
    }

    /** Not a constant: the help, which loads this class too, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(EcarTrainCommand.class);
    }
}
