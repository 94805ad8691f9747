package org.npp4j.arbiter;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.apache.commons.math3.distribution.UniformRealDistribution;
import org.deeplearning4j.arbiter.optimize.api.AbstractParameterSpace;
import org.deeplearning4j.arbiter.optimize.api.ParameterSpace;
import org.deeplearning4j.arbiter.optimize.distribution.LogUniformDistribution;
import org.deeplearning4j.arbiter.optimize.parameter.FixedValue;
import org.deeplearning4j.arbiter.optimize.parameter.continuous.ContinuousParameterSpace;
import org.deeplearning4j.arbiter.optimize.parameter.discrete.DiscreteParameterSpace;
import org.deeplearning4j.arbiter.optimize.serde.jackson.JsonMapper;
import org.deeplearning4j.arbiter.util.LeafUtils;
import org.nd4j.shade.jackson.annotation.JsonCreator;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.nd4j.shade.jackson.core.JsonProcessingException;
import org.npp4j.schedule.PatchStages;

/**
 * The patch plans that a search may choose from, as Arbiter's {@link ParameterSpace}.
 *
 * <pre>{@code
 * PatchPlanSpace space = new PatchPlanSpace.Builder(12)      // epochs
 *         .patchLevels(1, 2, 3)                              // patch sides 1; 2, 1; 4, 2, 1
 *         .epochRates(0.3, 0.5, 0.7)                         // or .epochRateBetween(0.3, 0.7)
 *         .learningRateBetween(3e-4, 3e-3)
 *         .build();
 * }</pre>
 *
 * <p>Stages come from patch level L and epoch rate r as in {@link PatchStages#ofEpochs}: patch sides 2^(L-1), .., 2, 1. Or
 * they are lists of their own: {@link Builder#stages}. What is not given stays as the {@link
 * org.npp4j.llamagen.training.TrainingPlan} of the sweep has it.
 *
 * <p>A parameter of one value is kept as {@link FixedValue}: Arbiter's grid search counts the parameters wrongly that come
 * after a {@link DiscreteParameterSpace} of one value.
 */
public final class PatchPlanSpace extends AbstractParameterSpace<PatchPlan> {
    @JsonProperty
    private final int epochs;

    @JsonProperty
    private final ParameterSpace<Integer> patchLevel;

    @JsonProperty
    private final ParameterSpace<Double> epochRate;

    @JsonProperty
    private final ParameterSpace<String> stages;

    @JsonProperty
    private final ParameterSpace<Double> learningRate;

    @JsonProperty
    private final ParameterSpace<Double> decayRatio;

    @JsonCreator
    private PatchPlanSpace(
            @JsonProperty("epochs") int epochs,
            @JsonProperty("patchLevel") ParameterSpace<Integer> patchLevel,
            @JsonProperty("epochRate") ParameterSpace<Double> epochRate,
            @JsonProperty("stages") ParameterSpace<String> stages,
            @JsonProperty("learningRate") ParameterSpace<Double> learningRate,
            @JsonProperty("decayRatio") ParameterSpace<Double> decayRatio) {
        this.epochs = epochs;
        this.patchLevel = patchLevel;
        this.epochRate = epochRate;
        this.stages = stages;
        this.learningRate = learningRate;
        this.decayRatio = decayRatio;
    }

    /** {@return epochs of every plan that comes from a patch level; 0 if the stages are given} */
    public int epochs() {
        return epochs;
    }

    /**
     * The plan at a point of the space.
     *
     * @param parameterValues one number in [0, 1] for each parameter
     * @return the plan
     * @throws IllegalArgumentException if the epochs are too few for the stages of this patch level and epoch rate
     */
    @Override
    public PatchPlan getValue(double[] parameterValues) {
        return new PatchPlan(
                stages != null
                        ? PatchStages.parse(stages.getValue(parameterValues))
                        : PatchStages.ofEpochs(
                                epochs, epochRate.getValue(parameterValues), patchLevel.getValue(parameterValues)),
                learningRate == null ? null : learningRate.getValue(parameterValues),
                decayRatio == null ? null : decayRatio.getValue(parameterValues));
    }

    @Override
    public int numParameters() {
        return LeafUtils.countUniqueParameters(collectLeaves());
    }

    @Override
    @SuppressWarnings("rawtypes") // as Arbiter declares it
    public List<ParameterSpace> collectLeaves() {
        List<ParameterSpace> leaves = new ArrayList<>();
        for (ParameterSpace<?> space : spaces()) {
            leaves.addAll(space.collectLeaves());
        }
        return leaves;
    }

    private List<ParameterSpace<?>> spaces() {
        List<ParameterSpace<?>> spaces = new ArrayList<>();
        for (ParameterSpace<?> space : Arrays.asList(patchLevel, epochRate, stages, learningRate, decayRatio)) {
            if (space != null) {
                spaces.add(space);
            }
        }
        return spaces;
    }

    @Override
    public boolean isLeaf() {
        return false;
    }

    @Override
    public void setIndices(int... indices) {
        throw new UnsupportedOperationException(
                "Only single parameters are numbered: call it on those of collectLeaves()");
    }

    /** {@return this space as JSON, which {@link #fromJson} reads back} */
    public String toJson() {
        try {
            return JsonMapper.getMapper().writeValueAsString(this);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("The space has a parameter that is no JSON: " + e.getOriginalMessage(), e);
        }
    }

    /**
     * Reads a space.
     *
     * @param json from {@link #toJson}
     * @return the space
     * @throws IllegalArgumentException if it is none
     */
    public static PatchPlanSpace fromJson(String json) {
        try {
            return JsonMapper.getMapper().readValue(json, PatchPlanSpace.class);
        } catch (JsonProcessingException e) {
            throw new IllegalArgumentException("This is no PatchPlanSpace: " + e.getOriginalMessage(), e);
        }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof PatchPlanSpace space
                && epochs == space.epochs
                && getNestedSpaces().equals(space.getNestedSpaces());
    }

    @Override
    public int hashCode() {
        return Objects.hash(epochs, getNestedSpaces().keySet());
    }

    /** {@return what is varied, in words} */
    @Override
    public String toString() {
        List<String> parts = new ArrayList<>();
        if (stages == null) {
            parts.add(epochs + " epochs");
        }
        values().forEach((name, values) -> parts.add(name + " " + values));
        return String.join(", ", parts);
    }

    /** {@return the parameters and what each may be, in words} */
    public Map<String, String> values() {
        Map<String, String> values = new LinkedHashMap<>();
        for (@SuppressWarnings("rawtypes")
        Map.Entry<String, ParameterSpace> each : getNestedSpaces().entrySet()) {
            values.put(each.getKey(), withoutClass(String.valueOf(each.getValue())));
        }
        return values;
    }

    /** DiscreteParameterSpace(1,2) is 1,2. */
    private static String withoutClass(String text) {
        int open = text.indexOf('(');
        return open > 0 && text.endsWith(")") ? text.substring(open + 1, text.length() - 1) : text;
    }

    /** What a search may choose from. */
    public static final class Builder {
        private static final String WHOLE_RANGE = "Epoch rates are above 0 and below 1, got ";

        private final int epochs;
        private ParameterSpace<Integer> patchLevel;
        private ParameterSpace<Double> epochRate;
        private ParameterSpace<String> stages;
        private ParameterSpace<Double> learningRate;
        private ParameterSpace<Double> decayRatio;

        /**
         * Plans of so many epochs.
         *
         * @param epochs at least 1
         * @throws IllegalArgumentException if there are none
         */
        public Builder(int epochs) {
            if (epochs < 1) {
                throw new IllegalArgumentException("A plan has at least 1 epoch, got " + epochs);
            }
            this.epochs = epochs;
        }

        /**
         * Patch levels. Default: 1, 2, 3.
         *
         * @param levels each at least 1, which is next-token prediction
         * @return this
         * @throws IllegalArgumentException if there are none, or one is out of its range
         */
        public Builder patchLevels(int... levels) {
            for (int level : levels) {
                // its own check, here and not at the first candidate
                PatchStages.ofEpochs(Integer.MAX_VALUE >> 1, 0.5, level);
            }
            patchLevel = oneOf("patch level", Arrays.stream(levels).boxed().toList());
            return this;
        }

        /**
         * Epoch rates. Default: 0.3, 0.5, 0.7.
         *
         * @param rates each above 0 and below 1
         * @return this
         * @throws IllegalArgumentException if there are none, or one is out of its range
         */
        public Builder epochRates(double... rates) {
            for (double rate : rates) {
                if (!(rate > 0 && rate < 1)) {
                    throw new IllegalArgumentException(WHOLE_RANGE + rate);
                }
            }
            epochRate = oneOf("epoch rate", Arrays.stream(rates).boxed().toList());
            return this;
        }

        /**
         * Any epoch rate of a range.
         *
         * @param least above 0
         * @param most below 1
         * @return this
         * @throws IllegalArgumentException if they are no such range
         */
        public Builder epochRateBetween(double least, double most) {
            if (!(least > 0 && least < most && most < 1)) {
                throw new IllegalArgumentException(WHOLE_RANGE + least + " to " + most);
            }
            epochRate = new ContinuousParameterSpace(new UniformRealDistribution(least, most));
            return this;
        }

        /**
         * Stages of one's own, in place of patch levels and epoch rates.
         *
         * @param plans such as {@code 4:3,2:6,1:12}; see {@link PatchStages#parse}
         * @return this
         * @throws IllegalArgumentException if there are none, or one cannot be read
         */
        public Builder stages(Collection<String> plans) {
            stages = oneOf(
                    "list of stages",
                    plans.stream()
                            .map(plan -> PatchStages.parse(plan).toString())
                            .toList());
            return this;
        }

        /**
         * Learning rates.
         *
         * @param rates finite and above 0
         * @return this
         * @throws IllegalArgumentException if there are none, or one is out of its range
         */
        public Builder learningRates(double... rates) {
            for (double rate : rates) {
                requirePositive(rate);
            }
            learningRate = oneOf("learning rate", Arrays.stream(rates).boxed().toList());
            return this;
        }

        /**
         * Any learning rate of a range, uniform in its logarithm.
         *
         * @param least above 0
         * @param most above it
         * @return this
         * @throws IllegalArgumentException if they are no such range
         */
        public Builder learningRateBetween(double least, double most) {
            requirePositive(least);
            requirePositive(most);
            if (least >= most) {
                throw new IllegalArgumentException(
                        "A range of learning rates begins below its end, got " + least + " to " + most);
            }
            learningRate = new ContinuousParameterSpace(new LogUniformDistribution(least, most));
            return this;
        }

        /**
         * Decay ratios: the share of each stage in which the learning rate falls.
         *
         * @param ratios each 0 to 1
         * @return this
         * @throws IllegalArgumentException if there are none, or one is out of its range
         */
        public Builder decayRatios(double... ratios) {
            for (double ratio : ratios) {
                if (!(ratio >= 0 && ratio <= 1)) {
                    throw new IllegalArgumentException("Decay ratios are 0 to 1, got " + ratio);
                }
            }
            decayRatio = oneOf("decay ratio", Arrays.stream(ratios).boxed().toList());
            return this;
        }

        private static void requirePositive(double rate) {
            if (!(rate > 0 && rate < Double.POSITIVE_INFINITY)) {
                throw new IllegalArgumentException("Learning rates are finite and above 0, got " + rate);
            }
        }

        private static <T> ParameterSpace<T> oneOf(String what, List<T> values) {
            List<T> distinct = values.stream().distinct().toList();
            if (distinct.isEmpty()) {
                throw new IllegalArgumentException("Give at least one " + what);
            }
            return distinct.size() == 1 ? new FixedValue<>(distinct.get(0)) : new DiscreteParameterSpace<>(distinct);
        }

        /**
         * The space.
         *
         * @return the space
         * @throws IllegalArgumentException if stages are given beside patch levels or epoch rates
         */
        public PatchPlanSpace build() {
            if (stages != null) {
                if (patchLevel != null || epochRate != null) {
                    throw new IllegalArgumentException(
                            "Stages of one's own stand in place of patch levels and epoch rates: give one or the other");
                }
                return new PatchPlanSpace(0, null, null, stages, learningRate, decayRatio);
            }
            if (patchLevel == null) {
                patchLevels(1, 2, 3);
            }
            if (epochRate == null) {
                epochRates(0.3, 0.5, 0.7);
            }
            return new PatchPlanSpace(epochs, patchLevel, epochRate, null, learningRate, decayRatio);
        }
    }
}
