package org.npp4j.samples;

import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Mixin;
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

    @Mixin
    private OptimizerOptions optimizer;

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

    /**
     * The plan.
     *
     * @throws IllegalArgumentException if the options do not go together
     */
    TrainingPlan plan(GptSpec model) {
        return TrainingPlan.of(model)
                .stages(stages())
                .dropouts(TrainingPlan.Dropouts.published(
                        model.noClassRow() ? classDropout : 0, tokenDropout, dropout, pathDropout))
                .settings(optimizer.settings())
                .build();
    }

    private PatchStages stages() {
        return patchStages != null
                ? PatchStages.parse(patchStages)
                : PatchStages.ofEpochs(epochs, epochRate, patchLevel);
    }
}
