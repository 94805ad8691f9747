package org.npp4j.llamagen.checkpoint;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.npp4j.llamagen.GptSpec;

/**
 * The state of PyTorch's AdamW for a GPT, by published parameter name.
 *
 * <p>PyTorch numbers the parameters through its groups. The published trainers make two: all of 2 or more dimensions, which
 * decay, then the others, each in the order of {@code model.parameters()}. One group of all in that order is understood
 * too.
 *
 * @param moments running means by published name; parameters without any have not been trained
 * @param step steps that were made
 * @param learningRate of the last step
 * @param beta1 decay of the running mean
 * @param beta2 decay of the running mean of squares
 * @param epsilon added to the root
 * @param weightDecay of the group that decays
 */
record AdamState(
        Map<String, Moments> moments,
        long step,
        double learningRate,
        double beta1,
        double beta2,
        double epsilon,
        double weightDecay) {

    /**
     * What Adam remembers of one parameter.
     *
     * @param mean running mean of the gradients
     * @param square running mean of their squares
     * @param step steps that were made, a tensor or a number
     */
    record Moments(TensorSource mean, TensorSource square, Object step) {}

    /** {@return the parameters in PyTorch's order of their numbers: those that decay, then the others} */
    static List<List<GptParameter>> groups(GptSpec spec) {
        List<GptParameter> trained =
                GptParameters.of(spec).stream().filter(GptParameter::trained).toList();
        return List.of(
                trained.stream().filter(GptParameter::decayed).toList(),
                trained.stream().filter(parameter -> !parameter.decayed()).toList());
    }

    /**
     * Reads {@code optimizer.state_dict()}.
     *
     * @param file for messages
     * @param optimizer the dictionary
     * @param spec sizes of the model
     * @return the state, empty if nothing has been trained
     * @throws CheckpointException if it belongs to other parameters
     */
    static Optional<AdamState> read(Path file, Map<?, ?> optimizer, GptSpec spec) throws CheckpointException {
        if (!(optimizer.get("state") instanceof Map<?, ?> state) || state.isEmpty()) {
            return Optional.empty();
        }
        List<?> groups = optimizer.get("param_groups") instanceof List<?> list ? list : List.of();
        Map<Object, GptParameter> parameters = parameters(file, groups, spec);
        Map<String, Moments> moments = new LinkedHashMap<>();
        long step = 0;
        for (Map.Entry<?, ?> entry : state.entrySet()) {
            GptParameter parameter = parameters.get(entry.getKey());
            if (parameter == null || !(entry.getValue() instanceof Map<?, ?> values)) {
                throw new CheckpointException(
                        file,
                        "has optimizer state of a parameter " + entry.getKey()
                                + ", which is in no group of parameters");
            }
            Moments read = new Moments(
                    moment(file, values, "exp_avg", parameter),
                    moment(file, values, "exp_avg_sq", parameter),
                    values.get("step"));
            moments.put(parameter.name(), read);
            step = Math.max(step, number(read.step()));
        }
        Map<?, ?> group = (Map<?, ?>) groups.get(0);
        List<?> betas = group.get("betas") instanceof List<?> list && list.size() == 2 ? list : List.of(0.9, 0.95);
        return Optional.of(new AdamState(
                moments,
                step,
                number(group.get("lr"), 1e-4),
                number(betas.get(0), 0.9),
                number(betas.get(1), 0.95),
                number(group.get("eps"), 1e-8),
                number(group.get("weight_decay"), 0)));
    }

    private static Map<Object, GptParameter> parameters(Path file, List<?> groups, GptSpec spec)
            throws CheckpointException {
        List<List<?>> numbers = new ArrayList<>();
        for (Object group : groups) {
            numbers.add(group instanceof Map<?, ?> map && map.get("params") instanceof List<?> list ? list : List.of());
        }
        List<List<GptParameter>> expected = groups(spec);
        if (numbers.size() == 1) {
            expected = List.of(GptParameters.of(spec).stream()
                    .filter(GptParameter::trained)
                    .toList());
        }
        List<Integer> sizes = numbers.stream().map(List::size).toList();
        if (!sizes.equals(expected.stream().map(List::size).toList())) {
            throw new CheckpointException(
                    file,
                    "has an optimizer with groups of " + sizes
                            + " parameters, but the model has "
                            + groups(spec).get(0).size() + " that decay and "
                            + groups(spec).get(1).size()
                            + " that do not. Remove \"optimizer\" to convert the weights alone");
        }
        Map<Object, GptParameter> parameters = new LinkedHashMap<>();
        for (int g = 0; g < numbers.size(); g++) {
            for (int i = 0; i < numbers.get(g).size(); i++) {
                parameters.put(numbers.get(g).get(i), expected.get(g).get(i));
            }
        }
        return parameters;
    }

    private static TensorSource moment(Path file, Map<?, ?> values, String name, GptParameter parameter)
            throws CheckpointException {
        if (values.get(name) instanceof TensorSource tensor && Arrays.equals(tensor.shape(), parameter.shapeArray())) {
            return tensor;
        }
        String found = values.get(name) instanceof TensorSource tensor ? Arrays.toString(tensor.shape()) : "missing";
        throw new CheckpointException(
                file,
                "has an optimizer that is no AdamW of this model: " + name + " of "
                        + parameter.name() + " is " + found + ", not " + parameter.shape()
                        + ". Remove \"optimizer\" to convert the weights alone");
    }

    private static double number(Object value, double otherwise) {
        return value instanceof Number number ? number.doubleValue() : otherwise;
    }

    /** A step counter: a tensor of one number in newer PyTorch, a number in older. */
    private static long number(Object step) throws CheckpointException {
        if (step instanceof StoredTensor tensor) {
            return Math.round(tensor.sum());
        }
        return step instanceof Number number ? number.longValue() : 0;
    }
}
