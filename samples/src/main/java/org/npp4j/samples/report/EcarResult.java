package org.npp4j.samples.report;

import com.fasterxml.jackson.annotation.JsonIgnore;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonInclude.Include;
import java.util.Map;

/**
 * What training and testing an ECAR gave.
 *
 * @param nature what of it is the paper's and what is reconstruction, in words
 * @param model sizes in words
 * @param settings name to value, in the order to show
 * @param parameters trainable numbers of the model
 * @param epochs it was trained for
 * @param trainSeconds wall-clock time of the training steps
 * @param trainGflop floating-point operations of training, in 10^9
 * @param trainImages images trained on, repetitions counted
 * @param testLoss mean squared error of the velocities of the test images
 * @param averageTestLoss the same of the moving average of the weights, which draws
 * @param drawGflop floating-point operations of an image that is drawn, in 10^9
 * @param drawSeconds wall-clock time of an image that is drawn, many at a time
 * @param modelFile file of the trained model, relative to the report
 * @param drawn scores of the images that it drew; null if no network that knows the data comes along
 * @param sheet images that it drew
 */
public record EcarResult(
        String nature,
        String model,
        Map<String, Object> settings,
        long parameters,
        int epochs,
        double trainSeconds,
        double trainGflop,
        long trainImages,
        double testLoss,
        double averageTestLoss,
        double drawGflop,
        double drawSeconds,
        String modelFile,
        @JsonInclude(Include.NON_NULL) DrawnScores drawn,
        @JsonIgnore SampleSheet sheet) {}
