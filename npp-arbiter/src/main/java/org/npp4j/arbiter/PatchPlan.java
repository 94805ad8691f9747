package org.npp4j.arbiter;

import java.io.Serializable;
import java.util.Locale;
import java.util.Objects;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;

/**
 * What one candidate of a sweep changes in a {@link TrainingPlan}. Two candidates with equal plans are the same experiment,
 * however they were described: every epoch rate of patch level 1 gives the same stages, for example.
 *
 * @param stages patch sides and their ends
 * @param learningRate of the plateau; null for that of the training plan
 * @param decayRatio share of each stage in which the learning rate falls; null for that of the training plan
 */
public record PatchPlan(PatchStages stages, Double learningRate, Double decayRatio) implements Serializable {
    private static final long serialVersionUID = 1L;

    /**
     * Checks that there are stages; the rest is checked by {@link #applyTo}.
     *
     * @param stages patch sides and their ends
     * @param learningRate or null
     * @param decayRatio or null
     */
    public PatchPlan {
        Objects.requireNonNull(stages, "A patch plan needs stages: PatchStages.ofEpochs(..)");
    }

    /**
     * Puts this plan's settings into another plan.
     *
     * @param plan of which everything else is taken
     * @return the plan of a candidate; with a decay ratio its learning rate is scheduled
     * @throws IllegalArgumentException if a setting is out of its range, or the stages do not fit the model's grid
     */
    public TrainingPlan applyTo(TrainingPlan plan) {
        TrainingPlan.LearningRate rate = plan.learningRate();
        return new TrainingPlan(
                plan.model(),
                plan.dropouts(),
                stages,
                plan.learnUnconditional(),
                plan.settings()
                        .withLearningRate(new TrainingPlan.LearningRate(
                                learningRate == null ? rate.base() : learningRate,
                                rate.scheduled() || decayRatio != null,
                                rate.warmup(),
                                decayRatio == null ? rate.decayRatio() : decayRatio,
                                rate.end())));
    }

    /**
     * A name that is different for every plan and fit for a folder: {@code 2-6_1-12}, {@code 2-6_1-12_lr0.001_decay0.2}.
     *
     * @return the name
     */
    public String name() {
        StringBuilder name =
                new StringBuilder(stages.toString().replace(':', '-').replace(',', '_'));
        if (learningRate != null) {
            name.append("_lr").append(learningRate);
        }
        if (decayRatio != null) {
            name.append("_decay").append(decayRatio);
        }
        return name.toString().toLowerCase(Locale.ROOT);
    }

    /** {@return the settings in words} */
    @Override
    public String toString() {
        return "stages " + stages + (learningRate == null ? "" : ", learning rate " + learningRate)
                + (decayRatio == null ? "" : ", decay ratio " + decayRatio);
    }
}
