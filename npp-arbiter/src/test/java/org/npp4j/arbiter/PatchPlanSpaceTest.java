package org.npp4j.arbiter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.deeplearning4j.arbiter.optimize.api.CandidateGenerator;
import org.deeplearning4j.arbiter.optimize.generator.GridSearchCandidateGenerator;
import org.deeplearning4j.arbiter.optimize.generator.RandomSearchGenerator;
import org.junit.jupiter.api.Test;
import org.npp4j.schedule.PatchStages;

class PatchPlanSpaceTest {
    private static CandidateGenerator grid(PatchPlanSpace space, int values) {
        return new GridSearchCandidateGenerator(space, values, GridSearchCandidateGenerator.Mode.Sequential, null);
    }

    private static List<PatchPlan> all(CandidateGenerator generator) {
        List<PatchPlan> plans = new ArrayList<>();
        while (generator.hasMoreCandidates()) {
            plans.add((PatchPlan) generator.getCandidate().getValue());
        }
        return plans;
    }

    @Test
    void theGridIsEveryCombination() {
        PatchPlanSpace space = new PatchPlanSpace.Builder(20)
                .patchLevels(2, 3)
                .epochRates(0.3, 0.5, 0.7)
                .learningRates(1e-3, 2e-3)
                .decayRatios(0.1, 0.2)
                .build();
        Set<PatchPlan> expected = new LinkedHashSet<>();
        for (int level : new int[] {2, 3}) {
            for (double rate : new double[] {0.3, 0.5, 0.7}) {
                for (double learningRate : new double[] {1e-3, 2e-3}) {
                    for (double decay : new double[] {0.1, 0.2}) {
                        expected.add(new PatchPlan(PatchStages.ofEpochs(20, rate, level), learningRate, decay));
                    }
                }
            }
        }
        List<PatchPlan> plans = all(grid(space, 3));
        assertEquals(24, plans.size());
        assertEquals(expected, new LinkedHashSet<>(plans));
        assertEquals(4, space.numParameters());
    }

    @Test
    void aParameterOfOneValueMovesNoOther() {
        PatchPlanSpace space = new PatchPlanSpace.Builder(20)
                .patchLevels(2)
                .epochRates(0.5)
                .learningRates(1e-3, 2e-3)
                .build();
        assertEquals(1, space.numParameters());
        assertEquals(
                List.of(1e-3, 2e-3),
                all(grid(space, 3)).stream().map(PatchPlan::learningRate).toList());
    }

    @Test
    void rangesAreCoveredFromEndToEnd() {
        PatchPlanSpace space = new PatchPlanSpace.Builder(100)
                .patchLevels(2)
                .epochRateBetween(0.25, 0.75)
                .learningRateBetween(1e-4, 1e-2)
                .build();
        List<PatchPlan> plans = all(grid(space, 3));
        assertEquals(9, plans.size());
        assertEquals(
                List.of("2:25,1:100", "2:50,1:100", "2:75,1:100"),
                plans.stream().map(plan -> plan.stages().toString()).distinct().toList());
        assertEquals(1e-4, plans.get(0).learningRate(), 1e-12);
        assertEquals(1e-3, plans.get(3).learningRate(), 1e-9, "uniform in the logarithm");
        assertEquals(1e-2, plans.get(8).learningRate(), 1e-9);
        RandomSearchGenerator random = new RandomSearchGenerator(space);
        random.setRngSeed(3);
        for (int i = 0; i < 200; i++) {
            PatchPlan plan = (PatchPlan) random.getCandidate().getValue();
            int end = plan.stages().stages().get(0).end();
            assertTrue(end >= 25 && end <= 75, plan.toString());
            assertTrue(plan.learningRate() >= 1e-4 && plan.learningRate() <= 1e-2, plan.toString());
        }
    }

    @Test
    void stagesOfOnesOwn() {
        PatchPlanSpace space = new PatchPlanSpace.Builder(1)
                .stages(List.of("4:3,2:6,1:12", "1:12"))
                .build();
        assertEquals(
                List.of("4:3,2:6,1:12", "1:12"),
                all(grid(space, 3)).stream()
                        .map(plan -> plan.stages().toString())
                        .toList());
        assertNull(all(grid(space, 3)).get(0).learningRate());
    }

    @Test
    void jsonGivesTheSameSpace() {
        for (PatchPlanSpace space : List.of(
                new PatchPlanSpace.Builder(20).build(),
                new PatchPlanSpace.Builder(20)
                        .patchLevels(2)
                        .epochRateBetween(0.2, 0.8)
                        .learningRateBetween(1e-4, 1e-2)
                        .decayRatios(0.1, 0.3)
                        .build(),
                new PatchPlanSpace.Builder(20)
                        .stages(List.of("2:6,1:12", "1:12"))
                        .build())) {
            PatchPlanSpace read = PatchPlanSpace.fromJson(space.toJson());
            assertEquals(space, read);
            assertEquals(space.hashCode(), read.hashCode());
            assertEquals(space.toString(), read.toString());
            assertEquals(all(grid(space, 3)), all(grid(read, 3)));
        }
        assertThrows(IllegalArgumentException.class, () -> PatchPlanSpace.fromJson("{"));
    }

    @Test
    void aPlanChangesWhatItNames() {
        var plan = SmallSweeps.plan();
        PatchPlan same = new PatchPlan(plan.stages(), null, null);
        assertEquals(List.of(), plan.differences(same.applyTo(plan)));
        PatchPlan other = new PatchPlan(PatchStages.parse("2:1,1:4"), 3e-3, 0.4);
        assertEquals(
                List.of(
                        "decay_ratio: 0.2 -> 0.4",
                        "lr: 0.01 -> 0.003",
                        "patch_stages: 2:150,1:300 -> 2:1,1:4",
                        "scheduler: false -> true"),
                plan.differences(other.applyTo(plan)));
        assertEquals("2-1_1-4_lr0.003_decay0.4", other.name());
    }

    @Test
    void wrongValuesAreNamed() {
        PatchPlanSpace.Builder builder = new PatchPlanSpace.Builder(10);
        assertMessage("got 0", () -> new PatchPlanSpace.Builder(0));
        assertMessage("got 1.0", () -> builder.epochRates(0.5, 1));
        assertMessage("got 0.7 to 0.3", () -> builder.epochRateBetween(0.7, 0.3));
        assertMessage("got 0", () -> builder.patchLevels(0));
        assertMessage("at least one patch level", builder::patchLevels);
        assertMessage("got -1.0", () -> builder.learningRates(-1));
        assertMessage("got 2.0 to 1.0", () -> builder.learningRateBetween(2, 1));
        assertMessage("got 1.5", () -> builder.decayRatios(1.5));
        assertMessage("one or the other", () -> new PatchPlanSpace.Builder(10)
                .stages(List.of("1:10"))
                .patchLevels(2)
                .build());
    }

    private static void assertMessage(String part, Runnable call) {
        String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
        assertTrue(message.contains(part), message);
    }
}
