package org.npp4j.llamagen.training;

import java.io.IOException;

/**
 * Watches a run, in the thread that trains. Between its calls it may read and even evaluate the network, whose random
 * numbers are set anew at every step; it must leave weights, patch side and counters as they are.
 *
 * <p>Deeplearning4j's own listeners see the same run: {@link Trainer.Builder#listeners}.
 */
public interface TrainingObserver {
    /**
     * Before the first step of this process.
     *
     * @param trainer that runs
     * @throws IOException ends the run
     */
    default void onStart(Trainer trainer) throws IOException {}

    /**
     * After a step.
     *
     * @param trainer that runs
     * @param step what was done
     * @throws IOException ends the run
     */
    default void onStep(Trainer trainer, TrainingStep step) throws IOException {}

    /**
     * After a checkpoint was written.
     *
     * @param trainer that runs
     * @param checkpoint what was written
     * @throws IOException ends the run
     */
    default void onCheckpoint(Trainer trainer, TrainingCheckpoint checkpoint) throws IOException {}

    /**
     * After the last step of this process, unless it failed.
     *
     * @param trainer that has run
     * @throws IOException fails the run
     */
    default void onEnd(Trainer trainer) throws IOException {}
}
