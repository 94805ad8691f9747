package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.tokenizer.ImageTokenizer;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;
import picocli.CommandLine;

class PresetTest {
    private static final Path PRESETS = Path.of("presets");
    /** ImageNet in batches of 256. */
    private static final int STEPS_PER_EPOCH = 5004;

    @Test
    void publishedSettings() throws IOException {
        for (GptSize size : List.of(GptSize.GPT_B, GptSize.GPT_L, GptSize.GPT_XL, GptSize.GPT_XXL)) {
            String file = size.label().substring("GPT-".length()).toLowerCase(Locale.ROOT) + "-256.yaml";
            TrainingPlan plan = plan(file, null);
            TrainingPlan published = TrainingPlan.of(size.spec().build())
                    .stages(PatchStages.ofEpochs(300, 0.5, 2))
                    .scheduled(true)
                    .precision(Precision.BF16)
                    .microBatch(plan.microBatch())
                    .build();
            assertEquals(List.of(), published.differences(plan), file);
            assertTrue(plan.microBatch() < plan.batchSize() && plan.batchSize() % plan.microBatch() == 0, file);
        }
    }

    @Test
    void theBaselineHasTheSameLearningRates() throws IOException {
        TrainingPlan npp = plan("b-256.yaml", null);
        TrainingPlan ntp = plan("b-256-ntp.yaml", null);
        assertEquals(List.of("patch_stages: 2:150,1:300 -> 1:150,1:300"), npp.differences(ntp));
        for (int step = 0; step < 300 * STEPS_PER_EPOCH; step += 997) {
            assertEquals(npp.learningRateAt(step, STEPS_PER_EPOCH), ntp.learningRateAt(step, STEPS_PER_EPOCH));
        }
    }

    @Test
    void everyPresetIsRead() throws IOException {
        int count = 0;
        try (Stream<Path> files = Files.list(PRESETS)) {
            for (Path file : files.sorted().toList()) {
                String name = file.getFileName().toString();
                boolean small = name.equals("fashion-mnist.yaml") || name.equals("cifar10.yaml");
                TrainingPlan plan = plan(name, small ? TokenGrid.of(8, 8) : null);
                // the patch sides of further levels fit, too
                assertEquals(1, plan.stages().patchSideAt(plan.stages().end()), name);
                assertTrue(Files.readString(file).startsWith("# "), name + " says what it is for");
                count++;
            }
        }
        assertEquals(7, count);
    }

    private static TrainingPlan plan(String file, TokenGrid grid) throws IOException {
        TrainCommand command = new TrainCommand(() -> new Backend("CPU", "OPENBLAS", 2, 1, ""));
        new CommandLine(command)
                .parseArgs("--config", PRESETS.resolve(file).toString(), grid == null ? "--code-path=x" : "--data=x");
        return command.resolved().plan(new Imagined(grid));
    }

    /** Data that only say what they have. */
    private record Imagined(TokenGrid grid) implements TrainingData {
        @Override
        public Integer vocabulary() {
            return grid == null ? null : 256;
        }

        @Override
        public Integer classes() {
            return grid == null ? null : 10;
        }

        @Override
        public void requireFits(GptSpec model) {}

        @Override
        public Map<String, String> description() {
            return Map.of();
        }

        @Override
        public long images() {
            return 0;
        }

        @Override
        public EpochDataSetIterator batches(GptSpec model, int batchSize, long seed) {
            throw new UnsupportedOperationException();
        }

        @Override
        public MultiDataSetIterator test(GptSpec model, int batchSize) {
            throw new UnsupportedOperationException();
        }

        @Override
        public ImageTokenizer tokenizer() {
            return null;
        }

        @Override
        public void close() {}
    }
}
