package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.IntStream;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.LabelledImages;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.images.TokenDataSetIterator;
import org.npp4j.llamagen.sampling.GptDecoder;
import org.npp4j.llamagen.sampling.Guidance;
import org.npp4j.llamagen.sampling.TokenSamplers;
import org.npp4j.llamagen.tokenizer.BlockCodebook;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.losses.PatchEvaluation;
import org.npp4j.samples.report.DrawnScores;
import org.npp4j.samples.report.QuickstartReport;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.samples.report.TrainedModel;
import org.npp4j.schedule.DivergenceGuard;
import org.npp4j.schedule.FusedUpdater;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TorchAdam;
import org.npp4j.schedule.TrainingCost;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The quickstart's run: learns a codebook, trains the same GPT for next-token prediction and for Next Patch Prediction,
 * tests both and draws with both.
 *
 * <p>Both models start from the same weights and see the same images in the same order under the same learning rate;
 * only the patch side differs.
 */
final class QuickstartTraining implements QuickstartRun {
    private static final List<String> FASHION_MNIST_CLASSES = List.of(
            "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot");

    private static final int LAYERS = 3;
    private static final int HEADS = 4;
    private static final int WIDTH = 96;
    private static final int BATCH = 64;
    private static final int TEST_BATCH = 200;
    private static final double LEARNING_RATE = 2e-3;
    private static final double END_LEARNING_RATE = 2e-4;
    private static final double DECAY_RATIO = 0.2;
    private static final double WARMUP_EPOCHS = 0.5;
    private static final double DROPOUT = 0.1;
    private static final double CLASS_DROPOUT = 0.1;
    private static final double WEIGHT_DECAY = 0.05;
    private static final double CLIP_NORM = 1.0;
    private static final double EPOCH_RATE = 0.5;
    private static final int PATCH_LEVEL = 2;
    private static final double GUIDANCE = 2.0;
    private static final int IMAGES_PER_CLASS = 10;
    /** How often {@link #IMAGES_PER_CLASS} are drawn of each class to be scored; the first of them are shown. */
    private static final int SCORED_ROUNDS = 5;

    private static final int SHEET_SCALE = 2;
    private static final int SHEET_GAP = 2;

    @Override
    public Result run(QuickstartSettings settings) throws IOException {
        Data data = Data.load(settings.data());
        log().info(
                        "{}: {} training and {} test images",
                        data.name(),
                        data.train().count(),
                        data.test().count());
        BlockCodebook codebook = BlockCodebook.train(
                data.train().images(), BlockCodebook.Settings.defaults().withSeed(settings.seed()));
        codebook.save(settings.out().resolve("codebook.json"));
        int[][] trainTokens = codebook.encode(data.train().images());
        int[][] testTokens = codebook.encode(data.test().images());
        double reconstructionError = codebook.reconstructionError(data.test().images());
        log().info(
                        "{} codes, {} tokens an image, reconstruction error {}",
                        codebook.vocabulary(),
                        codebook.grid().tokens(),
                        String.format("%.5f", reconstructionError));

        GptSpec spec = GptSpec.of(LAYERS, HEADS, WIDTH)
                .vocabulary(codebook.vocabulary())
                .classes(data.train().classes())
                .grid(codebook.grid())
                .build();
        PatchStages nppStages = PatchStages.ofEpochs(settings.epochs(), EPOCH_RATE, PATCH_LEVEL);
        PatchStages ntpStages = PatchStages.epochs().stage(1, settings.epochs()).build();
        DrawnImagesJudge judge = DrawnImagesJudge.of(data.test()).orElse(null);
        Twin twin = new Twin(settings, data, codebook, spec, nppStages, trainTokens, testTokens, judge);

        List<SampleSheet> sheets = new ArrayList<>();
        sheets.add(sheet("Real images", "real.png", "Ten real images of each class", data.firstTestImages()));
        TrainedModel ntp = twin.train("NTP", ntpStages, sheets);
        TrainedModel npp = twin.train("NPP", nppStages, sheets);
        return new Result(
                ntp,
                npp,
                new QuickstartReport.Data(
                        data.name(),
                        data.sha256(),
                        data.train().count(),
                        data.test().count(),
                        codebook.grid().tokens(),
                        codebook.vocabulary(),
                        reconstructionError,
                        data.classNames()),
                reportedSettings(spec, nppStages),
                sheets,
                "With the same seed, data, machine and number of threads every figure and picture repeats to the last"
                        + " digit, except times and memory.",
                settings.ecarEpochs() == 0
                        ? null
                        : QuickstartEcar.train(
                                new SmallImageSet(data.name(), data.train(), data.test()),
                                settings.out(),
                                settings.ecarEpochs(),
                                settings.seed(),
                                judge));
    }

    private static Map<String, Object> reportedSettings(GptSpec spec, PatchStages stages) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("layers", spec.layers());
        settings.put("heads", spec.heads());
        settings.put("width", spec.width());
        settings.put("feed_forward_width", spec.feedForwardWidth());
        settings.put("npp_stages", stages.toString());
        settings.put("batch_size", BATCH);
        settings.put("learning_rate", LEARNING_RATE);
        settings.put("end_learning_rate", END_LEARNING_RATE);
        settings.put("warmup_epochs_per_stage", WARMUP_EPOCHS);
        settings.put("decay_ratio_per_stage", DECAY_RATIO);
        settings.put("dropout", DROPOUT);
        settings.put("class_dropout", CLASS_DROPOUT);
        settings.put("weight_decay", WEIGHT_DECAY);
        settings.put("clip_global_norm", CLIP_NORM);
        settings.put("guidance", GUIDANCE);
        return settings;
    }

    private static SampleSheet sheet(String title, String file, String description, PixelImages images) {
        byte[] png = new PngSheet.Builder()
                .columns(IMAGES_PER_CLASS)
                .gap(SHEET_GAP)
                .scale(SHEET_SCALE)
                .build()
                .toPng(images);
        return new SampleSheet(title, file, description, png);
    }

    /** Everything that both models share. */
    private record Twin(
            QuickstartSettings settings,
            Data data,
            ImageTokenizer tokenizer,
            GptSpec spec,
            PatchStages learningRateStages,
            int[][] trainTokens,
            int[][] testTokens,
            DrawnImagesJudge judge) {

        TrainedModel train(String name, PatchStages stages, List<SampleSheet> sheets) throws IOException {
            TokenDataSetIterator batches =
                    new TokenDataSetIterator(trainTokens, data.train().labels(), BATCH, false, settings.seed());
            ComputationGraph network = network(batches.batchesPerEpoch());
            Path file = settings.out().resolve(name.toLowerCase(Locale.ROOT) + ".zip");
            AtomicReference<Path> saved = new AtomicReference<>();
            long imagesPerEpoch = (long) batches.batchesPerEpoch() * BATCH;
            TrainingCost cost = TrainingCost.of(network, stages, imagesPerEpoch);
            FusedUpdater.attachTo(network);
            network.addListeners(new GlobalNormClipping(CLIP_NORM), new DivergenceGuard(saved::get));
            new StageScheduler(stages).attachTo(network);
            try (TrainingRecorder recorder = new TrainingRecorder(name, stages, cost, imagesPerEpoch)) {
                network.addListeners(recorder);
                for (int epoch = 0; epoch < settings.epochs(); epoch++) {
                    recorder.resume();
                    network.fit(batches);
                    recorder.pause();
                    save(network, file);
                    saved.set(file);
                }
                double nll = test(network);
                log().info("{}: {} nats per token on the test images", name, String.format("%.4f", nll));
                PixelImages first = draw(network, 0);
                sheets.add(sheet(
                        name,
                        name.toLowerCase(Locale.ROOT) + ".png",
                        "Ten images of each class drawn by the model trained with " + name,
                        first));
                DrawnScores scores = judge == null ? null : score(network, first);
                if (scores != null) {
                    log().info(
                                    "{}: FID({}) {}, {} % of its images are assigned to the class asked for",
                                    name,
                                    scores.network(),
                                    String.format("%.2f", scores.fid()),
                                    String.format("%.1f", 100 * scores.classifierAgreement()));
                }
                return recorder.result(network.numParams(), nll, spec.grid().tokens(), file, scores);
            }
        }

        private ComputationGraph network(int stepsPerEpoch) {
            StageLearningRate learningRate = new StageLearningRate.Builder(learningRateStages)
                    .learningRate(LEARNING_RATE)
                    .endLearningRate(END_LEARNING_RATE)
                    .warmup(WARMUP_EPOCHS)
                    .decayRatio(DECAY_RATIO)
                    .stepsPerEpoch(stepsPerEpoch)
                    .build();
            return LlamaGen.of(spec)
                    .classDropout(CLASS_DROPOUT)
                    .tokenDropout(DROPOUT)
                    .residualDropout(DROPOUT)
                    .feedForwardDropout(DROPOUT)
                    .weightDecay(WEIGHT_DECAY)
                    .updater(new TorchAdam.Builder()
                            .learningRate(learningRate)
                            .beta2(0.95)
                            .build())
                    .seed(settings.seed())
                    .init();
        }

        private static void save(ComputationGraph network, Path file) throws IOException {
            AtomicFile.write(file, out -> ModelSerializer.writeModel(network, out, true));
        }

        private double test(ComputationGraph network) {
            TokenDataSetIterator batches =
                    new TokenDataSetIterator(testTokens, data.test().labels(), TEST_BATCH, true, 0);
            PatchEvaluation evaluation = PatchEvaluation.of(network);
            network.doEvaluation(batches, evaluation);
            return evaluation.getValue(PatchEvaluation.Metric.CROSS_ENTROPY, 1);
        }

        private int[] classes() {
            return IntStream.range(0, spec.classes() * IMAGES_PER_CLASS)
                    .map(i -> i / IMAGES_PER_CLASS)
                    .toArray();
        }

        /** Ten images of each class; every round draws others. */
        private PixelImages draw(ComputationGraph network, int round) {
            int[] classes = classes();
            TokenSamplers samplers = TokenSamplers.random(1, 0, 1, settings.seed());
            try (GptDecoder decoder = new GptDecoder(network)) {
                return tokenizer.decode(
                        decoder.generate(classes, Guidance.of(GUIDANCE), samplers.from(round * classes.length)));
            }
        }

        private DrawnScores score(ComputationGraph network, PixelImages first) {
            int[] classes = classes();
            int size = first.bytesPerImage() * first.count();
            byte[] pixels = Arrays.copyOf(first.toBytes(), SCORED_ROUNDS * size);
            int[] asked = Arrays.copyOf(classes, SCORED_ROUNDS * classes.length);
            for (int round = 1; round < SCORED_ROUNDS; round++) {
                System.arraycopy(draw(network, round).toBytes(), 0, pixels, round * size, size);
                System.arraycopy(classes, 0, asked, round * classes.length, classes.length);
            }
            return judge.score(
                    new PixelImages(asked.length, first.channels(), first.height(), first.width(), pixels), asked);
        }
    }

    /** Images to train and to test on, with their provenance. */
    private record Data(
            String name, LabelledImages train, LabelledImages test, String sha256, List<String> classNames) {

        static Data load(Path folder) throws IOException {
            LabelledImages.Split training = LabelledImages.Split.TRAIN;
            LabelledImages.Split testing = LabelledImages.Split.TEST;
            if (folder == null) {
                return of(
                        "Fashion-MNIST, balanced subset",
                        ShippedImages.load(training),
                        ShippedImages.load(testing),
                        FASHION_MNIST_CLASSES);
            }
            LabelledImages train = LabelledImages.load(folder, training);
            LabelledImages test = LabelledImages.load(folder, testing);
            return of(folder.toString(), train, test, classNames(folder, train.classes()));
        }

        private static Data of(String name, LabelledImages train, LabelledImages test, List<String> classNames) {
            if (test.classes() > train.classes()) {
                throw new AppException(name + " has " + test.classes() + " classes of test images but only "
                        + train.classes() + " of training images; every class needs training images");
            }
            requireEnough(name, train, "training", train.classes());
            requireEnough(name, test, "test", train.classes());
            return new Data(name, train, test, train.sha256() + " " + test.sha256(), classNames);
        }

        private static void requireEnough(String name, LabelledImages images, String split, int classes) {
            long[] counts = new long[classes];
            for (int label : images.labels()) {
                counts[label]++;
            }
            for (int i = 0; i < classes; i++) {
                if (counts[i] < IMAGES_PER_CLASS) {
                    throw new AppException(name + " has " + counts[i] + " " + split + " images of class " + i
                            + "; the report needs at least " + IMAGES_PER_CLASS + " of every class");
                }
            }
        }

        /** The lines of classes.txt beside the images if there are any, else numbers. */
        private static List<String> classNames(Path folder, int classes) throws IOException {
            Path file = folder.resolve("classes.txt");
            if (!Files.exists(file)) {
                return IntStream.range(0, classes).mapToObj(i -> "class " + i).toList();
            }
            List<String> names = Files.readAllLines(file);
            if (names.size() != classes) {
                throw new AppException(file + " has " + names.size() + " lines, but the images have " + classes
                        + " classes; it needs one name on a line for each class");
            }
            return names;
        }

        /** Ten real images of each class, row by row. */
        PixelImages firstTestImages() {
            LabelledImages first = test.firstOfEachClass(IMAGES_PER_CLASS);
            int[] labels = first.labels();
            int[] byClass = IntStream.range(0, first.count())
                    .boxed()
                    .sorted(Comparator.comparing(i -> labels[i]))
                    .mapToInt(Integer::intValue)
                    .toArray();
            return first.images().select(byClass);
        }
    }

    /** Not a constant: the help, which loads this class too, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(QuickstartTraining.class);
    }
}
