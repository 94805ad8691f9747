package org.npp4j.llamagen.training;

import java.util.List;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.dataset.api.MultiDataSet;

/** Makes the steps of a run with a network, one move of its weights for each batch. */
interface StepMaker extends AutoCloseable {
    /** {@return listeners of the network that come before all others: behind them the gradient is that of the whole batch} */
    List<TrainingListener> listeners();

    /**
     * Makes one step. The random numbers follow from seed and step.
     *
     * @param batch the whole batch
     * @param step steps made before
     */
    void makeStep(MultiDataSet batch, int step);

    /** {@return the mean loss of the batch, known when its gradient is} */
    double loss();

    /** Ends what has been started for the steps. More steps can follow. */
    @Override
    void close();
}
