package org.npp4j.schedule;

import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.function.Supplier;
import java.util.function.ToDoubleFunction;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.npp4j.layers.PatchAverage;

/**
 * Stops training with a {@link TrainingDivergedException} when the score or the gradient is NaN or infinite, or, if there
 * is a limit, when the loss is above it.
 *
 * <p>It fires when the gradient has been computed and before the parameters are updated, so the network still holds the
 * parameters of the last good step. Looking at the gradient costs one pass over it an iteration. Early stopping catches
 * the exception and returns its best model.
 */
public final class DivergenceGuard extends BaseTrainingListener {
    private final Supplier<Path> lastCheckpoint;
    private final ToDoubleFunction<Model> loss;
    private final double largestLoss;

    /** A guard for a run without checkpoints. */
    public DivergenceGuard() {
        this(() -> null);
    }

    /**
     * A guard whose message names the checkpoint to go back to.
     *
     * @param lastCheckpoint the last good checkpoint, or null while there is none; asked when training diverges
     */
    public DivergenceGuard(Supplier<Path> lastCheckpoint) {
        this(lastCheckpoint, model -> Double.NaN, Double.POSITIVE_INFINITY);
    }

    /**
     * A guard that stops an explosion, too.
     *
     * @param lastCheckpoint the last good checkpoint, or null while there is none; asked when training diverges
     * @param loss of the iteration: what is compared with the limit, such as {@code PatchOutputLayer::crossEntropy}, since
     *     the score has regularization terms
     * @param largestLoss training stops above it; above 0
     * @throws IllegalArgumentException if the limit is not above 0
     */
    public DivergenceGuard(Supplier<Path> lastCheckpoint, ToDoubleFunction<Model> loss, double largestLoss) {
        if (!(largestLoss > 0)) {
            throw new IllegalArgumentException("The largest loss must be above 0, got " + largestLoss);
        }
        this.loss = Objects.requireNonNull(loss, "The loss to compare with the limit is null");
        this.largestLoss = largestLoss;
        this.lastCheckpoint = Objects.requireNonNull(
                lastCheckpoint, "The supplier of the last checkpoint is null. Use new DivergenceGuard() without one");
    }

    @Override
    public void onGradientCalculation(Model model) {
        double score = model.score();
        if (!Double.isFinite(score)) {
            throw diverged(model, "The score is " + score, score);
        }
        double norm = GlobalNormClipping.norm(model);
        if (!Double.isFinite(norm)) {
            throw diverged(model, "The score is " + score + " but the norm of the gradient is " + norm, score);
        }
        requireNoExplosion(model);
    }

    /** For ways to train that do not report the gradient. */
    @Override
    public void iterationDone(Model model, int iteration, int epoch) {
        double score = model.score();
        if (!Double.isFinite(score)) {
            throw diverged(model, "The score is " + score, score);
        }
        requireNoExplosion(model);
    }

    private void requireNoExplosion(Model model) {
        double current = loss.applyAsDouble(model);
        if (current > largestLoss) {
            throw diverged(model, "The loss is " + current + ", above the limit of " + largestLoss, current);
        }
    }

    private TrainingDivergedException diverged(Model model, String what, double score) {
        int iteration = NetworkAccess.iteration(model);
        int epoch = NetworkAccess.epoch(model);
        Path checkpoint = lastCheckpoint.get();
        String message = what + " at iteration " + iteration + ", epoch " + epoch + stage(model) + learningRate(model)
                + ". Training has stopped. "
                + (checkpoint == null
                        ? "No checkpoint is known; start again"
                        : "The last good checkpoint is " + checkpoint + "; continue from it")
                + " with a lower learning rate, a longer warm-up or gradient clipping (GlobalNormClipping),"
                + " and check the data for values that are not finite";
        return new TrainingDivergedException(message, iteration, epoch, score, checkpoint);
    }

    private static String stage(Model model) {
        List<PatchAverage> averages = NetworkAccess.patchAverages(model);
        if (averages.isEmpty()) {
            return "";
        }
        String text = ", patch side " + averages.get(0).getPatchSide();
        for (TrainingListener listener : NetworkAccess.listeners(model)) {
            if (listener instanceof StageScheduler scheduler) {
                text += " (stages " + scheduler.stages() + ")";
            }
        }
        return text;
    }

    private static String learningRate(Model model) {
        Set<Double> rates = NetworkAccess.learningRates(model);
        return rates.isEmpty()
                ? ""
                : ", learning rate "
                        + String.join(", ", rates.stream().map(String::valueOf).toList());
    }
}
