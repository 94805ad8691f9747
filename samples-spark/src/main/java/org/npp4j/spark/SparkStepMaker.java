package org.npp4j.spark;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.spark.api.java.JavaSparkContext;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.graph.GraphVertex;
import org.deeplearning4j.nn.conf.graph.LayerVertex;
import org.deeplearning4j.nn.conf.layers.BaseLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.deeplearning4j.spark.api.RDDTrainingApproach;
import org.deeplearning4j.spark.api.Repartition;
import org.deeplearning4j.spark.impl.graph.SparkComputationGraph;
import org.deeplearning4j.spark.impl.paramavg.ParameterAveragingTrainingMaster;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.indexing.INDArrayIndex;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.Sgd;
import org.npp4j.layers.PatchAverage;
import org.npp4j.llamagen.training.RunPlan;
import org.npp4j.llamagen.training.StepMaker;
import org.npp4j.schedule.GlobalNormClipping;
import org.npp4j.schedule.StageScheduler;

/**
 * Steps made by the workers of a Spark cluster: one {@code fit} of Deeplearning4j's SparkComputationGraph for each, with one
 * task for each share of the batch.
 *
 * <p>Its training master averages parameters. Averages of weights that AdamW has moved by the gradients of shares lag behind
 * the step of the whole batch; so every worker puts the gradient of its share in the place of its weights ({@link
 * WorkerHook}), and what is averaged is the gradient of the batch. The driver's network then makes one step with it, on
 * which clipping, guard, AdamW and listeners work as ever. The network that travels is a twin without an optimizer.
 */
final class SparkStepMaker implements StepMaker {
    private final ComputationGraph network;
    private final int workers;
    private final JavaSparkContext context;
    private final WorkerTally tally;
    private final WorkerHook hook;
    private final GlobalNormClipping clipping;
    private final SparkComputationGraph twin;

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
        clipping = plan.clipping();
        tally = new WorkerTally(context.sc());
        hook = new WorkerHook(plan, tally);
        ParameterAveragingTrainingMaster master = new ParameterAveragingTrainingMaster.Builder(workers, share)
                .batchSizePerWorker(share)
                .averagingFrequency(1)
                .saveUpdater(false)
                .workerPrefetchNumBatches(0)
                .rddTrainingApproach(RDDTrainingApproach.Direct)
                // a batch comes in one partition for each worker; it is used once
                .repartionData(Repartition.Never)
                .storageLevel(null)
                .rngSeed(plan.seed())
                .trainingHooks(hook)
                .build();
        twin = new SparkComputationGraph(context, twin(network), master);
    }

    /** A network of the same layers and weights whose updater has no state. */
    private static ComputationGraph twin(ComputationGraph network) {
        ComputationGraphConfiguration configuration = network.getConfiguration().clone();
        for (GraphVertex vertex : configuration.getVertices().values()) {
            if (vertex instanceof LayerVertex layer && layer.getLayerConf().getLayer() instanceof BaseLayer base) {
                base.setIUpdater(new Sgd(0));
                base.setBiasUpdater(null);
            }
        }
        ComputationGraph twin = new ComputationGraph(configuration);
        twin.init(network.params().dup(), false);
        return twin;
    }

    @Override
    public List<TrainingListener> listeners() {
        return List.of(new GradientOfBatch(), clipping);
    }

    @Override
    public void makeStep(MultiDataSet batch, int step) {
        ComputationGraph sent = twin.getNetwork();
        sent.params().assign(network.params());
        List<PatchAverage> ours = StageScheduler.patchAveragesOf(network);
        List<PatchAverage> theirs = StageScheduler.patchAveragesOf(sent);
        for (int i = 0; i < ours.size(); i++) {
            theirs.get(i).setPatchSide(ours.get(i).getPatchSide());
        }
        long images = batch.getFeatures(0).size(0);
        tally.reset();
        hook.begin(step, workers / (double) images);
        twin.fitMultiDataSet(context.parallelize(shares(batch, images), workers));
        // one image, for the course of a step alone: its gradient is replaced
        network.fit(part(batch, 0, 1));
    }

    private List<MultiDataSet> shares(MultiDataSet batch, long images) {
        if (images < workers) {
            throw new IllegalStateException("A batch of " + images + " images cannot be shared by " + workers
                    + " workers. Use data that drop their last short batch, or fewer workers");
        }
        List<MultiDataSet> shares = new ArrayList<>();
        for (int i = 0; i < workers; i++) {
            shares.add(part(batch, i * images / workers, (i + 1) * images / workers));
        }
        return shares;
    }

    private static MultiDataSet part(MultiDataSet batch, long from, long to) {
        return new org.nd4j.linalg.dataset.MultiDataSet(
                part(batch.getFeatures(), from, to), part(batch.getLabels(), from, to));
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

    /** Puts what the workers have computed in the place of the driver's gradient. */
    private final class GradientOfBatch extends BaseTrainingListener {
        @Override
        public void onGradientCalculation(Model model) {
            INDArray gradient = model.gradient().gradient();
            // gradients are sums over the images that the updater divides by
            gradient.assign(twin.getNetwork().params().reshape(gradient.shape()))
                    .muli(model.batchSize());
            ((ComputationGraph) model).setScore(twin.getScore());
        }
    }

    @Override
    public double loss() {
        return tally.loss();
    }

    @Override
    public double gradientNorm() {
        return clipping.lastNorm();
    }

    @Override
    public void close() {}
}
