package org.npp4j.schedule;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.api.ParamInitializer;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.graph.FrozenVertex;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.graph.rnn.LastTimeStepVertex;
import org.deeplearning4j.nn.conf.layers.EmbeddingLayer;
import org.deeplearning4j.nn.conf.layers.EmbeddingSequenceLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.misc.FrozenLayer;
import org.deeplearning4j.nn.conf.layers.recurrent.Bidirectional;
import org.deeplearning4j.nn.conf.layers.recurrent.LastTimeStep;
import org.deeplearning4j.nn.conf.layers.wrapper.BaseWrapperLayer;
import org.deeplearning4j.nn.conf.preprocessor.ComposableInputPreProcessor;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.npp4j.layers.ClassPrefix;
import org.npp4j.layers.OperationCount;
import org.npp4j.layers.PatchAverage;
import org.npp4j.layers.SkipPositions;
import org.npp4j.layers.TokenEmbedding;
import org.npp4j.layers.TokenGrid;

/**
 * What a stage plan costs for a network, in positions and floating-point operations, and what next-token training of the
 * same length would cost.
 *
 * <p>Counting: one training step is three forward passes (the backward pass counts as two). A layer's forward pass takes
 * the operations that its configuration states ({@link OperationCount}), and else 2 x weights x positions; biases, norms
 * and activations are not counted, embeddings are look-ups and cost nothing. Layers before the {@link PatchAverage} have
 * all n tokens as positions, layers behind it the k patches, layers behind a pooling over the sequence one. A condition of
 * C positions in front ({@link ClassPrefix}) makes k + C - 1 of k, until {@link SkipPositions}. Convolutions and
 * Deeplearning4j's own attention layers cost more than this rule says.
 *
 * @param stages the cost of each stage in order
 * @param nextTokenPositions positions of a run of the same length with p = 1
 * @param nextTokenOperations floating-point operations of a run of the same length with p = 1
 */
public record TrainingCost(List<StageCost> stages, long nextTokenPositions, double nextTokenOperations) {
    private static final int PASSES_PER_STEP = 3;
    private static final double GIGA = 1e9;

    /**
     * The cost of one stage.
     *
     * @param patchSide p
     * @param length epochs or iterations in the stage
     * @param positions that pass through the network: examples x k, with a condition of C positions x (k + C - 1)
     * @param operations floating-point operations, forward and backward
     */
    public record StageCost(int patchSide, int length, long positions, double operations) {}

    /**
     * A cost from its parts; see {@link #of(Model, PatchStages, long)}.
     *
     * @param stages the cost of each stage in order
     * @param nextTokenPositions positions of a run of the same length with p = 1
     * @param nextTokenOperations operations of a run of the same length with p = 1
     */
    public TrainingCost {
        stages = List.copyOf(stages);
    }

    /**
     * Cost of training a network.
     *
     * @param model a ComputationGraph or MultiLayerNetwork
     * @param stages the stages
     * @param examplesPerUnit examples in an epoch, or in a batch if the stages are in iterations; at least 1
     * @return the cost
     * @throws IllegalArgumentException if the network has no PatchAverage, a stage does not fit its grid, or the number of
     *     examples is below 1
     */
    public static TrainingCost of(Model model, PatchStages stages, long examplesPerUnit) {
        if (model instanceof MultiLayerNetwork network) {
            return of(network.getLayerWiseConfigurations(), stages, examplesPerUnit);
        }
        if (model instanceof ComputationGraph graph) {
            return of(graph.getConfiguration(), stages, examplesPerUnit);
        }
        throw new IllegalArgumentException("Only ComputationGraph and MultiLayerNetwork are supported, got "
                + (model == null ? "null" : model.getClass().getName()));
    }

    /**
     * Cost of training a network of layers.
     *
     * @param network its configuration
     * @param stages the stages
     * @param examplesPerUnit examples in an epoch, or in a batch if the stages are in iterations; at least 1
     * @return the cost
     * @throws IllegalArgumentException if the network has no PatchAverage, a stage does not fit its grid, or the number of
     *     examples is below 1
     */
    public static TrainingCost of(MultiLayerConfiguration network, PatchStages stages, long examplesPerUnit) {
        TokenGrid grid = largestGrid(network.getInputPreProcessors().values());
        Positions positions = new Positions(grid.tokens(), null, 0);
        List<Work> work = new ArrayList<>();
        for (int i = 0; i < network.getConfs().size(); i++) {
            NeuralNetConfiguration layer = network.getConf(i);
            positions = positions.after(network.getInputPreProcess(i));
            work.add(new Work(layer, layer.getLayer(), positions));
            positions = positions.after(layer.getLayer());
        }
        return of(work, grid, stages, examplesPerUnit);
    }

    /**
     * Cost of training a graph.
     *
     * @param graph its configuration
     * @param stages the stages
     * @param examplesPerUnit examples in an epoch, or in a batch if the stages are in iterations; at least 1
     * @return the cost
     * @throws IllegalArgumentException if the graph has no PatchAverage, a stage does not fit its grid, or the number of
     *     examples is below 1
     */
    public static TrainingCost of(ComputationGraphConfiguration graph, PatchStages stages, long examplesPerUnit) {
        List<InputPreProcessor> preProcessors = new ArrayList<>();
        graph.getVertices().values().forEach(vertex -> preProcessors.add(NetworkAccess.preProcessor(vertex)));
        TokenGrid grid = largestGrid(preProcessors);
        Map<String, Positions> outputs = new HashMap<>();
        for (String input : graph.getNetworkInputs()) {
            outputs.put(input, new Positions(grid.tokens(), null, 0));
        }
        List<Work> work = new ArrayList<>();
        for (String name : graph.getVertices().keySet()) {
            visit(name, graph, outputs, work);
        }
        return of(work, grid, stages, examplesPerUnit);
    }

    /** Adds the work of a vertex and of those before it, each once. */
    private static Positions visit(
            String name, ComputationGraphConfiguration graph, Map<String, Positions> outputs, List<Work> work) {
        if (outputs.containsKey(name)) {
            return outputs.get(name);
        }
        Positions positions = null;
        for (String input : graph.getVertexInputs().get(name)) {
            Positions other = visit(input, graph, outputs, work);
            positions = positions == null ? other : positions.or(other);
        }
        GraphVertex vertex = graph.getVertices().get(name);
        positions = positions.after(NetworkAccess.preProcessor(vertex));
        while (vertex instanceof FrozenVertex frozen) {
            vertex = frozen.getUnderlying();
        }
        if (vertex instanceof ClassPrefix prefix) {
            positions = positions.behind(prefix);
        }
        if (vertex instanceof LayerVertex layer) {
            work.add(new Work(layer.getLayerConf(), layer.getLayerConf().getLayer(), positions));
            positions = positions.after(layer.getLayerConf().getLayer());
        } else if (vertex instanceof OperationCount) {
            work.add(new Work(null, vertex, positions));
        } else if (vertex instanceof LastTimeStepVertex) {
            positions = new Positions(1, null, 0);
        }
        outputs.put(name, positions);
        return positions;
    }

    private static TokenGrid largestGrid(Iterable<InputPreProcessor> preProcessors) {
        TokenGrid largest = null;
        for (InputPreProcessor preProcessor : preProcessors) {
            for (PatchAverage average : NetworkAccess.patchAverages(preProcessor)) {
                if (largest == null || average.getGrid().tokens() > largest.tokens()) {
                    largest = average.getGrid();
                }
            }
        }
        if (largest == null) {
            throw new IllegalArgumentException("The network has no PatchAverage, so every stage costs the same."
                    + " Add one behind the token embedding");
        }
        return largest;
    }

    private static TrainingCost of(List<Work> work, TokenGrid grid, PatchStages stages, long examplesPerUnit) {
        Objects.requireNonNull(stages, "The stages are null. Give PatchStages.ofEpochs(..)");
        if (examplesPerUnit < 1) {
            throw new IllegalArgumentException(
                    "There must be at least 1 example in an epoch or batch, got " + examplesPerUnit);
        }
        stages.requireFits(grid);
        for (Work layer : work) {
            if (layer.positions.patches != null) {
                stages.requireFits(layer.positions.patches);
            }
        }
        List<StageCost> rows = new ArrayList<>();
        for (PatchStages.Stage stage : stages.stages()) {
            rows.add(cost(work, grid, stage.patchSide(), stage.length(), examplesPerUnit));
        }
        StageCost nextToken = cost(work, grid, 1, stages.end(), examplesPerUnit);
        return new TrainingCost(rows, nextToken.positions(), nextToken.operations());
    }

    private static StageCost cost(List<Work> work, TokenGrid grid, int patchSide, int length, long examplesPerUnit) {
        double forward = 0;
        for (Work layer : work) {
            forward += layer.forwardOperations(patchSide);
        }
        long examples = Math.multiplyExact(length, examplesPerUnit);
        long patches = grid.tokens() / grid.tokensPerPatch(patchSide);
        long further =
                work.stream().mapToLong(part -> part.positions.further).max().orElse(0);
        long positions = Math.multiplyExact(examples, patches + Math.max(0, further));
        return new StageCost(patchSide, length, positions, PASSES_PER_STEP * forward * examples);
    }

    /** {@return positions of the whole run} */
    public long positions() {
        return stages.stream().mapToLong(StageCost::positions).sum();
    }

    /** {@return floating-point operations of the whole run, forward and backward} */
    public double operations() {
        return stages.stream().mapToDouble(StageCost::operations).sum();
    }

    /** {@return operations of the whole run in GFLOP, 10^9 operations} */
    public double gflop() {
        return operations() / GIGA;
    }

    /** {@return operations of next-token training of the same length in GFLOP} */
    public double nextTokenGflop() {
        return nextTokenOperations / GIGA;
    }

    /** {@return positions relative to next-token training of the same length} */
    public double relativeTokens() {
        return (double) positions() / nextTokenPositions;
    }

    /** {@return operations relative to next-token training of the same length: the predicted ratio of training times} */
    public double relativeOperations() {
        return operations() / nextTokenOperations;
    }

    /**
     * Sequence length somewhere in the network: so many tokens, or as many as a grid has patches, and further positions
     * of a condition in front.
     */
    private record Positions(long tokens, TokenGrid patches, long further) {
        long with(int patchSide) {
            long sequence = patches == null ? tokens : patches.tokens() / patches.tokensPerPatch(patchSide);
            return Math.max(1, sequence + further);
        }

        /** The first of the condition's C positions takes the place of the sequence's last, which is dropped. */
        Positions behind(ClassPrefix prefix) {
            return new Positions(tokens, patches, further + prefix.getConditionTokens() - 1);
        }

        /** Where inputs of different length meet: patches if any input has them, else the longest. */
        Positions or(Positions other) {
            if ((patches == null) != (other.patches == null)) {
                return patches == null ? other : this;
            }
            return tokens + further >= other.tokens + other.further ? this : other;
        }

        Positions after(InputPreProcessor preProcessor) {
            Positions after = this;
            if (preProcessor instanceof ComposableInputPreProcessor parts) {
                for (InputPreProcessor part : parts.getInputPreProcessors()) {
                    after = after.after(part);
                }
            } else if (preProcessor instanceof PatchAverage average) {
                after = new Positions(average.getGrid().tokens(), average.getGrid(), 0);
            } else if (preProcessor instanceof SkipPositions skip) {
                after = new Positions(tokens, patches, further - skip.getCount());
            }
            return after;
        }

        Positions after(Layer layer) {
            return poolsSequence(layer) ? new Positions(1, null, 0) : this;
        }

        private static boolean poolsSequence(Layer layer) {
            if (layer instanceof GlobalPoolingLayer || layer instanceof LastTimeStep) {
                return true;
            }
            if (layer instanceof Bidirectional both) {
                return poolsSequence(both.getFwd());
            }
            if (layer instanceof FrozenLayer frozen) {
                return poolsSequence(frozen.getLayer());
            }
            return layer instanceof BaseWrapperLayer wrapper && poolsSequence(wrapper.getUnderlying());
        }
    }

    /** A part of the network that computes: a layer configuration, or a vertex that counts its own operations. */
    private record Work(NeuralNetConfiguration conf, Object part, Positions positions, double operationsPerPosition) {
        Work(NeuralNetConfiguration conf, Object part, Positions positions) {
            this(conf, part, positions, 2.0 * matrixElements(conf, part));
        }

        double forwardOperations(int patchSide) {
            long length = positions.with(patchSide);
            return stated(part, length) + operationsPerPosition * length;
        }

        /** Operations that the part, or what it wraps, states itself. */
        private static double stated(Object part, long length) {
            if (part instanceof OperationCount counted) {
                return counted.forwardOperations(length);
            }
            return inner(part).stream()
                    .mapToDouble(layer -> stated(layer, length))
                    .sum();
        }

        /** Elements of the weight matrices of parts that do not state their operations. */
        private static long matrixElements(NeuralNetConfiguration conf, Object part) {
            if (part instanceof OperationCount
                    || part instanceof EmbeddingLayer
                    || part instanceof EmbeddingSequenceLayer
                    || part instanceof TokenEmbedding
                    || !(part instanceof Layer layer)) {
                return 0;
            }
            List<Layer> inner = inner(part);
            if (!inner.isEmpty()) {
                return inner.stream()
                        .mapToLong(each -> matrixElements(conf, each))
                        .sum();
            }
            ParamInitializer initializer = layer.initializer();
            long parameters = initializer.numParams(layer);
            if (parameters == 0) {
                return 0;
            }
            // The initializer is the only one that knows the shapes: it lays its views over an array without values.
            NeuralNetConfiguration own = conf.clone();
            own.setLayer(layer);
            long elements = 0;
            try (INDArray values = Nd4j.createUninitialized(DataType.FLOAT, parameters)) {
                for (Map.Entry<String, INDArray> parameter :
                        initializer.init(own, values, false).entrySet()) {
                    if (initializer.isWeightParam(layer, parameter.getKey())) {
                        elements += parameter.getValue().length();
                    }
                }
            }
            return elements;
        }

        private static List<Layer> inner(Object part) {
            if (part instanceof Bidirectional both) {
                return List.of(both.getFwd(), both.getBwd());
            }
            if (part instanceof FrozenLayer frozen) {
                return List.of(frozen.getLayer());
            }
            return part instanceof BaseWrapperLayer wrapper ? List.of(wrapper.getUnderlying()) : List.of();
        }
    }
}
