package org.npp4j.samples;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.images.ImageCrops;
import org.npp4j.llamagen.images.ImageSource;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.tokenizer.VqConfig;

/**
 * The chain of a reproduction at toy scale, on the pictures of clothes that come along: the same commands, of which each is
 * small. Every line that it says starts with {@value #MARK}.
 */
final class ToyReproduction {
    /** In front of every line. */
    static final String MARK = "[toy] ";

    private static final int SIDE = 32;
    private static final int BATCH = 16;

    private final Settings settings;
    private final Path out;
    private final NppRunner runner;
    private final Consumer<String> say;
    private final List<Map<String, Object>> steps = new ArrayList<>();

    /**
     * How small it is.
     *
     * @param picturesPerClass of the training pictures
     * @param tokenizer sizes of the tokenizer
     * @param tokenizerEpochs of its training
     * @param layers of the GPT
     * @param width of the GPT
     * @param epochs of its training, at least 2
     * @param samples that are drawn and scored
     */
    record Settings(
            int picturesPerClass,
            VqConfig tokenizer,
            int tokenizerEpochs,
            int layers,
            int width,
            int epochs,
            int samples) {
        /** {@return about a minute on two cores} */
        static Settings standard() {
            return new Settings(30, new VqConfig(List.of(1, 1, 2), 32, 32, 64, 8, 1), 4, 2, 64, 20, 200);
        }
    }

    /**
     * A chain.
     *
     * @param settings how small it is
     * @param out folder for everything that is made
     * @param runner of the commands
     * @param say told every line
     */
    ToyReproduction(Settings settings, Path out, NppRunner runner, Consumer<String> say) {
        this.settings = settings;
        this.out = out;
        this.runner = runner;
        this.say = line -> say.accept(MARK + line);
    }

    /**
     * Runs it.
     *
     * @param guidance of the samples
     * @return what was done, and the scores
     * @throws IOException if a file cannot be read or written
     */
    Map<String, Object> run(double guidance) throws IOException {
        removeEarlier();
        LabelledImages train =
                ShippedImages.load(LabelledImages.Split.TRAIN).firstOfEachClass(settings.picturesPerClass());
        say.accept(train.count() + " pictures of clothes in place of ImageNet, " + SIDE + " x " + SIDE + " pixels; a "
                + settings.tokenizer() + "; a GPT of " + settings.layers() + " layers, width " + settings.width() + "; "
                + settings.samples() + " samples; " + ShippedClassifier.NAME + " in place of Inception.");
        say.accept("None of the figures that follow says anything about the published result.");
        Path pictures = out.resolve("pictures");
        write(train, pictures);
        Path reference = out.resolve("reference.npz");
        writeReference(reference);
        Path sizes = out.resolve("vq.json");
        AtomicFile.writeText(sizes, settings.tokenizer().toJson() + "\n");
        Path recipe = out.resolve("toy.yaml");
        AtomicFile.writeText(recipe, recipe(Math.min(2 * BATCH, train.count())));
        Path tokenizer = out.resolve("tokenizer");
        step(
                "train a tokenizer",
                "train-tokenizer",
                "--data",
                pictures.toString(),
                "--image-size",
                Integer.toString(SIDE),
                "--config",
                sizes.toString(),
                "--codebook-size",
                Integer.toString(settings.tokenizer().codebookSize()),
                "--epochs",
                Integer.toString(settings.tokenizerEpochs()),
                "--batch-size",
                Integer.toString(BATCH),
                "--warmup-steps",
                "10",
                "--out",
                tokenizer.toString());
        String vq = tokenizer.resolve(VqLearner.FILE).toString();
        Path codes = out.resolve("toy_code_flip_ten_crop");
        step(
                "extract codes",
                "extract-codes",
                "--vq-ckpt",
                vq,
                "--data-path",
                pictures.toString(),
                "--code-path",
                codes.toString(),
                "--image-size",
                Integer.toString(SIDE),
                "--ten-crop",
                "--crop-range",
                "1.1",
                "--batch",
                "8");
        Path run = out.resolve("gpt");
        step(
                "train",
                "train",
                "--config",
                recipe.toString(),
                "--code-path",
                codes.toString(),
                "--vq-ckpt",
                vq,
                "--out",
                run.toString());
        Path samples = out.resolve("samples");
        step(
                "draw samples",
                "sample",
                "--gpt-ckpt",
                published(run).toString(),
                "--vq-ckpt",
                vq,
                "--cfg-scale",
                Double.toString(guidance),
                "--top-k",
                "0",
                "--top-p",
                "1.0",
                "--temperature",
                "1.0",
                "--num-fid-samples",
                Integer.toString(settings.samples()),
                "--per-proc-batch-size",
                "50",
                "--global-seed",
                "0",
                "--npz",
                "--out",
                samples.toString());
        step(
                "evaluate",
                "evaluate",
                reference.toString(),
                samples.resolve(SampleFiles.PICTURES).toString(),
                "--network",
                ShippedClassifier.NAME);
        JsonNode scores =
                new ObjectMapper().readTree(samples.resolve("samples.json").toFile());
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("note", "toy scale: these figures say nothing about the published result");
        report.put("pictures", train.count());
        report.put("samples", settings.samples());
        report.put("network", ShippedClassifier.NAME);
        for (String name : List.of("fid", "inception_score", "precision", "recall")) {
            report.put(name, scores.path(name).isNumber() ? scores.get(name).asDouble() : null);
        }
        report.put("steps", steps);
        return report;
    }

    /** The toy's own folders: a chain is run from its beginning. */
    private void removeEarlier() throws IOException {
        for (String folder : List.of("pictures", "tokenizer", "toy_code_flip_ten_crop", "gpt", "samples")) {
            Path root = out.resolve(folder);
            if (Files.exists(root)) {
                try (Stream<Path> all = Files.walk(root)) {
                    for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                        Files.delete(path);
                    }
                }
            }
        }
    }

    private void step(String name, String... arguments) throws IOException {
        say.accept("");
        say.accept(name + ": " + NppRunner.shown(List.of(arguments)));
        long start = System.nanoTime();
        String[] last = {""};
        int code = runner.run(List.of(arguments), line -> {
            say.accept("  " + line);
            last[0] = line;
        });
        double seconds = (System.nanoTime() - start) / 1e9;
        if (code != 0) {
            throw new AppException(
                    MARK + name + " ended with exit code " + code + (last[0].isEmpty() ? "" : ": " + last[0]));
        }
        say.accept(String.format(Locale.ROOT, "%s: done in %.1f s", name, seconds));
        Map<String, Object> step = new LinkedHashMap<>();
        step.put("step", name);
        step.put("command", NppRunner.shown(List.of(arguments)));
        step.put("seconds", seconds);
        steps.add(step);
    }

    private static void write(LabelledImages images, Path folder) throws IOException {
        PngSheet one = new PngSheet.Builder().columns(1).gap(0).build();
        for (int i = 0; i < images.count(); i++) {
            String name = String.format(Locale.ROOT, "class-%d/%05d.png", images.labels()[i], i);
            Path file = folder.resolve(name);
            Files.createDirectories(file.getParent());
            Files.write(file, one.toPng(images.images().select(i)));
        }
    }

    private void writeReference(Path file) throws IOException {
        LabelledImages test = ShippedImages.load(LabelledImages.Split.TEST);
        int perClass = Math.min(100, Math.max(4, test.count() / test.classes()));
        PixelImages images =
                ImageCrops.centreCrop(test.firstOfEachClass(perClass).images(), SIDE);
        NpzFile.writeUint8(
                file,
                ImageSource.MEMBER,
                new long[] {images.count(), SIDE, SIDE, images.channels()},
                to -> to.write(images.toInterleavedBytes()));
    }

    private String recipe(int batch) {
        return "# Settings of the toy: the published plan of two stages, small.\n"
                + "gpt-config: {n_layer: " + settings.layers() + ", n_head: 2, dim: " + settings.width() + "}\n"
                + "epochs: " + settings.epochs() + "\n"
                + "epoch-rate: 0.5\n"
                + "patch-level: 2\n"
                + "scheduler: true\n"
                + "warmup-epochs: 0.5\n"
                + "decay-ratio: 0.2\n"
                + "lr: 2e-3\n"
                + "end-lr: 2e-4\n"
                + "global-batch-size: " + batch + "\n"
                + "ckpt-every: 0\n"
                + "log-every: 20\n"
                + "num-samples: 10\n";
    }

    /** The model that a run has written in the published layout. */
    private static Path published(Path run) throws IOException {
        try (Stream<Path> files = Files.list(run)) {
            return files.filter(file -> file.getFileName().toString().matches("\\d{7,}\\.pt"))
                    .findFirst()
                    .orElseThrow(() -> new AppException(MARK + "the training left no model in " + run));
        }
    }
}
