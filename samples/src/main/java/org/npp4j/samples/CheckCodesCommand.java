package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.codes.CodeCheck;
import org.npp4j.llamagen.codes.CodeSetDescription;
import org.npp4j.llamagen.codes.CodeStore;
import org.npp4j.llamagen.images.CropPlan;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code npp check-codes}: whether codes are worth training on. */
@Command(
        name = "check-codes",
        description = {
            "Decodes random stored codes into a sheet, beside the original crops if the pictures are given, and says what is"
                    + " wrong: codes of another tokenizer or of other pictures, labels that do not fit the folders, a"
                    + " codebook of which little is used."
        },
        footer = {
            "",
            "Look at the sheet before you train: with noise on it, training gives noise. Codes of the published extractor"
                    + " are checked too; where they have no dataset.json, image i is taken for picture i."
        },
        sortOptions = false)
final class CheckCodesCommand implements Callable<Integer> {
    private static final int PAIRS_IN_A_ROW = 4;
    private static final int WARNED = 1;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Parameters(index = "0", paramLabel = "CODES", description = "Folder of codes, or a packed file.")
    private Path codes;

    @Mixin
    private TokenizerOptions tokenizerOptions;

    @Option(
            names = "--data-path",
            paramLabel = "DIR",
            description = "The pictures that the codes are of, to compare with.")
    private Path data;

    @Option(
            names = "--crop-range",
            paramLabel = "R",
            defaultValue = "1.1",
            description = "Of ten crops, if no dataset.json says it. Default: ${DEFAULT-VALUE}.")
    private double cropRange;

    @Option(
            names = "--samples",
            paramLabel = "N",
            defaultValue = "16",
            description = "Crops to decode, each of another image. Default: ${DEFAULT-VALUE}.")
    private int samples;

    @Option(
            names = {"--seed", "--global-seed"},
            paramLabel = "S",
            defaultValue = "0",
            description = "Seed of the choice. Default: ${DEFAULT-VALUE}.")
    private long seed;

    @Option(
            names = "--out",
            paramLabel = "FILE",
            defaultValue = "npp-out/check-codes.png",
            description = "The sheet, a PNG file. Default: ${DEFAULT-VALUE}.")
    private Path out;

    @Option(names = "--strict", description = "Exit with 1 if there is a warning.")
    private boolean strict;

    @Mixin
    private StandardOptions standardOptions;

    CheckCodesCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        if (samples < 1) {
            throw usage("--samples must be at least 1, but is " + samples);
        }
        if (!out.toString().endsWith(".png")) {
            throw usage("--out is " + out + "; its name must end in .png");
        }
        if (data != null && !Files.isDirectory(data)) {
            throw usage("--data-path must be a folder of class folders, but " + data
                    + (Files.exists(data) ? " is a file" : " does not exist"));
        }
        if (!Files.exists(codes)) {
            throw usage("There are no codes " + codes);
        }
        backend.get();
        ImageTokenizer loaded = tokenizerOptions.load();
        try (CodeStore store = CodeStore.open(codes)) {
            ImageTokenizer tokenizer =
                    loaded.grid().tokens() == store.tokens() ? loaded : TokenizerOptions.forGrid(loaded, store.grid());
            ImageFolder pictures = data == null ? null : ImageFolder.list(data);
            CodeCheck.Result result = CodeCheck.run(
                    store,
                    tokenizer,
                    tokenizerOptions.file(),
                    pictures,
                    pictures == null ? null : plan(store, tokenizer),
                    samples,
                    seed);
            PixelImages images = result.sheet();
            boolean pairs = images.count() > result.samples();
            new PngSheet.Builder()
                    .columns(2 * PAIRS_IN_A_ROW)
                    .scale(Math.max(1, 64 / images.height()))
                    .build()
                    .write(out, images);
            report(store, tokenizer, result, pairs);
            return strict && !result.warnings().isEmpty() ? WARNED : 0;
        }
    }

    private CropPlan plan(CodeStore store, ImageTokenizer tokenizer) throws IOException {
        if (store.description().isPresent()) {
            return store.description().get().crops().plan();
        }
        int side = tokenizer.decode(new int[][] {new int[store.tokens()]}).height();
        return switch (store.crops()) {
            case 10 -> CropPlan.tenCrops(side, cropRange);
            case 2 -> CropPlan.centreAndMirror(side);
            default -> throw usage(store.path() + " holds " + store.crops() + " crops of each image, and no "
                    + CodeSetDescription.FILE + " says how they were cut. Leave --data-path out");
        };
    }

    private void report(CodeStore store, ImageTokenizer tokenizer, CodeCheck.Result result, boolean pairs) {
        PrintWriter to = spec.commandLine().getOut();
        List<Integer> counts = result.classImages();
        to.println(String.format(
                Locale.ROOT,
                "%s: %d images of %d crops of %d tokens, %d classes of %d to %d images",
                store.path(),
                store.images(),
                store.crops(),
                store.tokens(),
                counts.size(),
                counts.stream().min(Integer::compare).orElse(0),
                counts.stream().max(Integer::compare).orElse(0)));
        to.println(String.format(
                Locale.ROOT,
                "codebook: %.1f %% of %d codes used, perplexity %.1f, among %d tokens",
                100 * result.used(),
                tokenizer.vocabulary(),
                result.perplexity(),
                result.usageTokens()));
        if (result.error().isPresent()) {
            to.println(String.format(
                    Locale.ROOT,
                    "reconstruction: mean squared error %.5f (PSNR %.1f dB) of %d crops, encoded again %.5f; %.1f %% of the"
                            + " codes are the same when encoded again",
                    result.error().getAsDouble(),
                    -10 * Math.log10(Math.max(1e-10, result.error().getAsDouble())),
                    result.samples(),
                    result.encodedAgainError().getAsDouble(),
                    100 * result.sameCodes().getAsDouble()));
        }
        to.println("sheet: " + out + (pairs ? ", originals each before what was decoded" : ""));
        result.warnings().forEach(warning -> to.println("warning: " + Failure.oneLine(warning)));
        if (result.warnings().isEmpty()) {
            to.println("no warnings");
        }
        to.flush();
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }
}
