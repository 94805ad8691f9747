package org.npp4j.samples;

import java.io.PrintWriter;
import java.util.Random;
import java.util.function.Supplier;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Command;

/** {@code npp add-npp-text}: trains the networks of {@link AddNppToYourTextModel}. */
@Command(
        name = "add-npp-text",
        description =
                "Trains a stock character LSTM before and after NPP was added to it; AddNppToYourTextModel has the"
                        + " two networks. The text is made up by a small grammar.",
        footer = {"", "Takes less than a minute on two processor cores."},
        sortOptions = false)
final class AddNppTextCommand extends ExampleCommand {
    /** Training examples. */
    static final int EXAMPLES = 640;

    private static final int TEST_EXAMPLES = 64;
    private static final int LENGTH = 64;
    private static final int BATCH = 32;

    private final int examples;

    AddNppTextCommand(Supplier<Backend> backend, int examples) {
        super(backend);
        this.examples = examples;
    }

    @Override
    void train(PatchStages stages, long seed, PrintWriter out) {
        MadeUpText text = new MadeUpText(new Random(seed));
        int vocabulary = MadeUpText.ALPHABET.length();
        new NtpAgainstNpp(
                        TokenBatches.of(text.examples(examples, LENGTH), vocabulary, BATCH),
                        TokenBatches.one(text.examples(TEST_EXAMPLES, LENGTH), vocabulary),
                        out)
                .run(
                        AddNppToYourTextModel.stock(vocabulary, LENGTH, seed),
                        AddNppToYourTextModel.withNpp(vocabulary, LENGTH, seed, stages),
                        stages);
    }
}
