package org.npp4j.samples.report;

import java.util.ArrayList;
import java.util.List;

/**
 * Training loss along a run. Every point is the mean over a few iterations, which all belong to one stage.
 *
 * @param seconds wall-clock time since training began, at the end of the point
 * @param images images trained on since then
 * @param loss mean cross-entropy in nats per scored token, without the weight decay term
 * @param patchSide p of the stage
 */
public record LossCurve(List<Double> seconds, List<Long> images, List<Double> loss, List<Integer> patchSide) {
    /**
     * Copies the lists, which have equal lengths.
     *
     * @param seconds times
     * @param images image counts
     * @param loss losses
     * @param patchSide patch sides
     * @throws IllegalArgumentException if their lengths differ
     */
    public LossCurve {
        seconds = List.copyOf(seconds);
        images = List.copyOf(images);
        loss = List.copyOf(loss);
        patchSide = List.copyOf(patchSide);
        if (images.size() != seconds.size() || loss.size() != seconds.size() || patchSide.size() != seconds.size()) {
            throw new IllegalArgumentException(
                    "A loss curve needs one value of each kind for every point, got " + seconds.size() + " times, "
                            + images.size() + " image counts, " + loss.size() + " losses, " + patchSide.size()
                            + " patch sides");
        }
    }

    /** {@return points} */
    public int size() {
        return seconds.size();
    }

    /** Collects a curve during training. Not thread-safe. */
    public static final class Recorder {
        private final int window;
        private final List<Double> seconds = new ArrayList<>();
        private final List<Long> images = new ArrayList<>();
        private final List<Double> loss = new ArrayList<>();
        private final List<Integer> patchSide = new ArrayList<>();
        private double sum;
        private int count;
        private double lastSeconds;
        private long lastImages;
        private int lastPatchSide;

        /**
         * A recorder that averages.
         *
         * @param window iterations in a point, at least 1
         * @throws IllegalArgumentException if the window is below 1
         */
        public Recorder(int window) {
            if (window < 1) {
                throw new IllegalArgumentException("A point of a loss curve needs at least 1 iteration, got " + window);
            }
            this.window = window;
        }

        /**
         * Adds one iteration.
         *
         * @param secondsSoFar time since training began
         * @param imagesSoFar images since then
         * @param iterationLoss cross-entropy of the iteration
         * @param p patch side of its stage
         */
        public void add(double secondsSoFar, long imagesSoFar, double iterationLoss, int p) {
            if (count > 0 && p != lastPatchSide) {
                closePoint();
            }
            sum += iterationLoss;
            count++;
            lastSeconds = secondsSoFar;
            lastImages = imagesSoFar;
            lastPatchSide = p;
            if (count == window) {
                closePoint();
            }
        }

        /** {@return the curve so far; an unfinished point becomes one} */
        public LossCurve curve() {
            if (count > 0) {
                closePoint();
            }
            return new LossCurve(seconds, images, loss, patchSide);
        }

        private void closePoint() {
            seconds.add(lastSeconds);
            images.add(lastImages);
            loss.add(sum / count);
            patchSide.add(lastPatchSide);
            sum = 0;
            count = 0;
        }
    }
}
