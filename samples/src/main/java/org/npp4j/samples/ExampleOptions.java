package org.npp4j.samples;

import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Options of the examples. */
final class ExampleOptions {
    private static final double EPOCH_RATE = 0.5;
    private static final int PATCH_LEVEL = 2;

    @Spec(Spec.Target.MIXEE)
    private CommandSpec spec;

    @Option(
            names = "--epochs",
            paramLabel = "N",
            defaultValue = "4",
            description = "Epochs of each model, at least 2. Default: ${DEFAULT-VALUE}.")
    private int epochs;

    @Option(
            names = "--seed",
            paramLabel = "S",
            defaultValue = "1",
            description =
                    "Seed of data and weights; Deeplearning4j takes 0 from the clock. Default:" + " ${DEFAULT-VALUE}.")
    private long seed;

    /** {@return p = 2 for the first half of the epochs, then p = 1} */
    PatchStages stages() {
        if (epochs < 2) {
            throw new ParameterException(
                    spec.commandLine(), "--epochs must be at least 2, one for each stage of NPP, but is " + epochs);
        }
        return PatchStages.ofEpochs(epochs, EPOCH_RATE, PATCH_LEVEL);
    }

    /** {@return the seed} */
    long seed() {
        return seed;
    }
}
