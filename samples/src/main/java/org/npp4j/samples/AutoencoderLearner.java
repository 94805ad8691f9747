package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.llamagen.images.PixelImages;

/** What {@link TokenizerTraining} trains: in this VQ tokenizers and KL autoencoders differ. */
interface AutoencoderLearner {
    /** Makes a learner once the data are known. */
    interface Factory {
        /**
         * A learner.
         *
         * @param height of the images in pixels
         * @param width of the images in pixels
         * @param steps of the whole training
         * @param updater moves the weights
         * @return the learner
         */
        AutoencoderLearner make(int height, int width, int steps, IUpdater updater);
    }

    /** What a network has learnt, as its user has it. */
    interface Learnt {
        /** Takes the weights that the network has now. */
        void update(ComputationGraph network);

        /** Writes a checkpoint in the published layout. */
        void save(Path file) throws IOException;

        /** {@return images encoded and decoded} */
        PixelImages reconstruct(PixelImages images);
    }

    /** What some steps have in common. */
    interface Summary {
        /** Adds a network's last step. */
        void add(ComputationGraph network);

        /** {@return a few words for the progress bar} */
        String text();

        /** {@return values of {@link AutoencoderLearner#columns()}} */
        String columns();
    }

    /** {@return what its files are called, as in vq.pt} */
    String name();

    /** {@return names of its columns of the metrics} */
    String columns();

    /** {@return a network with random weights} */
    ComputationGraph init();

    /** Starts from a checkpoint. */
    void start(Path file, ComputationGraph network) throws IOException;

    /** {@return what the network has learnt} */
    Learnt learnt(ComputationGraph network);

    /** {@return a new summary} */
    Summary summary();

    /** {@return what takes part in the training} */
    List<TrainingListener> listeners();

    /** {@return JSON of what a run goes on from, beside network and optimizer; null if there is nothing} */
    byte[] state() throws IOException;

    /** Goes on from a state. */
    void restore(byte[] state) throws IOException;
}
