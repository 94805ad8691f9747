package org.npp4j.arbiter;

import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingStep;

/** Watches a sweep, in the threads that train: several at once if candidates are trained in parallel. */
public interface SweepListener {
    /**
     * Before a candidate is trained.
     *
     * @param index in the order of proposal
     * @param plan of the candidate
     */
    default void onStart(int index, PatchPlan plan) {}

    /**
     * After a step of a candidate.
     *
     * @param index in the order of proposal
     * @param plan of the candidate
     * @param trainer that made it
     * @param step what was done
     */
    default void onStep(int index, PatchPlan plan, Trainer trainer, TrainingStep step) {}

    /**
     * After a candidate was finished, failed or stopped.
     *
     * @param result what became of it
     */
    default void onEnd(CandidateResult result) {}
}
