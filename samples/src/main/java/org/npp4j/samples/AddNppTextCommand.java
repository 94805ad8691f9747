package org.npp4j.samples;

import java.util.Random;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code npp add-npp-text}: trains the networks of {@link AddNppToYourTextModel}. */
@Command(
        name = "add-npp-text",
        description =
                "Trains a stock character LSTM before and after NPP was added to it; AddNppToYourTextModel has the"
                        + " two networks. The text is made up by a small grammar.",
        footer = {"", "Takes less than a minute on two processor cores."},
        sortOptions = false)
final class AddNppTextCommand implements Callable<Integer> {
    /** Training examples. */
    static final int EXAMPLES = 640;

    private static final int TEST_EXAMPLES = 64;
    private static final int LENGTH = 64;
    private static final int BATCH = 32;

    private final Supplier<Backend> backend;
    private final int examples;

    @Spec
    private CommandSpec spec;

    @Mixin
    private ExampleOptions options;

    @Mixin
    private StandardOptions standardOptions;

    AddNppTextCommand(Supplier<Backend> backend, int examples) {
        this.backend = backend;
        this.examples = examples;
    }

    @Override
    public Integer call() {
        PatchStages stages = options.stages();
        backend.get();
        MadeUpText text = new MadeUpText(new Random(options.seed()));
        int vocabulary = MadeUpText.ALPHABET.length();
        new NtpAgainstNpp(
                        TokenBatches.of(text.examples(examples, LENGTH), vocabulary, BATCH),
                        TokenBatches.one(text.examples(TEST_EXAMPLES, LENGTH), vocabulary),
                        spec.commandLine().getOut())
                .run(
                        AddNppToYourTextModel.stock(vocabulary, LENGTH, options.seed()),
                        AddNppToYourTextModel.withNpp(vocabulary, LENGTH, options.seed(), stages),
                        stages);
        return 0;
    }
}
