package org.npp4j.schedule;

import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.PatchAverage;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Takes a network through the stages of a run: finds every {@link PatchAverage} in it and sets its patch side.
 *
 * <pre>{@code
 * new StageScheduler(PatchStages.ofEpochs(300, 0.5, 2)).attachTo(network);
 * network.fit(iterator, 300);
 * }</pre>
 *
 * <p>The patch side follows from the network's own epoch or iteration counter, which is saved with it. A network restored
 * in the middle of a stage continues there once a scheduler is attached to it. p changes between iterations only.
 *
 * <ul>
 *   <li>Stages in epochs need epoch events: {@code fit(iterator)} and early stopping fire them, {@code fit(DataSet)} and
 *       the replicas of ParallelWrapper do not. Early stopping counts its epochs from 0 whatever the network's counter
 *       says
 *   <li>Stages in iterations work with every way to train
 *   <li>{@code setListeners(scheduler)} instead of {@link #attachTo} works too, but checks the stages only when training
 *       starts, and cannot set p before the first iteration of {@code fit(DataSet)}
 * </ul>
 *
 * <p>One scheduler may serve several networks, in several threads. Code that sets another p between iterations, to
 * evaluate with p = 1 for example, must set it back, or attach again.
 */
public final class StageScheduler extends BaseTrainingListener {
    private static final Logger log = LoggerFactory.getLogger(StageScheduler.class);

    private final PatchStages stages;
    private final List<Consumer<StageSwitch>> switchHooks = new CopyOnWriteArrayList<>();
    private final AtomicBoolean epochsExplained = new AtomicBoolean();

    /**
     * A scheduler over these stages.
     *
     * @param stages the stages
     */
    public StageScheduler(PatchStages stages) {
        this.stages = Objects.requireNonNull(stages, "StageScheduler needs stages: PatchStages.ofEpochs(..)");
    }

    /** {@return the stages} */
    public PatchStages stages() {
        return stages;
    }

    /**
     * Calls back at every change of p, in the thread that trains. The first stage counts only if p was another before.
     *
     * @param hook receives each switch
     * @return this
     */
    public StageScheduler onSwitch(Consumer<StageSwitch> hook) {
        switchHooks.add(Objects.requireNonNull(hook, "The hook is null"));
        return this;
    }

    /**
     * Every PatchAverage of a network, each object once: those of layers, of preprocessor vertices and inside
     * ComposableInputPreProcessor. The network uses these very objects.
     *
     * @param model a ComputationGraph or MultiLayerNetwork
     * @return the live preprocessors
     * @throws IllegalArgumentException if the model is neither
     */
    public static List<PatchAverage> patchAveragesOf(Model model) {
        return NetworkAccess.patchAverages(model);
    }

    /**
     * Checks the stages against the network, sets p for the network's present epoch or iteration and joins its
     * listeners. The other listeners stay. Attaching again is allowed and sets p again.
     *
     * @param model a ComputationGraph or MultiLayerNetwork
     * @return this
     * @throws IllegalArgumentException if the network has no PatchAverage, a stage does not fit a grid in it, or another
     *     StageScheduler is attached already
     */
    public StageScheduler attachTo(Model model) {
        requireFits(model);
        boolean attached = false;
        for (TrainingListener listener : NetworkAccess.listeners(model)) {
            if (listener == this) {
                attached = true;
            } else if (listener instanceof StageScheduler other) {
                throw new IllegalArgumentException("The network already has a StageScheduler (" + other.stages
                        + "). Remove it with setListeners before attaching one for " + stages);
            }
        }
        enterStage(model, NetworkAccess.iteration(model));
        if (!attached) {
            model.addListeners(this);
        }
        return this;
    }

    @Override
    public void onEpochStart(Model model) {
        epochsExplained.set(true);
        requireFits(model);
        enterStage(model, NetworkAccess.iteration(model));
    }

    @Override
    public void onForwardPass(Model model, List<INDArray> activations) {
        requirePatchSide(model);
    }

    @Override
    public void onForwardPass(Model model, Map<String, INDArray> activations) {
        requirePatchSide(model);
    }

    /** Sets p for the next iteration. The network's own counter still stands at the one just done. */
    @Override
    public void iterationDone(Model model, int iteration, int epoch) {
        if (stages.unit() == PatchStages.Unit.EPOCHS && epochsExplained.compareAndSet(false, true)) {
            log.warn(
                    "Training without epoch events: fit(DataSet) fires none, so the stages {} in epochs do not advance."
                            + " Use fit(iterator) or stages in iterations (PatchStages.iterations())",
                    stages);
        }
        enterStage(model, iteration + 1);
    }

    private void enterStage(Model model, int nextIteration) {
        int epoch = NetworkAccess.epoch(model);
        int index = stages.stageAt(stages.unit() == PatchStages.Unit.EPOCHS ? epoch : nextIteration);
        int patchSide = stages.stages().get(index).patchSide();
        int before = 0;
        for (PatchAverage average : NetworkAccess.patchAverages(model)) {
            if (average.getPatchSide() != patchSide) {
                before = average.getPatchSide();
                average.setPatchSide(patchSide);
            }
        }
        if (before != 0) {
            log.info(
                    "Stage {} of {}: patch side {} -> {} from epoch {}, iteration {} on",
                    index + 1,
                    stages.stages().size(),
                    before,
                    patchSide,
                    epoch,
                    nextIteration);
            StageSwitch change = new StageSwitch(index, patchSide, epoch, nextIteration);
            switchHooks.forEach(hook -> hook.accept(change));
        }
    }

    private void requireFits(Model model) {
        List<PatchAverage> averages = NetworkAccess.patchAverages(model);
        if (averages.isEmpty()) {
            throw new IllegalArgumentException("The network has no PatchAverage, so there is no patch side to schedule."
                    + " Add one behind the token embedding, as the preprocessor of the next layer"
                    + " or in a PreprocessorVertex");
        }
        for (PatchAverage average : averages) {
            stages.requireFits(average.getGrid());
        }
    }

    /** This iteration is lost if p is wrong: better to stop than to train another stage than was asked for. */
    private void requirePatchSide(Model model) {
        requireFits(model);
        int epoch = NetworkAccess.epoch(model);
        int iteration = NetworkAccess.iteration(model);
        int expected = stages.patchSideAt(stages.unit() == PatchStages.Unit.EPOCHS ? epoch : iteration);
        for (PatchAverage average : NetworkAccess.patchAverages(model)) {
            if (average.getPatchSide() != expected) {
                throw new IllegalStateException("Epoch " + epoch + ", iteration " + iteration + " ran with patch side "
                        + average.getPatchSide() + ", but the stages " + stages + " say " + expected
                        + ". Call new StageScheduler(stages).attachTo(network) before fit instead of setListeners,"
                        + " and again after changing a patch side or a counter of the network");
            }
        }
    }
}
