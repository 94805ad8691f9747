package org.npp4j.ecar;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Optional;
import java.util.SplittableRandom;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.llamagen.training.CheckpointPolicy;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingCheckpoint;
import org.npp4j.llamagen.training.TrainingObserver;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingStep;

/** Small runs with everything random that there is; as a process of its own, a run to be killed. */
final class SmallEcarRuns {
    static final EcarConfig MODEL = new EcarConfig(2, 4, 2, 8, 2, 2, 3, 0.3, 0.2, new FlowHead.Mlp(8, 1));
    static final int IMAGES = 26;
    static final int BATCH = 6;
    /** The rest is dropped. */
    static final int STEPS_PER_EPOCH = 4;

    private SmallEcarRuns() {}

    /** Three epochs; dropouts, schedule, weight decay, average, parts of 4 and 2 images. */
    static EcarPlan.Builder plan() {
        return plan(MODEL);
    }

    static EcarPlan.Builder plan(EcarConfig model) {
        return EcarPlan.of(model)
                .epochs(3)
                .batchSize(BATCH)
                .microBatch(4)
                .learningRate(new TrainingPlan.LearningRate(1e-2, true, 0.5, 0.5, 1e-3))
                .optimizer(new TrainingPlan.AdamW(0.9, 0.95, 1e-8, 0.05))
                .averageDecay(0.9)
                .clipNorm(0.5)
                .seed(7);
    }

    static LatentDataSetIterator data(EcarPlan plan, boolean test) {
        int count = test ? 7 : IMAGES;
        SplittableRandom random = new SplittableRandom(test ? 1 : 2);
        float[] values = new float[count * 2 * 4 * 4];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        int[] classes = new int[count];
        Arrays.setAll(classes, i -> i % 3);
        INDArray latents = Nd4j.createFromArray(values).reshape('c', count, 2, 4, 4);
        return new LatentDataSetIterator(plan.model(), latents, classes, BATCH, test, plan.seed());
    }

    static Trainer.Builder trainer(EcarPlan plan) {
        return new Trainer.Builder(plan, data(plan, false)).testData(data(plan, true));
    }

    static CheckpointPolicy every(int steps, Path folder) {
        return new CheckpointPolicy(folder, steps, Duration.ZERO, 100, false);
    }

    static Optional<TrainingCheckpoint> latest(Path folder) throws Exception {
        return TrainingCheckpoint.list(folder, EcarPlan::parse).stream().reduce((first, second) -> second);
    }

    /** Continues from the newest checkpoint, and prints each step. */
    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        Trainer.Builder builder = trainer(plan().build())
                .checkpoints(every(1, folder))
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer trainer, TrainingStep step) {
                        System.out.println("step " + step.step());
                        System.out.flush();
                    }
                });
        latest(folder).ifPresent(builder::resume);
        builder.build().run();
    }
}
