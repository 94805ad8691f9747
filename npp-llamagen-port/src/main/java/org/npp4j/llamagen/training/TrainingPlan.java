package org.npp4j.llamagen.training;

import java.util.List;
import java.util.Objects;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLFactory;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLGenerator;
import org.npp4j.layers.PatchAverage;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.losses.PatchEvaluation;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
import org.npp4j.schedule.StageScheduler;
import org.npp4j.schedule.TorchAdam;

/**
 * Everything that decides the result of a training run, except the data. The defaults are the published settings.
 *
 * <pre>{@code
 * TrainingPlan plan = TrainingPlan.of(GptSize.GPT_B.spec().build())
 *         .stages(PatchStages.ofEpochs(300, 0.5, 2))
 *         .scheduled(true)
 *         .build();
 * }</pre>
 *
 * <p>Written as JSON or YAML under the names of the published trainer's options: {@link #toJson}, {@link #toYaml}, {@link
 * #parse}.
 *
 * <p>Source: Pang et al., "Next Patch Prediction for Autoregressive Visual Generation" (arXiv 2412.15321), and the training
 * code of Sun et al., "Autoregressive Model Beats Diffusion: Llama for Scalable Image Generation" (arXiv 2406.06525).
 *
 * @param model sizes of the GPT
 * @param dropouts what is dropped at random
 * @param stages patch sides and their ends
 * @param learnUnconditional whether a text-conditional model trains its unconditional caption
 * @param settings batches, optimizer, arithmetic and seed
 */
public record TrainingPlan(
        GptSpec model, Dropouts dropouts, PatchStages stages, boolean learnUnconditional, TrainingSettings settings)
        implements RunPlan {

    /** Times ln(vocabulary), which is what guessing costs. */
    private static final double EXPLOSION = 2;

    private static final ObjectMapper JSON = new ObjectMapper();
    private static final ObjectMapper YAML =
            new ObjectMapper(new YAMLFactory().disable(YAMLGenerator.Feature.WRITE_DOC_START_MARKER));
    private static final List<String> MODEL_DROPOUTS =
            List.of("class_dropout", "token_dropout", "resid_dropout", "ffn_dropout", "drop_path_rate");

    /**
     * What is dropped at random in training.
     *
     * @param classes probability of replacing the class by "no class", or the caption by the unconditional one
     * @param tokens of the input sequence
     * @param residual of the attention's output
     * @param feedForward of the feed-forward output
     * @param path stochastic depth of the last block, growing linearly from 0 in the first
     */
    public record Dropouts(double classes, double tokens, double residual, double feedForward, double path) {
        /** No dropout at all. */
        public static final Dropouts NONE = new Dropouts(0, 0, 0, 0, 0);

        /**
         * Checks the probabilities.
         *
         * @param classes in [0, 1)
         * @param tokens in [0, 1)
         * @param residual in [0, 1)
         * @param feedForward in [0, 1)
         * @param path in [0, 1)
         * @throws IllegalArgumentException if one is out of its range
         */
        public Dropouts {
            requireProbability(classes, "class_dropout");
            requireProbability(tokens, "token_dropout");
            requireProbability(residual, "resid_dropout");
            requireProbability(feedForward, "ffn_dropout");
            requireProbability(path, "drop_path_rate");
        }

        /**
         * The published rule: with stochastic depth there is no dropout on attention and feed-forward outputs.
         *
         * @param classes class dropout
         * @param tokens token dropout
         * @param dropout of attention and feed-forward outputs
         * @param path stochastic depth
         * @return the dropouts
         */
        public static Dropouts published(double classes, double tokens, double dropout, double path) {
            double units = path > 0 ? 0 : dropout;
            return new Dropouts(classes, tokens, units, units, path);
        }

        private static void requireProbability(double value, String name) {
            if (!(value >= 0 && value < 1)) {
                throw new IllegalArgumentException(
                        name + " is the probability of dropping, at least 0 and below 1, got " + value);
            }
        }
    }

    /**
     * The learning rate.
     *
     * @param base of the plateau, or of every step
     * @param scheduled whether every stage has its own warm-up and decay ({@link StageLearningRate}), else it is constant
     * @param warmup of each stage, in epochs, or in iterations if the stages are
     * @param decayRatio share of each stage over which it decays
     * @param end what it decays to
     */
    public record LearningRate(double base, boolean scheduled, double warmup, double decayRatio, double end) {
        /**
         * The learning rate of a step.
         *
         * @param step steps made before it
         * @param stages of the run
         * @param batchesPerEpoch steps of an epoch
         * @return the learning rate
         */
        public double at(int step, PatchStages stages, int batchesPerEpoch) {
            return scheduled ? schedule(stages, batchesPerEpoch).valueAt(step, 0) : base;
        }

        private StageLearningRate schedule(PatchStages stages, int batchesPerEpoch) {
            StageLearningRate.Builder schedule = new StageLearningRate.Builder(stages)
                    .learningRate(base)
                    .endLearningRate(end)
                    .warmup(warmup)
                    .decayRatio(decayRatio);
            return (stages.unit() == PatchStages.Unit.EPOCHS ? schedule.stepsPerEpoch(batchesPerEpoch) : schedule)
                    .build();
        }
    }

    /**
     * The optimizer: Adam as PyTorch computes it, with decoupled weight decay of matrices and tables.
     *
     * @param beta1 decay of the gradients' running mean
     * @param beta2 decay of the squares' running mean
     * @param epsilon added to the root of the squares
     * @param weightDecay multiplied by the learning rate
     */
    public record AdamW(double beta1, double beta2, double epsilon, double weightDecay) {
        /**
         * The updater of a network; the weight decay is set on its layers.
         *
         * @param rate at every step
         * @param stages of the run
         * @param batchesPerEpoch steps of an epoch
         * @return the updater
         * @throws IllegalArgumentException if a number is out of its range
         */
        public IUpdater updater(LearningRate rate, PatchStages stages, int batchesPerEpoch) {
            TorchAdam.Builder adam =
                    new TorchAdam.Builder().beta1(beta1).beta2(beta2).epsilon(epsilon);
            return (rate.scheduled()
                            ? adam.learningRate(rate.schedule(stages, batchesPerEpoch))
                            : adam.learningRate(rate.base()))
                    .build();
        }
    }

    /**
     * Checks everything that can be known before there is data.
     *
     * @param model any sizes
     * @param dropouts class dropout only if the class table has a row for "no class"
     * @param stages that fit the model's grid
     * @param learnUnconditional for models of captions
     * @param settings whose learning rate is as {@link StageLearningRate} and {@link TorchAdam} allow, the optimizer as {@link
     *     TorchAdam} does
     * @throws IllegalArgumentException if a setting is out of its range, or does not go with another
     */
    public TrainingPlan {
        Objects.requireNonNull(model, "A plan needs the sizes of a model: TrainingPlan.of(spec)");
        Objects.requireNonNull(dropouts, "A plan needs dropouts, such as Dropouts.NONE");
        Objects.requireNonNull(stages, "A plan needs stages: PatchStages.ofEpochs(..)");
        Objects.requireNonNull(settings, "A plan needs settings: TrainingPlan.of(spec)");
        stages.requireFits(model.grid());
        int anyNumberOfSteps = 1;
        network(model, dropouts, stages, settings, anyNumberOfSteps).build();
    }

    /**
     * A builder with the published settings for a model: two stages (patch level 2) of 300 epochs, constant learning rate,
     * no moving average.
     *
     * @param model sizes of the GPT
     * @return a builder to change the rest
     */
    public static Builder of(GptSpec model) {
        return new Builder(model);
    }

    /**
     * The network of this plan, with new weights, as {@link LlamaGen} builds it.
     *
     * @param batchesPerEpoch steps of an epoch
     * @return a builder of the network; its stages are set, too
     */
    public LlamaGen network(int batchesPerEpoch) {
        return network(model, dropouts, stages, settings, batchesPerEpoch)
                .learnUnconditional(learnUnconditional)
                .seed(seed());
    }

    private static LlamaGen network(
            GptSpec model, Dropouts dropouts, PatchStages stages, TrainingSettings settings, int batchesPerEpoch) {
        AdamW optimizer = settings.optimizer();
        return LlamaGen.of(model)
                .patchStages(stages)
                .classDropout(dropouts.classes())
                .tokenDropout(dropouts.tokens())
                .residualDropout(dropouts.residual())
                .feedForwardDropout(dropouts.feedForward())
                .pathDropout(dropouts.path())
                .weightDecay(optimizer.weightDecay())
                .updater(optimizer.updater(settings.learningRate(), stages, batchesPerEpoch))
                .dataType(settings.dataType());
    }

    /**
     * The learning rate of a step.
     *
     * @param step steps made before it
     * @param batchesPerEpoch steps of an epoch
     * @return the learning rate
     */
    @Override
    public double learningRateAt(int step, int batchesPerEpoch) {
        return learningRate().at(step, stages, batchesPerEpoch);
    }

    /**
     * The steps of the whole run.
     *
     * @param batchesPerEpoch steps of an epoch
     * @return how many
     * @throws ArithmeticException if there are 2^31 or more, which Deeplearning4j cannot count
     */
    @Override
    public int steps(int batchesPerEpoch) {
        return stages.unit() == PatchStages.Unit.EPOCHS
                ? Math.multiplyExact(stages.end(), batchesPerEpoch)
                : stages.end();
    }

    /**
     * The stage of a step.
     *
     * @param step steps made before it
     * @param batchesPerEpoch steps of an epoch
     * @return index into the stages
     */
    @Override
    public int stageAt(int step, int batchesPerEpoch) {
        return stages.stageAt(stages.unit() == PatchStages.Unit.EPOCHS ? step / batchesPerEpoch : step);
    }

    @Override
    public int patchSideOf(int stage) {
        return stages.stages().get(stage).patchSide();
    }

    @Override
    public long parameters() {
        return model.parameters();
    }

    @Override
    public ComputationGraph newNetwork(int batchesPerEpoch, boolean recomputeBlocks, INDArray parameters) {
        return network(batchesPerEpoch).recomputeBlocks(recomputeBlocks).init(parameters);
    }

    @Override
    public void attachTo(ComputationGraph network) {
        new StageScheduler(stages).attachTo(network);
    }

    @Override
    public double loss(Model network) {
        return PatchOutputLayer.crossEntropy(network);
    }

    /** {@return {@value #EXPLOSION} x ln(vocabulary): a model that learns is below half of it} */
    @Override
    public double largestLoss() {
        return EXPLOSION * Math.log(Math.max(2, model.vocabulary()));
    }

    /** Token by token, p = 1. */
    @Override
    public double testLoss(ComputationGraph network, MultiDataSetIterator data) {
        List<PatchAverage> patches = StageScheduler.patchAveragesOf(network);
        int side = patches.get(0).getPatchSide();
        try {
            patches.forEach(each -> each.setPatchSide(1));
            PatchEvaluation evaluation = PatchEvaluation.of(network);
            network.doEvaluation(data, evaluation);
            return evaluation.getValue(PatchEvaluation.Metric.CROSS_ENTROPY, 1);
        } finally {
            patches.forEach(each -> each.setPatchSide(side));
        }
    }

    @Override
    public boolean hasModelOf(RunPlan other) {
        return other instanceof TrainingPlan plan && plan.model.equals(model) && plan.dataType() == dataType();
    }

    @Override
    public Parser parser() {
        return TrainingPlan::parse;
    }

    /** {@return this plan as JSON, which {@link #parse} reads back to an equal one} */
    @Override
    public String toJson() {
        return tree().toPrettyString();
    }

    /** {@return this plan as YAML, which {@link #parse} reads back to an equal one} */
    public String toYaml() {
        try {
            return YAML.writeValueAsString(tree());
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
    }

    private ObjectNode tree() {
        ObjectNode tree = JSON.createObjectNode();
        try {
            ObjectNode sizes = (ObjectNode) JSON.readTree(GptConfig.of(model).toJson());
            // dropouts are the plan's; the model's class dropout only says whether there is a row for "no class"
            sizes.remove(MODEL_DROPOUTS);
            if (!model.textConditional() && !model.noClassRow()) {
                sizes.put("class_dropout", 0.0);
            }
            tree.set("model", sizes);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
        settings.putOptimization(tree.put("patch_stages", stages.toString()))
                .put("class_dropout", dropouts.classes())
                .put("token_dropout", dropouts.tokens())
                .put("resid_dropout", dropouts.residual())
                .put("ffn_dropout", dropouts.feedForward())
                .put("drop_path_rate", dropouts.path())
                .put("learn_unconditional", learnUnconditional);
        return settings.putArithmetic(tree);
    }

    /**
     * Reads a plan. What is missing has its published value, the model alone is required.
     *
     * @param text JSON or YAML
     * @return the plan
     * @throws IllegalArgumentException if the text is neither, or a key is unknown or has a wrong value
     */
    public static TrainingPlan parse(String text) {
        JsonNode tree;
        try {
            tree = YAML.readTree(text);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is neither JSON nor YAML: " + e.getOriginalMessage(), e);
        }
        if (tree == null || !tree.path("model").isObject()) {
            throw new IllegalArgumentException("A plan is an object with the key \"model\", which is an object itself");
        }
        return new PlanKeys(tree).plan();
    }

    /**
     * Settings of a plan. Those that are not set have the published values: batches of 256 images, a constant learning rate of
     * 1e-4, betas of 0.9 and 0.95, epsilon 1e-8, a weight decay of 0.05.
     */
    public static final class Builder extends TrainingSettings.Builder<Builder> {
        private final GptSpec model;
        private Dropouts dropouts;
        private PatchStages stages = PatchStages.ofEpochs(300, 0.5, 2);
        private boolean learnUnconditional;

        private Builder(GptSpec model) {
            super(256, new LearningRate(1e-4, false, 1, 0.2, 1e-5), new AdamW(0.9, 0.95, 1e-8, 0.05));
            this.model = Objects.requireNonNull(model, "A plan needs the sizes of a model");
            dropouts = Dropouts.published(model.textConditional() || model.noClassRow() ? 0.1 : 0, 0.1, 0.1, 0);
        }

        /**
         * What is dropped at random. Default: 0.1 each, no stochastic depth.
         *
         * @param dropouts probabilities
         * @return this
         */
        public Builder dropouts(Dropouts dropouts) {
            this.dropouts = dropouts;
            return this;
        }

        /**
         * Patch sides and their ends. Default: {@code 2:150,1:300}.
         *
         * @param stages that fit the model's grid
         * @return this
         */
        public Builder stages(PatchStages stages) {
            this.stages = stages;
            return this;
        }

        /**
         * Whether a text-conditional model trains its unconditional caption. Default: no.
         *
         * @param learnUnconditional whether
         * @return this
         */
        public Builder learnUnconditional(boolean learnUnconditional) {
            this.learnUnconditional = learnUnconditional;
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
        public TrainingPlan build() {
            return new TrainingPlan(model, dropouts, stages, learnUnconditional, settings());
        }
    }
}
