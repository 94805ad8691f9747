package org.npp4j.llamagen.training;

import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.dataset.api.MultiDataSet;

/** Steps made in the calling thread, by the network alone. */
final class SingleStepMaker implements StepMaker {
    private final ComputationGraph network;
    private final long seed;
    private final int microBatch;
    private final GradientAccumulation accumulation;

    SingleStepMaker(ComputationGraph network, RunPlan plan) {
        this.network = network;
        seed = plan.seed();
        microBatch = plan.microBatch();
        accumulation = new GradientAccumulation(plan::loss);
    }

    @Override
    public List<TrainingListener> listeners() {
        return List.of(accumulation);
    }

    @Override
    public void makeStep(MultiDataSet batch, int step) {
        StepRandom.begin(seed, step);
        accumulation.fit(network, batch, microBatch);
    }

    @Override
    public double loss() {
        return accumulation.loss();
    }

    @Override
    public void close() {}
}
