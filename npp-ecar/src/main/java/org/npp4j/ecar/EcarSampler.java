package org.npp4j.ecar;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.IntConsumer;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.memory.conf.WorkspaceConfiguration;
import org.nd4j.linalg.api.memory.enums.AllocationPolicy;
import org.nd4j.linalg.api.memory.enums.LearningPolicy;
import org.nd4j.linalg.api.memory.enums.ResetPolicy;
import org.nd4j.linalg.api.memory.enums.SpillPolicy;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.ecar.impl.StageSequenceImpl;
import org.npp4j.layers.impl.TransformerBlockImpl;
import org.npp4j.layers.kernel.KeyValueCache;

/**
 * Generates latents stage by stage: one pass of the transformer for each stage, with cached keys and values of the stages
 * before, then the steps of the flow with the head alone.
 *
 * <p>The network's parameters are used as they are at each call. Not safe for use by several threads, nor while the network
 * trains. Guidance runs each image twice in one batch, with its class and with "no class".
 *
 * <p>An image depends on its class, its noise and the settings alone, up to the rounding of products, which depends on the
 * number of rows.
 */
public final class EcarSampler implements AutoCloseable {
    private static final String WORKSPACE = "NPP_ECAR_SAMPLER";

    /** Room beyond what a pass needed: passes differ in size. */
    private static final double GROWTH = 0.5;

    private static final WorkspaceConfiguration WORKSPACE_CONFIGURATION = WorkspaceConfiguration.builder()
            .policyAllocation(AllocationPolicy.OVERALLOCATE)
            .overallocationLimit(GROWTH)
            .policyLearning(LearningPolicy.FIRST_LOOP)
            .policyReset(ResetPolicy.BLOCK_LEFT)
            .policySpill(SpillPolicy.REALLOCATE)
            .build();

    private final EcarConfig config;
    private final DataType dataType;
    private final Layer classEmbedding;
    private final Layer raisedEmbedding;
    private final Layer positions;
    private final List<TransformerBlockImpl> blocks = new ArrayList<>();
    private final Layer norm;
    private final List<Layer> head = new ArrayList<>();
    private final List<KeyValueCache> caches = new ArrayList<>();
    private final LayerWorkspaceMgr workspaces = LayerWorkspaceMgr.builder()
            .defaultWorkspace(WORKSPACE, WORKSPACE_CONFIGURATION)
            .build();

    /**
     * A sampler of a network.
     *
     * @param config the model
     * @param network built by {@link Ecar} for it, initialised
     * @throws IllegalArgumentException if the network has other layers
     */
    public EcarSampler(EcarConfig config, ComputationGraph network) {
        this.config = config;
        dataType = network.params().dataType();
        classEmbedding = layer(network, Ecar.CLASS_EMBEDDING);
        raisedEmbedding = layer(network, Ecar.RAISED_EMBEDDING);
        positions = layer(network, Ecar.POSITIONS);
        for (int i = 0; i < config.layers(); i++) {
            blocks.add((TransformerBlockImpl) layer(network, Ecar.block(i)));
        }
        norm = layer(network, Ecar.NORM);
        config.head().layers(config).forEach(part -> head.add(layer(network, part.name())));
    }

    private static Layer layer(ComputationGraph network, String name) {
        if (network.getVertex(name) == null || network.getLayer(name) == null) {
            throw new IllegalArgumentException("The network has no layer \"" + name
                    + "\". EcarSampler takes networks that Ecar built for the same configuration");
        }
        return network.getLayer(name);
    }

    /**
     * One latent for each class.
     *
     * @param classes [B], ids from 0; the number of classes stands for "no class"
     * @param settings steps and guidance
     * @param noise unit normal maps [B, C, side, side], one for each stage, coarse to fine
     * @return latents [B, C, G, G]
     * @throws IllegalArgumentException if a class is unknown or the noise has other shapes
     */
    public INDArray generate(int[] classes, FlowSampling settings, List<INDArray> noise) {
        return generate(classes, settings, noise, done -> {});
    }

    /**
     * One latent for each class, with a report after each step.
     *
     * @param classes [B], ids from 0; the number of classes stands for "no class"
     * @param settings steps and guidance
     * @param noise unit normal maps [B, C, side, side], one for each stage, coarse to fine
     * @param afterStep told how many steps are done, of S x n
     * @return latents [B, C, G, G]
     * @throws IllegalArgumentException if a class is unknown or the noise has other shapes
     */
    public INDArray generate(int[] classes, FlowSampling settings, List<INDArray> noise, IntConsumer afterStep) {
        requireKnown(classes);
        requireShapes(classes.length, noise);
        boolean guided = settings.guided();
        int[] ids = Arrays.copyOf(classes, guided ? 2 * classes.length : classes.length);
        Arrays.fill(ids, classes.length, ids.length, config.classes());
        prepareCaches(ids.length);
        NoiseWindows windows = config.windows();
        INDArray end = null;
        for (int s = 0; s < config.stages(); s++) {
            INDArray start = s == 0
                    ? noise.get(0).castTo(dataType)
                    : StageFlow.nextStart(end, windows.end(s - 1), noise.get(s).castTo(dataType));
            INDArray condition = conditions(ids, s, end);
            INDArray state = StageFlow.tokens(start);
            for (int step = 0; step < settings.steps(); step++) {
                INDArray velocity = velocity(
                        state,
                        (double) step / settings.steps(),
                        condition,
                        guided ? settings.scale(s, config.stages()) : 1);
                state.addi(velocity.divi(settings.steps()));
                afterStep.accept(s * settings.steps() + step + 1);
            }
            end = StageFlow.map(state, config.side(s));
        }
        return end;
    }

    private void requireKnown(int[] classes) {
        if (classes.length == 0) {
            throw new IllegalArgumentException("There must be at least one class to generate an image for");
        }
        for (int i = 0; i < classes.length; i++) {
            if (classes[i] < 0 || classes[i] > config.classes()) {
                throw new IllegalArgumentException("Class " + classes[i] + " of image " + i
                        + " is unknown to the network. It knows 0 .. " + config.classes() + ", where "
                        + config.classes() + " is \"no class\"");
            }
        }
    }

    private void requireShapes(int batch, List<INDArray> noise) {
        boolean fits = noise.size() == config.stages();
        for (int s = 0; fits && s < config.stages(); s++) {
            long[] shape = {batch, config.channels(), config.side(s), config.side(s)};
            fits = Arrays.equals(noise.get(s).shape(), shape);
        }
        if (!fits) {
            throw new IllegalArgumentException("The noise of " + batch + " images must be one map [" + batch + ", "
                    + config.channels() + ", side, side] for each of " + config.stages() + " stages, the last of side "
                    + config.grid() + ", got "
                    + noise.stream().map(map -> Arrays.toString(map.shape())).toList());
        }
    }

    /**
     * The conditions of a stage, given the cached stages before.
     *
     * @param ids [rows]
     * @param end [B, C, h, w], the state at the end of the stage before; null for stage 0
     * @return [rows, T, D], outside workspaces
     */
    private INDArray conditions(int[] ids, int stage, INDArray end) {
        int length = config.stageLengths().length(stage);
        try (MemoryWorkspace pass =
                Nd4j.getWorkspaceManager().getAndActivateWorkspace(WORKSPACE_CONFIGURATION, WORKSPACE)) {
            INDArray column = Nd4j.createFromArray(ids).reshape(ids.length, 1);
            INDArray classes = classEmbedding.activate(column, false, workspaces);
            INDArray x = Nd4j.createUninitialized(dataType, new long[] {ids.length, length, config.width()}, 'c');
            StageSequenceImpl.repeat(classes, x);
            if (end != null) {
                INDArray raised = StageFlow.tokens(StageFlow.up(end));
                INDArray all = raised.size(0) == ids.length ? raised : Nd4j.concat(0, raised, raised);
                x.addi(raisedEmbedding.activate(all, false, workspaces));
            }
            x = positions.activate(x, false, workspaces);
            for (int i = 0; i < blocks.size(); i++) {
                x = blocks.get(i).decode(x, caches.get(i), workspaces);
            }
            return norm.activate(x, false, workspaces).detach();
        } finally {
            // the layers must not hold on to arrays of a closed workspace
            List.of(classEmbedding, raisedEmbedding, positions, norm).forEach(Layer::clear);
            blocks.forEach(Layer::clear);
        }
    }

    /** [B, T, C], outside workspaces; the second half of the conditions is that of "no class" if the scale is not 1. */
    private INDArray velocity(INDArray state, double time, INDArray condition, double scale) {
        long batch = state.size(0);
        boolean twins = scale != 1;
        INDArray z = twins ? condition : examples(condition, 0, batch);
        try (MemoryWorkspace step =
                Nd4j.getWorkspaceManager().getAndActivateWorkspace(WORKSPACE_CONFIGURATION, WORKSPACE)) {
            INDArray states = twins ? Nd4j.concat(0, state, state) : state;
            INDArray times = Nd4j.valueArrayOf(new long[] {states.size(0), states.size(1), 1}, time, dataType);
            INDArray x = Nd4j.concat(2, states, times, z);
            for (Layer layer : head) {
                x = layer.activate(x, false, workspaces);
            }
            if (twins) {
                INDArray free = examples(x, batch, 2 * batch);
                x = examples(x, 0, batch).sub(free).muli(scale).addi(free);
            }
            return x.detach();
        } finally {
            head.forEach(Layer::clear);
        }
    }

    private static INDArray examples(INDArray sequences, long from, long to) {
        return from == 0 && to == sequences.size(0)
                ? sequences
                : sequences
                        .get(NDArrayIndex.interval(from, to), NDArrayIndex.all(), NDArrayIndex.all())
                        .dup('c');
    }

    /** Caches with room for so many rows, empty. */
    private void prepareCaches(int rows) {
        if (caches.isEmpty() || caches.get(0).largestBatch() < rows) {
            closeCaches();
            for (TransformerBlockImpl block : blocks) {
                caches.add(block.newCache(rows));
            }
        }
        caches.forEach(cache -> cache.clear(rows));
    }

    private void closeCaches() {
        caches.forEach(KeyValueCache::close);
        caches.clear();
    }

    /** Gives the caches back, and the working memory of the calling thread. The sampler may be used again afterwards. */
    @Override
    public void close() {
        closeCaches();
        if (Nd4j.getWorkspaceManager().checkIfWorkspaceExists(WORKSPACE)) {
            Nd4j.getWorkspaceManager()
                    .destroyWorkspace(Nd4j.getWorkspaceManager().getWorkspaceForCurrentThread(WORKSPACE));
        }
    }
}
