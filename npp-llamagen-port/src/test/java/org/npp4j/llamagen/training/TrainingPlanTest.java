package org.npp4j.llamagen.training;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.nd4j.linalg.api.buffer.DataType;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.schedule.PatchStages;

class TrainingPlanTest {
    private static final GptSpec MODEL = SmallRuns.model();

    @Test
    void defaultsArePublished() {
        TrainingPlan plan = TrainingPlan.of(GptSize.GPT_B.spec().build()).build();
        assertEquals("2:150,1:300", plan.stages().toString());
        assertEquals(256, plan.batchSize());
        assertEquals(256, plan.microBatch());
        assertEquals(new TrainingPlan.LearningRate(1e-4, false, 1, 0.2, 1e-5), plan.learningRate());
        assertEquals(new TrainingPlan.AdamW(0.9, 0.95, 1e-8, 0.05), plan.optimizer());
        assertEquals(new TrainingPlan.Dropouts(0.1, 0.1, 0.1, 0.1, 0), plan.dropouts());
        assertEquals(1, plan.clipNorm());
        assertEquals(0, plan.averageDecay());
        assertEquals(300 * 5004, plan.steps(5004));
        assertEquals(1e-4, plan.learningRateAt(0, 5004));
        assertEquals(0, plan.stageAt(150 * 5004 - 1, 5004));
        assertEquals(1, plan.stageAt(150 * 5004, 5004));
    }

    @Test
    void readsWhatItWrites() {
        for (TrainingPlan plan : List.of(
                TrainingPlan.of(MODEL).build(),
                SmallRuns.plan().build(),
                SmallRuns.plan()
                        .stages(PatchStages.parse("2:10it,1:30it"))
                        .dataType(DataType.DOUBLE)
                        .precision(Precision.BF16)
                        .seed(Long.MIN_VALUE)
                        .build(),
                TrainingPlan.of(MODEL.toBuilder().noClassRow(false).build()).build(),
                TrainingPlan.of(GptSpec.of(1, 2, 16)
                                .captions(3, 5)
                                .grid(TokenGrid.of(2, 4))
                                .build())
                        .learnUnconditional(true)
                        .build())) {
            assertEquals(plan, TrainingPlan.parse(plan.toJson()), plan::toJson);
            assertEquals(plan, TrainingPlan.parse(plan.toYaml()), plan::toYaml);
            assertEquals(List.of(), plan.differences(TrainingPlan.parse(plan.toYaml())));
        }
    }

    /** Runs compare plans as texts, and old files must stay readable: names and order are part of the format. */
    @Test
    void theJsonOnDiskStays() {
        String json = SmallRuns.plan().build().toJson();
        assertEquals(
                """
                  "patch_stages" : "2:2,1:3",
                  "global_batch_size" : 6,
                  "micro_batch" : 4,
                  "lr" : 0.01,
                  "scheduler" : true,
                  "warmup" : 0.5,
                  "decay_ratio" : 0.2,
                  "end_lr" : 0.001,
                  "beta1" : 0.9,
                  "beta2" : 0.95,
                  "eps" : 1.0E-8,
                  "weight_decay" : 0.05,
                  "max_grad_norm" : 0.5,
                  "ema_decay" : 0.9,
                  "class_dropout" : 0.3,
                  "token_dropout" : 0.1,
                  "resid_dropout" : 0.2,
                  "ffn_dropout" : 0.1,
                  "drop_path_rate" : 0.1,
                  "learn_unconditional" : false,
                  "precision" : "float",
                  "data_type" : "FLOAT",
                  "seed" : 7
                }""",
                json.substring(json.indexOf("  \"patch_stages")));
    }

    @Test
    void whatIsMissingIsPublished() {
        TrainingPlan plan = TrainingPlan.parse(
                """
                # a comment
                model: {gpt_model: GPT-B}
                lr: 2e-4
                patch_stages: 4:75,2:150,1:300
                """);
        assertEquals(
                TrainingPlan.of(GptSize.GPT_B.spec().build())
                        .learningRate(2e-4)
                        .stages(PatchStages.ofEpochs(300, 0.5, 3))
                        .build(),
                plan);
    }

    @Test
    void namesWrongSettings() {
        assertMessage("lrr. Known keys: beta1", () -> TrainingPlan.parse("{model: {gpt_model: GPT-B}, lrr: 1}"));
        assertMessage("\"lr\" must be a number", () -> TrainingPlan.parse("{model: {gpt_model: GPT-B}, lr: [1]}"));
        assertMessage("\"lr\" must be a number", () -> TrainingPlan.parse("{model: {gpt_model: GPT-B}, lr: fast}"));
        assertMessage(
                "\"scheduler\" must be true or false",
                () -> TrainingPlan.parse("{model: {gpt_model: GPT-B}, scheduler: 7}"));
        assertMessage(
                "\"seed\" must be a whole number", () -> TrainingPlan.parse("{model: {gpt_model: GPT-B}, seed: .5}"));
        assertMessage("\"model\": Unknown key dims", () -> TrainingPlan.parse("{model: {dims: 3}}"));
        assertMessage("the key \"model\"", () -> TrainingPlan.parse("7"));
        assertMessage("neither JSON nor YAML", () -> TrainingPlan.parse("{a: [}"));
        assertMessage(
                "micro_batch must be 1 to global_batch_size, which is 256, got 300",
                () -> TrainingPlan.of(MODEL).microBatch(300).build());
        assertMessage(
                "global_batch_size must be at least 1, got 0",
                () -> TrainingPlan.of(MODEL).batchSize(0).build());
        assertMessage("max_grad_norm", () -> TrainingPlan.of(MODEL).clipNorm(-1).build());
        assertMessage(
                "ema_decay must be at least 0",
                () -> TrainingPlan.of(MODEL).averageDecay(1).build());
        assertMessage(
                "patch side 3 does not divide",
                () -> TrainingPlan.of(MODEL).stages(PatchStages.parse("3:5")).build());
        assertMessage("decayRatio must be 0 to 1", () -> TrainingPlan.of(MODEL)
                .learningRate(new TrainingPlan.LearningRate(1e-4, true, 1, 2, 1e-5))
                .build());
        assertMessage("beta1", () -> TrainingPlan.of(MODEL)
                .optimizer(new TrainingPlan.AdamW(1, 0.9, 1e-8, 0))
                .build());
        assertMessage("resid_dropout", () -> new TrainingPlan.Dropouts(0, 0, 1, 0, 0));
        assertMessage(
                "FLOAT or DOUBLE",
                () -> TrainingPlan.of(MODEL).dataType(DataType.FLOAT16).build());
    }

    @Test
    void stochasticDepthReplacesDropout() {
        assertEquals(
                new TrainingPlan.Dropouts(0.1, 0.1, 0, 0, 0.2), TrainingPlan.Dropouts.published(0.1, 0.1, 0.1, 0.2));
        assertEquals(
                new TrainingPlan.Dropouts(0.1, 0.2, 0.3, 0.3, 0), TrainingPlan.Dropouts.published(0.1, 0.2, 0.3, 0));
    }

    private static void assertMessage(String part, Executable action) {
        String message = assertThrows(IllegalArgumentException.class, action).getMessage();
        assertTrue(message.contains(part), message);
    }
}
