package org.npp4j.llamagen.training;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * One step of the optimizer over a batch that is computed in parts: the gradient is that of the whole batch, up to rounding.
 *
 * <p>Deeplearning4j's gradients g_i of a part of b_i examples are sums over them, and its updater divides by the size of the
 * batch it sees. All parts but the last are only computed, and summed up here. The last one is fitted; when its gradient
 * is there it becomes (g_1 + .. + g_n) b_n / B, which the updater divides by b_n. Everything behind that (clipping, decay,
 * optimizer, other listeners) happens once and sees the whole batch, except that {@code model.batchSize()} is b_n.
 *
 * <p>It must be the first of the listeners that look at the gradient.
 */
final class GradientAccumulation extends BaseTrainingListener {
    private final ToDoubleFunction<Model> lossOf;
    private INDArray sum;
    private int parts;
    private long examples;
    private double weightedLoss;
    private double weightedScore;
    private double loss = Double.NaN;

    /** The loss of a part without regularization terms. */
    GradientAccumulation(ToDoubleFunction<Model> lossOf) {
        this.lossOf = lossOf;
    }

    /** Makes one step. */
    void fit(ComputationGraph network, MultiDataSet batch, int microBatch) {
        parts = 0;
        examples = 0;
        weightedLoss = 0;
        weightedScore = 0;
        List<MultiDataSet> cut = cut(batch, microBatch);
        if (cut.size() > 1) {
            List<TrainingListener> listeners = new ArrayList<>(network.getListeners());
            // they fire once a step, at the last part
            network.setListeners(List.of());
            try {
                for (MultiDataSet part : cut.subList(0, cut.size() - 1)) {
                    add(network, part);
                }
            } finally {
                network.setListeners(listeners);
            }
        }
        network.fit(cut.get(cut.size() - 1));
    }

    private void add(ComputationGraph network, MultiDataSet part) {
        if (network.getGradientsViewArray() == null) {
            network.initGradientsView();
        }
        network.setInputs(part.getFeatures());
        network.setLabels(part.getLabels());
        network.setLayerMaskArrays(part.getFeaturesMaskArrays(), part.getLabelsMaskArrays());
        network.computeGradientAndScore();
        if (part.hasMaskArrays()) {
            network.clearLayerMaskArrays();
        }
        INDArray gradient = network.gradient().gradient();
        if (sum == null) {
            try (MemoryWorkspace ignored = Nd4j.getMemoryManager().scopeOutOfWorkspaces()) {
                sum = gradient.dup();
            }
        } else if (parts == 0) {
            sum.assign(gradient);
        } else {
            sum.addi(gradient);
        }
        parts++;
        count(network);
    }

    private void count(Model network) {
        int size = network.batchSize();
        examples += size;
        weightedLoss += size * lossOf.applyAsDouble(network);
        weightedScore += size * network.score();
    }

    @Override
    public void onGradientCalculation(Model model) {
        count(model);
        loss = weightedLoss / examples;
        if (parts > 0) {
            INDArray gradient = model.gradient().gradient();
            gradient.addi(sum);
            gradient.muli(model.batchSize() / (double) examples);
            ((ComputationGraph) model).setScore(weightedScore / examples);
        }
    }

    /** {@return the mean loss of the batch, known when its gradient is} */
    double loss() {
        return loss;
    }

    /** {@return the images of the batch, known when its gradient is} */
    long examples() {
        return examples;
    }

    /** {@return the parts of a batch in order, each of this size but perhaps the last} */
    static List<MultiDataSet> cut(MultiDataSet batch, int microBatch) {
        long size = batch.getFeatures(0).size(0);
        if (size <= microBatch) {
            return List.of(batch);
        }
        List<MultiDataSet> parts = new ArrayList<>();
        for (long from = 0; from < size; from += microBatch) {
            long to = Math.min(size, from + microBatch);
            parts.add(part(batch, from, to));
        }
        return parts;
    }

    /** {@return the examples of a batch from one to before another} */
    static MultiDataSet part(MultiDataSet batch, long from, long to) {
        return new org.nd4j.linalg.dataset.MultiDataSet(
                examples(batch.getFeatures(), from, to),
                examples(batch.getLabels(), from, to),
                examples(batch.getFeaturesMaskArrays(), from, to),
                examples(batch.getLabelsMaskArrays(), from, to));
    }

    private static INDArray[] examples(INDArray[] arrays, long from, long to) {
        if (arrays == null) {
            return null;
        }
        return Arrays.stream(arrays)
                .map(array -> array == null ? null : examples(array, from, to))
                .toArray(INDArray[]::new);
    }

    private static INDArray examples(INDArray array, long from, long to) {
        INDArrayIndex[] indices = new INDArrayIndex[array.rank()];
        Arrays.fill(indices, NDArrayIndex.all());
        indices[0] = NDArrayIndex.interval(from, to);
        return array.get(indices).dup('c');
    }
}
