package org.npp4j.llamagen.training;

import java.nio.file.Path;
import java.util.Optional;
import org.npp4j.schedule.PatchStages;

/** A process that trains, to be killed: continues from the newest checkpoint, and prints each step. */
final class KilledRun {
    static final int EVERY = 2;

    private KilledRun() {}

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[0]);
        Trainer.Builder builder = SmallRuns.trainer(plan())
                .checkpoints(SmallRuns.every(EVERY, folder))
                .observer(new TrainingObserver() {
                    @Override
                    public void onStep(Trainer trainer, TrainingStep step) {
                        System.out.println("step " + step.step());
                        System.out.flush();
                    }
                });
        Optional<TrainingCheckpoint> latest = TrainingCheckpoint.latest(folder);
        System.out.println("from " + latest.map(TrainingCheckpoint::step).orElse(0));
        latest.ifPresent(builder::resume);
        builder.build().run();
    }

    static TrainingPlan plan() {
        return SmallRuns.plan().stages(PatchStages.parse("2:5,1:12")).build();
    }
}
