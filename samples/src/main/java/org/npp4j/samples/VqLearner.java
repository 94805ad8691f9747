package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.CodebookRestart;
import org.npp4j.llamagen.tokenizer.CodebookUsage;
import org.npp4j.llamagen.tokenizer.VqConfig;
import org.npp4j.llamagen.tokenizer.VqTokenizer;
import org.npp4j.llamagen.tokenizer.VqTraining;

/** Learns a VQ tokenizer. */
final class VqLearner implements AutoencoderLearner {
    /** The checkpoint of a run. */
    static final String FILE = "vq.pt";

    /** Codes move to where latents are until so much of the training is over; then all settle. */
    private static final double RESTARTING = 0.7;

    private static final ObjectMapper JSON = new ObjectMapper();

    private final VqConfig config;
    private final Settings settings;
    private final int height;
    private final int width;
    private final VqTraining training;
    private final CodebookRestart restart;

    /**
     * What is of VQ tokenizers alone.
     *
     * @param commitment beta
     * @param quantizerWeight of the quantizer's loss
     * @param restart whether codes that are hardly chosen move
     * @param seed of weights and restarts
     */
    record Settings(double commitment, double quantizerWeight, boolean restart, long seed) {
        Settings {
            TokenizerTraining.Settings.require(
                    commitment >= 0 && commitment < Double.POSITIVE_INFINITY,
                    "--commit-loss-beta must be 0 or above",
                    commitment);
            TokenizerTraining.Settings.require(
                    quantizerWeight >= 0 && quantizerWeight < Double.POSITIVE_INFINITY,
                    "--codebook-weight must be 0 or above",
                    quantizerWeight);
        }
    }

    VqLearner(VqConfig config, Settings settings, int height, int width, int steps, IUpdater updater) {
        this.config = config;
        this.settings = settings;
        this.height = height;
        this.width = width;
        restart = new CodebookRestart((int) (RESTARTING * steps), settings.seed());
        training = new VqTraining.Builder(config, height, width)
                .updater(updater)
                .commitment(settings.commitment())
                .quantizerWeight(settings.quantizerWeight())
                .seed(settings.seed())
                .build();
    }

    @Override
    public String name() {
        return "vq";
    }

    @Override
    public String columns() {
        return "mean_squared_error,quantization_error,codes_used,perplexity,restarted";
    }

    @Override
    public ComputationGraph init() {
        return training.init();
    }

    @Override
    public void start(Path file, ComputationGraph network) throws IOException {
        training.start(VqTokenizer.load(file, config, height, width), network);
    }

    @Override
    public List<TrainingListener> listeners() {
        return settings.restart() ? List.of(restart) : List.of();
    }

    @Override
    public byte[] state() throws IOException {
        return JSON.writeValueAsBytes(restart.state());
    }

    @Override
    public void restore(byte[] state) throws IOException {
        restart.restore(JSON.readValue(state, CodebookRestart.State.class));
    }

    @Override
    public Tokenizer learnt(ComputationGraph network) {
        return new Tokenizer(network);
    }

    /** A tokenizer with the network's weights. */
    final class Tokenizer implements Learnt {
        private final VqTokenizer tokenizer;

        private Tokenizer(ComputationGraph network) {
            tokenizer = training.tokenizer(network);
        }

        VqTokenizer tokenizer() {
            return tokenizer;
        }

        @Override
        public void update(ComputationGraph network) {
            training.copy(network, tokenizer);
        }

        @Override
        public void save(Path file) throws IOException {
            tokenizer.save(file);
        }

        @Override
        public PixelImages reconstruct(PixelImages images) {
            return tokenizer.decode(tokenizer.encode(images));
        }
    }

    @Override
    public Summary summary() {
        return new Steps();
    }

    private final class Steps implements Summary {
        private final CodebookUsage usage = new CodebookUsage(config.codebookSize());
        private double error;
        private double quantization;
        private int count;

        @Override
        public void add(ComputationGraph network) {
            double last = VqTraining.quantizationError(network);
            double quantizerLoss = settings.quantizerWeight() * (1 + settings.commitment()) * last;
            error += TokenizerTraining.UNIT * (network.score() - quantizerLoss);
            quantization += last;
            count++;
            usage.add(VqTraining.chosenCodes(network));
        }

        @Override
        public String text() {
            return String.format(Locale.ROOT, "error %.5f, %.0f%% of codes", error / count, 100 * usage.used());
        }

        @Override
        public String columns() {
            return String.format(
                    Locale.ROOT,
                    "%.6f,%.6f,%.4f,%.1f,%d",
                    error / count,
                    quantization / count,
                    usage.used(),
                    usage.perplexity(),
                    restart.restarted());
        }
    }
}
