package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.npp4j.llamagen.tokenizer.TokenizerFile;
import picocli.CommandLine.Option;

/** Options of {@code npp train} that say what is trained on. */
final class TrainDataOptions {
    @Option(
            names = "--code-path",
            paramLabel = "DIR",
            description = "Codes of an image set, as npp extract-codes and the published extractor write them.")
    private Path codes;

    @Option(
            names = "--test-code-path",
            paramLabel = "DIR",
            description = "Codes of images to test on at every checkpoint.")
    private Path testCodes;

    @Option(
            names = "--data",
            paramLabel = "DIR",
            description = "Instead of codes, a small image set that is tokenized at the start: the four IDX files of"
                    + " (Fashion-)MNIST, or binary files of CIFAR-10. Its test images are tested on.")
    private Path images;

    @Option(
            names = {"--vq-ckpt", "--tokenizer"},
            paramLabel = "FILE",
            description = "The tokenizer. With --code-path it draws the sample sheets. With --data it makes the codes;"
                    + " default: a block codebook that is learned first.")
    private Path tokenizer;

    @Option(names = "--num-workers", hidden = true, description = "Without effect.")
    private Integer workers;

    @Option(names = "--dataset", hidden = true, description = "Without effect.")
    private String dataset;

    @Option(names = "--no-compile", hidden = true, description = "Without effect.")
    private boolean noCompile;

    /** {@return the folder of --data, if it is given} */
    Optional<Path> imageFolder() {
        return Optional.ofNullable(images);
    }

    /**
     * Opens the data.
     *
     * @param out folder of the run
     * @throws IllegalArgumentException if the options do not go together
     */
    TrainingData open(Path out) throws IOException {
        if ((codes == null) == (images == null)) {
            throw new IllegalArgumentException(
                    "Give the data: --code-path DIR (codes), or --data DIR (a small image set)"
                            + (codes == null ? "" : ", not both"));
        }
        if (images != null) {
            if (testCodes != null) {
                throw new IllegalArgumentException("--test-code-path goes with --code-path");
            }
            return TokenizedImages.load(images, tokenizer, out.resolve("codebook.json"));
        }
        return StoredCodes.open(codes, testCodes, tokenizer == null ? null : TokenizerFile.load(tokenizer));
    }
}
