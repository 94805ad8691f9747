package org.npp4j.spark;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.deeplearning4j.spark.api.RDDTrainingApproach;
import org.deeplearning4j.spark.api.Repartition;
import org.deeplearning4j.spark.impl.graph.SparkComputationGraph;
import org.deeplearning4j.spark.impl.paramavg.ParameterAveragingTrainingMaster;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.StepMaker;

/**
 * Steps made by the workers of a Spark cluster: one {@code fit} of Deeplearning4j's SparkComputationGraph for each, with one
 * task for each share of the batch. Every worker clips the gradient of its share and moves its copy of the network; weights
 * and the optimizer's state are averaged. That is near, not equal, to the step of one worker with the whole batch.
 *
 * <p>The driver's network never computes a gradient, so its listeners see {@code iterationDone} and epochs alone.
 */
final class SparkStepMaker implements StepMaker {
    private final ComputationGraph network;
    private final int workers;
    private final JavaSparkContext context;
    private final WorkerTally tally;
    private final WorkerHook hook;
    private final SparkComputationGraph graph;

    SparkStepMaker(JavaSparkContext context, ComputationGraph network, RunPlan plan, int workers) {
        int share = plan.batchSize() / workers;
        if (plan.microBatch() < share) {
            throw new IllegalArgumentException("A worker on Spark computes its share of a batch at once, " + share
                    + " images here, but micro_batch is " + plan.microBatch()
                    + ". Leave it out, and give more workers instead: they may outnumber the cores");
        }
        this.context = context;
        this.network = network;
        this.workers = workers;
        tally = new WorkerTally(context.sc());
        hook = new WorkerHook(plan, tally);
        ParameterAveragingTrainingMaster master = new ParameterAveragingTrainingMaster.Builder(workers, share)
                .batchSizePerWorker(share)
                .averagingFrequency(1)
                .saveUpdater(true)
                .workerPrefetchNumBatches(0)
                .rddTrainingApproach(RDDTrainingApproach.Direct)
                // a batch comes in one partition for each worker; it is used once
                .repartionData(Repartition.Never)
                .storageLevel(null)
                .rngSeed(plan.seed())
                .trainingHooks(hook)
                .build();
        graph = new SparkComputationGraph(context, network, master);
    }

    @Override
    public List<TrainingListener> listeners() {
        return List.of();
    }

    @Override
    public void makeStep(MultiDataSet batch, int step) {
        int epoch = network.getEpochCount();
        tally.reset();
        hook.begin(step, epoch);
        graph.fitMultiDataSet(context.parallelize(shares(batch), workers));
        // Deeplearning4j counts each fit as an epoch
        network.getConfiguration().setEpochCount(epoch);
        network.setScore(graph.getScore());
        for (TrainingListener listener : network.getListeners()) {
            listener.iterationDone(network, step, epoch);
        }
    }

    private List<MultiDataSet> shares(MultiDataSet batch) {
        long size = batch.getFeatures(0).size(0);
        if (size < workers) {
            throw new IllegalStateException("A batch of " + size + " images cannot be shared by " + workers
                    + " workers. Use data that drop their last short batch, or fewer workers");
        }
        List<MultiDataSet> shares = new ArrayList<>();
        for (int i = 0; i < workers; i++) {
            long from = i * size / workers;
            long to = (i + 1) * size / workers;
            shares.add(new org.nd4j.linalg.dataset.MultiDataSet(
                    part(batch.getFeatures(), from, to), part(batch.getLabels(), from, to)));
        }
        return shares;
    }

    private static INDArray[] part(INDArray[] arrays, long from, long to) {
        return Arrays.stream(arrays)
                .map(array -> {
                    INDArrayIndex[] indices = new INDArrayIndex[array.rank()];
                    Arrays.fill(indices, NDArrayIndex.all());
                    indices[0] = NDArrayIndex.interval(from, to);
                    return array.get(indices).dup('c');
                })
                .toArray(INDArray[]::new);
    }

    @Override
    public double loss() {
        return tally.loss();
    }

    /** {@return the mean over the workers, each with the gradient of its share} */
    @Override
    public double gradientNorm() {
        return tally.gradientNorm();
    }

    @Override
    public void close() {}
}
