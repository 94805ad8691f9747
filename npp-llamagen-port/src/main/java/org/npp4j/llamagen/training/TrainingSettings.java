package org.npp4j.llamagen.training;

import java.util.Objects;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.layers.kernel.Precision;

/**
 * What every {@link RunPlan} settles, whatever the network: batches, optimizer, arithmetic, seed.
 *
 * <p>In a plan's JSON they stand beside the plan's other settings, under the names of the published trainer's options.
 *
 * @param batchSize images of a step
 * @param microBatch images that are computed at a time; the gradients of a step's parts are added up. Smaller parts need
 *     less memory
 * @param learningRate the learning rate at every step
 * @param optimizer AdamW
 * @param clipNorm largest global norm of the gradients, 0 for no clipping
 * @param averageDecay decay of the moving average of the weights, 0 for none
 * @param precision of matrix products
 * @param dataType of weights and activations, FLOAT or DOUBLE
 * @param seed of weights, dropouts and the order of images
 */
public record TrainingSettings(
        int batchSize,
        int microBatch,
        TrainingPlan.LearningRate learningRate,
        TrainingPlan.AdamW optimizer,
        double clipNorm,
        double averageDecay,
        Precision precision,
        DataType dataType,
        long seed) {
    /**
     * Checks what needs no network: the ranges of learning rate and optimizer, and the data type, are checked by the plan that
     * builds one.
     *
     * @param batchSize at least 1
     * @param microBatch 1 to the batch size
     * @param learningRate not null
     * @param optimizer not null
     * @param clipNorm 0 or above
     * @param averageDecay at least 0 and below 1
     * @param precision of matrix products
     * @param dataType FLOAT or DOUBLE
     * @param seed any number
     * @throws IllegalArgumentException if a setting is out of its range
     */
    public TrainingSettings {
        Objects.requireNonNull(learningRate, "A plan needs a learning rate");
        Objects.requireNonNull(optimizer, "A plan needs an optimizer");
        Objects.requireNonNull(precision, "A plan needs a precision, such as Precision.FLOAT");
        Objects.requireNonNull(dataType, "A plan needs a data type, FLOAT or DOUBLE");
        if (batchSize < 1) {
            throw new IllegalArgumentException("global_batch_size must be at least 1, got " + batchSize);
        }
        if (microBatch < 1 || microBatch > batchSize) {
            throw new IllegalArgumentException(
                    "micro_batch must be 1 to global_batch_size, which is " + batchSize + ", got " + microBatch);
        }
        if (!(clipNorm >= 0 && clipNorm < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException(
                    "max_grad_norm must be a finite number, at least 0 (no clipping), got " + clipNorm);
        }
        if (!(averageDecay >= 0 && averageDecay < 1)) {
            throw new IllegalArgumentException("ema_decay must be at least 0 (no average) and below 1, got "
                    + averageDecay + "; 0.999 to 0.9999 is usual");
        }
    }

    /**
     * These settings with another learning rate.
     *
     * @param rate at every step
     * @return the settings
     */
    public TrainingSettings withLearningRate(TrainingPlan.LearningRate rate) {
        return new TrainingSettings(
                batchSize, microBatch, rate, optimizer, clipNorm, averageDecay, precision, dataType, seed);
    }

    /**
     * Writes batches, learning rate and optimizer.
     *
     * @param plan takes the keys, behind those it has
     * @return the plan
     */
    public ObjectNode putOptimization(ObjectNode plan) {
        return plan.put("global_batch_size", batchSize)
                .put("micro_batch", microBatch)
                .put("lr", learningRate.base())
                .put("scheduler", learningRate.scheduled())
                .put("warmup", learningRate.warmup())
                .put("decay_ratio", learningRate.decayRatio())
                .put("end_lr", learningRate.end())
                .put("beta1", optimizer.beta1())
                .put("beta2", optimizer.beta2())
                .put("eps", optimizer.epsilon())
                .put("weight_decay", optimizer.weightDecay())
                .put("max_grad_norm", clipNorm)
                .put("ema_decay", averageDecay);
    }

    /**
     * Writes precision, type and seed, which end a plan.
     *
     * @param plan takes the keys, behind those it has
     * @return the plan
     */
    public ObjectNode putArithmetic(ObjectNode plan) {
        return plan.put("precision", precision.toString())
                .put("data_type", dataType.name())
                .put("seed", seed);
    }

    /** Values of a plan's JSON or YAML by their keys; a wrong kind of value is an IllegalArgumentException that names the key. */
    public interface Keys {
        /**
         * An int.
         *
         * @param key its name
         * @param absent what it is if there is no such key
         * @return the value
         */
        int whole(String key, int absent);

        /**
         * A long.
         *
         * @param key its name
         * @param absent what it is if there is no such key
         * @return the value
         */
        long wholeLong(String key, long absent);

        /**
         * A number.
         *
         * @param key its name
         * @param absent what it is if there is no such key
         * @return the value
         */
        double number(String key, double absent);

        /**
         * Yes or no.
         *
         * @param key its name
         * @param absent what it is if there is no such key
         * @return the value
         */
        boolean flag(String key, boolean absent);

        /**
         * A text.
         *
         * @param key its name
         * @param absent what it is if there is no such key
         * @return the value
         */
        String text(String key, String absent);
    }

    /**
     * The part of a plan's builder that sets these settings.
     *
     * @param <B> the builder
     */
    public abstract static class Builder<B extends Builder<B>> {
        private int batchSize;
        private int microBatch;
        private TrainingPlan.LearningRate learningRate;
        private TrainingPlan.AdamW optimizer;
        private double clipNorm = 1;
        private double averageDecay;
        private Precision precision = Precision.FLOAT;
        private DataType dataType = DataType.FLOAT;
        private long seed;

        /**
         * With defaults that differ from plan to plan.
         *
         * @param batchSize images of a step, which are computed at a time
         * @param learningRate at every step
         * @param optimizer its settings
         */
        protected Builder(int batchSize, TrainingPlan.LearningRate learningRate, TrainingPlan.AdamW optimizer) {
            this.batchSize = batchSize;
            this.learningRate = learningRate;
            this.optimizer = optimizer;
        }

        /** {@return this} */
        protected abstract B self();

        /**
         * Images of a step.
         *
         * @param batchSize at least 1
         * @return this
         */
        public B batchSize(int batchSize) {
            this.batchSize = batchSize;
            return self();
        }

        /**
         * Images that are computed at a time. Default: the batch size.
         *
         * @param microBatch 1 to the batch size
         * @return this
         */
        public B microBatch(int microBatch) {
            this.microBatch = microBatch;
            return self();
        }

        /**
         * The learning rate of the plateau, or of every step.
         *
         * @param base a finite number above 0
         * @return this
         */
        public B learningRate(double base) {
            learningRate = new TrainingPlan.LearningRate(
                    base,
                    learningRate.scheduled(),
                    learningRate.warmup(),
                    learningRate.decayRatio(),
                    learningRate.end());
            return self();
        }

        /**
         * The learning rate with its schedule.
         *
         * @param learningRate at every step
         * @return this
         */
        public B learningRate(TrainingPlan.LearningRate learningRate) {
            this.learningRate = Objects.requireNonNull(learningRate, "The learning rate is null");
            return self();
        }

        /**
         * Whether every stage has its own warm-up and decay.
         *
         * @param scheduled whether
         * @return this
         */
        public B scheduled(boolean scheduled) {
            learningRate = new TrainingPlan.LearningRate(
                    learningRate.base(),
                    scheduled,
                    learningRate.warmup(),
                    learningRate.decayRatio(),
                    learningRate.end());
            return self();
        }

        /**
         * The optimizer.
         *
         * @param optimizer its settings
         * @return this
         */
        public B optimizer(TrainingPlan.AdamW optimizer) {
            this.optimizer = optimizer;
            return self();
        }

        /**
         * Largest global norm of the gradients. Default: 1.
         *
         * @param clipNorm 0 for no clipping
         * @return this
         */
        public B clipNorm(double clipNorm) {
            this.clipNorm = clipNorm;
            return self();
        }

        /**
         * Decay of the moving average of the weights. Default: 0, no average.
         *
         * @param averageDecay such as 0.9999, as published for GPTs
         * @return this
         */
        public B averageDecay(double averageDecay) {
            this.averageDecay = averageDecay;
            return self();
        }

        /**
         * Precision of matrix products. Default: FLOAT; bf16 is published for GPTs.
         *
         * @param precision that the processor must have
         * @return this
         */
        public B precision(Precision precision) {
            this.precision = precision;
            return self();
        }

        /**
         * Type of weights and activations. Default: FLOAT.
         *
         * @param dataType FLOAT or DOUBLE
         * @return this
         */
        public B dataType(DataType dataType) {
            this.dataType = dataType;
            return self();
        }

        /**
         * Seed of weights, dropouts and order. Default: 0.
         *
         * @param seed any number
         * @return this
         */
        public B seed(long seed) {
            this.seed = seed;
            return self();
        }

        /**
         * Everything that this class sets.
         *
         * @param settings instead of those set before
         * @return this
         */
        public B settings(TrainingSettings settings) {
            return batchSize(settings.batchSize)
                    .microBatch(settings.microBatch)
                    .learningRate(settings.learningRate)
                    .optimizer(settings.optimizer)
                    .clipNorm(settings.clipNorm)
                    .averageDecay(settings.averageDecay)
                    .precision(settings.precision)
                    .dataType(settings.dataType)
                    .seed(settings.seed);
        }

        /**
         * Sets what a plan's file gives.
         *
         * @param keys of the file; what is absent stays
         * @return this
         * @throws IllegalArgumentException if a value is of the wrong kind
         */
        public B read(Keys keys) {
            batchSize = keys.whole("global_batch_size", batchSize);
            microBatch = keys.whole("micro_batch", batchSize);
            learningRate = new TrainingPlan.LearningRate(
                    keys.number("lr", learningRate.base()),
                    keys.flag("scheduler", learningRate.scheduled()),
                    keys.number("warmup", learningRate.warmup()),
                    keys.number("decay_ratio", learningRate.decayRatio()),
                    keys.number("end_lr", learningRate.end()));
            optimizer = new TrainingPlan.AdamW(
                    keys.number("beta1", optimizer.beta1()),
                    keys.number("beta2", optimizer.beta2()),
                    keys.number("eps", optimizer.epsilon()),
                    keys.number("weight_decay", optimizer.weightDecay()));
            clipNorm = keys.number("max_grad_norm", clipNorm);
            averageDecay = keys.number("ema_decay", averageDecay);
            precision = Precision.named(keys.text("precision", precision.toString()));
            dataType = type(keys.text("data_type", dataType.name()));
            seed = keys.wholeLong("seed", seed);
            return self();
        }

        private static DataType type(String name) {
            return switch (name) {
                case "FLOAT" -> DataType.FLOAT;
                case "DOUBLE" -> DataType.DOUBLE;
                default -> throw new IllegalArgumentException(
                        "\"data_type\" must be FLOAT or DOUBLE, got \"" + name + "\"");
            };
        }

        /**
         * What has been set.
         *
         * @return the settings
         * @throws IllegalArgumentException if a setting is out of its range
         */
        protected TrainingSettings settings() {
            return new TrainingSettings(
                    batchSize,
                    microBatch == 0 ? batchSize : microBatch,
                    learningRate,
                    optimizer,
                    clipNorm,
                    averageDecay,
                    precision,
                    dataType,
                    seed);
        }
    }
}
