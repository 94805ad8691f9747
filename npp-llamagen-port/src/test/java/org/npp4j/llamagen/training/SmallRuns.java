package org.npp4j.llamagen.training;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.time.Duration;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.SmallGpts;
import org.npp4j.llamagen.images.TokenDataSetIterator;
import org.npp4j.schedule.PatchStages;

/** Small runs with everything random that there is. */
final class SmallRuns {
    static final int BATCH = 6;
    static final int IMAGES = 26;
    /** 26 images in batches of 6, the rest dropped. */
    static final int STEPS_PER_EPOCH = 4;

    private SmallRuns() {}

    static GptSpec model() {
        return SmallGpts.spec(TokenGrid.of(4, 4)).build();
    }

    /** Three epochs in two stages; dropouts, schedule, average, parts of 4 and 2 images. */
    static TrainingPlan.Builder plan() {
        return TrainingPlan.of(model())
                .stages(PatchStages.parse("2:2,1:3"))
                .batchSize(BATCH)
                .microBatch(4)
                .learningRate(new TrainingPlan.LearningRate(1e-2, true, 0.5, 0.2, 1e-3))
                .dropouts(new TrainingPlan.Dropouts(0.3, 0.1, 0.2, 0.1, 0.1))
                .averageDecay(0.9)
                .clipNorm(0.5)
                .seed(7);
    }

    static TokenDataSetIterator data(TrainingPlan plan) {
        return data(plan, IMAGES, false);
    }

    static TokenDataSetIterator data(TrainingPlan plan, int images, boolean keepLastShort) {
        int[] classes = new int[images];
        for (int i = 0; i < images; i++) {
            classes[i] = i % plan.model().classes();
        }
        return new TokenDataSetIterator(
                SmallGpts.images(plan.model(), images, 3), classes, plan.batchSize(), keepLastShort, plan.seed());
    }

    static Trainer.Builder trainer(TrainingPlan plan) {
        return new Trainer.Builder(plan, data(plan));
    }

    static CheckpointPolicy every(int steps, Path folder) {
        return new CheckpointPolicy(folder, steps, Duration.ZERO, 100, false);
    }

    static Trainer run(Trainer.Builder builder) {
        try {
            Trainer trainer = builder.build();
            trainer.run();
            return trainer;
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
