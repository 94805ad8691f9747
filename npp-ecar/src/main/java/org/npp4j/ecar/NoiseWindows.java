package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.List;

/**
 * How much noise there is at the start and at the end of each stage: a state is (1 - share) x latent + share x noise.
 *
 * <p>Stage s ends at 1 - (s + 1) / S. Stage 0 starts at 1, pure noise; a later one at 2 e / (1 + e), where e is the end of the
 * stage before: what {@link StageFlow#nextStart} makes of the state there.
 *
 * <p>Reconstruction: uniform ends, and the renoising of pyramidal flow matching (arXiv 2410.05954) with gamma = 1/3.
 *
 * @param windows of each stage, coarse to fine
 */
public record NoiseWindows(List<Window> windows) {
    /**
     * One stage.
     *
     * @param start share of noise at its start
     * @param end share of noise at its end
     */
    public record Window(double start, double end) {}

    /**
     * Copies the list.
     *
     * @param windows of each stage
     */
    public NoiseWindows {
        windows = List.copyOf(windows);
    }

    /**
     * The windows of a number of stages.
     *
     * @param stages S, at least 1
     * @return the windows
     * @throws IllegalArgumentException if there is no stage
     */
    public static NoiseWindows of(int stages) {
        if (stages < 1) {
            throw new IllegalArgumentException("There must be at least one stage, got " + stages);
        }
        List<Window> windows = new ArrayList<>();
        double left = 1;
        for (int s = 0; s < stages; s++) {
            double start = s == 0 ? 1 : 2 * left / (1 + left);
            left = 1 - (s + 1.0) / stages;
            windows.add(new Window(start, left));
        }
        return new NoiseWindows(windows);
    }

    /** {@return S} */
    public int stages() {
        return windows.size();
    }

    /**
     * The share of noise at the start of a stage.
     *
     * @param stage from 0
     * @return 0 to 1
     */
    public double start(int stage) {
        return windows.get(stage).start();
    }

    /**
     * The share of noise at the end of a stage.
     *
     * @param stage from 0
     * @return 0 to 1
     */
    public double end(int stage) {
        return windows.get(stage).end();
    }
}
