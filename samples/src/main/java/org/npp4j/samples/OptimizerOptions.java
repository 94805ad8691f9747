package org.npp4j.samples;

import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingSettings;
import org.npp4j.schedule.WeightAverage;
import picocli.CommandLine.Option;

/** Options of the commands that train, whatever they train: optimizer, batch, precision, seed. */
final class OptimizerOptions {
    private static final double EPSILON = 1e-8;

    @Option(
            names = "--lr",
            paramLabel = "RATE",
            defaultValue = "1e-4",
            description = "Learning rate. Default: ${DEFAULT-VALUE}.")
    private double learningRate;

    @Option(
            names = "--scheduler",
            negatable = true,
            defaultValue = "false",
            fallbackValue = "true",
            description = "Warm-up and decay of the learning rate in every stage of training, else a constant rate."
                    + " Default: ${DEFAULT-VALUE}.")
    private boolean scheduler;

    @Option(
            names = "--warmup-epochs",
            paramLabel = "N",
            defaultValue = "1",
            description = "Epochs (steps, if the stages are in steps) from rate 0 to --lr. Default: ${DEFAULT-VALUE}.")
    private double warmup;

    @Option(
            names = "--decay-ratio",
            paramLabel = "R",
            defaultValue = "0.2",
            description = "Share of each stage in which the rate falls. Default: ${DEFAULT-VALUE}.")
    private double decayRatio;

    @Option(
            names = "--end-lr",
            paramLabel = "RATE",
            defaultValue = "1e-5",
            description = "What it falls to. Default: ${DEFAULT-VALUE}.")
    private double endLearningRate;

    @Option(
            names = "--weight-decay",
            paramLabel = "C",
            defaultValue = "0.05",
            description = "Decoupled, of matrices and tables. Default: ${DEFAULT-VALUE}.")
    private double weightDecay;

    @Option(
            names = "--beta1",
            paramLabel = "B",
            defaultValue = "0.9",
            description = "Of Adam. Default: ${DEFAULT-VALUE}.")
    private double beta1;

    @Option(
            names = "--beta2",
            paramLabel = "B",
            defaultValue = "0.95",
            description = "Of Adam. Default: ${DEFAULT-VALUE}.")
    private double beta2;

    @Option(
            names = "--max-grad-norm",
            paramLabel = "N",
            defaultValue = "1.0",
            description = "Largest global norm of the gradients; 0 for no clipping. Default: ${DEFAULT-VALUE}.")
    private double clipNorm;

    @Option(
            names = {"--global-batch-size", "--batch-size"},
            paramLabel = "B",
            defaultValue = "256",
            description = "Images of a step. Default: ${DEFAULT-VALUE}.")
    private int batchSize;

    @Option(
            names = "--micro-batch",
            paramLabel = "B",
            description = "Images computed at a time; gradients are added up to those of the whole batch. Less memory."
                    + " Default: all.")
    private Integer microBatch;

    @Option(
            names = "--gradient-accumulation-steps",
            paramLabel = "N",
            defaultValue = "1",
            description = "The same as a number of parts. Default: ${DEFAULT-VALUE}.")
    private int accumulation;

    @Option(names = "--ema", negatable = true, description = "Keep a moving average of the weights, too.")
    private boolean average;

    @Option(
            names = "--ema-decay",
            paramLabel = "D",
            defaultValue = "" + WeightAverage.DEFAULT_DECAY,
            description = "Of the average. Default: ${DEFAULT-VALUE}.")
    private double averageDecay;

    @Option(
            names = "--mixed-precision",
            paramLabel = "TYPE",
            defaultValue = "none",
            description = "none, or bf16 for matrix products on processors that have it. Default: ${DEFAULT-VALUE}"
                    + " (the published default is bf16).")
    private String precision;

    @Option(
            names = {"--global-seed", "--seed"},
            paramLabel = "S",
            defaultValue = "0",
            description = "Of weights, order, dropouts. Default: ${DEFAULT-VALUE}.")
    private long seed;

    /**
     * The settings of a plan.
     *
     * @throws IllegalArgumentException if an option is out of its range, or the options do not go together
     */
    TrainingSettings settings() {
        return new TrainingSettings(
                batchSize,
                microBatch(),
                new TrainingPlan.LearningRate(learningRate, scheduler, warmup, decayRatio, endLearningRate),
                new TrainingPlan.AdamW(beta1, beta2, EPSILON, weightDecay),
                clipNorm,
                average ? averageDecay : 0,
                precision(),
                DataType.FLOAT,
                seed);
    }

    private int microBatch() {
        if (accumulation < 1 || batchSize % accumulation != 0) {
            throw new IllegalArgumentException("--gradient-accumulation-steps must divide --global-batch-size, got "
                    + accumulation + " and " + batchSize);
        }
        if (accumulation > 1 && microBatch != null) {
            throw new IllegalArgumentException(
                    "--gradient-accumulation-steps and --micro-batch say the same: give one");
        }
        return microBatch != null ? microBatch : batchSize / accumulation;
    }

    private Precision precision() {
        return switch (precision) {
            case "none" -> Precision.FLOAT;
            case "bf16" -> Precision.BF16;
            case "fp16" -> throw new IllegalArgumentException("--mixed-precision fp16 is missing here: Deeplearning4j"
                    + " trains in single precision, and no library beneath it has products in fp16. Use bf16, or none");
            default -> throw new IllegalArgumentException(
                    "--mixed-precision must be none, bf16 or fp16, got " + precision);
        };
    }
}
