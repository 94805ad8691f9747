package org.npp4j.arbiter;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;
import java.util.Random;
import org.npp4j.layers.TokenGrid;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.images.TokenDataSetIterator;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingPlan;

/** Sweeps of seconds. */
final class SmallSweeps {
    static final int EPOCHS = 4;
    static final Map<String, String> DATA = Map.of("images", "24");
    private static final int IMAGES = 24;
    private static final int TESTED = 10;

    private SmallSweeps() {}

    static TrainingPlan plan() {
        GptSpec model = GptSpec.of(1, 2, 16)
                .feedForwardMultiple(16)
                .vocabulary(11)
                .classes(3)
                .grid(TokenGrid.of(4, 4))
                .build();
        return TrainingPlan.of(model).batchSize(8).learningRate(1e-2).seed(5).build();
    }

    static PatchPlanSpace.Builder space() {
        return new PatchPlanSpace.Builder(EPOCHS).patchLevels(1, 2, 3).epochRates(0.5, 0.75);
    }

    /** Fresh weights and iterators at every call. */
    static Trainer.Builder trainer(TrainingPlan plan) {
        return new Trainer.Builder(plan, data(plan, IMAGES, 1, false))
                .testData(data(plan, TESTED, 2, true))
                .dataDescription(DATA);
    }

    private static TokenDataSetIterator data(TrainingPlan plan, int count, long seed, boolean keepLastShort) {
        Random random = new Random(seed);
        int[][] tokens = new int[count][plan.model().grid().tokens()];
        int[] classes = new int[count];
        for (int i = 0; i < count; i++) {
            classes[i] = i % plan.model().classes();
            for (int k = 0; k < tokens[i].length; k++) {
                // something to learn: a class has codes of its own
                tokens[i][k] =
                        (3 * classes[i] + random.nextInt(4)) % plan.model().vocabulary();
            }
        }
        return new TokenDataSetIterator(tokens, classes, plan.batchSize(), keepLastShort, plan.seed());
    }

    static Sweep.Builder sweep(PatchPlanSpace space, Path folder) {
        return new Sweep.Builder(space, plan(), SmallSweeps::trainer, folder)
                .dataDescription(DATA)
                .checkpointEvery(Duration.ofMillis(1));
    }
}
