package org.npp4j.samples.report;

/**
 * Losses at a checkpoint.
 *
 * @param step it was written after
 * @param seconds of training by then
 * @param gflop operations by then
 * @param trainingLoss of the steps since the one before; null if there were none
 * @param testLoss of the test images at p = 1; null without them
 * @param averageTestLoss the same of the moving average of the weights
 */
public record CheckpointPoint(
        int step, double seconds, double gflop, Double trainingLoss, Double testLoss, Double averageTestLoss) {}
