package org.npp4j.samples.report;

/**
 * The mean over some steps of one stage.
 *
 * @param step the last of them
 * @param epoch of it, from 0
 * @param stage from 0
 * @param patchSide p
 * @param learningRate of the last
 * @param loss cross-entropy in nats per scored token, without weight decay
 * @param score the same with it
 * @param gradientNorm before clipping
 * @param images trained on so far
 * @param seconds of training so far
 * @param gflop operations so far, as predicted
 * @param imagesPerSecond in these steps
 * @param memoryGib what the process takes
 */
public record TrainingPoint(
        int step,
        int epoch,
        int stage,
        int patchSide,
        double learningRate,
        double loss,
        double score,
        double gradientNorm,
        long images,
        double seconds,
        double gflop,
        double imagesPerSecond,
        double memoryGib) {}
