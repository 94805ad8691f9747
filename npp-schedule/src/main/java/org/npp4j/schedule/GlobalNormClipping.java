package org.npp4j.schedule;

import java.util.Map;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.npp4j.layers.kernel.Kernels;

/**
 * Clips gradients by the norm of all of them together: g = g x min(1, maxNorm / (|g| + 1e-6)).
 *
 * <p>|g| is the Euclidean norm over every parameter of the network of the gradient averaged over the batch, which is what
 * PyTorch's {@code clip_grad_norm_} sees. Deeplearning4j's own {@code GradientNormalization} clips layer by layer.
 * Clipping comes before regularisation and the updater. Values that only travel with the gradients, such as the running
 * means of batch normalisation, neither count nor change. A norm that is not finite leaves the gradients alone: see
 * {@link DivergenceGuard}. In a network with a {@link FusedUpdater}, that updater does the multiplication.
 */
public final class GlobalNormClipping extends BaseTrainingListener {
    private static final double EPSILON = 1e-6;

    private final double maxNorm;
    private volatile double lastNorm = Double.NaN;

    /**
     * A listener that clips at this norm.
     *
     * @param maxNorm largest norm that passes unchanged, above 0; 1 is published
     * @throws IllegalArgumentException if the norm is not a finite number above 0
     */
    public GlobalNormClipping(double maxNorm) {
        if (!(maxNorm > 0 && maxNorm < Double.POSITIVE_INFINITY)) {
            throw new IllegalArgumentException("The largest gradient norm must be a finite number above 0, got "
                    + maxNorm + ". To train without clipping leave the listener out");
        }
        this.maxNorm = maxNorm;
    }

    /** {@return the largest norm that passes unchanged} */
    public double maxNorm() {
        return maxNorm;
    }

    /**
     * Norm of the last iteration's gradients before clipping. If several networks share this listener: of the last of
     * them.
     *
     * @return the norm, NaN before the first iteration
     */
    public double lastNorm() {
        return lastNorm;
    }

    @Override
    public void onGradientCalculation(Model model) {
        Gradient gradient = model.gradient();
        double norm = norm(model);
        lastNorm = norm;
        double factor = norm < Double.POSITIVE_INFINITY ? Math.min(1, maxNorm / (norm + EPSILON)) : 1;
        if (model instanceof ComputationGraph graph && graph.getUpdater(false) instanceof FusedUpdater fused) {
            fused.clip(this, factor);
        } else if (factor < 1) {
            scale(model, gradient, factor);
        }
    }

    private static void scale(Model model, Gradient gradient, double factor) {
        if (isAllGradients(model)) {
            gradient.gradient().muli(factor);
        } else {
            gradient.gradientForVariable().forEach((variable, values) -> {
                if (NetworkAccess.isGradient(model, variable)) {
                    values.muli(factor);
                }
            });
        }
    }

    /** Norm of the gradient that the updater will see. */
    static double norm(Model model) {
        double squares = 0;
        if (isAllGradients(model)) {
            squares = sumOfSquares(model.gradient().gradient());
        } else {
            for (Map.Entry<String, INDArray> entry :
                    model.gradient().gradientForVariable().entrySet()) {
                if (NetworkAccess.isGradient(model, entry.getKey())) {
                    squares += sumOfSquares(entry.getValue());
                }
            }
        }
        // The updater, which runs later, divides the sum over the batch by its size unless miniBatch(false) is set.
        return Math.sqrt(squares) / (model.conf().isMiniBatch() ? model.batchSize() : 1);
    }

    private static boolean isAllGradients(Model model) {
        return model.gradient().gradientForVariable().keySet().stream()
                .allMatch(variable -> NetworkAccess.isGradient(model, variable));
    }

    private static double sumOfSquares(INDArray values) {
        return Kernels.of(values.dataType()).sumOfSquares(values);
    }
}
