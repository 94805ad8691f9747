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
import org.npp4j.llamagen.files.AtomicFile;
import org.npp4j.llamagen.images.ImageDataSetIterator;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.tokenizer.ReconstructionError;
import org.npp4j.schedule.DivergenceGuard;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
import org.npp4j.schedule.TorchAdam;
import org.npp4j.schedule.WeightAverage;

/** A run of {@link TrainTokenizerCommand}: steps, metrics, sheets, checkpoints. */
final class TokenizerTraining {
    private static final String STATE = "state.zip";
    /** What the state holds. */
    private static final String NETWORK = "network.zip";

    private static final String RESTART = "restart.json";
    private static final String AVERAGE = "average.bin";
    private static final String METRICS = "metrics.csv";
    private static final String SHEET = "sheet.png";
    private static final double BETA2 = 0.95;
    /** Steps that a line of metrics sums up. */
    private static final int STEPS_PER_LINE = 50;

    private static final int SHEET_COLUMNS = 8;
    private static final int SHEET_IMAGES = 32;
    private static final int SHEET_PIXELS = 1024;
    private static final int SHEET_GAP = 2;
    /** At intervals a test is of so many images, at the end of all. */
    private static final int TEST_IMAGES = 256;

    /** Training images are in [-1, 1], errors are reported for pixels in [0, 1]. */
    static final double UNIT = 0.25;

    private final TokenizerImages images;
    private final Settings settings;
    private final Path out;
    private final ImageDataSetIterator batches;
    private final int steps;
    private final StageLearningRate rate;
    private final AutoencoderLearner learner;
    private final List<String> metrics = new ArrayList<>();

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
     * @param mirror whether half of the images are mirrored
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
            boolean mirror,
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
        }

        private static void requireAtLeastOne(String name, int value) {
            require(value >= 1, name + " must be at least 1", value);
        }

        static void require(boolean fits, String rule, Number value) {
            if (!fits) {
                throw new IllegalArgumentException(rule + ", but is " + value);
            }
        }
    }

    /**
     * A run.
     *
     * @param factory of what is trained
     * @param images to train and to test on
     * @param settings how
     * @param out folder for the files
     */
    TokenizerTraining(AutoencoderLearner.Factory factory, TokenizerImages images, Settings settings, Path out) {
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
        learner = factory.make(
                images.train().height(),
                images.train().width(),
                steps,
                new TorchAdam.Builder().learningRate(rate).beta2(BETA2).build());
    }

    /**
     * Trains to the end.
     *
     * @param start a checkpoint to start from, or null
     * @param resume whether to go on from the checkpoint in the folder, if there is one
     * @return what was learnt
     * @throws IOException if a file cannot be read or written
     */
    AutoencoderLearner.Learnt run(Path start, boolean resume) throws IOException {
        network = learner.init();
        average = settings.averageDecay() > 0 ? new WeightAverage(network, settings.averageDecay()) : null;
        Path state = out.resolve(STATE);
        int first = 0;
        if (resume && Files.exists(state)) {
            first = resume(state);
        } else if (start != null) {
            learner.start(start, network);
            average = average == null ? null : new WeightAverage(network, settings.averageDecay());
        }
        readMetrics(first);
        network.addListeners(new DivergenceGuard(() -> Files.exists(state) ? state : null));
        learner.listeners().forEach(network::addListeners);
        if (average != null) {
            // after the others: it sees codes where a restart has put them
            network.addListeners(average);
        }
        AutoencoderLearner.Learnt learnt = learner.learnt(network);
        int last = settings.stopAfter() == 0 ? steps : Math.min(steps, settings.stopAfter());
        long begin = System.nanoTime();
        try (StepProgress progress = new StepProgress("train-tokenizer", first, steps)) {
            AutoencoderLearner.Summary summary = learner.summary();
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
                    averaged().save(averageFile());
                }
                if (save || test) {
                    learnt.update(network);
                }
                if (save) {
                    learnt.save(file());
                    save(state);
                }
                if (test) {
                    sheet(learnt);
                }
                if (test || step % STEPS_PER_LINE == 0) {
                    line(step, summary, test ? testError(learnt) : "", averageError);
                    summary = learner.summary();
                }
            }
        }
        seconds = (System.nanoTime() - begin) / 1e9;
        stepsDone = Math.max(0, last - first);
        return learnt;
    }

    /** {@return whether there is a moving average} */
    boolean hasAverage() {
        return average != null;
    }

    /** {@return what was learnt, with the moving average of the weights} */
    AutoencoderLearner.Learnt averaged() {
        try (WeightAverage.Swap ignored = average.applyTo(network)) {
            return learner.learnt(network);
        }
    }

    /** {@return the checkpoint in the published layout} */
    Path file() {
        return out.resolve(learner.name() + ".pt");
    }

    /** {@return the same with the moving average of the weights} */
    Path averageFile() {
        return out.resolve(learner.name() + "-ema.pt");
    }

    /** All that a run goes on from, in one file: whole or not at all. */
    private void save(Path state) throws IOException {
        AtomicFile.write(state, sink -> {
            ZipOutputStream zip = new ZipOutputStream(sink);
            zip.setLevel(Deflater.NO_COMPRESSION);
            zip.putNextEntry(new ZipEntry(NETWORK));
            // it closes what it writes to
            ModelSerializer.writeModel(network, new Unclosed(zip), true);
            byte[] ofLearner = learner.state();
            if (ofLearner != null) {
                zip.putNextEntry(new ZipEntry(RESTART));
                zip.write(ofLearner);
            }
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
                        + " less. Start from its tokenizer instead: --" + learner.name() + "-ckpt " + file());
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
            if (learner.state() != null) {
                try (InputStream in = zip.getInputStream(zip.getEntry(RESTART))) {
                    learner.restore(in.readAllBytes());
                }
            }
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
        metrics.add("step,images," + learner.columns() + ",learning_rate,test_error,ema_test_error");
        if (first > 0 && Files.exists(file)) {
            for (String line : Files.readAllLines(file)) {
                if (line.matches("\\d+,.*") && Integer.parseInt(line.substring(0, line.indexOf(','))) <= first) {
                    metrics.add(line);
                }
            }
        }
    }

    private void line(int step, AutoencoderLearner.Summary summary, String testError, String averageError)
            throws IOException {
        metrics.add(String.format(
                Locale.ROOT,
                "%d,%d,%s,%.3e,%s,%s",
                step,
                (long) step * settings.batchSize(),
                summary.columns(),
                rate.valueAt(step - 1, 0),
                testError,
                averageError));
        AtomicFile.writeText(out.resolve(METRICS), String.join("\n", metrics) + "\n");
    }

    private String testError(AutoencoderLearner.Learnt learnt) {
        PixelImages some =
                images.test().range(0, Math.min(TEST_IMAGES, images.test().count()));
        return String.format(Locale.ROOT, "%.6f", ReconstructionError.of(learnt::reconstruct, some));
    }

    /** Rows of test images, each above the row of their reconstructions. */
    private void sheet(AutoencoderLearner.Learnt learnt) throws IOException {
        PixelImages originals =
                images.test().range(0, Math.min(SHEET_IMAGES, images.test().count()));
        PixelImages decoded = learnt.reconstruct(originals);
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
