package org.npp4j.samples.report;

import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.annotation.JsonInclude.Include;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.List;
import java.util.Map;

/**
 * Every figure of a quickstart run: what {@code report.json} holds and the page shows. JSON names are in snake case.
 *
 * @param ntp next-token prediction
 * @param npp Next Patch Prediction
 * @param ratio NPP in parts of NTP
 * @param peakRssGib largest resident memory of the process in GiB
 * @param totalSeconds wall-clock time from start to report
 * @param data what was trained on
 * @param settings name to value, in the order to show
 * @param environment machine, versions, backend
 * @param determinism a sentence: which figures repeat with the same seed
 * @param pictures title to file name of each sample sheet
 * @param ecar of the ECAR; null if none was trained
 */
@JsonInclude(Include.NON_NULL)
public record QuickstartReport(
        TrainedModel ntp,
        TrainedModel npp,
        Ratio ratio,
        double peakRssGib,
        double totalSeconds,
        Data data,
        Map<String, Object> settings,
        RunEnvironment environment,
        String determinism,
        Map<String, String> pictures,
        EcarResult ecar) {

    /**
     * The data of a run.
     *
     * @param name its name or folder
     * @param sha256 hash of its files
     * @param trainImages images to train on
     * @param testImages images to test on
     * @param tokensPerImage tokens of an image
     * @param vocabulary different tokens
     * @param reconstructionError mean squared error of the pixels after encoding and decoding, pixels in [0, 1]
     * @param classNames class names by id
     */
    public record Data(
            String name,
            String sha256,
            int trainImages,
            int testImages,
            int tokensPerImage,
            int vocabulary,
            double reconstructionError,
            List<String> classNames) {}

    /**
     * NPP in parts of NTP.
     *
     * @param trainSeconds of the training times
     * @param trainGflop of the floating-point operations
     * @param trainPositions of the positions
     */
    public record Ratio(double trainSeconds, double trainGflop, double trainPositions) {
        /**
         * Compares two models.
         *
         * @param npp the numerator
         * @param ntp the denominator
         * @return their ratios
         */
        public static Ratio of(TrainedModel npp, TrainedModel ntp) {
            return new Ratio(
                    npp.trainSeconds() / ntp.trainSeconds(),
                    npp.trainGflop() / ntp.trainGflop(),
                    npp.trainPositions() / (double) ntp.trainPositions());
        }
    }

    private static final ObjectMapper JSON = JsonMapper.builder()
            .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
            .enable(SerializationFeature.INDENT_OUTPUT)
            .build();

    /** {@return the report as JSON} */
    public String toJson() {
        try {
            return JSON.writeValueAsString(this) + "\n";
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("The report cannot be written as JSON: " + e.getOriginalMessage(), e);
        }
    }
}
