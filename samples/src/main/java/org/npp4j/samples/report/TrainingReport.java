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
 * @param loss what the curve is of
 * @param points the curve
 * @param checkpoints losses at checkpoints
 * @param sheets pictures that the model drew
 * @param sheetNote what they show
 * @param stages the model's stages, or those of its training
 * @param costNote what the plan costs
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
        Loss loss,
        List<TrainingPoint> points,
        List<CheckpointPoint> checkpoints,
        List<SampleSheet> sheets,
        String sheetNote,
        Table stages,
        String costNote,
        Map<String, Object> settings,
        Map<String, Object> data,
        RunEnvironment environment,
        double totalSeconds,
        double peakRssGib) {
    /**
     * What the loss is.
     *
     * @param name such as "velocity loss"
     * @param note in a few sentences
     * @param patches whether steps differ in their patch side
     * @param perplexity whether exp(loss) is one
     */
    public record Loss(String name, String note, boolean patches, boolean perplexity) {}

    /**
     * A table of texts.
     *
     * @param columns their headings
     * @param rows a text for each column
     */
    public record Table(List<String> columns, List<List<String>> rows) {}
}
