package org.npp4j.samples;

import java.nio.file.Path;
import java.time.Duration;
import org.npp4j.llamagen.training.CheckpointPolicy;
import picocli.CommandLine.Option;

/** Options of the commands that train which say where a run starts and ends, what it keeps, and what one sees of it. */
final class TrainRunOptions {
    private static final long MILLIS_PER_MINUTE = 60_000;
    private static final int MAX_PORT = 65535;

    @Option(
            names = "--steps",
            paramLabel = "N",
            description = "Stop early, after so many steps. Learning rate and stages stay those of the whole run.")
    private Integer steps;

    @Option(
            names = "--init-from",
            paramLabel = "CKPT",
            description = "Start from the weights of a checkpoint of any kind: .pt, .safetensors, .zip, or a checkpoint"
                    + " of a run.")
    private Path initFrom;

    @Option(
            names = "--resume",
            paramLabel = "DIR",
            description = "Go on with a run: the folder of --out, or of one checkpoint in it. Its settings hold; those"
                    + " given here win, and are refused without --allow-changes if they differ.")
    private Path resume;

    @Option(names = "--allow-changes", description = "Go on with settings that differ.")
    private boolean allowChanges;

    @Option(
            names = {"--out", "--results-dir"},
            paramLabel = "DIR",
            defaultValue = "npp-out/train",
            description = "Folder of the run. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Option(
            names = "--ckpt-every",
            paramLabel = "N",
            defaultValue = "" + CheckpointPolicy.PUBLISHED_STEPS,
            description = "Steps between two checkpoints, 0 for none on the way. Default: ${DEFAULT-VALUE}.")
    private int checkpointEvery;

    @Option(
            names = "--ckpt-minutes",
            paramLabel = "M",
            defaultValue = "30",
            description = "And at the latest after so many minutes; 0 for no such rule. Default: ${DEFAULT-VALUE}.")
    private double checkpointMinutes;

    @Option(
            names = "--keep-last",
            paramLabel = "K",
            defaultValue = "2",
            description = "Checkpoints that are kept, beside the best one. Default: ${DEFAULT-VALUE}.")
    private int keepLast;

    @Option(
            names = "--save-pt",
            negatable = true,
            description = "Write every checkpoint in the published PyTorch layout, too, and keep all of these.")
    private boolean savePublished;

    @Option(
            names = "--workers",
            paramLabel = "N",
            defaultValue = "1",
            description =
                    "Share every batch among N workers, each with a copy of the model and its optimizer: one for each"
                            + " device. The result is that of one worker, up to rounding and the draws of dropout. Default:"
                            + " ${DEFAULT-VALUE}.")
    private int workers;

    @Option(
            names = "--recompute",
            negatable = true,
            description = "Compute blocks again in the backward pass instead of keeping them: less memory, slower, same"
                    + " result.")
    private boolean recompute;

    @Option(
            names = "--log-every",
            paramLabel = "N",
            defaultValue = "100",
            description = "Steps that a line of metrics.jsonl sums up. Default: ${DEFAULT-VALUE}.")
    private int logEvery;

    @Option(
            names = "--sample-every",
            paramLabel = "N",
            description =
                    "Steps between two sample sheets, 0 for none. Default: with a tokenizer, at every checkpoint.")
    private Integer sampleEvery;

    @Option(
            names = "--num-samples",
            paramLabel = "N",
            defaultValue = "16",
            description = "Images of a sheet. Default: ${DEFAULT-VALUE}.")
    private int samples;

    @Option(
            names = "--cfg-scale",
            paramLabel = "S",
            defaultValue = "2.0",
            description = "Guidance of the sheets, at least 1 (none). Default: ${DEFAULT-VALUE}.")
    private double guidance;

    @Option(
            names = "--ui",
            arity = "0..1",
            paramLabel = "PORT",
            fallbackValue = "9000",
            description = "Show Deeplearning4j's training UI on this port; without a number: ${FALLBACK-VALUE}. ./npp"
                    + " fetches it (70 MB).")
    private Integer uiPort;

    Integer uiPort() {
        return uiPort;
    }

    Integer steps() {
        return steps;
    }

    Path initFrom() {
        return initFrom;
    }

    Path resume() {
        return resume;
    }

    boolean allowChanges() {
        return allowChanges;
    }

    Path out() {
        return out;
    }

    boolean savePublished() {
        return savePublished;
    }

    int workers() {
        return workers;
    }

    boolean recompute() {
        return recompute;
    }

    int logEvery() {
        return logEvery;
    }

    Integer sampleEvery() {
        return sampleEvery;
    }

    int samples() {
        return samples;
    }

    double guidance() {
        return guidance;
    }

    /**
     * Checks what belongs to no other class.
     *
     * @throws IllegalArgumentException if a number is out of its range, or options exclude each other
     */
    void requireUsable() {
        require(workers >= 1, "--workers must be at least 1, but is " + workers);
        require(steps == null || steps >= 1, "--steps must be at least 1, but is " + steps);
        require(uiPort == null || uiPort >= 1 && uiPort <= MAX_PORT, "--ui is a port, 1 to 65535, but is " + uiPort);
        require(logEvery >= 1, "--log-every must be at least 1, but is " + logEvery);
        require(samples >= 1, "--num-samples must be at least 1, but is " + samples);
        require(guidance >= 1, "--cfg-scale must be at least 1, but is " + guidance);
        require(sampleEvery == null || sampleEvery >= 0, "--sample-every must be 0 or above, but is " + sampleEvery);
        require(checkpointEvery >= 0, "--ckpt-every must be 0 or above, but is " + checkpointEvery);
        require(
                checkpointMinutes >= 0 && checkpointMinutes < Double.POSITIVE_INFINITY,
                "--ckpt-minutes must be 0 or above, but is " + checkpointMinutes);
        require(keepLast >= 1, "--keep-last must be at least 1, but is " + keepLast);
    }

    private static void require(boolean condition, String message) {
        if (!condition) {
            throw new IllegalArgumentException(message);
        }
    }

    /** {@return where and when checkpoints are written} */
    CheckpointPolicy checkpoints(Path run) {
        return new CheckpointPolicy(
                run.resolve(TrainingRun.CHECKPOINTS),
                checkpointEvery,
                Duration.ofMillis(Math.round(checkpointMinutes * MILLIS_PER_MINUTE)),
                keepLast,
                true);
    }
}
