package org.npp4j.llamagen.checkpoint;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.layers.BaseLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.util.GraphIndices;
import org.nd4j.linalg.learning.config.IUpdater;
import org.npp4j.llamagen.GptSpec;
import org.npp4j.llamagen.LlamaGen;

/**
 * Where Deeplearning4j keeps which parameter of a GPT: in one vector of all parameters, and in one vector of the
 * optimizer's state. Read off the configuration, so that no network need be there.
 *
 * <p>Neighbours with the same updater share a block of the state: the means of all of them, then the squares of all.
 */
final class NetworkLayout {
    /**
     * One parameter.
     *
     * @param name in the network's parameter table
     * @param offset first element in the vector of parameters
     * @param length its elements
     * @param updater its optimizer
     * @param firstMoment offset of Adam's running mean in the vector of the state, -1 if it has another optimizer
     * @param secondMoment offset of Adam's running mean of squares
     */
    record Slot(String name, long offset, long length, IUpdater updater, long firstMoment, long secondMoment) {}

    private final Map<String, Slot> slots = new LinkedHashMap<>();
    private final GptSpec spec;
    private final List<BaseLayer> layers = new ArrayList<>();
    private long parameters;
    private long stateLength;

    private NetworkLayout(GptSpec spec) {
        this.spec = spec;
    }

    /**
     * The layout of a configuration.
     *
     * @param configuration of a network built by {@link LlamaGen}
     * @return the layout
     * @throws IllegalArgumentException if it is laid out otherwise
     */
    static NetworkLayout of(ComputationGraphConfiguration configuration) {
        NetworkLayout layout = new NetworkLayout(LlamaGen.specOf(configuration));
        Map<String, Long> lengths = new HashMap<>();
        GptParameters.of(layout.spec).forEach(parameter -> lengths.put(parameter.networkName(), parameter.elements()));
        GraphIndices indices = new ComputationGraph(configuration).calculateIndices();
        List<Slot> block = new ArrayList<>();
        for (int index : indices.getTopologicalSortOrder()) {
            String vertexName = indices.getIdxToName().get(index);
            GraphVertex vertex = configuration.getVertices().get(vertexName);
            if (vertex instanceof LayerVertex holder && holder.getLayerConf().getLayer() instanceof BaseLayer layer) {
                layout.layers.add(layer);
                for (String key : ((Layer) layer).initializer().paramKeys(layer)) {
                    String name = vertexName + "_" + key;
                    Long length = lengths.get(name);
                    if (length == null) {
                        throw new IllegalArgumentException("The network has a parameter \"" + name
                                + "\", which networks built by LlamaGen have not");
                    }
                    IUpdater updater = layer.getUpdaterByParam(key);
                    if (!block.isEmpty() && !block.get(0).updater().equals(updater)) {
                        layout.close(block);
                    }
                    block.add(new Slot(name, layout.parameters, length, updater, -1, -1));
                    layout.parameters += length;
                }
            }
        }
        layout.close(block);
        if (layout.slots.size() != lengths.size()) {
            throw new IllegalArgumentException("The network has " + layout.slots.size()
                    + " parameters, a network built by LlamaGen of its sizes has " + lengths.size());
        }
        return layout;
    }

    private void close(List<Slot> block) {
        long length = block.stream().mapToLong(Slot::length).sum();
        long start = block.get(0).offset();
        for (Slot slot : block) {
            boolean adam = AdamSettings.knows(slot.updater());
            long mean = adam ? stateLength + slot.offset() - start : -1;
            slots.put(
                    slot.name(),
                    new Slot(
                            slot.name(),
                            slot.offset(),
                            slot.length(),
                            slot.updater(),
                            mean,
                            adam ? mean + length : -1));
        }
        stateLength += block.get(0).updater().stateSize(length);
        block.clear();
    }

    /** {@return the parameters in the order of the vector} */
    List<Slot> slots() {
        return List.copyOf(slots.values());
    }

    Slot slot(String networkName) {
        return slots.get(networkName);
    }

    /** {@return the sizes of the model} */
    GptSpec spec() {
        return spec;
    }

    /** {@return length of the vector of parameters} */
    long parameters() {
        return parameters;
    }

    /** {@return length of the vector of the state} */
    long stateLength() {
        return stateLength;
    }

    /** {@return whether every parameter is trained with Adam} */
    boolean isAdam() {
        return slots.values().stream().allMatch(slot -> slot.firstMoment() >= 0);
    }

    void requireAdam() {
        if (!isAdam()) {
            throw new IllegalArgumentException("PyTorch's AdamW goes on as TorchAdam or Adam, but the network has "
                    + slots.values().iterator().next().updater());
        }
    }

    /** {@return the layers with parameters, in order} */
    List<BaseLayer> layers() {
        return List.copyOf(layers);
    }
}
