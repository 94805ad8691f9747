package org.npp4j.samples;

import java.io.IOException;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Spec;

/** {@code npp add-npp}: trains the networks of {@link AddNppToYourModel}. */
@Command(
        name = "add-npp",
        description =
                "Trains a stock LSTM over image tokens before and after NPP was added to it; AddNppToYourModel has"
                        + " the two networks.",
        footer = {"", "Takes less than a minute on two processor cores."},
        sortOptions = false)
final class AddNppCommand implements Callable<Integer> {
    /** Training images of each class. */
    static final int IMAGES_PER_CLASS = 64;

    private static final int TEST_IMAGES_PER_CLASS = 10;
    private static final int BATCH = 32;
    private static final int CODES = 128;
    private static final int CODEBOOK_ROUNDS = 10;
    private static final int BLOCKS_PER_CODE = 100;

    private final Supplier<Backend> backend;
    private final int imagesPerClass;

    @Spec
    private CommandSpec spec;

    @Mixin
    private ExampleOptions options;

    @Mixin
    private StandardOptions standardOptions;

    AddNppCommand(Supplier<Backend> backend, int imagesPerClass) {
        this.backend = backend;
        this.imagesPerClass = imagesPerClass;
    }

    @Override
    public Integer call() throws IOException {
        PatchStages stages = options.stages();
        backend.get();
        PixelImages train = images(LabelledImages.Split.TRAIN, imagesPerClass);
        PixelImages test = images(LabelledImages.Split.TEST, TEST_IMAGES_PER_CLASS);
        BlockCodebook codebook = BlockCodebook.train(
                train,
                BlockCodebook.Settings.defaults()
                        .withCodes(CODES)
                        .withEffort(CODEBOOK_ROUNDS, CODES * BLOCKS_PER_CODE)
                        .withSeed(options.seed()));
        new NtpAgainstNpp(
                        TokenBatches.of(codebook.encode(train), CODES, BATCH),
                        TokenBatches.one(codebook.encode(test), CODES),
                        spec.commandLine().getOut())
                .run(
                        AddNppToYourModel.stock(CODES, codebook.grid(), options.seed()),
                        AddNppToYourModel.withNpp(CODES, codebook.grid(), options.seed(), stages),
                        stages);
        return 0;
    }

    private static PixelImages images(LabelledImages.Split split, int perClass) throws IOException {
        return ShippedImages.load(split).firstOfEachClass(perClass).images();
    }
}
