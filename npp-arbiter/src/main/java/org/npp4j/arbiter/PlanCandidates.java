package org.npp4j.arbiter;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalDouble;
import java.util.function.BooleanSupplier;
import java.util.function.Function;
import org.deeplearning4j.arbiter.optimize.api.Candidate;
import org.deeplearning4j.arbiter.optimize.api.CandidateGenerator;
import org.deeplearning4j.arbiter.optimize.api.OptimizationResult;
import org.deeplearning4j.arbiter.optimize.api.ParameterSpace;
import org.deeplearning4j.arbiter.optimize.runner.CandidateInfo;
import org.deeplearning4j.arbiter.optimize.runner.CandidateStatus;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What another generator proposes, less what need not be trained: plans that were proposed before, and those whose result is
 * known from an earlier run. The scores of these are told to the generator, so that a genetic search learns from them.
 */
final class PlanCandidates implements CandidateGenerator {
    private static final Logger log = LoggerFactory.getLogger(PlanCandidates.class);
    /** So many proposals in a row that are nothing new: there is nothing new. */
    private static final int PATIENCE = 1000;

    /** A finished candidate of an earlier run: its score, none if it failed. */
    @FunctionalInterface
    interface Finished extends Function<PatchPlan, OptionalDouble> {
        /** {@return the score, empty if it failed; null if it is not finished} */
        @Override
        OptionalDouble apply(PatchPlan plan);
    }

    private final CandidateGenerator source;
    private final int limit;
    private final Finished finished;
    private final Map<PatchPlan, Integer> proposed = new LinkedHashMap<>();
    private final Map<PatchPlan, Double> scores = new HashMap<>();
    private final Map<String, String> refused = new LinkedHashMap<>();
    private Candidate<PatchPlan> next;
    private boolean exhausted;
    private BooleanSupplier busy = () -> false;
    private volatile boolean stopped;

    PlanCandidates(CandidateGenerator source, int limit, Finished finished) {
        this.source = source;
        this.limit = limit;
        this.finished = finished;
    }

    /** {@return the plans in the order of their numbers} */
    Map<PatchPlan, Integer> proposed() {
        return Map.copyOf(proposed);
    }

    /** {@return points of the space that are no plan, by what is wrong with them} */
    Map<String, String> refused() {
        return Map.copyOf(refused);
    }

    /** No further candidates. From any thread. */
    void stop() {
        stopped = true;
    }

    /**
     * Arbiter's runner asks for more while it can take none. Nothing is drawn then: a genetic search would not know the
     * results of what is being trained, and a sweep that goes on would draw others.
     *
     * @param busy whether the runner can take no candidate now
     */
    void drawUnless(BooleanSupplier busy) {
        this.busy = busy;
    }

    @Override
    public boolean hasMoreCandidates() {
        if (stopped || exhausted && next == null) {
            return false;
        }
        if (next == null && busy.getAsBoolean()) {
            return true;
        }
        find();
        return next != null;
    }

    private void find() {
        for (int attempt = 0; next == null && !exhausted; attempt++) {
            if (proposed.size() >= limit || attempt == PATIENCE || !source.hasMoreCandidates()) {
                exhausted = true;
                return;
            }
            Candidate<PatchPlan> candidate = typed(source.getCandidate());
            if (candidate.getException() != null) {
                String reason = String.valueOf(candidate.getException().getMessage());
                if (refused.put(reason, reason) == null) {
                    log.warn("A point of the space is no plan: {}", reason);
                }
                continue;
            }
            PatchPlan plan = candidate.getValue();
            if (proposed.containsKey(plan)) {
                if (scores.containsKey(plan)) {
                    tell(candidate, scores.get(plan));
                }
                continue;
            }
            int index = proposed.size();
            proposed.put(plan, index);
            OptionalDouble known = finished.apply(plan);
            if (known == null) {
                next = new Candidate<>(plan, index, candidate.getFlatParameters(), candidate.getDataParameters(), null);
            } else {
                attempt = 0;
                if (known.isPresent()) {
                    scores.put(plan, known.getAsDouble());
                    tell(candidate, known.getAsDouble());
                }
            }
        }
    }

    private void tell(Candidate<PatchPlan> candidate, double score) {
        CandidateInfo info = new CandidateInfo(
                candidate.getIndex(),
                CandidateStatus.Complete,
                score,
                0,
                null,
                null,
                candidate.getFlatParameters(),
                null);
        source.reportResults(new OptimizationResult(candidate, score, candidate.getIndex(), null, info, null));
    }

    @SuppressWarnings("unchecked") // the space's type, which Arbiter's generators do not carry
    private static Candidate<PatchPlan> typed(Candidate<?> candidate) {
        return (Candidate<PatchPlan>) candidate;
    }

    @Override
    public Candidate<PatchPlan> getCandidate() {
        find();
        Candidate<PatchPlan> candidate = Objects.requireNonNull(next, "There are no more candidates");
        next = null;
        return candidate;
    }

    @Override
    public void reportResults(OptimizationResult result) {
        if (result.getScore() != null) {
            scores.put(typed(result.getCandidate()).getValue(), result.getScore());
            source.reportResults(result);
        }
    }

    @Override
    public ParameterSpace<?> getParameterSpace() {
        return source.getParameterSpace();
    }

    @Override
    public void setRngSeed(long seed) {
        source.setRngSeed(seed);
    }

    @Override
    public Class<?> getCandidateType() {
        return PatchPlan.class;
    }

    @Override
    public String toString() {
        return source.toString();
    }
}
