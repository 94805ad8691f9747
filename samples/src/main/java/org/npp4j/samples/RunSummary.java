package org.npp4j.samples;

import java.util.List;
import java.util.Map;
import org.npp4j.llamagen.training.TrainingStep;
import org.npp4j.samples.report.TrainingReport;

/** What a run will be, for the lines before its first step, its progress and its report. */
interface RunSummary {
    /** {@return the name of the model, in a word} */
    String label();

    /** {@return the model in a few words} */
    String model();

    /** {@return the plan for the progress bar} */
    List<TrainingProgress.Stage> progress();

    /** {@return operations of the first so many steps in GFLOP} */
    double gflopAt(int step);

    /** {@return what the loss is, and which figures go with it} */
    TrainingReport.Loss loss();

    /** {@return a few words on a step, for the progress bar} */
    String progressOf(TrainingStep step);

    /** {@return a sentence on a step, for the head of the report} */
    String sentenceOf(TrainingStep step);

    /** {@return the stages as a table} */
    TrainingReport.Table stages();

    /** {@return relative cost in words} */
    String costNote();

    /** {@return the settings, name to value} */
    Map<String, Object> settings();

    /** {@return what describes the data, name to value} */
    Map<String, Object> describedData();
}
