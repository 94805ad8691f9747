package org.npp4j.llamagen.training;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.nd4j.shade.jackson.databind.node.ObjectNode;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLFactory;
import org.nd4j.shade.jackson.dataformat.yaml.YAMLGenerator;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.PatchStages;
import org.npp4j.schedule.StageLearningRate;
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
 * @param batchSize images of a step
 * @param microBatch images that are computed at a time; the gradients of a step's parts are added up. Smaller parts need
 *     less memory
 * @param learningRate the learning rate at every step
 * @param optimizer AdamW
 * @param clipNorm largest global norm of the gradients, 0 for no clipping
 * @param averageDecay decay of the moving average of the weights, 0 for none
 * @param learnUnconditional whether a text-conditional model trains its unconditional caption
 * @param precision of matrix products
 * @param dataType of weights and activations, FLOAT or DOUBLE
 * @param seed of weights, dropouts and the order of images
 */
public record TrainingPlan(
        GptSpec model,
        Dropouts dropouts,
        PatchStages stages,
        int batchSize,
        int microBatch,
        LearningRate learningRate,
        AdamW optimizer,
        double clipNorm,
        double averageDecay,
        boolean learnUnconditional,
        Precision precision,
        DataType dataType,
        long seed) {

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
    public record LearningRate(double base, boolean scheduled, double warmup, double decayRatio, double end) {}

    /**
     * The optimizer: Adam as PyTorch computes it, with decoupled weight decay of matrices and tables.
     *
     * @param beta1 decay of the gradients' running mean
     * @param beta2 decay of the squares' running mean
     * @param epsilon added to the root of the squares
     * @param weightDecay multiplied by the learning rate
     */
    public record AdamW(double beta1, double beta2, double epsilon, double weightDecay) {}

    /**
     * Checks everything that can be known before there is data.
     *
     * @param model any sizes
     * @param dropouts class dropout only if the class table has a row for "no class"
     * @param stages that fit the model's grid
     * @param batchSize at least 1
     * @param microBatch 1 to the batch size
     * @param learningRate as {@link StageLearningRate} and {@link TorchAdam} allow
     * @param optimizer as {@link TorchAdam} allows
     * @param clipNorm 0 or above
     * @param averageDecay at least 0 and below 1
     * @param learnUnconditional for models of captions
     * @param precision of matrix products
     * @param dataType FLOAT or DOUBLE
     * @param seed any number
     * @throws IllegalArgumentException if a setting is out of its range, or does not go with another
     */
    public TrainingPlan {
        Objects.requireNonNull(model, "A plan needs the sizes of a model: TrainingPlan.of(spec)");
        Objects.requireNonNull(dropouts, "A plan needs dropouts, such as Dropouts.NONE");
        Objects.requireNonNull(stages, "A plan needs stages: PatchStages.ofEpochs(..)");
        Objects.requireNonNull(learningRate, "A plan needs a learning rate");
        Objects.requireNonNull(optimizer, "A plan needs an optimizer");
        Objects.requireNonNull(precision, "A plan needs a precision, such as Precision.FLOAT");
        Objects.requireNonNull(dataType, "A plan needs a data type, FLOAT or DOUBLE");
        stages.requireFits(model.grid());
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
                    "ema_decay must be at least 0 (no average) and below 1, got " + averageDecay + "; 0.9999 is usual");
        }
        int anyNumberOfSteps = 1;
        builder(
                        model,
                        dropouts,
                        stages,
                        updater(learningRate, optimizer, stages, anyNumberOfSteps),
                        optimizer,
                        dataType)
                .build();
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
        return builder(
                        model,
                        dropouts,
                        stages,
                        updater(learningRate, optimizer, stages, batchesPerEpoch),
                        optimizer,
                        dataType)
                .learnUnconditional(learnUnconditional)
                .seed(seed);
    }

    private static LlamaGen builder(
            GptSpec model,
            Dropouts dropouts,
            PatchStages stages,
            IUpdater updater,
            AdamW optimizer,
            DataType dataType) {
        return LlamaGen.of(model)
                .patchStages(stages)
                .classDropout(dropouts.classes())
                .tokenDropout(dropouts.tokens())
                .residualDropout(dropouts.residual())
                .feedForwardDropout(dropouts.feedForward())
                .pathDropout(dropouts.path())
                .weightDecay(optimizer.weightDecay())
                .updater(updater)
                .dataType(dataType);
    }

    private static IUpdater updater(LearningRate rate, AdamW optimizer, PatchStages stages, int batchesPerEpoch) {
        TorchAdam.Builder adam = new TorchAdam.Builder()
                .beta1(optimizer.beta1())
                .beta2(optimizer.beta2())
                .epsilon(optimizer.epsilon());
        return (rate.scheduled()
                        ? adam.learningRate(schedule(rate, stages, batchesPerEpoch))
                        : adam.learningRate(rate.base()))
                .build();
    }

    private static StageLearningRate schedule(LearningRate rate, PatchStages stages, int batchesPerEpoch) {
        StageLearningRate.Builder schedule = new StageLearningRate.Builder(stages)
                .learningRate(rate.base())
                .endLearningRate(rate.end())
                .warmup(rate.warmup())
                .decayRatio(rate.decayRatio());
        return (stages.unit() == PatchStages.Unit.EPOCHS ? schedule.stepsPerEpoch(batchesPerEpoch) : schedule).build();
    }

    /**
     * The learning rate of a step.
     *
     * @param step steps made before it
     * @param batchesPerEpoch steps of an epoch
     * @return the learning rate
     */
    public double learningRateAt(int step, int batchesPerEpoch) {
        return learningRate.scheduled()
                ? schedule(learningRate, stages, batchesPerEpoch).valueAt(step, 0)
                : learningRate.base();
    }

    /** {@return a new listener that clips gradients as planned; without clipping it only measures their norm} */
    public GlobalNormClipping clipping() {
        return new GlobalNormClipping(clipNorm > 0 ? clipNorm : Double.MAX_VALUE);
    }

    /**
     * The steps of the whole run.
     *
     * @param batchesPerEpoch steps of an epoch
     * @return how many
     * @throws ArithmeticException if there are 2^31 or more, which Deeplearning4j cannot count
     */
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
    public int stageAt(int step, int batchesPerEpoch) {
        return stages.stageAt(stages.unit() == PatchStages.Unit.EPOCHS ? step / batchesPerEpoch : step);
    }

    /**
     * In what another plan differs.
     *
     * @param other another plan
     * @return one entry for each setting, such as {@code lr: 1.0E-4 -> 2.0E-4}; empty if they are equal
     */
    public List<String> differences(TrainingPlan other) {
        Map<String, String> mine = new TreeMap<>();
        Map<String, String> theirs = new TreeMap<>();
        flatten("", tree(), mine);
        flatten("", other.tree(), theirs);
        Set<String> names = new TreeSet<>(mine.keySet());
        names.addAll(theirs.keySet());
        List<String> differences = new ArrayList<>();
        for (String name : names) {
            if (!Objects.equals(mine.get(name), theirs.get(name))) {
                differences.add(name + ": " + mine.get(name) + " -> " + theirs.get(name));
            }
        }
        return differences;
    }

    private static void flatten(String prefix, JsonNode node, Map<String, String> into) {
        for (Iterator<Map.Entry<String, JsonNode>> fields = node.fields(); fields.hasNext(); ) {
            Map.Entry<String, JsonNode> field = fields.next();
            if (field.getValue().isObject()) {
                flatten(prefix + field.getKey() + ".", field.getValue(), into);
            } else {
                into.put(
                        prefix + field.getKey(),
                        field.getValue().isValueNode()
                                ? field.getValue().asText()
                                : field.getValue().toString());
            }
        }
    }

    /** {@return this plan as JSON, which {@link #parse} reads back to an equal one} */
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
        return tree.put("patch_stages", stages.toString())
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
                .put("class_dropout", dropouts.classes())
                .put("token_dropout", dropouts.tokens())
                .put("resid_dropout", dropouts.residual())
                .put("ffn_dropout", dropouts.feedForward())
                .put("drop_path_rate", dropouts.path())
                .put("learn_unconditional", learnUnconditional)
                .put("precision", precision.toString())
                .put("data_type", dataType.name())
                .put("seed", seed);
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

    /** Settings of a plan. Those that are not set have the published values. */
    public static final class Builder {
        private final GptSpec model;
        private Dropouts dropouts;
        private PatchStages stages = PatchStages.ofEpochs(300, 0.5, 2);
        private int batchSize = 256;
        private int microBatch;
        private LearningRate learningRate = new LearningRate(1e-4, false, 1, 0.2, 1e-5);
        private AdamW optimizer = new AdamW(0.9, 0.95, 1e-8, 0.05);
        private double clipNorm = 1;
        private double averageDecay;
        private boolean learnUnconditional;
        private Precision precision = Precision.FLOAT;
        private DataType dataType = DataType.FLOAT;
        private long seed;

        private Builder(GptSpec model) {
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
         * Images of a step. Default: 256.
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
         * The learning rate of the plateau, or of every step. Default: 1e-4.
         *
         * @param base a finite number above 0
         * @return this
         */
        public Builder learningRate(double base) {
            learningRate = new LearningRate(
                    base,
                    learningRate.scheduled(),
                    learningRate.warmup(),
                    learningRate.decayRatio(),
                    learningRate.end());
            return this;
        }

        /**
         * The learning rate with its schedule.
         *
         * @param learningRate at every step
         * @return this
         */
        public Builder learningRate(LearningRate learningRate) {
            this.learningRate = Objects.requireNonNull(learningRate, "The learning rate is null");
            return this;
        }

        /**
         * Whether every stage has its own warm-up and decay. Default: no.
         *
         * @param scheduled whether
         * @return this
         */
        public Builder scheduled(boolean scheduled) {
            learningRate = new LearningRate(
                    learningRate.base(),
                    scheduled,
                    learningRate.warmup(),
                    learningRate.decayRatio(),
                    learningRate.end());
            return this;
        }

        /**
         * The optimizer. Default: betas 0.9 and 0.95, epsilon 1e-8, weight decay 0.05.
         *
         * @param optimizer its settings
         * @return this
         */
        public Builder optimizer(AdamW optimizer) {
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
         * @param averageDecay 0.9999 as published
         * @return this
         */
        public Builder averageDecay(double averageDecay) {
            this.averageDecay = averageDecay;
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

        /**
         * Precision of matrix products. Default: FLOAT; published is bf16.
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
        public TrainingPlan build() {
            return new TrainingPlan(
                    model,
                    dropouts,
                    stages,
                    batchSize,
                    microBatch == 0 ? batchSize : microBatch,
                    learningRate,
                    optimizer,
                    clipNorm,
                    averageDecay,
                    learnUnconditional,
                    precision,
                    dataType,
                    seed);
        }
    }
}
