package org.npp4j.llamagen;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.npp4j.llamagen.images.RepeatedBatch;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TorchAdam;

/** Four steps of training across a stage boundary, with clipping and weight decay, against PyTorch. */
class LlamaGenTrainingTest {
    /** By the loop that trains models. Only the rounding of the golden values in float is left. */
    @ParameterizedTest
    @CsvSource({
        "gpt-tiny, FLOAT, 0",
        "gpt-tiny, DOUBLE, 0",
        "gpt-gqa, FLOAT, 0",
        "gpt-gqa, DOUBLE, 0",
        "gpt-gqa, FLOAT, 1"
    })
    void stepsLikePyTorch(String name, DataType type, int microBatch) throws IOException {
        GoldenGpt golden = new GoldenGpt(name);
        JsonNode training = golden.info().get("training");
        MultiDataSet data = data(golden);
        int batch = (int) data.getFeatures(0).size(0);
        TrainingPlan plan = TrainingPlan.of(golden.spec())
                .stages(stages(training))
                .batchSize(batch)
                .microBatch(microBatch == 0 ? batch : microBatch)
                .learningRate(training.get("lr").asDouble())
                .optimizer(new TrainingPlan.AdamW(
                        training.get("betas").get(0).asDouble(),
                        training.get("betas").get(1).asDouble(),
                        training.get("eps").asDouble(),
                        training.get("weight_decay").asDouble()))
                .clipNorm(training.get("clip_global_norm").asDouble())
                .dropouts(TrainingPlan.Dropouts.NONE)
                .dataType(type)
                .build();
        Trainer trainer = new Trainer.Builder(plan, new RepeatedBatch(data))
                .weights(golden::loadInto)
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer ignored, TrainingStep step) {
                        int done = step.step() - 1;
                        double loss = training.get("losses").get(done).asDouble();
                        double norm = training.get("gradient_norms_before_clipping")
                                .get(done)
                                .asDouble();
                        assertEquals(1, step.loss() / loss, 1e-4, "loss of step " + done);
                        assertEquals(1, step.gradientNorm() / norm, 1e-4, "gradient norm of step " + done);
                    }
                })
                .build();
        trainer.run();
        assertEquals(training.get("losses").size(), trainer.step());
        Map<String, Double> differences = new TreeMap<>();
        golden.parameterNames().forEach((parameter, published) -> {
            INDArray expected = golden.inOurShape(parameter, golden.array("trained." + published));
            INDArray actual = trainer.network().getParam(parameter).reshape(expected.shape());
            differences.put(parameter, GoldenGpt.relativeDifference(expected, actual));
        });
        assertTrue(differences.values().stream().allMatch(difference -> difference <= 1e-4), differences::toString);
    }

    @ParameterizedTest
    @CsvSource({"gpt-tiny, 1", "gpt-tiny, 2", "gpt-gqa, 3"})
    void continuesToTheBitAfterASave(String name, int savedAfter, @TempDir Path folder) throws IOException {
        GoldenGpt golden = new GoldenGpt(name);
        MultiDataSet data = data(golden);
        PatchStages stages = stages(golden.info().get("training"));
        ComputationGraph through = network(golden, DataType.FLOAT);
        listen(through, stages);
        ComputationGraph network = network(golden, DataType.FLOAT);
        listen(network, stages);
        for (int step = 0; step < 4; step++) {
            through.fit(data);
            if (step == savedAfter) {
                File file = folder.resolve("network.zip").toFile();
                ModelSerializer.writeModel(network, file, true);
                network = ModelSerializer.restoreComputationGraph(file, true);
                listen(network, stages);
            }
            network.fit(data);
            assertEquals(through.score(), network.score(), 0, "step " + step);
        }
        assertEquals(through.params(), network.params());
        assertEquals(
                0,
                through.params().sub(network.params()).amaxNumber().doubleValue(),
                "equals of INDArray allows for rounding, this does not");
        assertEquals(
                0,
                through.getUpdater()
                        .getUpdaterStateViewArray()
                        .sub(network.getUpdater().getUpdaterStateViewArray())
                        .amaxNumber()
                        .doubleValue());
    }

    private static void listen(ComputationGraph network, PatchStages stages) {
        network.setListeners(List.of(new GlobalNormClipping(1)));
        new StageScheduler(stages).attachTo(network);
    }

    private static ComputationGraph network(GoldenGpt golden, DataType type) {
        JsonNode training = golden.info().get("training");
        TorchAdam adam = new TorchAdam.Builder()
                .learningRate(training.get("lr").asDouble())
                .beta1(training.get("betas").get(0).asDouble())
                .beta2(training.get("betas").get(1).asDouble())
                .epsilon(training.get("eps").asDouble())
                .build();
        return golden.network(
                LlamaGen.of(golden.spec())
                        .updater(adam)
                        .weightDecay(training.get("weight_decay").asDouble()),
                type);
    }

    /** One stage for each run of equal patch sides. */
    private static PatchStages stages(JsonNode training) {
        JsonNode sides = training.get("patch_sides");
        PatchStages.Builder stages = PatchStages.iterations();
        for (int step = 0; step < sides.size(); step++) {
            int side = sides.get(step).asInt();
            if (step == sides.size() - 1 || side != sides.get(step + 1).asInt()) {
                stages.stage(side, step + 1);
            }
        }
        return stages.build();
    }

    private static MultiDataSet data(GoldenGpt golden) {
        INDArray tokens = golden.array("tokens").castTo(DataType.INT32);
        INDArray classes = golden.array("classes").castTo(DataType.INT32).reshape(tokens.size(0), 1);
        return new MultiDataSet(new INDArray[] {tokens, classes}, new INDArray[] {tokens});
    }
}
