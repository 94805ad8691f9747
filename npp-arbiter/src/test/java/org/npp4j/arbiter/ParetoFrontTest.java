package org.npp4j.arbiter;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.npp4j.schedule.PatchStages;

class ParetoFrontTest {
    private static CandidateResult result(int index, double gflop, OptionalDouble score) {
        return new CandidateResult(
                index,
                new PatchPlan(PatchStages.parse("1:" + (index + 1)), null, null),
                score.isPresent() ? CandidateResult.Status.DONE : CandidateResult.Status.FAILED,
                score,
                score,
                1,
                gflop,
                1,
                "",
                "");
    }

    @Test
    void equalsTheNaiveFront() {
        Random random = new Random(4);
        for (int round = 0; round < 200; round++) {
            List<CandidateResult> results = new ArrayList<>();
            for (int i = 0; i < random.nextInt(12); i++) {
                // few values, so that there are ties
                results.add(result(
                        i,
                        random.nextInt(5),
                        random.nextInt(6) == 0 ? OptionalDouble.empty() : OptionalDouble.of(random.nextInt(5))));
            }
            List<CandidateResult> expected = results.stream()
                    .filter(each -> each.score().isPresent() && results.stream().noneMatch(other -> beats(other, each)))
                    .sorted(Comparator.comparingDouble(CandidateResult::gflop))
                    .toList();
            assertEquals(expected, ParetoFront.of(results));
        }
    }

    /** Of equal ones the first stays. */
    private static boolean beats(CandidateResult a, CandidateResult b) {
        if (a.score().isEmpty()) {
            return false;
        }
        double scoreA = a.score().getAsDouble();
        double scoreB = b.score().getAsDouble();
        boolean noWorse = scoreA <= scoreB && a.gflop() <= b.gflop();
        boolean equal = scoreA == scoreB && a.gflop() == b.gflop();
        return noWorse && (!equal || a.index() < b.index());
    }
}
