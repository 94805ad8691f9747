package org.npp4j.samples;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.npp4j.ecar.EcarCheckpoint;
import org.npp4j.ecar.EcarConfig;
import org.npp4j.ecar.EcarCost;
import org.npp4j.ecar.EcarPlan;
import org.npp4j.ecar.FlowHead;
import org.npp4j.ecar.FlowSampling;
import org.npp4j.ecar.latents.BlockTransform;
import org.npp4j.ecar.latents.LatentCodec;
import org.npp4j.llamagen.images.PixelImages;
import org.npp4j.llamagen.images.PngSheet;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.DrawnScores;
import org.npp4j.samples.report.EcarResult;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.schedule.WeightAverage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The quickstart's ECAR: trains one on the latents of the block transform, tests it, and draws with the average of its
 * weights. All sizes and settings are this project's own.
 */
final class QuickstartEcar {
    private static final String NAME = "ECAR";
    private static final String FILE = "ecar.pt";

    private static final int WIDTH = 96;
    private static final int LAYERS = 4;
    private static final int HEADS = 4;
    private static final FlowHead HEAD = new FlowHead.Grid(96, 3, 4);
    private static final int STAGES = 3;
    private static final int BLOCK = 4;
    private static final int BATCH = 64;
    private static final int TEST_BATCH = 64;
    private static final double LEARNING_RATE = 2e-3;
    private static final double AVERAGE_DECAY = 0.995;
    private static final FlowSampling SAMPLING = FlowSampling.of(10, 2);
    private static final int IMAGES_PER_CLASS = 10;
    private static final int SCORED_PER_CLASS = 50;
    private static final int SHEET_SCALE = 2;
    private static final int SHEET_GAP = 2;

    private QuickstartEcar() {}

    /**
     * Trains, tests and draws.
     *
     * @param images to train and test on
     * @param out folder of the model
     * @param epochs at least 1
     * @param seed of everything random
     * @param judge of the drawn images; null for none
     * @return what came of it
     * @throws IOException if the model cannot be written
     */
    static EcarResult train(SmallImageSet images, Path out, int epochs, long seed, DrawnImagesJudge judge)
            throws IOException {
        LatentCodec codec = codec(images.train().images());
        EcarPlan plan = plan(codec, images.train().classes(), epochs, seed);
        LatentImages latents = new LatentImages(images, codec);
        EcarSummary summary = new EcarSummary(
                plan, latents, latents.batches(plan.model(), BATCH, seed).batchesPerEpoch(), SAMPLING, 1, false);
        log().info("{}", summary.model());
        log().info("{}", EcarSummary.RECONSTRUCTION);
        Trainer trainer = new Trainer.Builder(plan, latents.batches(plan.model(), BATCH, seed))
                .testData(latents.test(plan.model(), TEST_BATCH))
                .observer(new Progress(summary))
                .build();
        trainer.run();
        double testLoss = trainer.testLoss(false).orElseThrow();
        double averageTestLoss = trainer.testLoss(true).orElseThrow();
        log().info(
                        "{}: velocity loss {} on the test images, of the average {}",
                        NAME,
                        String.format(Locale.ROOT, "%.4f", testLoss),
                        String.format(Locale.ROOT, "%.4f", averageTestLoss));
        WeightAverage average = trainer.average().orElseThrow();
        EcarCheckpoint.Model model = new EcarCheckpoint.Model(plan.model(), trainer.network(), codec);
        EcarCheckpoint.write(out.resolve(FILE), model, average);

        int classes = plan.model().classes();
        int[] asked = new int[(judge == null ? IMAGES_PER_CLASS : SCORED_PER_CLASS) * classes];
        // round by round, so that the first ones are those of the sheet
        Arrays.setAll(asked, i -> i / IMAGES_PER_CLASS % classes);
        long start = System.nanoTime();
        PixelImages drawn;
        try (WeightAverage.Swap ignored = average.applyTo(trainer.network())) {
            drawn = EcarTrainCommand.draw(model, asked, SAMPLING, seed);
        }
        double drawSeconds = (System.nanoTime() - start) / 1e9 / asked.length;
        DrawnScores scores = judge == null ? null : judge.score(drawn, asked);
        if (scores != null) {
            log().info(
                            "{}: FID({}) {}, {} % of its images are assigned to the class asked for",
                            NAME,
                            scores.network(),
                            String.format(Locale.ROOT, "%.2f", scores.fid()),
                            String.format(Locale.ROOT, "%.1f", 100 * scores.classifierAgreement()));
        }
        return new EcarResult(
                EcarSummary.RECONSTRUCTION,
                summary.model(),
                settings(plan),
                plan.parameters(),
                epochs,
                trainer.seconds(),
                summary.gflopAt(trainer.step()),
                trainer.images(),
                testLoss,
                averageTestLoss,
                EcarCost.of(plan.model()).ofImage(SAMPLING) / 1e9,
                drawSeconds,
                FILE,
                scores,
                sheet(drawn.range(0, IMAGES_PER_CLASS * classes)));
    }

    private static LatentCodec codec(PixelImages train) {
        int multiple = 1 << STAGES - 1;
        int blocks = (Math.max(train.height(), train.width()) + BLOCK - 1) / BLOCK;
        return BlockTransform.fit(train, BLOCK, (blocks + multiple - 1) / multiple * multiple);
    }

    private static EcarPlan plan(LatentCodec codec, int classes, int epochs, long seed) {
        EcarConfig model =
                new EcarConfig(codec.channels(), codec.grid(), STAGES, WIDTH, LAYERS, HEADS, classes, 0.1, 0, HEAD);
        return EcarPlan.of(model)
                .epochs(epochs)
                .batchSize(BATCH)
                .learningRate(new TrainingPlan.LearningRate(LEARNING_RATE, true, 0.3, 0.5, 0.05 * LEARNING_RATE))
                .averageDecay(AVERAGE_DECAY)
                .seed(seed)
                .build();
    }

    private static Map<String, Object> settings(EcarPlan plan) {
        Map<String, Object> settings = new LinkedHashMap<>();
        settings.put("epochs", plan.epochs());
        settings.put("batch_size", plan.batchSize());
        settings.put("learning_rate", plan.learningRate().base());
        settings.put("end_learning_rate", plan.learningRate().end());
        settings.put("warmup_epochs", plan.learningRate().warmup());
        settings.put("decay_ratio", plan.learningRate().decayRatio());
        settings.put("clip_global_norm", plan.clipNorm());
        settings.put("class_dropout", plan.model().classDropout());
        settings.put("average_decay", plan.averageDecay());
        settings.put("steps_per_stage", SAMPLING.steps());
        settings.put("guidance", SAMPLING.firstScale());
        settings.put("seed", plan.seed());
        return settings;
    }

    private static SampleSheet sheet(PixelImages images) {
        byte[] png = new PngSheet.Builder()
                .columns(IMAGES_PER_CLASS)
                .gap(SHEET_GAP)
                .scale(SHEET_SCALE)
                .build()
                .toPng(images);
        return new SampleSheet(NAME, "ecar.png", "Ten images of each class drawn by the ECAR", png);
    }

    /** Shows the steps. */
    private static final class Progress implements TrainingObserver {
        private final EcarSummary summary;
        private TrainingProgress progress;

        Progress(EcarSummary summary) {
            this.summary = summary;
        }

        @Override
        public void onStart(Trainer trainer) {
            progress = new TrainingProgress(
                    NAME,
                    summary.loss().name(),
                    List.copyOf(summary.progress()),
                    0,
                    System.err,
                    Terminal.isInteractive(),
                    System::nanoTime);
        }

        @Override
        public void onStep(Trainer trainer, TrainingStep step) {
            progress.update(trainer.images(), step.loss(), summary.progressOf(step));
        }

        @Override
        public void onEnd(Trainer trainer) {
            progress.close();
        }
    }

    /** Not a constant: the help, which loads the command, should not wait for the logger's configuration. */
    private static Logger log() {
        return LoggerFactory.getLogger(QuickstartEcar.class);
    }
}
