package org.npp4j.samples;

import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import org.npp4j.llamagen.codes.CodeExtraction;
import org.npp4j.llamagen.codes.CodeSetDescription;
import org.npp4j.llamagen.codes.CodeSetDescription.Skipped;
import org.npp4j.llamagen.codes.ExtractionObserver;
import org.npp4j.llamagen.images.CropPlan;
import org.npp4j.llamagen.images.ImageFolder;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code npp extract-codes}: a folder of pictures becomes the codes that a GPT trains on. */
@Command(
        name = "extract-codes",
        description = {
            "Turns a folder of class folders of pictures into codes, as the published pipeline does: imagenet256_codes/i.npy"
                    + " (int64 [1, crops, tokens]) and imagenet256_labels/i.npy, which its trainer reads, or one packed"
                    + " file. dataset.json beside them says how they were made."
        },
        footer = {
            "",
            "Stop it whenever you like: the same command goes on where it was, and nothing half-written ever counts. A"
                    + " picture that cannot be read is skipped and the images behind it move up, so that they are numbered"
                    + " without holes; dataset.json lists those that were skipped. A picture smaller than the crop is"
                    + " enlarged."
        },
        sortOptions = false)
final class ExtractCodesCommand implements Callable<Integer> {
    /** Where it writes to. */
    static final String OUT = "--code-path";

    private static final Logger LOG = LoggerFactory.getLogger(ExtractCodesCommand.class);
    /** The rest stands in the files alone. */
    private static final int LISTED = 20;

    private final Supplier<Backend> backend;

    @Spec
    private CommandSpec spec;

    @Mixin
    private TokenizerOptions tokenizerOptions;

    @Option(
            names = "--data-path",
            required = true,
            paramLabel = "DIR",
            description = "The pictures: PNG and JPEG in class folders. Sorted names are the classes 0, 1, ..")
    private Path data;

    @Option(names = OUT, required = true, paramLabel = "DIR", description = "Folder for the codes.")
    private Path out;

    @Option(
            names = "--dataset",
            paramLabel = "NAME",
            defaultValue = "imagenet",
            description = "What the codes are named after, with the image size. The published trainer wants"
                    + " ${DEFAULT-VALUE}, which is the default.")
    private String dataSet;

    @Option(
            names = "--image-size",
            paramLabel = "S",
            description = "Side of the crops in pixels. Default: 256, or what a block codebook was made for.")
    private Integer imageSize;

    @Option(
            names = "--ten-crop",
            description =
                    "Ten crops of each picture: corners and centre, and their mirror images. Default: the centre crop"
                            + " and its mirror image.")
    private boolean tenCrop;

    @Option(
            names = "--crop-range",
            paramLabel = "R",
            defaultValue = "1.1",
            description = "Ten crops are cut from a centre crop of S x R pixels. Default: ${DEFAULT-VALUE}.")
    private double cropRange;

    @Option(
            names = "--packed",
            description = "One file in place of two for each image; a quarter of the size for up to 65536 codes.")
    private boolean packed;

    @Option(names = "--strict", description = "Stop at a picture that cannot be read.")
    private boolean strict;

    @Option(
            names = {"--batch", "--batch-size"},
            paramLabel = "B",
            defaultValue = "1",
            description = "Pictures, with all of their crops, that are tokenized at a time. Default: ${DEFAULT-VALUE}.")
    private int batch;

    @Option(
            names = {"--threads", "--num-workers"},
            paramLabel = "N",
            description = "Threads that decode pictures. Default: one for each processor.")
    private Integer threads;

    @Option(
            names = {"--seed", "--global-seed"},
            hidden = true,
            description = "Without effect: nothing is drawn.")
    private Long seed;

    @Option(names = "--debug", hidden = true, description = "Without effect.")
    private boolean debug;

    @Mixin
    private StandardOptions standardOptions;

    ExtractCodesCommand(Supplier<Backend> backend) {
        this.backend = backend;
    }

    @Override
    public Integer call() throws IOException {
        requireUsable();
        backend.get();
        ImageTokenizer loaded = tokenizerOptions.load();
        CropPlan plan = plan(imageSize == null ? TokenizerOptions.defaultSize(loaded) : imageSize);
        ImageTokenizer tokenizer;
        try {
            tokenizer = TokenizerOptions.forImages(loaded, plan.imageSize());
        } catch (IllegalArgumentException e) {
            throw usage("--image-size: " + e.getMessage());
        }
        ImageFolder pictures = ImageFolder.list(data);
        LOG.info(
                "{} pictures of {} classes in {}",
                pictures.size(),
                pictures.classNames().size(),
                data);
        if (pictures.classNames().size() == 1) {
            LOG.warn(
                    "There is one class only, {}: a model will not learn to tell classes. Put the pictures of each class into"
                            + " a folder of its own",
                    Terminal.printable(pictures.classNames().get(0)));
        }
        try (PeakMemory memory = new PeakMemory();
                Watcher watcher = new Watcher(out)) {
            CodeExtraction extraction = new CodeExtraction.Builder(pictures, plan, tokenizer, tokenizerOptions.file())
                    .dataSet(dataSet)
                    .packed(packed)
                    .strict(strict)
                    .batch(batch)
                    .threads(threads == null ? Runtime.getRuntime().availableProcessors() : threads)
                    .observer(watcher)
                    .build();
            CodeSetDescription made;
            try {
                made = extraction.run(out);
            } catch (IOException e) {
                throw watcher.explained(e);
            }
            watcher.close();
            report(made, watcher, memory);
        }
        return 0;
    }

    private void requireUsable() {
        if (batch < 1) {
            throw usage("--batch must be at least 1, but is " + batch);
        }
        if (threads != null && threads < 0) {
            throw usage("--threads must be at least 1, but is " + threads);
        }
        if (threads != null && threads == 0) {
            // what PyTorch calls the main process
            threads = 1;
        }
        if (!Files.isDirectory(data)) {
            throw usage("--data-path must be a folder of class folders, but " + data
                    + (Files.exists(data) ? " is a file" : " does not exist"));
        }
        if (Files.exists(out) && !Files.isDirectory(out)) {
            throw usage("--code-path must be a folder, but " + out + " is a file");
        }
        if (out.toAbsolutePath().normalize().startsWith(data.toAbsolutePath().normalize())) {
            throw usage("--code-path " + out + " lies in --data-path " + data
                    + ", where every folder is a class. Choose a folder elsewhere");
        }
    }

    private CropPlan plan(int size) {
        try {
            return tenCrop ? CropPlan.tenCrops(size, cropRange) : CropPlan.centreAndMirror(size);
        } catch (IllegalArgumentException e) {
            throw usage(e.getMessage());
        }
    }

    private void report(CodeSetDescription made, Watcher watcher, PeakMemory memory) {
        PrintWriter to = spec.commandLine().getOut();
        String name = made.name();
        String before = watcher.before == 0
                ? ""
                : watcher.before == watcher.pictures
                        ? " (nothing was left to do)"
                        : " (" + watcher.before + " pictures were done already)";
        to.println(String.format(
                Locale.ROOT,
                "%d images of %d crops of %d tokens, %d classes, in %.1f s, %.1f images/s, peak memory %.2f GiB: %s in %s%s",
                made.images(),
                made.crops().plan().crops(),
                made.grid().tokens(),
                made.classNames().size(),
                watcher.seconds(),
                watcher.rate(),
                memory.gib(),
                made.packed() ? name + ".codes" : name + "_codes and " + name + "_labels",
                out,
                before));
        if (watcher.enlarged > 0) {
            to.println(watcher.enlarged + " pictures were smaller than the centre crop of "
                    + made.crops().centreSize() + " pixels and were enlarged, as in the published pipeline.");
        }
        List<Skipped> skipped = made.skipped();
        if (!skipped.isEmpty()) {
            to.println(skipped.size() + " pictures were skipped:");
            skipped.stream()
                    .limit(LISTED)
                    .forEach(picture -> to.println(
                            "  " + Terminal.printable(picture.file()) + ": " + Failure.oneLine(picture.reason())));
            if (skipped.size() > LISTED) {
                to.println("  and " + (skipped.size() - LISTED) + " more, which " + out.resolve(CodeSetDescription.FILE)
                        + " lists");
            }
        }
        to.flush();
    }

    private ParameterException usage(String message) {
        return new ParameterException(spec.commandLine(), message);
    }

    /** Shows how it goes. */
    static final class Watcher implements ExtractionObserver, AutoCloseable {
        private final Path out;
        private StepProgress progress;
        private StepProgress check;
        private long started = System.nanoTime();
        private long ended;
        private int pictures;
        private int before;
        private int done;
        private int skipped;
        private int enlarged;

        Watcher(Path out) {
            this.out = out;
        }

        @Override
        public void onStart(int all, int alreadyDone, int alreadySkipped) {
            pictures = all;
            before = alreadyDone;
            done = alreadyDone;
            skipped = alreadySkipped;
            started = System.nanoTime();
            progress = new StepProgress("extract", "pictures", alreadyDone, all);
        }

        @Override
        public void onProgress(int nowDone, int nowSkipped) {
            done = nowDone;
            skipped = nowSkipped;
            progress.update(
                    done,
                    String.format(Locale.ROOT, "%.1f images/s", rate())
                            + (skipped == 0 ? "" : ", " + skipped + " skipped"));
        }

        @Override
        public void onSkip(Skipped picture) {
            skipped++;
            if (skipped <= LISTED) {
                LOG.warn("Skipped {}: {}", Terminal.printable(picture.file()), Failure.oneLine(picture.reason()));
            } else if (skipped == LISTED + 1) {
                LOG.warn("More pictures are skipped; {} lists them at the end", CodeSetDescription.FILE);
            }
        }

        @Override
        public void onEnlarged(int picture) {
            enlarged++;
        }

        @Override
        public void onCheck(int images, int all) {
            if (check == null) {
                ended = System.nanoTime();
                progress.close();
                check = new StepProgress("check", "images", 0, all);
            }
            check.update(images, "read once more");
        }

        double seconds() {
            return ((ended == 0 ? System.nanoTime() : ended) - started) / 1e9;
        }

        double rate() {
            return (done - before) / Math.max(1e-9, seconds());
        }

        /** A failure, and what is not lost. */
        AppException explained(IOException e) {
            String what = Failure.isDiskFull(e)
                    ? "The disk is full: cannot write to " + out + ". Free some space"
                    : Failure.explain(e, OUT);
            return new AppException(
                    done == skipped
                            ? what
                            : what + ". " + (done - skipped)
                                    + " or more images are stored whole; the same command goes on behind them",
                    e);
        }

        @Override
        public void close() {
            if (progress != null) {
                progress.close();
            }
            if (check != null) {
                check.close();
            }
        }
    }
}
