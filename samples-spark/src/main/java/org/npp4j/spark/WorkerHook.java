package org.npp4j.spark;

import org.apache.spark.TaskContext;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.spark.api.TrainingHook;
import org.nd4j.linalg.dataset.api.DataSet;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.npp4j.layers.kernel.Precision;
import org.npp4j.layers.kernel.Products;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.StepMaker;
import org.npp4j.losses.PatchOutputLayer;
import org.npp4j.schedule.GlobalNormClipping;

/** What a worker does around its share of a step: precision, random numbers, clipping, report. */
final class WorkerHook implements TrainingHook {
    private static final long serialVersionUID = 1L;

    /**
     * The network of the task before in this thread. Its arrays are outside the heap, each as large as the weights, and a
     * worker's heap gives the garbage collector little reason to look for them.
     */
    private static final ThreadLocal<ComputationGraph> BEFORE = new ThreadLocal<>();

    private final long seed;
    private final Precision precision;
    private final double clipNorm;
    private final WorkerTally tally;
    private int step;
    private int epoch;

    WorkerHook(RunPlan plan, WorkerTally tally) {
        seed = plan.seed();
        precision = plan.precision();
        clipNorm = plan.clipping().maxNorm();
        this.tally = tally;
    }

    /** By the driver: what the tasks of the next step are told. */
    void begin(int nextStep, int nextEpoch) {
        step = nextStep;
        epoch = nextEpoch;
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
        // clone(), by which Deeplearning4j makes the worker's network, leaves them at 0: learning rate and Adam need
        // them
        network.getConfiguration().setIterationCount(step);
        network.getConfiguration().setEpochCount(epoch);
        network.setListeners(new GlobalNormClipping(clipNorm));
        StepMaker.seedRandom(seed, step, TaskContext.getPartitionId());
    }

    @Override
    public void postUpdate(MultiDataSet share, Model model) {
        ComputationGraph network = (ComputationGraph) model;
        GlobalNormClipping clipping =
                (GlobalNormClipping) network.getListeners().iterator().next();
        tally.add(share.getFeatures(0).size(0), PatchOutputLayer.crossEntropy(network), clipping.lastNorm());
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
