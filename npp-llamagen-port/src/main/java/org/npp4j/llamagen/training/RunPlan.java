package org.npp4j.llamagen.training;

import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.nd4j.shade.jackson.databind.ObjectMapper;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.schedule.GlobalNormClipping;

/**
 * What a {@link Trainer} trains and how: a kind of network with its loss, and the settings that decide the result, except the
 * data. {@link TrainingPlan} is that of a GPT.
 *
 * <p>A plan draws nothing at random itself: dropouts take ND4J's random numbers, which the trainer sets at every step from
 * seed and step; other random inputs are the data's, and depend on their seed and position alone.
 */
public interface RunPlan {
    /** {@return batches, optimizer, arithmetic and seed} */
    TrainingSettings settings();

    /** {@return images of a step} */
    default int batchSize() {
        return settings().batchSize();
    }

    /** {@return images that are computed at a time} */
    default int microBatch() {
        return settings().microBatch();
    }

    /** {@return the learning rate and its schedule} */
    default TrainingPlan.LearningRate learningRate() {
        return settings().learningRate();
    }

    /** {@return the optimizer} */
    default TrainingPlan.AdamW optimizer() {
        return settings().optimizer();
    }

    /** {@return largest global norm of the gradients, 0 for no clipping} */
    default double clipNorm() {
        return settings().clipNorm();
    }

    /** {@return a new listener that clips gradients as planned; without clipping it only measures their norm} */
    default GlobalNormClipping clipping() {
        return new GlobalNormClipping(clipNorm() > 0 ? clipNorm() : Double.MAX_VALUE);
    }

    /** {@return decay of the moving average of the weights, 0 for none} */
    default double averageDecay() {
        return settings().averageDecay();
    }

    /** {@return precision of matrix products} */
    default Precision precision() {
        return settings().precision();
    }

    /** {@return type of weights and activations} */
    default DataType dataType() {
        return settings().dataType();
    }

    /** {@return seed of weights, dropouts and the order of images} */
    default long seed() {
        return settings().seed();
    }

    /** {@return how many parameters the network has} */
    long parameters();

    /**
     * The steps of the whole run.
     *
     * @param batchesPerEpoch steps of an epoch
     * @return how many
     */
    int steps(int batchesPerEpoch);

    /**
     * The stage of training that a step belongs to. Losses of different stages do not compare.
     *
     * @param step steps made before it
     * @param batchesPerEpoch steps of an epoch
     * @return index from 0
     */
    default int stageAt(int step, int batchesPerEpoch) {
        return 0;
    }

    /**
     * The patch side of a stage of training.
     *
     * @param stage index from 0
     * @return p; 1 where there are no patches
     */
    default int patchSideOf(int stage) {
        return 1;
    }

    /**
     * The learning rate of a step.
     *
     * @param step steps made before it
     * @param batchesPerEpoch steps of an epoch
     * @return the learning rate
     */
    double learningRateAt(int step, int batchesPerEpoch);

    /**
     * A network of this plan with its optimizer.
     *
     * @param batchesPerEpoch steps of an epoch
     * @param recomputeBlocks whether blocks compute their forward pass again, if the network can
     * @param parameters which the network takes for its own; null draws new ones
     * @return the network
     */
    ComputationGraph newNetwork(int batchesPerEpoch, boolean recomputeBlocks, INDArray parameters);

    /**
     * Attaches what must change the network between steps. All other listeners are there already, and the counters are set.
     *
     * @param network of this plan
     */
    default void attachTo(ComputationGraph network) {}

    /**
     * The loss of what a network has just computed, without regularization terms.
     *
     * @param network of this plan, after its forward pass in training
     * @return the mean over the examples
     */
    double loss(Model network);

    /** {@return the loss above which training has gone astray} */
    double largestLoss();

    /**
     * The loss of test images.
     *
     * @param network of this plan; as it was afterwards
     * @param data batches from their start
     * @return the mean over the examples
     */
    double testLoss(ComputationGraph network, MultiDataSetIterator data);

    /**
     * Whether a run of another plan can go on with this one's weights.
     *
     * @param other another plan
     * @return whether the networks have the same parameters
     */
    boolean hasModelOf(RunPlan other);

    /** {@return this plan as JSON, which {@link #parser} reads back to an equal one} */
    String toJson();

    /** {@return what reads plans of this kind} */
    Parser parser();

    /** Reads plans of one kind. */
    @FunctionalInterface
    interface Parser {
        /**
         * Reads a plan.
         *
         * @param json from {@link RunPlan#toJson}
         * @return the plan
         * @throws IllegalArgumentException if it is none of this kind
         */
        RunPlan parse(String json);
    }

    /**
     * In what another plan differs.
     *
     * @param other another plan
     * @return one entry for each setting, such as {@code lr: 1.0E-4 -> 2.0E-4}; empty if they are equal
     */
    default List<String> differences(RunPlan other) {
        Map<String, String> mine = new TreeMap<>();
        Map<String, String> theirs = new TreeMap<>();
        ObjectMapper reader = new ObjectMapper();
        try {
            flatten("", reader.readTree(toJson()), mine);
            flatten("", reader.readTree(other.toJson()), theirs);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException(e);
        }
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
}
