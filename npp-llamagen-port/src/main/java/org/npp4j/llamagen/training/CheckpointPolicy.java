package org.npp4j.llamagen.training;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Objects;

/**
 * Where checkpoints go, how often, and which are kept. One is written at the end of a run in any case.
 *
 * @param folder that holds them, each in a folder of its own
 * @param everySteps steps between two, 0 for no such rule
 * @param every time between two, zero for no such rule
 * @param keepLast the newest that are kept, at least 1
 * @param keepBest whether the best one is kept, too: that of the lowest test loss; without test images, that of the lowest
 *     training loss in the newest stage, since losses of different patch sides do not compare
 */
public record CheckpointPolicy(Path folder, int everySteps, Duration every, int keepLast, boolean keepBest) {
    /** The published number of steps between two checkpoints. */
    public static final int PUBLISHED_STEPS = 5000;

    /**
     * Checks the numbers.
     *
     * @param folder that holds the checkpoints
     * @param everySteps 0 or above
     * @param every zero or above
     * @param keepLast at least 1
     * @param keepBest whether the best one is kept
     * @throws IllegalArgumentException if a number is out of its range
     */
    public CheckpointPolicy {
        Objects.requireNonNull(folder, "Checkpoints need a folder");
        Objects.requireNonNull(every, "The time between checkpoints is null. Use Duration.ZERO for none");
        if (everySteps < 0 || every.isNegative()) {
            throw new IllegalArgumentException("Steps and time between checkpoints must be 0 (none) or above, got "
                    + everySteps + " and " + every);
        }
        if (keepLast < 1) {
            throw new IllegalArgumentException("At least 1 checkpoint must be kept, got " + keepLast);
        }
    }

    /**
     * The published rule, every 5000 steps, and the last two and the best are kept.
     *
     * @param folder that holds the checkpoints
     * @return the policy
     */
    public static CheckpointPolicy in(Path folder) {
        return new CheckpointPolicy(folder, PUBLISHED_STEPS, Duration.ZERO, 2, true);
    }
}
