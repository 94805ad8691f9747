package org.npp4j.ecar;

import java.util.Objects;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.llamagen.training.TrainingSettings;
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
 * @param settings batches, optimizer, arithmetic and seed; with a schedule of the learning rate, the whole run is one stage of
 *     it
 */
public record EcarPlan(EcarConfig model, int epochs, TrainingSettings settings) implements RunPlan {
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
     * @param settings whose learning rate has a base above 0 and a warm-up of at most the epochs, the optimizer as {@link
     *     org.npp4j.schedule.TorchAdam} allows
     * @throws IllegalArgumentException if a setting is out of its range, or does not go with another
     */
    public EcarPlan {
        Objects.requireNonNull(model, "A plan needs the sizes of a model: EcarPlan.of(config)");
        Objects.requireNonNull(settings, "A plan needs settings: EcarPlan.of(config)");
        if (epochs < 1) {
            throw new IllegalArgumentException("epochs must be at least 1, got " + epochs);
        }
        int anyNumberOfSteps = 1;
        network(model, epochs, settings, anyNumberOfSteps).build();
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

    private static Ecar network(EcarConfig model, int epochs, TrainingSettings settings, int batchesPerEpoch) {
        TrainingPlan.AdamW optimizer = settings.optimizer();
        return Ecar.of(model)
                .weightDecay(optimizer.weightDecay())
                .updater(optimizer.updater(settings.learningRate(), whole(epochs), batchesPerEpoch))
                .dataType(settings.dataType());
    }

    @Override
    public ComputationGraph newNetwork(int batchesPerEpoch, boolean recomputeBlocks, INDArray parameters) {
        return network(model, epochs, settings, batchesPerEpoch)
                .recomputeBlocks(recomputeBlocks)
                .seed(seed())
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
        return learningRate().at(step, whole(epochs), batchesPerEpoch);
    }

    /** The mean squared error of the velocities, over all tokens of all stages. */
    @Override
    public double loss(Model network) {
        double score = network.score();
        return optimizer().weightDecay() > 0
                ? score - ((ComputationGraph) network).calcRegularizationScore(true)
                : score;
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
                && plan.dataType() == dataType();
    }

    @Override
    public String toJson() {
        ObjectNode tree = JSON.createObjectNode();
        tree.set(MODEL, JSON.valueToTree(model.toMap()));
        settings.putOptimization(tree.put("epochs", epochs));
        return settings.putArithmetic(tree).toPrettyString();
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
        Builder plan = of(EcarConfig.parse(keys.value(MODEL)));
        plan.epochs(keys.whole("epochs", plan.epochs)).read(keys);
        keys.requireNoOther("the plan of an ECAR");
        return plan.build();
    }

    /**
     * Settings of a plan. By default 7 epochs of batches of 64 images, a learning rate of 1e-3 behind a warm-up of 0.3 epochs
     * that falls to 5e-5 over the second half, betas of 0.9 and 0.95, epsilon 1e-8, no weight decay.
     */
    public static final class Builder extends TrainingSettings.Builder<Builder> {
        private final EcarConfig model;
        private int epochs = 7;

        private Builder(EcarConfig model) {
            super(
                    64,
                    new TrainingPlan.LearningRate(1e-3, true, 0.3, 0.5, 5e-5),
                    new TrainingPlan.AdamW(0.9, 0.95, 1e-8, 0));
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

        @Override
        protected Builder self() {
            return this;
        }

        /**
         * The plan.
         *
         * @return the plan
         * @throws IllegalArgumentException if a setting is out of its range, or does not go with another
         */
        public EcarPlan build() {
            return new EcarPlan(model, epochs, settings());
        }
    }
}
