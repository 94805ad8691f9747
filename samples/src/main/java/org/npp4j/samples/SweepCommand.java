package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.CandidateScore;
import org.npp4j.arbiter.CostWeightedScore;
import org.npp4j.arbiter.PatchPlan;
import org.npp4j.arbiter.PatchPlanSpace;
import org.npp4j.arbiter.Sweep;
import org.npp4j.arbiter.TestLossScore;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.samples.report.RunEnvironment;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;
import picocli.CommandLine.Unmatched;

/** {@code npp sweep}: looks for the best patch plan with Arbiter. */
@Command(
        name = "sweep",
        description = {
            "Trains a GPT by many patch plans and compares them, with Arbiter.",
            "All options of npp train that say what is trained, and on what, hold here too: --data or --code-path,"
                    + " --epochs, --gpt-config, --lr, --config FILE and so on (npp train --help)."
        },
        footer = {
            "",
            "The folder of --out holds sweep.html (score against cost), sweep.json, best.yaml (the best plan, for"
                    + " ./npp train --config), sweep.log and candidates/ with checkpoints and results. Ctrl-C ends a sweep"
                    + " after the step at hand. After that, a crash or a kill give the same command again: finished"
                    + " candidates are not repeated, and one that was interrupted goes on. The space may be another"
                    + " then; data, model and recipe may not."
        },
        sortOptions = false)
final class SweepCommand implements Callable<Integer> {
    /** What a single run has and a sweep has not. */
    private static final Set<String> OF_ONE_RUN =
            Set.of("--resume", "--allow-changes", "--steps", "--init-from", "--gpt-ckpt", "--workers", "--save-pt");

    /** Of the images that are drawn for a distance. */
    private static final double GUIDANCE = 2;

    private static final int MAX_PORT = 65_535;

    private static final String BEST = "best.yaml";

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Mixin
    private SweepSpaceOptions spaceOptions;

    @Option(
            names = "--generator",
            paramLabel = "NAME",
            defaultValue = "grid",
            description = "grid: every combination; random; or genetic: random at first, then bred from the best."
                    + " Default: ${DEFAULT-VALUE}.")
    private String generator;

    @Option(
            names = "--candidates",
            paramLabel = "N",
            description = "Different plans at most, those of earlier runs included. Default: the whole grid. Random and"
                    + " genetic searches need it, or --budget.")
    private Integer candidates;

    @Option(
            names = "--grid-values",
            paramLabel = "N",
            defaultValue = "3",
            description = "Values of a range in a grid. Default: ${DEFAULT-VALUE}.")
    private int gridValues;

    @Option(
            names = "--search-seed",
            paramLabel = "S",
            defaultValue = "0",
            description = "Seed of random proposals. Default: ${DEFAULT-VALUE}.")
    private long searchSeed;

    @Option(
            names = "--score",
            paramLabel = "NAME",
            defaultValue = "loss",
            description = "loss: nats per token of test images; or fid: Frechet distance of drawn images, as the"
                    + " classifier that comes along sees them (Fashion-MNIST). Default: ${DEFAULT-VALUE}.")
    private String scoreName;

    @Option(
            names = "--fid-images",
            paramLabel = "N",
            defaultValue = "1000",
            description = "Images drawn for a distance. Default: ${DEFAULT-VALUE}.")
    private int fidImages;

    @Option(
            names = "--cost-weight",
            paramLabel = "W",
            description = "Multiply the score by (operations / operations of next-token prediction) ^ W.")
    private Double costWeight;

    @Option(
            names = "--budget",
            paramLabel = "MINUTES",
            description = "End after so many minutes; what is being trained stops with a checkpoint. Default: no end.")
    private Double budget;

    @Option(
            names = "--parallel",
            paramLabel = "N",
            description = "Candidates trained at the same time. Default: one for each GPU; 1 on processors.")
    private Integer parallel;

    @Option(
            names = "--ckpt-minutes",
            paramLabel = "M",
            defaultValue = "2",
            description = "Minutes between two checkpoints of a candidate. Default: ${DEFAULT-VALUE}.")
    private double checkpointMinutes;

    @Option(names = "--retry-failed", description = "Train candidates again that failed.")
    private boolean retryFailed;

    @Option(
            names = "--out",
            paramLabel = "DIR",
            defaultValue = "npp-out/sweep",
            description = "Folder of the sweep. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Option(
            names = "--ui",
            arity = "0..1",
            paramLabel = "PORT",
            fallbackValue = "9000",
            description =
                    "Show Arbiter's UI while the sweep runs, to this machine alone, on this port; 0 for any that is free."
                            + " Without a number: ${FALLBACK-VALUE}. At a terminal it stays after the sweep until Ctrl-C."
                            + " ./npp fetches it (70 MB).")
    private Integer uiPort;

    @Unmatched
    private List<String> ofTraining = new ArrayList<>();

    @Mixin
    private StandardOptions standardOptions;

    SweepCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        try {
            TrainCommand training = training();
            if (uiPort != null && (uiPort < 0 || uiPort > MAX_PORT)) {
                throw new UsageException("--ui is a port, 0 to " + MAX_PORT + ", but is " + uiPort);
            }
            if (Files.exists(out) && !Files.isDirectory(out)) {
                throw new UsageException("--out must be a folder, but " + out + " is a file");
            }
            Files.createDirectories(out);
            try (RunLog log = RunLog.open(out.resolve("sweep.log"), true);
                    PeakMemory memory = new PeakMemory()) {
                try {
                    Backend machine = backend.get();
                    try (TrainingData images = training.openData(out);
                            SweepUi pages = uiPort == null ? SweepUi.none() : SweepUi.open(uiPort)) {
                        sweep(training, images, machine, memory, pages);
                        pages.stayOpen(spec.commandLine().getOut());
                    }
                } catch (IOException | RuntimeException | Error e) {
                    log.failed(e);
                    throw e;
                }
            }
        } catch (UsageException e) {
            throw new ParameterException(spec.commandLine(), e.getMessage(), e);
        }
        return 0;
    }

    /** The training command that the options describe which are none of a sweep. */
    private TrainCommand training() {
        TrainCommand command = new TrainCommand(backend);
        try {
            new CommandLine(command)
                    .setOut(spec.commandLine().getOut())
                    .setErr(spec.commandLine().getErr())
                    .parseArgs(ofTraining.toArray(String[]::new));
        } catch (ParameterException e) {
            throw new UsageException(e.getMessage());
        }
        Set<String> wrong = new TreeSet<>(command.given());
        wrong.retainAll(OF_ONE_RUN);
        if (!wrong.isEmpty()) {
            throw new UsageException(String.join(", ", wrong) + " is an option of a single run: npp train."
                    + (wrong.contains("--resume") ? " A sweep goes on when the same command is given again" : ""));
        }
        return command.resolved();
    }

    private void sweep(TrainCommand training, TrainingData images, Backend machine, PeakMemory memory, SweepUi pages)
            throws IOException {
        Instant started = Instant.now();
        TrainingPlan plan = training.plan(images);
        EpochDataSetIterator counted;
        Sweep sweep;
        try (SweepProgress progress = new SweepProgress()) {
            try {
                counted = images.batches(plan.model(), plan.batchSize(), plan.seed());
                sweep = build(training, plan, images, progress, pages);
            } catch (IllegalArgumentException e) {
                throw new UsageException(e);
            } catch (IllegalStateException e) {
                throw new AppException(e.getMessage(), e);
            }
            Products.setPrecision(plan.precision());
            announce(sweep, images, counted.batchesPerEpoch(), machine, progress);
            RunEnvironment environment = machine.environment(started, spec);
            SweepFiles files = new SweepFiles(out, sweep, environment, memory, started);
            List<CandidateResult> results;
            try (StopAtExit ignored = new StopAtExit(() -> {
                pages.leave();
                sweep.stop();
            })) {
                files.write(sweep.results());
                progress.afterEach(files);
                pages.show(sweep);
                results = sweep.run();
                files.write(results);
                writeBest(training, sweep, results);
                say(sweep, results);
            } catch (IllegalStateException e) {
                throw new AppException(e.getMessage(), e);
            }
        }
    }

    private Sweep build(
            TrainCommand training, TrainingPlan plan, TrainingData images, SweepProgress progress, SweepUi pages)
            throws IOException {
        PatchPlanSpace space = spaceOptions.space(plan);
        Sweep.Builder builder = new Sweep.Builder(space, plan, each -> trainer(each, images), out)
                .generator(named(generator))
                .gridValues(gridValues)
                .seed(searchSeed)
                .score(score(training, plan, images))
                .parallel(parallel == null ? devices() : parallel)
                .checkpointEvery(Duration.ofMillis(Math.round(60_000 * checkpointMinutes)))
                .retryFailed(retryFailed)
                .dataDescription(images.description())
                .versions(Versions.all())
                .listener(progress);
        if (candidates != null) {
            builder.candidates(candidates);
        }
        if (budget != null) {
            builder.budget(Duration.ofMillis(Math.round(60_000 * budget)));
        }
        pages.listenTo(builder);
        return builder.build();
    }

    private static int devices() {
        return Math.max(1, Nd4j.getAffinityManager().getNumberOfDevices());
    }

    private static Sweep.Generator named(String name) {
        return switch (name) {
            case "grid" -> Sweep.Generator.GRID;
            case "random" -> Sweep.Generator.RANDOM;
            case "genetic" -> Sweep.Generator.GENETIC;
            default -> throw new IllegalArgumentException("--generator must be grid, random or genetic, got " + name);
        };
    }

    private CandidateScore score(TrainCommand training, TrainingPlan plan, TrainingData images) throws IOException {
        CandidateScore score =
                switch (scoreName) {
                    case "loss" -> {
                        if (images.test(plan.model(), 1) == null) {
                            throw new IllegalArgumentException("--score loss needs test images: --test-code-path");
                        }
                        yield new TestLossScore();
                    }
                    case "fid" -> frechet(training, images, plan.seed());
                    default -> throw new IllegalArgumentException("--score must be loss or fid, got " + scoreName);
                };
        return costWeight == null ? score : new CostWeightedScore(score, costWeight);
    }

    private CandidateScore frechet(TrainCommand training, TrainingData images, long seed) throws IOException {
        Path folder = training.imageFolder()
                .orElseThrow(() -> new IllegalArgumentException(
                        "--score fid compares with the test images of --data, and there are only codes"));
        LabelledImages test = SmallImageSet.load(folder).test();
        return (test == null ? Optional.<DrawnImagesJudge>empty() : DrawnImagesJudge.of(test))
                .orElseThrow(() -> new IllegalArgumentException("--score fid: the classifier that comes along knows"
                        + " Fashion-MNIST, and not the images of " + folder))
                .score(images.tokenizer(), fidImages, GUIDANCE, seed);
    }

    private static Trainer.Builder trainer(TrainingPlan plan, TrainingData images) {
        return new Trainer.Builder(plan, images.batches(plan.model(), plan.batchSize(), plan.seed()))
                .dataDescription(images.description())
                .testData(images.test(plan.model(), Math.min(TrainCommand.TEST_BATCH, plan.microBatch())))
                .versions(Versions.all());
    }

    private void announce(
            Sweep sweep, TrainingData images, int batchesPerEpoch, Backend machine, SweepProgress progress) {
        log().info("{}", images);
        log().info("Space: {}", sweep.space());
        List<PatchPlan> left = sweep.plansLeft();
        int known = sweep.results().size();
        if (!left.isEmpty() || known > 0) {
            double gflop = 0;
            for (PatchPlan each : left) {
                gflop += sweep.costOf(each, batchesPerEpoch).gflop();
            }
            log().info(
                            "{} finished, {} to train: {} TFLOP",
                            known,
                            generator.equals("grid") ? left.size() : "others",
                            String.format(Locale.ROOT, "%,.1f", gflop / 1e3));
        }
        progress.expect(left.size());
        log().info("{}", Arithmetic.describe(machine));
    }

    private void writeBest(TrainCommand training, Sweep sweep, List<CandidateResult> results) throws IOException {
        var best = Sweep.best(results);
        if (best.isPresent()) {
            SweepFiles.writePreset(out.resolve(BEST), training.settings(), sweep, best.get());
        }
    }

    private void say(Sweep sweep, List<CandidateResult> results) {
        var printer = spec.commandLine().getOut();
        Sweep.best(results)
                .ifPresentOrElse(
                        best -> {
                            printer.println("Best of " + results.size() + ": " + best.plan() + ", "
                                    + String.format(
                                            Locale.ROOT,
                                            "%.4f (%s), %.3f times the operations of next-token prediction",
                                            best.score().getAsDouble(),
                                            sweep.score().name(),
                                            best.relativeCost()));
                            printer.println("Train it: ./npp train --config " + out.resolve(BEST));
                        },
                        () -> printer.println("No candidate has a score"));
        int left = sweep.plansLeft().size();
        if (left > 0) {
            printer.println(left + " of the grid are not finished. Give the same command again");
        }
        printer.println("Report: " + out.resolve(SweepFiles.REPORT));
        printer.flush();
    }

    /** Not a constant: the help, which loads this class too, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(SweepCommand.class);
    }
}
