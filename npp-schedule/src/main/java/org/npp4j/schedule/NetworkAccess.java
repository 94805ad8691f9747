package org.npp4j.schedule;

import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.IdentityHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.graph.FrozenVertex;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.graph.PreprocessorVertex;
import org.deeplearning4j.nn.conf.preprocessor.ComposableInputPreProcessor;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.npp4j.layers.PatchAverage;

/** What this package reads from Deeplearning4j's two network classes, which share no interface for it. */
final class NetworkAccess {
    private NetworkAccess() {}

    /** Every PatchAverage of the network, each object once. A live network uses the objects of its configuration. */
    static List<PatchAverage> patchAverages(Model model) {
        Set<PatchAverage> found = Collections.newSetFromMap(new IdentityHashMap<>());
        List<PatchAverage> inOrder = new ArrayList<>();
        for (InputPreProcessor preProcessor : preProcessors(model)) {
            for (PatchAverage average : patchAverages(preProcessor)) {
                if (found.add(average)) {
                    inOrder.add(average);
                }
            }
        }
        return inOrder;
    }

    /** Those that a preprocessor is or holds. */
    static List<PatchAverage> patchAverages(InputPreProcessor preProcessor) {
        if (preProcessor instanceof PatchAverage average) {
            return List.of(average);
        }
        List<PatchAverage> found = new ArrayList<>();
        if (preProcessor instanceof ComposableInputPreProcessor parts) {
            for (InputPreProcessor part : parts.getInputPreProcessors()) {
                found.addAll(patchAverages(part));
            }
        }
        return found;
    }

    /** The preprocessor of a graph vertex, or null. */
    static InputPreProcessor preProcessor(GraphVertex vertex) {
        if (vertex instanceof LayerVertex layer) {
            return layer.getPreProcessor();
        }
        if (vertex instanceof PreprocessorVertex alone) {
            return alone.getPreProcessor();
        }
        return vertex instanceof FrozenVertex frozen ? preProcessor(frozen.getUnderlying()) : null;
    }

    private static Collection<InputPreProcessor> preProcessors(Model model) {
        if (model instanceof MultiLayerNetwork network) {
            return network.getLayerWiseConfigurations().getInputPreProcessors().values();
        }
        List<InputPreProcessor> found = new ArrayList<>();
        for (GraphVertex vertex : graph(model).getConfiguration().getVertices().values()) {
            found.add(preProcessor(vertex));
        }
        return found;
    }

    static Collection<TrainingListener> listeners(Model model) {
        return model instanceof MultiLayerNetwork network
                ? network.getListeners()
                : graph(model).getListeners();
    }

    static int epoch(Model model) {
        return model instanceof MultiLayerNetwork network
                ? network.getEpochCount()
                : graph(model).getEpochCount();
    }

    static int iteration(Model model) {
        return model instanceof MultiLayerNetwork network
                ? network.getIterationCount()
                : graph(model).getIterationCount();
    }

    /** The distinct learning rates of the layers at the current step. */
    static Set<Double> learningRates(Model model) {
        Set<Double> rates = new LinkedHashSet<>();
        if (model instanceof MultiLayerNetwork network) {
            for (int i = 0; i < network.getnLayers(); i++) {
                rates.add(network.getLearningRate(i));
            }
        } else {
            ComputationGraph graph = graph(model);
            for (Layer layer : graph.getLayers()) {
                rates.add(graph.getLearningRate(layer.conf().getLayer().getLayerName()));
            }
        }
        rates.remove(null);
        return rates;
    }

    /** Whether a flattened gradient's variable is a true gradient, not an update such as batch normalisation's means. */
    static boolean isGradient(Model model, String variable) {
        if (model instanceof MultiLayerNetwork network) {
            return network.updaterDivideByMinibatch(variable);
        }
        int separator = variable.lastIndexOf('_');
        return graph(model)
                .getVertex(variable.substring(0, separator))
                .updaterDivideByMinibatch(variable.substring(separator + 1));
    }

    private static ComputationGraph graph(Model model) {
        if (model instanceof ComputationGraph graph) {
            return graph;
        }
        throw new IllegalArgumentException("Only ComputationGraph and MultiLayerNetwork are supported, got "
                + (model == null ? "null" : model.getClass().getName()));
    }
}
