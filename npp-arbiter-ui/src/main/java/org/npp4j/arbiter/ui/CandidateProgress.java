package org.npp4j.arbiter.ui;

import java.util.ArrayList;
import java.util.List;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.PatchPlan;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingStep;

/** What is known of a candidate while it is trained, and its loss curve. */
final class CandidateProgress {
    /** Points of a whole curve at most, in about. */
    private static final int POINTS = 100;

    /**
     * A point of the curve.
     *
     * @param patchSide p
     * @param epoch trained so far, a fraction
     * @param loss mean of the steps since the point before
     */
    record Point(int patchSide, double epoch, double loss) {}

    private final PatchPlan plan;
    private final long started;
    private final List<Point> curve = new ArrayList<>();
    private CandidateResult result;
    private TrainingStep last;
    private int totalSteps;
    private long parameters;
    private double sum;
    private int count;

    CandidateProgress(PatchPlan plan, long started) {
        this.plan = plan;
        this.started = started;
    }

    PatchPlan plan() {
        return plan;
    }

    long started() {
        return started;
    }

    synchronized void add(Trainer trainer, TrainingStep step) {
        if (last == null) {
            totalSteps = trainer.totalSteps();
            parameters = trainer.network().numParams();
        }
        int every = Math.max(1, totalSteps / POINTS);
        if (last != null && last.patchSide() != step.patchSide()) {
            // losses of two patch sides have no mean
            sum = 0;
            count = 0;
        }
        sum += step.loss();
        count++;
        if (count == every || step.step() == totalSteps) {
            curve.add(new Point(step.patchSide(), step.step() / (double) trainer.batchesPerEpoch(), sum / count));
            sum = 0;
            count = 0;
        }
        last = step;
    }

    synchronized void end(CandidateResult ended) {
        result = ended;
    }

    /** {@return what became of it; null while it is trained} */
    synchronized CandidateResult result() {
        return result;
    }

    /** {@return steps made; 0 before the first} */
    synchronized int steps() {
        return last == null ? 0 : last.step();
    }

    synchronized int totalSteps() {
        return totalSteps;
    }

    synchronized long parameters() {
        return parameters;
    }

    synchronized List<Point> curve() {
        return List.copyOf(curve);
    }
}
