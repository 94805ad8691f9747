package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Optional;
import org.deeplearning4j.earlystopping.EarlyStoppingConfiguration;
import org.deeplearning4j.earlystopping.EarlyStoppingResult;
import org.deeplearning4j.earlystopping.saver.InMemoryModelSaver;
import org.deeplearning4j.earlystopping.scorecalc.DataSetLossCalculator;
import org.deeplearning4j.earlystopping.termination.MaxEpochsTerminationCondition;
import org.deeplearning4j.earlystopping.trainer.EarlyStoppingTrainer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.dataset.DataSet;
import org.npp4j.schedule.TokenNetworks.Kind;

class DivergenceGuardTest {
    private static DataSet poisoned(double value) {
        DataSet batch = TokenNetworks.batch(1);
        batch.getLabels().putScalar(0, 0, value);
        return batch;
    }

    @ParameterizedTest
    @EnumSource
    void stopsBeforeTheParametersAreLost(Kind kind) {
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
            Path checkpoint = Path.of("checkpoints", "0000002.zip");
            Model model = TokenNetworks.network(kind);
            new StageScheduler(PatchStages.parse("4:2it,2:5it,1:8it")).attachTo(model);
            model.addListeners(new DivergenceGuard(() -> checkpoint));
            for (int i = 0; i < 2; i++) {
                TokenNetworks.fit(model, TokenNetworks.batch(i));
            }
            double[] good = model.params().toDoubleVector();
            TrainingDivergedException stop =
                    assertThrows(TrainingDivergedException.class, () -> TokenNetworks.fit(model, poisoned(bad)));
            assertArrayEquals(good, model.params().toDoubleVector());
            assertEquals(2, NetworkAccess.iteration(model));
            assertEquals(2, stop.iteration());
            assertEquals(0, stop.epoch());
            assertTrue(!Double.isFinite(stop.score()));
            assertEquals(Optional.of(checkpoint), stop.lastCheckpoint());
            String message = stop.getMessage();
            assertTrue(
                    message.startsWith("The score is " + stop.score() + " at iteration 2, epoch 0, patch side 2"),
                    message);
            assertTrue(message.contains("(stages 4:2it,2:5it,1:8it), learning rate 0.01."), message);
            assertTrue(message.contains("The last good checkpoint is " + checkpoint), message);
            // and the network can be trained on
            TokenNetworks.fit(model, TokenNetworks.batch(3));
            assertEquals(3, NetworkAccess.iteration(model));
        }
    }

    @Test
    void stopsAtALossAboveTheLimit() {
        double[] losses = {1.9, 2.0, 2.1};
        Model model = TokenNetworks.network(Kind.GRAPH);
        model.setListeners(new DivergenceGuard(() -> null, of -> losses[NetworkAccess.iteration(of)], 2));
        TokenNetworks.fit(model, TokenNetworks.batch(0));
        TokenNetworks.fit(model, TokenNetworks.batch(1));
        double[] good = model.params().toDoubleVector();
        TrainingDivergedException stop =
                assertThrows(TrainingDivergedException.class, () -> TokenNetworks.fit(model, TokenNetworks.batch(2)));
        assertTrue(
                stop.getMessage().startsWith("The loss is 2.1, above the limit of 2.0 at iteration 2"),
                stop::getMessage);
        assertEquals(2.1, stop.score());
        assertArrayEquals(good, model.params().toDoubleVector());
        assertTrue(assertThrows(IllegalArgumentException.class, () -> new DivergenceGuard(() -> null, of -> 0, 0))
                .getMessage()
                .contains("The largest loss must be above 0, got 0.0"));
    }

    @Test
    void stopsAtBadGradients() {
        Model model = TokenNetworks.network(Kind.GRAPH);
        model.setListeners(
                new BaseTrainingListener() {
                    @Override
                    public void onGradientCalculation(Model of) {
                        of.gradient().gradient().putScalar(3, Double.NaN);
                    }
                },
                new DivergenceGuard());
        double[] good = model.params().toDoubleVector();
        TrainingDivergedException stop =
                assertThrows(TrainingDivergedException.class, () -> TokenNetworks.fit(model, TokenNetworks.batch(1)));
        assertArrayEquals(good, model.params().toDoubleVector());
        assertTrue(Double.isFinite(stop.score()));
        assertTrue(stop.getMessage().contains("but the norm of the gradient is NaN"), stop.getMessage());
        assertTrue(stop.getMessage().contains("No checkpoint is known"), stop.getMessage());
        assertEquals(Optional.empty(), stop.lastCheckpoint());
    }

    @Test
    void firesInIterationDoneToo() {
        MultiLayerNetwork network = (MultiLayerNetwork) TokenNetworks.network(Kind.MULTI_LAYER);
        network.setScore(Double.NaN);
        TrainingDivergedException stop =
                assertThrows(TrainingDivergedException.class, () -> new DivergenceGuard().iterationDone(network, 0, 0));
        assertTrue(stop.getMessage().contains("The score is NaN at iteration 0"), stop.getMessage());
    }

    @Test
    void letsGoodTrainingPass() {
        Model model = TokenNetworks.network(Kind.GRAPH);
        model.setListeners(new DivergenceGuard());
        TokenNetworks.fit(model, TokenNetworks.batches(), 2);
        assertEquals(6, NetworkAccess.iteration(model));
    }

    @Test
    void earlyStoppingReturnsItsBestModel() {
        MultiLayerNetwork network = (MultiLayerNetwork) TokenNetworks.network(Kind.MULTI_LAYER);
        network.setListeners(
                new BaseTrainingListener() {
                    @Override
                    public void onEpochStart(Model model) {
                        if (NetworkAccess.epoch(model) == 1) {
                            model.params().putScalar(40, Double.NaN);
                        }
                    }
                },
                new DivergenceGuard());
        EarlyStoppingResult<MultiLayerNetwork> result = new EarlyStoppingTrainer(
                        new EarlyStoppingConfiguration.Builder<MultiLayerNetwork>()
                                .epochTerminationConditions(new MaxEpochsTerminationCondition(3))
                                .scoreCalculator(new DataSetLossCalculator(TokenNetworks.batches(), true))
                                .modelSaver(new InMemoryModelSaver<>())
                                .build(),
                        network,
                        TokenNetworks.batches())
                .fit();
        assertEquals(EarlyStoppingResult.TerminationReason.Error, result.getTerminationReason());
        assertTrue(
                result.getTerminationDetails().contains("TrainingDivergedException"), result.getTerminationDetails());
        assertEquals(0, result.getBestModelEpoch());
    }

    @Test
    void refusesANullSupplier() {
        assertThrows(NullPointerException.class, () -> new DivergenceGuard(null));
    }
}
