package org.npp4j.schedule;

import java.util.Objects;
import org.nd4j.linalg.schedule.ISchedule;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;

/**
 * A learning rate that starts afresh in every stage: warm-up from 0, plateau, linear decay. Immutable.
 *
 * <p>In a stage of S steps, of which the first W are warm-up, with D = decayRatio x S, at step s of the stage:
 *
 * <ul>
 *   <li>s &lt; W: lr x s / W. The first step of a stage with warm-up has rate 0
 *   <li>s &lt; S - D: lr
 *   <li>else endLr + (lr - endLr) x max(0, 1 - (s - (S - D)) / D)
 * </ul>
 *
 * <p>A stage shorter than its warm-up and decay together goes from its warm-up straight into the part of the decay that
 * is left. After the last stage the rate stays at endLr, or at lr if decayRatio is 0.
 *
 * <p>Stages in epochs need {@link Builder#stepsPerEpoch}, and their warm-up is in epochs; for stages in iterations it is in
 * iterations. The rate depends on the network's iteration counter alone, so a restored network continues at the step it
 * was saved at.
 *
 * <pre>{@code
 * new TorchAdam.Builder().learningRate(new StageLearningRate.Builder(PatchStages.ofEpochs(300, 0.5, 2))
 *         .learningRate(1e-4).endLearningRate(1e-5).warmup(1).decayRatio(0.2).stepsPerEpoch(5005).build()).build()
 * }</pre>
 *
 * <p>Source: the scheduler of the published training code of arXiv 2412.15321. That code restarts at the first stage when
 * a run is resumed; this class does not.
 */
public final class StageLearningRate implements ISchedule {
    private static final long serialVersionUID = 1L;

    private final PatchStages stages;
    private final double learningRate;
    private final double endLearningRate;
    private final double warmup;
    private final double decayRatio;
    private final int stepsPerEpoch;

    @JsonCreator
    private StageLearningRate(
            @JsonProperty("stages") PatchStages stages,
            @JsonProperty("learningRate") double learningRate,
            @JsonProperty("endLearningRate") double endLearningRate,
            @JsonProperty("warmup") double warmup,
            @JsonProperty("decayRatio") double decayRatio,
            @JsonProperty("stepsPerEpoch") int stepsPerEpoch) {
        Objects.requireNonNull(stages, "StageLearningRate needs stages: new StageLearningRate.Builder(patchStages)");
        require(positive(learningRate), "learningRate must be a finite number above 0", learningRate);
        require(
                endLearningRate == 0 || positive(endLearningRate),
                "endLearningRate must be a finite number, 0 or above",
                endLearningRate);
        require(warmup == 0 || positive(warmup), "warmup must be a finite number, 0 or above", warmup);
        require(decayRatio >= 0 && decayRatio <= 1, "decayRatio must be 0 to 1, a share of the stage", decayRatio);
        if (stages.unit() == PatchStages.Unit.EPOCHS && stepsPerEpoch < 1) {
            throw new IllegalArgumentException("Stages in epochs (" + stages
                    + ") need the iterations in an epoch: stepsPerEpoch(n), at least 1, got " + stepsPerEpoch);
        }
        if (stages.unit() == PatchStages.Unit.ITERATIONS && stepsPerEpoch != 0) {
            throw new IllegalArgumentException("Stages in iterations (" + stages + ") take no stepsPerEpoch, got "
                    + stepsPerEpoch + ". Leave it out");
        }
        this.stages = stages;
        this.learningRate = learningRate;
        this.endLearningRate = endLearningRate;
        this.warmup = warmup;
        this.decayRatio = decayRatio;
        this.stepsPerEpoch = stepsPerEpoch;
    }

    private static boolean positive(double value) {
        return value > 0 && value < Double.POSITIVE_INFINITY;
    }

    private static void require(boolean condition, String rule, double given) {
        if (!condition) {
            throw new IllegalArgumentException(rule + ", got " + given);
        }
    }

    /**
     * The learning rate at a step.
     *
     * @param iteration the network's iteration counter, 0 at the first step
     * @param epoch not used
     * @return the learning rate
     */
    @Override
    public double valueAt(int iteration, int epoch) {
        return learningRate * factorAt(iteration);
    }

    /**
     * The learning rate at a step as a multiple of the base rate.
     *
     * @param iteration the network's iteration counter, 0 at the first step
     * @return the factor
     */
    public double factorAt(int iteration) {
        long unitSteps = stages.unit() == PatchStages.Unit.EPOCHS ? stepsPerEpoch : 1;
        PatchStages.Stage stage = stages.stages().get(stages.stageAt((int) (iteration / unitSteps)));
        long start = stage.start() * unitSteps;
        double steps = stage.length() * (double) unitSteps;
        double decay = steps * decayRatio;
        double warm = warmup * unitSteps;
        double hold = steps - warm - decay;
        if (iteration < start + warm) {
            return (iteration - start) / Math.max(1, warm);
        }
        if (iteration < start + warm + hold || decay == 0) {
            return 1;
        }
        double left = Math.max(0, 1 - (iteration - (start + warm + hold)) / decay);
        return (endLearningRate + (learningRate - endLearningRate) * left) / learningRate;
    }

    /** {@return the stages} */
    @JsonProperty
    public PatchStages getStages() {
        return stages;
    }

    /** {@return the base learning rate, that of the plateau} */
    @JsonProperty
    public double getLearningRate() {
        return learningRate;
    }

    /** {@return the learning rate at the end of a stage} */
    @JsonProperty
    public double getEndLearningRate() {
        return endLearningRate;
    }

    /** {@return warm-up of each stage, in the unit of the stages} */
    @JsonProperty
    public double getWarmup() {
        return warmup;
    }

    /** {@return the share of each stage that decays} */
    @JsonProperty
    public double getDecayRatio() {
        return decayRatio;
    }

    /** {@return iterations in an epoch, or 0 if the stages are in iterations} */
    @JsonProperty
    public int getStepsPerEpoch() {
        return stepsPerEpoch;
    }

    @Override
    public StageLearningRate clone() {
        return new StageLearningRate(stages, learningRate, endLearningRate, warmup, decayRatio, stepsPerEpoch);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof StageLearningRate that
                && stages.equals(that.stages)
                && learningRate == that.learningRate
                && endLearningRate == that.endLearningRate
                && warmup == that.warmup
                && decayRatio == that.decayRatio
                && stepsPerEpoch == that.stepsPerEpoch;
    }

    @Override
    public int hashCode() {
        return Objects.hash(stages, learningRate, endLearningRate, warmup, decayRatio, stepsPerEpoch);
    }

    @Override
    public String toString() {
        return "StageLearningRate(stages=" + stages + ", learningRate=" + learningRate + ", endLearningRate="
                + endLearningRate + ", warmup=" + warmup + ", decayRatio=" + decayRatio + ", stepsPerEpoch="
                + stepsPerEpoch + ")";
    }

    /**
     * Settings of a schedule. Those that are not set have the published values: learning rate 1e-4, end 1e-5, warm-up 1
     * epoch (none for stages in iterations), decay over the last 0.2 of each stage.
     */
    public static final class Builder {
        private final PatchStages stages;
        private double learningRate = 1e-4;
        private double endLearningRate = 1e-5;
        private double warmup;
        private double decayRatio = 0.2;
        private int stepsPerEpoch;

        /**
         * A schedule over these stages.
         *
         * @param stages the stages
         */
        public Builder(PatchStages stages) {
            this.stages = Objects.requireNonNull(stages, "StageLearningRate needs stages, got null");
            this.warmup = stages.unit() == PatchStages.Unit.EPOCHS ? 1 : 0;
        }

        /**
         * Base rate, that of the plateau. Default 1e-4.
         *
         * @param learningRate above 0
         * @return this
         */
        public Builder learningRate(double learningRate) {
            this.learningRate = learningRate;
            return this;
        }

        /**
         * Rate that a stage decays towards. Default 1e-5.
         *
         * @param endLearningRate 0 or above
         * @return this
         */
        public Builder endLearningRate(double endLearningRate) {
            this.endLearningRate = endLearningRate;
            return this;
        }

        /**
         * Length of each stage's warm-up, in epochs or iterations as the stages are. Default 1 epoch or 0 iterations.
         *
         * @param warmup 0 or above
         * @return this
         */
        public Builder warmup(double warmup) {
            this.warmup = warmup;
            return this;
        }

        /**
         * Share of each stage over which the rate decays. Default 0.2.
         *
         * @param decayRatio 0 to 1
         * @return this
         */
        public Builder decayRatio(double decayRatio) {
            this.decayRatio = decayRatio;
            return this;
        }

        /**
         * Iterations in an epoch: needed for stages in epochs, refused for stages in iterations.
         *
         * @param stepsPerEpoch at least 1
         * @return this
         */
        public Builder stepsPerEpoch(int stepsPerEpoch) {
            this.stepsPerEpoch = stepsPerEpoch;
            return this;
        }

        /**
         * The schedule.
         *
         * @return the schedule
         * @throws IllegalArgumentException if a setting is out of its range
         */
        public StageLearningRate build() {
            return new StageLearningRate(stages, learningRate, endLearningRate, warmup, decayRatio, stepsPerEpoch);
        }
    }
}
