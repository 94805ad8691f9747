package org.npp4j.spark;

import org.apache.spark.TaskContext;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.spark.api.TrainingHook;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.DataSet;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.StepMaker;
import org.npp4j.losses.PatchOutputLayer;

/**
 * What a worker does around its share of a step: precision, random numbers, the report, and the gradient in the place of
 * the weights. With n workers and B images in the batch it is n / B times the sum over the share, so that the mean over the
 * workers is the mean over the batch.
 */
final class WorkerHook implements TrainingHook {
    private static final long serialVersionUID = 1L;

    /**
     * The network of the task before in this thread. Its arrays are outside the heap, each as large as the weights, and a
     * worker's heap gives the garbage collector little reason to look for them.
     */
    private static final ThreadLocal<ComputationGraph> BEFORE = new ThreadLocal<>();

    private final long seed;
    private final Precision precision;
    private final WorkerTally tally;
    private int step;
    private double factor;

    WorkerHook(RunPlan plan, WorkerTally tally) {
        seed = plan.seed();
        precision = plan.precision();
        this.tally = tally;
    }

    /** By the driver: what the tasks of the next step are told. Their networks' own counters are at 0. */
    void begin(int nextStep, double gradientFactor) {
        step = nextStep;
        factor = gradientFactor;
    }

    @Override
    public void preUpdate(MultiDataSet share, Model model) {
        ComputationGraph network = (ComputationGraph) model;
        ComputationGraph before = BEFORE.get();
        if (before != null && before != network) {
            // what it sent is on its way as bytes
            before.close();
        }
        BEFORE.set(network);
        if (Products.precision() != precision) {
            Products.setPrecision(precision);
        }
        network.setListeners(new GradientKeeper());
        StepMaker.seedRandom(seed, step, TaskContext.getPartitionId());
    }

    @Override
    public void postUpdate(MultiDataSet share, Model model) {
        ComputationGraph network = (ComputationGraph) model;
        tally.add(share.getFeatures(0).size(0), PatchOutputLayer.crossEntropy(network));
        GradientKeeper kept = (GradientKeeper) network.getListeners().iterator().next();
        network.params().assign(kept.gradient.reshape(network.params().shape())).muli(factor);
        kept.gradient.close();
    }

    /** Copies the gradient before the updater changes it. */
    private static final class GradientKeeper extends BaseTrainingListener {
        private INDArray gradient;

        @Override
        public void onGradientCalculation(Model model) {
            gradient = model.gradient().gradient().dup();
        }
    }

    @Override
    public void preUpdate(DataSet share, Model model) {
        throw new UnsupportedOperationException("A batch has tokens and classes: a MultiDataSet");
    }

    @Override
    public void postUpdate(DataSet share, Model model) {
        throw new UnsupportedOperationException("A batch has tokens and classes: a MultiDataSet");
    }
}
