package org.npp4j.schedule;

import java.util.ArrayList;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.api.Trainable;
import org.deeplearning4j.nn.conf.GradientNormalization;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.updater.UpdaterBlock;
import org.deeplearning4j.nn.updater.graph.ComputationGraphUpdater;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.deeplearning4j.optimize.api.StepFunction;
import org.deeplearning4j.optimize.solvers.accumulation.GradientsAccumulator;
import org.deeplearning4j.optimize.solvers.accumulation.IndexedTail;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.regularization.Regularization;
import org.nd4j.linalg.learning.regularization.WeightDecay;
import org.npp4j.layers.kernel.Kernels;

/**
 * Moves the parameters of a network by {@link TorchAdam} in one pass over them.
 *
 * <p>Deeplearning4j's updater makes five passes over all parameters, and a clipping by the global norm one more: the scale
 * of the clipping, the division by the batch, the updater, the weight decay, and the subtraction. In a step on few or
 * short sequences they are a good part of the time. This updater makes one, up to rounding with the same result. The state
 * of the updater is the same too, so that saving and loading are as ever.
 *
 * <pre>{@code
 * network.init();
 * FusedUpdater.attachTo(network);
 * network.setListeners(new GlobalNormClipping(1));
 * }</pre>
 *
 * <p>Parameters with another updater, or with another regularization than {@link WeightDecay}, take Deeplearning4j's way,
 * block by block. {@link GlobalNormClipping} only computes its factor, and this updater applies it.
 *
 * <p>What differs for other listeners: behind the clipping they see the gradient before the clipping, and in
 * {@code iterationDone} the gradients are not the updates. Copies of the network have Deeplearning4j's updater again, so
 * {@code ParallelWrapper} and Spark take no notice of this one.
 */
public final class FusedUpdater extends ComputationGraphUpdater {
    /** Neighbouring parameters of one updater and one decay; m and v are its state. */
    private record Run(
            TorchAdam adam, WeightDecay decay, INDArray parameters, INDArray gradient, INDArray m, INDArray v) {}

    private final List<Run> runs = new ArrayList<>();
    private final List<UpdaterBlock> others = new ArrayList<>();
    private final Map<GlobalNormClipping, Double> factors = new IdentityHashMap<>();
    private boolean moved;

    private FusedUpdater(ComputationGraph network) {
        super(network, network.getUpdater().getStateViewArray());
        for (UpdaterBlock block : getUpdaterBlocks()) {
            if (isFusible(block)) {
                addRuns(block);
            } else {
                others.add(block);
            }
        }
    }

    /**
     * Gives a network this updater. The state of the updater it has, as after loading, is kept.
     *
     * @param network with parameters, which is trained in its own thread
     * @return the updater
     * @throws IllegalArgumentException if a layer has a gradient normalization, which works layer by layer, or the network
     *     another step function than the subtraction
     */
    public static FusedUpdater attachTo(ComputationGraph network) {
        for (UpdaterBlock block : network.getUpdater().getUpdaterBlocks()) {
            for (UpdaterBlock.ParamState state : block.getLayersAndVariablesInBlock()) {
                requireNoNormalization(state.getLayer());
            }
        }
        if (network.conf().getStepFunction() != null) {
            throw new IllegalArgumentException("FusedUpdater subtracts updates from parameters, but the network has the"
                    + " step function "
                    + network.conf().getStepFunction().getClass().getSimpleName()
                    + ". Leave the step function or the FusedUpdater out");
        }
        FusedUpdater updater = new FusedUpdater(network);
        network.setUpdater(updater);
        network.setGradientsAccumulator(updater.new Subtraction());
        return updater;
    }

    private static void requireNoNormalization(Trainable layer) {
        GradientNormalization normalization = layer.getConfig().getGradientNormalization();
        if (normalization != null && normalization != GradientNormalization.None) {
            throw new IllegalArgumentException("FusedUpdater knows no gradient normalization, but layer "
                    + layer.getConfig().getLayerName() + " has " + normalization
                    + ". Clip by the global norm with a GlobalNormClipping listener, or leave the FusedUpdater out");
        }
    }

    private static boolean isFusible(UpdaterBlock block) {
        return block.getGradientUpdater() instanceof TorchAdamUpdater
                && !block.skipDueToPretrainConfig(false)
                && block.getLayersAndVariablesInBlock().stream()
                        .allMatch(state -> state.getLayer().updaterDivideByMinibatch(state.getParamName())
                                && regularization(state).stream().allMatch(WeightDecay.class::isInstance)
                                && regularization(state).size() <= 1);
    }

    private static List<Regularization> regularization(UpdaterBlock.ParamState state) {
        List<Regularization> found = state.getLayer().getConfig().getRegularizationByParam(state.getParamName());
        return found == null ? List.of() : found;
    }

    private void addRuns(UpdaterBlock block) {
        List<UpdaterBlock.ParamState> states = block.getLayersAndVariablesInBlock();
        int first = 0;
        for (int i = 1; i <= states.size(); i++) {
            if (i == states.size() || !regularization(states.get(i)).equals(regularization(states.get(first)))) {
                addRun(block, states.get(first), states.get(i - 1));
                first = i;
            }
        }
    }

    private void addRun(UpdaterBlock block, UpdaterBlock.ParamState first, UpdaterBlock.ParamState last) {
        TorchAdamUpdater updater = (TorchAdamUpdater) block.getGradientUpdater();
        List<Regularization> decay = regularization(first);
        long from = first.getParamOffsetStart();
        long to = last.getParamOffsetEnd();
        if (from < to) {
            long start = block.getParamOffsetStart();
            runs.add(new Run(
                    updater.getConfig(),
                    decay.isEmpty() ? null : (WeightDecay) decay.get(0),
                    part(getParams(), from, to),
                    part(getFlattenedGradientsView(), from, to),
                    part(updater.getState().get(TorchAdamUpdater.M_STATE), from - start, to - start),
                    part(updater.getState().get(TorchAdamUpdater.V_STATE), from - start, to - start)));
        }
    }

    private static INDArray part(INDArray flat, long from, long to) {
        return flat.reshape(flat.length()).get(NDArrayIndex.interval(from, to));
    }

    /** What the gradient of this step is to be multiplied by. Of several clippings the strictest counts. */
    void clip(GlobalNormClipping clipping, double factor) {
        factors.put(clipping, factor);
    }

    @Override
    public synchronized void update(
            Gradient gradient, int iteration, int epoch, int batchSize, LayerWorkspaceMgr workspaceMgr) {
        double scale = factors.values().stream().min(Double::compare).orElse(1.0);
        factors.clear();
        if (!isOwn(gradient.gradient())) {
            // computed by another network: the network subtracts what Deeplearning4j makes of it
            if (scale != 1) {
                gradient.gradient().muli(scale);
            }
            super.update(gradient, iteration, epoch, batchSize, workspaceMgr);
            return;
        }
        if (isMiniBatch()) {
            scale /= batchSize;
        }
        workspaceMgr.assertNotOpen(ArrayType.UPDATER_WORKING_MEM, "Updater working memory");
        try (MemoryWorkspace ignored = workspaceMgr.notifyScopeEntered(ArrayType.UPDATER_WORKING_MEM)) {
            for (Run run : runs) {
                move(run, scale, iteration, epoch);
            }
            for (UpdaterBlock block : others) {
                move(block, scale, iteration, epoch);
            }
        }
        moved = true;
    }

    /** Whether it is the network's gradient, of which {@code Gradient} gives a new view each time. */
    private boolean isOwn(INDArray gradient) {
        INDArray own = getFlattenedGradientsView();
        return gradient.length() == own.length()
                && gradient.offset() == own.offset()
                && gradient.data().address() == own.data().address();
    }

    private static void move(Run run, double scale, int iteration, int epoch) {
        double decay = 0;
        if (run.decay != null) {
            decay = run.decay.getCoeff().valueAt(iteration, epoch);
            if (run.decay.isApplyLR()) {
                decay *= run.adam.getLearningRate(iteration, epoch);
            }
        }
        Kernels.of(run.parameters.dataType())
                .adamW(run.parameters, run.gradient, run.m, run.v, scale, run.adam.step(iteration, epoch), decay);
    }

    private static void move(UpdaterBlock block, double scale, int iteration, int epoch) {
        for (UpdaterBlock.ParamState state : block.getLayersAndVariablesInBlock()) {
            if (state.getGradView() != null && state.getLayer().updaterDivideByMinibatch(state.getParamName())) {
                state.getGradView().muli(scale);
            }
        }
        if (!block.skipDueToPretrainConfig(false)) {
            block.update(iteration, epoch);
        }
        for (UpdaterBlock.ParamState state : block.getLayersAndVariablesInBlock()) {
            if (state.getGradView() != null) {
                state.getParamView().subi(state.getGradView());
            }
        }
    }

    /** Keeps the optimizer from subtracting what is subtracted already: it leaves that to its accumulator. */
    private final class Subtraction implements GradientsAccumulator {
        private static final long serialVersionUID = 1L;

        @Override
        public void applyUpdate(StepFunction function, INDArray parameters, INDArray updates, boolean isFinalStep) {
            if (!moved) {
                function.step(parameters, updates);
            }
            moved = false;
        }

        @Override
        public void applyUpdate(StepFunction function, INDArray parameters, INDArray updates, double alpha) {
            throw new UnsupportedOperationException("FusedUpdater has no line search");
        }

        @Override
        public void storeUpdate(INDArray array, int iterationNumber, int epochNumber) {}

        @Override
        public void receiveUpdate(INDArray array) {}

        @Override
        public void markExternalUpdates(boolean updatesAvailable) {}

        @Override
        public void setExternalSource(IndexedTail source) {}

        @Override
        public IndexedTail getExternalSource() {
            return null;
        }

        @Override
        public void reset() {}

        @Override
        public void touch() {}

        @Override
        public boolean hasAnything() {
            return false;
        }
    }
}
