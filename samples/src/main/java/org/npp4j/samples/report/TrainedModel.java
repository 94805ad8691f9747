package org.npp4j.samples.report;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonInclude.Include;
import com.fasterxml.jackson.annotation.JsonProperty;
import java.util.List;

/**
 * What training and testing one model gave.
 *
 * @param trainSeconds wall-clock time of the training iterations
 * @param trainGflop floating-point operations of training, in 10^9
 * @param trainImages images trained on, repetitions counted
 * @param trainPositions positions that the transformer ran over in training
 * @param trainTokens tokens scored in training
 * @param testNllPerToken negative log-likelihood of the test images at p = 1, in nats per token
 * @param testPerplexity exp of it
 * @param parameters trainable numbers of the model
 * @param stages the stages in order
 * @param curve training loss
 * @param modelFile file of the trained model, relative to the report
 * @param drawn scores of the images that it drew; null if no network that knows the data comes along
 */
public record TrainedModel(
        double trainSeconds,
        double trainGflop,
        long trainImages,
        long trainPositions,
        long trainTokens,
        double testNllPerToken,
        double testPerplexity,
        long parameters,
        List<Stage> stages,
        LossCurve curve,
        String modelFile,
        @JsonInclude(Include.NON_NULL) DrawnScores drawn) {

    /** {@return images per second of training} */
    @JsonProperty
    public double imagesPerSecond() {
        return trainImages / trainSeconds;
    }

    /**
     * One stage of training.
     *
     * @param patchSide p
     * @param fromEpoch first epoch, counted from 0
     * @param toEpoch epoch before which it ended
     * @param seconds wall-clock time of its iterations
     * @param positions positions that the transformer ran over
     * @param gflop floating-point operations in 10^9
     * @param lastLoss mean training loss over the last point of its curve, in nats per scored token
     */
    public record Stage(
            int patchSide,
            double fromEpoch,
            double toEpoch,
            double seconds,
            long positions,
            double gflop,
            double lastLoss) {}
}
