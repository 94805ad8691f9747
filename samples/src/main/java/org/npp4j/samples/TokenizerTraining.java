package org.npp4j.samples;

import java.io.BufferedInputStream;
import java.io.FilterOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.zip.Deflater;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;
import java.util.zip.ZipOutputStream;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.ImageDataSetIterator;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.tokenizer.CodebookRestart;
import org.npp4j.llamagen.tokenizer.CodebookUsage;
import org.npp4j.llamagen.tokenizer.ReconstructionError;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import org.npp4j.llamagen.tokenizer.VqTraining;
import org.npp4j.schedule.DivergenceGuard;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
import org.npp4j.schedule.TorchAdam;
import org.npp4j.schedule.WeightAverage;

/** A run of {@link TrainTokenizerCommand}: steps, metrics, sheets, checkpoints. */
final class TokenizerTraining {
    /** The checkpoint in the published layout. */
    static final String TOKENIZER = "vq.pt";

    /** The same with the moving average of the weights. */
    static final String AVERAGED = "vq-ema.pt";

    private static final String STATE = "state.zip";
    /** What the state holds. */
    private static final String NETWORK = "network.zip";

    private static final String RESTART = "restart.json";
    private static final String AVERAGE = "average.bin";
    private static final String METRICS = "metrics.csv";
    private static final String SHEET = "sheet.png";
    private static final ObjectMapper JSON = new ObjectMapper();

    private static final String HEAD =
            "step,images,mean_squared_error,quantization_error,codes_used,perplexity,restarted,learning_rate,test_error,ema_test_error";

    private static final double BETA2 = 0.95;
    /** Codes move to where latents are until so much of the training is over; then all settle. */
    private static final double RESTARTING = 0.7;

    /** Steps that a line of metrics sums up. */
    private static final int STEPS_PER_LINE = 50;

    private static final int SHEET_COLUMNS = 8;
    private static final int SHEET_IMAGES = 32;
    private static final int SHEET_PIXELS = 1024;
    private static final int SHEET_GAP = 2;
    /** At intervals a test is of so many images, at the end of all. */
    private static final int TEST_IMAGES = 256;

    /** Training images are in [-1, 1], errors are reported for pixels in [0, 1]. */
    private static final double UNIT = 0.25;

    private final VqConfig config;
    private final TokenizerImages images;
    private final Settings settings;
    private final Path out;
    private final ImageDataSetIterator batches;
    private final int steps;
    private final StageLearningRate rate;
    private final VqTraining training;
    private final List<String> metrics = new ArrayList<>();

    private final CodebookRestart restart;
    private ComputationGraph network;
    private WeightAverage average;
    private double seconds;
    private int stepsDone;

    /**
     * How to train.
     *
     * @param epochs how often every image is seen
     * @param batchSize images of a step
     * @param learningRate of the plateau
     * @param endLearningRate at the end
     * @param warmup steps in which the rate rises from 0
     * @param decayRatio share of the steps in which it falls
     * @param commitment beta
     * @param quantizerWeight of the quantizer's loss
     * @param mirror whether half of the images are mirrored
     * @param restart whether codes that are hardly chosen move
     * @param sheetEvery steps
     * @param checkpointEvery steps
     * @param seed of everything
     * @param averageDecay of a moving average of the weights; 0 for none
     * @param stopAfter steps after which it stops early; 0 for the end
     */
    record Settings(
            int epochs,
            int batchSize,
            double learningRate,
            double endLearningRate,
            int warmup,
            double decayRatio,
            double commitment,
            double quantizerWeight,
            boolean mirror,
            boolean restart,
            int sheetEvery,
            int checkpointEvery,
            long seed,
            double averageDecay,
            int stopAfter) {
        Settings {
            requireAtLeastOne("--epochs", epochs);
            requireAtLeastOne("--batch-size", batchSize);
            requireAtLeastOne("--sheet-every", sheetEvery);
            requireAtLeastOne("--ckpt-every", checkpointEvery);
            require(learningRate > 0 && learningRate < Double.POSITIVE_INFINITY, "--lr must be above 0", learningRate);
            require(
                    endLearningRate >= 0 && endLearningRate <= learningRate,
                    "--end-lr must be 0 to --lr",
                    endLearningRate);
            require(averageDecay >= 0 && averageDecay < 1, "--ema-decay must be 0 to below 1", averageDecay);
            require(stopAfter >= 0, "--steps must be at least 1", stopAfter);
            require(warmup >= 0, "--warmup-steps must be 0 or above", warmup);
            require(decayRatio >= 0 && decayRatio <= 1, "--decay-ratio must be 0 to 1", decayRatio);
            require(
                    commitment >= 0 && commitment < Double.POSITIVE_INFINITY,
                    "--commit-loss-beta must be 0 or above",
                    commitment);
            require(
                    quantizerWeight >= 0 && quantizerWeight < Double.POSITIVE_INFINITY,
                    "--codebook-weight must be 0 or above",
                    quantizerWeight);
        }

        private static void requireAtLeastOne(String name, int value) {
            require(value >= 1, name + " must be at least 1", value);
        }

        private static void require(boolean fits, String rule, Number value) {
            if (!fits) {
                throw new IllegalArgumentException(rule + ", but is " + value);
            }
        }
    }

    /**
     * A run.
     *
     * @param config sizes of the tokenizer
     * @param images to train and to test on
     * @param settings how
     * @param out folder for the files
     */
    TokenizerTraining(VqConfig config, TokenizerImages images, Settings settings, Path out) {
        this.config = config;
        this.images = images;
        this.settings = settings;
        this.out = out;
        batches = new ImageDataSetIterator(images.train(), settings.batchSize(), settings.mirror(), settings.seed());
        steps = Math.multiplyExact(settings.epochs(), batches.batchesPerEpoch());
        rate = new StageLearningRate.Builder(
                        PatchStages.iterations().stage(1, steps).build())
                .learningRate(settings.learningRate())
                .endLearningRate(settings.endLearningRate())
                .warmup(settings.warmup())
                .decayRatio(settings.decayRatio())
                .build();
        restart = new CodebookRestart((int) (RESTARTING * steps), settings.seed());
        training = new VqTraining.Builder(
                        config, images.train().height(), images.train().width())
                .updater(new TorchAdam.Builder().learningRate(rate).beta2(BETA2).build())
                .commitment(settings.commitment())
                .quantizerWeight(settings.quantizerWeight())
                .seed(settings.seed())
                .build();
    }

    /**
     * Trains to the end.
     *
     * @param start a tokenizer to start from, or null
     * @param resume whether to go on from the checkpoint in the folder, if there is one
     * @return what was learnt
     * @throws IOException if a file cannot be read or written
     */
    VqTokenizer run(Path start, boolean resume) throws IOException {
        network = training.init();
        average = settings.averageDecay() > 0 ? new WeightAverage(network, settings.averageDecay()) : null;
        Path state = out.resolve(STATE);
        int first = 0;
        if (resume && Files.exists(state)) {
            first = resume(state);
        } else if (start != null) {
            training.start(
                    VqTokenizer.load(
                            start,
                            config,
                            images.train().height(),
                            images.train().width()),
                    network);
            average = average == null ? null : new WeightAverage(network, settings.averageDecay());
        }
        readMetrics(first);
        network.addListeners(new DivergenceGuard(() -> Files.exists(state) ? state : null));
        if (settings.restart()) {
            network.addListeners(restart);
        }
        if (average != null) {
            // after the restart: it sees the codes where they are now
            network.addListeners(average);
        }
        VqTokenizer tokenizer = training.tokenizer(network);
        int last = settings.stopAfter() == 0 ? steps : Math.min(steps, settings.stopAfter());
        long begin = System.nanoTime();
        try (StepProgress progress = new StepProgress("train-tokenizer", first, steps)) {
            Summary summary = new Summary();
            for (int step = first; step < last; ) {
                if (step == first || step % batches.batchesPerEpoch() == 0) {
                    batches.seek(step / batches.batchesPerEpoch(), step % batches.batchesPerEpoch());
                }
                network.fit(batches.next());
                step++;
                summary.add(network);
                double rateSoFar = (step - first) * settings.batchSize() / ((System.nanoTime() - begin) / 1e9);
                progress.update(step, summary.text() + String.format(Locale.ROOT, ", %.0f images/s", rateSoFar));
                boolean save = step % settings.checkpointEvery() == 0 || step == last;
                boolean test = step % settings.sheetEvery() == 0 || step == last;
                String averageError = test && average != null ? testError(averaged()) : "";
                if (save && average != null) {
                    averaged().save(out.resolve(AVERAGED));
                }
                if (save || test) {
                    training.copy(network, tokenizer);
                }
                if (save) {
                    tokenizer.save(out.resolve(TOKENIZER));
                    save(state);
                }
                if (test) {
                    sheet(tokenizer);
                }
                if (test || step % STEPS_PER_LINE == 0) {
                    line(step, summary, test ? testError(tokenizer) : "", averageError);
                    summary = new Summary();
                }
            }
        }
        seconds = (System.nanoTime() - begin) / 1e9;
        stepsDone = Math.max(0, last - first);
        return tokenizer;
    }

    /** {@return whether there is a moving average} */
    boolean hasAverage() {
        return average != null;
    }

    /** {@return a tokenizer with the moving average of the weights} */
    VqTokenizer averaged() {
        try (WeightAverage.Swap ignored = average.applyTo(network)) {
            return training.tokenizer(network);
        }
    }

    /** What some steps have in common. */
    private final class Summary {
        private final CodebookUsage usage = new CodebookUsage(config.codebookSize());
        private double error;
        private double quantization;
        private int count;

        void add(ComputationGraph network) {
            double last = VqTraining.quantizationError(network);
            double quantizerLoss = settings.quantizerWeight() * (1 + settings.commitment()) * last;
            error += UNIT * (network.score() - quantizerLoss);
            quantization += last;
            count++;
            usage.add(VqTraining.chosenCodes(network));
        }

        String text() {
            return String.format(Locale.ROOT, "error %.5f, %.0f%% of codes", error / count, 100 * usage.used());
        }

        String columns() {
            return String.format(
                    Locale.ROOT,
                    "%.6f,%.6f,%.4f,%.1f",
                    error / count,
                    quantization / count,
                    usage.used(),
                    usage.perplexity());
        }
    }

    /** All that a run goes on from, in one file: whole or not at all. */
    private void save(Path state) throws IOException {
        AtomicFile.write(state, sink -> {
            ZipOutputStream zip = new ZipOutputStream(sink);
            zip.setLevel(Deflater.NO_COMPRESSION);
            zip.putNextEntry(new ZipEntry(NETWORK));
            // it closes what it writes to
            ModelSerializer.writeModel(network, new Unclosed(zip), true);
            zip.putNextEntry(new ZipEntry(RESTART));
            zip.write(JSON.writeValueAsBytes(restart.state()));
            if (average != null) {
                zip.putNextEntry(new ZipEntry(AVERAGE));
                average.save(zip);
            }
            zip.finish();
        });
    }

    /** A stream that goes on when it is closed. */
    private static final class Unclosed extends FilterOutputStream {
        Unclosed(OutputStream out) {
            super(out);
        }

        @Override
        public void write(byte[] bytes, int from, int length) throws IOException {
            out.write(bytes, from, length);
        }

        @Override
        public void close() throws IOException {
            flush();
        }
    }

    /** Weights, optimizer, restarts, average and step of an earlier run; the learning rate is that of this one. */
    private int resume(Path state) throws IOException {
        try (ZipFile zip = new ZipFile(state.toFile())) {
            ZipEntry ofNetwork = zip.getEntry(NETWORK);
            if (ofNetwork == null) {
                throw new AppException(state + " is no state that can be resumed, or of an earlier version, which kept"
                        + " less. Start from its tokenizer instead: --vq-ckpt " + out.resolve(TOKENIZER));
            }
            ComputationGraph saved = ModelSerializer.restoreComputationGraph(zip.getInputStream(ofNetwork), true);
            if (saved.params().length() != network.params().length()) {
                throw new AppException(state + " is of another tokenizer: it has "
                        + saved.params().length() + " numbers, this one "
                        + network.params().length() + ". Give the same --config, or another --out");
            }
            network.params().assign(saved.params());
            network.getUpdater(true)
                    .getStateViewArray()
                    .assign(saved.getUpdater(true).getStateViewArray());
            restart.restore(JSON.readValue(zip.getInputStream(zip.getEntry(RESTART)), CodebookRestart.State.class));
            ZipEntry ofAverage = zip.getEntry(AVERAGE);
            if ((ofAverage == null) != (average == null)) {
                throw new AppException(state + (ofAverage == null ? " has no" : " has a")
                        + " moving average of the weights: " + (ofAverage == null ? "leave --ema out" : "give --ema"));
            }
            if (ofAverage != null) {
                try (InputStream in = new BufferedInputStream(zip.getInputStream(ofAverage))) {
                    average = WeightAverage.load(in, network);
                }
            }
            int step = saved.getConfiguration().getIterationCount();
            network.getConfiguration().setIterationCount(step);
            return step;
        }
    }

    private void readMetrics(int first) throws IOException {
        Path file = out.resolve(METRICS);
        metrics.add(HEAD);
        if (first > 0 && Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                if (line.matches("\\d+,.*") && Integer.parseInt(line.substring(0, line.indexOf(','))) <= first) {
                    metrics.add(line);
                }
            }
        }
    }

    private void line(int step, Summary summary, String testError, String averageError) throws IOException {
        metrics.add(String.format(
                Locale.ROOT,
                "%d,%d,%s,%d,%.3e,%s,%s",
                step,
                (long) step * settings.batchSize(),
                summary.columns(),
                restart.restarted(),
                rate.valueAt(step - 1, 0),
                testError,
                averageError));
        AtomicFile.writeText(out.resolve(METRICS), String.join("\n", metrics) + "\n");
    }

    private String testError(VqTokenizer tokenizer) {
        PixelImages some =
                images.test().range(0, Math.min(TEST_IMAGES, images.test().count()));
        return String.format(Locale.ROOT, "%.6f", ReconstructionError.of(tokenizer, some));
    }

    /** Rows of test images, each above the row of their reconstructions. */
    private void sheet(VqTokenizer tokenizer) throws IOException {
        PixelImages originals =
                images.test().range(0, Math.min(SHEET_IMAGES, images.test().count()));
        PixelImages decoded = tokenizer.decode(tokenizer.encode(originals));
        int size = decoded.bytesPerImage();
        int columns = Math.min(SHEET_COLUMNS, originals.count());
        int rows = (originals.count() + columns - 1) / columns;
        byte[] pixels = new byte[2 * rows * columns * size];
        byte[] original = originals.toBytes();
        byte[] reconstructed = decoded.toBytes();
        int plane = originals.height() * originals.width();
        for (int i = 0; i < originals.count(); i++) {
            int cell = i / columns * 2 * columns + i % columns;
            for (int c = 0; c < 3; c++) {
                int channel = originals.channels() == 1 ? 0 : c;
                System.arraycopy(
                        original, (i * originals.channels() + channel) * plane, pixels, cell * size + c * plane, plane);
            }
            System.arraycopy(reconstructed, i * size, pixels, (cell + columns) * size, size);
        }
        new PngSheet.Builder()
                .columns(columns)
                .gap(SHEET_GAP)
                .scale(Math.max(1, SHEET_PIXELS / columns / originals.width()))
                .build()
                .write(
                        out.resolve(SHEET),
                        new PixelImages(2 * rows * columns, 3, originals.height(), originals.width(), pixels));
    }

    /** {@return steps of this run} */
    int stepsDone() {
        return stepsDone;
    }

    /** {@return seconds of this run} */
    double seconds() {
        return seconds;
    }
}
