package org.npp4j.samples;

import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import org.npp4j.arbiter.CandidateResult;
import org.npp4j.arbiter.PatchPlan;
import org.npp4j.arbiter.SweepListener;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingStep;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Shows how a sweep goes: a bar for the candidate that is being trained, a line for each that is finished. */
final class SweepProgress implements SweepListener, AutoCloseable {
    private static final Logger LOG = LoggerFactory.getLogger(SweepProgress.class);

    private final Map<Integer, StepProgress> bars = new HashMap<>();
    private SweepFiles files;
    private int expected;
    private int started;

    /** Writes the report after each candidate. */
    synchronized void afterEach(SweepFiles report) {
        files = report;
    }

    /** So many candidates will be trained; 0 if nobody knows. */
    synchronized void expect(int count) {
        expected = count;
    }

    @Override
    public synchronized void onStart(int index, PatchPlan plan) {
        started++;
        LOG.info("Candidate {}{}: {}", started, expected == 0 ? "" : " of " + expected, plan);
    }

    @Override
    public synchronized void onStep(int index, PatchPlan plan, Trainer trainer, TrainingStep step) {
        StepProgress bar =
                bars.computeIfAbsent(index, i -> new StepProgress("#" + index, step.step() - 1L, trainer.totalSteps()));
        // bars of several would overwrite each other
        if (bars.size() == 1) {
            bar.update(step.step(), String.format(Locale.ROOT, "loss %.3f, p=%d", step.loss(), step.patchSide()));
        }
    }

    @Override
    public synchronized void onEnd(CandidateResult result) {
        StepProgress bar = bars.remove(result.index());
        if (bar != null) {
            bar.close();
        }
        switch (result.status()) {
            case DONE -> LOG.info(
                    "{}: score {}, {} of the operations of next-token prediction, {} s",
                    result.plan(),
                    String.format(Locale.ROOT, "%.4f", result.score().getAsDouble()),
                    String.format(Locale.ROOT, "%.3f", result.relativeCost()),
                    Math.round(result.seconds()));
            case STOPPED -> LOG.info("{}: stopped; the same command goes on", result.plan());
            case FAILED -> LOG.warn("{}: failed: {}", result.plan(), result.reason());
        }
        if (files != null) {
            files.refresh();
        }
    }

    @Override
    public synchronized void close() {
        bars.values().forEach(StepProgress::close);
        bars.clear();
    }
}
