package org.npp4j.llamagen.training;

import java.util.List;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.npp4j.schedule.FusedUpdater;
import org.npp4j.schedule.GlobalNormClipping;

/** Steps made in the calling thread, by the network alone. */
final class SingleStepMaker implements StepMaker {
    private final ComputationGraph network;
    private final RunPlan plan;
    private final GradientAccumulation accumulation;
    private final GlobalNormClipping clipping;

    SingleStepMaker(ComputationGraph network, RunPlan plan) {
        this.network = network;
        this.plan = plan;
        accumulation = new GradientAccumulation(plan::loss);
        clipping = plan.clipping();
        FusedUpdater.attachTo(network);
    }

    @Override
    public List<TrainingListener> listeners() {
        return List.of(accumulation, clipping);
    }

    @Override
    public void makeStep(MultiDataSet batch, int step) {
        StepRandom.begin(plan.seed(), step);
        accumulation.fit(network, batch, plan.microBatch());
    }

    @Override
    public double loss() {
        return accumulation.loss();
    }

    @Override
    public double gradientNorm() {
        return clipping.lastNorm();
    }

    @Override
    public void close() {}
}
