package org.npp4j.samples;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.npp4j.samples.report.EcarResult;
import org.npp4j.samples.report.QuickstartReport;
import org.npp4j.samples.report.SampleSheet;
import org.npp4j.samples.report.TrainedModel;

/** Trains, tests and draws; the command around it checks, measures and reports. */
@FunctionalInterface
interface QuickstartRun {
    /**
     * Trains both models and writes their files into the settings' folder.
     *
     * @param settings what the user chose
     * @return the figures and pictures
     * @throws IOException if data cannot be read or a model cannot be written
     */
    Result run(QuickstartSettings settings) throws IOException;

    /**
     * What a run gives.
     *
     * @param ntp next-token prediction
     * @param npp Next Patch Prediction
     * @param data what was trained on
     * @param settings further settings to report, name to value in the order to show
     * @param sheets pictures, in the order to show
     * @param determinism which figures repeat with the same seed, as a sentence
     * @param ecar of the ECAR; null if none was trained
     */
    record Result(
            TrainedModel ntp,
            TrainedModel npp,
            QuickstartReport.Data data,
            Map<String, Object> settings,
            List<SampleSheet> sheets,
            String determinism,
            EcarResult ecar) {}
}
