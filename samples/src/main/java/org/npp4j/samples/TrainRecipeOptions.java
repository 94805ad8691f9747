package org.npp4j.samples;

import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.WeightAverage;
import picocli.CommandLine.Option;

/** Options of {@code npp train} that decide how the model is trained. */
final class TrainRecipeOptions {
    @Option(
            names = "--epochs",
            paramLabel = "E",
            defaultValue = "300",
            description = "How often every image is seen. Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Option(
            names = "--epoch-rate",
            paramLabel = "R",
            defaultValue = "0.5",
            description = "Stages of patches end after E R, E R^2, .. epochs. Default: ${DEFAULT-VALUE}.")
    private double epochRate;

    @Option(
            names = "--patch-level",
            paramLabel = "L",
            defaultValue = "2",
            description = "Patch sides 2^(L-1), .., 2, 1; 1 is next-token prediction. Default: ${DEFAULT-VALUE}.")
    private int patchLevel;

    @Option(
            names = "--patch-stages",
            paramLabel = "P:END,..",
            description = "Any stages instead of these three: patch side and last epoch, such as 4:75,2:150,1:300; ends"
                    + " in steps are written 2:5000it,1:10000it.")
    private String patchStages;

    @Option(
            names = "--lr",
            paramLabel = "RATE",
            defaultValue = "1e-4",
            description = "Learning rate. Default: ${DEFAULT-VALUE}.")
    private double learningRate;

    @Option(
            names = "--scheduler",
            negatable = true,
            description = "Warm-up and decay of the learning rate in every stage. Default: a constant rate.")
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
            names = "--global-batch-size",
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

    @Option(
            names = "--dropout-p",
            paramLabel = "P",
            defaultValue = "0.1",
            description = "Dropout of attention and feed-forward outputs. Default: ${DEFAULT-VALUE}.")
    private double dropout;

    @Option(
            names = "--token-dropout-p",
            paramLabel = "P",
            defaultValue = "0.1",
            description = "Dropout of the input sequence. Default: ${DEFAULT-VALUE}.")
    private double tokenDropout;

    @Option(
            names = "--class-dropout-p",
            paramLabel = "P",
            defaultValue = "0.1",
            description = "How often the class is left out, for guidance. Default: ${DEFAULT-VALUE}.")
    private double classDropout;

    @Option(
            names = "--drop-path-rate",
            paramLabel = "P",
            defaultValue = "0.0",
            description =
                    "Stochastic depth of the last block; above 0 it replaces --dropout-p. Default: ${DEFAULT-VALUE}.")
    private double pathDropout;

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

    int batchSize() {
        return batchSize;
    }

    long seed() {
        return seed;
    }

    /**
     * The plan.
     *
     * @throws IllegalArgumentException if the options do not go together
     */
    TrainingPlan plan(GptSpec model) {
        if (accumulation < 1 || batchSize % accumulation != 0) {
            throw new IllegalArgumentException("--gradient-accumulation-steps must divide --global-batch-size, got "
                    + accumulation + " and " + batchSize);
        }
        if (accumulation > 1 && microBatch != null) {
            throw new IllegalArgumentException(
                    "--gradient-accumulation-steps and --micro-batch say the same: give one");
        }
        return TrainingPlan.of(model)
                .stages(stages())
                .batchSize(batchSize)
                .microBatch(microBatch != null ? microBatch : batchSize / accumulation)
                .learningRate(
                        new TrainingPlan.LearningRate(learningRate, scheduler, warmup, decayRatio, endLearningRate))
                .optimizer(new TrainingPlan.AdamW(beta1, beta2, 1e-8, weightDecay))
                .clipNorm(clipNorm)
                .averageDecay(average ? averageDecay : 0)
                .dropouts(TrainingPlan.Dropouts.published(
                        model.noClassRow() ? classDropout : 0, tokenDropout, dropout, pathDropout))
                .precision(precision())
                .seed(seed)
                .build();
    }

    private PatchStages stages() {
        return patchStages != null
                ? PatchStages.parse(patchStages)
                : PatchStages.ofEpochs(epochs, epochRate, patchLevel);
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
