package org.npp4j.arbiter;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingStep;

class SweepTest {
    @TempDir
    private Path folder;

    /** Counts what is trained. */
    private static final class Started implements SweepListener {
        private final ConcurrentLinkedQueue<String> names = new ConcurrentLinkedQueue<>();

        @Override
        public void onStart(int index, PatchPlan plan) {
            names.add(plan.name());
        }
    }

    @Test
    void theGridIsTrainedOnceAndEnds() throws IOException {
        Started started = new Started();
        List<CandidateResult> results = SmallSweeps.sweep(SmallSweeps.space().build(), folder)
                .listener(started)
                .build()
                .run();
        // level 1 has the same stages at both rates
        assertEquals(
                List.of("1:4", "2:2,1:4", "4:1,2:2,1:4", "2:3,1:4", "4:2,2:3,1:4"),
                results.stream().map(each -> each.plan().stages().toString()).toList());
        assertEquals(5, started.names.size());
        for (CandidateResult result : results) {
            assertEquals(CandidateResult.Status.DONE, result.status());
            assertEquals(result.testLoss(), result.score());
            assertTrue(result.score().getAsDouble() < Math.log(11), "it learns: " + result);
            assertTrue(result.seconds() > 0 && result.gflop() > 0);
        }
        assertEquals(1, results.get(0).relativeCost(), 1e-12);
        assertTrue(results.get(2).relativeCost() < results.get(1).relativeCost());
        JsonNode summary = new ObjectMapper().readTree(Files.readString(folder.resolve("sweep.json")));
        assertEquals(5, summary.get("candidates").size());
        assertEquals(
                Sweep.best(results).orElseThrow().folder(), summary.get("best").asText());
        assertEquals(ParetoFront.of(results).size(), summary.get("pareto_front").size());

        Started again = new Started();
        List<CandidateResult> more = SmallSweeps.sweep(
                        SmallSweeps.space().epochRates(0.5, 0.75, 0.25).build(), folder)
                .listener(again)
                .build()
                .run();
        assertEquals(List.of("2-1_1-4"), List.copyOf(again.names), "the wider grid has one new plan");
        assertEquals(6, more.size());
        assertEquals(scores(results), scores(more.subList(0, 5)));
    }

    private static List<String> scores(List<CandidateResult> results) {
        return results.stream()
                .map(each -> each.plan() + " " + each.score())
                .sorted()
                .toList();
    }

    @Test
    void candidatesInParallelGiveTheSame() throws IOException {
        List<CandidateResult> one = SmallSweeps.sweep(SmallSweeps.space().build(), folder.resolve("one"))
                .build()
                .run();
        List<CandidateResult> three = SmallSweeps.sweep(SmallSweeps.space().build(), folder.resolve("three"))
                .parallel(3)
                .build()
                .run();
        assertEquals(scores(one), scores(three));
    }

    @Test
    void aKilledSweepGoesOn() throws Exception {
        List<CandidateResult> undisturbed = SmallSweeps.sweep(
                        SmallSweeps.space().build(), folder.resolve("undisturbed"))
                .build()
                .run();
        Path killed = folder.resolve("killed");
        List<String> first = run(killed, "step 1 5");
        assertEquals(1, first.stream().filter(line -> line.equals("start 1")).count());
        List<String> second = run(killed, null);
        assertFalse(second.contains("start 0"), "the first candidate was finished: " + second);
        assertTrue(second.contains("start 1"), second.toString());
        assertFalse(second.contains("step 1 1"), "it goes on at a checkpoint: " + second);
        List<CandidateResult> results = SmallSweeps.sweep(SmallSweeps.space().build(), killed)
                .listener(new SweepListener() {
                    @Override
                    public void onStart(int index, PatchPlan plan) {
                        throw new AssertionError("nothing is left to train");
                    }
                })
                .build()
                .run();
        assertEquals(scores(undisturbed), scores(results), "to the bit");
        assertEquals(
                undisturbed.stream().map(CandidateResult::index).toList(),
                results.stream().map(CandidateResult::index).toList());
    }

    /** Runs until the end, or kills the process when it prints a line; returns what it printed. */
    private static List<String> run(Path folder, String killAt) throws IOException, InterruptedException {
        List<String> command = new ArrayList<>();
        command.add(ProcessHandle.current().info().command().orElseThrow());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(argument -> argument.startsWith("-X")
                        || argument.startsWith("--add-modules")
                        || argument.startsWith("-Dnpp")
                        || argument.startsWith("-Dorg.bytedeco"))
                .forEach(command::add);
        command.addAll(
                List.of("-cp", System.getProperty("java.class.path"), KilledSweep.class.getName(), folder.toString()));
        Process process = new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
        List<String> printed = new ArrayList<>();
        try (BufferedReader out = process.inputReader(StandardCharsets.UTF_8)) {
            for (String line = out.readLine(); line != null; line = out.readLine()) {
                printed.add(line);
                if (line.equals(killAt)) {
                    process.toHandle().destroyForcibly();
                }
            }
        }
        int code = process.waitFor();
        assertTrue(killAt != null || code == 0, "exit code " + code);
        return printed;
    }

    @Test
    void afterTheBudgetWhatIsTrainedStopsWithACheckpoint() throws IOException {
        PatchPlanSpace space = new PatchPlanSpace.Builder(100_000)
                .patchLevels(1, 2)
                .epochRates(0.5)
                .build();
        List<CandidateResult> results = SmallSweeps.sweep(space, folder)
                .checkpointEvery(Duration.ZERO)
                .budget(Duration.ofSeconds(2))
                .build()
                .run();
        assertEquals(1, results.size());
        assertEquals(CandidateResult.Status.STOPPED, results.get(0).status());
        assertTrue(results.get(0).score().isEmpty());
        List<Integer> steps = new ArrayList<>();
        Sweep next = SmallSweeps.sweep(space, folder)
                .listener(new SweepListener() {
                    @Override
                    public void onStep(int index, PatchPlan plan, Trainer trainer, TrainingStep step) {
                        steps.add(step.step());
                        trainer.stop();
                    }
                })
                .candidates(1)
                .build();
        next.run();
        assertTrue(steps.get(0) > 1, "it goes on at the checkpoint: step " + steps);
    }

    @Test
    void whatFailsIsNotedAndTheRestIsTrained() throws IOException {
        PatchPlanSpace space = new PatchPlanSpace.Builder(2)
                .patchLevels(1)
                .learningRates(1e30, 1e-2)
                .build();
        List<CandidateResult> results = SmallSweeps.sweep(space, folder).build().run();
        assertEquals(
                List.of(CandidateResult.Status.FAILED, CandidateResult.Status.DONE),
                results.stream().map(CandidateResult::status).toList());
        assertTrue(results.get(0).reason().contains("step"), results.get(0).reason());
        Started started = new Started();
        SmallSweeps.sweep(space, folder).listener(started).build().run();
        assertEquals(0, started.names.size(), "a failed candidate is not repeated");
        SmallSweeps.sweep(space, folder)
                .listener(started)
                .retryFailed(true)
                .build()
                .run();
        assertEquals(1, started.names.size(), "unless it is asked for");
    }

    @Test
    void pointsThatAreNoPlanAreLeftOut() throws IOException {
        // 4 epochs do not hold the stages of level 3 at rate 0.1
        PatchPlanSpace space =
                new PatchPlanSpace.Builder(4).patchLevels(1, 3).epochRates(0.1).build();
        List<CandidateResult> results = SmallSweeps.sweep(space, folder).build().run();
        assertEquals(
                List.of("1:4"),
                results.stream().map(each -> each.plan().stages().toString()).toList());
    }

    @Test
    void randomSearchRepeatsAndEndsWhenNothingIsNew() throws IOException {
        PatchPlanSpace space = SmallSweeps.space().build();
        List<CandidateResult> some = SmallSweeps.sweep(space, folder.resolve("a"))
                .generator(Sweep.Generator.RANDOM)
                .seed(3)
                .candidates(3)
                .build()
                .run();
        List<CandidateResult> same = SmallSweeps.sweep(space, folder.resolve("b"))
                .generator(Sweep.Generator.RANDOM)
                .seed(3)
                .candidates(3)
                .build()
                .run();
        assertEquals(3, some.size());
        assertEquals(
                some.stream().map(CandidateResult::plan).toList(),
                same.stream().map(CandidateResult::plan).toList());
        List<CandidateResult> all = SmallSweeps.sweep(space, folder.resolve("a"))
                .generator(Sweep.Generator.RANDOM)
                .seed(3)
                .candidates(100)
                .build()
                .run();
        assertEquals(5, all.size(), "all plans that there are");
    }

    @Test
    void geneticSearchLearnsFromEarlierRuns() throws IOException {
        PatchPlanSpace space = new PatchPlanSpace.Builder(4)
                .patchLevels(1, 2, 3)
                .epochRates(0.5, 0.75)
                .learningRateBetween(1e-4, 1e-1)
                .build();
        List<CandidateResult> whole = SmallSweeps.sweep(space, folder.resolve("whole"))
                .generator(Sweep.Generator.GENETIC)
                .seed(1)
                .candidates(6)
                .build()
                .run();
        assertEquals(6, new HashSet<>(whole.stream().map(CandidateResult::plan).toList()).size());
        Path parts = folder.resolve("parts");
        Sweep.Builder[] stopping = new Sweep.Builder[1];
        Sweep[] stopped = new Sweep[1];
        stopping[0] = SmallSweeps.sweep(space, parts)
                .generator(Sweep.Generator.GENETIC)
                .seed(1)
                .candidates(6)
                .listener(new SweepListener() {
                    @Override
                    public void onEnd(CandidateResult result) {
                        if (result.index() == 3) {
                            stopped[0].stop();
                        }
                    }
                });
        stopped[0] = stopping[0].build();
        assertTrue(stopped[0].run().size() < 6);
        List<CandidateResult> resumed = SmallSweeps.sweep(space, parts)
                .generator(Sweep.Generator.GENETIC)
                .seed(1)
                .candidates(6)
                .build()
                .run();
        assertEquals(scores(whole), scores(resumed));
    }

    @Test
    void otherSettingsAndSecondRunsAreRefused() throws IOException {
        PatchPlanSpace space = new PatchPlanSpace.Builder(1).patchLevels(1).build();
        SmallSweeps.sweep(space, folder).build().run();
        assertMessage("images", () -> SmallSweeps.sweep(space, folder)
                .dataDescription(Map.of("images", "25"))
                .build());
        assertMessage("relative cost", () -> SmallSweeps.sweep(space, folder)
                .score(new CostWeightedScore(new TestLossScore(), 0.1))
                .build());
        assertMessage("global_batch_size: 8 -> 4", () -> new Sweep.Builder(
                        space,
                        org.npp4j.llamagen.training.TrainingPlan.of(
                                        SmallSweeps.plan().model())
                                .batchSize(4)
                                .learningRate(1e-2)
                                .seed(5)
                                .build(),
                        SmallSweeps::trainer,
                        folder)
                .dataDescription(SmallSweeps.DATA)
                .build());
        Sweep second = SmallSweeps.sweep(SmallSweeps.space().build(), folder)
                .listener(new SweepListener() {
                    @Override
                    public void onStart(int index, PatchPlan plan) {
                        assertMessage(
                                "Another process",
                                () -> SmallSweeps.sweep(space, folder).build().run());
                    }
                })
                .build();
        second.run();
        assertThrows(IllegalArgumentException.class, () -> SmallSweeps.sweep(space, folder)
                .generator(Sweep.Generator.RANDOM)
                .build());
    }

    @Test
    void costWeighsInTheScore() throws IOException {
        Set<Double> seen = new HashSet<>();
        List<CandidateResult> results = SmallSweeps.sweep(SmallSweeps.space().build(), folder)
                .score(new CostWeightedScore(new TestLossScore(), 0.5))
                .build()
                .run();
        for (CandidateResult result : results) {
            assertEquals(
                    result.testLoss().getAsDouble() * Math.sqrt(result.relativeCost()),
                    result.score().getAsDouble(),
                    1e-12);
            seen.add(result.relativeCost());
        }
        assertTrue(seen.size() > 1);
    }

    private interface Call {
        void run() throws IOException;
    }

    private static void assertMessage(String part, Call call) {
        String message = assertThrows(IllegalStateException.class, call::run).getMessage();
        assertTrue(message.contains(part), message);
    }
}
