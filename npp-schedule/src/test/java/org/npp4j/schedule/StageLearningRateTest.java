package org.npp4j.schedule;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.function.UnaryOperator;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.Sgd;
import org.nd4j.linalg.schedule.ISchedule;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;

class StageLearningRateTest {
    private static final PatchStages STAGES = PatchStages.parse("2:4it,1:10it");

    private static StageLearningRate.Builder builder() {
        return new StageLearningRate.Builder(STAGES)
                .learningRate(0.1)
                .endLearningRate(0.01)
                .warmup(2)
                .decayRatio(0.5);
    }

    @Test
    void equalsTheGoldenFactorAtEveryStep() throws Exception {
        for (JsonNode plan : Golden.schedules()) {
            int stepsPerEpoch = plan.get("steps_per_epoch").asInt();
            double lr = plan.get("lr").asDouble();
            StageLearningRate schedule = new StageLearningRate.Builder(Golden.stages(plan))
                    .learningRate(lr)
                    .endLearningRate(plan.get("end_lr").asDouble())
                    .warmup(plan.get("warmup_epochs").asDouble())
                    .decayRatio(plan.get("decay_ratio").asDouble())
                    .stepsPerEpoch(stepsPerEpoch)
                    .build();
            JsonNode golden = plan.get("lr_factor");
            assertEquals(plan.get("epochs").asInt() * stepsPerEpoch, golden.size());
            for (int step = 0; step < golden.size(); step++) {
                // the epoch argument has no influence
                assertEquals(lr * golden.get(step).asDouble(), schedule.valueAt(step, step % 3), "step " + step);
            }
        }
    }

    @Test
    void countsIterationsLikeEpochsOfOneStep() {
        StageLearningRate iterations = builder().build();
        StageLearningRate epochs = new StageLearningRate.Builder(PatchStages.parse("2:4,1:10"))
                .learningRate(0.1)
                .endLearningRate(0.01)
                .warmup(2)
                .decayRatio(0.5)
                .stepsPerEpoch(1)
                .build();
        double[] expected = {0, 0.05, 0.1, 0.055, 0, 0.05, 0.1, 0.1, 0.07, 0.04, 0.01, 0.01};
        for (int step = 0; step < expected.length; step++) {
            assertEquals(expected[step], iterations.valueAt(step, 0), 1e-12, "step " + step);
            assertEquals(iterations.valueAt(step, 0), epochs.valueAt(step, 0));
        }
    }

    @Test
    void staysOnThePlateauWithoutDecay() {
        StageLearningRate constant = builder().warmup(0).decayRatio(0).build();
        for (int step = 0; step < 20; step++) {
            assertEquals(0.1, constant.valueAt(step, 0));
        }
    }

    @Test
    void hasPublishedDefaults() {
        StageLearningRate schedule = new StageLearningRate.Builder(PatchStages.ofEpochs(300, 0.5, 2))
                .stepsPerEpoch(5005)
                .build();
        assertEquals(1e-4, schedule.getLearningRate());
        assertEquals(1e-5, schedule.getEndLearningRate());
        assertEquals(1, schedule.getWarmup());
        assertEquals(0.2, schedule.getDecayRatio());
        assertEquals(5005, schedule.getStepsPerEpoch());
        assertEquals(PatchStages.ofEpochs(300, 0.5, 2), schedule.getStages());
    }

    @Test
    void survivesJsonAndClone() throws Exception {
        StageLearningRate schedule = builder().build();
        String json = new ObjectMapper().writeValueAsString(schedule);
        assertTrue(json.contains("\"@class\":\"org.npp4j.schedule.StageLearningRate\""), json);
        assertEquals(schedule, new ObjectMapper().readValue(json, ISchedule.class));
        assertEquals(schedule, schedule.clone());
        assertEquals(schedule.hashCode(), schedule.clone().hashCode());
        assertNotEquals(schedule, builder().warmup(1).build());

        MultiLayerNetwork network =
                (MultiLayerNetwork) TokenNetworks.network(TokenNetworks.Kind.MULTI_LAYER, new Adam(schedule), 1);
        MultiLayerConfiguration read = MultiLayerConfiguration.fromJson(
                network.getLayerWiseConfigurations().toJson());
        assertEquals(network.getLayerWiseConfigurations(), read);
        assertTrue(read.toJson().contains("\"stages\" : \"2:4it,1:10it\""), read.toJson());
    }

    @ParameterizedTest
    @EnumSource
    void isTheRateOfEveryStepOfANetwork(TokenNetworks.Kind kind) {
        StageLearningRate schedule = builder().build();
        Model model = TokenNetworks.network(kind, new Sgd(schedule), 1);
        Model unit = TokenNetworks.network(kind, new Sgd(1), 1);
        DataSet batch = TokenNetworks.batch(1);
        for (int step = 0; step < 12; step++) {
            INDArray before = model.params().dup();
            unit.setParams(before.dup());
            TokenNetworks.fit(unit, batch);
            TokenNetworks.fit(model, batch);
            INDArray moved = model.params().sub(before);
            INDArray expected = unit.params().sub(before).mul(schedule.valueAt(step, 0));
            assertEquals(0, moved.sub(expected).norm2Number().doubleValue(), 1e-12, "step " + step);
            assertEquals(step == 0 || step == 4, moved.norm2Number().doubleValue() == 0, "step " + step);
        }
    }

    @ParameterizedTest
    @EnumSource
    void continuesAfterRestore(TokenNetworks.Kind kind, @TempDir Path folder) throws Exception {
        StageLearningRate schedule = new StageLearningRate.Builder(PatchStages.parse("2:2,1:5"))
                .learningRate(0.1)
                .endLearningRate(0.01)
                .stepsPerEpoch(TokenNetworks.BATCHES_PER_EPOCH)
                .build();
        Model model = TokenNetworks.network(kind, new Adam(schedule), 1);
        TokenNetworks.fit(model, TokenNetworks.batches(), 3);
        Path file = Files.createTempFile(folder, "network", ".zip");
        ModelSerializer.writeModel(model, file.toFile(), true);
        Model restored = kind == TokenNetworks.Kind.MULTI_LAYER
                ? ModelSerializer.restoreMultiLayerNetwork(file.toFile(), true)
                : ModelSerializer.restoreComputationGraph(file.toFile(), true);
        assertEquals(9, NetworkAccess.iteration(restored));
        assertEquals(
                schedule.valueAt(9, 3),
                NetworkAccess.learningRates(restored).iterator().next());
        TokenNetworks.fit(model, TokenNetworks.batches(), 2);
        TokenNetworks.fit(restored, TokenNetworks.batches(), 2);
        assertEquals(model.params(), restored.params());
    }

    @Test
    void refusesBadSettings() {
        refused("learningRate must be a finite number above 0, got 0.0", b -> b.learningRate(0));
        refused("learningRate must be a finite number above 0, got NaN", b -> b.learningRate(Double.NaN));
        refused("endLearningRate must be a finite number, 0 or above, got -1.0", b -> b.endLearningRate(-1));
        refused("warmup must be a finite number, 0 or above, got -1.0", b -> b.warmup(-1));
        refused("decayRatio must be 0 to 1, a share of the stage, got 1.5", b -> b.decayRatio(1.5));
        refused("take no stepsPerEpoch, got 5", b -> b.stepsPerEpoch(5));
        String message = assertThrows(
                        IllegalArgumentException.class,
                        () -> new StageLearningRate.Builder(PatchStages.parse("1:3")).build())
                .getMessage();
        assertTrue(message.contains("need the iterations in an epoch: stepsPerEpoch(n)"), message);
        assertThrows(NullPointerException.class, () -> new StageLearningRate.Builder(null));
    }

    private static void refused(String message, UnaryOperator<StageLearningRate.Builder> setting) {
        StageLearningRate.Builder builder = setting.apply(builder());
        String actual =
                assertThrows(IllegalArgumentException.class, builder::build).getMessage();
        assertTrue(actual.contains(message), actual);
    }
}
