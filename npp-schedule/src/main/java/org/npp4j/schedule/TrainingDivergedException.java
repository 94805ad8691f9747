package org.npp4j.schedule;

import java.nio.file.Path;
import java.util.Optional;

/** Training was stopped because the score or a gradient is no longer a finite number. */
public final class TrainingDivergedException extends IllegalStateException {
    private static final long serialVersionUID = 1L;

    private final int iteration;
    private final int epoch;
    private final double score;
    private final transient Path lastCheckpoint;

    TrainingDivergedException(String message, int iteration, int epoch, double score, Path lastCheckpoint) {
        super(message);
        this.iteration = iteration;
        this.epoch = epoch;
        this.score = score;
        this.lastCheckpoint = lastCheckpoint;
    }

    /** {@return the network's iteration counter, counted from 0} */
    public int iteration() {
        return iteration;
    }

    /** {@return the network's epoch counter, counted from 0} */
    public int epoch() {
        return epoch;
    }

    /** {@return the score of the iteration} */
    public double score() {
        return score;
    }

    /** {@return the last good checkpoint, if one is known} */
    public Optional<Path> lastCheckpoint() {
        return Optional.ofNullable(lastCheckpoint);
    }
}
