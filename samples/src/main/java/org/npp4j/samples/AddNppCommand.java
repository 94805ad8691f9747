package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.util.function.Supplier;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine.Command;

/** {@code npp add-npp}: trains the networks of {@link AddNppToYourModel}. */
@Command(
        name = "add-npp",
        description =
                "Trains a stock LSTM over image tokens before and after NPP was added to it; AddNppToYourModel has"
                        + " the two networks.",
        footer = {"", "Takes less than a minute on two processor cores."},
        sortOptions = false)
final class AddNppCommand extends ExampleCommand {
    /** Training images of each class. */
    static final int IMAGES_PER_CLASS = 64;

    private static final int TEST_IMAGES_PER_CLASS = 10;
    private static final int BATCH = 32;
    private static final int CODES = 128;
    private static final int CODEBOOK_ROUNDS = 10;
    private static final int BLOCKS_PER_CODE = 100;

    private final int imagesPerClass;

    AddNppCommand(Supplier<Backend> backend, int imagesPerClass) {
        super(backend);
        this.imagesPerClass = imagesPerClass;
    }

    @Override
    void train(PatchStages stages, long seed, PrintWriter out) throws IOException {
        PixelImages train = images(LabelledImages.Split.TRAIN, imagesPerClass);
        PixelImages test = images(LabelledImages.Split.TEST, TEST_IMAGES_PER_CLASS);
        BlockCodebook codebook = BlockCodebook.train(
                train,
                BlockCodebook.Settings.defaults()
                        .withCodes(CODES)
                        .withEffort(CODEBOOK_ROUNDS, CODES * BLOCKS_PER_CODE)
                        .withSeed(seed));
        new NtpAgainstNpp(
                        TokenBatches.of(codebook.encode(train), CODES, BATCH),
                        TokenBatches.one(codebook.encode(test), CODES),
                        out)
                .run(
                        AddNppToYourModel.stock(CODES, codebook.grid(), seed),
                        AddNppToYourModel.withNpp(CODES, codebook.grid(), seed, stages),
                        stages);
    }

    private static PixelImages images(LabelledImages.Split split, int perClass) throws IOException {
        return ShippedImages.load(split).firstOfEachClass(perClass).images();
    }
}
