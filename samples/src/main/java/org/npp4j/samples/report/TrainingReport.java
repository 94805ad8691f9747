package org.npp4j.samples.report;

import java.util.List;
import java.util.Map;

/**
 * What the page of a training run shows, while it runs and afterwards.
 *
 * @param title of the run, such as GPT-B
 * @param state a few words: how far it is
 * @param lead a sentence or two with the main figures
 * @param written when, in ISO 8601
 * @param points the curve
 * @param checkpoints losses at checkpoints
 * @param sheets pictures that the model drew
 * @param sheetNote what they show
 * @param stages the plan
 * @param costNote what the plan costs beside next-token prediction
 * @param settings name to value
 * @param data name to value
 * @param environment machine and versions
 * @param totalSeconds wall-clock time of this process
 * @param peakRssGib its largest resident memory
 */
public record TrainingReport(
        String title,
        String state,
        String lead,
        String written,
        List<TrainingPoint> points,
        List<CheckpointPoint> checkpoints,
        List<SampleSheet> sheets,
        String sheetNote,
        List<Stage> stages,
        String costNote,
        Map<String, Object> settings,
        Map<String, Object> data,
        RunEnvironment environment,
        double totalSeconds,
        double peakRssGib) {
    /**
     * A stage of the plan.
     *
     * @param patchSide p
     * @param from its first step
     * @param to the step after its last
     * @param positions that an image has in it
     * @param gflop operations of the whole stage
     */
    public record Stage(int patchSide, int from, int to, long positions, double gflop) {}
}
