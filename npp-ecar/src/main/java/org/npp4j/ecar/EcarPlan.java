package org.npp4j.ecar;

import java.util.Objects;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.PatchStages;

/**
 * Everything that decides the result of training an ECAR, except the data: what {@link
 * org.npp4j.llamagen.training.Trainer} needs.
 *
 * <pre>{@code
 * EcarPlan plan = EcarPlan.of(EcarConfig.defaults()).epochs(7).averageDecay(0.999).build();
 * Trainer trainer = new Trainer.Builder(plan, new LatentDataSetIterator(config, latents, classes, plan.batchSize(), plan.seed()))
 *         .checkpoints(CheckpointPolicy.in(folder))
 *         .build();
 * trainer.run();
 * }</pre>
 *
 * <p>The loss is the mean squared error of the velocities. Noise and times of a step are the data's: those of {@link
 * LatentDataSetIterator} depend on seed, epoch and place alone, so that a run continues to the bit.
 *
 * <p>All defaults are reconstruction: no recipe of ECAR is known.
 *
 * @param model sizes and dropouts
 * @param epochs how often every image is seen
 * @param batchSize images of a step
 * @param microBatch images that are computed at a time
 * @param learningRate at every step; with a schedule, the whole run is one stage of it
 * @param optimizer AdamW
 * @param clipNorm largest global norm of the gradients, 0 for no clipping
 * @param averageDecay decay of the moving average of the weights, 0 for none
 * @param precision of matrix products
 * @param dataType of weights and activations, FLOAT or DOUBLE
 * @param seed of weights, dropouts and the order of images
 */
public record EcarPlan(
        EcarConfig model,
        int epochs,
        int batchSize,
        int microBatch,
        TrainingPlan.LearningRate learningRate,
        TrainingPlan.AdamW optimizer,
        double clipNorm,
        double averageDecay,
        Precision precision,
        DataType dataType,
        long seed)
        implements RunPlan {
    /**
     * Training stops above this loss. A new model's velocities are 0: that costs about 0.5, and less than 4 for any latents
     * of unit variance.
     */
    public static final double LARGEST_LOSS = 10;

    private static final String MODEL = "ecar";
    private static final ObjectMapper JSON = new ObjectMapper();

    /**
     * Checks everything that can be known before there is data.
     *
     * @param model any sizes
     * @param epochs at least 1
     * @param batchSize at least 1
     * @param microBatch 1 to the batch size
     * @param learningRate its base above 0, its warm-up at most the epochs
     * @param optimizer as {@link org.npp4j.schedule.TorchAdam} allows
     * @param clipNorm 0 or above
     * @param averageDecay at least 0 and below 1
     * @param precision of matrix products
     * @param dataType FLOAT or DOUBLE
     * @param seed any number
     * @throws IllegalArgumentException if a setting is out of its range, or does not go with another
     */
    public EcarPlan {
        Objects.requireNonNull(model, "A plan needs the sizes of a model: EcarPlan.of(config)");
        Objects.requireNonNull(learningRate, "A plan needs a learning rate");
        Objects.requireNonNull(optimizer, "A plan needs an optimizer");
        Objects.requireNonNull(precision, "A plan needs a precision, such as Precision.FLOAT");
        Objects.requireNonNull(dataType, "A plan needs a data type, FLOAT or DOUBLE");
        if (epochs < 1) {
            throw new IllegalArgumentException("epochs must be at least 1, got " + epochs);
        }
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
            throw new IllegalArgumentException(
                    "ema_decay must be at least 0 (no average) and below 1, got " + averageDecay + "; 0.999 is usual");
        }
        int anyNumberOfSteps = 1;
        network(model, epochs, learningRate, optimizer, dataType, anyNumberOfSteps)
                .build();
    }

    /**
     * A builder with the defaults of the apps.
     *
     * @param model sizes and dropouts
     * @return a builder to change the rest
     */
    public static Builder of(EcarConfig model) {
        return new Builder(model);
    }

    private static PatchStages whole(int epochs) {
        return PatchStages.epochs().stage(1, epochs).build();
    }

    private static Ecar network(
            EcarConfig model,
            int epochs,
            TrainingPlan.LearningRate learningRate,
            TrainingPlan.AdamW optimizer,
            DataType dataType,
            int batchesPerEpoch) {
        return Ecar.of(model)
                .weightDecay(optimizer.weightDecay())
                .updater(optimizer.updater(learningRate, whole(epochs), batchesPerEpoch))
                .dataType(dataType);
    }

    @Override
    public ComputationGraph newNetwork(int batchesPerEpoch, boolean recomputeBlocks, INDArray parameters) {
        return network(model, epochs, learningRate, optimizer, dataType, batchesPerEpoch)
                .recomputeBlocks(recomputeBlocks)
                .seed(seed)
                .init(parameters);
    }

    @Override
    public long parameters() {
        return model.parameters();
    }

    @Override
    public int steps(int batchesPerEpoch) {
        return Math.multiplyExact(epochs, batchesPerEpoch);
    }

    @Override
    public double learningRateAt(int step, int batchesPerEpoch) {
        return learningRate.at(step, whole(epochs), batchesPerEpoch);
    }

    /** The mean squared error of the velocities, over all tokens of all stages. */
    @Override
    public double loss(Model network) {
        double score = network.score();
        return optimizer.weightDecay() > 0 ? score - ((ComputationGraph) network).calcRegularizationScore(true) : score;
    }

    @Override
    public double largestLoss() {
        return LARGEST_LOSS;
    }

    /** With the noise and times that the data give; the same ones every time from a seekable iterator at its start. */
    @Override
    public double testLoss(ComputationGraph network, MultiDataSetIterator data) {
        double sum = 0;
        long images = 0;
        while (data.hasNext()) {
            MultiDataSet batch = data.next();
            long size = batch.getFeatures(0).size(0);
            // the score of a network in training has its regularization terms
            sum += size * (network.score(batch, false) - network.calcRegularizationScore(true));
            images += size;
        }
        return sum / images;
    }

    @Override
    public boolean hasModelOf(RunPlan other) {
        return other instanceof EcarPlan plan
                && plan.model.withDropouts(0, 0).equals(model.withDropouts(0, 0))
                && plan.dataType == dataType;
    }

    @Override
    public String toJson() {
        ObjectNode tree = JSON.createObjectNode();
        tree.set(MODEL, JSON.valueToTree(model.toMap()));
        return tree.put("epochs", epochs)
                .put("global_batch_size", batchSize)
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
                .put("ema_decay", averageDecay)
                .put("precision", precision.toString())
                .put("data_type", dataType.name())
                .put("seed", seed)
                .toPrettyString();
    }

    @Override
    public Parser parser() {
        return EcarPlan::parse;
    }

    /**
     * Reads a plan. What is missing has its default, the model alone is required.
     *
     * @param json from {@link #toJson}
     * @return the plan
     * @throws IllegalArgumentException if it is no plan of an ECAR, or a key is unknown or has a wrong value
     */
    public static EcarPlan parse(String json) {
        JsonNode tree;
        try {
            tree = JSON.readTree(json);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is not JSON: " + e.getOriginalMessage(), e);
        }
        if (tree == null || !tree.path(MODEL).isObject()) {
            throw new IllegalArgumentException("A plan of an ECAR is an object with the key \"" + MODEL
                    + "\", which is an object itself. Is this the plan of a GPT?");
        }
        EcarConfig.Keys keys = new EcarConfig.Keys(tree);
        Builder defaults = of(EcarConfig.parse(keys.value(MODEL)));
        TrainingPlan.LearningRate rate = defaults.learningRate;
        TrainingPlan.AdamW adam = defaults.optimizer;
        int batchSize = keys.whole("global_batch_size", defaults.batchSize);
        defaults.epochs(keys.whole("epochs", defaults.epochs))
                .batchSize(batchSize)
                .microBatch(keys.whole("micro_batch", batchSize))
                .learningRate(new TrainingPlan.LearningRate(
                        keys.number("lr", rate.base()),
                        keys.flag("scheduler", rate.scheduled()),
                        keys.number("warmup", rate.warmup()),
                        keys.number("decay_ratio", rate.decayRatio()),
                        keys.number("end_lr", rate.end())))
                .optimizer(new TrainingPlan.AdamW(
                        keys.number("beta1", adam.beta1()),
                        keys.number("beta2", adam.beta2()),
                        keys.number("eps", adam.epsilon()),
                        keys.number("weight_decay", adam.weightDecay())))
                .clipNorm(keys.number("max_grad_norm", defaults.clipNorm))
                .averageDecay(keys.number("ema_decay", defaults.averageDecay))
                .precision(Precision.named(keys.text("precision", defaults.precision.toString())))
                .dataType(type(keys.text("data_type", defaults.dataType.name())))
                .seed(keys.wholeLong("seed", defaults.seed));
        keys.requireNoOther("the plan of an ECAR");
        return defaults.build();
    }

    private static DataType type(String name) {
        return switch (name) {
            case "FLOAT" -> DataType.FLOAT;
            case "DOUBLE" -> DataType.DOUBLE;
            default -> throw new IllegalArgumentException(
                    "\"data_type\" must be FLOAT or DOUBLE, got \"" + name + "\"");
        };
    }

    /** Settings of a plan. */
    public static final class Builder {
        private final EcarConfig model;
        private int epochs = 7;
        private int batchSize = 64;
        private int microBatch;
        private TrainingPlan.LearningRate learningRate = new TrainingPlan.LearningRate(1e-3, true, 0.3, 0.5, 5e-5);
        private TrainingPlan.AdamW optimizer = new TrainingPlan.AdamW(0.9, 0.95, 1e-8, 0);
        private double clipNorm = 1;
        private double averageDecay;
        private Precision precision = Precision.FLOAT;
        private DataType dataType = DataType.FLOAT;
        private long seed;

        private Builder(EcarConfig model) {
            this.model = Objects.requireNonNull(model, "A plan needs the sizes of a model: EcarConfig.defaults()");
        }

        /**
         * How often every image is seen. Default: 7.
         *
         * @param epochs at least 1
         * @return this
         */
        public Builder epochs(int epochs) {
            this.epochs = epochs;
            return this;
        }

        /**
         * Images of a step. Default: 64.
         *
         * @param batchSize at least 1
         * @return this
         */
        public Builder batchSize(int batchSize) {
            this.batchSize = batchSize;
            return this;
        }

        /**
         * Images that are computed at a time. Default: the batch size.
         *
         * @param microBatch 1 to the batch size
         * @return this
         */
        public Builder microBatch(int microBatch) {
            this.microBatch = microBatch;
            return this;
        }

        /**
         * The learning rate. Default: 1e-3 behind a warm-up of 0.3 epochs, falling to 5e-5 over the second half.
         *
         * @param learningRate at every step; the run is one stage
         * @return this
         */
        public Builder learningRate(TrainingPlan.LearningRate learningRate) {
            this.learningRate = learningRate;
            return this;
        }

        /**
         * The optimizer. Default: betas 0.9 and 0.95, epsilon 1e-8, no weight decay.
         *
         * @param optimizer its settings
         * @return this
         */
        public Builder optimizer(TrainingPlan.AdamW optimizer) {
            this.optimizer = optimizer;
            return this;
        }

        /**
         * Largest global norm of the gradients. Default: 1.
         *
         * @param clipNorm 0 for no clipping
         * @return this
         */
        public Builder clipNorm(double clipNorm) {
            this.clipNorm = clipNorm;
            return this;
        }

        /**
         * Decay of the moving average of the weights. Default: 0, no average.
         *
         * @param averageDecay such as 0.999
         * @return this
         */
        public Builder averageDecay(double averageDecay) {
            this.averageDecay = averageDecay;
            return this;
        }

        /**
         * Precision of matrix products. Default: FLOAT.
         *
         * @param precision that the processor must have
         * @return this
         */
        public Builder precision(Precision precision) {
            this.precision = precision;
            return this;
        }

        /**
         * Type of weights and activations. Default: FLOAT.
         *
         * @param dataType FLOAT or DOUBLE
         * @return this
         */
        public Builder dataType(DataType dataType) {
            this.dataType = dataType;
            return this;
        }

        /**
         * Seed of weights, dropouts and order. Default: 0.
         *
         * @param seed any number
         * @return this
         */
        public Builder seed(long seed) {
            this.seed = seed;
            return this;
        }

        /**
         * The plan.
         *
         * @return the plan
         * @throws IllegalArgumentException if a setting is out of its range, or does not go with another
         */
        public EcarPlan build() {
            return new EcarPlan(
                    model,
                    epochs,
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
