package org.npp4j.arbiter;

import java.nio.file.Path;
import org.npp4j.llamagen.training.Trainer;
import org.npp4j.llamagen.training.TrainingStep;

/** A process that runs a sweep, to be killed: prints candidates and steps. */
final class KilledSweep {
    private KilledSweep() {}

    public static void main(String[] arguments) throws Exception {
        SmallSweeps.sweep(SmallSweeps.space().build(), Path.of(arguments[0]))
                .listener(new SweepListener() {
                    @Override
                    public void onStart(int index, PatchPlan plan) {
                        say("start " + index);
                    }

                    @Override
                    public void onStep(int index, PatchPlan plan, Trainer trainer, TrainingStep step) {
                        say("step " + index + " " + step.step());
                    }
                })
                .build()
                .run();
        say("end");
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
