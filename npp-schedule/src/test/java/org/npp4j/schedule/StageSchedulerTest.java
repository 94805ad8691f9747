package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.deeplearning4j.earlystopping.EarlyStoppingConfiguration;
import org.deeplearning4j.earlystopping.saver.InMemoryModelSaver;
import org.deeplearning4j.earlystopping.scorecalc.DataSetLossCalculator;
import org.deeplearning4j.earlystopping.termination.MaxEpochsTerminationCondition;
import org.deeplearning4j.earlystopping.trainer.EarlyStoppingGraphTrainer;
import org.deeplearning4j.earlystopping.trainer.EarlyStoppingTrainer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.graph.FrozenVertex;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.preprocessor.ComposableInputPreProcessor;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.Adam;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.TokenGrid;
import org.npp4j.schedule.TokenNetworks.Kind;

class StageSchedulerTest {
    private static final PatchStages EPOCHS = PatchStages.parse("4:1,2:3,1:5");
    private static final PatchStages ITERATIONS = PatchStages.parse("4:2it,2:5it,1:8it");

    /** Writes down the length of the sequence behind the PatchAverage, as a side, and the counters of each event. */
    private static final class Recorder extends BaseTrainingListener {
        final List<Integer> sides = Collections.synchronizedList(new ArrayList<>());
        final List<String> events = Collections.synchronizedList(new ArrayList<>());

        @Override
        public void onEpochStart(Model model) {
            events.add("start e" + NetworkAccess.epoch(model) + " i" + NetworkAccess.iteration(model));
        }

        @Override
        public void onEpochEnd(Model model) {
            events.add("end e" + NetworkAccess.epoch(model) + " i" + NetworkAccess.iteration(model));
        }

        @Override
        public void onForwardPass(Model model, List<INDArray> activations) {
            // MultiLayerNetwork: input, embedding, LSTM [B, K, D], ..
            record(activations.get(2));
        }

        @Override
        public void onForwardPass(Model model, Map<String, INDArray> activations) {
            record(activations.get("lstm"));
        }

        private void record(INDArray sequence) {
            sides.add(TokenNetworks.GRID.patchSideFor(sequence.size(1)));
        }

        @Override
        public void iterationDone(Model model, int iteration, int epoch) {
            assertEquals(NetworkAccess.iteration(model), iteration);
            assertEquals(NetworkAccess.epoch(model), epoch);
            events.add("done e" + epoch + " i" + iteration);
        }
    }

    private static int side(Model model) {
        return StageScheduler.patchAveragesOf(model).get(0).getPatchSide();
    }

    private static Model saveAndRestore(Kind kind, Model model, Path folder) throws Exception {
        File file = Files.createTempFile(folder, "network", ".zip").toFile();
        ModelSerializer.writeModel(model, file, true);
        return kind == Kind.MULTI_LAYER
                ? ModelSerializer.restoreMultiLayerNetwork(file, true)
                : ModelSerializer.restoreComputationGraph(file, true);
    }

    /** What every other test relies on: how Deeplearning4j counts. */
    @ParameterizedTest
    @EnumSource
    void countersStandAtTheIterationThatRuns(Kind kind, @TempDir Path folder) throws Exception {
        Recorder recorder = new Recorder();
        Model model = TokenNetworks.network(kind);
        model.setListeners(recorder);
        TokenNetworks.fit(model, TokenNetworks.batches(), 2);
        assertEquals(
                List.of(
                        "start e0 i0",
                        "done e0 i0",
                        "done e0 i1",
                        "done e0 i2",
                        "end e0 i3", //
                        "start e1 i3",
                        "done e1 i3",
                        "done e1 i4",
                        "done e1 i5",
                        "end e1 i6"),
                recorder.events);
        Model restored = saveAndRestore(kind, model, folder);
        assertEquals(2, NetworkAccess.epoch(restored));
        assertEquals(6, NetworkAccess.iteration(restored));
        recorder.events.clear();
        restored.setListeners(recorder);
        TokenNetworks.fit(restored, TokenNetworks.batch(1));
        assertEquals(List.of("done e2 i6"), recorder.events);
    }

    @ParameterizedTest
    @EnumSource
    void switchesBetweenEpochs(Kind kind) {
        Recorder recorder = new Recorder();
        List<StageSwitch> switches = new ArrayList<>();
        Model model = TokenNetworks.network(kind);
        model.setListeners(recorder);
        new StageScheduler(EPOCHS).onSwitch(switches::add).attachTo(model);
        assertEquals(4, side(model));
        TokenNetworks.fit(model, TokenNetworks.batches(), 6);
        assertEquals(List.of(4, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 1), recorder.sides);
        assertEquals(
                List.of(new StageSwitch(0, 4, 0, 0), new StageSwitch(1, 2, 1, 3), new StageSwitch(2, 1, 3, 9)),
                switches);
    }

    @ParameterizedTest
    @EnumSource
    void needsOnlySetListenersInEpochs(Kind kind) {
        Recorder recorder = new Recorder();
        Model model = TokenNetworks.network(kind);
        model.setListeners(new StageScheduler(EPOCHS), recorder);
        for (int epoch = 0; epoch < 4; epoch++) {
            TokenNetworks.fit(model, TokenNetworks.batches(), 1);
        }
        assertEquals(List.of(4, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 1), recorder.sides);
    }

    @ParameterizedTest
    @EnumSource
    void switchesBetweenIterationsOfSingleFits(Kind kind) {
        Recorder recorder = new Recorder();
        List<StageSwitch> switches = new ArrayList<>();
        Model model = TokenNetworks.network(kind);
        model.setListeners(recorder);
        new StageScheduler(ITERATIONS).onSwitch(switches::add).attachTo(model);
        for (int i = 0; i < 9; i++) {
            TokenNetworks.fit(model, TokenNetworks.batch(i));
        }
        assertEquals(List.of(4, 4, 2, 2, 2, 1, 1, 1, 1), recorder.sides);
        assertEquals(
                List.of(new StageSwitch(0, 4, 0, 0), new StageSwitch(1, 2, 0, 2), new StageSwitch(2, 1, 0, 5)),
                switches);
    }

    @ParameterizedTest
    @EnumSource
    void switchesBetweenIterationsInsideEpochs(Kind kind) {
        Recorder recorder = new Recorder();
        Model model = TokenNetworks.network(kind);
        // no attachTo: the first epoch event comes before the first forward pass
        model.setListeners(new StageScheduler(ITERATIONS), recorder);
        TokenNetworks.fit(model, TokenNetworks.batches(), 3);
        assertEquals(List.of(4, 4, 2, 2, 2, 1, 1, 1, 1), recorder.sides);
    }

    @ParameterizedTest
    @EnumSource
    void continuesToTheBitAfterRestoreInMidStage(Kind kind, @TempDir Path folder) throws Exception {
        for (int done : new int[] {1, 2, 4, 5, 6}) {
            StageLearningRate rate = new StageLearningRate.Builder(ITERATIONS)
                    .learningRate(0.05)
                    .endLearningRate(0.01)
                    .warmup(1)
                    .decayRatio(0.5)
                    .build();
            Model model = TokenNetworks.network(kind, new Adam(rate), 1);
            new StageScheduler(ITERATIONS).attachTo(model);
            model.addListeners(new GlobalNormClipping(0.1));
            for (int i = 0; i < done; i++) {
                TokenNetworks.fit(model, TokenNetworks.batch(i));
            }
            Model restored = saveAndRestore(kind, model, folder);
            Recorder recorder = new Recorder();
            restored.setListeners(recorder);
            new StageScheduler(ITERATIONS).attachTo(restored);
            restored.addListeners(new GlobalNormClipping(0.1));
            for (int i = done; i < 9; i++) {
                TokenNetworks.fit(model, TokenNetworks.batch(i));
                TokenNetworks.fit(restored, TokenNetworks.batch(i));
                assertEquals(model.score(), restored.score());
            }
            assertEquals(List.of(4, 4, 2, 2, 2, 1, 1, 1, 1).subList(done, 9), recorder.sides);
            assertEquals(model.params(), restored.params());
        }
    }

    @ParameterizedTest
    @EnumSource
    void continuesToTheBitAfterRestoreBetweenEpochs(Kind kind, @TempDir Path folder) throws Exception {
        Model model = TokenNetworks.network(kind);
        new StageScheduler(EPOCHS).attachTo(model);
        TokenNetworks.fit(model, TokenNetworks.batches(), 2);
        Model restored = saveAndRestore(kind, model, folder);
        // as it would be after sampling, which is always next-token
        StageScheduler.patchAveragesOf(restored).forEach(average -> average.setPatchSide(1));
        new StageScheduler(EPOCHS).attachTo(restored);
        assertEquals(2, side(restored));
        TokenNetworks.fit(model, TokenNetworks.batches(), 3);
        TokenNetworks.fit(restored, TokenNetworks.batches(), 3);
        assertEquals(1, side(restored));
        assertEquals(model.params(), restored.params());
    }

    @ParameterizedTest
    @EnumSource
    void worksWithEarlyStopping(Kind kind) {
        Recorder recorder = new Recorder();
        Model model = TokenNetworks.network(kind);
        model.setListeners(recorder);
        new StageScheduler(EPOCHS).attachTo(model);
        if (model instanceof MultiLayerNetwork network) {
            new EarlyStoppingTrainer(stopping(MultiLayerNetwork.class), network, TokenNetworks.batches()).fit();
        } else {
            new EarlyStoppingGraphTrainer(
                            stopping(ComputationGraph.class), (ComputationGraph) model, TokenNetworks.batches())
                    .fit();
        }
        assertEquals(List.of(4, 4, 4, 2, 2, 2, 2, 2, 2, 1, 1, 1), recorder.sides);
        // the trainer fires the events itself and counts epochs in its own way
        assertEquals("start e0 i0", recorder.events.get(0));
        assertEquals("end e3 i12", recorder.events.get(recorder.events.size() - 1));
        assertEquals(3, NetworkAccess.epoch(model));
    }

    private static <T extends Model> EarlyStoppingConfiguration<T> stopping(Class<T> type) {
        return new EarlyStoppingConfiguration.Builder<T>()
                .epochTerminationConditions(new MaxEpochsTerminationCondition(4))
                .scoreCalculator(new DataSetLossCalculator(TokenNetworks.batches(), true))
                .modelSaver(new InMemoryModelSaver<>())
                .build();
    }

    @Test
    void servesSeveralNetworksInSeveralThreads() throws Exception {
        StageScheduler shared = new StageScheduler(ITERATIONS);
        List<Model> models = new ArrayList<>();
        List<Recorder> recorders = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            Model model = TokenNetworks.network(i % 2 == 0 ? Kind.GRAPH : Kind.MULTI_LAYER);
            Recorder recorder = new Recorder();
            model.setListeners(recorder);
            // each network begins at another iteration
            for (int done = 0; done < i; done++) {
                TokenNetworks.fit(model, TokenNetworks.batch(done));
            }
            recorder.sides.clear();
            models.add(model);
            recorders.add(recorder);
            shared.attachTo(model);
        }
        ExecutorService threads = Executors.newFixedThreadPool(4);
        try {
            List<Callable<Void>> jobs = new ArrayList<>();
            for (Model model : models) {
                jobs.add(() -> {
                    while (NetworkAccess.iteration(model) < 9) {
                        TokenNetworks.fit(model, TokenNetworks.batch(NetworkAccess.iteration(model)));
                    }
                    return null;
                });
            }
            for (Future<Void> job : threads.invokeAll(jobs)) {
                job.get();
            }
        } finally {
            threads.shutdown();
        }
        for (int i = 0; i < models.size(); i++) {
            assertEquals(List.of(4, 4, 2, 2, 2, 1, 1, 1, 1).subList(i, 9), recorders.get(i).sides);
        }
    }

    /** Replicas made from JSON, as ParallelWrapper makes them. */
    @Test
    void replicasHavePatchAveragesOfTheirOwn() {
        ComputationGraph graph = (ComputationGraph) TokenNetworks.network(Kind.GRAPH);
        StageScheduler shared = new StageScheduler(ITERATIONS).attachTo(graph);
        ComputationGraph replica = new ComputationGraph(
                ComputationGraphConfiguration.fromJson(graph.getConfiguration().toJson()));
        replica.init();
        replica.setListeners(shared);
        for (int i = 0; i < 3; i++) {
            replica.fit(TokenNetworks.batch(i));
        }
        assertEquals(2, side(replica));
        assertEquals(4, side(graph));
    }

    @Test
    void findsEveryPatchAverage() {
        TokenGrid quarter = TokenGrid.of(2, 2);
        PatchAverage first = new PatchAverage(TokenNetworks.GRID, 2, RNNFormat.NWC);
        PatchAverage second = new PatchAverage(quarter, 1, RNNFormat.NWC);
        ComputationGraph graph = new ComputationGraph(TokenNetworks.settings(new Adam(0.01))
                .graphBuilder()
                .addInputs("tokens")
                .addLayer("embedding", TokenNetworks.embedding(), "tokens")
                .addVertex("frozen", new FrozenVertex(new PreprocessorVertex(first)), "embedding")
                .addLayer("lstm", TokenNetworks.lstm(), new ComposableInputPreProcessor(second), "frozen")
                .addLayer("pooling", TokenNetworks.pooling(), "lstm")
                .addLayer("output", TokenNetworks.output(), "pooling")
                .setOutputs("output")
                .build());
        graph.init();
        List<PatchAverage> found = StageScheduler.patchAveragesOf(graph);
        assertEquals(2, found.size());
        assertEquals(
                new HashSet<>(List.of(TokenNetworks.GRID, quarter)),
                new HashSet<>(List.of(found.get(0).getGrid(), found.get(1).getGrid())));
        // they are the live ones: setting them changes what the network computes
        found.forEach(average -> average.setPatchSide(2));
        assertEquals(
                1,
                graph.feedForward(TokenNetworks.batch(1).getFeatures(), false)
                        .get("lstm")
                        .size(1));
    }

    @Test
    void attachesOnceAndKeepsTheOthers() {
        Model model = TokenNetworks.network(Kind.GRAPH);
        Recorder recorder = new Recorder();
        model.setListeners(recorder);
        StageScheduler scheduler = new StageScheduler(EPOCHS);
        assertSame(scheduler, scheduler.attachTo(model).attachTo(model));
        assertEquals(List.of(recorder, scheduler), new ArrayList<>(NetworkAccess.listeners(model)));
        String message = assertThrows(
                        IllegalArgumentException.class, () -> new StageScheduler(ITERATIONS).attachTo(model))
                .getMessage();
        assertTrue(message.contains("already has a StageScheduler (4:1,2:3,1:5)"), message);
    }

    @ParameterizedTest
    @EnumSource
    void refusesStagesThatDoNotFit(Kind kind) {
        StageScheduler scheduler = new StageScheduler(PatchStages.parse("2:1,3:2,1:3"));
        Model model = TokenNetworks.network(kind);
        String message = assertThrows(IllegalArgumentException.class, () -> scheduler.attachTo(model))
                .getMessage();
        assertTrue(message.contains("Stage 2 of 3 (2:1,3:2,1:3) does not fit: patch side 3"), message);
        assertTrue(NetworkAccess.listeners(model).isEmpty());
        assertEquals(1, side(model));
        model.setListeners(scheduler);
        assertEquals(
                message,
                assertThrows(IllegalArgumentException.class, () -> TokenNetworks.fit(model, TokenNetworks.batches(), 1))
                        .getMessage());
        assertEquals(0, NetworkAccess.iteration(model));
    }

    @Test
    void refusesNetworksWithoutPatchAverage() {
        MultiLayerNetwork plain = new MultiLayerNetwork(TokenNetworks.settings(new Adam(0.01))
                .list()
                .layer(TokenNetworks.output())
                .build());
        plain.init();
        String message = assertThrows(IllegalArgumentException.class, () -> new StageScheduler(EPOCHS).attachTo(plain))
                .getMessage();
        assertTrue(message.contains("has no PatchAverage"), message);
        message = assertThrows(IllegalArgumentException.class, () -> new StageScheduler(EPOCHS).attachTo(null))
                .getMessage();
        assertTrue(message.contains("Only ComputationGraph and MultiLayerNetwork are supported, got null"), message);
        assertThrows(NullPointerException.class, () -> new StageScheduler(null));
    }

    @ParameterizedTest
    @EnumSource
    void noticesAFirstIterationWithTheWrongSide(Kind kind) {
        for (PatchStages stages : List.of(ITERATIONS, EPOCHS)) {
            Model model = TokenNetworks.network(kind);
            INDArray before = model.params().dup();
            StageScheduler scheduler = new StageScheduler(stages);
            model.setListeners(scheduler);
            String message = assertThrows(
                            IllegalStateException.class, () -> TokenNetworks.fit(model, TokenNetworks.batch(1)))
                    .getMessage();
            assertTrue(message.contains("iteration 0 ran with patch side 1"), message);
            assertTrue(message.contains("attachTo(network)"), message);
            assertEquals(before, model.params());
            // the network is still good
            scheduler.attachTo(model);
            TokenNetworks.fit(model, TokenNetworks.batch(1));
            assertEquals(1, NetworkAccess.iteration(model));
        }
    }

    @Test
    void warnsOnceWhenEpochsDoNotAdvance() {
        Model model = TokenNetworks.network(Kind.GRAPH);
        new StageScheduler(EPOCHS).attachTo(model);
        String log = errorStream(() -> {
            for (int i = 0; i < 3; i++) {
                TokenNetworks.fit(model, TokenNetworks.batch(i));
            }
        });
        assertEquals(2, log.split("fit\\(DataSet\\) fires none", -1).length, log);

        Model counted = TokenNetworks.network(Kind.GRAPH);
        new StageScheduler(ITERATIONS).attachTo(counted);
        log = errorStream(() -> TokenNetworks.fit(counted, TokenNetworks.batch(1)));
        assertTrue(!log.contains("fires none"), log);
    }

    @Test
    void logsEachSwitch() {
        Model model = TokenNetworks.network(Kind.MULTI_LAYER);
        String log = errorStream(() -> {
            new StageScheduler(EPOCHS).attachTo(model);
            TokenNetworks.fit(model, TokenNetworks.batches(), 2);
        });
        assertTrue(log.contains("Stage 1 of 3: patch side 1 -> 4 from epoch 0, iteration 0 on"), log);
        assertTrue(log.contains("Stage 2 of 3: patch side 4 -> 2 from epoch 1, iteration 3 on"), log);
    }

    /** What the logger, which writes to System.err, says during a call. */
    private static String errorStream(Runnable call) {
        PrintStream before = System.err;
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        System.setErr(new PrintStream(bytes, true));
        try {
            call.run();
        } finally {
            System.setErr(before);
        }
        return bytes.toString();
    }
}
