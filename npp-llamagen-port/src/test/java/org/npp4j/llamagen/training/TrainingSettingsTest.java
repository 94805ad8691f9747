package org.npp4j.llamagen.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.kernel.Precision;

class TrainingSettingsTest {
    private static final TrainingPlan.LearningRate RATE = new TrainingPlan.LearningRate(1e-3, true, 0.3, 0.5, 5e-5);
    private static final TrainingPlan.AdamW ADAM = new TrainingPlan.AdamW(0.8, 0.9, 1e-7, 0.1);
    private static final TrainingSettings ALL_DIFFERENT =
            new TrainingSettings(12, 3, RATE, ADAM, 0.5, 0.99, Precision.BF16, DataType.DOUBLE, -4);

    private static TrainingSettings settings(int batchSize, int microBatch, double clipNorm, double averageDecay) {
        return new TrainingSettings(
                batchSize, microBatch, RATE, ADAM, clipNorm, averageDecay, Precision.FLOAT, DataType.FLOAT, 0);
    }

    @Test
    void aBuilderTakesAllOfThem() {
        TrainingPlan plan =
                TrainingPlan.of(SmallRuns.model()).settings(ALL_DIFFERENT).build();
        assertEquals(ALL_DIFFERENT, plan.settings());
        assertEquals(ALL_DIFFERENT, TrainingPlan.parse(plan.toJson()).settings());
        assertEquals(12, plan.batchSize());
        assertEquals(3, plan.microBatch());
        assertEquals(RATE, plan.learningRate());
        assertEquals(ADAM, plan.optimizer());
        assertEquals(0.5, plan.clipNorm());
        assertEquals(0.99, plan.averageDecay());
        assertEquals(Precision.BF16, plan.precision());
        assertEquals(DataType.DOUBLE, plan.dataType());
        assertEquals(-4, plan.seed());
    }

    @Test
    void theMicroBatchFollowsTheBatch() {
        assertEquals(5, TrainingPlan.of(SmallRuns.model()).batchSize(5).build().microBatch());
        assertEquals(
                5,
                TrainingPlan.parse("{model: {gpt_model: GPT-B}, global_batch_size: 5}")
                        .microBatch());
    }

    @Test
    void anotherLearningRate() {
        TrainingPlan.LearningRate other = new TrainingPlan.LearningRate(1, false, 0, 0, 0);
        TrainingSettings changed = ALL_DIFFERENT.withLearningRate(other);
        assertEquals(other, changed.learningRate());
        assertEquals(ALL_DIFFERENT, changed.withLearningRate(RATE));
    }

    @Test
    void wrongSettings() {
        says("global_batch_size must be at least 1, got 0", () -> settings(0, 1, 1, 0));
        says("micro_batch must be 1 to global_batch_size, which is 2, got 3", () -> settings(2, 3, 1, 0));
        says("micro_batch must be 1 to global_batch_size, which is 2, got 0", () -> settings(2, 0, 1, 0));
        for (double norm : new double[] {-1, Double.NaN, Double.POSITIVE_INFINITY}) {
            says(
                    "max_grad_norm must be a finite number, at least 0 (no clipping), got " + norm,
                    () -> settings(2, 1, norm, 0));
        }
        for (double decay : new double[] {-0.1, 1, Double.NaN}) {
            says(
                    "ema_decay must be at least 0 (no average) and below 1, got " + decay
                            + "; 0.999 to 0.9999 is usual",
                    () -> settings(2, 1, 1, decay));
        }
        says(
                "\"global_batch_size\" must be a whole number of at most 2147483647, got 4294967297",
                () -> TrainingPlan.parse("{model: {gpt_model: GPT-B}, global_batch_size: 4294967297}"));
    }

    private static void says(String message, Executable action) {
        assertEquals(
                message, assertThrows(IllegalArgumentException.class, action).getMessage());
    }
}
