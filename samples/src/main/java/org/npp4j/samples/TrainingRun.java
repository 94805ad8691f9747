package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.checkpoint.CheckpointException;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Model.CommandSpec;

/**
 * What the commands that train do around a trainer, in the folder of a run: find the checkpoint to go on from, keep the
 * settings and the log, and end well.
 *
 * @param command its name, for the words that say how to go on
 * @param options of the run
 * @param parser of the plans in its checkpoints
 */
record TrainingRun(String command, TrainRunOptions options, RunPlan.Parser parser) {
    /** Folder of the checkpoints in that of a run. */
    static final String CHECKPOINTS = "checkpoints";

    /** The settings of a run. */
    static final String CONFIG = "config.yaml";

    /** What is done in the folder. */
    @FunctionalInterface
    interface Body {
        /**
         * Trains.
         *
         * @param folder of the run; it exists
         * @param checkpoint to go on from; null to start
         * @param machine backend
         * @param memory of this process
         * @throws IOException if a file cannot be read or written
         */
        void run(Path folder, TrainingCheckpoint checkpoint, Backend machine, PeakMemory memory) throws IOException;
    }

    /**
     * The folder of a run.
     *
     * @param given that folder, that of its checkpoints, or of one of them
     * @return the folder
     */
    static Path folderOf(Path given) {
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

    /**
     * Opens the folder, and does something in it.
     *
     * @param resumed the folder of a run to go on with; null to start one
     * @param backend starts ND4J
     * @param body what to do
     */
    void open(Path resumed, Supplier<Backend> backend, Body body) throws IOException {
        Path folder = resumed != null ? resumed : options.out();
        if (Files.exists(folder) && !Files.isDirectory(folder)) {
            throw new UsageException("--out must be a folder, but " + folder + " is a file");
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
                body.run(folder, checkpoint(resumed), machine, memory);
            } catch (IOException | RuntimeException | Error e) {
                log.failed(e);
                throw e;
            }
        }
    }

    /** The checkpoint that was named, or else the newest that is whole; null to start. */
    private TrainingCheckpoint checkpoint(Path resumed) throws IOException {
        if (resumed == null) {
            return null;
        }
        if (TrainingCheckpoint.isCheckpoint(options.resume())) {
            return TrainingCheckpoint.read(options.resume(), parser);
        }
        List<TrainingCheckpoint> all = TrainingCheckpoint.list(resumed.resolve(CHECKPOINTS), parser);
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

    /**
     * Refuses settings that differ from a checkpoint's, unless that is wanted.
     *
     * @param checkpoint to go on from; null to start
     * @param plan of this run
     * @param data what describes its data
     * @param batchesPerEpoch steps of its epochs
     */
    void requireSame(TrainingCheckpoint checkpoint, RunPlan plan, Map<String, String> data, int batchesPerEpoch) {
        List<String> differences = checkpoint == null ? List.of() : checkpoint.differences(plan, data, batchesPerEpoch);
        if (differences.isEmpty()) {
            return;
        }
        String all = String.join("; ", differences);
        if (!options.allowChanges()) {
            throw new AppException("The settings differ from those of " + checkpoint.folder() + ": " + all
                    + ". Leave the options out that differ, or go on with the new ones: --allow-changes");
        }
        log().warn("Going on with other settings: {}", all);
    }

    /** Checks what of a plan depends on the machine and on the workers. */
    void prepare(RunPlan plan) {
        if (plan.batchSize() % options.workers() != 0) {
            throw new UsageException("--workers is " + options.workers()
                    + ", but must divide --global-batch-size, which is " + plan.batchSize()
                    + ": workers share a batch equally");
        }
        try {
            Products.setPrecision(plan.precision());
        } catch (IllegalStateException e) {
            throw new AppException(e.getMessage() + ". Or train in single precision: --mixed-precision none", e);
        }
    }

    /** Sets what the options of the run say. */
    void configure(Trainer.Builder builder, Path folder) {
        builder.checkpoints(options.checkpoints(folder))
                .versions(Versions.all())
                .recomputeBlocks(options.recompute())
                .workers(options.workers());
        if (options.uiPort() != null) {
            builder.listeners(TrainingUi.start(options.uiPort(), options.logEvery()));
            log().info("Training UI: http://localhost:{}/train", options.uiPort());
        }
        if (options.steps() != null) {
            builder.stopAfter(options.steps());
        }
    }

    /**
     * Runs a trainer to its end, and says where everything is.
     *
     * @param trainer to run
     * @param folder of the run
     * @param monitor its observer; closed before the last words
     * @param settings the command with all its options, which are kept for --resume
     * @param called the command that was called
     */
    void run(Trainer trainer, Path folder, TrainMonitor monitor, CommandSpec settings, CommandSpec called)
            throws IOException {
        if (trainer.step() > 0) {
            log().info("Going on after step {}", trainer.step());
        }
        // only now: what failed before can be called again
        AtomicFile.writeText(
                folder.resolve(CONFIG), "# Settings of this run, for --resume\n" + ConfigFile.yaml(settings));
        try (StopAtExit ignored = new StopAtExit(trainer::stop)) {
            trainer.run();
            monitor.close();
            var out = called.commandLine().getOut();
            if (trainer.step() < trainer.lastStep()) {
                out.println(
                        "Stopped after step " + trainer.step() + ". Go on: ./npp " + command + " --resume " + folder);
            } else {
                out.println("Model: " + monitor.savePublished(trainer));
            }
            out.println("Report: " + folder.resolve(TrainMonitor.REPORT));
            out.flush();
        }
    }

    /** Not a constant: the help, which loads the commands, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(TrainingRun.class);
    }
}
