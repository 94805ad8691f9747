package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.files.NpyRows;
import org.npp4j.llamagen.files.NpzFile;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.images.ImageSource;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.samples.ReproductionStep.Prediction;
import org.npp4j.samples.ReproductionStep.State;
import org.npp4j.samples.reproduce.Ingredient;
import org.npp4j.samples.reproduce.Ingredient.Kind;
import org.npp4j.samples.reproduce.Ingredients;
import org.npp4j.samples.reproduce.PublishedResult;
import picocli.CommandLine;

/** The four steps to a published result: codes, training, samples, scores; with published settings. */
final class Reproduction {
    private static final double GIB = 1L << 30;
    /** The JVM, libraries, and the tokenizer at work on two images: what npp bench measures of VQ-16. */
    private static final double TOKENIZER_GIB = 0.6;
    /** Inception at work on a batch, and the features of 60,000 images. */
    private static final double EVALUATION_GIB = 3;
    /** Multiplications with their additions for an image; Szegedy et al., arXiv 1512.00567, section 1: 5 billion. */
    private static final double INCEPTION_OPERATIONS = 2 * 5e9;

    private static final int FEATURES = 2048;
    private static final int REFERENCE_IMAGES = 10_000;
    /** A file of codes in the published layout, 10 x 256 numbers of 8 bytes, and one of a label, in blocks of 4 KiB. */
    private static final double CODE_BYTES = 28_672;
    /** A PNG of 256 x 256 pixels, roughly. */
    private static final double PNG_BYTES = 110_000;

    private static final int SAMPLING_BATCH = 32;

    private final PublishedResult result;
    private final Path preset;
    private final Path out;
    private final TrainSummary training;
    private final DeviceSpeed speed;

    /**
     * A reproduction.
     *
     * @param result what is to be reproduced
     * @param presets folder of the presets
     * @param out folder for everything that is made
     * @param speed of this device; null if it was not measured
     */
    Reproduction(PublishedResult result, Path presets, Path out, DeviceSpeed speed) throws IOException {
        this.result = result;
        this.out = out;
        this.speed = speed;
        preset = preset(result, presets);
        training = summary(preset);
    }

    private static Path preset(PublishedResult result, Path presets) {
        Path file = presets.resolve(result.preset());
        if (!Files.isRegularFile(file)) {
            throw new AppException("There is no " + file + ", the settings of the published training. Start with ./npp"
                    + " from a checkout of the project");
        }
        return file;
    }

    /** The published training, as its preset describes it. */
    static TrainSummary summary(Path preset) throws IOException {
        TrainCommand command = new TrainCommand(() -> null);
        new CommandLine(command).parseArgs("--config", preset.toString(), "--code-path=codes");
        TrainCommand resolved = command.resolved();
        TrainingData data = new ImageNet();
        int batch = resolved.plan(data).batchSize();
        return resolved.summary(data, PublishedResult.IMAGES / batch);
    }

    /** {@return what the training will be} */
    TrainSummary training() {
        return training;
    }

    /**
     * The steps.
     *
     * @param have what is there
     * @return four steps in their order
     * @throws IOException if a result of an earlier step cannot be read
     */
    List<ReproductionStep> steps(Ingredients have) throws IOException {
        return List.of(extract(have), train(have), sample(have), evaluate(have));
    }

    /** Where codes go to: the published trainer takes random crops only of folders with such a name. */
    private Path codeFolder() {
        return out.resolve("imagenet_code_c2i_flip_ten_crop");
    }

    private Path run() {
        return out.resolve(result.preset().replace(".yaml", ""));
    }

    private Path samples() {
        return out.resolve("samples-" + result.name().toLowerCase(Locale.ROOT));
    }

    private static String path(Ingredient ingredient) {
        return ingredient.isFound()
                ? ingredient.path().toString()
                : ingredient.kind().file();
    }

    private static String waits(Ingredients have, Kind... kinds) {
        return Stream.of(kinds)
                .map(have::get)
                .filter(one -> !one.isFound())
                .map(one -> one.kind().title())
                .collect(Collectors.joining(", "));
    }

    private static ReproductionStep step(
            String name, List<String> arguments, String done, String waits, Prediction prediction) {
        State state = !done.isEmpty() ? State.DONE : waits.isEmpty() ? State.READY : State.WAITS;
        return new ReproductionStep(name, arguments, state, done.isEmpty() ? waits : done, prediction);
    }

    private ReproductionStep extract(Ingredients have) {
        List<String> arguments = List.of(
                "extract-codes",
                "--vq-ckpt",
                path(have.get(Kind.TOKENIZER)),
                "--data-path",
                have.get(Kind.PICTURES).isFound()
                        ? have.get(Kind.PICTURES).path().toString()
                        : "imagenet/train",
                "--code-path",
                codeFolder().toString(),
                "--image-size",
                Integer.toString(PublishedResult.SIDE),
                "--ten-crop",
                "--crop-range",
                "1.1");
        String done = have.get(Kind.CODES).isFound()
                ? "the codes are there"
                : have.get(Kind.GPT).isFound() ? "a trained GPT is there" : "";
        double crops = (double) PublishedResult.IMAGES * PublishedResult.CROPS;
        double operations = crops * VqConfig.VQ_16.encodeOperations(PublishedResult.SIDE, PublishedResult.SIDE);
        return step(
                "extract codes",
                arguments,
                done,
                waits(have, Kind.TOKENIZER, Kind.PICTURES),
                new Prediction(
                        operations,
                        speed == null ? Double.NaN : operations / speed.encoding(),
                        TOKENIZER_GIB,
                        PublishedResult.IMAGES * CODE_BYTES / GIB));
    }

    private ReproductionStep train(Ingredients have) {
        List<String> arguments = new ArrayList<>(List.of("train"));
        if (Files.exists(run().resolve(TrainingRun.CONFIG))) {
            arguments.addAll(List.of("--resume", run().toString()));
        } else {
            String codes = have.get(Kind.CODES).isFound()
                    ? have.get(Kind.CODES).path().toString()
                    : codeFolder().toString();
            arguments.addAll(List.of("--config", preset.toString(), "--code-path", codes, "--out", run().toString()));
            if (speed != null && !speed.bf16()) {
                arguments.addAll(List.of("--mixed-precision", "none"));
            }
        }
        double seconds = 0;
        double operations = 0;
        for (int stage = 0; stage < training.cost().stages().size(); stage++) {
            double ofStage = training.cost().stages().get(stage).operations();
            operations += ofStage;
            seconds += speed == null
                    ? Double.NaN
                    : ofStage
                            / speed.training()
                                    .get(training.cost().stages().get(stage).patchSide());
        }
        // weights and two moments, kept three times, and the published form of them
        double disk = 4 * 3.0 * Float.BYTES * training.plan().model().parameters() / GIB;
        return step(
                "train",
                arguments,
                have.get(Kind.GPT).isFound() ? "a trained GPT is there" : "",
                waits(have, Kind.CODES),
                new Prediction(operations, seconds, training.memoryGib(), disk));
    }

    private ReproductionStep sample(Ingredients have) throws IOException {
        GptSpec model = training.plan().model();
        String trained = have.get(Kind.GPT).isFound()
                ? have.get(Kind.GPT).path().toString()
                : run().resolve(String.format(Locale.ROOT, "%07d.pt", training.steps()))
                        .toString();
        List<String> arguments = List.of(
                "sample",
                "--gpt-ckpt",
                trained,
                "--vq-ckpt",
                path(have.get(Kind.TOKENIZER)),
                "--cfg-scale",
                Double.toString(result.guidance()),
                "--cfg-interval",
                "-1",
                "--temperature",
                "1.0",
                "--top-k",
                "0",
                "--top-p",
                "1.0",
                "--num-fid-samples",
                Integer.toString(PublishedResult.SAMPLES),
                "--per-proc-batch-size",
                Integer.toString(SAMPLING_BATCH),
                "--global-seed",
                "0",
                "--npz",
                "--out",
                samples().toString());
        double images = training.cost().nextTokenOperations() / 3 / trainedImages();
        double drawing = 2 * images * PublishedResult.SAMPLES;
        double decoding =
                PublishedResult.SAMPLES * VqConfig.VQ_16.decodeOperations(PublishedResult.SIDE, PublishedResult.SIDE);
        double seconds = speed == null ? Double.NaN : drawing / speed.sampling() + decoding / speed.decoding();
        // both twins of an image keep keys and values of every position
        double cache = 2.0 * SAMPLING_BATCH * model.layers() * 2 * model.grid().tokens() * model.width() * Float.BYTES;
        double memory = (model.parameters() * (double) Float.BYTES + cache) / GIB + TOKENIZER_GIB;
        double pixels = 3.0 * PublishedResult.SIDE * PublishedResult.SIDE;
        double disk = PublishedResult.SAMPLES * (pixels + PNG_BYTES) / GIB;
        return step(
                "draw 50,000 samples",
                arguments,
                isDrawn() ? "the samples are there" : "",
                waits(have, Kind.GPT, Kind.TOKENIZER),
                new Prediction(drawing + decoding, seconds, memory, disk));
    }

    private double trainedImages() {
        double images = 0;
        for (int stage = 0; stage < training.cost().stages().size(); stage++) {
            images += training.images(stage);
        }
        return images;
    }

    private boolean isDrawn() throws IOException {
        Path file = samples().resolve(SampleFiles.PICTURES);
        if (!Files.exists(file)) {
            return false;
        }
        try (NpzFile npz = NpzFile.open(file);
                NpyRows rows = npz.rows(ImageSource.MEMBER)) {
            return rows.shape()[0] >= PublishedResult.SAMPLES;
        }
    }

    /** {@return the scores that the last step writes} */
    Path scores() {
        return samples().resolve("samples.json");
    }

    private ReproductionStep evaluate(Ingredients have) throws IOException {
        List<String> arguments = List.of(
                "evaluate",
                path(have.get(Kind.REFERENCE)),
                samples().resolve(SampleFiles.PICTURES).toString(),
                "--inception",
                path(have.get(Kind.INCEPTION)));
        String waits = waits(have, Kind.REFERENCE, Kind.INCEPTION);
        if (!isDrawn()) {
            waits = waits.isEmpty() ? "samples" : waits + ", samples";
        }
        double images = PublishedResult.SAMPLES + REFERENCE_IMAGES;
        double seeing = images * INCEPTION_OPERATIONS;
        double pairs = (double) PublishedResult.SAMPLES * PublishedResult.SAMPLES / 2
                + (double) REFERENCE_IMAGES * REFERENCE_IMAGES / 2
                + (double) PublishedResult.SAMPLES * REFERENCE_IMAGES;
        double neighbours = 2.0 * FEATURES * pairs;
        return step(
                "evaluate",
                arguments,
                Files.exists(scores()) ? "the scores are there: " + scores() : "",
                waits,
                new Prediction(
                        seeing + neighbours,
                        speed == null ? Double.NaN : (seeing + neighbours) / speed.encoding(),
                        EVALUATION_GIB,
                        0));
    }

    /** The published training data, of which only the number of images matters here. */
    private record ImageNet() implements TrainingData {
        @Override
        public Integer vocabulary() {
            return null;
        }

        @Override
        public Integer classes() {
            return null;
        }

        @Override
        public TokenGrid grid() {
            return null;
        }

        @Override
        public void requireFits(GptSpec model) {
            // there are no data
        }

        @Override
        public Map<String, String> description() {
            return Map.of();
        }

        @Override
        public long images() {
            return PublishedResult.IMAGES;
        }

        @Override
        public EpochDataSetIterator batches(GptSpec model, int batchSize, long seed) {
            throw new IllegalStateException("There are no data, only their number");
        }

        @Override
        public MultiDataSetIterator test(GptSpec model, int batchSize) {
            return null;
        }

        @Override
        public ImageTokenizer tokenizer() {
            return null;
        }

        @Override
        public void close() {
            // nothing is open
        }
    }
}
