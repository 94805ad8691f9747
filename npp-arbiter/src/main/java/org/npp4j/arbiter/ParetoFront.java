package org.npp4j.arbiter;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;

/** The candidates that no other one beats: none is both no worse and cheaper, or no dearer and better. */
public final class ParetoFront {
    private ParetoFront() {}

    /**
     * The front of score against operations. Of candidates with equal score and cost the first stays.
     *
     * @param results of a sweep; those without a score are left out
     * @return the front, cheapest first
     */
    public static List<CandidateResult> of(List<CandidateResult> results) {
        List<CandidateResult> sorted = results.stream()
                .filter(result -> result.score().isPresent()
                        && !Double.isNaN(result.score().getAsDouble()))
                .sorted(Comparator.comparingDouble(CandidateResult::gflop)
                        .thenComparingDouble(result -> result.score().getAsDouble()))
                .toList();
        List<CandidateResult> front = new ArrayList<>();
        double best = Double.POSITIVE_INFINITY;
        for (CandidateResult result : sorted) {
            if (result.score().getAsDouble() < best) {
                best = result.score().getAsDouble();
                front.add(result);
            }
        }
        return front;
    }
}
