package org.npp4j.samples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarPlan;
import org.npp4j.ecar.latents.BlockTransform;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.layers.TokenGrid;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.images.EpochDataSetIterator;
import org.npp4j.llamagen.images.PixelImages;
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
            for (Path file : files.filter(each -> !isEcar(each)).sorted().toList()) {
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

    private static boolean isEcar(Path file) {
        return file.getFileName().toString().startsWith("ecar-");
    }

    @Test
    void everyPresetOfAnEcarIsRead() throws IOException {
        Map<String, LatentCodec> codecs = Map.of(
                "ecar-fashion-mnist.yaml",
                BlockTransform.fit(new PixelImages(1, 1, 28, 28, new byte[28 * 28]), 4, 8),
                "ecar-cifar10.yaml",
                BlockTransform.fit(new PixelImages(1, 3, 32, 32, new byte[3 * 32 * 32]), 4, 8));
        try (Stream<Path> files = Files.list(PRESETS)) {
            assertEquals(
                    codecs.keySet(),
                    files.filter(PresetTest::isEcar)
                            .map(file -> file.getFileName().toString())
                            .collect(Collectors.toSet()));
        }
        for (Map.Entry<String, LatentCodec> preset : codecs.entrySet()) {
            Path file = PRESETS.resolve(preset.getKey());
            EcarTrainCommand command = new EcarTrainCommand(() -> new Backend("CPU", "OPENBLAS", 2, 1, ""));
            new CommandLine(command).parseArgs("--config", file.toString());
            EcarPlan plan = command.resolved().plan(preset.getValue(), 10);
            assertEquals(3, plan.model().stages(), preset.getKey());
            assertTrue(plan.averageDecay() > 0 && plan.learningRate().scheduled(), preset.getKey());
            assertTrue(Files.readString(file).contains("reconstruction"), preset.getKey());
        }
    }

    /** Options that it shares with npp train have defaults of their own. */
    @Test
    void defaultsOfAnEcar() throws IOException {
        EcarTrainCommand command = new EcarTrainCommand(() -> new Backend("CPU", "OPENBLAS", 2, 1, ""));
        new CommandLine(command).parseArgs();
        LatentCodec codec = BlockTransform.fit(new PixelImages(1, 1, 28, 28, new byte[28 * 28]), 4, 8);
        assertEquals(
                EcarPlan.of(EcarConfig.defaults()).build(), command.resolved().plan(codec, 10));
        TrainCommand gpt = new TrainCommand(() -> new Backend("CPU", "OPENBLAS", 2, 1, ""));
        new CommandLine(gpt).parseArgs("--data=x");
        TrainingPlan plan = gpt.resolved().plan(new Imagined(TokenGrid.of(8, 8)));
        assertEquals(1e-4, plan.learningRate().base());
        assertFalse(plan.learningRate().scheduled());
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
