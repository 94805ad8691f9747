package org.npp4j.schedule;

import java.util.Map;
import java.util.Objects;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.schedule.ISchedule;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.npp4j.layers.kernel.AdamStep;

/**
 * Adam exactly as PyTorch computes it.
 *
 * <p>At step t, counted from 1, for a gradient g:
 *
 * <pre>
 * m = beta1 m + (1 - beta1) g
 * v = beta2 v + (1 - beta2) g²
 * update = lr / (1 - beta1^t) x m / (sqrt(v) / sqrt(1 - beta2^t) + epsilon)
 * </pre>
 *
 * <p>Deeplearning4j's {@code Adam} adds epsilon to sqrt(v) before the bias of v is corrected, so that its epsilon counts
 * for more in the first steps and small gradients move their parameters less. Everything else is the same, the layout of
 * the state (m, then v) included: a state of one can be continued with the other.
 *
 * <p>PyTorch's {@code AdamW} is this updater with {@code weightDecay(coefficient, true)} set on each layer that decays.
 *
 * <p>The step t is the network's iteration counter plus 1. Where the learning rate is 0, as in the first step of a warm-up,
 * m and v move and the parameters do not.
 *
 * <pre>{@code
 * new TorchAdam.Builder().learningRate(schedule).beta2(0.95).build()
 * }</pre>
 *
 * <p>Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization" (arXiv 1412.6980); Loshchilov and Hutter,
 * "Decoupled Weight Decay Regularization" (arXiv 1711.05101).
 */
public final class TorchAdam implements IUpdater {
    private static final long serialVersionUID = 1L;

    private double learningRate;
    private ISchedule learningRateSchedule;
    private final double beta1;
    private final double beta2;
    private final double epsilon;

    /**
     * With a constant learning rate and PyTorch's defaults: beta1 0.9, beta2 0.999, epsilon 1e-8.
     *
     * @param learningRate a finite number, 0 or above
     */
    public TorchAdam(double learningRate) {
        this(new Builder().learningRate(learningRate));
    }

    private TorchAdam(Builder builder) {
        this(builder.learningRate, builder.learningRateSchedule, builder.beta1, builder.beta2, builder.epsilon);
    }

    @JsonCreator
    private TorchAdam(
            @JsonProperty("learningRate") double learningRate,
            @JsonProperty("learningRateSchedule") ISchedule learningRateSchedule,
            @JsonProperty("beta1") double beta1,
            @JsonProperty("beta2") double beta2,
            @JsonProperty("epsilon") double epsilon) {
        requireBeta(beta1, "beta1");
        requireBeta(beta2, "beta2");
        if (!(epsilon >= 0 && epsilon < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "TorchAdam's epsilon must be a finite number, 0 or above, got " + epsilon);
        }
        this.beta1 = beta1;
        this.beta2 = beta2;
        this.epsilon = epsilon;
        setLrAndSchedule(learningRate, learningRateSchedule);
    }

    private static void requireBeta(double beta, String name) {
        if (!(beta >= 0 && beta < 1)) {
            throw new IllegalArgumentException("TorchAdam's " + name + " must be at least 0 and below 1, got " + beta);
        }
    }

    /** {@return the constant learning rate; without meaning where there is a schedule} */
    public double getLearningRate() {
        return learningRate;
    }

    /** {@return the schedule of learning rates, or null for a constant one} */
    public ISchedule getLearningRateSchedule() {
        return learningRateSchedule;
    }

    /** {@return the share of m that a step keeps} */
    public double getBeta1() {
        return beta1;
    }

    /** {@return the share of v that a step keeps} */
    public double getBeta2() {
        return beta2;
    }

    /** {@return what is added to the root} */
    public double getEpsilon() {
        return epsilon;
    }

    @Override
    public long stateSize(long numParams) {
        return 2 * numParams;
    }

    @Override
    public TorchAdamUpdater instantiate(INDArray viewArray, boolean initializeViewArray) {
        TorchAdamUpdater updater = new TorchAdamUpdater(this);
        updater.setStateViewArray(
                viewArray, new long[] {viewArray.length() / 2}, viewArray.ordering(), initializeViewArray);
        return updater;
    }

    @Override
    public TorchAdamUpdater instantiate(Map<String, INDArray> updaterState, boolean initializeStateArrays) {
        TorchAdamUpdater updater = new TorchAdamUpdater(this);
        updater.setState(updaterState, initializeStateArrays);
        return updater;
    }

    @Override
    public double getLearningRate(int iteration, int epoch) {
        return learningRateSchedule == null ? learningRate : learningRateSchedule.valueAt(iteration, epoch);
    }

    /** The numbers of a step. */
    AdamStep step(int iteration, int epoch) {
        return new AdamStep(iteration, getLearningRate(iteration, epoch), beta1, beta2, epsilon);
    }

    @Override
    public boolean hasLearningRate() {
        return true;
    }

    @Override
    public void setLrAndSchedule(double lr, ISchedule lrSchedule) {
        if (lrSchedule == null && !(lr >= 0 && lr < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("TorchAdam's learning rate must be a finite number, 0 or above, got "
                    + lr + ". Or give it a schedule");
        }
        learningRate = lr;
        learningRateSchedule = lrSchedule;
    }

    // A copy by its constructor: the schedule is to be a copy too
    @Override
    @SuppressWarnings("MethodDoesntCallSuperMethod")
    public TorchAdam clone() {
        ISchedule schedule = learningRateSchedule == null ? null : learningRateSchedule.clone();
        return new TorchAdam(learningRate, schedule, beta1, beta2, epsilon);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof TorchAdam that
                && Double.compare(learningRate, that.learningRate) == 0
                && Objects.equals(learningRateSchedule, that.learningRateSchedule)
                && beta1 == that.beta1
                && beta2 == that.beta2
                && epsilon == that.epsilon;
    }

    @Override
    public int hashCode() {
        return Objects.hash(learningRate, learningRateSchedule, beta1, beta2, epsilon);
    }

    @Override
    public String toString() {
        return "TorchAdam(learningRate=" + (learningRateSchedule == null ? learningRate : learningRateSchedule)
                + ", beta1=" + beta1 + ", beta2=" + beta2 + ", epsilon=" + epsilon + ")";
    }

    /** Builds a {@link TorchAdam}; the defaults are PyTorch's. */
    public static final class Builder {
        private double learningRate = 1e-3;
        private ISchedule learningRateSchedule;
        private double beta1 = 0.9;
        private double beta2 = 0.999;
        private double epsilon = 1e-8;

        /** A builder with PyTorch's defaults: learning rate 1e-3, beta1 0.9, beta2 0.999, epsilon 1e-8. */
        public Builder() {}

        /**
         * A constant learning rate.
         *
         * @param learningRate a finite number, 0 or above
         * @return this
         */
        public Builder learningRate(double learningRate) {
            this.learningRate = learningRate;
            this.learningRateSchedule = null;
            return this;
        }

        /**
         * A learning rate for each step.
         *
         * @param schedule such as a {@link StageLearningRate}
         * @return this
         */
        public Builder learningRate(ISchedule schedule) {
            this.learningRateSchedule = Objects.requireNonNull(schedule, "The schedule of learning rates is null");
            this.learningRate = Double.NaN;
            return this;
        }

        /**
         * Share of m that a step keeps.
         *
         * @param beta1 at least 0, below 1
         * @return this
         */
        public Builder beta1(double beta1) {
            this.beta1 = beta1;
            return this;
        }

        /**
         * Share of v that a step keeps.
         *
         * @param beta2 at least 0, below 1
         * @return this
         */
        public Builder beta2(double beta2) {
            this.beta2 = beta2;
            return this;
        }

        /**
         * What is added to the root.
         *
         * @param epsilon a finite number, 0 or above
         * @return this
         */
        public Builder epsilon(double epsilon) {
            this.epsilon = epsilon;
            return this;
        }

        /**
         * The updater.
         *
         * @return a new updater
         * @throws IllegalArgumentException if a setting is out of its range
         */
        public TorchAdam build() {
            return new TorchAdam(this);
        }
    }
}
