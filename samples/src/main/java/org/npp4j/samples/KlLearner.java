package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.tokenizer.KlAutoencoder;
import org.npp4j.llamagen.tokenizer.KlConfig;
import org.npp4j.llamagen.tokenizer.KlTraining;

/** Learns a KL autoencoder. */
final class KlLearner implements AutoencoderLearner {
    private final KlConfig config;
    private final double weight;
    private final double valuesPerImage;
    private final KlTraining training;

    /**
     * A learner.
     *
     * @param config sizes
     * @param weight of the divergence
     * @param seed of weights and noise
     * @param height of the images in pixels
     * @param width of the images in pixels
     * @param updater moves the weights
     */
    KlLearner(KlConfig config, double weight, long seed, int height, int width, IUpdater updater) {
        this.config = config;
        this.weight = weight;
        valuesPerImage = 3.0 * height * width;
        training = new KlTraining.Builder(config, height, width)
                .updater(updater)
                .weight(weight)
                .seed(seed)
                .build();
    }

    @Override
    public String name() {
        return "kl";
    }

    @Override
    public String columns() {
        return "mean_squared_error,divergence";
    }

    @Override
    public ComputationGraph init() {
        return training.init();
    }

    @Override
    public void start(Path file, ComputationGraph network) throws IOException {
        training.start(KlAutoencoder.load(file, config), network);
    }

    @Override
    public List<TrainingListener> listeners() {
        return List.of();
    }

    /** The noise depends on seed and step alone. */
    @Override
    public byte[] state() {
        return null;
    }

    @Override
    public void restore(byte[] state) {
        throw new IllegalStateException("A KL autoencoder has no state beside network and optimizer");
    }

    @Override
    public Autoencoder learnt(ComputationGraph network) {
        return new Autoencoder(network);
    }

    /** An autoencoder with the network's weights. */
    final class Autoencoder implements Learnt {
        private final KlAutoencoder autoencoder;

        private Autoencoder(ComputationGraph network) {
            autoencoder = training.autoencoder(network);
        }

        /** {@return means of images} */
        INDArray latents(PixelImages images) {
            return autoencoder.encode(images.toColour().toSignedUnit()).mode();
        }

        @Override
        public void update(ComputationGraph network) {
            training.copy(network, autoencoder);
        }

        @Override
        public void save(Path file) throws IOException {
            autoencoder.save(file);
        }

        @Override
        public PixelImages reconstruct(PixelImages images) {
            return PixelImages.fromSignedUnit(autoencoder.decode(latents(images)));
        }
    }

    @Override
    public Summary summary() {
        return new Steps();
    }

    private final class Steps implements Summary {
        private double error;
        private double divergence;
        private int count;

        @Override
        public void add(ComputationGraph network) {
            double last = KlTraining.divergence(network);
            error += TokenizerTraining.UNIT * (network.score() - weight / valuesPerImage * last);
            divergence += last;
            count++;
        }

        @Override
        public String text() {
            return String.format(Locale.ROOT, "error %.5f, divergence %.0f nats", error / count, divergence / count);
        }

        @Override
        public String columns() {
            return String.format(Locale.ROOT, "%.6f,%.3f", error / count, divergence / count);
        }
    }
}
