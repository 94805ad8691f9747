package org.npp4j.arbiter;

import java.io.IOException;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingPlan;

/** Makes the training of each candidate: the same data for all, each with iterators of its own. */
@FunctionalInterface
public interface TrainerSource {
    /**
     * A training that has not begun. Checkpoints are set by who calls this.
     *
     * @param plan of the candidate
     * @return a trainer's builder with data, test data if there are any, versions, listeners
     * @throws IOException if the data cannot be read; the candidate then counts as failed
     */
    Trainer.Builder prepare(TrainingPlan plan) throws IOException;
}
