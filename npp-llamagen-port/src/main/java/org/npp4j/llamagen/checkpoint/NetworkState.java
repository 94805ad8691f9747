package org.npp4j.llamagen.checkpoint;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.layers.BaseLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.IUpdater;
import org.nd4j.linalg.learning.regularization.Regularization;
import org.nd4j.linalg.learning.regularization.WeightDecay;
import org.nd4j.shade.jackson.databind.JsonNode;
import org.npp4j.llamagen.GptConfig;
import org.npp4j.llamagen.GptSize;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;

/**
 * A GPT of Deeplearning4j taken apart, to be written as a checkpoint.
 *
 * @param file where it comes from, for messages
 * @param configuration of the network
 * @param parameters all of them, in the network's order
 * @param updaterState of the optimizer, or null
 * @param memo what the checkpoint had that it was converted from, or null
 */
record NetworkState(
        Path file,
        ComputationGraphConfiguration configuration,
        INDArray parameters,
        INDArray updaterState,
        JsonNode memo) {

    /**
     * Takes a network apart.
     *
     * @throws IllegalArgumentException if LlamaGen has not built it
     */
    static NetworkState of(ComputationGraph network) {
        LlamaGen.specOf(network.getConfiguration());
        INDArray parameters = network.params();
        INDArray state = network.getUpdater(false) == null
                ? null
                : network.getUpdater(false).getStateViewArray();
        return new NetworkState(
                Path.of("the network"),
                network.getConfiguration(),
                parameters.reshape(parameters.length()),
                state == null ? null : state.reshape(state.length()),
                null);
    }

    /** {@return the checkpoint, as PyTorchWriter takes it} */
    Map<String, Object> checkpoint() throws CheckpointException {
        return checkpoint(null);
    }

    /**
     * The checkpoint with a moving average.
     *
     * @param average of the parameters, in their order, or null
     * @return what PyTorchWriter takes
     */
    Map<String, Object> checkpoint(INDArray average) throws CheckpointException {
        NetworkLayout layout = layout();
        GptSpec spec = layout.spec();
        Map<String, Object> root = new LinkedHashMap<>();
        root.put(GptCheckpoint.MODEL, weights(parameters, layout));
        if (average != null) {
            root.put(GptCheckpoint.EMA, weights(average, layout));
        }
        if (updaterState != null && layout.isAdam()) {
            root.put(GptCheckpoint.OPTIMIZER, optimizer(layout));
        }
        root.put(GptCheckpoint.STEPS, (long) configuration.getIterationCount());
        root.put(GptCheckpoint.ARGS, arguments(spec));
        return root;
    }

    private NetworkLayout layout() throws CheckpointException {
        NetworkLayout layout;
        try {
            layout = NetworkLayout.of(configuration);
        } catch (IllegalArgumentException e) {
            throw new CheckpointException(
                    file,
                    "holds a network that is no GPT of LlamaGen: " + e.getMessage() + ". Load it with ModelSerializer",
                    e);
        }
        if (parameters.length() != layout.parameters()) {
            throw new CheckpointException(
                    file,
                    "is damaged: it has " + parameters.length() + " parameters, its configuration says "
                            + layout.parameters() + ". Get the file again");
        }
        if (updaterState != null && updaterState.length() != layout.stateLength()) {
            throw new CheckpointException(
                    file,
                    "is damaged: its optimizer has " + updaterState.length()
                            + " numbers of state, its configuration says " + layout.stateLength()
                            + ". Get the file again");
        }
        return layout;
    }

    private static Map<String, Object> weights(INDArray vector, NetworkLayout layout) {
        Map<String, Object> weights = new LinkedHashMap<>();
        for (GptParameter parameter : GptParameters.of(layout.spec())) {
            weights.put(parameter.name(), weight(vector, layout, parameter));
        }
        return weights;
    }

    private static TensorSource weight(INDArray vector, NetworkLayout layout, GptParameter parameter) {
        return segment(vector, layout.slot(parameter.networkName()).offset(), parameter);
    }

    private static TensorSource segment(INDArray vector, long offset, GptParameter parameter) {
        INDArray segment = vector.get(NDArrayIndex.interval(offset, offset + parameter.elements()));
        // [elements] -> the published shape: the numbers already lie in its order
        return TensorSource.of(segment.reshape('c', parameter.shapeArray()));
    }

    /** As AdamW's state_dict(): parameters by number, those that decay first. */
    private Map<String, Object> optimizer(NetworkLayout layout) {
        double step = configuration.getIterationCount();
        Map<Object, Object> state = new LinkedHashMap<>();
        List<Object> groups = new ArrayList<>();
        long number = 0;
        for (List<GptParameter> group : AdamState.groups(layout.spec())) {
            List<Object> numbers = new ArrayList<>();
            for (GptParameter parameter : group) {
                NetworkLayout.Slot slot = layout.slot(parameter.networkName());
                Map<String, Object> values = new LinkedHashMap<>();
                values.put("step", TensorSource.of(Nd4j.scalar((float) step)));
                values.put("exp_avg", segment(updaterState, slot.firstMoment(), parameter));
                values.put("exp_avg_sq", segment(updaterState, slot.secondMoment(), parameter));
                state.put(number, values);
                numbers.add(number++);
            }
            groups.add(group(layout, groups.isEmpty() ? weightDecay(layout) : 0, numbers));
        }
        Map<String, Object> optimizer = new LinkedHashMap<>();
        optimizer.put("state", state);
        optimizer.put("param_groups", groups);
        return optimizer;
    }

    private Map<String, Object> group(NetworkLayout layout, double weightDecay, List<Object> numbers) {
        IUpdater updater = layout.slots().get(0).updater();
        AdamSettings adam = AdamSettings.of(updater, configuration.getIterationCount(), configuration.getEpochCount());
        Map<String, Object> group = new LinkedHashMap<>();
        group.put("lr", adam.learningRate());
        group.put("betas", Tuple.of(adam.beta1(), adam.beta2()));
        group.put("eps", adam.epsilon());
        group.put("weight_decay", weightDecay);
        group.put("amsgrad", false);
        group.put("maximize", false);
        group.put("foreach", null);
        group.put("capturable", false);
        group.put("differentiable", false);
        group.put("fused", null);
        group.put("decoupled_weight_decay", true);
        group.put("params", numbers);
        return group;
    }

    private static double weightDecay(NetworkLayout layout) {
        for (BaseLayer layer : layout.layers()) {
            List<Regularization> regularization = layer.getRegularization();
            for (Regularization each : regularization == null ? List.<Regularization>of() : regularization) {
                if (each instanceof WeightDecay decay) {
                    return decay.getCoeff().valueAt(0, 0);
                }
            }
        }
        return 0;
    }

    /** Named as the published trainers' arguments, with the whole description under "config". */
    private Map<String, Object> arguments(GptSpec spec) {
        Map<String, Object> arguments = new LinkedHashMap<>();
        for (GptSize size : GptSize.values()) {
            if (size.layers() == spec.layers() && size.width() == spec.width() && size.heads() == spec.heads()) {
                arguments.put("gpt_model", size.label());
            }
        }
        arguments.put("gpt_type", spec.textConditional() ? "t2i" : "c2i");
        arguments.put("vocab_size", (long) spec.vocabulary());
        if (!spec.textConditional()) {
            arguments.put("num_classes", (long) spec.classes());
        }
        arguments.put("cls_token_num", (long) spec.conditionTokens());
        try {
            JsonNode config = CheckpointTree.parse(file, GptConfig.of(spec).toJson());
            Map<?, ?> entries = (Map<?, ?>) CheckpointTree.fromJson(file, config, name -> null);
            // dropouts are of a run, not of the model; the one of classes says whether there is a row for "no class"
            entries.keySet().removeAll(List.of("token_dropout", "resid_dropout", "ffn_dropout", "drop_path_rate"));
            arguments.put(GptCheckpoint.CONFIG, entries);
        } catch (CheckpointException e) {
            throw new IllegalStateException(e);
        }
        return arguments;
    }

    /**
     * The checkpoint as it was before it became a network: the same nesting, types and bits, with steps counted on.
     *
     * @param notes to add to what could not be as it was
     * @return the checkpoint; a new one if there is no memo
     */
    Object restored(List<String> notes) throws IOException {
        if (memo == null) {
            return checkpoint();
        }
        NetworkLayout layout = layout();
        Map<String, GptParameter> byName = new LinkedHashMap<>();
        GptParameters.of(layout.spec()).forEach(parameter -> byName.put(parameter.name(), parameter));
        long further =
                configuration.getIterationCount() - memo.path("iteration").asLong();
        Map<String, TensorSource> tensors = new LinkedHashMap<>();
        boolean weightsFit = true;
        boolean momentsFit = true;
        for (Map.Entry<String, JsonNode> entry : (Iterable<Map.Entry<String, JsonNode>>) memo.path("tensors")::fields) {
            ConversionMemo.Remembered remembered = ConversionMemo.Remembered.of(file, entry.getValue());
            GptParameter parameter = byName.get(remembered.parameter());
            TensorSource values = values(layout, remembered, parameter, further);
            boolean fits = NumberConverter.isExact(values, remembered.type());
            weightsFit &= fits || remembered.role() != ConversionMemo.Role.WEIGHT;
            momentsFit &= fits || remembered.role() == ConversionMemo.Role.WEIGHT;
            tensors.put(entry.getKey(), new Typed(values, remembered.type(), remembered.role()));
        }
        if (!weightsFit) {
            notes.add("weights have changed and are no longer numbers of their old type: written as "
                    + TensorType.of(parameters.dataType()).label());
        }
        boolean oldWeights = weightsFit;
        boolean oldMoments = momentsFit;
        Object root = CheckpointTree.fromJson(file, memo.path("tree"), name -> {
            if (tensors.get(name) instanceof Typed typed) {
                boolean old = typed.role == ConversionMemo.Role.WEIGHT ? oldWeights : oldMoments;
                return old || typed.role == ConversionMemo.Role.OTHER ? typed : typed.values;
            }
            throw new CheckpointException(file, "is damaged: its " + NetworkZip.MEMO + " says nothing of " + name);
        });
        if (further != 0 && root instanceof Map<?, ?> map && map.get(GptCheckpoint.STEPS) instanceof Long steps) {
            Map<Object, Object> counted = new LinkedHashMap<>(map);
            counted.put(GptCheckpoint.STEPS, steps + further);
            return counted;
        }
        return root;
    }

    private TensorSource values(
            NetworkLayout layout, ConversionMemo.Remembered remembered, GptParameter parameter, long further)
            throws CheckpointException {
        if (remembered.role() == ConversionMemo.Role.STEP || remembered.role() == ConversionMemo.Role.OTHER) {
            return remembered.inlined(file, remembered.role() == ConversionMemo.Role.STEP ? further : 0);
        }
        if (parameter == null) {
            throw new CheckpointException(
                    file,
                    "is damaged: its " + NetworkZip.MEMO + " speaks of a parameter \"" + remembered.parameter() + "\"");
        }
        if (remembered.role() == ConversionMemo.Role.WEIGHT) {
            return weight(parameters, layout, parameter);
        }
        NetworkLayout.Slot slot = layout.slot(parameter.networkName());
        long offset = remembered.role() == ConversionMemo.Role.MEAN ? slot.firstMoment() : slot.secondMoment();
        if (updaterState == null || offset < 0) {
            throw new CheckpointException(file, "is damaged: it remembers an optimizer, whose state it has no longer");
        }
        return segment(updaterState, offset, parameter);
    }

    /** Values of one type, written as another. */
    private static final class Typed implements TensorSource {
        private final TensorSource values;
        private final TensorType type;
        private final ConversionMemo.Role role;

        Typed(TensorSource values, TensorType type, ConversionMemo.Role role) {
            this.values = values;
            this.type = type;
            this.role = role;
        }

        @Override
        public TensorType type() {
            return type;
        }

        @Override
        public long[] shape() {
            return values.shape();
        }

        @Override
        public void writeTo(OutputStream out) throws IOException {
            NumberConverter.write(values, out, type, ByteOrder.LITTLE_ENDIAN);
        }
    }
}
