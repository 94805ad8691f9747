package org.npp4j.arbiter;

import java.util.OptionalDouble;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.npp4j.llamagen.training.TrainingPlan;
import org.npp4j.schedule.TrainingCost;

/**
 * A candidate whose training is over, as its score function sees it.
 *
 * @param patchPlan what it changed
 * @param plan what was trained
 * @param network with the moving average of its weights, if the plan has one, else with the weights
 * @param testLoss of that network at p = 1, nats per token; empty without test images
 * @param cost of the training, in operations
 * @param seconds of the training, without checkpoints and tests
 */
public record TrainedCandidate(
        PatchPlan patchPlan,
        TrainingPlan plan,
        ComputationGraph network,
        OptionalDouble testLoss,
        TrainingCost cost,
        double seconds) {}
