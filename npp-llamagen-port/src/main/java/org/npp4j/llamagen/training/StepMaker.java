package org.npp4j.llamagen.training;

import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.dataset.api.MultiDataSet;

/**
 * Makes the steps of a run with a network, one move of its weights for each batch: in the thread that trains, by several
 * workers of this machine, or by those of a cluster. Used by one {@link Trainer} alone, in its thread.
 */
public interface StepMaker extends AutoCloseable {
    /** Decides how steps are made. */
    @FunctionalInterface
    interface Factory {
        /**
         * What makes the steps of a run.
         *
         * @param network that is trained, without listeners
         * @param plan of the run
         * @param workers who share a batch, at least 1
         * @return what makes the steps
         * @throws IllegalArgumentException if it cannot make steps of this plan with so many workers
         */
        StepMaker create(ComputationGraph network, RunPlan plan, int workers);
    }

    /** On this machine: one worker is the thread that trains, several are those of Deeplearning4j's ParallelWrapper. */
    Factory LOCAL = (network, plan, workers) ->
            workers == 1 ? new SingleStepMaker(network, plan) : new ParallelStepMaker(network, plan, workers);

    /** {@return the first listeners of the network: behind them the gradient is the one that moves the weights} */
    List<TrainingListener> listeners();

    /**
     * Makes one step and moves the network's counter of iterations. The network's listeners see {@code iterationDone} at
     * least, and its score is that of the batch.
     *
     * @param batch the whole batch
     * @param step steps made before; with the plan's seed it decides what is drawn at random ({@link #seedRandom})
     */
    void makeStep(MultiDataSet batch, int step);

    /** {@return the mean loss of the batch, of a GPT in nats per token; known to listeners once the gradient is there} */
    double loss();

    /** {@return the global norm of the last step's gradient before clipping} */
    double gradientNorm();

    /** Ends what was started for the steps. More steps may follow. */
    @Override
    void close();

    /**
     * Sets the random numbers of the calling thread for a share of a step.
     *
     * @param seed of the plan
     * @param step steps made before
     * @param worker whose share it is, from 0
     */
    static void seedRandom(long seed, int step, int worker) {
        StepRandom.begin(StepRandom.seed(seed, step), worker);
    }
}
