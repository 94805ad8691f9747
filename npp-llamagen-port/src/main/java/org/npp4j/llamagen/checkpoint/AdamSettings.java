package org.npp4j.llamagen.checkpoint;

import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.schedule.TorchAdam;

/**
 * What PyTorch's Adam and ours have in common.
 *
 * @param learningRate of the next step
 * @param beta1 decay of the running mean
 * @param beta2 decay of the running mean of squares
 * @param epsilon added to the root
 */
record AdamSettings(double learningRate, double beta1, double beta2, double epsilon) {
    /** {@return whether the state of this updater is PyTorch's: m, then v} */
    static boolean knows(IUpdater updater) {
        return updater instanceof TorchAdam || updater instanceof Adam;
    }

    static AdamSettings of(IUpdater updater, int iteration, int epoch) {
        double learningRate = updater.getLearningRate(iteration, epoch);
        if (updater instanceof TorchAdam adam) {
            return new AdamSettings(learningRate, adam.getBeta1(), adam.getBeta2(), adam.getEpsilon());
        }
        Adam adam = (Adam) updater;
        return new AdamSettings(learningRate, adam.getBeta1(), adam.getBeta2(), adam.getEpsilon());
    }

    /** {@return the updater that goes on as PyTorch would} */
    IUpdater updater() {
        return new TorchAdam.Builder()
                .learningRate(learningRate)
                .beta1(beta1)
                .beta2(beta2)
                .epsilon(epsilon)
                .build();
    }
}
